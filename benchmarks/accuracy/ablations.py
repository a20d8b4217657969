"""Which part of DMIA-MIL does what: one option changed at a time, on real tissue.

    python -m benchmarks.accuracy.ablations --out FILE [--quick]

The bags, widths and epochs are benchmark 1's; the learning rate is the one that
validation chose for the defaults there. All figures are of validation, the test bags
are not read: an ablation is where defaults come from.
"""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from benchmarks.accuracy.real_tissue import EPOCHS, run_all
from benchmarks.accuracy.record import PROJECT, circumstances, data_folder
from benchmarks.accuracy.tissue_bags import BAGS, read_pool
from benchmarks.accuracy.tissue_trials import PLACES, Recipe, Trial

from coverslip import store
from coverslip.judge.metrics import auc

SEEDS = 2
PAIR = 1e-3, 1e-3
"""Learning rate and weight decay, as benchmark 1 chose for the defaults."""

CHANGES: dict[str, dict[str, object]] = {
    "defaults": {},
}


def main(out: Path, *, quick: bool = False) -> store.Facts:
    """Train every variant and write what validation says of it.

    Args:
        out: The JSON; trials are kept in `build`.
        quick: Three variants, one seed, few bags.
    """
    start = time.perf_counter()
    names = list(CHANGES)[:3] if quick else list(CHANGES)
    seeds, epochs = (1, 2) if quick else (SEEDS, EPOCHS)
    bags = {"train": 40, "val": 20, "test": 2} if quick else dict(BAGS)
    recipes = [
        Recipe(f"ablation {name}", "dmia", dict(CHANGES[name])) for name in names
    ]
    trials = [
        Trial(recipe, *PAIR, seed, epochs, bags)
        for recipe in recipes
        for seed in range(seeds)
    ]
    work = PROJECT / "build" / "ablations" / "trials"
    done = run_all(read_pool(data_folder()), trials, work)
    facts: store.Facts = {
        "benchmark": "ablations of DMIA-MIL on real tissue, validation",
        **circumstances(),
        "seconds": round(time.perf_counter() - start),
        "protocol": {
            "seeds": seeds,
            "epochs": epochs,
            "bags": bags,
            "lr": PAIR[0],
            "weight_decay": PAIR[1],
        },
        "rows": [
            _row(name, dict(CHANGES[name]), done[i * seeds : (i + 1) * seeds])
            for i, name in enumerate(names)
        ],
    }
    store.write_json(out, facts)
    return facts


def _row(
    name: str, options: dict[str, object], trials: Sequence[store.Facts]
) -> store.Facts:
    seen = [trial["val"] for trial in trials]
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
