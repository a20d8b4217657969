"""`--json`: every command that reports takes it, and says what docs/json.md lists."""

import json
import re
import shutil
from pathlib import Path
from types import SimpleNamespace

import click
import pytest

from coverslip.cli import COMMANDS, LazyGroup
from coverslip.pipeline.demo import DemoResult, HotPatches
from coverslip.pipeline.prepare.table import SlideTable
from coverslip.pipeline.verbs import RunResult, TrainResult
from coverslip.testing import toy_cohort
from studies import run_arguments

PAGE = Path(__file__).resolve().parents[2] / "docs" / "json.md"
REPORTS_NOTHING = {
    "init": "writes a file, whose path was given",
    "completion": "prints a script",
}


def documented(command) -> set[str]:
    """Return the keys that the page lists for a command, those it refers to as well."""
    for section in re.split(r"(?m)^## ", PAGE.read_text())[1:]:
        title, _, text = section.partition("\n")
        if command in title.split(", "):
            break
    else:
        raise AssertionError(f"{PAGE}: nothing on {command}")
    text = text.partition("Of each run:")[0]
    rows = re.findall(r"(?m)^\| ([\w, ]+) \| ", text)
    keys = {key for row in rows for key in row.split(", ")} - {"key"}
    if above := re.search(r"As `(\w+)`, (but in place of `(\w+)`)?", text):
        keys |= documented(above[1]) - {above[3]}
    return keys


def told(ran, code=0) -> dict[str, object]:
    """Return the one object that a command printed."""
    assert ran.code == code, ran.err

    def refuse(word):
        raise AssertionError(f"{word} is not JSON")

    facts = json.loads(ran.out, parse_constant=refuse)
    assert isinstance(facts, dict)
    assert ran.out.count("\n") == 1
    return facts


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    """Return a toy cohort."""
    return toy_cohort(tmp_path_factory.mktemp("toy"), slides=16, patches=8, dim=4)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_that_reports_takes_json(name):
    """Or there is a reason why it does not."""
    command = LazyGroup().get_command(click.Context(LazyGroup()), name)
    takes = any("--json" in param.opts for param in command.params)
    assert takes != (name in REPORTS_NOTHING)


@pytest.mark.parametrize("name", [n for n in COMMANDS if n not in REPORTS_NOTHING])
def test_the_page_lists_the_keys_of_every_command(name):
    """Each has its part of the page."""
    assert documented(name)


@pytest.mark.parametrize("stage", ["tissue", "patches", "features"])
def test_preparing(cli, cohort, tmp_path, stage):
    """What became of the slides, with a reason for each that failed."""
    slide = min(cohort.slides.glob("*"))
    bad = tmp_path / "bad.svs"
    bad.write_bytes(b"nothing")
    words = (stage, slide, bad, "--out", tmp_path / "study", "--json")
    more = ("--encoder", "fake", "--quiet") if stage == "features" else ("--quiet",)
    facts = told(cli(*words, *more))
    assert facts.keys() == documented(stage)
    assert (facts["slides"], facts["done"]) == (2, 1)
    assert "bad.svs" in facts["failed"]["bad"]
    assert (facts["encoder_idle"] is None) == (stage != "features")
    only_bad = (stage, bad, "--out", tmp_path / "other", "--json", *more)
    assert told(cli(*only_bad), code=1)["done"] == 0


def test_learning_and_judging(cli, toy, tmp_path):
    """train, evaluate, compare and predict, one after another."""
    study = tmp_path / "study"
    short = "--epochs 1 --partitions 1 --val-share 0.3 --test-share 0.3 --quiet"
    data = ("--labels", toy.labels, "--features", toy.features)
    models = ("--model", "mean", "--model", "max")
    facts = told(cli("train", study, *data, *models, *short.split(), "--json"))
    assert facts.keys() == documented("train")
    assert [run["name"] for run in facts["runs"]] == ["mean", "max"]
    assert facts["runs"][0].keys() == {
        *("name", "folder", "models", "judged", "summary", "notes")
    }
    stored = json.loads((study / "runs" / "mean" / "metrics.json").read_text())
    assert facts["runs"][0]["judged"]["test"] == stored["test"]
    run = study / "runs" / "mean"
    facts = told(cli("evaluate", run, *data, "--out", tmp_path / "e", "--json"))
    assert facts.keys() == documented("evaluate")
    assert facts["judged"]["test"]["n"] == stored["test"]["n"]
    ran = cli("compare", run, study / "runs" / "max", "--json")
    facts = told(ran)
    assert facts.keys() == documented("compare")
    assert [row["model"] for row in facts["runs"]] == ["mean", "max"]
    inputs = sorted(toy.features.glob("*.h5"))[:2]
    words = ("predict", run, *inputs, "--out", tmp_path / "p.csv", "--quiet", "--json")
    facts = told(cli(*words))
    assert facts.keys() == documented("predict")
    assert (facts["done"], facts["predictions"]) == (2, str(tmp_path / "p.csv"))


def test_looking(cli, finished, cohort, tmp_path):
    """Heatmap and froc of a finished study; run again on a copy of it."""
    run = finished / "runs" / "dmia"
    words = ("heatmap", run, finished, "--slide", "slide_08", "--quiet", "--json")
    facts = told(cli(*words, "--out", tmp_path / "pictures"))
    assert facts.keys() == documented("heatmap")
    assert facts["heatmaps"] == [str(tmp_path / "pictures" / "slide_08.png")]
    found = tmp_path / "found"
    found.mkdir()
    (found / "slide_08.csv").write_text("0.9,10,10\n")
    corners = [[0, 0], [0, 99], [99, 99], [99, 0], [0, 0]]
    outline = {"type": "Polygon", "coordinates": [corners]}
    (tmp_path / "slide_08.geojson").write_text(
        json.dumps({"type": "Feature", "properties": {}, "geometry": outline})
    )
    truth = ("--annotations", tmp_path, "--lesion-mpp", "0.5", "--out", tmp_path / "o")
    facts = told(cli("froc", found, *truth, "--json"))
    assert facts.keys() == documented("froc")
    assert facts["slides"] == 1
    again = tmp_path / "study"
    shutil.copytree(finished, again)
    facts = told(cli(*run_arguments(cohort, again, "--quiet", "--json")))
    assert facts.keys() == documented("run")
    assert facts["run"]["models"] == [str(again / "runs/dmia/model.safetensors")]
    assert len(facts["heatmaps"]) == 2
    assert facts["preparation"].keys() == documented("tissue")
    assert facts["report"] == str(again / "runs/dmia/report.html")
    facts = told(cli("report", again, "--slides", "1", "--json"))
    assert facts.keys() == documented("report")
    assert (facts["pictured"], facts["run"]) == (1, "dmia")
    words = ("export", again, "--format", "geojson", "--quiet", "--json")
    facts = told(cli(*words, "--slide", "slide_08"))
    assert facts.keys() == documented("export")
    assert list(facts["files"]) == ["slide_08"]


def test_planning(cli, cohort):
    """What would be prepared, and the command that would do it."""
    words = ("plan", cohort.slides, "--labels", cohort.labels, "--encoder", "fake")
    facts = told(cli(*words, "--sample", "1", "--quiet", "--json"))
    assert facts.keys() == documented("plan")
    assert facts["slides"]["found"] == 10
    assert facts["command"].startswith("coverslip run ")


def test_the_demo(cli, tmp_path, monkeypatch):
    """As of run, with how well the hottest patches hit."""
    trained = TrainResult(tmp_path / "runs" / "demo", (), {}, "all labelled")
    ran = RunResult(SlideTable(tmp_path / "slides.csv", asked={"a"}), trained, ())
    ran.table.rows["a"] = {"status": "features"}
    hot = HotPatches("a", float("nan"), 0.5)
    monkeypatch.setattr(DemoResult, "story", lambda _: "")
    result = DemoResult(None, ran, (hot,))
    monkeypatch.setattr("coverslip.pipeline.demo.demo", lambda *_, **__: result)
    facts = told(cli("demo", "--json"))
    assert facts.keys() == documented("demo")
    assert facts["hot_patches"] == [
        {"slide_id": "a", "lesion_share": None, "hits": 0.5}
    ]


def test_camelyon16(cli, miniature, tmp_path, monkeypatch):
    """The check prints the inventory alone; the whole what summary.json has, and more."""
    words = ("camelyon16", miniature, "--out", tmp_path / "study", "--json")
    facts = told(cli(*words, "--check"))
    assert facts.keys() == {"inventory", "used", "left_out", "missing"}
    table = SlideTable(tmp_path / "slides.csv", asked={"a"})
    table.rows["a"] = {"status": "features"}
    summary = ("run", "sets", "slides", "lesions", "used", "left_out", "missing")
    result = SimpleNamespace(
        folder=tmp_path,
        table=table,
        trained=SimpleNamespace(models=(tmp_path / "model.safetensors",)),
        facts=lambda: dict.fromkeys(summary),
        report=None,
        story=lambda: "",
    )
    monkeypatch.setattr(
        "coverslip.pipeline.camelyon16.camelyon16", lambda *_, **__: result
    )
    ran = cli(*words)
    assert told(ran).keys() == documented("camelyon16")
    assert "8 of 270" in ran.err


def test_encoders(cli):
    """All of them, with their cards."""
    facts = told(cli("encoders", "--json"))
    assert facts.keys() == documented("encoders")
    first = facts["encoders"][0]
    assert (first["name"], first["card"]["dim"]) == ("resnet50", 1024)


def test_doctor(cli):
    """Its checks."""
    assert told(cli("doctor", "--json")).keys() == documented("doctor")
