"""A look before a run: every error of its inputs, what it would take, and no file."""

import json
import shutil
from dataclasses import replace

import pytest

from coverslip.pipeline.engine import LocalEngine
from coverslip.pipeline.learn.learn_options import LearnOptions
from coverslip.pipeline.learn.runs import TrainPlan
from coverslip.pipeline.plan.planning import plan
from coverslip.pipeline.prepare.preparation import Preparation, PrepareOptions
from coverslip.testing import fake_encoder_known, slide_file
from studies import files, rows


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    """Measure a moment, and know the encoder `fake`."""
    monkeypatch.setattr("coverslip.pipeline.plan.measuring.SECOND", 0.01)
    monkeypatch.setattr("psutil.getloadavg", lambda: (0.0, 0.0, 0.0))
    with fake_encoder_known():
        yield


def preparation(study, **options):
    """Return a quiet way to prepare slides with the encoder `fake`."""
    chosen = PrepareOptions(features={"encoder": "fake"}, **options)
    return Preparation(study, chosen, engine=LocalEngine(2), quiet=True)


SPLITS = {"val_share": 0.2, "test_share": 0.2}
FEW = LearnOptions(training={"epochs": 6, "lr": 0.001})


def planned(cohort, study, *, slides=None, labels=None, **more):
    """Plan the run that made `finished`, or one like it."""
    train_plan = TrainPlan()
    train_plan = replace(train_plan, splits=train_plan.splits.replace(**SPLITS))
    return plan(
        [slides or cohort.slides],
        labels or cohort.labels,
        more.pop("preparation", None) or preparation(study),
        more.pop("options", FEW),
        train_plan,
        **more,
    )


def errors(made):
    """Return the texts of what has to be mended."""
    return [f.text for f in made.findings if f.severity == "error"]


def test_a_sound_cohort_is_ready_and_nothing_is_written(cohort, tmp_path):
    """Patches are exact where all slides were sampled; time and disk are told."""
    made = planned(cohort, tmp_path / "study")
    assert made.ready
    facts = json.loads(json.dumps(made.facts(), allow_nan=False))
    assert facts["slides"]["usable"] == facts["slides"]["labelled"] == 10
    assert facts["estimate"]["patches"] == {"low": 40, "likely": 40, "high": 40}
    assert facts["estimate"]["patches_a_second"] > 0
    assert facts["estimate"]["seconds"]["likely"] > 0
    assert facts["estimate"]["bytes"]["likely"] > 40 * (2 * 6 + 16)
    assert sum(facts["split"][0]["test"].values()) == 2
    assert list(tmp_path.iterdir()) == []


def test_a_sample_gives_an_interval_around_the_truth(cohort, tmp_path):
    """Slides of the cohort are alike: three tell of ten."""
    made = planned(cohort, tmp_path / "study", sample=3)
    patches = made.estimate.patches
    assert len(made.survey.sample) == 3
    assert patches.low <= 40 <= patches.high


def test_what_a_study_holds_is_counted_and_not_made_again(cohort, finished):
    """The same run once more has no features to make."""
    before = files(finished)
    made = planned(cohort, finished)
    assert made.ready, errors(made)
    assert len(made.survey.kept) == 10
    assert made.survey.sample == ()
    assert made.estimate.features.high == made.estimate.training == 0
    counted = sum(int(r["patches"]) for r in rows(finished / "slides.csv").values())
    assert made.estimate.patches.likely == counted
    assert files(finished) == before


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"options": FEW.replace(training={"epochs": 7, "lr": 0.001})}, "epochs was 6"),
        ({"patches": {"threshold": 0.7}}, "threshold was 0.8, now 0.7"),
        ({"tissue": {"mask_mpp": 4.0}}, "mask_mpp was 8.0, now 4.0"),
    ],
)
def test_a_study_made_otherwise_is_an_error(cohort, finished, change, says):
    """A run would stop there, perhaps at its very end."""
    options = change.pop("options", FEW)
    made = planned(
        cohort,
        finished,
        options=options,
        preparation=preparation(finished, **change),
    )
    assert any(says in text for text in errors(made)), errors(made)


def test_every_slide_that_cannot_be_used_is_told_with_its_remedy(cohort, tmp_path):
    """Broken, without a scale, too coarse, too small, and the others go on."""
    slides = tmp_path / "slides"
    shutil.copytree(cohort.slides, slides)
    (slides / "broken.tif").write_bytes(b"no slide")
    whole = (slides / "slide_00.tif").read_bytes()
    (slides / "slide_00.tif").write_bytes(whole[: len(whole) // 2])
    slide_file(slides / "scaleless.tif", l0_mpp=None)
    slide_file(slides / "coarse.tif", l0_mpp=2.0)
    slide_file(slides / "small.tif", size=200, tissue=None)
    made = planned(cohort, tmp_path / "study", slides=slides)
    about = {f.names: f.text for f in made.findings if f.about == "slides"}
    assert "--mpp" in about[("scaleless.tif",)]
    assert "--target-mpp 2" in about[("coarse.tif",)]
    assert "smaller --size" in about[("small.tif",)]
    assert about[("broken.tif", "slide_00.tif")].startswith("2 (broken.tif, ")
    assert len(made.survey.looks) == len(made.rows) == 9


def test_a_slide_that_cannot_be_used_needs_no_label(cohort, tmp_path):
    """What is the matter with it is told; only of the others that they lack a label."""
    slides = tmp_path / "slides"
    shutil.copytree(cohort.slides, slides)
    (slides / "broken.tif").write_bytes(b"no slide")
    slide_file(slides / "scaleless.tif", l0_mpp=None)
    slide_file(slides / "sound.tif")
    made = planned(cohort, tmp_path / "study", slides=slides)
    (told,) = [f for f in made.findings if "slides without label" in f.text]
    assert told.names == ("sound",)
    assert "without label: 1 (sound)" in told.text


@pytest.mark.parametrize("labelled", [True, False])
def test_a_path_that_is_not_there_is_no_slide(cohort, tmp_path, labelled):
    """It is the one thing that is wrong; nothing is said of labels because of it."""
    nope = tmp_path / "nope"
    table = cohort.labels if labelled else None
    made = plan([nope], table, preparation(tmp_path / "study"), FEW)
    assert errors(made) == [f"{nope}: no such file: check the path"]
    assert [f.about for f in made.findings] == ["slides"]
    assert made.facts()["slides"]["found"] == 0


def test_a_path_that_is_not_there_hides_no_slide(cohort, tmp_path):
    """The others are looked at."""
    paths = [cohort.slides, tmp_path / "nope.tif"]
    made = plan(paths, cohort.labels, preparation(tmp_path / "study"), FEW)
    assert errors(made) == [f"{paths[1]}: no such file: check the path"]
    assert made.facts()["slides"]["found"] == made.facts()["slides"]["usable"] == 10


def test_damaged_pixels_are_found_on_slides_outside_the_sample(cohort, tmp_path):
    """A slide that opens and cannot be decoded would fail hours later."""
    slides = tmp_path / "slides"
    shutil.copytree(cohort.slides, slides)
    for path in slides.glob("*.tif"):
        whole = bytearray(path.read_bytes())
        whole[64 : len(whole) // 2] = b"\xff" * (len(whole) // 2 - 64)
        if path.stem != "slide_04":
            path.write_bytes(whole)
    made = planned(cohort, tmp_path / "study", slides=slides, sample=1)
    assert list(made.survey.looks) == ["slide_04"]


def test_bare_glass_on_the_sample_is_a_warning(cohort, tmp_path):
    """The slide would be left out of the training."""
    slides = tmp_path / "slides"
    shutil.copytree(cohort.slides, slides)
    slide_file(slides / "slide_03.tif", tissue=None)
    made = planned(cohort, tmp_path / "study", slides=slides)
    (told,) = [f for f in made.findings if f.names == ("slide_03",)]
    assert told.severity == "warning"
    assert "no tissue" in told.text


def test_slides_and_labels_are_told_of_together(tmp_path):
    """Neither a missing folder nor a missing table hides the other."""
    made = plan([tmp_path / "none"], tmp_path / "no.csv", preparation(tmp_path / "s"))
    assert {f.about for f in made.findings if f.severity == "error"} == {
        "slides",
        "labels",
    }


def test_weights_that_are_not_here_leave_the_time_open(cohort, tmp_path, monkeypatch):
    """Where they can be had it is a note, where not an error; nothing is downloaded."""
    import urllib.request

    place = tmp_path / "torch"
    monkeypatch.setenv("TORCH_HOME", str(place))
    resnet = replace(preparation(tmp_path / "study"), options=PrepareOptions())

    def no_network(*_, **__):
        raise OSError("no network")

    monkeypatch.setattr(urllib.request, "urlopen", no_network)
    made = planned(cohort, tmp_path / "study", preparation=resnet)
    assert "--weights FILE" in errors(made)[0]
    assert made.estimate.seconds is None
    assert made.estimate.patches.likely == 40

    import io

    monkeypatch.setattr(urllib.request, "urlopen", lambda *_, **__: io.BytesIO())
    made = planned(cohort, tmp_path / "study", preparation=resnet)
    assert made.ready
    assert any(f.about == "encoder" and f.severity == "note" for f in made.findings)
    assert not place.exists()


@pytest.mark.parametrize(
    ("free", "severity"), [(1_000, "error"), (36_000_000, None), (9_000_000, "warning")]
)
def test_the_free_disk_is_compared(cohort, tmp_path, monkeypatch, free, severity):
    """Full is an error, nearly full a warning."""
    usage = type("Usage", (), {"free": free})()
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage)
    made = planned(cohort, tmp_path / "study")
    found = [f.severity for f in made.findings if f.about == "disk"]
    assert found == ([severity] if severity else []), made.estimate.bytes


def test_a_busy_machine_is_noted(cohort, tmp_path, monkeypatch):
    """What is measured beside other work is slower than alone."""
    monkeypatch.setattr("psutil.getloadavg", lambda: (999.0, 0.0, 0.0))
    made = planned(cohort, tmp_path / "study", sample=1)
    assert any("busy" in f.text for f in made.findings)
