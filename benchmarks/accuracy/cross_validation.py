"""Repeated ten-fold cross-validation of one model on one classic set, without peeking.

Every model has the same budget: `PLAN`'s epochs, the widths of `fitting.NARROW`, and a
learning rate that each fold chooses among `RATES` on a ninth of its own training bags
(by AUC, ties by the lower loss); then it is trained anew on all of them. Features are
standardised by the fold's training bags. The last epoch is the model, a bag is called
positive at 0.5, and the test fold is read once.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import numpy.typing as npt
import torch
from benchmarks.accuracy.classic_data import ClassicSet
from benchmarks.accuracy.fitting import (
    Example,
    example,
    fit_together,
    small,
    standardise,
)
from sklearn.model_selection import StratifiedKFold

from coverslip import store
from coverslip.judge.metrics import auc, log_loss
from coverslip.learn.models.model import MILModel
from coverslip.learn.train_options import TrainOptions

Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

PLAN = TrainOptions(epochs=16, weight_decay=1e-3, partitions=10)
RATES = (5e-4, 2e-3)
FOLDS = 10
INNER = 9


@dataclass(frozen=True)
class Judged:
    """What one model came to on one set; arrays are (repeats, folds).

    Attributes:
        set: The set.
        model: The model.
        accuracy: Of each test fold, at 0.5.
        auc: Of each test fold.
        rates: The learning rate that each fold chose.
        seconds: All its trainings and tests together, on one core.
    """

    set: str
    model: str
    accuracy: npt.NDArray[np.float64]
    auc: npt.NDArray[np.float64]
    rates: npt.NDArray[np.float64]
    seconds: float

    def facts(self) -> store.Facts:
        """Return means, deviations and each fold, JSON-ready."""
        chosen, times = np.unique(self.rates, return_counts=True)
        return {
            "set": self.set,
            "model": self.model,
            "accuracy": summary(self.accuracy),
            "auc": summary(self.auc),
            "rates": {f"{r:g}": int(n) for r, n in zip(chosen, times, strict=True)},
            "seconds": round(self.seconds, 1),
        }


def summary(figures: npt.NDArray[np.float64]) -> store.Facts:
    """Return the mean of (repeats, folds), its deviations, and the figures."""
    by_repeat = figures.mean(axis=1)  # (repeats,)
    return {
        "mean": round(float(figures.mean()), 4),
        "sd_folds": round(float(figures.std(ddof=1)), 4),
        "sd_repeats": (
            round(float(by_repeat.std(ddof=1)), 4) if len(by_repeat) > 1 else None
        ),
        "folds": figures.round(4).tolist(),
    }


def dealt(labels: Ints, repeats: int, seed: int) -> Bools:
    """Return which bags each fold tests, bool (repeats * FOLDS, N)."""
    tests = np.zeros((repeats * FOLDS, len(labels)), dtype=bool)
    for repeat in range(repeats):
        split = StratifiedKFold(FOLDS, shuffle=True, random_state=seed + repeat)
        for fold, (_, test) in enumerate(split.split(labels, labels)):
            tests[repeat * FOLDS + fold, test] = True
    return tests


def inner_validation(labels: Ints, tests: Bools, seed: int) -> Bools:
    """Return a ninth of each fold's training bags, by label, to choose the rate on."""
    validation = np.zeros_like(tests)
    split = StratifiedKFold(INNER, shuffle=True, random_state=seed)
    for fold, test in enumerate(tests):
        training = np.flatnonzero(~test)
        _, held = next(split.split(training, labels[training]))
        validation[fold, training[held]] = True
    return validation


def cross_validate(
    classic: ClassicSet,
    model: str,
    repeats: int,
    plan: TrainOptions = PLAN,
) -> Judged:
    """Cross-validate a model on a set; the plan's seed also deals the folds."""
    torch.set_num_threads(1)
    began = time.perf_counter()
    bags = [
        example(torch.from_numpy(x), int(label))
        for x, label in zip(classic.bags, classic.labels, strict=True)
    ]
    tests = dealt(classic.labels, repeats, plan.seed)  # (K, N)
    rates = choose_rates(model, bags, tests, plan)  # (K,)
    members = trained(model, bags, ~tests, rates, plan)
    said = [
        probabilities(m, bags, t, plan.partitions)
        for m, t in zip(members, tests, strict=True)
    ]
    true = [classic.labels[test] for test in tests]
    right = [((p > 0.5) == y).mean() for p, y in zip(said, true, strict=True)]
    areas = [auc(y, p) for p, y in zip(said, true, strict=True)]
    return Judged(
        set=classic.name,
        model=model,
        accuracy=np.reshape(right, (repeats, FOLDS)),
        auc=np.reshape(areas, (repeats, FOLDS)),
        rates=np.reshape(rates, (repeats, FOLDS)),
        seconds=time.perf_counter() - began,
    )


def choose_rates(
    model: str, bags: Sequence[Example], tests: Bools, plan: TrainOptions
) -> Floats:
    """Return the rate (K,) that does best on each fold's inner validation."""
    labels = np.array([bag.label for bag in bags])
    validation = inner_validation(labels, tests, plan.seed)  # (K, N)
    pairs = list(product(range(len(tests)), RATES))  # K * L
    rows = [fold for fold, _ in pairs]
    training = ~tests & ~validation  # (K, N)
    rates = np.array([rate for _, rate in pairs])
    members = trained(model, bags, training[rows], rates, plan)
    merits = []
    for member, held in zip(members, validation[rows], strict=True):
        p, y = probabilities(member, bags, held, plan.partitions), labels[held]
        merits.append((auc(y, p), -log_loss(y, np.stack([1 - p, p], axis=1))))
    best = [
        max(zip(merits[i : i + len(RATES)], RATES, strict=True))[1]
        for i in range(0, len(pairs), len(RATES))
    ]
    return np.array(best)


def trained(
    model: str,
    bags: Sequence[Example],
    parts: Bools,
    rates: Floats,
    plan: TrainOptions,
) -> list[MILModel]:
    """Return a model for each part (K, N), trained on it at its rate.

    Members that differ in their rate only begin with the same weights.
    """
    members, width = [], bags[0].x.shape[1]
    firsts = {part.tobytes(): i for i, part in reversed(list(enumerate(parts)))}
    for part in parts:
        member = small(model, width, seed=plan.seed + firsts[part.tobytes()])
        standardise(member, [bags[i] for i in np.flatnonzero(part).tolist()])
        members.append(member)
    fit_together(members, rates.tolist(), bags, torch.from_numpy(parts), plan)
    return members


def probabilities(
    model: MILModel, bags: Sequence[Example], which: Bools, partitions: int
) -> Floats:
    """Return the chance of class 1 of some bags."""
    seeds = range(partitions)
    chosen = [bags[i] for i in np.flatnonzero(which).tolist()]
    said = [model.predict(b.x, seeds).probability[1] for b in chosen]
    return torch.stack(said).double().numpy()
