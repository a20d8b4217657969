"""What the page is told of a study is what the study says."""

import csv
import json

import pytest

from coverslip.errors import DataError
from coverslip.viewer.evidence import Evidence
from studies import predictions
from viewer_client import LESION_BOX


@pytest.fixture(scope="session")
def evidence(finished, annotations):
    """Return the evidence of the finished study."""
    made = Evidence(finished, annotations, device="cpu")
    yield made
    made.close()


def test_the_study_names_its_runs(evidence, finished):
    """And the one to begin with is the latest."""
    told = evidence.about()
    assert told["runs"] == ["dmia"]
    assert told["run"] == "dmia"
    assert told["annotations"]
    assert told["study"].endswith(finished.name)


def test_the_list_says_what_the_run_predicted(evidence, finished):
    """Probability of the last class, and how far the true class was missed."""
    listed = evidence.listed("dmia")
    assert listed["classes"] == ["normal", "tumor"]
    said = predictions(finished)
    assert [row["id"] for row in listed["slides"]] == sorted(said)
    for row in listed["slides"]:
        truth = said[row["id"]]
        assert row["label"] == truth["label"]
        assert row["probability"] == float(truth["probability_tumor"])
        missed = 1 - float(truth[f"probability_{truth['label']}"])
        assert row["error"] == pytest.approx(missed)


def test_without_a_run_every_slide_is_listed_all_the_same(evidence):
    """With what the table of slides says."""
    listed = evidence.listed(None)
    assert listed["classes"] == []
    assert len(listed["slides"]) == 10
    assert all(row["probability"] is None for row in listed["slides"])
    assert all(row["status"] == "features" for row in listed["slides"])


def test_scores_are_those_of_the_heatmap(evidence, finished):
    """Patch by patch, in columns, and ready for JSON."""
    table = next((finished / "heatmaps").glob("*.csv"))
    told = json.loads(json.dumps(evidence.scores("dmia", table.stem)))
    assert told["side"] == 256
    with table.open(newline="") as file:
        rows = {(int(r["x"]), int(r["y"])): r for r in csv.DictReader(file)}
    assert len(rows) == len(told["x"])
    for i, corner in enumerate(zip(told["x"], told["y"], strict=True)):
        row = rows[corner]
        assert told["attention"][i] == pytest.approx(float(row["attention"]), rel=1e-3)
        assert told["rank"][i] == pytest.approx(float(row["attention_rank"]), abs=1e-4)
        for c, name in enumerate(told["classes"]):
            chance = float(row[f"probability_{name}"])
            assert told["chances"][c][i] == pytest.approx(chance, abs=1e-4)


def test_a_slide_is_scored_once(evidence, monkeypatch):
    """The second time it is remembered."""
    first = evidence.scores("dmia", "slide_02")
    monkeypatch.setattr("coverslip.pipeline.predict.scoring.RunScores.of", None)
    assert evidence.scores("dmia", "slide_02") is first


def test_outlines_are_in_level_0_pixels(evidence):
    """Tissue as the study found it, lesions as they were annotated."""
    told = evidence.outlines("slide_01")
    assert told["faults"] == []
    [[ring]] = told["lesions"]
    xs, ys = zip(*ring, strict=True)
    assert (min(xs), min(ys), max(xs), max(ys)) == LESION_BOX
    assert told["tissue"]
    assert evidence.outlines("slide_00")["lesions"] == []


def test_a_broken_annotation_leaves_the_tissue(finished, tmp_path):
    """What is wrong is told beside what is right."""
    (tmp_path / "slide_01.xml").write_text("<ASAP")
    made = Evidence(finished, tmp_path)
    told = made.outlines("slide_01")
    made.close()
    assert told["tissue"]
    assert "slide_01.xml: broken XML" in told["faults"][0]


def test_size_and_scale_are_the_slides(evidence):
    """What the page lays its tiles out by."""
    told = evidence.slide("slide_00")
    assert (told["width"], told["height"], told["mpp"]) == (1024, 1024, 0.5)
    assert told["bounds"] == [0, 0, 1024, 1024]
    assert told["top"] == 10


def test_what_is_no_study_is_refused(tmp_path, finished):
    """As is a run that is not there, and annotations that are no folder."""
    with pytest.raises(DataError, match="no study: give a folder"):
        Evidence(tmp_path)
    with pytest.raises(DataError, match="choose from dmia"):
        Evidence(finished, run="other")
    with pytest.raises(DataError, match="no such folder"):
        Evidence(finished, tmp_path / "none")
