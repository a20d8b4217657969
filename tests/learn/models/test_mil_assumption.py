"""Does DMIA-MIL respect the MIL assumption? Raff & Holt's tests, answers recorded.

Raff & Holt (NeurIPS 2023) train on bags that can be told apart by a rule which the
standard assumption forbids, then test on bags where only the permitted rule holds:

    SC  a "poison" patch marks negative bags; in the test it lies in the positive ones
    MC  positive means concepts A and B; the poison changes sides in the same way
    FF  positive means A and B; the test's negatives hold many copies of one of them

A test AUC near 1 passes; below 0.5 the model followed the forbidden rule. DMIA-MIL
fails SC, as every attention model does that the method notes measured: whatever marks
negative slides in training can turn a positive one. The figures keep that in sight,
and a figure outside its band says that the method's behaviour has changed.

How they were obtained: `measure` below with seeds 0 to 3 (400 training bags, 6 epochs,
AdamW at 3e-3, width 64, 200 bags a test, 3 partitions; torch 2.13 on a CPU, one
thread). AUC on bags made like the training's -> on the unit test's, lowest-highest:

          AFS                              MaxMinS
    SC    1.00 -> .01-.05                  1.00 -> .00-.08
    MC    1.00 -> .72-.89                  1.00 -> .00-.00
    FF    .64-.80 -> .08-.64               .62-.69 -> .51-.60

FF is hardly learnt in so short a training: its bands say "not passed" and no more.
The bands are wider than the figures, since training differs a little by machine.
"""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor

from coverslip.learn.models.dmia import DMIA, DMIAOptions

D = 16
Bags = list[tuple[Tensor, int]]
Draw = Callable[[np.random.Generator, int, bool], np.ndarray]
"""Makes one bag's patches (n, D) from (chance, label, whether it is the unit test's)."""


def items(rng, n, mean, std):
    """Return n patches around a mean."""
    return rng.normal(mean, std, (n, D))


def background(rng, most):
    """Return 1 to `most` patches that say nothing."""
    return items(rng, rng.integers(1, most + 1), 0, 1)


def poison(rng):
    """Return the patch that marks negative bags in training."""
    return items(rng, 1, -10, 0.1)


def single_concept(rng, label, unit_test):
    """Make a bag of SC: a positive patch is N(0, 3) or N(1, 1) by a coin."""
    parts = [background(rng, 4 if label else 9)]
    if label:
        kinds = rng.choice(2, rng.integers(1, 4))
        parts += [items(rng, 1, *((0, 3), (1, 1))[kind]) for kind in kinds]
    if bool(label) == unit_test:
        parts.append(poison(rng))
    return np.concatenate(parts)


def multi_concept(rng, label, unit_test):
    """Make a bag of MC: A is N(2, .1), B is N(3, .1)."""
    parts = [background(rng, 4)]
    if label:
        parts += [items(rng, rng.integers(1, 5), mean, 0.1) for mean in (2, 3)]
    else:
        parts.append(items(rng, 1, rng.choice([2, 3]), 0.1))
    poisoned_in_training = not label or rng.random() < 0.1
    if bool(label) if unit_test else poisoned_in_training:
        parts.append(poison(rng))
    return np.concatenate(parts)


def false_frequency(rng, label, unit_test):
    """Make a bag of FF: A is N(-2, .1), B is N(2, .1)."""
    parts = [background(rng, 9)]
    if label:
        parts += [items(rng, 1, mean, 0.1) for mean in (-2, 2)]
    else:
        copies = rng.integers(35, 40) if unit_test else 1
        parts.append(items(rng, copies, rng.choice([-2, 2]), 0.1))
    return np.concatenate(parts)


def bags_of(draw: Draw, count: int, seed: int, *, unit_test: bool) -> Bags:
    """Return bags, every second one positive."""
    rng = np.random.default_rng(seed)
    return [
        (torch.from_numpy(draw(rng, i % 2, unit_test)).float(), i % 2)
        for i in range(count)
    ]


def trained(selection: str, bags: Bags, seed: int) -> DMIA:
    """Train a small DMIA-MIL on features standardised by the training's patches."""
    options = DMIAOptions(dim=64, tier2_attention_dim=64, selection=selection)
    model = DMIA(D, 2, options, seed)
    patches = torch.cat([x for x, _ in bags])
    model.standardise.set(patches.mean(0), patches.std(0))
    steps = [
        torch.optim.AdamW(
            [p for m in modules for p in m.parameters()], lr=3e-3, fused=True
        )
        for modules in model.optimised().values()
    ]
    generator = torch.Generator().manual_seed(seed)
    for _ in range(6):
        for i in torch.randperm(len(bags), generator=generator).tolist():
            model.zero_grad()
            sum(model.losses(*bags[i], generator).values()).backward()
            for step in steps:
                step.step()
    return model


def auc(model: DMIA, bags: Bags) -> float:
    """Return the area under the ROC curve of the slide probability."""
    scores = [model.predict(x, range(3)).probability[1].item() for x, _ in bags]
    return float(roc_auc_score([label for _, label in bags], scores))


def measure(draw: Draw, selection: str, seed: int) -> tuple[float, float]:
    """Return the AUC on bags like the training's and on the unit test's."""
    model = trained(selection, bags_of(draw, 400, 100 + seed, unit_test=False), seed)
    return (
        auc(model, bags_of(draw, 200, 200 + seed, unit_test=False)),
        auc(model, bags_of(draw, 200, 300 + seed, unit_test=True)),
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("draw", "selection", "alike", "unit_test"),
    [
        (single_concept, "afs", (0.97, 1.0), (0.0, 0.3)),
        (single_concept, "maxmins", (0.97, 1.0), (0.0, 0.3)),
        (multi_concept, "afs", (0.97, 1.0), (0.5, 0.98)),
        (multi_concept, "maxmins", (0.97, 1.0), (0.0, 0.3)),
        (false_frequency, "afs", (0.5, 0.9), (0.0, 0.85)),
        (false_frequency, "maxmins", (0.5, 0.9), (0.0, 0.85)),
    ],
)
def test_answers_to_the_mil_unit_tests_are_as_recorded(
    draw, selection, alike, unit_test
):
    """Both AUCs lie in their bands; SC stays a recorded failure until it is mended."""
    in_distribution, on_unit_test = measure(draw, selection, seed=0)
    assert alike[0] <= in_distribution <= alike[1]
    assert unit_test[0] <= on_unit_test <= unit_test[1]
