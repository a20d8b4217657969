"""CAMELYON16's figures on the sets of slides that papers mean."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from coverslip.pipeline.camelyon16_figures import judge_slides
from coverslip.tables import read_csv, write_csv


@pytest.fixture
def predictions(tmp_path, real_data) -> Path:
    """Write a table of predictions of the 129, labelled as in the real reference."""
    table = real_data / "camelyon16" / "reference.csv"
    rng = np.random.default_rng(0)
    written = []
    for line in table.read_text().splitlines():
        slide_id, label = line.lower().split(",")[:2]
        chance = 1 / (1 + np.exp(-(1.5 * (label == "tumor") - 1 + rng.normal())))
        written.append(
            {
                "slide_id": slide_id.capitalize(),
                "split": "test",
                "label": label,
                "predicted": "tumor" if chance >= 0.5 else "normal",
                "status": "ok",
                "probability_normal": 1 - chance,
                "probability_tumor": chance,
                "threshold": 0.5,
            }
        )
    path = tmp_path / "predictions.csv"
    write_csv(path, list(written[0]), written)
    return path


def test_the_129_and_the_127_are_the_sets_that_papers_use(predictions):
    """129 with 49 tumor slides; without test_114 (tumor) and test_124: 127 with 48."""
    judged = judge_slides(predictions, {})
    sizes = {
        n: (len(f.outcomes.slides), f.outcomes.labels.sum()) for n, f in judged.items()
    }
    assert sizes == {"129": (129, 49), "127": (127, 48)}
    said = {row["slide_id"].lower(): row for row in read_csv(predictions)}
    kept = [row for s, row in said.items() if s not in {"test_114", "test_124"}]
    for figures, used in ((judged["129"], list(said.values())), (judged["127"], kept)):
        truth = [row["label"] == "tumor" for row in used]
        scores = [float(row["probability_tumor"]) for row in used]
        assert figures.auc.value == pytest.approx(roc_auc_score(truth, scores))
        assert figures.auc.low < figures.auc.value < figures.auc.high
        assert abs(figures.auc.low - figures.bootstrap.low) < 0.02
    assert "on the 129" in judged["129"].sentence("129")
    assert "all 127 judged" in judged["127"].sentence("127")


def test_slides_without_prediction_are_named_with_the_reason(predictions):
    """A failed slide and a slide without tissue make the figures say `only`."""
    table = read_csv(predictions)
    table[4] |= {
        "status": "no tissue",
        "probability_normal": "",
        "predicted": "no tissue",
    }
    del table[7]
    write_csv(predictions, list(table[0]), table)
    judged = judge_slides(predictions, {"test_008": "cannot be decoded"})["129"]
    reasons = {"test_005": "no tissue", "test_008": "cannot be decoded"}
    assert judged.not_judged == reasons
    assert "only 127 of them judged" in judged.sentence("129")
    assert judged.facts()["not_judged"] == reasons


def test_intervals_that_nobody_knows_are_not_said(predictions):
    """A bootstrap of a perfect AUC, and any of one class; JSON has null for them."""
    table = read_csv(predictions)
    for row in table:
        row["probability_tumor"] = "0.9" if row["label"] == "tumor" else "0.1"
        row["probability_normal"] = str(1 - float(row["probability_tumor"]))
    write_csv(predictions, list(table[0]), table)
    perfect = judge_slides(predictions, {})["129"]
    delong, bootstrap = perfect.facts()["auc_intervals"]
    assert (bootstrap["low"], bootstrap["high"]) == (None, None)
    assert 0.9 < delong["low"] < delong["high"] == 1
    assert "bootstrap" not in perfect.sentence("129")
    write_csv(predictions, list(table[0]), [r for r in table if r["label"] == "tumor"])
    single = judge_slides(predictions, {})["129"]
    assert single.facts()["auc"] is None
    assert "unknown (one class only), only 49 of them judged" in single.sentence("129")
