"""Training: an epoch over large bags, beside DTFD-MIL's own modules and the matrix limit.

    python -m benchmarks.speed.training [--dtfd DIR]

DIR is a checkout of DTFD-MIL's published code; how its networks are trained is said in
`benchmarks.speed.dtfd`. Reading, logging and validation are left out on its side, and
validation on ours; our bags lie on disk in float16.
"""

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from benchmarks.speed.dtfd import Published
from benchmarks.speed.measure import Contestants, kinds, rows_of, show, take_turns

from coverslip import store
from coverslip.learn.loading import Labelled
from coverslip.learn.models.zoo import build, entry
from coverslip.learn.train_options import TrainOptions
from coverslip.learn.training import Trainer
from coverslip.prepare.features import Features

BAGS, PATCHES, DIM, WIDTH = 6, 8_000, 1024, 512
WHAT = f"one epoch, {BAGS} bags of {PATCHES:,} x {DIM}"
RIVAL = "DTFD-MIL, its updates in a legal order"
LIMIT = {kind: f"matrix products alone, {kind} (limit)" for kind in ("fp32", "bf16")}
BARS: dict[str, store.Facts] = {
    "dtfd, bf16": {"times_rival": 3.0},
    "dmia, bf16": {"times_rival": 3.0, "of_limit": 0.75},
}


def main(dtfd: Path | None = None) -> store.Facts:
    """Time an epoch of each and return the rows of the table."""
    with tempfile.TemporaryDirectory() as folder:
        items = make_bags(Path(folder))
        ways: Contestants = {
            f"{name}, {kind}": (epoch_of(name, items, kind), BAGS)
            for name in ("dmia", "dtfd")
            for kind in kinds()
        }
        best = kinds()[-1]
        together = epoch_of("dmia", items, best, slides=BAGS)
        ways[f"dmia, {best}, {BAGS} slides a step"] = together, BAGS
        ways |= {LIMIT[kind]: (products(kind), BAGS) for kind in kinds()}
        if dtfd is not None:
            detached = Published(dtfd, items, detach=True).epoch
            ways["DTFD-MIL, tier 2's input detached, fp32"] = detached, BAGS
            ways[RIVAL] = Published(dtfd, items).epoch, BAGS
        timed = take_turns(ways)
    rows = []
    for kind in kinds():
        own = {name: t for name, t in timed.items() if kind in name or name == RIVAL}
        rows += rows_of(WHAT, own, rival=RIVAL, limit=LIMIT[kind], bars=BARS)
    return {
        "stage": "training",
        "slide": f"{BAGS} bags of {PATCHES:,} random features of length {DIM}",
        "threads": torch.get_num_threads(),
        "rows": list({row["who"]: row for row in reversed(rows)}.values())[::-1],
    }


def make_bags(folder: Path, bags: int = BAGS, patches: int = PATCHES) -> list[Labelled]:
    """Write bags of random features and open them as training does, mapped."""
    chance = np.random.default_rng(0)
    places = np.stack([np.arange(patches) % 100, np.arange(patches) // 100], 1) * 256
    items = []
    for number in range(bags):
        x = chance.standard_normal((patches, DIM)).astype(np.float16)
        path = folder / f"slide_{number}.h5"
        Features(path.stem, x, places.astype(np.int64), {}).save(path)
        items.append(Labelled(Features.load(path), number % 2))
    return items


def epoch_of(
    name: str, items: list[Labelled], precision: str, slides: int = 1
) -> Callable[[], object]:
    """Return what trains one of our models for one epoch, without validation."""
    trainer = trainer_of(name, items, precision=precision, slides_per_step=slides)
    return lambda: trainer.pass_over(0)


def trainer_of(
    name: str,
    items: list[Labelled],
    val: list[Labelled] | None = None,
    **options: object,
) -> Trainer:
    """Return a training of one of our models, on a CPU unless the options say else.

    Args:
        name: The model.
        items: Training bags.
        val: Validation bags; the same without.
        options: As `TrainOptions` has them.
    """
    chosen = TrainOptions.model_validate({"epochs": 1_000, "device": "cpu", **options})
    model = build(name, DIM, 2, entry(name).options())
    return Trainer(model, items, val or items, chosen)


def products(kind: str) -> Callable[[], object]:
    """Return the two products of an epoch that no training can do without."""
    dtype = torch.bfloat16 if kind == "bf16" else torch.float32
    x, weight = torch.randn(PATCHES, DIM).to(dtype), torch.randn(WIDTH, DIM).to(dtype)
    slope = torch.randn(PATCHES, WIDTH).to(dtype)
    return lambda: [(x @ weight.T, slope.T @ x) for _ in range(BAGS)]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--dtfd", type=Path, help="checkout of DTFD-MIL")
    show(main(parser.parse_args().dtfd))
