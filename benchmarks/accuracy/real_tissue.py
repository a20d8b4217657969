"""Benchmark 1: which model finds a little tumour in real tissue from elsewhere?

Every model has the same width, the same epochs and the same search: the pairs of
learning rate and weight decay in `SEARCH`, each tried once on seed 0, of which
validation chooses (by AUC, ties by loss). Validation also chooses whether attention or
patch probabilities tell where the tumour is. Then five seeds are trained, each on bags
of its own, and the test bags are read; nothing is chosen on them.

Figures are means over seeds. Their intervals, and those of paired differences, count
what varies with the test bags and with the seed, the same for both models (`interval`).

    python -m benchmarks.accuracy.real_tissue --out FILE [--quick]
"""

import argparse
import multiprocessing
import os
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from benchmarks.accuracy.record import PROJECT, circumstances, data_folder
from benchmarks.accuracy.tissue_bags import (
    BAGS,
    NEIGHBOURS,
    PATCHES,
    SHARE,
    Pool,
    read_pool,
)
from benchmarks.accuracy.tissue_judging import (
    Pair,
    compare_with,
    slide_auc,
    slide_loss,
    summarise,
)
from benchmarks.accuracy.tissue_trials import (
    RATES,
    WIDTH,
    Recipe,
    Trial,
    bags_of_test,
    read_trial,
    train_trial,
)

from coverslip import store
from coverslip.learn.models.dmia_options import PRESETS
from coverslip.tables import write_csv

PAPER_MODEL = {k: v for k, v in PRESETS["paper"].facts().items() if k != "dim"}

RECIPES = (
    Recipe("dmia", "dmia"),
    Recipe("dmia, one member", "dmia", {"members": 1}),
    Recipe("dmia, paper", "dmia", PAPER_MODEL),
    Recipe("instance_max", "instance_max"),
    Recipe("monotone", "monotone"),
    Recipe("dtfd, AFS", "dtfd", {"distill": "afs"}),
    Recipe("dtfd, MaxMinS", "dtfd", {"distill": "maxmins"}),
    Recipe("gated_abmil", "gated_abmil"),
    Recipe("abmil", "abmil"),
    Recipe("loss_attention", "loss_attention"),
    Recipe("acmil", "acmil"),
    Recipe("clam_sb", "clam_sb"),
    Recipe("clam_mb", "clam_mb"),
    Recipe("dsmil", "dsmil"),
    Recipe("max", "max"),
    Recipe("mean", "mean"),
    Recipe("transmil", "transmil", {"landmarks": 16}),
)

SEARCH = (3e-4, 1e-4), (1e-3, 1e-4), (1e-3, 1e-3), (3e-3, 1e-3)
"""Pairs of learning rate and weight decay."""

SEEDS = 5
EPOCHS = 16
OURS = "dmia"

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.intp]


def main(
    out: Path, *, quick: bool = False, recipes: Sequence[Recipe] = RECIPES
) -> store.Facts:
    """Run the benchmark, or what of it is missing, and write its JSON.

    Args:
        out: The JSON. Trials are kept beside it, and one run folder a model for
            `coverslip compare`.
        quick: A slice: four models, small bags of bags, one seed.
        recipes: The rows.
    """
    start = time.perf_counter()
    plan: dict[str, Any] = {
        "search": SEARCH,
        "seeds": SEEDS,
        "epochs": EPOCHS,
        "bags": BAGS,
    }
    if quick:
        names = {"dmia", "instance_max", "gated_abmil", "dtfd, AFS"}
        recipes = [recipe for recipe in recipes if recipe.name in names]
        plan = {
            "search": ((1e-3, 1e-3),),
            "seeds": 1,
            "epochs": 3,
            "bags": {"train": 60, "val": 30, "test": 60},
        }
    pool = read_pool(data_folder())
    work = PROJECT / "build" / f"{out.stem}{'_quick' if quick else ''}"
    chosen = choose(pool, recipes, plan, work / "trials")
    finals = [
        _trial(recipe, chosen[recipe.name], seed, plan)
        for recipe in recipes
        for seed in range(plan["seeds"])
    ]
    done = run_all(pool, finals, work / "trials", test=True)
    rows = [
        summarise(recipe, chosen[recipe.name], done[i : i + plan["seeds"]])
        for i, recipe in zip(range(0, len(finals), plan["seeds"]), recipes, strict=True)
    ]
    compare_with(OURS, rows)
    write_runs(work / "runs", pool, rows, plan["bags"]["test"])
    facts: store.Facts = {
        "benchmark": "tumour in real tissue",
        **circumstances(),
        "seconds": round(time.perf_counter() - start),
        "seconds_of_trials": round(sum(row["seconds"] for row in rows)),
        "protocol": {
            "seeds": list(range(plan["seeds"])),
            "epochs": plan["epochs"],
            "bags": plan["bags"],
            "search": plan["search"],
            "width": WIDTH,
            "patches": PATCHES,
            "share": SHARE,
            "neighbours": NEIGHBOURS,
            "false_positives_a_bag": RATES,
        },
        "rows": [
            {k: v for k, v in row.items() if not k.startswith("_")} for row in rows
        ],
    }
    store.write_json(out, facts)
    return facts


def _trial(recipe: Recipe, pair: Pair, seed: int, plan: dict[str, Any]) -> Trial:
    return Trial(recipe, *pair, seed, plan["epochs"], dict(plan["bags"]))


def choose(
    pool: Pool, recipes: Sequence[Recipe], plan: dict[str, Any], folder: Path
) -> dict[str, Pair]:
    """Return each recipe's learning rate and weight decay, chosen on validation."""
    search = plan["search"]
    trials = [_trial(recipe, pair, 0, plan) for recipe in recipes for pair in search]
    tried = run_all(pool, trials, folder)
    chosen = {}
    for number, recipe in enumerate(recipes):
        own = tried[number * len(search) : (number + 1) * len(search)]
        ranks = [(slide_auc(t["val"]), -slide_loss(t["val"])) for t in own]
        chosen[recipe.name] = search[max(range(len(search)), key=ranks.__getitem__)]
    return chosen


def run_all(
    pool: Pool, trials: Sequence[Trial], folder: Path, *, test: bool = False
) -> list[store.Facts]:
    """Run trials side by side, one process a core, and return what each came to."""
    workers = max(1, len(os.sched_getaffinity(0)))
    context = multiprocessing.get_context("fork")  # the pool of patches is shared
    with ProcessPoolExecutor(
        workers, mp_context=context, initializer=_keep, initargs=(pool,)
    ) as jobs:
        return list(jobs.map(partial(_run, folder, test), trials))


_POOL: list[Pool] = []


def _keep(pool: Pool) -> None:
    _POOL[:] = [pool]


def _run(folder: Path, test: bool, trial: Trial) -> store.Facts:
    facts = (read_trial if test else train_trial)(_POOL[0], trial, folder)
    print(f"{trial.key}: validation AUC {slide_auc(facts['val']):.3f}", flush=True)
    return facts


def write_runs(
    folder: Path, pool: Pool, rows: Iterable[dict[str, Any]], n: int
) -> None:
    """Write the mean prediction of each row's seeds, as `coverslip compare` reads it."""
    labels = [bag.label for bag in bags_of_test(pool, n)]
    columns = [
        "slide_id",
        "split",
        "label",
        "predicted",
        "probability_normal",
        "probability_tumor",
        "threshold",
    ]
    classes = ("normal", "tumor")
    for row in rows:
        table = [
            {
                "slide_id": f"test_{i:03d}",
                "split": "test",
                "label": classes[label],
                "predicted": classes[int(p >= row["threshold"])],
                "probability_normal": f"{1 - p:.6f}",
                "probability_tumor": f"{p:.6f}",
                "threshold": f"{row['threshold']:.6f}",
            }
            for i, (label, p) in enumerate(
                zip(labels, row["_scores"].mean(axis=1), strict=True)
            )
        ]
        name = row["name"].replace(",", "").replace(" ", "_").lower()
        write_csv(folder / name / "predictions.csv", columns, table)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--quick", action="store_true")
    given = parser.parse_args()
    main(given.out, quick=given.quick)
