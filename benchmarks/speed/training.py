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
from benchmarks.speed.measure import take_turns

from coverslip import store
from coverslip.learn.loading import Labelled
from coverslip.learn.models.zoo import build, entry
from coverslip.learn.training import Trainer, TrainOptions
from coverslip.prepare.features import Features

BAGS, PATCHES, DIM, WIDTH = 6, 8_000, 1024, 512
GFLOP = 2 * 2 * PATCHES * DIM * WIDTH / 1e9
"""Of one bag: the reduction, forward and the gradient of its weights."""

RIVAL = "DTFD-MIL, its updates in a legal order"
BARS = {"dtfd, bf16": 3.0}


def main(dtfd: Path | None = None) -> store.Facts:
    """Time an epoch of each and return the rows of the table."""
    with tempfile.TemporaryDirectory() as folder:
        items = make_bags(Path(folder))
        ways: dict[str, tuple[Callable[[], object], int]] = {
            f"{name}, {precision}": (epoch_of(name, items, precision), BAGS)
            for name in ("dmia", "dtfd")
            for precision in ("fp32", "bf16")
        }
        ways["dmia, bf16, all in one step"] = (
            epoch_of("dmia", items, "bf16", slides=BAGS),
            BAGS,
        )
        for precision in (torch.float32, torch.bfloat16):
            name = f"matrix products alone (limit), {str(precision)[6:]}"
            ways[name] = (products(precision), BAGS)
        if dtfd is not None:
            ways["DTFD-MIL, tier 2's input detached"] = (
                Published(dtfd, items, detach=True).epoch,
                BAGS,
            )
            ways[RIVAL] = (Published(dtfd, items).epoch, BAGS)
        timed = take_turns(ways)
    rows = []
    for name, timing in timed.items():
        kind = "bfloat16" if "bf16" in name else "float32"
        limit = timed[f"matrix products alone (limit), {kind}"]
        theirs = timed.get(RIVAL)
        rows.append(
            {
                "what": f"one epoch, {BAGS} bags of {PATCHES:,} x {DIM}",
                "who": name,
                "per_cpu_second": round(timing.rate, 2),
                "times_rival": round(timing.times_faster(theirs), 2)
                if theirs
                else None,
                "wall_times_rival": (
                    round(timing.times_sooner(theirs), 2) if theirs else None
                ),
                "of_limit": round(timing.times_faster(limit), 2),
                "bar": BARS.get(name),
            }
        )
    return {"stage": "training", "threads": torch.get_num_threads(), "rows": rows}


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
    options = TrainOptions.model_validate(
        {"epochs": 1_000, "precision": precision, "slides_per_step": slides}
    )
    chosen = entry(name).options()
    trainer = Trainer(build(name, DIM, 2, chosen), items, items, options)
    return lambda: trainer.pass_over(0)


def products(dtype: torch.dtype) -> Callable[[], object]:
    """Return the two products of an epoch that no training can do without."""
    x, weight = torch.randn(PATCHES, DIM).to(dtype), torch.randn(WIDTH, DIM).to(dtype)
    slope = torch.randn(PATCHES, WIDTH).to(dtype)
    return lambda: [(x @ weight.T, slope.T @ x) for _ in range(BAGS)]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--dtfd", type=Path, help="checkout of DTFD-MIL")
    for row in main(parser.parse_args().dtfd)["rows"]:
        print(row)
