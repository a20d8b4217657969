"""Several seeds on one split: their mean is a model, and each one's figures are kept."""

from pathlib import Path
from statistics import fmean, stdev

import numpy as np
import pytest

from coverslip import store
from coverslip.judge.metrics import choose_threshold
from coverslip.learn.checkpoint import load_model
from coverslip.learn.labels import read_labels
from coverslip.learn.prediction import predict_bag
from coverslip.learn.splits import SplitOptions
from coverslip.pipeline.cohort import choose_split, open_cohort
from coverslip.pipeline.learn import seeds
from coverslip.pipeline.learn.learn_options import LearnOptions
from coverslip.pipeline.learn.seeds import Training, train_on
from coverslip.testing import toy_cohort
from studies import files, rows

OPTIONS = LearnOptions(
    training={"epochs": 1, "partitions": 2, "seed": 5, "device": "cpu"},
    model_options={"dim": 8},
)
NAMES = ("seed_5", "seed_6", "seed_7")


@pytest.fixture(scope="module", autouse=True)
def undrawn():
    """Draw no figures of the many small runs; other tests look at them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("coverslip.pipeline.judge.judging.draw_roc", lambda *_: None)
        patch.setattr(
            "coverslip.pipeline.judge.judging.draw_reliability", lambda *_: None
        )
        patch.setattr(
            "coverslip.pipeline.learn.learning.draw_training", lambda *_: None
        )
        yield


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    """Return an opened toy cohort and its split."""
    made = toy_cohort(tmp_path_factory.mktemp("toy"), slides=20, patches=10, dim=4)
    cohort = open_cohort(made.features, read_labels(made.labels))
    return cohort, choose_split(
        cohort.rows, SplitOptions(val_share=0.3, test_share=0.3)
    )


@pytest.fixture(scope="module")
def trained(toy, tmp_path_factory):
    """Return the folder of three seeds, and what training them came to."""
    cohort, split = toy
    folder = tmp_path_factory.mktemp("runs") / "seeds"
    return folder, train_on(Training(cohort, OPTIONS, 3, quiet=True), split, folder)


def chances(folder):
    """Return the probability of the positive class by slide."""
    table = rows(folder / "predictions.csv")
    return {k: float(row["probability_tumor"]) for k, row in table.items()}


def test_the_run_predicts_the_mean_of_its_members(trained):
    """Slide by slide, within what the tables round; the members differ."""
    folder, _ = trained
    each = [chances(folder / name) for name in NAMES]
    whole = chances(folder)
    assert len(whole) == 20
    for slide_id, chance in whole.items():
        own = [said[slide_id] for said in each]
        assert chance == pytest.approx(fmean(own), abs=2e-6)
        assert len(set(own)) == 3


def test_its_threshold_comes_from_its_own_validation(trained):
    """Chosen from the mean probabilities of validation slides, and used on all."""
    folder, done = trained
    card = load_model(done.model)[1]
    table = rows(folder / "predictions.csv")
    val = [row for row in table.values() if row["split"] == "val"]
    wanted = choose_threshold(
        [row["label"] == "tumor" for row in val],
        [float(row["probability_tumor"]) for row in val],
    )
    assert card.threshold == pytest.approx(wanted, abs=2e-6)
    assert {row["threshold"] for row in table.values()} == {f"{card.threshold:.6f}"}
    assert done.judged["test"].metrics.threshold == card.threshold


def test_the_figures_of_each_seed_stand_beside_those_of_the_mean(trained):
    """With mean and standard deviation over the seeds."""
    folder, done = trained
    own = store.read_json(folder / "metrics.json")
    assert own["test"]["auc"] == done.judged["test"].metrics.auc
    metrics = store.read_json(folder / "seeds.json")
    each = [
        store.read_json(folder / name / "metrics.json")["test"]["auc"] for name in NAMES
    ]
    assert [metrics["seeds"][name]["test"]["auc"] for name in NAMES] == each
    scatter = metrics["mean_of_seeds"]["test"]["auc"]
    assert scatter["mean"] == pytest.approx(fmean(each))
    assert scatter["sd"] == pytest.approx(stdev(each))
    told = f"mean of 3 seeds, test: AUC {fmean(each):.3f} (sd {stdev(each):.3f})"
    assert any(line.startswith(told) for line in done.lines)


def test_one_file_is_the_whole_model(toy, trained, tmp_path):
    """Copied elsewhere it predicts the same, and says how many models it is of."""
    cohort, _ = toy
    folder, done = trained
    alone = tmp_path / "copy.safetensors"
    alone.write_bytes(done.model.read_bytes())
    model, card = load_model(alone)
    assert card.members == 3
    assert [own["options"]["seed"] for own in card.training["members"]] == [5, 6, 7]
    known = rows(folder / "predictions.csv")
    for slide_id, bag in list(cohort.bags.items())[:3]:
        said = predict_bag(model, bag, card.partitions)
        assert f"{said.probabilities[1]:.6f}" == known[slide_id]["probability_tumor"]
        assert f"{said.spread.max():.6f}" == known[slide_id]["spread"]


def test_done_again_nothing_changes_and_a_seed_can_be_added(toy, trained, tmp_path):
    """Finished models are kept; a fourth seed joins, and the mean follows."""
    cohort, split = toy
    folder = tmp_path / "more"
    train_on(Training(cohort, OPTIONS, 2, quiet=True), split, folder)
    before = files(folder)
    train_on(Training(cohort, OPTIONS, 2, quiet=True), split, folder)
    assert files(folder) == before
    train_on(Training(cohort, OPTIONS, 3, quiet=True), split, folder)
    after = files(folder)
    kept = [name for name in before if name.startswith("seed_")]
    assert {name: after[name] for name in kept} == {name: before[name] for name in kept}
    for name in ("model.safetensors", "predictions.csv"):
        assert (folder / name).read_bytes() == (trained[0] / name).read_bytes()


def test_interrupted_it_goes_on_to_the_same_model(toy, trained, tmp_path, monkeypatch):
    """Stopped before the last seed: the first are not trained anew."""
    cohort, split = toy
    folder, calls = tmp_path / "stopped", []
    real = seeds.train_model

    def stopping(cohort, split, place, *more, **named):
        calls.append(place.name)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(cohort, split, place, *more, **named)

    monkeypatch.setattr(seeds, "train_model", stopping)
    training = Training(cohort, OPTIONS, 3, quiet=True)
    with pytest.raises(KeyboardInterrupt):
        train_on(training, split, folder)
    assert not (folder / "model.safetensors").exists()
    before = files(folder)
    train_on(training, split, folder)
    assert calls == [*NAMES, *NAMES]
    after = files(folder)
    assert {name: after[name] for name in before} == before
    same = Path("model.safetensors")
    assert (folder / same).read_bytes() == (trained[0] / same).read_bytes()


def test_one_seed_is_a_plain_run(toy, tmp_path):
    """No folders of seeds, no ensemble."""
    cohort, split = toy
    done = train_on(Training(cohort, OPTIONS, quiet=True), split, tmp_path)
    assert load_model(done.model)[1].members == 1
    assert not list(tmp_path.glob("seed_*"))
    assert np.isfinite(done.judged["test"].metrics.accuracy)
    assert [line.split(":")[0] for line in done.lines] == ["val", "test"]
