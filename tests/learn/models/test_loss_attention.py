"""Loss-based attention is Shi et al.'s equations 5 and 6."""

import math

import pytest
import torch

from coverslip.learn.models.dmia import DMIA
from coverslip.learn.models.dmia_options import PAPER
from coverslip.learn.models.loss_attention import LossAttention
from coverslip.learn.models.one_tier_options import LossAttentionOptions
from coverslip.learn.models.pseudobags import whole
from loops import D, bag, cross_entropy, grown, linear, near, reduced, softmax


def small(n_classes: int = 2, **options: float) -> LossAttention:
    """Return a small model."""
    options = LossAttentionOptions(dim=8, residual_blocks=1, **options)
    return grown(LossAttention(D, n_classes, options, seed=3))


@pytest.mark.parametrize(("n", "n_classes"), [(1, 2), (9, 2), (9, 4)])
def test_it_is_a_plain_loop(n, n_classes):
    """Logits, both losses, attention and patches as written out."""
    model, x = small(n_classes, instance_loss=0.3), bag(n)
    layer = model.classifier.linear
    h = reduced(model, x)
    z = [linear(layer, row) for row in h]
    raised = [sum(math.exp(v) for v in one) for one in z]
    alpha = [r / sum(raised) for r in raised]
    o = linear(layer, sum(a * row for a, row in zip(alpha, h, strict=True)))
    said = model.assess(x, [0])
    near(said.logits, [o])
    near(said.attention, alpha)
    near(said.patch_probabilities, [softmax(one) for one in z])
    losses = model.bag_losses(x, 1, torch.Generator())
    assert list(losses) == ["bag", "instance"]
    near(losses["bag"], cross_entropy(o, 1))
    each = [a * cross_entropy(one, 1) for a, one in zip(alpha, z, strict=True)]
    near(losses["instance"], 0.3 * sum(each))


def test_without_lambda_there_is_no_instance_loss():
    """Its name does not appear in the log."""
    losses = small(instance_loss=0).bag_losses(bag(5), 0, torch.Generator())
    assert list(losses) == ["bag"]


def test_it_is_dmias_first_tier_over_the_whole_slide():
    """Same weights, one pseudo-bag: same losses and attention."""
    model, x = small(instance_loss=0.2), bag(9)
    options = PAPER.replace(
        dim=8, residual_blocks=1, n_pseudo_bags=1, instance_loss=0.2
    )
    two_tiers = DMIA(D, 2, options)
    two_tiers.load_state_dict(model.state_dict(), strict=False)
    mine = model.bag_losses(x, 1, torch.Generator())
    first = two_tiers.tier1(two_tiers.reduce(x), whole([9]))
    near(mine["bag"], cross_entropy(first.s[0].tolist(), 1))
    torch.testing.assert_close(model.assess(x, [0]).attention, first.alpha[0])
