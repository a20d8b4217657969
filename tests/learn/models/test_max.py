"""The max embedding is the formula; attention counts who supplies the maxima."""

import pytest
import torch

from coverslip.learn.models.max import Max
from coverslip.learn.models.one_tier_options import MaxOptions
from loops import D, bag, cross_entropy, grown, linear, near, reduced, softmax


@pytest.mark.parametrize(("n", "n_classes"), [(1, 2), (9, 2), (9, 3)])
def test_it_is_a_plain_loop(n, n_classes):
    """Logits, loss, attention and patches as written out."""
    model = grown(Max(D, n_classes, MaxOptions(dim=8, residual_blocks=1), seed=3))
    x, layer = bag(n), model.classifier.linear
    h = reduced(model, x)
    f = [max(row[d] for row in h) for d in range(8)]
    share = [0.0] * n
    for d in range(8):
        best = [j for j in range(n) if h[j][d] == f[d]]
        for j in best:
            share[j] += 1 / len(best) / 8
    said = model.assess(x, [0])
    near(said.logits, [linear(layer, f)])
    near(said.attention, share)
    near(said.patch_probabilities, [softmax(linear(layer, row)) for row in h])
    losses = model.bag_losses(x, 1, torch.Generator())
    assert list(losses) == ["bag"]
    near(losses["bag"], cross_entropy(linear(layer, f), 1))


def test_how_often_a_patch_occurs_does_not_matter():
    """A maximum does not count: doubled patches only share their attention."""
    model = grown(Max(D, 2, MaxOptions(dim=8), seed=1))
    h = model.reduce(bag(5))
    once, twice = model.read(h), model.read(torch.cat([h, h]))
    torch.testing.assert_close(once.logits, twice.logits)
    torch.testing.assert_close(once.attention, 2 * twice.attention[:5])
