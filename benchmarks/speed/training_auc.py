"""Does a faster way to train learn the same? Validation AUC on bags of real tissue.

    python -m benchmarks.speed.training_auc [--seeds N] [--all]

DMIA-MIL as in benchmark 1 of `benchmarks.accuracy` (its bags, width and epochs), trained
plainly (float32, one slide a step), in bf16 where the CPU computes in it, and with
several slides a step (two more ways with --all), each with the same seeds and bags.
Nothing but validation bags is looked at. A difference is told with its standard error
and its 95 % interval over seeds (Student's t), beside how far seeds differ themselves;
it is within noise where the interval holds zero. `benchmarks.gpu` does the same on a GPU.
"""

import argparse
import multiprocessing
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from statistics import fmean, stdev
from typing import Any, Literal

import numpy as np
import torch
from benchmarks.accuracy.record import data_folder
from benchmarks.accuracy.tissue_bags import BAGS, Pool, draw_bags, read_pool
from benchmarks.accuracy.tissue_trials import Recipe, labelled
from benchmarks.speed.measure import lacking
from numpy.random import default_rng
from scipy import stats

from coverslip import store
from coverslip.learn.bags import feature_statistics
from coverslip.learn.train_options import TrainOptions
from coverslip.learn.training import Trainer

EPOCHS, SEEDS, RATE = 16, 5, 1e-3
WAYS: dict[str, dict[str, Any]] = {
    "fp32, one slide a step": {},
    "bf16": {"precision": "bf16"},
    "4 slides a step": {"slides_per_step": 4},
    "4 slides a step, twice the rate": {"slides_per_step": 4, "lr": 2 * RATE},
    "8 slides a step, 2.8 times the rate": {"slides_per_step": 8, "lr": 8**0.5 * RATE},
}
ON_A_GPU: dict[str, dict[str, Any]] = {
    "bf16, 8 slides a step, 2.8 times the rate": {
        "precision": "bf16",
        **WAYS["8 slides a step, 2.8 times the rate"],
    }
}
"""What several slides a step are for."""

USUAL = ("fp32, one slide a step", "bf16", "4 slides a step, twice the rate")
"""Those that are asked for: the others take as long again."""


Device = Literal["cpu", "cuda"]

MADE_UP = 7_000, 256, 3.2
"""Patches of a pool that is made up, length of a feature, and how far tumour is off."""


def made_up_pool(chance: np.random.Generator) -> Pool:
    """Return patches of noise; those of tumour are off in one direction."""
    count, dim, shift = MADE_UP
    tumour = chance.random(count) < 0.5
    features = chance.standard_normal((count, dim), np.float32)
    features += shift * dim**-0.5 * tumour[:, None]
    part = np.where(chance.random(count) < 0.5, "train", "val")
    stain = chance.random((count, 2))
    return Pool(features.astype(np.float16), stain, tumour, part)


def best_auc(
    pool: Pool, way: str, seed: int, bags: dict[str, int], device: Device
) -> float:
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
    options = TrainOptions(
        epochs=EPOCHS, lr=RATE, seed=seed, patience=None, device=device
    )
    chosen = (WAYS | ON_A_GPU)[way]
    trainer = Trainer(model, train, val, options.replace(**chosen))
    return max(row["val_auc"] for row in trainer.epochs())


def main(seeds: int = SEEDS, chosen: Iterable[str] = USUAL) -> store.Facts:
    """Train some ways with every seed and return the rows of the table."""
    ways = [way for way in chosen if not lacking(way)]
    rows = compare(read_pool(data_folder()), ways, seeds)
    return {"stage": "training, what is learnt", "rows": rows}


def compare(
    pool: Pool,
    ways: Sequence[str],
    seeds: int,
    *,
    device: Device = "cpu",
    bags: dict[str, int] | None = None,
) -> list[store.Facts]:
    """Train some ways with every seed on the same bags; the first is the plain one."""
    jobs = [(way, seed) for way in ways for seed in range(seeds)]
    # processes begin afresh: OpenMP does not outlive a fork
    context = multiprocessing.get_context("spawn")
    count = min(os.cpu_count() or 1, len(jobs) if device == "cpu" else seeds)
    with ProcessPoolExecutor(count, context) as workers:
        run = partial(best_auc, pool, bags=bags or dict(BAGS), device=device)
        found = dict(zip(jobs, workers.map(run, *zip(*jobs, strict=True)), strict=True))
    plain = [found[ways[0], seed] for seed in range(seeds)]
    rows = []
    for way in ways:
        row = compared([found[way, seed] for seed in range(seeds)], plain)
        rows.append({"what": f"validation AUC, {seeds} seeds", "who": way, **row})
    del rows[0]["within_noise"]
    return rows


def compared(aucs: Sequence[float], plain: Sequence[float]) -> store.Facts:
    """Return what a way reaches with each seed, beside the plain one."""
    apart = [a - b for a, b in zip(aucs, plain, strict=True)]
    error = stdev(apart) / len(apart) ** 0.5
    half = float(stats.t.ppf(0.975, len(apart) - 1)) * error
    return {
        "auc": round(fmean(aucs), 4),
        "sd_of_seeds": round(stdev(aucs), 4),
        "difference": round(fmean(apart), 4),
        "standard_error": round(error, 4),
        "half_interval": round(half, 4),
        "within_noise": abs(fmean(apart)) <= half,
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--all", action="store_true", help="every way, not the usual")
    given = parser.parse_args()
    for row in main(given.seeds, WAYS if given.all else USUAL)["rows"]:
        print(row)
