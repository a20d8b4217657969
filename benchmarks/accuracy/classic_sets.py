"""The classic sets: repeated ten-fold cross-validation of every model of the zoo.

    python -m benchmarks.accuracy.classic_sets --out FILE [--quick]

The protocol is `cross_validation`'s; here it is run for all models and sets, several at
once, and our model is compared with each rival over the same folds.
"""

import argparse
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from itertools import product
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from benchmarks.accuracy.classic_data import FEATURES, ClassicSet, guard, load
from benchmarks.accuracy.cross_validation import (
    FOLDS,
    PLAN,
    RATES,
    Judged,
    cross_validate,
)
from benchmarks.accuracy.fitting import NARROW
from benchmarks.accuracy.record import (
    circumstances,
    data_folder,
    earlier_rows,
    merged,
)
from benchmarks.accuracy.resampled import corrected_t_test

from coverslip import store
from coverslip.judge.comparison import holm
from coverslip.learn.models.zoo import MODELS
from coverslip.learn.train_options import TrainOptions

OURS = "dmia"
QUICK_MODELS = ("dmia", "gated_abmil", "instance_max")
QUICK_SETS = ("musk1",)
QUICK_PLAN = PLAN.replace(epochs=6)


def run(
    models: Sequence[str],
    sets: Sequence[str],
    repeats: int = 2,
    plan: TrainOptions = PLAN,
    processes: int = 2,
) -> list[Judged]:
    """Cross-validate each model on each set, the longest work first.

    Args:
        models: Keys of `MODELS`.
        sets: Keys of `FEATURES`.
        repeats: How often the bags are dealt into ten folds anew.
        plan: How models are trained; its seed also deals the folds.
        processes: How many work at once, one thread each.

    Raises:
        DataError: The data are not there, or a column of theirs gives the label away.
    """
    folder = data_folder() / "mil"
    loaded = sorted(
        (load(folder, name) for name in sets), key=lambda s: -s.counts["instances"]
    )
    work = list(product(loaded, models))
    todo = [(classic, model, repeats, plan) for classic, model in work]
    if processes == 1:
        return [told(cross_validate(*each)) for each in todo]
    with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
        waiting = [pool.submit(cross_validate, *each) for each in todo]
        return [told(future.result()) for future in waiting]


def told(judged: Judged) -> Judged:
    """Print one line about a result and return it."""
    accuracy, area = judged.accuracy, judged.auc
    print(
        f"{judged.set:9} {judged.model:15} accuracy {accuracy.mean():.3f} "
        f"+- {accuracy.std(ddof=1):.3f}, AUC {area.mean():.3f}, {judged.seconds:.0f} s",
        flush=True,
    )
    return judged


def compared(results: Sequence[store.Facts], figure: str) -> list[store.Facts]:
    """Return our model against each rival: on each set, and on the mean of all sets.

    p values are corrected (Holm) for the number of rivals within a set.

    Args:
        results: All models on all sets, the same folds; as `Judged.facts`.
        figure: "accuracy" or "auc".
    """
    folds = {(r["set"], r["model"]): np.ravel(r[figure]["folds"]) for r in results}
    names = list(dict.fromkeys(r["set"] for r in results))
    rivals = [m for m in dict.fromkeys(r["model"] for r in results) if m != OURS]
    for model in (OURS, *rivals):
        folds["all", model] = np.mean([folds[name, model] for name in names], axis=0)
    rows: list[store.Facts] = []
    for name in [*names, "all"]:
        tests = [
            corrected_t_test(folds[name, OURS], folds[name, rival], 1 / (FOLDS - 1))
            for rival in rivals
        ]
        adjusted = holm([test.p for test in tests])
        for rival, test, p in zip(rivals, tests, adjusted, strict=True):
            figures = {key: float(f"{v:.4g}") for key, v in asdict(test).items()}
            rows.append(
                {
                    "set": name,
                    "figure": figure,
                    "rival": rival,
                    **figures,
                    "p_holm": float(f"{p:.4g}"),
                }
            )
    return rows


def main(
    out: Path,
    *,
    quick: bool = False,
    repeats: int = 2,
    seed: int = 0,
    processes: int = 2,
    models: Sequence[str] | None = None,
) -> store.Facts:
    """Run the benchmark, write its JSON and return it.

    Args:
        out: The file.
        quick: A slice of under a minute: one set, one repeat, three models.
        repeats: How often the bags are dealt into ten folds anew.
        seed: Deals folds, draws weights, order and pseudo-bags.
        processes: How many work at once.
        models: Only these; the others' rows stay as they are in the file.
    """
    began = time.perf_counter()
    measured = models or (QUICK_MODELS if quick else tuple(MODELS))
    sets = QUICK_SETS if quick else tuple(FEATURES)
    repeats = 1 if quick else repeats
    plan = (QUICK_PLAN if quick else PLAN).replace(seed=seed)
    folder = data_folder() / "mil"
    facts: store.Facts = {
        "benchmark": "classic sets",
        **circumstances(),
        "seed": seed,
        "repeats": repeats,
        "folds": FOLDS,
        "training": {
            key: getattr(plan, key)
            for key in ("epochs", "weight_decay", "drop_at", "drop_by", "clip")
        },
        "rates": RATES,
        "widths": NARROW,
        "partitions": plan.partitions,
        "sets": {name: described(load(folder, name)) for name in sets},
    }
    earlier = earlier_rows(out, facts) if models else []
    judged = run(measured, sets, repeats, plan, processes)
    rows = merged(
        earlier, [{"commit": facts["commit"], **one.facts()} for one in judged]
    )
    facts["seconds"] = round(time.perf_counter() - began)
    facts["results"] = rows
    facts["comparisons"] = [*compared(rows, "accuracy"), *compared(rows, "auc")]
    store.write_json(out, facts)
    return facts


def described(classic: ClassicSet) -> store.Facts:
    """Return a set's counts, and how well its best single column does."""
    return {**classic.counts, "best_column": round(guard(classic).accuracy, 3)}


def command() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    parser.add_argument("--quick", action="store_true", help="one set, three models")
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=2)
    given = parser.parse_args()
    main(
        given.out,
        quick=given.quick,
        repeats=given.repeats,
        seed=given.seed,
        processes=given.processes,
    )


if __name__ == "__main__":
    command()
