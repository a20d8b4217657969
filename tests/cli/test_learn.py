"""Which model is trained, under which name, with which options."""

from pathlib import Path

import click
import pytest

from coverslip.cli import cli
from coverslip.cli.learn import each_from, plan_from, train
from coverslip.cli.whole import run
from coverslip.errors import OptionError
from coverslip.learn.models.zoo import MODELS


def given(*words):
    """Return what click makes of the words after `train STUDY`."""
    # as under `coverslip`: click keeps a command's help option from its first context
    above = click.Context(cli, info_name="coverslip", **cli.context_settings)
    return train.make_context("train", ["study", *words], parent=above).params


def options_of(*words):
    """Return the options of the one model that these words ask for."""
    (options,) = each_from(given(*words))
    return options


def plan_of(*words):
    """Return the plan that these words make."""
    return plan_from(Path("study"), given(*words))


def test_help_lists_every_model():
    """Those of the zoo, and no others."""
    for command, name in ((train, "models"), (run, "model")):
        (option,) = [p for p in command.params if p.name == name]
        listed = option.help.rpartition(": ")[2].rstrip(".").split(", ")
        assert listed == list(MODELS)


@pytest.mark.parametrize("name", MODELS)
def test_any_model_of_the_zoo_can_be_asked_for(name):
    """With its own options, and the run is named after it."""
    options, plan = options_of("--model", name), plan_of("--model", name)
    assert options.model == name
    assert isinstance(options.of_model(), MODELS[name].options)
    assert plan.name is None


def test_options_reach_the_model_that_is_asked_for():
    """--set values are JSON where they can be."""
    options = options_of("--model", "dmia", "--set", "k=3", "--set", "tau=2")
    assert (options.of_model().k, options.of_model().tau) == (3, 2.0)


def test_an_option_of_another_model_is_refused():
    """What the model takes instead is listed."""
    with pytest.raises(OptionError, match="tau is not an option of mean, which takes"):
        options_of("--model", "mean", "--set", "tau=2")


def test_a_preset_changes_the_defaults_and_can_be_changed():
    """The seed's budget, with another rate."""
    options = options_of("--preset", "paper", "--lr", "0.01")
    assert (options.training.epochs, options.training.lr) == (200, 0.01)


def test_a_preset_is_for_its_own_model():
    """With another model it is refused, and not given it is not in the way."""
    with pytest.raises(OptionError, match="--preset paper is one of dmia's: leave it"):
        options_of("--preset", "paper", "--model", "mean")


def test_folds_repeats_and_seeds_reach_the_plan():
    """As numbers; one split and one model when not given."""
    plan = plan_of("--folds", "5", "--repeats", "3", "--seeds", "2")
    assert (plan.folds, plan.repeats, plan.seeds) == (5, 3, 2)
    plain = plan_of()
    assert (plain.folds, plain.repeats, plain.seeds) == (0, 1, 1)


def test_several_models_are_asked_for_at_once():
    """Each with its defaults and the training's options; what is one model's is not."""
    words = ("--model", "mean", "--model", "abmil", "--lr", "0.01")
    both = each_from(given(*words))
    assert [options.model for options in both] == ["mean", "abmil"]
    assert [options.training.lr for options in both] == [0.01, 0.01]
    for more in (("--set", "dim=8"), ("--name", "x")):
        with pytest.raises(OptionError, match=f"{more[0]} is for one model"):
            each_from(given(*words, *more))
    with pytest.raises(OptionError, match="--preset paper is one of dmia's"):
        each_from(given(*words, "--preset", "paper"))
