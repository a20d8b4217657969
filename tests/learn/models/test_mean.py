"""The mean embedding is the formula, and the mean of what its patches say."""

import numpy as np
import pytest
import torch

from coverslip.learn.models.mean import Mean
from coverslip.learn.models.one_tier_options import MeanOptions
from loops import D, bag, cross_entropy, grown, linear, near, reduced, softmax


@pytest.mark.parametrize(("n", "n_classes"), [(1, 2), (9, 2), (9, 3)])
def test_it_is_a_plain_loop(n, n_classes):
    """Logits, loss, attention and patches as written out."""
    model = grown(Mean(D, n_classes, MeanOptions(dim=8, residual_blocks=1), seed=3))
    x, layer = bag(n), model.classifier.linear
    h = reduced(model, x)
    o = linear(layer, sum(h) / n)
    said = model.assess(x, [0])
    near(said.logits, [o])
    near(said.attention, [1 / n] * n)
    near(said.patch_probabilities, [softmax(linear(layer, row)) for row in h])
    losses = model.bag_losses(x, 1, torch.Generator())
    assert list(losses) == ["bag"]
    near(losses["bag"], cross_entropy(o, 1))


def test_the_slide_is_the_mean_of_its_patches_logits():
    """The classifier is linear, so pooling before or after it is the same."""
    model = grown(Mean(D, 3, MeanOptions(dim=8), seed=1))
    x = bag(7)
    each = [model.assess(row[None], [0]).logits[0].detach().numpy() for row in x]
    near(model.assess(x, [0]).logits[0], np.mean(each, axis=0))
