"""An ensemble is the mean of its members, and a model like any other."""

import pytest
import torch

from coverslip.learn.models.ensemble import Ensemble
from coverslip.learn.models.zoo import build, entry

PARTITIONS = [0, 1, 2]


def members(name="dmia", count=3):
    """Return models that differ by their seed and by how they standardise."""
    options = entry("dmia").options(dim=8, n_pseudo_bags=2) if name == "dmia" else None
    made = [build(name, 5, 2, options, seed=seed) for seed in range(count)]
    for number, model in enumerate(made):
        model.standardise.set(torch.full((5,), 0.3 * number), torch.full((5,), 1.5))
    return made


@pytest.fixture
def bag():
    """Return features of eleven patches."""
    return torch.randn(11, 5, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", ["dmia", "mean"])
def test_its_word_is_the_mean_of_its_members(bag, name):
    """Probabilities, attention and the patches' probabilities are plain means."""
    single = members(name)
    whole = Ensemble(single).predict(bag, PARTITIONS)
    each = [model.predict(bag, PARTITIONS) for model in single]
    for field in ("probability", "attention", "patch_probabilities"):
        mean = torch.stack([getattr(one, field) for one in each]).mean(0)
        torch.testing.assert_close(getattr(whole, field), mean)
    assert whole.attention.sum().item() == pytest.approx(1)
    assert not torch.equal(each[0].probability, each[1].probability)


def test_its_spread_is_over_members_and_partitions(bag):
    """Every member's every partition is a row of its own."""
    single = members()
    rows = Ensemble(single).predict(bag, PARTITIONS).probabilities
    each = [model.predict(bag, PARTITIONS).probabilities for model in single]
    assert torch.equal(rows, torch.cat(each))
    assert len(rows) == 9


def test_an_ensemble_of_one_is_that_model(bag):
    """Nothing is added: not another scale, not another order."""
    (model,) = members(count=1)
    assert torch.equal(
        Ensemble([model]).predict(bag, PARTITIONS).logits,
        model.predict(bag, PARTITIONS).logits,
    )


def test_it_cannot_be_trained(bag):
    """Members are trained before; there is nothing to optimise."""
    ensemble = Ensemble(members())
    assert ensemble.optimised() == {}
    with pytest.raises(TypeError, match="train its members"):
        ensemble.losses(bag, 1, torch.Generator())
