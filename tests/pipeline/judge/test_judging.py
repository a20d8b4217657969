"""Judging: every labelled slide is predicted, and figures count the right ones."""

import json

import numpy as np
import pytest

from coverslip.errors import DataError, MismatchError
from coverslip.learn.checkpoint import ModelCard
from coverslip.learn.labels import read_labels
from coverslip.learn.prediction import Prediction
from coverslip.learn.splits import SplitOptions
from coverslip.pipeline.cohort import choose_split, open_cohort
from coverslip.pipeline.judge.judging import evaluate_run, judge, prediction_row
from coverslip.pipeline.learn.learn_options import LearnOptions
from coverslip.pipeline.learn.learning import train_model
from coverslip.prepare.features import Features
from coverslip.testing import toy_cohort
from studies import files, rows

CARD = ModelCard("dmia", {}, 4, ("normal", "tumor"), {}, threshold=0.4)


@pytest.fixture
def toy(tmp_path):
    """Return a toy cohort of sixteen slides."""
    return toy_cohort(tmp_path / "toy", slides=16, patches=20, dim=4)


def trained(toy, folder):
    """Train a small model on a toy cohort; return cohort, split and model."""
    cohort = open_cohort(toy.features, read_labels(toy.labels))
    split = choose_split(cohort.rows, SplitOptions(val_share=0.25, test_share=0.25))
    options = LearnOptions(training={"epochs": 2}, model_options={"dim": 8})
    return cohort, split, train_model(cohort, split, folder, options, quiet=True)


def said(slide_id, *chances):
    """Return a prediction with these probabilities; none is a slide without tissue."""
    probabilities = np.array(chances) if chances else None
    empty = np.empty(0, np.float32)
    return Prediction(slide_id, probabilities, probabilities, empty, empty)


def test_figures_are_those_of_the_table(toy, tmp_path):
    """What `metrics.json` says can be counted from `predictions.csv`."""
    cohort, split, model = trained(toy, tmp_path / "run")
    judged = evaluate_run(model, cohort, split, tmp_path / "out")
    table = rows(tmp_path / "out" / "predictions.csv")
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert metrics["model"] == "run/model.safetensors"
    for subset in ("val", "test"):
        part = [row for row in table.values() if row["split"] == subset]
        right = np.mean([row["predicted"] == row["label"] for row in part])
        assert metrics[subset]["accuracy"] == pytest.approx(right)
        assert metrics[subset]["n"] == len(part) == 4
        assert judged[subset].metrics.n == 4
        low, high = (
            metrics[subset]["intervals"]["auc"][end] for end in ("low", "high")
        )
        assert low <= metrics[subset]["auc"] <= high
    assert len(table) == 16


def test_a_slide_without_tissue_is_listed_and_not_counted(toy, tmp_path):
    """It has a row "no tissue", and stands in `not_judged`."""
    cohort, split, model = trained(toy, tmp_path / "run")
    bare = next(k for k, subset in sorted(split.items()) if subset == "test")
    none = np.empty((0, 4), np.float16)
    cohort.bags[bare] = Features(bare, none, None, {})
    judged = evaluate_run(model, cohort, split, tmp_path / "out")
    assert judged["test"].not_judged == (bare,)
    assert judged["test"].metrics.n == 3
    row = rows(tmp_path / "out" / "predictions.csv")[bare]
    assert (row["status"], row["predicted"]) == ("no tissue", "no tissue")
    assert row["probability_tumor"] == ""


def test_a_test_set_without_tissue_is_predicted_and_not_judged(toy, tmp_path):
    """With nothing to judge on test, validation is still judged and all is written."""
    cohort, split, model = trained(toy, tmp_path / "run")
    none = np.empty((0, 4), np.float16)
    for slide_id, subset in split.items():
        if subset == "test":
            cohort.bags[slide_id] = Features(slide_id, none, None, {})
    judged = evaluate_run(model, cohort, split, tmp_path / "out")
    assert set(judged) == {"val"}
    assert len(rows(tmp_path / "out" / "predictions.csv")) == 16


def test_features_of_another_encoder_are_refused(toy, tmp_path):
    """A model is not judged on features it was not made for."""
    _, split, model = trained(toy, tmp_path / "run")
    other = toy_cohort(tmp_path / "other", slides=16, patches=20, dim=4)
    for path in other.features.glob("*.h5"):
        old = Features.load(path)
        facts = {**old.facts, "patching": {"mpp": 1.0, "size": 256}}
        Features(old.slide_id, np.array(old.features), old.coords, facts).save(path)
    cohort = open_cohort(other.features, read_labels(other.labels))
    with pytest.raises(MismatchError, match=r"patching mpp is 1.0, not 0.5"):
        evaluate_run(model, cohort, split, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_labels_of_other_classes_are_refused(toy, tmp_path):
    """The class names must be the model's, in its order."""
    _, split, model = trained(toy, tmp_path / "run")
    labels = tmp_path / "labels.csv"
    labels.write_text(toy.labels.read_text().replace("tumor", "cancer"))
    other = open_cohort(toy.features, read_labels(labels))
    with pytest.raises(DataError, match="normal, cancer are not the model's"):
        evaluate_run(model, other, split, tmp_path / "out")


def test_judging_again_touches_nothing(toy, tmp_path):
    """The same figures leave the same files, their times too."""
    cohort, split, model = trained(toy, tmp_path / "run")
    evaluate_run(model, cohort, split, tmp_path / "out")
    before = files(tmp_path / "out")
    evaluate_run(model, cohort, split, tmp_path / "out")
    assert files(tmp_path / "out") == before
    assert "figures/roc_test.png" in before


def test_one_class_alone_is_judged_without_auc(toy):
    """Sensitivity can be told of positives alone; an AUC cannot."""
    cohort = open_cohort(toy.features, read_labels(toy.labels))
    chances = {"toy_001": 0.5, "toy_003": 0.3, "toy_005": 0.9}
    judged = judge([said(k, 1 - p, p) for k, p in chances.items()], cohort, CARD)
    assert judged.metrics.sensitivity == pytest.approx(2 / 3)
    assert set(judged.intervals) == {"accuracy", "sensitivity"}
    assert judged.facts()["auc"] is None
    assert "AUC nan" in judged.sentence("test")


def test_three_classes_have_an_interval_of_the_auc_too(toy, tmp_path):
    """It is that of the mean of each class against the rest."""
    ids = [f"toy_{number:03d}" for number in range(16)]
    table = tmp_path / "three.csv"
    lines = [f"{slide},{'abc'[i % 3]}" for i, slide in enumerate(ids)]
    table.write_text("\n".join(["slide_id,label", *lines]))
    cohort = open_cohort(toy.features, read_labels(table))
    rng = np.random.default_rng(0)
    chances = rng.dirichlet(np.ones(3), 16) / 2 + np.eye(3)[np.arange(16) % 3] / 4
    predictions = [
        said(slide, *chance / chance.sum())
        for slide, chance in zip(ids, chances, strict=True)
    ]
    card = ModelCard("dmia", {}, 4, ("a", "b", "c"), {})
    judged = judge(predictions, cohort, card)
    interval = judged.intervals["auc"]
    assert interval.low < judged.metrics.auc < interval.high
    assert interval.value == pytest.approx(judged.metrics.auc)


def test_the_threshold_is_the_models(toy):
    """Accuracy is counted at the threshold that validation chose."""
    cohort = open_cohort(toy.features, read_labels(toy.labels))
    predictions = [said("toy_000", 0.61, 0.39), said("toy_001", 0.6, 0.4)]
    assert judge(predictions, cohort, CARD).metrics.accuracy == 1.0


def test_a_row_says_what_is_known():
    """Of an unlabelled slide there is no label, case or split."""
    row = prediction_row(said("s", 0.25, 0.75), CARD)
    assert row == {
        "slide_id": "s",
        "predicted": "tumor",
        "status": "ok",
        "patches": 0,
        "threshold": "0.400000",
        "probability_normal": "0.250000",
        "probability_tumor": "0.750000",
        "spread": "0.750000",
    }
