"""Epochs of training beside DTFD-MIL's program, and the minutes of a whole study.

Bags are windows of one pool of random features in host memory. An epoch is timed once
the bags lie on the GPU, where they fit; validation is left out on both sides. DTFD-MIL's
networks are trained as its program does (`benchmarks.speed.dtfd`), on the first few of
the bags, in the same rounds; the time is scaled to all of them.
"""

import time
from functools import partial
from statistics import median
from typing import Any

import numpy as np
import torch
from benchmarks.gpu.device import ceiling, wait_for
from benchmarks.gpu.plan import Plan
from benchmarks.speed.dtfd import Published
from benchmarks.speed.measure import Contestants, take_turns
from benchmarks.speed.training import DIM, WIDTH, trainer_of

from coverslip import store
from coverslip.learn.loading import Labelled, room_on
from coverslip.learn.training import Trainer
from coverslip.prepare.features import Features

RIVAL = "DTFD-MIL"
BARS: store.Facts = {"wall_times_rival": 20.0}
FOLDS, SEEDS, EPOCHS = 5, 5, 100

PLAIN, HALF, FAST = (
    "fp32, one slide a step",
    "bf16, one slide a step",
    "bf16, 8 slides a step",
)
WAYS: dict[str, dict[str, Any]] = {
    PLAIN: {},
    HALF: {"precision": "bf16"},
    FAST: {"precision": "bf16", "slides_per_step": 8},
}


def main(plan: Plan, model: str) -> list[store.Facts]:
    """Time an epoch of one of our models, in several ways."""
    device = torch.device(plan.device)
    most = ceiling(device, plan.side, plan.rounds)
    count = as_many_as_fit(device, plan)
    items = bags(count, plan.patches)
    what = f"an epoch, {count} slides of {plan.patches:,} x {DIM}"
    if count < plan.slides:
        what += f" ({plan.slides} do not fit)"
    rival = None
    if plan.dtfd is not None:
        rival = Published(plan.dtfd, items[: plan.rivals], device=device)
    products = count * plan.patches * 4 * DIM * WIDTH / most
    rows: list[store.Facts] = []
    for way, options in WAYS.items():
        # made here and not named: the next finds its memory free
        row = beside(
            trainer_of(model, items, device=plan.device, **options), rival, plan
        )
        row["of_limit"] = float(f"{products / row['wall_seconds']:.2g}")
        rows.append({"what": what, "who": f"{model}, {way}", **row})
    rows[-1]["bar"] = BARS  # the fast way is the last
    if rival is not None:
        rows.append(
            {
                "what": what,
                "who": f"{RIVAL}, from {len(rival.bags)} of the slides",
                "wall_seconds": rows[-1]["rival_seconds"],
                "wall_times_rival": 1,
            }
        )
    return rows


def beside(trainer: Trainer, rival: Published | None, plan: Plan) -> store.Facts:
    """Time an epoch of ours and DTFD-MIL's in turn."""
    count = len(trainer.train)
    ways: Contestants = {"ours": (partial(trainer.pass_over, 0), count)}
    if rival is not None:

        def epoch() -> None:
            rival.epoch()
            wait_for(trainer.device)

        ways[RIVAL] = epoch, len(rival.bags)
    timed = take_turns(ways, plan.rounds)
    row: store.Facts = {
        "wall_seconds": _rounded(median(timed["ours"].wall)),
        "bags": where(trainer),
    }
    if rival is not None:
        own = timed[RIVAL]
        row["rival_seconds"] = _rounded(median(own.wall) * count / own.items)
        row["wall_times_rival"] = _rounded(timed["ours"].times_sooner(own))
    return row


def study(plan: Plan) -> list[store.Facts]:
    """Time the epochs of one fold, validation too, and return the minutes of all."""
    items = bags(plan.cohort, plan.patches)
    fold(items, plan, epochs=1)  # a process is slow at first; only one fold sees it
    (first, *others), bags_lie = fold(items, plan, epochs=1 + plan.later)
    later = median(others)
    minutes = FOLDS * SEEDS * (first + (EPOCHS - 1) * later) / 60
    return [
        {
            "what": f"{FOLDS} folds x {SEEDS} seeds of {EPOCHS} epochs, {plan.cohort} "
            f"slides of {plan.patches:,} x {DIM}: from {1 + plan.later} of one fold",
            "who": f"dmia, {FAST}",
            "first_epoch_seconds": _rounded(first),
            "wall_seconds": _rounded(later),
            "minutes": _rounded(minutes),
            "bags": bags_lie,
        }
    ]


def fold(items: list[Labelled], plan: Plan, epochs: int) -> tuple[list[float], str]:
    """Train on all folds but one; return each epoch's seconds, and where bags lie."""
    held = len(items) // FOLDS
    trainer = trainer_of(
        "dmia",
        items[held:],
        val=items[:held],
        device=plan.device,
        patience=None,
        **WAYS[FAST],
    )
    taken, going = [], trainer.epochs()
    for _ in range(epochs):
        begun = time.perf_counter()
        next(going)
        taken.append(time.perf_counter() - begun)
    return taken, where(trainer)


def where(trainer: Trainer) -> str:
    """Say where the bags lie after the first epoch."""
    if trainer.keeps_bags:
        return "on the GPU" if trainer.device.type == "cuda" else "in memory"
    return "sent anew in each epoch"


def as_many_as_fit(device: torch.device, plan: Plan) -> int:
    """Return how many bags a training keeps on the device in bf16, at most those asked."""
    each = plan.patches * DIM * torch.bfloat16.itemsize
    return min(plan.slides, int(0.95 * room_on(device) / each))


def bags(count: int, patches: int) -> list[Labelled]:
    """Return bags of random features, each one patch further in the same pool."""
    chance = np.random.default_rng(0)
    pool = chance.standard_normal((count + patches, DIM), np.float32)
    pool = pool.astype(np.float16)
    places = np.stack([np.arange(patches) % 100, np.arange(patches) // 100], 1) * 256
    return [
        Labelled(Features(f"slide_{at}", pool[at : at + patches], places, {}), at % 2)
        for at in range(count)
    ]


def _rounded(value: float) -> float:
    return float(f"{value:.3g}")
