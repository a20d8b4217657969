"""The monotone head keeps the multiple-instance assumption, whatever its weights."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from coverslip.errors import OptionError
from coverslip.learn.models.monotone import Monotone
from coverslip.learn.models.one_tier_options import MonotoneOptions
from loops import D, bag, cross_entropy, grown, linear, near, reduced, softmax

POOLS = ["logsumexp", "max"]


def small(pool: str, seed: int = 3, **options: float) -> Monotone:
    """Return a small model."""
    options = MonotoneOptions(dim=8, residual_blocks=1, pool=pool, **options)
    return grown(Monotone(D, 2, options, seed))


def log_odds(model: Monotone, x: torch.Tensor) -> float:
    """Return the log odds of a slide."""
    negative, positive = model.assess(x, [0]).logits[0].tolist()
    return positive - negative


@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize("n", [1, 9])
def test_it_is_a_plain_loop(pool, n):
    """Logits, loss, attention and patches as written out."""
    model, x = small(pool, tau=0.7), bag(n)
    z = [linear(model.classifier.linear, row) for row in reduced(model, x)]
    s = [one[1] - one[0] for one in z]
    top = max(s)
    pooled = 0.7 * math.log(sum(math.exp((v - top) / 0.7) for v in s))
    o = [0.0, top + (pooled if pool == "logsumexp" else 0)]
    said = model.assess(x, [0])
    near(said.logits, [o])
    near(said.attention, softmax([v / 0.7 for v in s]))
    near(said.patch_probabilities, [softmax(one) for one in z])
    losses = model.bag_losses(x, 1, torch.Generator())
    assert list(losses) == ["bag"]
    near(losses["bag"], cross_entropy(o, 1))


@pytest.mark.parametrize("pool", POOLS)
@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(1, 12),
    more=st.integers(1, 12),
    scale=st.floats(0, 50),
    tau=st.sampled_from([0.1, 1.0, 5.0]),
    seed=st.integers(0, 1000),
)
def test_no_patch_that_is_added_lowers_the_score(pool, n, more, scale, tau, seed):
    """Any patches, any weights: the larger slide is at least as positive."""
    model = small(pool, seed, tau=tau).double()
    x = bag(n, seed).double()
    added = torch.cat([x, scale * bag(more, seed + 1).double()])
    assert log_odds(model, added) >= log_odds(model, x) - 1e-9


@pytest.mark.parametrize("pool", POOLS)
def test_no_patch_that_grows_more_positive_lowers_the_score(pool):
    """The score rises with the evidence of each patch."""
    model = small(pool)
    s = torch.randn(9, generator=torch.Generator().manual_seed(0), requires_grad=True)
    (slope,) = torch.autograd.grad(model.pool(s), s)
    assert (slope >= 0).all()
    torch.testing.assert_close(slope.sum(), torch.tensor(1.0))


def test_max_does_not_count():
    """The same patches again change nothing."""
    model, x = small("max").double(), bag(9).double()
    assert log_odds(model, torch.cat([x, x])) == pytest.approx(log_odds(model, x))


def test_logsumexp_adds_odds():
    """With tau 1 the odds of two halves make the odds of the whole."""
    model, x = small("logsumexp").double(), bag(9).double()
    parts = math.exp(log_odds(model, x[:4])) + math.exp(log_odds(model, x[4:]))
    assert math.exp(log_odds(model, x)) == pytest.approx(parts)


def test_logsumexp_nears_max_as_tau_falls():
    """Within tau log n of it."""
    x = bag(9).double()
    sharp = small("logsumexp", tau=1e-3, expected_patches=1).double()
    assert log_odds(sharp, x) == pytest.approx(
        log_odds(small("max").double(), x), abs=1e-3 * math.log(9) + 1e-9
    )


def test_negative_patches_only_make_a_negative_slide_under_max():
    """No number of them adds up to a positive one."""
    model, x = small("max"), bag(300)
    negative = x[model.predict(x, [0]).patch_probabilities[:, 1] < 0.5]
    assert len(negative) > 20
    assert model.predict(negative, [0]).probability[1] < 0.5


@pytest.mark.parametrize("pool", POOLS)
def test_a_patch_alone_is_a_slide(pool):
    """What is said of a patch is what would be said of a slide that has only it."""
    model, x = small(pool, tau=0.4), bag(6)
    each = model.assess(x, [0]).patch_probabilities
    for row, said in zip(x, each, strict=True):
        torch.testing.assert_close(model.assess(row[None], [0]).probability, said)


def test_logsumexp_starts_undecided_about_a_slide_of_the_expected_size():
    """So many patches that say nothing have the log odds that one has under max."""
    options = MonotoneOptions(dim=8, tau=2.0, expected_patches=400)
    one = Monotone(D, 2, MonotoneOptions(dim=8, pool="max"))
    many = log_odds(Monotone(D, 2, options), torch.zeros(400, D))
    assert many == pytest.approx(log_odds(one, torch.zeros(1, D)), abs=1e-4)


def test_more_than_two_classes_are_refused():
    """The message names another model."""
    with pytest.raises(OptionError, match=r"n_classes=3.*instance_max"):
        Monotone(D, 3)
