"""A run folder: trained once, taken up again to the same bytes, guarded by its options."""

import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest

from coverslip.errors import (
    DataError,
    LabelError,
    OptionError,
    ParametersDifferError,
)
from coverslip.learn.checkpoint import load_model
from coverslip.learn.labels import read_labels
from coverslip.learn.models import dmia
from coverslip.learn.prediction import predict_bag
from coverslip.learn.splits import SplitOptions
from coverslip.learn.training import one_vs_rest_auc
from coverslip.pipeline.cohort import choose_split, open_cohort
from coverslip.pipeline.learn.learn_options import PRESETS, LearnOptions
from coverslip.pipeline.learn.learning import train_model
from coverslip.tables import read_csv
from coverslip.testing import toy_cohort
from studies import files

OPTIONS = LearnOptions(
    training={"epochs": 3, "lr": 1e-3, "device": "cpu"},
    model_options={"dim": 32, "dropout": 0.25, "selection": "maxmins"},
)


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    """Return an opened toy cohort and its split."""
    made = toy_cohort(tmp_path_factory.mktemp("toy"), slides=24, patches=30)
    cohort = open_cohort(made.features, read_labels(made.labels))
    return cohort, choose_split(cohort.rows, SplitOptions())


@pytest.fixture(scope="module")
def straight(toy, tmp_path_factory):
    """Return the folder of a training that nobody interrupted."""
    folder = tmp_path_factory.mktemp("straight") / "run"
    train_model(*toy, folder, OPTIONS, quiet=True)
    return folder


@pytest.mark.parametrize(("preset", "epochs"), [("dmia_l2", 8), ("dmia", 30)])
def test_the_toy_cohort_is_learned(toy, tmp_path, preset, epochs):
    """At a larger rate AUC 1 on the test slides; the defaults need their warm-up."""
    cohort, split = toy
    training = {"epochs": epochs, "lr": 1e-3}
    options = LearnOptions.preset(preset, training=training)
    model, card = load_model(train_model(cohort, split, tmp_path, options, quiet=True))
    test = cohort.part(split, "test")
    said = [predict_bag(model, item.bag, card.partitions) for item in test]
    labels = [item.label for item in test]
    chances = np.stack([p.probabilities for p in said])
    assert one_vs_rest_auc(np.array(labels), chances) == 1.0
    called = [p.decide(card.classes, card.threshold) for p in said]
    assert called == [card.classes[label] for label in labels]


def test_the_run_folder_says_how_it_was_made(toy, straight):
    """Options, split, log and card are there, and no state is left over."""
    _, split = toy
    assert set(files(straight)) == {
        "config.json",
        "figures/training.png",
        "log.csv",
        "model.json",
        "model.safetensors",
        "splits.csv",
    }
    config = json.loads((straight / "config.json").read_text())
    assert config["made_with"]["split"] == split
    assert config["made_with"]["options"]["training"]["lr"] == 1e-3
    log = read_csv(straight / "log.csv")
    assert [row["epoch"] for row in log] == ["1", "2", "3"]
    assert all(math.isfinite(float(cell)) for row in log for cell in row.values())
    card = json.loads((straight / "model.json").read_text())
    best = card["training"]["best_epoch"]
    assert float(log[best - 1]["val_auc"]) == card["training"]["val_auc"]
    assert card["training"]["val_auc"] == max(float(row["val_auc"]) for row in log)
    slides = {name: list(split.values()).count(name) for name in ("train", "val")}
    assert card["training"]["slides"] == slides


@pytest.mark.parametrize("moment", range(1, 12))
def test_stopped_at_any_file_it_ends_in_the_same_bytes(
    toy, straight, tmp_path, monkeypatch, moment
):
    """Whichever file was being moved into place: the same log, model and card."""
    moved, replace = [], Path.replace

    def stopping(self, path):
        moved.append(path)
        if len(moved) == moment:
            raise KeyboardInterrupt
        return replace(self, path)

    monkeypatch.setattr(Path, "replace", stopping)
    with pytest.raises(KeyboardInterrupt):
        train_model(*toy, tmp_path, OPTIONS, quiet=True)
    assert not (tmp_path / "model.safetensors").exists()
    monkeypatch.undo()
    train_model(*toy, tmp_path, OPTIONS, quiet=True)
    assert set(files(tmp_path)) == set(files(straight))
    for name in files(straight):
        assert (tmp_path / name).read_bytes() == (straight / name).read_bytes(), name


def test_that_was_every_file_of_a_training(toy, tmp_path, monkeypatch):
    """The test above stops at each: two at the start, two an epoch, three at the end."""
    moved, replace = [], Path.replace
    monkeypatch.setattr(
        Path, "replace", lambda self, path: moved.append(path) or replace(self, path)
    )
    train_model(*toy, tmp_path, OPTIONS, quiet=True)
    assert len(moved) == 2 + 2 * len(read_csv(tmp_path / "log.csv")) + 3 == 11


def test_a_finished_run_is_not_trained_again(toy, straight):
    """The same call returns the model at once; a state left by a kill is swept."""
    before = files(straight)
    state = straight / "state.safetensors"
    state.write_bytes(b"left over")
    train_model(*toy, straight, OPTIONS, quiet=True)
    assert files(straight) == before


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"training": {"epochs": 6}}, "options.training.epochs was 3, now 6"),
        ({"model_options": {"dim": 64}}, "options.model_options.dim was 32, now 64"),
    ],
)
def test_a_run_of_other_options_is_refused_by_name(toy, straight, change, named):
    """Neither a finished run nor a begun one is continued in another way."""
    merged = {
        name: {**getattr(OPTIONS, name), **change.get(name, {})}
        if name == "model_options"
        else {**OPTIONS.training.facts(), **change.get(name, {})}
        for name in ("training", "model_options")
    }
    with pytest.raises(ParametersDifferError, match=named) as error:
        train_model(*toy, straight, LearnOptions(**merged), quiet=True)
    assert "config.json" in str(error.value)


def test_a_run_on_another_split_is_refused_in_a_short_line(toy, straight):
    """The first slides that moved are named, not the whole split."""
    cohort, split = toy
    swapped = {k: "train" if w == "test" else w for k, w in split.items()}
    with pytest.raises(ParametersDifferError, match=r"split.toy_\d+ was 'test'") as e:
        train_model(cohort, swapped, straight, OPTIONS, quiet=True)
    assert len(str(e.value)) < 600
    assert "and 1 more" in str(e.value)


def test_a_mistake_leaves_nothing_that_refuses_the_remedy(toy, tmp_path):
    """After a split that cannot be trained, the same run with a good one goes on."""
    cohort, split = toy
    one_class = {k: w for k, w in split.items() if w != "val"}
    with pytest.raises(LabelError, match="validation: 0 slides"):
        train_model(cohort, one_class, tmp_path, OPTIONS, quiet=True)
    assert files(tmp_path) == {}


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"model": "oracle"}, "model 'oracle' is unknown"),
        ({"model_options": {"colour": 1}}, "colour is not an option"),
        ({"model_options": {"heads": 3}}, "heads=3"),
    ],
)
def test_options_of_the_model_are_checked_at_once(options, named):
    """Not after an hour of extracting features."""
    with pytest.raises(OptionError, match=named):
        LearnOptions(**options)


def test_presets_can_be_changed_in_part():
    """What is given on top of a preset wins; the rest stays the preset's."""
    paper = LearnOptions.preset("paper", training={"seed": 4})
    assert (paper.training.epochs, paper.training.patience) == (200, None)
    assert paper.training.seed == 4
    changed = LearnOptions.preset("paper", model_options={"instance_loss": 0.2})
    assert changed.of_model() == dmia.PAPER.replace(instance_loss=0.2)
    assert changed.training == LearnOptions.preset("paper").training
    with pytest.raises(DataError, match="preset 'best' is unknown"):
        LearnOptions.preset("best")


def test_presets_are_the_models_own():
    """The literal recipe in the seed's budget, it with a loss, and the defaults."""
    assert set(PRESETS) == set(dmia.PRESETS)
    chosen = {name: LearnOptions.preset(name) for name in PRESETS}
    assert chosen["dmia"] == LearnOptions()
    for name, options in chosen.items():
        assert options.of_model() == dmia.PRESETS[name]
    assert chosen["dmia_l2"].of_model() == dmia.PAPER.replace(instance_loss=0.1)
    assert chosen["dmia_l2"].training == LearnOptions().training
    budget = chosen["paper"].training
    assert (budget.epochs, budget.patience) == (200, None)
    assert (budget.lr, budget.weight_decay) == (1e-4, 1e-4)
    assert (budget.drop_at, budget.drop_by) == (0.5, 0.2)


def test_defaults_that_are_said_are_no_other_parameters(toy, straight, tmp_path):
    """A model is kept whether they were said or not, now or when it was trained."""
    said = LearnOptions(
        model_options=OPTIONS.of_model().facts(), training=OPTIONS.training.facts()
    )
    assert said == OPTIONS
    copy = tmp_path / "run"
    shutil.copytree(straight, copy)
    config = json.loads((copy / "config.json").read_text())
    config["made_with"]["options"]["model_options"] = OPTIONS.of_model().facts()
    (copy / "config.json").write_text(json.dumps(config))
    model = (copy / "model.safetensors").read_bytes()
    assert train_model(*toy, copy, said, quiet=True).read_bytes() == model
