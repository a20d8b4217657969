"""A report is whole whatever a study holds, and says what the run's tables say."""

import json
import re
import shutil
from html import unescape

import pytest

from coverslip.errors import DataError, OptionError
from coverslip.learn.train_options import TrainOptions
from coverslip.pipeline.judge.comparing import compare
from coverslip.pipeline.learn.learn_options import LearnOptions
from coverslip.pipeline.learn.runs import TrainPlan, train
from coverslip.pipeline.report.report_options import ReportOptions
from coverslip.pipeline.report.reporting import report
from coverslip.pipeline.report.tables import in_words
from coverslip.store import read_json, write_json
from coverslip.tables import read_csv, write_csv
from coverslip.testing import toy_cohort
from studies import predictions, rows


@pytest.fixture
def study(finished, tmp_path):
    """Return a copy of a finished study that may be spoilt."""
    return shutil.copytree(finished, tmp_path / "study")


@pytest.fixture
def quick(monkeypatch):
    """Leave the figures undrawn, which take most of the time."""
    keep = "coverslip.show.report.drawing.keep"
    monkeypatch.setattr(keep, lambda *_: "<svg></svg>")


def told(result):
    """Return the words of a report."""
    text = result.path.read_text(encoding="utf-8")
    text = re.sub(r"<(script|style)>.*?</\1>", "", text, flags=re.DOTALL)
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", text)).split())


def change_predictions(study, change, run="dmia"):
    """Write a run's table of predictions anew, each row changed."""
    path = study / "runs" / run / "predictions.csv"
    table = read_csv(path)
    for row in table:
        change(row)
    write_csv(path, list(table[0]), table)


def test_a_run_ends_with_its_report(finished):
    """It lies in the run's folder, with pictures of every test slide."""
    text = (finished / "runs" / "dmia" / "report.html").read_text(encoding="utf-8")
    tested = [k for k, r in predictions(finished).items() if r["split"] == "test"]
    assert tested
    assert text.count("<article") == len(tested)
    assert all(f">{slide_id}</h3>" in text for slide_id in tested)
    assert text.count("data:image/jpeg") > len(tested)


@pytest.mark.usefixtures("quick")
def test_a_report_says_what_the_tables_say(study):
    """Figures are the run's; each slide has its probability, flag and scale."""
    words = told(report(study, quiet=True))
    metrics = read_json(study / "runs" / "dmia" / "metrics.json")["test"]
    ends = metrics["intervals"]["auc"]
    assert f"AUC {metrics['auc']:.3f} 95 % interval {ends['low']:.3f}" in words
    for row in predictions(study).values():
        if row["split"] == "test":
            said = float(row["probability_tumor"])
            assert f"p {said:.3f} against {float(row['threshold']):.3f}" in words
    flagged = "refer to a person" in words
    assert flagged == any(r["refer"] == "yes" for r in predictions(study).values())
    assert "asked 0.5 µm/px read 0.5 µm/px, level 0 achieved 0.5 µm/px" in words
    card = read_json(study / "runs" / "dmia" / "model.json")
    assert card["features"]["encoder"]["weights_hash"] in words
    assert "coverslip run " in words  # the command
    assert "of the split 0" in words


def test_figures_are_files_for_a_paper_too(study):
    """Each as SVG and PNG, in the run's folder."""
    result = report(study, quiet=True)
    names = {path.name for path in result.figures.iterdir()}
    for name in ("roc", "calibration", "confusion", "classes", "training_curves"):
        assert {f"{name}.svg", f"{name}.png"} <= names


def test_the_same_report_again_is_the_same_file(study):
    """Nothing in it depends on when it was made."""
    first = report(study, quiet=True).path.read_bytes()
    assert report(study, quiet=True).path.read_bytes() == first


@pytest.mark.usefixtures("quick")
def test_slides_decided_wrongly_come_first(study):
    """With pictures of one slide, it is the one that the model is wrong about."""
    tested = [k for k, r in predictions(study).items() if r["split"] == "test"]
    last = max(tested)

    def spoil(row):
        right = row["slide_id"] != last
        other = {"normal": "tumor", "tumor": "normal"}[row["label"]]
        row["predicted"] = row["label"] if right else other

    change_predictions(study, spoil)
    result = report(study, options=ReportOptions(slides=1), quiet=True)
    text = result.path.read_text(encoding="utf-8")
    assert (result.slides, result.pictured) == (len(tested), 1)
    assert f">{last}</h3>" in text
    assert f"Pictures of 1 of {len(tested)} slides. Those decided wrongly" in text
    whole = report(study, options=ReportOptions(slides=1, all=True), quiet=True)
    assert whole.pictured == len(tested)
    assert whole.size > result.size


@pytest.mark.usefixtures("quick")
def test_the_page_counts_what_is_really_pictured(study):
    """A slide that was moved is not counted, though it was chosen."""
    table = read_csv(study / "slides.csv")
    tested = [k for k, r in predictions(study).items() if r["split"] == "test"]
    for row in table:
        if row["slide_id"] == tested[0]:
            row["path"] += ".moved"
    write_csv(study / "slides.csv", list(table[0]), table)
    result = report(study, quiet=True)
    assert (result.slides, result.pictured) == (2, 1)
    words = told(result)
    assert "Pictures of 1 of 2 slides. 1 chosen without pictures" in words


@pytest.mark.usefixtures("quick")
def test_without_slides_to_picture_no_progress_is_shown(study, capfd):
    """A bar of nothing tells nothing."""
    result = report(study, options=ReportOptions(slides=0))
    assert result.pictured == 0
    assert "slide/s" not in capfd.readouterr().err
    assert "Pictures of 0 of 2 slides. Ask for more" in told(result)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ([None, 0.1027793], "none, 0.1028"),
        (True, "on"),
        (False, "off"),
        (0.7646066844463348, "0.7646"),
        (20000.0, "20000"),
        (1e-05, "1e-05"),
        (7, "7"),
        ("auto", "auto"),
    ],
)
def test_parameters_are_told_in_plain_words(value, said):
    """Not as Python writes them, and fractions with four decimals."""
    assert in_words(value) == said


@pytest.mark.usefixtures("quick")
def test_slides_that_are_gone_cost_their_pictures_only(study):
    """The rest is there, and so is the reason."""
    table = read_csv(study / "slides.csv")
    for row in table:
        row["path"] = f"{row['path']}.moved"
    write_csv(study / "slides.csv", list(table[0]), table)
    result = report(study, quiet=True)
    assert result.pictured == 0
    assert result.without
    assert all(
        "the slide was moved or deleted" in why for why in result.without.values()
    )
    words = told(result)
    assert "No pictures:" in words
    assert "ROC with its 95 % band" in words
    assert re.search(r"no pictures of 2 slides|no pictures of slide", result.lines()[0])


@pytest.mark.usefixtures("quick")
def test_a_slide_without_tissue_is_listed_and_not_judged(study):
    """It says "no tissue", and the notes count it."""
    tested = [k for k, r in predictions(study).items() if r["split"] == "test"]

    def bare(row):
        if row["slide_id"] == tested[0]:
            keep = ("slide_id", "case_id", "split", "label")
            row.update({key: "" for key in row if key not in keep})
            row.update(predicted="no tissue", status="no tissue")

    change_predictions(study, bare)
    result = report(study, quiet=True)
    assert result.without == {tested[0]: "no tissue"}
    words = told(result)
    assert "Slides kept apart without tissue, counted in no figure: 1" in words
    assert "The slides are of one class only." in words


@pytest.mark.usefixtures("quick")
def test_failed_slides_are_left_out_and_named(study):
    """The cohort says which, and why."""
    table = read_csv(study / "slides.csv")
    failed = {**dict.fromkeys(table[0], ""), "slide_id": "broken", "status": "failed"}
    table.append({**failed, "error": "broken.svs: not a slide"})
    write_csv(study / "slides.csv", list(table[0]), table)
    words = told(report(study, quiet=True))
    assert "status: failed 1" in words
    assert (
        "Left out, or without patches: 1 slide why broken broken.svs: not a slide"
        in (words)
    )


@pytest.mark.usefixtures("quick")
def test_without_test_slides_nothing_is_judged(study):
    """There is a report all the same, with the training."""
    change_predictions(study, lambda row: row.update(split="train"))
    result = report(study, quiet=True)
    words = told(result)
    assert result.slides == 0
    assert "No slide was kept apart for test" in words
    assert "Training curves" in words


@pytest.mark.usefixtures("quick")
def test_all_runs_of_a_study_are_compared(study):
    """Beside the reported one, as `compare` would, which writes files of its own."""
    shutil.copytree(study / "runs" / "dmia", study / "runs" / "other")
    (study / "runs" / "begun").mkdir()
    write_json(study / "runs" / "begun" / "config.json", {})
    result = report(study, "other", quiet=True)
    words = told(result)
    assert "its paired difference to other" in words
    assert "Not finished: begun." in words
    assert not (study / "runs" / "comparison").exists()
    found = compare([study / "runs" / "other", study / "runs" / "dmia"])
    aucs = [f"{row['auc']:.3f}" for row in found.rows]
    assert all(auc in words for auc in aucs)


@pytest.mark.usefixtures("quick")
def test_runs_that_cannot_be_compared_say_why(study):
    """Other labels do not end the report."""
    shutil.copytree(study / "runs" / "dmia", study / "runs" / "other")
    swap = {"normal": "tumor", "tumor": "normal"}
    change_predictions(study, lambda r: r.update(label=swap[r["label"]]), "other")
    assert "Not comparable:" in told(report(study, "dmia", quiet=True))


def test_of_folds_every_slide_is_judged_by_the_model_that_did_not_learn_it(
    study, cohort
):
    """All slides are in the list; folds have their rows and curves."""
    options = LearnOptions(model="mean", training=TrainOptions(epochs=2))
    plan = TrainPlan(name="cv", folds=2, quiet=True)
    train(study, cohort.labels, options, plan)
    result = report(study, "cv", options=ReportOptions(patches=1), quiet=True)
    words = told(result)
    assert result.slides == result.pictured == 10
    assert "cross-validated in 2 parts" in words
    assert "Slides by fold and subset" in words
    assert "each of 2 folds" in words
    for fold in ("fold 0", "fold 1"):  # the hash of each one's weights
        assert re.search(rf"sha256 of the model {fold} [0-9a-f]{{64}}", words)


@pytest.mark.usefixtures("quick")
def test_slides_that_nobody_labelled_are_shown_a_model(study, tmp_path):
    """A study without runs, and the run of another: told, not judged."""
    new = shutil.copytree(study, tmp_path / "new", ignore=lambda *_: {"runs"})
    result = report(new, str(study / "runs" / "dmia"), quiet=True)
    assert result.path == new / "report.html"
    assert result.slides == result.pictured == 10
    words = told(result)
    assert "nothing is judged" in words
    known = rows(study / "runs" / "dmia" / "predictions.csv")
    for row in known.values():
        assert f"p {float(row['probability_tumor']):.3f}" in words


def test_features_of_elsewhere_have_no_pictures(tmp_path):
    """Of three classes: every class has its curve, and the list its reason."""
    made = toy_cohort(tmp_path / "study", slides=18, patches=6)
    table = read_csv(made.labels)
    for number, row in enumerate(table):
        row["label"] = ("normal", "tumor", 'a <"third"> & $class$')[number % 3]
    write_csv(made.labels, ["slide_id", "label"], table)
    options = LearnOptions(model="mean", training=TrainOptions(epochs=2))
    train(made.study, made.labels, options, TrainPlan(quiet=True))
    result = report(made.study, quiet=True)
    words = told(result)
    assert 'a <"third"> & $class$' in words
    assert set(result.without.values()) == {
        "the study has no table of slides: its features came from elsewhere"
    }
    svg = (result.figures / "roc.svg").read_text(encoding="utf-8")
    assert svg.count("95 % band") == 3


@pytest.mark.usefixtures("quick")
def test_a_run_of_before_commands_were_recorded_says_so(study):
    """Nothing is made up for it."""
    (study / "runs" / "dmia" / "provenance.json").unlink()
    words = told(report(study, quiet=True))
    assert "Command of the run not recorded" in words
    assert "of the split not recorded" in words


def test_what_cannot_be_reported_is_refused(study, tmp_path):
    """A folder in place of a file; a run or a study that is none."""
    with pytest.raises(OptionError, match="a folder: name the file"):
        report(study, out=tmp_path, quiet=True)
    with pytest.raises(DataError, match="no finished run: choose from dmia"):
        report(study, "nothing", quiet=True)
    with pytest.raises(DataError, match="no finished run there"):
        report(tmp_path, quiet=True)


@pytest.mark.usefixtures("quick")
def test_the_command_tells_where_it_is_and_how_large(study, tmp_path, cli):
    """In lines, and as JSON; the command stands in the report."""
    out = tmp_path / "mail.html"
    said = cli("report", study, "--out", out, "--quiet")
    assert said.code == 0
    assert re.search(
        rf"report: {re.escape(str(out))} \([\d.]+ MB, pictures of 2 of 2", (said.out)
    )
    assert f"coverslip report {study} --out {out} --quiet" in out.read_text("utf-8")
    facts = json.loads(cli("report", study, "--slides", 1, "--json").out)
    assert facts["pictured"] == 1
    assert facts["bytes"] == (study / "runs" / "dmia" / "report.html").stat().st_size
