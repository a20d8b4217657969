"""Lesion FROC of a model on slides: who counts, who does not, and what is written."""

import json

import numpy as np
import pytest
import shapely

from coverslip.errors import DataError
from coverslip.judge.detections import FrocOptions, read_detections
from coverslip.learn.checkpoint import load_model
from coverslip.learn.prediction import Prediction
from coverslip.pipeline.predict.localising import (
    detect,
    froc_of_detections,
)
from coverslip.pipeline.predict.truth import (
    DRAWN_ON,
    NOT_ANNOTATED,
    NOTHING_DRAWN,
    UNKNOWN,
    Truth,
    know,
)
from coverslip.prepare.annotations import write_asap_xml
from coverslip.prepare.features import Features
from studies import PATCHING

LESION = shapely.box(256, 256, 768, 768)


@pytest.fixture
def truth(tmp_path):
    """Return annotations and labels: every kind of slide once."""
    folder = tmp_path / "annotations"
    for name in ("Tumor_001", "normal_009", "unlabelled_1"):
        write_asap_xml(folder / f"{name}.xml", {"Tumor": [LESION]})
    for name in ("tumor_003", "normal_002"):
        write_asap_xml(folder / f"{name}.xml", {})
    labels = tmp_path / "labels.csv"
    rows = [
        f"{name},{name.partition('_')[0]},{name[-1]}"
        for name in (
            "tumor_001",
            "tumor_002",
            "tumor_003",
            "normal_001",
            "normal_002",
            "normal_009",
        )
    ]
    labels.write_text("\n".join(["slide_id,label,case_id", *rows]))
    return Truth(folder, labels)


SLIDES = [
    "tumor_001",
    "tumor_002",
    "tumor_003",
    "NORMAL_001",
    "normal_002",
    "normal_009",
    "unlabelled_1",
    "unlabelled_2",
]


def test_every_slide_counts_or_has_a_reason(truth):
    """Drawn, normal by its label, or left out by name; case does not matter."""
    known = know(truth, SLIDES)
    assert {k: v is not None for k, v in known.regions.items()} == {
        "tumor_001": True,
        "NORMAL_001": False,
        "normal_002": False,
        "unlabelled_1": True,
    }
    assert known.left_out == {
        "tumor_002": NOT_ANNOTATED,
        "tumor_003": NOTHING_DRAWN,
        "normal_009": DRAWN_ON,
        "unlabelled_2": UNKNOWN,
    }
    assert known.cases["NORMAL_001"] == "1"
    assert known.regions["tumor_001"].equals(LESION)


def test_without_labels_no_slide_counts_as_normal_by_default(truth):
    """A slide without annotation is unknown, whatever it is called."""
    known = know(Truth(truth.annotations), ["tumor_001", "normal_001"])
    assert list(known.regions) == ["tumor_001"]
    assert known.left_out == {"normal_001": UNKNOWN}


def test_annotations_must_be_there_and_one_for_each_slide(truth, tmp_path):
    """A missing folder is not a folder of normal slides; a broken file is one slide's."""
    with pytest.raises(DataError, match="no such folder"):
        know(Truth(tmp_path / "no"), SLIDES)
    (truth.annotations / "tumor_002.xml").write_text("<broken")
    known = know(truth, ["tumor_001", "tumor_002"])
    assert "broken XML" in known.left_out["tumor_002"]
    (truth.annotations / "TUMOR_002.geojson").write_text("[]")
    with pytest.raises(DataError, match="same slide"):
        know(truth, SLIDES)


@pytest.fixture
def elsewhere(tmp_path):
    """Return a folder of detections: one hit, one false positive, and an empty file."""
    folder = tmp_path / "detections"
    folder.mkdir()
    (folder / "tumor_001.csv").write_text("0.9,500,500\n0.8,5000,5000\n")
    (folder / "normal_001.csv").write_text("")
    (folder / "tumor_002.csv").write_text("0.7,1,1\n")
    return folder


def test_detections_made_elsewhere_are_judged(truth, elsewhere, tmp_path):
    """Files of `prob,x,y`; the curve, its picture, and who was left out."""
    options = FrocOptions(lesion_mpp=0.5)
    result = froc_of_detections(elsewhere, truth, tmp_path / "out", options)
    facts = json.loads((tmp_path / "out" / "froc.json").read_text())
    assert (facts["slides"], facts["lesions"], facts["lesions_hit"]) == (2, 1, 1)
    assert facts["score"]["value"] == 1
    assert facts["left_out"] == {"tumor_002": NOT_ANNOTATED}
    assert facts["made_with"]["lesion_mpp"] == 0.5
    assert (tmp_path / "out" / "froc.png").read_bytes().startswith(b"\x89PNG")
    assert f"left out, {NOT_ANNOTATED}: tumor_002" in result.story()


def test_the_scale_decides_what_is_isolated(truth, elsewhere, tmp_path):
    """512 px are a lesion at 0.5 um and isolated tumour cells at 0.25: no figure then."""
    options = FrocOptions(lesion_mpp=0.25)
    result = froc_of_detections(elsewhere, truth, tmp_path / "out", options)
    assert (result.froc.lesions, result.froc.itc) == (0, 1)
    assert not (tmp_path / "out" / "froc.png").exists()


def test_detections_without_a_scale_or_of_no_slide_are_refused(
    truth, elsewhere, tmp_path
):
    """Nothing is guessed, and an empty folder is no result."""
    out = tmp_path / "out"
    with pytest.raises(DataError, match="nowhere: no such folder"):
        froc_of_detections(elsewhere / "nowhere", truth, out)
    with pytest.raises(DataError, match="give --lesion-mpp"):
        froc_of_detections(elsewhere, truth, out)
    options = FrocOptions(lesion_mpp=0.243)
    with pytest.raises(DataError, match=r"no SLIDE\.csv"):
        froc_of_detections(truth.annotations, truth, out, options)
    with pytest.raises(DataError, match="no detections of tumor_009"):
        froc_of_detections(elsewhere, truth, out, options, only=["tumor_009"])
    with pytest.raises(DataError, match="no slide can be judged: tumor_002"):
        froc_of_detections(elsewhere, truth, out, options, only=["tumor_002"])


def test_what_a_model_says_becomes_detections(finished):
    """Probability as it is; attention by its share, times the slide's probability."""
    path = next((finished / PATCHING / "features_fake").glob("*.h5"))
    bag = Features.load(path)
    from coverslip.geometry import Scale

    scale, n = Scale(**bag.facts["scale"]), len(bag)
    chances = np.linspace(0.1, 0.9, n, dtype="f4")
    attention = chances[::-1] / chances.sum()
    said = Prediction(
        path.stem, np.r_[0.4, 0.6], np.zeros(2), attention, np.c_[1 - chances, chances]
    )
    corner = bag.coords[n - 1] + scale.l0_size / 2
    best = detect(said, bag, scale, FrocOptions())
    assert best.scores[0] == pytest.approx(0.9)
    assert best.l0_points[0].tolist() == corner.tolist()
    looked = detect(said, bag, scale, FrocOptions(score="attention"))
    assert looked.scores[0] == pytest.approx(0.6)
    assert looked.l0_points[0].tolist() == (bag.coords[0] + scale.l0_size / 2).tolist()
    options = FrocOptions(find="regions", threshold=0.95)
    assert len(detect(said, bag, scale, options).scores) == 0


def test_a_run_is_judged_on_the_slides_it_did_not_learn_from(
    cli, finished, cohort, tmp_path
):
    """The command: a study in, detections and figures out, by the test slides only."""
    folder, out = tmp_path / "annotations", tmp_path / "out"
    for slide in cohort.slides.iterdir():
        if int(slide.stem[-2:]) % 2:
            write_asap_xml(folder / f"{slide.stem.upper()}.xml", {"Tumor": [LESION]})
    model = finished / "runs" / "dmia"
    arguments = ("froc", finished, "--model", model, "--annotations", folder)
    more = ("--labels", cohort.labels, "--out", out, "--quiet")
    ran = cli(*arguments, *more)
    assert ran.code == 0, ran.err
    assert "learned from it (train)" in ran.out
    facts = json.loads((out / "froc.json").read_text())
    splits = (model / "splits.csv").read_text()
    tested = sorted(
        line.split(",")[0] for line in splits.splitlines() if line.endswith("test")
    )
    assert sorted(p.stem for p in (out / "detections").iterdir()) == tested
    assert facts["slides"] == len(tested)
    assert len(facts["left_out"]) == 10 - len(tested)
    assert facts["made_with"]["model"] == "runs/dmia"
    l0_points = read_detections(out / "detections" / f"{tested[0]}.csv").l0_points
    assert ((l0_points > 256) & (l0_points < 768)).all()
    assert load_model(model)[1].classes == ("normal", "tumor")


def test_the_command_judges_a_folder_of_detections(cli, truth, elsewhere, tmp_path):
    """Without a model; two folders are one too many."""
    arguments = ("--annotations", truth.annotations, "--labels", truth.labels)
    more = (*arguments, "--out", tmp_path / "out", "--lesion-mpp", 0.5)
    ran = cli("froc", elsewhere, *more)
    assert ran.code == 0
    assert ran.out.startswith("lesion FROC: 1.000")
    ran = cli("froc", elsewhere, elsewhere, *more)
    assert ran.code == 1
    assert "without --model give one folder" in ran.complaints[-1]
