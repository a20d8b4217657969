"""ACMIL is Zhang et al.'s formulas, written out patch by patch."""

import math
from typing import Any

import numpy as np
import pytest
import torch

from coverslip.errors import OptionError
from coverslip.learn.models.acmil import ACMIL
from coverslip.learn.models.one_tier_options import ACMILOptions
from coverslip.learn.models.regularisers import stkim
from loops import D, bag, cross_entropy, grown, linear, near, reduced, softmax

SMALL: dict[str, Any] = {"dim": 8, "attention_dim": 5, "branches": 3}


def seeded(seed: int) -> torch.Generator:
    """Return a CPU generator of that seed."""
    return torch.Generator().manual_seed(seed)


def model_of(n_classes: int = 2, **options: object) -> ACMIL:
    """Return a small model."""
    return grown(ACMIL(D, n_classes, ACMILOptions(**{**SMALL, **options}), seed=3))


def scores_of(model, h) -> np.ndarray:
    """Return the branches' raw scores (K, n)."""
    parts, e = model.attention, []
    for row in h:
        v = np.array([math.tanh(value) for value in linear(parts.tanh, row)])
        u = np.array([1 / (1 + math.exp(-value)) for value in linear(parts.gate, row)])
        e.append(linear(parts.score, v * u))
    return np.array(e).T


@pytest.mark.parametrize(("n", "n_classes"), [(1, 2), (2, 2), (17, 2), (17, 3)])
def test_a_prediction_is_the_mean_of_the_branches(n, n_classes):
    """Nothing is hidden; the slide's classifier reads the mean attention's feature."""
    model, x = model_of(n_classes), bag(n)
    h = reduced(model, x)
    mean = np.mean([softmax(row) for row in scores_of(model, h)], axis=0)
    f = sum(a * row for a, row in zip(mean, h, strict=True))
    layer = model.classifier.linear
    said = model.predict(x, [0, 1], torch.arange(2 * n).reshape(n, 2))
    near(said.logits, [linear(layer, f)])
    near(said.attention, mean)
    near(said.patch_probabilities, [softmax(linear(layer, row)) for row in h])


@pytest.mark.parametrize("n", [2, 17])
def test_losses_are_the_papers(n):
    """Slide, mean of branches, mean cosine of pairs, entropy; under one mask."""
    model, x = model_of(masked_patches=4, mask_share=0.5, aem=0.25), bag(n)
    h = reduced(model, x)
    e = stkim(torch.tensor(scores_of(model, h)), 4, 0.5, seeded(5)).numpy()
    assert int(np.isinf(e).sum()) == 3 * (min(4, n) // 2)
    rows = [softmax(row) for row in e]
    mean = np.mean(rows, axis=0)
    branch = [
        cross_entropy(linear(model.branches[k].linear, row @ h), 1)
        for k, row in enumerate(rows)
    ]
    cosines = [
        rows[k] @ rows[m] / math.sqrt(rows[k] @ rows[k] * (rows[m] @ rows[m]))
        for k, m in [(0, 1), (0, 2), (1, 2)]
    ]
    entropies = [-sum(a * math.log(a) for a in row if a > 0) for row in rows]
    losses = model.bag_losses(x, 1, seeded(5))
    assert list(losses) == ["bag", "branches", "diversity", "aem"]
    near(losses["bag"], cross_entropy(linear(model.classifier.linear, mean @ h), 1))
    near(losses["branches"], np.mean(branch))
    near(losses["diversity"], np.mean(cosines))
    near(losses["aem"], -0.25 * np.mean(entropies))


def test_masking_follows_the_generator_and_can_be_turned_off():
    """Two seeds give two losses; without masked patches they are one."""
    x = bag(17)
    model, plain = model_of(), model_of(masked_patches=0)
    one, two, again = (model.bag_losses(x, 1, seeded(s))["bag"] for s in (0, 1, 0))
    assert one == again != two
    assert plain.bag_losses(x, 1, seeded(0)) == plain.bag_losses(x, 1, seeded(1))


@pytest.mark.parametrize("wrong", [{"branches": 1}, {"mask_share": 1.0}])
def test_one_branch_or_a_mask_of_everything_is_refused(wrong):
    """One branch has no diversity; with all patches hidden nothing is left."""
    with pytest.raises(OptionError, match=next(iter(wrong))):
        ACMILOptions(**wrong)
