"""Comparing runs: figures by other libraries, paired differences, and files to keep."""

import csv
import json

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import (
    average_precision_score,
    balanced_accuracy_score,
    f1_score,
    roc_auc_score,
)

from coverslip.judge.comparison import delong_difference, holm
from coverslip.pipeline.judge.comparing import compare
from coverslip.tables import write_csv
from studies import files

N = 80


@pytest.fixture
def runs(tmp_path):
    """Write three runs: a good one, one nearly as good, and one that guesses."""
    rng = np.random.default_rng(0)
    labels = np.arange(N) % 2
    good = rng.normal(size=N) + 1.5 * labels
    scores = {
        "good": good,
        "near": good + 0.3 * rng.normal(size=N),
        "guess": rng.normal(size=N),
    }
    made = {}
    for name, score in scores.items():
        chances = np.round(1 / (1 + np.exp(-score)), 6)
        made[name] = chances
        rows = [
            {
                "slide_id": f"s{i}",
                "case_id": f"c{i}",
                "split": "test",
                "label": ("normal", "tumor")[labels[i]],
                "predicted": ("normal", "tumor")[int(chances[i] >= 0.6)],
                "probability_normal": 1 - chances[i],
                "probability_tumor": chances[i],
                "threshold": 0.6,
            }
            for i in range(N)
        ]
        write_csv(tmp_path / "runs" / name / "predictions.csv", list(rows[0]), rows)
    return tmp_path / "runs", labels, made


def table(folder):
    """Return the written comparison by run."""
    with (folder / "comparison.csv").open() as file:
        return {row["model"]: row for row in csv.DictReader(file)}


def test_the_figures_are_those_of_other_libraries(runs):
    """AUC, average precision, F1 and balanced accuracy of each run."""
    folder, labels, scores = runs
    result = compare([folder / name for name in scores])
    assert result.folder == folder / "comparison"
    written = table(result.folder)
    assert list(written) == list(scores)
    for name, chances in scores.items():
        decided = chances >= 0.6
        for figure, wanted in (
            ("auc", roc_auc_score(labels, chances)),
            ("auprc", average_precision_score(labels, chances)),
            ("f1", f1_score(labels, decided)),
            ("balanced_accuracy", balanced_accuracy_score(labels, decided)),
            ("sensitivity", decided[labels == 1].mean()),
            ("specificity", 1 - decided[labels == 0].mean()),
            ("accuracy", (decided == labels).mean()),
            ("brier", ((chances - labels) ** 2).mean()),
        ):
            assert float(written[name][figure]) == pytest.approx(wanted, abs=1e-5)
        assert float(written[name]["auc_low"]) < float(written[name]["auc"])
        assert 0 <= float(written[name]["ece"]) <= 1
        assert written[name]["n"] == str(N)


def test_differences_are_paired_and_adjusted(runs):
    """Of each run to the reference, by the test of judge.comparison."""
    folder, labels, scores = runs
    names = list(scores)
    result = compare([folder / name for name in names], reference=folder / "near")
    written = table(result.folder)
    assert written["near"]["difference"] == written["near"]["p"] == ""
    others = [name for name in names if name != "near"]
    wanted = [delong_difference(labels, scores[n], scores["near"]) for n in others]
    for name, one, adjusted in zip(
        others, wanted, holm([one.p for one in wanted]), strict=True
    ):
        row = written[name]
        assert float(row["difference"]) == pytest.approx(one.value, abs=1e-5)
        assert float(row["difference_low"]) == pytest.approx(one.low, abs=1e-5)
        assert float(row["p"]) == pytest.approx(one.p, rel=1e-4)
        assert float(row["p_holm"]) == pytest.approx(adjusted, rel=1e-4)
    assert float(written["guess"]["p"]) < 0.001


def test_json_and_figure_say_what_was_compared(runs, tmp_path):
    """Subset, number of slides, notes, tables, methods; and a picture."""
    folder, _, scores = runs
    result = compare([folder / name for name in scores], tmp_path / "out")
    facts = json.loads((tmp_path / "out" / "comparison.json").read_text())
    assert facts["subset"] == "test"
    assert facts["auc"]["slides"] == N
    assert facts["auc"]["reference"] == "good"
    assert [own["model"] for own in facts["runs"]] == list(scores)
    assert facts["notes"] == list(result.notes) == []
    assert facts["auc"]["models"][1]["difference"]["method"] == "paired DeLong"
    with Image.open(tmp_path / "out" / "comparison.png") as picture:
        picture.load()
        assert min(picture.size) > 200


def test_the_markdown_is_a_table_with_a_line_a_run(runs):
    """Every line has as many cells; tiny p values are not called zero."""
    folder, _, scores = runs
    lines = compare([folder / name for name in scores]).markdown().splitlines()
    assert len(lines) == 2 + len(scores)
    assert len({line.count("|") for line in lines}) == 1
    assert "| AUC less good's | p | p, Holm |" in lines[0]
    assert "| reference |" in lines[2]
    assert "< 0.001" in lines[4]


def test_the_same_comparison_again_touches_nothing(runs):
    """The files are the same, though they now lie among the runs that are asked for."""
    folder, _, scores = runs
    places = [folder / name for name in scores]
    made = files(compare(places).folder)
    assert set(made) == {"comparison.csv", "comparison.json", "comparison.png"}
    again = compare([*places, folder / "comparison"])
    assert files(again.folder) == made
