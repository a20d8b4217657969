"""Which part of DMIA-MIL does what: one option changed at a time, on real tissue.

    python -m benchmarks.accuracy.ablations --out FILE [--quick]

The bags, widths and epochs are benchmark 1's; learning rate and weight decay are those
that validation chose for the defaults there, read from its result. All figures are of
validation, the test bags are not read: an ablation is where defaults come from.
"""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.accuracy.real_tissue import EPOCHS, PAPER_MODEL, run_all
from benchmarks.accuracy.record import PROJECT, circumstances, data_folder
from benchmarks.accuracy.tissue_bags import BAGS, Pool, read_pool
from benchmarks.accuracy.tissue_trials import PLACES, Recipe, Trial, look_again

from coverslip import store
from coverslip.errors import DataError
from coverslip.judge.metrics import auc

SEEDS = 2
BENCHMARK = PROJECT / "benchmarks" / "results" / "real_tissue.json"

CHANGES: dict[str, dict[str, Any]] = {
    "defaults": {},
    "the literal recipe (`paper`)": PAPER_MODEL,
    "members: 1": {"members": 1},
    "members: 4": {"members": 4},
    "view: 1": {"view": 1.0},
    "attention: exponential": {"attention": "exponential"},
    "attention: gated": {"attention": "gated"},
    "attention: tanh": {"attention": "tanh"},
    "tau: 1": {"tau": 1.0},
    "tau: 0.1": {"tau": 0.1},
    "normaliser: entmax": {"normaliser": "entmax"},
    "normaliser: sigmoid": {"normaliser": "sigmoid"},
    "warmup: 0": {"warmup": 0.0},
    "lambda: 0.1": {"instance_loss": 0.1},
    "kappa: 0": {"key_loss": 0.0},
    "kappa: 2": {"key_loss": 2.0},
    "key patches: 2": {"key_patches": 2},
    "M: 1, k: 8": {"n_pseudo_bags": 1, "k": 8},
    "M: 4, k: 2": {"n_pseudo_bags": 4, "k": 2},
    "M: 8, k: 1": {"n_pseudo_bags": 8, "k": 1},
    "k: 1": {"k": 1},
    "k: 16": {"k": 16},
    "selection: MaxMinS": {"selection": "maxmins"},
    "selection: AFS, k: 1": {"selection": "afs", "k": 1},
    "score: cam": {"score": "cam"},
    "attention: gated, score: margin": {"attention": "gated", "score": "margin"},
    "tier 2: gated": {"tier2": "gated"},
    "tier 2 alone (w: 0)": {"tier1_share": 0.0},
    "tier 1 alone (w: 1)": {"tier1_share": 1.0},
}
"""What is changed, by what it is called in the table."""

PARTITIONS = 1, 3
"""Other numbers of partitions R that the defaults' predictions are averaged over."""


def main(out: Path, *, quick: bool = False) -> store.Facts:
    """Train every variant and write what validation says of it.

    Args:
        out: The JSON; trials are kept in `build`.
        quick: Two variants, one seed, few bags.
    """
    start = time.perf_counter()
    names = list(CHANGES)[:2] if quick else list(CHANGES)
    seeds, epochs = (1, 2) if quick else (SEEDS, EPOCHS)
    bags = {"train": 40, "val": 20, "test": 2} if quick else dict(BAGS)
    pair = (1e-3, 1e-3) if quick else chosen(BENCHMARK)
    recipes = [
        Recipe(f"ablation_{number}", "dmia", dict(CHANGES[name]))
        for number, name in enumerate(names)
    ]
    trials = [
        Trial(recipe, *pair, seed, epochs, bags)
        for recipe in recipes
        for seed in range(seeds)
    ]
    work = PROJECT / "build" / "ablations" / "trials"
    pool = read_pool(data_folder())
    done = [facts["val"] for facts in run_all(pool, trials, work)]
    rows = [
        _row(name, dict(CHANGES[name]), done[i * seeds : (i + 1) * seeds])
        for i, name in enumerate(names)
    ]
    rows += [_fewer(pool, trials[:seeds], work, number) for number in PARTITIONS]
    facts: store.Facts = {
        "benchmark": "ablations of DMIA-MIL on real tissue, validation",
        **circumstances(),
        "seconds": round(time.perf_counter() - start),
        "protocol": {
            "seeds": seeds,
            "epochs": epochs,
            "bags": bags,
            "lr": pair[0],
            "weight_decay": pair[1],
        },
        "rows": rows,
    }
    store.write_json(out, facts)
    return facts


def chosen(benchmark: Path) -> tuple[float, float]:
    """Return the learning rate and weight decay of the defaults in benchmark 1.

    Raises:
        DataError: Benchmark 1 was not run.
    """
    if not benchmark.exists():
        raise DataError(f"{benchmark}: not there: run benchmarks.accuracy.real_tissue")
    rows = {row["name"]: row for row in store.read_json(benchmark)["rows"]}
    return rows["dmia"]["lr"], rows["dmia"]["weight_decay"]


def _fewer(
    pool: Pool, trials: Sequence[Trial], folder: Path, partitions: int
) -> store.Facts:
    seen = [look_again(pool, trial, folder, partitions) for trial in trials]
    return _row(f"R: {partitions}", {"partitions": partitions}, seen)


def _row(
    name: str, options: dict[str, Any], seen: Sequence[store.Facts]
) -> store.Facts:
    areas = [auc(np.array(one["labels"]), np.array(one["scores"])) for one in seen]
    return {
        "name": name,
        "options": options,
        "auc": float(np.mean(areas)),
        "auc_of_seeds": areas,
        "instance_auc": {
            place: float(np.mean([np.mean(one[place]["instance_auc"]) for one in seen]))
            for place in PLACES
        },
        "entropy": float(np.mean([one["entropy"] for one in seen])),
        "top10": float(np.mean([one["top10"] for one in seen])),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--quick", action="store_true")
    given = parser.parse_args()
    main(given.out, quick=given.quick)
