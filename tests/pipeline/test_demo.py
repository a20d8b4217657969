"""The demo tells a true story: figures on slides kept apart, and hits in lesions."""

from types import SimpleNamespace

import pytest
from shapely.geometry import box

from coverslip.cohorts.painted.cohort import PaintedCohort, PaintedOptions, PaintedRow
from coverslip.pipeline import demo as module
from coverslip.pipeline.demo import demo, hot_patches
from coverslip.pipeline.demo_options import DemoOptions
from coverslip.pipeline.prepare.preparation import Preparation, PrepareOptions
from coverslip.prepare.annotations import write_asap_xml
from coverslip.prepare.encoders import registry
from coverslip.tables import write_csv
from coverslip.testing import LESION, load, slide_file


def scores(path, corners):
    """Write a heatmap's table, the most attended patch first."""
    lines = ["slide_id,x,y,attention", *(f"s,{x},{y},0.1" for x, y in corners)]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines))
    return path.with_suffix(".png")


def test_hits_are_the_share_of_the_hottest_that_lie_in_a_lesion(tmp_path):
    """Of ten patches three are lesion: two of the three hottest hit."""
    cohort = PaintedCohort(tmp_path, ())
    side = round(256 * 0.5 / PaintedOptions().l0_mpp)
    lesion = box(0, 0, 3 * side, side)
    write_asap_xml(cohort.lesions("sick"), {"_0": [lesion]})
    order = [2, 7, 0, 1, 3, 4, 5, 6, 8, 9]
    corners = [(k * side, 0) for k in order]
    pictures = (
        scores(tmp_path / "maps" / "sick.csv", corners),
        scores(tmp_path / "maps" / "sound.csv", corners),
    )
    ran = SimpleNamespace(pictures=pictures)
    (found,) = hot_patches(cohort, ran, Preparation(tmp_path, PrepareOptions()))
    assert found.slide_id == "sick"
    assert found.lesion_share == pytest.approx(0.3)
    assert found.hits == pytest.approx(2 / 3)


def painted(folder, options, workers):
    """Paint in no time: slides in two colours, a lesion all over the second kind."""
    assert workers == 2
    found = []
    for number in range(options.n_slides):
        slide_id, sick = f"painted_{number:03d}", number % 2 == 1
        slide_file(
            folder / "slides" / f"{slide_id}.tif",
            l0_mpp=options.l0_mpp,
            seed=options.seed + number,
            **({"colour": LESION} if sick else {}),
        )
        label = "tumor" if sick else "normal"
        found.append(PaintedRow(slide_id, slide_id, label))
        if sick:
            path = folder / "annotations" / f"{slide_id}.xml"
            outline = box(256, 256, 768, 768)
            write_asap_xml(path, {"_0": [outline]})
    cohort = PaintedCohort(folder, tuple(found))
    columns = ("slide_id", "case_id", "label")
    write_csv(cohort.labels_csv, columns, [vars(row) for row in found])
    return cohort


def test_the_demo_ends_with_the_figure_that_counts(tmp_path, monkeypatch):
    """AUC with its interval on the test slides, and where pictures and tables are."""
    monkeypatch.setattr(module, "paint_cohort", painted)
    fake = (registry.ENCODERS["efficientnet-lite0"][0], load)
    monkeypatch.setitem(registry.ENCODERS, "efficientnet-lite0", fake)
    result = demo(tmp_path, DemoOptions(slides=12, epochs=1), quiet=True)
    story = result.story().splitlines()
    test = result.ran.trained.judged["test"]
    assert story[-1] == test.sentence("Held-out slides")
    assert f"on {test.metrics.n} slides" in story[-1]
    assert "95 % interval" in story[-1]
    for picture in result.ran.pictures:
        assert f"heatmap: {picture}" in story
        assert picture.exists()
    assert any("100% of the hottest lie in a lesion" in line for line in story)
