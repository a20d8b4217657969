"""`make bench-accuracy`: all parts, their JSON, and the tables made from it.

    python -m benchmarks.accuracy [--quick] [--only PART] [--model NAME]

The slice (`--quick`, under five minutes on two cores) shows that everything runs; its
figures say nothing and go into `build`, not into the results.
"""

import argparse
import time
from collections.abc import Callable

from benchmarks.accuracy import ablations, classic_sets, real_tissue, tables, unit_tests
from benchmarks.accuracy.record import PROJECT, RESULTS, data_folder

from coverslip.errors import DataError
from coverslip.learn.models.zoo import MODELS

PARTS: dict[str, Callable[..., object]] = {
    "real_tissue": real_tissue.main,
    "ablations": ablations.main,
    "unit_tests": unit_tests.main,
    "classic_sets": classic_sets.main,
}


def main() -> None:
    """Run the parts that are asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a slice of each part")
    parser.add_argument("--only", choices=list(PARTS), action="append")
    parser.add_argument(
        "--model",
        choices=list(MODELS),
        action="append",
        help="with --only unit_tests or classic_sets: measure this one, keep the others",
    )
    given = parser.parse_args()
    parts = list(given.only or PARTS)
    if given.model and not {"unit_tests", "classic_sets"}.issuperset(parts):
        parser.error("--model goes with --only unit_tests or --only classic_sets")
    if given.quick:
        try:
            data_folder()
        except DataError as error:
            print(f"of the slice only what needs no data: {error}")
            parts = [name for name in parts if name == "unit_tests"]
    own = {"models": given.model} if given.model else {}
    folder = PROJECT / "build" / "quick" if given.quick else RESULTS
    for name in parts:
        start = time.perf_counter()
        out = folder / f"{name}.json"
        PARTS[name](out, quick=given.quick, **own)
        print(f"{name}: {out} ({time.perf_counter() - start:.0f} s)", flush=True)
    if not given.quick:
        tables.write()


if __name__ == "__main__":
    main()
