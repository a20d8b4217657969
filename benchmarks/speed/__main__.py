"""`make bench-speed`: the stages on a CPU, their JSON, and the tables made from it.

    python -m benchmarks.speed [--only STAGE] [--clam DIR] [--trident DIR]
        [--peer-python PY] [--dtfd DIR] [--weights FILE] [--suffix NAME]

Each stage runs in a process of its own, so that none inherits another's memory or
threads. openslide-python, tifffile and PyTorch take part always, torchmil and SOMA where
the interpreter of `--peer-python` (this one, unless another is named) has them, the
others where a checkout is named. The figures of a stage are kept in
`benchmarks/results/speed_*.json`; with a suffix beside those of another machine.
"""

import argparse
import multiprocessing
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

from benchmarks.accuracy.record import RESULTS, circumstances
from benchmarks.speed import (
    embedding,
    growth,
    reading,
    start,
    tables,
    tissue,
    training,
    training_auc,
    training_peers,
)
from benchmarks.speed.measure import show
from benchmarks.speed.rivals import Rivals, add_arguments

from coverslip import store

Stage = Callable[[], store.Facts]


def stages(rivals: Rivals, dtfd: Path | None, weights: Path | None) -> dict[str, Stage]:
    """Return what each stage runs, by name."""
    return {
        "start": partial(start.main, rivals),
        "reading": reading.main,
        "tissue": partial(tissue.main, rivals),
        "embedding": partial(embedding.main, rivals, weights),
        "training": partial(training.main, dtfd),
        "training_peers": partial(training_peers.main, rivals),
        "training_auc": training_auc.main,
        "growth": growth.main,
    }


def main() -> None:
    """Run the stages that are asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--only", action="append", help="a stage; may be repeated")
    parser.add_argument("--dtfd", type=Path, help="checkout of DTFD-MIL")
    parser.add_argument("--weights", type=Path, help="ResNet-50's, of all programs")
    parser.add_argument("--suffix", help="of the results' names, for another machine")
    add_arguments(parser)
    given = parser.parse_args()
    known = stages(Rivals.asked(given), given.dtfd, given.weights)
    for name in given.only or known:
        if name not in known:
            parser.error(f"--only {name}: choose from {', '.join(known)}")
    context = multiprocessing.get_context("spawn")
    for name in given.only or known:
        begun = time.perf_counter()
        with ProcessPoolExecutor(1, context) as apart:
            facts = apart.submit(known[name]).result()
        facts |= {**circumstances(), "seconds": round(time.perf_counter() - begun)}
        show(facts)
        print(f"{name}: {facts['seconds']} s\n", flush=True)
        kept = "_".join(["speed", name, *filter(None, [given.suffix])])
        store.write_json(RESULTS / f"{kept}.json", facts)
    tables.write()


if __name__ == "__main__":
    main()
