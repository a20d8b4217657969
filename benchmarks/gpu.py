"""What a GPU makes of it, in one call: matrix ceiling, embedding, training.

    python -m benchmarks.gpu [--weights FILE] [--dtfd DIR] [--out FILE]

Embedding: images a second of the ResNet-50 trunk in bf16 from 8-bit patches in host
memory to features in host memory, plain and compiled, as a share of the bf16 matrix
product measured in the same run, without overlap, and the share of time that the bus
alone would take. Training: an epoch over a cohort of the size of
CAMELYON16 (270 slides of 10,000 patches x 1024; fewer where memory does not allow, which
is said), one and eight slides a step, beside DTFD-MIL's networks trained as its program
does (`benchmarks.speed.dtfd`), and from that 5 folds x 5 seeds of 100 epochs in minutes.

Without a GPU it says so and stops: nothing is estimated. `--any-device` runs a small
version of everything on whatever is there, to see that it runs; its figures say nothing.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from benchmarks.accuracy.record import PROJECT, circumstances
from benchmarks.speed.dtfd import Published

from coverslip import store
from coverslip.learn.loading import Labelled
from coverslip.learn.models.zoo import build, entry
from coverslip.learn.training import Trainer, TrainOptions
from coverslip.prepare.encoders.card import RESNET50
from coverslip.prepare.encoders.encoder import Encoder
from coverslip.prepare.encoders.folding import fold_batch_norm
from coverslip.prepare.encoders.registry import load_encoder
from coverslip.prepare.encoders.resnet import ResNetTrunk
from coverslip.prepare.features import Features

REPEATS = 5
GFLOP_A_PATCH = 8.56 * (224 / 256) ** 2
"""ResNet-50 to its third stage, at 224 px, multiplications and additions counted."""

FOLDS, SEEDS, EPOCHS = 5, 5, 100
DIM = 1024


def main(
    device: torch.device, weights: Path | None = None, dtfd: Path | None = None
) -> list[store.Facts]:
    """Measure everything and return rows."""
    small = device.type != "cuda"
    ceiling = _ceiling(device, 512 if small else 8192)
    rows = [{"what": "bf16 matrix product", "tflops": ceiling}]
    for runtime in ("torch", "compile"):
        rows.append(_embedding(device, runtime, weights, ceiling, 8 if small else 256))
    rows += _training(device, dtfd, *((4, 500) if small else (270, 10_000)))
    return rows


def _seconds(
    work: Callable[[], object], device: torch.device, repeats: int = REPEATS
) -> float:
    """Return the median seconds of some work, everything on the device finished."""
    taken = []
    for repeat in range(repeats + 1):
        begun = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        if repeat:
            taken.append(time.perf_counter() - begun)
    return statistics.median(taken)


def _ceiling(device: torch.device, side: int) -> float:
    """Return the TFLOP/s of a large bf16 matrix product."""
    a, b = (torch.randn(side, side, device=device, dtype=torch.bfloat16) for _ in "ab")
    return round(2 * side**3 / _seconds(lambda: a @ b, device) / 1e12, 1)


def _embedding(
    device: torch.device,
    runtime: str,
    weights: Path | None,
    ceiling: float,
    batch: int,
) -> store.Facts:
    kind = "cuda" if device.type == "cuda" else "cpu"
    # without weights: random ones, which take as long
    encoder = _encoder(kind, runtime, weights)
    chance = np.random.default_rng(0)
    patches = chance.integers(0, 256, (batch, 256, 256, 3), np.uint8)
    rounds = 20 if kind == "cuda" else 1
    whole = _seconds(lambda: list(encoder.embed_each([patches] * rounds)), device)
    one_by_one = _seconds(
        lambda: [encoder.embed(patches) for _ in range(rounds)], device
    )
    own = torch.empty(patches.shape, dtype=torch.uint8, pin_memory=kind == "cuda")
    bus = _seconds(lambda: [own.to(device) for _ in range(rounds)], device)
    images = batch * rounds / whole
    return {
        "what": f"ResNet-50 trunk, bf16, {runtime}, batches of {batch} x 256 px",
        "images_per_second": round(images),
        "of_ceiling": round(images * GFLOP_A_PATCH / 1e3 / ceiling, 3),
        "images_per_second_without_overlap": round(batch * rounds / one_by_one),
        "bus_share_of_time": round(bus / whole, 3),
    }


def _encoder(kind: str, runtime: str, weights: Path | None) -> Encoder:
    if weights is not None:
        return load_encoder(
            "resnet50",
            weights=weights,
            device=kind,  # type: ignore[arg-type]
            precision="bf16",
            runtime=runtime,  # type: ignore[arg-type]
        )
    network = fold_batch_norm(ResNetTrunk())
    return Encoder(RESNET50, network, device=kind, precision="bf16", runtime=runtime)  # type: ignore[arg-type]


def _training(
    device: torch.device, dtfd: Path | None, slides: int, patches: int
) -> list[store.Facts]:
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        slides = min(slides, int(0.5 * free / (patches * DIM * 2)))
    rows: list[store.Facts] = []
    with tempfile.TemporaryDirectory() as folder:
        items = _cohort(Path(folder), slides, patches)
        name = f"an epoch over {slides} slides of {patches:,} x {DIM}"
        for model in ("dmia", "dtfd"):
            for together in (1, 8):
                seconds = _epoch(device, items, model, together)
                rows.append(
                    {
                        "what": f"{name}: {model}, bf16, {together} slides a step",
                        "seconds": round(seconds, 3),
                        "minutes_5_folds_5_seeds": round(
                            0.8 * seconds * EPOCHS * FOLDS * SEEDS / 60, 1
                        ),
                    }
                )
        if dtfd is not None:
            few = items[:20]
            epoch = Published(dtfd, few, device=device).epoch
            seconds = _seconds(epoch, device, repeats=2) * len(items) / len(few)
            rows.append(
                {
                    "what": f"{name}: DTFD-MIL, from {len(few)} slides",
                    "seconds": round(seconds, 3),
                    "times_slower_than": {
                        row["what"]: round(seconds / row["seconds"], 1) for row in rows
                    },
                }
            )
    return rows


def _epoch(
    device: torch.device, items: list[Labelled], model: str, together: int
) -> float:
    """Return the seconds of an epoch, validation left out, bags already on the device."""
    options = TrainOptions(epochs=1_000, precision="bf16", slides_per_step=together)
    network = build(model, DIM, 2, entry(model).options())
    where = "cuda" if device.type == "cuda" else "cpu"
    trainer = Trainer(network, items, items[:2], options.replace(device=where))
    return _seconds(lambda: trainer.pass_over(0), device)


def _cohort(folder: Path, slides: int, patches: int) -> list[Labelled]:
    """Write bags of random features, and open them as training does, mapped."""
    chance = np.random.default_rng(0)
    pool = chance.standard_normal((patches, DIM), np.float32).astype(np.float16)
    places = np.stack([np.arange(patches) % 100, np.arange(patches) // 100], 1) * 256
    items = []
    for number in range(slides):
        path = folder / f"slide_{number}.h5"
        own = np.roll(pool, number, axis=0)
        Features(path.stem, own, places.astype(np.int64), {}).save(path)
        items.append(Labelled(Features.load(path), number % 2))
    return items


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--weights", type=Path, help="ResNet-50 weights; else random")
    parser.add_argument("--dtfd", type=Path, help="checkout of DTFD-MIL")
    parser.add_argument("--out", type=Path, help="JSON to write; else only printed")
    parser.add_argument("--any-device", action="store_true", help="a trial run")
    given = parser.parse_args()
    if not torch.cuda.is_available() and not given.any_device:
        raise SystemExit("no GPU here: nothing is measured (--any-device: a trial run)")
    found = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    start = time.perf_counter()
    measured = main(found, given.weights, given.dtfd)
    for row in measured:
        print(row)
    if given.out is not None:
        card = (
            torch.cuda.get_device_name()
            if found.type == "cuda"
            else "none: a trial run"
        )
        facts = {"benchmark": "gpu", **circumstances(), "card": card}
        facts |= {"seconds": round(time.perf_counter() - start), "rows": measured}
        store.write_json(PROJECT / given.out, facts)
