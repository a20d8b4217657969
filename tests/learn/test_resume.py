"""A training that was interrupted goes on to the very result it would have had."""

import json

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from coverslip.errors import CorruptFileError, ParametersDifferError
from coverslip.learn.loading import Labelled
from coverslip.learn.models.zoo import build, entry
from coverslip.learn.resume import restore_state, save_state
from coverslip.learn.train_options import TrainOptions
from coverslip.learn.training import Trainer
from coverslip.prepare.features import Features

EPOCHS = 6
MADE_WITH = {"options": {"lr": 0.01}, "split": {"a": "train"}}


def trainer():
    """Return a training with everything random in it: order, pseudo-bags, dropout."""
    rng = np.random.default_rng(0)
    items = [
        Labelled(Features(f"s{i}", rng.normal(i % 2, 1, (9, 4)), None, {}), i % 2)
        for i in range(10)
    ]
    options = entry("dmia").options(
        dim=8, dropout=0.5, selection="maxmins", attention="gated", residual_blocks=1
    )
    model = build("dmia", 4, 2, options, seed=0)
    schedule = TrainOptions(epochs=EPOCHS, lr=1e-2, patience=4, device="cpu")
    return Trainer(model, items[:6], items[6:], schedule)


@pytest.fixture(scope="module")
def straight():
    """Return a training that nobody interrupted."""
    going = trainer()
    list(going.epochs())
    return going


def same(one, other):
    """Say whether two state dictionaries are equal to the last bit."""
    return one.keys() == other.keys() and all(
        torch.equal(one[k], other[k]) for k in one
    )


@pytest.mark.parametrize("stop", range(1, EPOCHS + 1))
def test_stopped_after_any_epoch_it_ends_the_same(straight, tmp_path, stop):
    """Log, last weights, best weights and both optimisers: bit for bit."""
    path = tmp_path / "state.safetensors"
    first = trainer()
    for row in first.epochs():
        save_state(path, first, MADE_WITH)
        if row["epoch"] == stop:
            break
    second = trainer()
    assert restore_state(path, second, MADE_WITH)
    list(second.epochs())
    assert second.progress.log == straight.progress.log
    assert second.progress.best == straight.progress.best
    assert second.progress.since_best == straight.progress.since_best
    assert same(second.model.state_dict(), straight.model.state_dict())
    assert same(second.progress.best_weights, straight.progress.best_weights)
    for name, optimiser in second.optimisers.items():
        known = straight.optimisers[name].state_dict()["state"]
        for number, moments in optimiser.state_dict()["state"].items():
            assert same(moments, known[number])


def test_interrupted_every_epoch_it_ends_the_same(straight, tmp_path):
    """Many short sessions are one long one."""
    path = tmp_path / "state.safetensors"
    sessions = 0
    going = trainer()
    while not going.done:
        going = trainer()
        restore_state(path, going, MADE_WITH)
        next(going.epochs(), None)
        save_state(path, going, MADE_WITH)
        sessions += 1
    assert sessions == len(straight.progress.log)
    assert going.progress.log == straight.progress.log
    assert same(going.finish().state_dict(), straight.progress.best_weights)


def test_patience_that_was_spent_stays_spent(tmp_path):
    """An interruption gives no epochs on top: what is left of patience is kept."""
    path = tmp_path / "state.safetensors"
    first, second = trainer(), trainer()
    next(first.epochs())
    first.progress.since_best = 4
    save_state(path, first, MADE_WITH)
    assert restore_state(path, second, MADE_WITH)
    assert second.done
    assert list(second.epochs()) == []


def test_nothing_there_is_a_beginning(tmp_path):
    """Without a state the training starts, and says so."""
    going = trainer()
    assert not restore_state(tmp_path / "state.safetensors", going, MADE_WITH)
    assert going.progress.epoch == 0


def test_other_parameters_are_refused_and_named(tmp_path):
    """A training begun with another rate does not go on with this one."""
    path = tmp_path / "state.safetensors"
    save_state(path, trainer(), MADE_WITH)
    asked = {**MADE_WITH, "options": {"lr": 0.1}}
    with pytest.raises(ParametersDifferError, match=r"options.lr was 0.01, now 0.1"):
        restore_state(path, trainer(), asked)


@pytest.mark.parametrize("damage", ["cut", "foreign", "short", "alien"])
def test_damage_is_named_with_its_remedy(tmp_path, damage):
    """Cut, foreign, incomplete or of other weights: delete it to begin again."""
    path = tmp_path / "state.safetensors"
    save_state(path, trainer(), MADE_WITH)
    with safe_open(path, "pt") as file:
        facts = file.metadata()
    tensors = load_file(path)
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-7])
    elif damage == "foreign":
        save_file(tensors, path)
    elif damage == "short":
        kept = {k: v for k, v in json.loads(facts["coverslip"]).items() if k != "log"}
        save_file(tensors, path, {"coverslip": json.dumps(kept)})
    else:
        save_file({"model/other": torch.zeros(1)}, path, facts)
    with pytest.raises(CorruptFileError, match="delete it to train from the beginn"):
        restore_state(path, trainer(), MADE_WITH)
