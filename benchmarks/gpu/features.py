"""`coverslip features` from start to end, as whole processes, in bf16.

The slide is the one that is named, or a real one of the data folder. The mosaic is large
enough for a GPU: of that folder's real tissue, or of painted tissue where there is none.
The start is what the program needs where nothing is left to do.
"""

import os
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from benchmarks.accuracy.record import data_folder
from benchmarks.gpu.encoder import some_weights
from benchmarks.gpu.plan import Plan
from benchmarks.speed.embedding import SIDE, idle, lay, ours, without
from benchmarks.speed.measure import Contestants, take_turns
from benchmarks.speed.mosaic import painted_pieces, write_mosaic

from coverslip import store
from coverslip.errors import DataError


def slide(plan: Plan) -> list[store.Facts]:
    """Time the program on a slide, if there is one."""
    try:
        chosen = plan.slide or data_folder() / plan.real
    except DataError:
        return []
    with TemporaryDirectory() as folder:
        return timed(chosen, chosen.name, Path(folder), plan)


def mosaic(plan: Plan) -> list[store.Facts]:
    """Time the program on a mosaic."""
    with TemporaryDirectory() as folder:
        made, of = Path(folder) / "mosaic.tif", "real"
        try:
            write_mosaic(made, plan.mosaic)
        except DataError:
            write_mosaic(made, plan.mosaic, pieces=painted_pieces())
            of = "painted"
        what = f"mosaic of {of} tissue, {plan.mosaic:,} px"
        return timed(made, what, Path(folder), plan)


def timed(chosen: Path, what: str, folder: Path, plan: Plan) -> list[store.Facts]:
    """Time the program as it is, and with as many readers as there are CPUs."""
    weights, laid = some_weights(plan, folder), lay(chosen, folder / "study")
    readers = os.cpu_count() or 1
    more = "--readers", readers, "--batch-size", plan.batch
    ways: dict[str, tuple[object, ...]] = {
        "bf16, default options": (),
        f"bf16, {readers} readers, batches of {plan.batch}": more,
    }
    programs = {
        way: ours(laid, weights, way, "--device", plan.device, *options)
        for way, options in ways.items()
    }
    runs: Contestants = {way: (p.run, laid.count) for way, p in programs.items()}
    whole = take_turns(runs, plan.runs, warm=False)
    first = next(iter(programs.values()))
    nothing: Contestants = {"start": (first.start, laid.count)}
    start = take_turns(nothing, plan.runs, warm=False)["start"]
    rows = []
    for way, timing in whole.items():
        rest = without(timing, start)
        rows.append(
            {
                "what": f"whole process, {what}, {laid.count:,} patches of {SIDE} px",
                "who": way,
                "weights": weights.name,
                "per_second": _rounded(laid.count / median(timing.wall)),
                "per_second_without_start": _rounded(laid.count / median(rest.wall)),
                "per_cpu_second": _rounded(timing.rate),
                "seconds": _rounded(median(timing.cpu)),
                "wall_seconds": _rounded(median(timing.wall)),
                "start_seconds": _rounded(median(start.wall)),
                **idle(laid.study, f"coverslip {way}"),
            }
        )
    return rows


def _rounded(value: float) -> float:
    return float(f"{value:.3g}")
