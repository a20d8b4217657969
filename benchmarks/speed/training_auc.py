"""Does a faster way to train learn the same? Validation AUC on bags of real tissue.

    python -m benchmarks.speed.training_auc [--seeds N] [--all]

DMIA-MIL as in benchmark 1 of `benchmarks.accuracy` (its bags, width and epochs), trained
plainly (float32, one slide a step), in bf16 where the CPU computes in it, and with
several slides a step (two more ways with --all), each with the same seeds and bags.
Nothing but validation bags is looked at. A difference is told with its 95 % interval
over seeds (Student's t), beside how far seeds differ themselves.
"""

import argparse
import multiprocessing
import os
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from statistics import fmean, stdev
from typing import Any

import torch
from benchmarks.accuracy.record import data_folder
from benchmarks.accuracy.tissue_bags import BAGS, Pool, draw_bags, read_pool
from benchmarks.accuracy.tissue_trials import Recipe, labelled
from benchmarks.speed.measure import lacking
from numpy.random import default_rng
from scipy import stats

from coverslip import store
from coverslip.learn.bags import feature_statistics
from coverslip.learn.training import Trainer, TrainOptions

EPOCHS, SEEDS, RATE = 16, 5, 1e-3
WAYS: dict[str, dict[str, Any]] = {
    "fp32, one slide a step": {},
    "bf16": {"precision": "bf16"},
    "4 slides a step": {"slides_per_step": 4},
    "4 slides a step, twice the rate": {"slides_per_step": 4, "lr": 2 * RATE},
    "8 slides a step, 2.8 times the rate": {"slides_per_step": 8, "lr": 8**0.5 * RATE},
}
USUAL = ("fp32, one slide a step", "bf16", "4 slides a step, twice the rate")
"""Those that are asked for: the others take as long again."""


def best_auc(pool: Pool, way: str, seed: int, bags: dict[str, int]) -> float:
    """Train one model and return its best validation AUC."""
    torch.set_num_threads(1)
    train, val = (
        labelled(
            pool,
            draw_bags(pool, part, bags[part], default_rng([seed, *part.encode()])),
            part,
        )
        for part in ("train", "val")
    )
    model = Recipe("dmia", "dmia").build(pool.features.shape[1], seed)
    mean, deviation = feature_statistics(item.bag for item in train)
    model.standardise.set(torch.from_numpy(mean), torch.from_numpy(deviation))
    options = TrainOptions(epochs=EPOCHS, lr=RATE, seed=seed, patience=None)
    trainer = Trainer(model, train, val, options.replace(**WAYS[way]))
    return max(row["val_auc"] for row in trainer.epochs())


def main(seeds: int = SEEDS, chosen: Iterable[str] = USUAL) -> store.Facts:
    """Train some ways with every seed and return the rows of the table."""
    pool = read_pool(data_folder())
    ways = [way for way in chosen if not lacking(way)]
    jobs = [(way, seed) for way in ways for seed in range(seeds)]
    # processes begin afresh: OpenMP does not outlive a fork
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(os.cpu_count(), context) as workers:
        run = partial(best_auc, pool, bags=dict(BAGS))
        found = dict(zip(jobs, workers.map(run, *zip(*jobs, strict=True)), strict=True))
    plain = [found[ways[0], seed] for seed in range(seeds)]
    rows = []
    for way in ways:
        aucs = [found[way, seed] for seed in range(seeds)]
        apart = [a - b for a, b in zip(aucs, plain, strict=True)]
        half = 0.0
        if way != ways[0]:
            half = stats.t.ppf(0.975, seeds - 1) * stdev(apart) / seeds**0.5
        rows.append(
            {
                "what": f"validation AUC, {seeds} seeds",
                "who": way,
                "auc": round(fmean(aucs), 4),
                "sd_of_seeds": round(stdev(aucs), 4),
                "difference": round(fmean(apart), 4),
                "half_interval": round(float(half), 4),
            }
        )
    return {"stage": "training, what is learnt", "rows": rows}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--all", action="store_true", help="every way, not the usual")
    given = parser.parse_args()
    for row in main(given.seeds, WAYS if given.all else USUAL)["rows"]:
        print(row)
