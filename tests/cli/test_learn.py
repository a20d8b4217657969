"""Which model is trained, under which name, with which options."""

import click
import pytest

from coverslip.cli import cli
from coverslip.cli.learn import options_from, plan_from, train
from coverslip.errors import OptionError
from coverslip.learn.models.zoo import MODELS


def given(*words):
    """Return what click makes of the words after `train STUDY`."""
    # as under `coverslip`: click keeps a command's help option from its first context
    above = click.Context(cli, info_name="coverslip", **cli.context_settings)
    return train.make_context("train", ["study", *words], parent=above).params


def test_help_lists_every_model():
    """Those of the zoo, and no others."""
    (option,) = [p for p in train.params if p.name == "model"]
    assert option.help.removeprefix("Model to train: ").rstrip(".").split(", ") == list(
        MODELS
    )


@pytest.mark.parametrize("name", MODELS)
def test_any_model_of_the_zoo_can_be_asked_for(name):
    """With its own options, and the run is named after it."""
    params = given("--model", name)
    options, plan = options_from(params), plan_from(params)
    assert options.model == name
    assert isinstance(options.of_model(), MODELS[name].options)
    assert plan.name is None


def test_options_reach_the_model_that_is_asked_for():
    """--set values are JSON where they can be."""
    options = options_from(given("--model", "dmia", "--set", "k=3", "--set", "tau=2"))
    assert (options.of_model().k, options.of_model().tau) == (3, 2.0)


def test_an_option_of_another_model_is_refused():
    """What the model takes instead is listed."""
    with pytest.raises(OptionError, match="tau is not an option of mean, which takes"):
        options_from(given("--model", "mean", "--set", "tau=2"))


def test_a_preset_changes_the_defaults_and_can_be_changed():
    """The seed's budget, with another rate."""
    options = options_from(given("--preset", "paper", "--lr", "0.01"))
    assert (options.training.epochs, options.training.lr) == (200, 0.01)


def test_a_preset_is_for_its_own_model():
    """With another model it is refused, and not given it is not in the way."""
    with pytest.raises(OptionError, match="--preset paper is one of dmia's: leave it"):
        options_from(given("--preset", "paper", "--model", "mean"))


def test_folds_repeats_and_seeds_reach_the_plan():
    """As numbers; one split and one model when not given."""
    plan = plan_from(given("--folds", "5", "--repeats", "3", "--seeds", "2"))
    assert (plan.folds, plan.repeats, plan.seeds) == (5, 3, 2)
    plain = plan_from(given())
    assert (plain.folds, plain.repeats, plain.seeds) == (0, 1, 1)
