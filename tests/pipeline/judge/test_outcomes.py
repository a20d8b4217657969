"""A table of predictions is read as it stands, and its decisions are its own."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import f1_score, roc_auc_score

from coverslip.errors import DataError
from coverslip.pipeline.judge.outcomes import outcomes_of

TABLE = Path("predictions.csv")


def row(slide_id, label, chance, **more):
    """Return a row of a table of predictions, with the threshold 0.5."""
    decided = "Tumor" if chance >= float(more.get("threshold", 0.5)) else "Normal"
    known = {"slide_id": slide_id, "case_id": slide_id, "label": label}
    known |= {"predicted": decided, "threshold": "0.5"}
    chances = {"probability_normal": 1 - chance, "probability_tumor": chance}
    return known | {k: f"{v:.6f}" for k, v in chances.items()} | more


def test_names_of_classes_may_have_capitals():
    """Columns are read in lower case, labels as they are written."""
    said = outcomes_of([row("a", "Tumor", 0.9), row("b", "Normal", 0.2)], TABLE)
    assert said.classes == ("normal", "tumor")
    assert said.labels.tolist() == said.decided.tolist() == [1, 0]
    assert said.scores.tolist() == [0.9, 0.2]


def test_slides_without_label_or_probability_are_passed_over():
    """What nobody labelled, and what has no tissue, is in no figure."""
    bare = row("c", "Tumor", 0.5, probability_normal="", probability_tumor="")
    rows = [row("a", "", 0.9), row("b", "Tumor", 0.9), bare]
    assert outcomes_of(rows, TABLE).slides == ("b",)


def test_figures_follow_the_decisions_of_the_table():
    """Accuracy and F1 count what was decided, whatever a threshold of 0.5 would say."""
    chances = np.array([0.1, 0.2, 0.3, 0.4, 0.35, 0.6])
    labels = np.array([0, 0, 0, 1, 1, 1])
    rows = [
        row(str(i), ("Normal", "Tumor")[y], p, threshold="0.33")
        for i, (y, p) in enumerate(zip(labels, chances, strict=True))
    ]
    figures = outcomes_of(rows, TABLE).figures()
    assert figures["accuracy"] == 1.0
    assert figures["f1"] == f1_score(labels, chances >= 0.33)
    assert figures["auc"] == roc_auc_score(labels, chances)


def test_three_classes_are_scored_by_all_probabilities():
    """There is no single score, and no threshold."""
    rows = [
        {"slide_id": name, "label": name, "predicted": "b", "threshold": ""}
        | {"probability_a": "0.2", "probability_b": "0.5", "probability_c": "0.3"}
        for name in "abc"
    ]
    said = outcomes_of(rows, TABLE)
    assert said.scores.shape == (3, 3)
    assert np.isnan(said.thresholds).all()
    assert said.figures()["accuracy"] == pytest.approx(1 / 3)
    assert said.cases == ("a", "b", "c")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"probability_tumor": "much"}, "could not convert"),
        ({"label": "Other"}, "not in list"),
        ({"predicted": ""}, "not in list"),
    ],
)
def test_a_spoiled_row_is_refused(change, said):
    """The table is named, and what is wrong in it."""
    with pytest.raises(DataError, match=rf"predictions.csv: .*{said}"):
        outcomes_of([row("a", "Tumor", 0.9) | change], TABLE)


def test_a_table_of_something_else_is_refused():
    """A table without predictions of labelled slides says what is wanted."""
    with pytest.raises(DataError, match="no predictions of labelled slides"):
        outcomes_of([{"slide_id": "a", "label": "x"}], TABLE)
    with pytest.raises(DataError, match="no predictions of labelled slides"):
        outcomes_of([], TABLE)
