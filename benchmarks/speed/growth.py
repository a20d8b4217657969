"""How cost grows: time and peak memory at 1, 4 and 16 times the patches.

    python -m benchmarks.speed.growth

Each size in a fresh process, five times. The exponent is the slope of the logarithm of the CPU
seconds over that of the items; 1 is what the work itself grows with. The encoder is a
small one, so that what is around it shows. `STAGES` takes other stages in the same way.
"""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np
from benchmarks.speed.measure import Clock, kinds, peak_mb, run_apart, show
from benchmarks.speed.mosaic import mosaic

from coverslip import store

SIDES = {1: 20_000, 4: 40_000, 16: 80_000}
"""Side of the mosaic at so many times the patches of the first."""

ENCODED = 250
"""Patches that are encoded at once the size."""

PATCHES = 2_000
"""Patches of a bag at once the size."""

TRIES = 5
BARS: store.Facts = {"exponent": 1.1}


def lay_once(times: int) -> store.Facts:
    """Find tissue and lay patches on a mosaic of so many times the patches."""
    from coverslip.prepare.patches import lay_patches
    from coverslip.prepare.tissue import find_tissue
    from coverslip.slides.finding import open_slide

    path = mosaic(SIDES[times])
    clock = Clock()
    with open_slide(path) as slide:
        patches = lay_patches(slide, find_tissue(slide))
    return {"items": len(patches), "cpu": clock.spent().cpu, "peak_mb": peak_mb()}


def embed_once(times: int) -> store.Facts:
    """Read patches, encode them with a small encoder, and write the features."""
    from dataclasses import replace
    from pathlib import Path

    from coverslip.prepare.features import extract_features
    from coverslip.prepare.patches import lay_patches
    from coverslip.prepare.tissue import find_tissue
    from coverslip.slides.finding import open_slide
    from coverslip.testing import fake_encoder

    encoder = fake_encoder()
    with open_slide(mosaic(SIDES[16])) as slide, TemporaryDirectory() as folder:
        laid = lay_patches(slide, find_tissue(slide))
        count = ENCODED * times
        some = replace(laid, coords=laid.coords[:count])
        clock = Clock()
        features = extract_features(slide, some, encoder)
        features.save(Path(folder) / "features.h5")
    return {"items": len(features), "cpu": clock.spent().cpu, "peak_mb": peak_mb()}


def train_once(times: int) -> store.Facts:
    """Train an epoch over bags of so many times the patches, memory mapped."""
    from pathlib import Path

    from benchmarks.speed.training import epoch_of, make_bags

    with TemporaryDirectory() as folder:
        items = make_bags(Path(folder), bags=4, patches=PATCHES * times)
        epoch = epoch_of("dmia", items, kinds()[-1])
        epoch()  # orders are found once, and what fits in memory is put there
        clock = Clock()
        epoch()
    return {
        "items": 4 * PATCHES * times,
        "cpu": clock.spent().cpu,
        "peak_mb": peak_mb(),
    }


STAGES: dict[str, Callable[[int], store.Facts]] = {
    "tissue and patches": lay_once,
    "features, small encoder": embed_once,
    "training, 4 bags": train_once,
}
"""By name, what to do at so many times the items, in a process of its own."""


def main(stages: Sequence[str] = tuple(STAGES)) -> store.Facts:
    """Measure all stages at all sizes and return the rows of the table."""
    rows = []
    for what in stages:
        found = [_apart(what, times) for times in SIDES]
        slope = exponent([f["items"] for f in found], [f["cpu"] for f in found])
        for times, facts in zip(SIDES, found, strict=True):
            rows.append(
                {
                    "what": what,
                    "who": f"{times}x: {facts['items']:,} patches",
                    "per_cpu_second": float(f"{facts['items'] / facts['cpu']:.3g}"),
                    "times_rival": None,
                    "of_limit": None,
                    "seconds": float(f"{facts['cpu']:.3g}"),
                    "peak_mb": facts["peak_mb"],
                }
            )
        rows[-1] |= {"exponent": slope, "bar": BARS}
    return {"stage": "growth", "slide": "mosaics of real tissue", "rows": rows}


def tried(what: str, times: int) -> store.Facts:
    """Return what a size costs: the median of some tries, and the peak of the first."""
    first, *more = [STAGES[what](times) for _ in range(TRIES)]
    return {**first, "cpu": median(one["cpu"] for one in (first, *more))}


def _apart(what: str, times: int) -> store.Facts:
    """Return the same from a fresh process, whose peak is its own."""
    mosaic(SIDES[times])
    return run_apart("benchmarks.speed.growth", "--once", what, "--times", times)


def exponent(items: Sequence[float], seconds: Sequence[float]) -> float:
    """Return the power of the number of items with which cost grows, fitted."""
    slope = np.polyfit(np.log(items), np.log(seconds), 1)[0]
    return round(float(slope), 2)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--once", choices=list(STAGES), help=argparse.SUPPRESS)
    parser.add_argument("--times", type=int, default=1, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.once is not None:
        print(json.dumps(tried(given.once, given.times)))
        sys.exit(0)
    show(main())
