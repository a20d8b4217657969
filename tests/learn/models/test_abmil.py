"""Attention-based MIL is Ilse et al.'s formulas, plain and gated."""

import math

import pytest
import torch

from coverslip.learn.models.abmil import ABMIL, GatedABMIL
from coverslip.learn.models.one_tier_options import ABMILOptions
from loops import D, bag, cross_entropy, grown, linear, near, reduced, softmax

KINDS = [ABMIL, GatedABMIL]


def scored(model, h) -> float:
    """Return the raw attention score of one patch, written out."""
    parts = model.attention
    inner = [math.tanh(v) for v in linear(parts.tanh, h)]
    if isinstance(model, GatedABMIL):
        gates = [1 / (1 + math.exp(-u)) for u in linear(parts.gate, h)]
        inner = [v * u for v, u in zip(inner, gates, strict=True)]
    return linear(parts.score, inner)[0]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("n", "n_classes"), [(1, 2), (9, 2), (9, 3)])
def test_it_is_a_plain_loop(kind, n, n_classes):
    """Logits, loss, attention and patches as written out."""
    options = ABMILOptions(dim=8, residual_blocks=1, attention_dim=5)
    model = grown(kind(D, n_classes, options, seed=3))
    x, layer = bag(n), model.classifier.linear
    h = reduced(model, x)
    alpha = softmax([scored(model, row) for row in h])
    f = sum(a * row for a, row in zip(alpha, h, strict=True))
    said = model.assess(x, [0])
    near(said.logits, [linear(layer, f)])
    near(said.attention, alpha)
    near(said.patch_probabilities, [softmax(linear(layer, row)) for row in h])
    losses = model.bag_losses(x, 1, torch.Generator())
    assert list(losses) == ["bag"]
    near(losses["bag"], cross_entropy(linear(layer, f), 1))


@pytest.mark.parametrize("kind", KINDS)
def test_softmax_of_two_classes_is_the_bernoulli_head(kind):
    """Probability and loss are those of one sigmoid over the difference of weights."""
    model = grown(kind(D, 2, ABMILOptions(dim=8, attention_dim=5), seed=2))
    x, layer = bag(9), model.classifier.linear
    said = model.assess(x, [0])
    f = said.attention @ model.reduce(x)
    odds = (layer.weight[1] - layer.weight[0]) @ f + layer.bias[1] - layer.bias[0]
    torch.testing.assert_close(said.probability[1], odds.sigmoid())
    for label in (0, 1):
        loss = model.bag_losses(x, label, torch.Generator())["bag"]
        bernoulli = torch.nn.functional.binary_cross_entropy_with_logits(
            odds, torch.tensor(float(label))
        )
        torch.testing.assert_close(loss, bernoulli)
