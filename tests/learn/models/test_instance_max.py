"""Instance max: the slide is its most positive patch, to the letter."""

import numpy as np
import pytest
import torch

from coverslip.learn.models.instance_max import InstanceMax
from coverslip.learn.models.one_tier_options import InstanceMaxOptions
from loops import D, bag, cross_entropy, grown, linear, near, reduced, softmax


def small(n_classes: int = 2) -> InstanceMax:
    """Return a small model."""
    options = InstanceMaxOptions(dim=8, residual_blocks=1)
    return grown(InstanceMax(D, n_classes, options, seed=3))


@pytest.mark.parametrize("n", [1, 9])
def test_two_classes_are_a_plain_loop(n):
    """Logits of the patch with the largest margin; attention by margin."""
    model, x = small(), bag(n)
    z = [linear(model.classifier.linear, row) for row in reduced(model, x)]
    margins = [one[1] - one[0] for one in z]
    o = z[int(np.argmax(margins))]
    said = model.assess(x, [0])
    near(said.logits, [o])
    near(said.attention, softmax(margins))
    near(said.patch_probabilities, [softmax(one) for one in z])
    losses = model.bag_losses(x, 0, torch.Generator())
    assert list(losses) == ["bag"]
    near(losses["bag"], cross_entropy(o, 0))


def test_more_classes_are_a_plain_loop():
    """Each class has its own maximum; attention is for the class predicted."""
    model, x = small(4), bag(9)
    z = [linear(model.classifier.linear, row) for row in reduced(model, x)]
    o = [max(one[c] for one in z) for c in range(4)]
    c = int(np.argmax(o))
    odds = [np.log(softmax(one)[c] / (1 - softmax(one)[c])) for one in z]
    said = model.assess(x, [0])
    near(said.logits, [o])
    near(said.attention, softmax(odds))
    near(said.patch_probabilities, [softmax(one) for one in z])


def test_a_slide_is_as_positive_as_its_most_positive_patch():
    """Equal probabilities, and the top of the map is that patch."""
    model, x = small(), bag(20)
    said = model.predict(x, [0])
    positive = said.patch_probabilities[:, 1]
    torch.testing.assert_close(said.probability[1], positive.max())
    assert said.attention.argsort().tolist() == positive.argsort().tolist()


def test_only_the_decisive_patch_is_taught():
    """No other patch has a gradient."""
    model, x = small(), bag(9)
    x.requires_grad_()
    decisive = model.assess(x, [0]).patch_probabilities[:, 1].argmax()
    model.bag_losses(x, 1, torch.Generator())["bag"].backward()
    assert x.grad.abs().sum(1).nonzero()[:, 0].tolist() == [decisive]
