"""A study's export: every slide's files, and back from QuPath into the next study."""

import json
import shutil

import numpy as np
import pytest
import shapely

from coverslip.errors import DataError, OptionError, SlideError
from coverslip.pipeline.predict.scoring import RunScores, open_run
from coverslip.pipeline.predict.truth import Truth, know
from coverslip.pipeline.show.export_options import FORMATS, ExportOptions
from coverslip.pipeline.show.exported import WRITERS
from coverslip.pipeline.show.exporting import export
from coverslip.prepare.annotations import read_annotations, write_asap_xml
from coverslip.prepare.tissue import Tissue


def objects(path):
    """Return the features of a GeoJSON file."""
    return json.loads(path.read_text())["features"]


def of_kind(path, kind):
    """Return those of one kind."""
    return [o for o in objects(path) if o["properties"]["objectType"] == kind]


def test_every_slide_of_the_run_is_exported(finished, tmp_path):
    """Each in each format; what is measured is what the run says."""
    assert tuple(WRITERS) == FORMATS
    made = export(finished, out=tmp_path, formats=FORMATS, quiet=True)
    run = open_run(finished)
    assert set(made.files) == set(run.rows)
    assert not made.failed
    for slide_id, paths in made.files.items():
        ends = [path.name.removeprefix(slide_id) for path in paths]
        assert ends == [
            ".geojson",
            ".xml",
            "_attention.tif",
            "_probability_tumor.tif",
            "_likelihood_map.tif",
        ]
        assert all(path.is_file() for path in paths)
    said = run.of(slide_id)
    tiles = of_kind(paths[0], "tile")
    attention = [t["properties"]["measurements"]["Attention"] for t in tiles]
    np.testing.assert_allclose(attention, said.prediction.attention, rtol=1e-5)
    chance = [t["properties"]["measurements"]["Probability tumor"] for t in tiles]
    expected = said.prediction.patch_probabilities[:, 1]
    np.testing.assert_allclose(chance, expected, rtol=1e-4)
    highest = max(t["properties"]["measurements"]["Score"] for t in tiles)
    assert highest == pytest.approx(said.prediction.probabilities[-1], rel=1e-5)
    called = [t["properties"]["classification"]["name"] == "tumor" for t in tiles]
    assert called == (expected >= 0.5).tolist()


def test_hot_regions_hold_the_patches_from_the_threshold_on(finished, tmp_path):
    """By probability or by attention; together they are as large as those patches."""
    slide_id = next(iter(open_run(finished).rows))
    said = open_run(finished).of(slide_id)
    attention = said.prediction.attention / said.prediction.attention.max()
    options = ExportOptions(hot_by="attention", hot_from=0.6, patches="none")
    made = export(finished, None, tmp_path, ["geojson"], [slide_id], options=options)
    (path,) = made.files[slide_id]
    hot = [
        o
        for o in objects(path)
        if o["properties"]["classification"].get("names") == ["Hot", "attention"]
    ]
    area = sum(shapely.geometry.shape(o["geometry"]).area for o in hot)
    assert area == (attention >= 0.6).sum() * said.scale.l0_size**2
    told = [o["properties"]["measurements"] for o in hot]
    assert sum(t["Patches"] for t in told) == (attention >= 0.6).sum()
    assert told[0]["Highest score"] == 1
    assert of_kind(path, "tile") == []


def test_of_more_than_two_classes_each_has_its_measurement(
    finished, tmp_path, monkeypatch
):
    """One number, one picture and one kind of hot region a class."""
    from dataclasses import replace

    real = RunScores.of

    def three(run, slide_id):
        said = real(run, slide_id)
        n = len(said.coords)
        chances = np.zeros((n, 3), np.float32)
        chances[np.arange(n), np.arange(n) % 3] = 1
        prediction = replace(
            said.prediction,
            probabilities=np.array([0.2, 0.3, 0.5]),
            patch_probabilities=chances,
        )
        card = replace(said.card, classes=("a b", "c", "d/e"))
        return replace(said, prediction=prediction, card=card)

    monkeypatch.setattr(RunScores, "of", three)
    slide_id = next(iter(open_run(finished).rows))
    made = export(finished, out=tmp_path, formats=["geojson", "tiff"], only=[slide_id])
    geojson, *pictures = made.files[slide_id]
    tile, *_ = of_kind(geojson, "tile")
    chances = [k for k in tile["properties"]["measurements"] if k.startswith("Prob")]
    assert chances == ["Probability a b", "Probability c", "Probability d/e"]
    hot = {
        o["properties"]["classification"]["names"][1]
        for o in of_kind(geojson, "annotation")
        if "names" in o["properties"]["classification"]
    }
    assert hot == {"a b", "c", "d/e"}
    assert [path.name.removeprefix(slide_id) for path in pictures] == [
        "_attention.tif",
        "_probability_a_b.tif",
        "_probability_c.tif",
        "_probability_d_e.tif",
    ]


def test_one_bad_slide_does_not_end_the_export(finished, tmp_path, monkeypatch):
    """It is told with its reason, and the others have their files."""
    bad, *good = open_run(finished).rows
    real = RunScores.of

    def of(run, slide_id):
        if slide_id == bad:
            raise SlideError(f"{slide_id}: gone")
        return real(run, slide_id)

    monkeypatch.setattr(RunScores, "of", of)
    made = export(finished, out=tmp_path, formats=["asap"], quiet=True)
    assert made.failed == {bad: f"{bad}: gone"}
    assert list(made.files) == good


def test_a_slide_that_was_moved_is_told_of_and_the_others_go_on(
    finished, tmp_path, cli
):
    """By export and by heatmap, with what to do about it."""
    study = tmp_path / "study"
    shutil.copytree(finished, study)
    table = study / "slides.csv"
    moved = "slide_08"
    table.write_text(table.read_text().replace(f"{moved}.tif", f"gone/{moved}.tif"))
    why = f"{moved}.tif: the slide was moved or deleted: put it back"
    ran = cli("export", study, "--format", "asap", "--quiet", "--out", tmp_path / "x")
    assert ran.code == 0
    assert why in ran.err
    assert len(list((tmp_path / "x").glob("*.xml"))) == 9
    words = ("--slide", moved, "--slide", "slide_07", "--quiet")
    drawn = tmp_path / "drawn"
    ran = cli("heatmap", study / "runs/dmia", study, "--out", drawn, *words)
    assert ran.code == 0
    assert why in ran.err
    assert [path.name for path in drawn.glob("*[0-9].png")] == ["slide_07.png"]


def test_unknown_formats_slides_and_runs_are_refused(finished, tmp_path):
    """Each in one line that says what there is."""
    with pytest.raises(
        OptionError, match="format svs: choose from geojson, asap, tiff"
    ):
        export(finished, out=tmp_path, formats=["svs"])
    with pytest.raises(OptionError, match="format none"):
        export(finished, out=tmp_path, formats=[])
    with pytest.raises(DataError, match="nobody: run dmia does not know them"):
        export(finished, out=tmp_path, only=["nobody"])
    with pytest.raises(DataError, match="choose from dmia"):
        export(finished, "other", tmp_path)


def test_the_command_tells_what_it_made(finished, tmp_path, cli):
    """As lines, or as JSON; a second time the files are left alone."""
    slide_id = next(iter(open_run(finished).rows))
    words = ["export", finished, "--format", "geojson, asap", "--slide", slide_id]
    words += ["--out", tmp_path, "--pack", "--quiet"]
    ran = cli(*words)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.splitlines()[-1] == "1 of 1 slides exported"
    path = tmp_path / f"{slide_id}.geojson.gz"
    before = path.stat().st_mtime_ns
    told = json.loads(cli(*words, "--json").out)
    assert told["files"] == {slide_id: [str(path), str(tmp_path / f"{slide_id}.xml")]}
    assert path.stat().st_mtime_ns == before
    assert cli("export", finished, "--format", "x").code == 1


def test_all_slides_failing_is_a_failure(finished, tmp_path, cli, monkeypatch):
    """The exit code says so."""

    def of(_run, slide_id):
        raise SlideError(f"{slide_id}: gone")

    monkeypatch.setattr(RunScores, "of", of)
    assert cli("export", finished, "--out", tmp_path, "--quiet").code == 1


def from_qupath(feature, classed=None, **properties):
    """Return an object as QuPath hands it back: its own members only."""
    told = {"objectType": "annotation", **properties}
    if classed:
        told["classification"] = {"name": classed, "color": [1, 2, 3]}
    return {"type": "Feature", "geometry": feature, "properties": told}


def edited(source, target, *more):
    """Write an export as QuPath would after editing: ours, without our own member."""
    whole = {"type": "FeatureCollection", "features": [*objects(source), *more]}
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps(whole))


def test_edited_tissue_comes_back_as_the_mask(finished, cohort, tmp_path, cli):
    """Export, cut a hole and add a piece in QuPath, and prepare with it: exactly that."""
    slide_id = next(iter(open_run(finished).rows))
    made = export(finished, out=tmp_path / "out", formats=["geojson"], only=[slide_id])
    hole, piece = shapely.box(300, 300, 400, 420), shapely.box(10, 20, 200, 90)
    edited(
        made.files[slide_id][0],
        tmp_path / "masks" / f"{slide_id}.geojson",
        from_qupath(shapely.geometry.mapping(hole), "Ignore*"),
        from_qupath(shapely.geometry.mapping(piece)),
    )
    slide = cohort.slides / f"{slide_id}.tif"
    ran = cli("tissue", slide, "--out", tmp_path / "next", "--mask", tmp_path / "masks")
    assert ran.code == 0, ran.err
    name = f"tissue/{slide_id}.geojson"
    before, after = Tissue.load(finished / name), Tissue.load(tmp_path / "next" / name)
    expected = shapely.union_all(before.outlines).difference(hole).union(piece)
    assert shapely.union_all(after.outlines).symmetric_difference(expected).area < 1


def test_what_a_reader_confirmed_becomes_the_truth(finished, tmp_path):
    """Hot regions are no lesions until somebody draws one, or calls one Tumor."""
    slide_id = next(iter(open_run(finished).rows))
    made = export(finished, out=tmp_path / "out", formats=["geojson"], only=[slide_id])
    folder = tmp_path / "annotations"
    path = folder / f"{slide_id}.geojson"
    edited(made.files[slide_id][0], path)
    assert know(Truth(folder), [slide_id]).regions.get(slide_id) is None
    lesion = shapely.box(300, 300, 400, 420)
    edited(
        made.files[slide_id][0],
        path,
        from_qupath(shapely.geometry.mapping(lesion), "Metastasis"),
        from_qupath(shapely.geometry.mapping(shapely.box(0, 0, 900, 900)), "Region*"),
    )
    assert know(Truth(folder), [slide_id]).regions[slide_id].equals(lesion)


def test_a_hot_region_with_a_hole_cuts_no_lesion_in_asap(
    finished, tmp_path, monkeypatch
):
    """A lesion drawn over it counts whole: the hole is no exclusion."""
    from dataclasses import replace

    real = RunScores.of

    def ring(run, slide_id):
        said = real(run, slide_id)
        l0_x, l0_y = np.indices((3, 3)).reshape(2, -1) * 100
        chance = np.array([1, 1, 1, 1, 0, 1, 1, 1, 1], np.float32)
        chances = np.stack([1 - chance, chance], axis=1)
        prediction = replace(
            said.prediction, attention=chance / 8, patch_probabilities=chances
        )
        scale = replace(said.scale, l0_size=100.0)
        coords = np.stack([l0_x, l0_y], axis=1)
        return replace(said, prediction=prediction, coords=coords, scale=scale)

    monkeypatch.setattr(RunScores, "of", ring)
    slide_id = next(iter(open_run(finished).rows))
    made = export(finished, out=tmp_path, formats=["asap"], only=[slide_id])
    (path,) = made.files[slide_id]
    text = path.read_text()
    named = path.with_name("named.xml")
    named.write_text(text.replace("Hot: tumor", "Tumor"))
    ring_shape = shapely.box(0, 0, 300, 300).difference(shapely.box(100, 100, 200, 200))
    assert read_annotations(named).region.equals(ring_shape)
    write_asap_xml(named, {"Tumor": [shapely.box(0, 0, 300, 300)]})
    start, end = "<Annotations>", "</Annotations>"
    drawn = named.read_text().partition(start)[2].partition(end)[0]
    named.write_text(text.replace(end, f"{drawn}{end}"))
    assert read_annotations(named).region.equals(shapely.box(0, 0, 300, 300))
