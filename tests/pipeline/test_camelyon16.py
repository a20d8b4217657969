"""CAMELYON16 end to end, on the painted miniature and with an encoder that is instant."""

import json
import shutil
import tomllib
from pathlib import Path

import pytest
from sklearn.metrics import roc_auc_score

from coverslip.cohorts.camelyon16.facts import TEST_IDS, TRAINING_IDS
from coverslip.cohorts.camelyon16.layout import take_stock
from coverslip.cohorts.camelyon16.split import published_split
from coverslip.errors import LabelError
from coverslip.pipeline.camelyon16 import write_labels
from coverslip.pipeline.camelyon16_figures import judge_lesions
from coverslip.pipeline.predict.truth import Truth
from coverslip.pipeline.prepare.preparation import Preparation
from coverslip.tables import read_csv
from studies import files, rows

RESULTS = Path("runs", "dmia", "camelyon16")
LEARN = ("--epochs", "4", "--lr", "0.001", "--encoder", "fake", "--quiet")


@pytest.fixture(scope="module")
def study(miniature, tmp_path_factory) -> Path:
    """Return the study of a finished `coverslip camelyon16`; do not write there."""
    from coverslip.cli import main
    from coverslip.testing import fake_encoder_known

    study = tmp_path_factory.mktemp("camelyon16") / "study"
    words = ["camelyon16", miniature, "--out", study, *LEARN]
    with fake_encoder_known(), pytest.raises(SystemExit) as left:
        main([str(word) for word in words])
    assert left.value.code == 0
    return study


def summary(study: Path) -> dict:
    """Return the figures of a study."""
    return json.loads((study / RESULTS / "summary.json").read_text())


def test_slides_follow_the_published_split_and_the_reference(study):
    """Labels of test slides are the reference's; nothing left out takes part."""
    split = published_split()
    placed = {s.lower(): row for s, row in rows(study / "runs/dmia/splits.csv").items()}
    assert "test_049" not in placed
    for slide_id, row in placed.items():
        place = split.get(slide_id)
        assert row["split"] == (place.split if place else "test")
    labels = {s: row["label"] for s, row in placed.items() if s.startswith("test")}
    assert labels == {
        "test_001": "tumor",
        "test_003": "normal",
        "test_114": "tumor",
        "test_124": "normal",
    }
    assert len(placed) == 12


def test_a_report_comes_at_the_end(study):
    """One page, with every test slide that was judged."""
    page = (study / "runs" / "dmia" / "report.html").read_text()
    said = rows(study / "runs/dmia/predictions.csv")
    assert all(s in page for s, row in said.items() if row["split"] == "test")


def test_the_figures_are_those_of_the_predictions(study):
    """The 129 hold what was judged of them; the 127 two slides fewer."""
    said = {s.lower(): r for s, r in rows(study / "runs/dmia/predictions.csv").items()}
    figures = summary(study)["slides"]
    judged = ["test_001", "test_003", "test_114", "test_124"]
    truth = [said[s]["label"] == "tumor" for s in judged]
    scores = [float(said[s]["probability_tumor"]) for s in judged]
    assert figures["129"]["auc"] == pytest.approx(roc_auc_score(truth, scores))
    assert figures["127"]["auc"] == pytest.approx(roc_auc_score(truth[:2], scores[:2]))
    counted = [(f["slides_asked"], f["slides_judged"]) for f in figures.values()]
    assert counted == [(129, 4), (127, 2)]
    assert set(figures["129"]["not_judged"]) == set(TEST_IDS) - set(judged)
    assert set(figures["129"]["not_judged"].values()) == {"missing"}


def test_lesion_figures_are_on_slides_with_exhaustive_outlines(study):
    """test_114 counts for slides only; isolated tumour cells are no lesion to find."""
    told = summary(study)["lesions"]["128"]
    own = study / RESULTS / "lesions_128"
    assert {path.stem for path in (own / "detections").iterdir()} == {
        "test_001",
        "test_003",
        "test_124",
    }
    counted = [told[k] for k in ("slides_asked", "slides", "lesions")]
    assert counted == [128, 3, 1]
    assert told["isolated_tumour_cells"] == 1
    assert "test_114" not in told["not_judged"]
    assert len(told["not_judged"]) == 125
    assert json.loads((own / "froc.json").read_text())["score"] == told["score"]


def test_a_tumor_slide_without_outlines_is_no_slide_without_lesions(study, tmp_path):
    """Its hits would be false alarms: it is left out of the lesion figures and named."""
    truth = Truth(tmp_path / "outlines", study / "camelyon16" / "labels.csv")
    truth.annotations.mkdir()
    preparation = Preparation(study, quiet=True)
    model = study / "runs" / "dmia" / "model.safetensors"
    judged = judge_lesions(model, preparation, truth, tmp_path, {"test_002": "missing"})
    figures = judged["128"]
    assert figures.froc is not None
    assert (figures.froc.slides, figures.froc.lesions) == (2, 0)
    assert "no annotation" in figures.not_judged["test_001"]
    assert figures.not_judged["test_002"] == "missing"
    assert "no slide with lesions was judged" in figures.sentence("128")


def test_what_hinders_the_lesion_figures_is_said_in_their_place(study, tmp_path):
    """The slide figures are not lost with them."""
    model = study / "runs" / "dmia" / "model.safetensors"
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "test_001.xml").write_text("<ASAP")
    labels = study / "camelyon16" / "labels.csv"
    for place, normals, why in (
        (tmp_path / "nowhere", {}, "get testing/lesion_annotations.zip"),
        (broken, {"test_003": "failed", "test_124": "failed"}, "broken XML"),
    ):
        truth, preparation = Truth(place, labels), Preparation(study, quiet=True)
        figures = judge_lesions(model, preparation, truth, tmp_path, normals)["128"]
        assert figures.froc is None
        assert why in figures.facts()["error"]
        assert "lesion FROC on the 128: none: " in figures.sentence("128")


def test_the_summary_says_what_is_not_counted(study):
    """In the file and, for people, in a few lines."""
    told = summary(study)
    assert list(told["left_out"]) == ["test_049"]
    assert len(told["missing"]) == 399 - 12
    text = (study / RESULTS / "summary.txt").read_text()
    assert "only 4 of them judged" in text
    inventory = read_csv(study / "camelyon16" / "inventory.csv")
    assert len(inventory) == 400


def test_the_run_says_how_it_can_be_made_again(miniature, study):
    """Its configuration names the folder of the data set."""
    text = (study / "runs" / "dmia" / "config.toml").read_text()
    assert tomllib.loads(text)["camelyon16"]["folder"] == str(miniature)
    assert "coverslip camelyon16 --out ANOTHER_STUDY" in text


def test_the_same_command_again_changes_nothing(miniature, study, cli):
    """Every stage finds its work done."""
    before = files(study)
    ran = cli("camelyon16", miniature, "--out", study, *LEARN)
    assert ran.code == 0
    assert files(study) == before
    assert "slide AUC on the 129" in ran.out
    assert "test_049: a duplicate" in ran.out


def test_other_slides_than_before_are_refused(miniature, study, cli, tmp_path):
    """A training that went on with other slides would be neither the one nor the other."""
    for path in miniature.rglob("*"):
        if path.is_file() and path.stem != "tumor_002":
            copy = tmp_path / path.relative_to(miniature)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.symlink_to(path)
    shutil.copytree(study, tmp_path / "study")
    ran = cli("camelyon16", tmp_path, "--out", tmp_path / "study", *LEARN)
    assert ran.code == 1
    assert "made with other parameters" in ran.err


@pytest.mark.parametrize(
    ("lacking", "message"),
    [
        ("training/tumor/*", "no tumor slide of the part train"),
        ("testing/reference.csv", "no test slide with a label"),
        ("testing/images/*", "no test slide with a label"),
    ],
)
def test_what_cannot_be_trained_or_tested_is_told_before_any_work(
    lacking, message, tmp_path
):
    """Half of a download is not a reason to wait for its features."""
    for place, ids in (
        ("training/normal", [s for s in TRAINING_IDS if "normal" in s]),
        ("training/tumor", [s for s in TRAINING_IDS if "tumor" in s]),
        ("testing/images", TEST_IDS),
    ):
        (tmp_path / place).mkdir(parents=True)
        for slide_id in ids:
            (tmp_path / place / f"{slide_id}.tif").touch()
    table = "".join(f"{s},Tumor,IDC,Macro\n" for s in TEST_IDS)
    (tmp_path / "testing" / "reference.csv").write_text(table)
    for path in tmp_path.glob(lacking):
        path.unlink()
    stock = take_stock(tmp_path)
    assert stock.used
    with pytest.raises(LabelError, match=message):
        write_labels(stock, tmp_path / "labels.csv")
