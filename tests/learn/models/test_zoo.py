"""Models are built by name, from a seed, with their own options only."""

import pytest
import torch

from coverslip.errors import OptionError
from coverslip.learn.models.dmia import PRESETS, DMIAOptions
from coverslip.learn.models.zoo import MODELS, build
from coverslip.options import Options


def test_build_passes_everything_on():
    """Name, sizes, options and seed arrive in the model."""
    options = DMIAOptions(dim=8, attention="tanh")
    model = build("dmia", 5, 3, options, seed=4)
    assert (model.in_dim, model.n_classes, model.options) == (5, 3, options)
    same = build("dmia", 5, 3, options, seed=4).state_dict()
    other = build("dmia", 5, 3, options, seed=5).state_dict()
    state = model.state_dict()
    assert all(torch.equal(state[name], same[name]) for name in state)
    assert any(not torch.equal(state[name], other[name]) for name in state)


@pytest.mark.parametrize("name", MODELS)
def test_every_model_has_defaults_and_keeps_the_protocol(name):
    """Each parameter is in exactly one optimised module; losses reach all of them."""
    model = build(name, 5, 2)
    listed = [
        id(p)
        for modules in model.optimised().values()
        for module in modules
        for p in module.parameters()
    ]
    assert sorted(listed) == sorted(id(p) for p in model.parameters())
    generator = torch.Generator().manual_seed(0)
    losses = model.losses(torch.randn(6, 5, generator=generator), 1, generator)
    sum(losses.values()).backward()
    assert all(p.grad is not None for p in model.parameters())


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_train_every_parameter(preset):
    """No preset has weights that no loss reaches."""
    model = build("dmia", 5, 2, PRESETS[preset])
    generator = torch.Generator().manual_seed(0)
    losses = model.losses(torch.randn(6, 5, generator=generator), 1, generator)
    sum(losses.values()).backward()
    assert all(p.grad is not None for p in model.parameters())


def test_a_wrong_name_lists_the_right_ones():
    """The message is the remedy."""
    with pytest.raises(OptionError, match="'dima' is unknown: choose from dmia"):
        build("dima", 5, 2)


def test_options_of_another_model_are_refused():
    """Options belong to their model."""
    with pytest.raises(OptionError, match="takes DMIAOptions, not Options"):
        build("dmia", 5, 2, Options())


def test_one_class_is_refused():
    """A classifier needs two."""
    with pytest.raises(OptionError, match="n_classes=1"):
        build("dmia", 5, 1)
