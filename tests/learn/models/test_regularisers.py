"""STKIM hides some of the highest scores, AEM is an entropy, diversity a cosine."""

import math

import pytest
import torch

from coverslip.learn.models.regularisers import aem, diversity, stkim


def seeded(seed: int) -> torch.Generator:
    """Return a CPU generator of that seed."""
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(
    ("n", "k", "share", "hidden"),
    [
        (30, 10, 0.6, 6),
        (7, 10, 0.6, 4),
        (1, 10, 0.6, 0),
        (9, 3, 0.99, 2),
        (9, 0, 0.6, 0),
    ],
)
def test_stkim_hides_that_many_of_the_highest_and_no_other(n, k, share, hidden):
    """Of each row, int(share * min(k, n)) among the k highest; the rest is untouched."""
    e = torch.randn(4, n, generator=seeded(0))
    masked = stkim(e, k, share, seeded(1))
    for before, after in zip(e, masked, strict=True):
        gone = after.isinf()
        assert int(gone.sum()) == hidden
        assert torch.equal(after[~gone], before[~gone])
        highest = set(before.argsort(descending=True)[:k].tolist())
        assert set(gone.nonzero().flatten().tolist()) <= highest
    assert masked.softmax(dim=1).isfinite().all()


def test_stkim_draws_from_its_generator_only():
    """The same seed hides the same, another hides others, each row on its own."""
    e = torch.arange(20.0).repeat(3, 1)
    torch.manual_seed(0)
    one = stkim(e, 10, 0.5, seeded(1))
    torch.manual_seed(1)
    assert torch.equal(one, stkim(e, 10, 0.5, seeded(1)))
    assert not torch.equal(one, stkim(e, 10, 0.5, seeded(2)))
    assert not torch.equal(one[0], one[1])


def test_every_highest_patch_is_hidden_about_as_often():
    """Over many draws each of the four highest is hidden half of the time."""
    e = torch.arange(8.0)[None]
    chance = seeded(0)
    gone = torch.stack([stkim(e, 4, 0.5, chance)[0].isinf() for _ in range(800)])
    share = gone.float().mean(dim=0)
    assert share[:4].tolist() == [0, 0, 0, 0]
    assert all(0.4 < value < 0.6 for value in share[4:].tolist())


def test_aem_is_the_negative_entropy_of_each_row():
    """-log n where flat, 0 where one patch has all; rows are averaged."""
    flat, single = torch.full((8,), 1 / 8), torch.eye(8)[0]
    assert float(aem(flat[None])) == pytest.approx(-math.log(8))
    assert float(aem(single[None])) == 0
    both = torch.stack([flat, single])
    assert float(aem(both)) == pytest.approx(-math.log(8) / 2)


def test_aem_flattens_and_its_gradient_survives_hidden_patches():
    """Descending it raises the entropy; weights of exactly zero give no NaN."""
    e = torch.tensor([[3.0, 0.0, 1.0, -torch.inf]], requires_grad=True)
    before = aem(e.softmax(dim=1))
    (slope,) = torch.autograd.grad(before, e)
    assert slope.isfinite().all()
    assert aem((e - 0.1 * slope).softmax(dim=1)) < before


def test_diversity_is_the_mean_cosine_of_two_branches():
    """Zero without a common patch, one where alike, and a value worked out by hand."""
    apart = torch.eye(3)
    alike = torch.tensor([[0.2, 0.8]]).repeat(4, 1)
    assert float(diversity(apart)) == 0
    assert float(diversity(alike)) == pytest.approx(1)
    three = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]])
    assert float(diversity(three)) == pytest.approx((0 + 2 / math.sqrt(2)) / 3)
