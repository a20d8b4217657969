"""A model on disk says everything about itself, and opening it runs nothing."""

import json
import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from coverslip.errors import CorruptFileError, DataError
from coverslip.learn.checkpoint import MODEL_FILE, ModelCard, load_model, save_model
from coverslip.learn.models.ensemble import Ensemble
from coverslip.learn.models.zoo import build, entry
from coverslip.learn.prediction import predict_bag
from coverslip.prepare.features import Features

CARD = ModelCard(
    model="dmia",
    options=entry("dmia").options(dim=8, n_pseudo_bags=2, attention="gated").facts(),
    in_dim=5,
    classes=("normal", "tumor"),
    features={"encoder": {"name": "fake", "dim": 5}, "patching": {}},
    prepare={"patches": {"mpp": 0.5}},
    partitions=(3, 1, 4),
    threshold=0.37,
)
BAG = Features("s", np.random.default_rng(0).normal(size=(11, 5)), None, {})


@pytest.fixture
def saved(tmp_path):
    """Write a model; return it, and its file."""
    options = entry("dmia").options(**CARD.options)
    model = build("dmia", CARD.in_dim, len(CARD.classes), options, seed=7)
    model.standardise.set(torch.full((5,), 0.5), torch.full((5,), 2.0))
    return model, save_model(tmp_path / "run", model, CARD)


def test_what_comes_back_is_the_same_to_the_last_bit(saved):
    """Card, statistics and predictions survive the trip, by file or by folder."""
    model, path = saved
    before = predict_bag(model, BAG, CARD.partitions)
    for place in (path, path.parent):
        again, card = load_model(place)
        after = predict_bag(again, BAG, card.partitions)
        assert card == CARD
        assert (after.probabilities == before.probabilities).all()
        assert (after.attention == before.attention).all()


def test_the_readable_copy_says_the_same(saved):
    """`model.json` is the card that is inside the file."""
    _, path = saved
    facts = json.loads((path.parent / "model.json").read_text())
    assert facts["threshold"] == 0.37
    assert facts["format"] == 1
    assert facts["classes"] == ["normal", "tumor"]


@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.999])
def test_a_truncated_file_is_named(saved, share):
    """Wherever it is cut, the error names the file and the remedy."""
    _, path = saved
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(CorruptFileError, match="copy it again") as error:
        load_model(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_safetensors_of_another_program_are_refused(tmp_path):
    """Weights without a card are no model."""
    save_file({"w": torch.zeros(2)}, tmp_path / "foreign.safetensors")
    with pytest.raises(CorruptFileError, match="not a model of coverslip"):
        load_model(tmp_path / "foreign.safetensors")


def test_weights_that_do_not_fit_the_card_are_refused(saved):
    """A card of one architecture on the weights of another is damage."""
    _, path = saved
    facts = json.loads((path.parent / "model.json").read_text()) | {"in_dim": 6}
    save_file(load_file(path), path, {"coverslip": json.dumps(facts)})
    with pytest.raises(CorruptFileError, match="size mismatch"):
        load_model(path)


def test_a_pickle_is_refused_unopened(tmp_path):
    """A checkpoint that is a pickle is not even parsed as one."""
    ran = tmp_path / "ran"

    class Bomb:
        def __reduce__(self):
            return (open, (str(ran), "w"))

    path = tmp_path / MODEL_FILE
    path.write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(CorruptFileError):
        load_model(path)
    assert not ran.exists()


def test_nothing_there_says_what_to_give(tmp_path):
    """A folder without a model is not damage."""
    with pytest.raises(DataError, match=r"no model there: give a run folder"):
        load_model(tmp_path)


def test_a_newer_format_is_refused(saved, monkeypatch):
    """A model of a later coverslip asks for an upgrade."""
    model, path = saved
    monkeypatch.setattr("coverslip.learn.checkpoint.FORMAT", 2)
    save_model(path.parent, model, CARD)
    monkeypatch.undo()
    with pytest.raises(DataError, match="newer coverslip: upgrade"):
        load_model(path)


def test_the_model_is_the_last_file_to_appear(saved, monkeypatch):
    """A run killed between the two files has no model, so that it goes on."""
    model, path = saved
    folder = path.parent.with_name("killed")

    def die(*_: object) -> bytes:
        raise KeyboardInterrupt

    monkeypatch.setattr("coverslip.learn.checkpoint.save", die)
    with pytest.raises(KeyboardInterrupt):
        save_model(folder, model, replace(CARD, threshold=0.1))
    assert [file.name for file in folder.iterdir()] == ["model.json"]


def test_an_ensemble_comes_back_whole(tmp_path):
    """Its members share one file; the card says how many they are."""
    options = entry("dmia").options(**CARD.options)
    members = [build("dmia", 5, 2, options, seed=seed) for seed in range(3)]
    ensemble = Ensemble(members).eval()
    path = save_model(tmp_path, ensemble, replace(CARD, members=3))
    again, card = load_model(path)
    assert card.members == 3
    before, after = (predict_bag(m, BAG, (0, 1)) for m in (ensemble, again))
    assert (after.probabilities == before.probabilities).all()
    save_model(tmp_path / "none", ensemble, replace(CARD, members=0))
    with pytest.raises(CorruptFileError, match="members=0"):
        load_model(tmp_path / "none")


def test_a_run_of_folds_names_one_to_give(tmp_path):
    """It has no model of its own."""
    (tmp_path / "fold_0").mkdir()
    with pytest.raises(DataError, match=r"give one of its folds, such as .*fold_0"):
        load_model(tmp_path)
