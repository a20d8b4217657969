"""What a GPU makes of it, in one call that is laid out for eight minutes.

    python -m benchmarks.gpu [--dtfd DIR] [--weights FILE] [--slide FILE] [--out FILE]

Embedding alone, plain and compiled, and as a whole program; an epoch beside DTFD-MIL's,
the minutes of 5 folds x 5 seeds, and whether the fast way learns the same. Each part
runs in a process of its own. After each the result is written, in
`benchmarks/results/gpu.json`; a part that fails leaves a row that says why. Without a
GPU nothing is measured: `--any-device` runs everything small on whatever is there, to see
that it runs.
"""

import argparse
import multiprocessing
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from benchmarks.accuracy.record import (
    RESULTS,
    circumstances,
    without_paths,
)
from benchmarks.gpu import encoder, features, learning, training
from benchmarks.gpu.device import card
from benchmarks.gpu.plan import TRIAL, Plan
from benchmarks.speed import tables
from benchmarks.speed.dtfd import require_checkout

from coverslip import store

Part = Callable[[], list[store.Facts]]

KEPT = RESULTS / "gpu.json"
TOLD = 300
"""Letters of an error that a row has room for."""


def parts(plan: Plan) -> list[tuple[str, Part]]:
    """Return what is run, each with the table that its rows belong to."""
    return [
        ("encoder", partial(encoder.main, plan, "torch")),
        ("encoder", partial(encoder.main, plan, "compile")),
        ("training", partial(training.main, plan, "dmia")),
        ("training", partial(training.main, plan, "dtfd")),
        ("study", partial(training.study, plan)),
        ("features", partial(features.slide, plan)),
        ("features", partial(features.mosaic, plan)),
        ("learning", partial(learning.main, plan)),
    ]


def rows_of(stage: str, part: Part) -> list[store.Facts]:
    """Run a part in a process of its own; its failure is a row, too."""
    context = multiprocessing.get_context("spawn")
    begun = time.perf_counter()
    try:
        with ProcessPoolExecutor(1, context) as apart:
            rows = apart.submit(part).result()
    except (Exception, SystemExit) as error:  # noqa: BLE001 - other parts go on
        told = without_paths(" ".join(str(error).split()))[-TOLD:].replace("|", "/")
        rows = [
            {
                "what": stage,
                "who": "failed",
                "failed": f"{type(error).__name__}: {told}",
            }
        ]
    print(f"{stage}: {time.perf_counter() - begun:.0f} s", flush=True)
    return [{"stage": stage, **row} for row in rows]


def measured(facts: store.Facts) -> bool:
    """Say whether anything was; nothing takes the place of an earlier result."""
    return any("failed" not in row for row in facts["rows"])


def main(plan: Plan, out: Path | None) -> store.Facts:
    """Run all parts and return what they found; it is written after each of them."""
    begun = time.perf_counter()
    facts = {"benchmark": "gpu", **circumstances(), "gpu": card(plan.device)}
    facts["rows"] = []
    for stage, part in parts(plan):
        facts["rows"] += rows_of(stage, part)
        facts["seconds"] = round(time.perf_counter() - begun)
        if out is not None and measured(facts):
            store.write_json(out, facts)
    return facts


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--weights", type=Path, help="ResNet-50's; else the data's")
    parser.add_argument("--dtfd", type=Path, help="checkout of DTFD-MIL")
    parser.add_argument("--slide", type=Path, help="in place of the known slides")
    parser.add_argument("--out", type=Path, help=f"JSON; else {KEPT.name} of a GPU")
    parser.add_argument("--any-device", action="store_true", help="a trial run")
    given = parser.parse_args()
    there = torch.cuda.is_available()
    if not there and not given.any_device:
        raise SystemExit("no GPU here: nothing is measured (--any-device: a trial run)")
    for path in (given.weights, given.slide):
        if path is not None and not path.is_file():
            raise SystemExit(f"{path}: no such file")
    if given.dtfd is not None:
        require_checkout(given.dtfd)
    sizes = TRIAL if given.any_device else Plan()
    named = {name: getattr(given, name) for name in ("weights", "dtfd", "slide")}
    chosen = replace(sizes, device="cuda" if there else "cpu", **named)
    kept = None if given.any_device else KEPT
    if given.out is not None:
        kept = given.out
    found = main(chosen, kept)
    print(tables.of_gpu(found))
    if kept == KEPT and measured(found):
        tables.write()
    if any("failed" in row for row in found["rows"]):
        raise SystemExit(1)
