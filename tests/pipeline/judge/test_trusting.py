"""What validation teaches of belief and referral reaches the card, table and figures."""

import json
from dataclasses import replace

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from coverslip.judge.calibration import with_temperature
from coverslip.judge.metrics import log_loss
from coverslip.judge.referral import Conformal
from coverslip.learn.checkpoint import MODEL_FILE, ModelCard, load_model
from coverslip.learn.labels import read_labels
from coverslip.learn.splits import SplitOptions
from coverslip.pipeline.cohort import choose_split, open_cohort
from coverslip.pipeline.judge.judging import evaluate_run, prediction_columns
from coverslip.pipeline.judge.trusting import (
    calibrated,
    fitted_on_validation,
    trust_cells,
    trust_figures,
)
from coverslip.pipeline.learn.learn_options import LearnOptions
from coverslip.pipeline.learn.learning import train_model
from coverslip.store import FACTS
from coverslip.testing import toy_cohort
from studies import rows

CARD = ModelCard("dmia", {}, 4, ("normal", "tumor"), {}, threshold=0.3)


def overconfident(seed: int, n: int = 400):
    """Return labels and probabilities that are three times too sure."""
    rng = np.random.default_rng(seed)
    honest = rng.beta(0.8, 0.8, n)
    labels = (rng.random(n) < honest).astype(np.int64)
    return labels, with_temperature(np.column_stack([1 - honest, honest]), 1 / 3)


@pytest.fixture
def judged(tmp_path):
    """Return the folder of a small run that is trained and judged."""
    toy = toy_cohort(tmp_path / "toy", slides=40, patches=12, dim=4)
    cohort = open_cohort(toy.features, read_labels(toy.labels))
    split = choose_split(cohort.rows, SplitOptions(val_share=0.5, test_share=0.25))
    options = LearnOptions(training={"epochs": 2}, model_options={"dim": 8})
    model = train_model(cohort, split, tmp_path / "run", options, quiet=True)
    evaluate_run(model, cohort, split, tmp_path / "run")
    return tmp_path / "run"


def test_a_run_tells_calibrated_probabilities_and_referral(judged):
    """The table's cells follow from the card; decisions go by the raw probability."""
    _, card = load_model(judged)
    assert card.temperature is not None
    limits = Conformal.of(card.referral)
    table = rows(judged / "predictions.csv")
    for row in table.values():
        p = np.array([[float(row[f"probability_{name}"]) for name in card.classes]])
        scaled = with_temperature(p, card.temperature)[0]
        told = [float(row[f"calibrated_{name}"]) for name in card.classes]
        assert told == pytest.approx(scaled, abs=1e-4)
        if np.abs(1 - p - np.array(limits.limits)).min() > 1e-5:  # not a limit's own
            assert row["refer"] == ("yes" if limits.refer(p)[0] else "no")
        assert row["predicted"] == card.classes[int(p[0, 1] >= card.threshold)]
    metrics = json.loads((judged / "metrics.json").read_text())
    assert metrics["val"]["calibration"]["in_sample"]
    assert metrics["val"]["referral"]["in_sample"]
    assert not metrics["test"]["calibration"]["in_sample"]
    assert not metrics["test"]["referral"]["in_sample"]
    test = [row for row in table.values() if row["split"] == "test"]
    rate = np.mean([row["refer"] == "yes" for row in test])
    assert metrics["test"]["referral"]["rate"] == pytest.approx(rate)
    assert metrics["test"]["calibration"]["before"]["log_loss"] == pytest.approx(
        metrics["test"]["log_loss"]
    )
    assert (judged / "figures" / "reliability_test.png").stat().st_size > 5000
    assert not (judged / "figures" / "reliability_val.png").exists()


def test_validation_mends_what_is_too_sure():
    """On other slides log loss, Brier score and ECE are better with the temperature."""
    card = fitted_on_validation(CARD, *overconfident(0))
    assert card.temperature == pytest.approx(3, rel=0.25)
    labels, p = overconfident(1, 2000)
    right = (p[:, 1] >= card.threshold) == labels
    facts = trust_figures(card, labels, p, right, in_sample=False)
    before, after = facts["calibration"]["before"], facts["calibration"]["after"]
    assert all(after[key] < before[key] for key in ("log_loss", "brier", "ece"))
    scaled = calibrated(card, p)
    assert scaled is not None
    assert after["log_loss"] == pytest.approx(log_loss(labels, scaled))
    assert facts["referral"]["coverage"] == pytest.approx(0.9, abs=0.04)
    for share in facts["referral"]["coverage_per_class"].values():
        assert share == pytest.approx(0.9, abs=0.05)


def test_too_few_validation_slides_refer_all_and_say_so():
    """Four tumours cannot promise 90 %."""
    labels, p = np.repeat([0, 1], [20, 4]), np.tile([[0.7, 0.3]], (24, 1))
    card = fitted_on_validation(CARD, labels, p)
    facts = trust_figures(card, labels, p, labels == 0, in_sample=True)
    assert facts["referral"]["rate"] == 1
    assert "4 of tumor" in facts["referral"]["note"]
    assert facts["referral"]["accuracy_kept"] is None
    assert trust_cells(card, np.array([1.0, 0.0]))["refer"] == "yes"


def test_a_model_of_before_claims_nothing():
    """Without temperature and limits the cells stay empty, and no figure is invented."""
    labels, p = overconfident(2, 50)
    assert trust_cells(CARD, p[0]) == {}
    facts = trust_figures(CARD, labels, p, labels == 0, in_sample=False)
    assert facts["calibration"]["after"] is None
    assert "referral" not in facts
    assert {"calibrated_normal", "calibrated_tumor", "refer"} <= set(
        prediction_columns(CARD)
    )


def test_a_temperature_of_one_changes_nothing():
    """Calibrated probabilities are then the raw ones."""
    _, p = overconfident(3, 20)
    same = calibrated(replace(CARD, temperature=1.0), p)
    assert same == pytest.approx(p, abs=1e-9)


def test_a_model_file_of_before_still_loads(judged):
    """Without the new keys in its card it predicts the same and is silent on trust."""
    path = judged / MODEL_FILE
    with safe_open(path, "np") as file:
        facts = json.loads(file.metadata()[FACTS])
    tensors = load_file(path)
    for key in ("temperature", "temperature_note", "referral"):
        del facts[key]
    save_file(tensors, judged / "old.safetensors", {FACTS: json.dumps(facts)})
    _, old = load_model(judged / "old.safetensors")
    _, new = load_model(path)
    assert (old.temperature, old.referral) == (None, {})
    assert old.threshold == new.threshold
    assert trust_cells(old, np.array([0.4, 0.6])) == {}
