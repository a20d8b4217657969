"""Preparing many slides: own masks, own scales, workers, and what is kept."""

import json
import os
from dataclasses import replace

import cv2
import h5py
import numpy as np
import pytest

from coverslip.errors import DataError, ParametersDifferError
from coverslip.geometry import Mpp
from coverslip.pipeline.engine import LocalEngine
from coverslip.pipeline.prepare.laying import lay
from coverslip.pipeline.prepare.preparation import Preparation, PrepareOptions
from coverslip.pipeline.prepare.preparing import prepare
from coverslip.prepare.encoders import devices, registry
from coverslip.slides.finding import Scales
from coverslip.testing import FakeEngine, fake_encoder_known, slide_file
from studies import PATCHING, files, same


@pytest.fixture(autouse=True)
def _fake_encoder():
    with fake_encoder_known():
        yield


def preparation(out, engine=None, **options):
    """Return a quiet preparation with small patches and the fake encoder."""
    chosen = PrepareOptions(
        patches={"size": 64, **options.pop("patches", {})},
        features={"encoder": "fake", **options.pop("features", {})},
    )
    engine = engine or LocalEngine(1)
    return Preparation(out, chosen, engine=engine, quiet=True, **options)


def coords(study, slide_id="s"):
    """Return the level-0 corners of a slide's 64-px patches."""
    folder = study / "20x_64px_0px_overlap" / "patches"
    with h5py.File(folder / f"{slide_id}_patches.h5") as file:
        return file["coords"][:]


def test_many_workers_make_what_one_makes(cohort, tmp_path):
    """The number of workers changes the time, and not one byte of the results."""
    for workers in (1, 4):
        table = prepare([cohort.slides], preparation(tmp_path / f"{workers}"))
        assert len(table.with_status("features")) == 10
    one, many = ({k: tmp_path / n / k for k in files(tmp_path / n)} for n in ("1", "4"))
    assert one.keys() == many.keys()
    assert all(same(one[name], many[name]) for name in one)


def test_patches_at_a_scale_the_encoder_does_not_know_are_told(
    tmp_path, capsys, monkeypatch
):
    """Once for the study; with the patches to lay. At its own scale nothing is said."""
    slide = slide_file(tmp_path / "s.tif", size=512, tissue=(64, 64, 448, 448))
    card, module = registry.ENCODERS["fake"]
    for mpp, said in ((0.5, 0), (2.0, 1)):
        known = replace(card, mpp=(mpp,), patch=32)
        monkeypatch.setitem(registry.ENCODERS, "fake", (known, module))
        prepare([slide], preparation(tmp_path / f"{mpp}", patches={"size": 32}))
        advice = "lay patches with --target-mpp 2 --size 32"
        assert capsys.readouterr().err.count(advice) == said


def test_a_precision_that_saves_nothing_here_is_told(tmp_path, capsys, monkeypatch):
    """Once for the study, before the first slide; in fp32 nothing is said."""
    monkeypatch.setattr(devices, "cpu_flags", lambda: frozenset({"avx2"}))
    slide = slide_file(tmp_path / "s.tif", size=512, tissue=(64, 64, 448, 448))
    for precision, said in (("fp32", 0), ("bf16", 1)):
        features = {"precision": precision, "runtime": "torch"}
        made = preparation(tmp_path / precision, features=features)
        prepare([slide], made)
        told = "note: this CPU has no instructions for bf16"
        assert capsys.readouterr().err.count(told) == said


def test_slides_are_handed_to_the_engine(cohort, tmp_path):
    """A cluster in place of this machine sees every slide once."""
    engine = FakeEngine()
    lay([cohort.slides], preparation(tmp_path, engine), patches=False)
    assert sorted(engine.seen) == sorted(cohort.slides.iterdir())


def test_the_table_finds_slides_from_any_folder(tmp_path, monkeypatch):
    """Paths are written whole, so that a heatmap later finds the slide."""
    slide_file(tmp_path / "here" / "s.tif")
    monkeypatch.chdir(tmp_path / "here")
    relative = [(tmp_path / "here" / "s.tif").relative_to(tmp_path / "here")]
    table = lay(relative, preparation(tmp_path / "study"), patches=False)
    assert table.rows["s"]["path"] == str(tmp_path / "here" / "s.tif")


def outline(path, left, top, right, bottom):
    """Write a GeoJSON rectangle in level-0 pixels."""
    ring = [[left, top], [right, top], [right, bottom], [left, bottom], [left, top]]
    geometry = {"type": "Polygon", "coordinates": [ring]}
    feature = {"type": "Feature", "geometry": geometry, "properties": {}}
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    return path


@pytest.mark.parametrize("kind", ["geojson", "image", "folder"])
def test_an_own_mask_takes_the_place_of_the_search(tmp_path, kind):
    """Patches lie where the mask says, though the tissue is elsewhere."""
    path = slide_file(tmp_path / "s.tif")
    if kind == "image":
        mask = np.zeros((256, 256), np.uint8)
        mask[32:64, 96:160] = 255
        masks = tmp_path / "mask.png"
        cv2.imwrite(str(masks), mask)
    else:
        (tmp_path / "masks").mkdir()
        masks = outline(tmp_path / "masks" / "s.geojson", 384, 128, 640, 256)
        masks = masks.parent if kind == "folder" else masks
    lay([path], preparation(tmp_path / "study", masks=masks))
    laid = coords(tmp_path / "study")
    assert len(laid) == 8
    assert laid.min(axis=0).tolist() == [384, 128]
    assert laid.max(axis=0).tolist() == [576, 192]


def test_a_folder_of_masks_without_this_slides_is_told(tmp_path):
    """The slide fails with the name its mask should have; the others go on."""
    for name in ("a", "b"):
        slide_file(tmp_path / "slides" / f"{name}.tif")
    (tmp_path / "masks").mkdir()
    outline(tmp_path / "masks" / "a.geojson", 384, 128, 640, 256)
    ready = preparation(tmp_path / "study", masks=tmp_path / "masks")
    table = lay([tmp_path / "slides"], ready)
    assert table.with_status("patches") == ["a"]
    assert "no mask for b: name it b.geojson or b.png" in table.rows["b"]["error"]


def test_another_mask_is_another_parameter(tmp_path):
    """Tissue that was found is not silently kept when a mask is given."""
    path = slide_file(tmp_path / "s.tif")
    lay([path], preparation(tmp_path / "study"), patches=False)
    mask = outline(tmp_path / "m.geojson", 384, 128, 640, 256)
    with pytest.raises(ParametersDifferError, match="source was 'otsu', now 'm.geo"):
        lay([path], preparation(tmp_path / "study", masks=mask), patches=False)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"patches": {"threshold": 0.5}}, "threshold was 0.8, now 0.5"),
        ({"features": {"resize": 48}}, "encoder.resize was 32, now 48"),
        ({"features": {"reduce": "half"}}, "reduce was None, now 'half'"),
        ({"scales": Scales(by_slide={"s": Mpp(0.25)})}, "l0_mpp was 0.5, now 0.25"),
    ],
)
def test_other_parameters_are_refused_by_name_and_touch_nothing(
    tmp_path, options, named
):
    """What differs is told; features and their options stay as they were."""
    path = slide_file(tmp_path / "s.tif")
    study = tmp_path / "study"
    prepare([path], preparation(study))
    before = files(study)
    with pytest.raises(ParametersDifferError, match=named):
        prepare([path], preparation(study, **options))
    assert files(study) == before


def test_how_fast_is_no_parameter(tmp_path):
    """Batch size, readers and device may change from one run to the next."""
    path = slide_file(tmp_path / "s.tif")
    prepare([path], preparation(tmp_path / "study"))
    features = "20x_64px_0px_overlap/features_fake/s.h5"
    before = files(tmp_path / "study")[features]
    faster = {"batch_size": 7, "workers": 1, "device": "cpu"}
    prepare([path], preparation(tmp_path / "study", features=faster))
    assert files(tmp_path / "study")[features] == before


def test_a_scale_that_is_stated_counts_where_the_file_says_none(tmp_path):
    """With 0.25 um per pixel stated, a 64-px patch at 0.5 spans 128 pixels."""
    box = (256, 256, 1792, 1792)
    path = slide_file(tmp_path / "s.tif", size=2048, l0_mpp=None, tissue=box)
    scales = Scales(missing=Mpp(0.25))
    table = prepare([path], preparation(tmp_path / "study", scales=scales))
    assert table.rows["s"]["mpp"] == 0.25
    steps = np.unique(np.diff(np.unique(coords(tmp_path / "study")[:, 0])))
    assert steps.tolist() == [128]


def test_patches_are_written_as_jpeg_when_asked(cli, tmp_path):
    """Folder and file names carry slide, scale, size and corner; again keeps them."""
    path = slide_file(tmp_path / "s.tif")
    command = ("patches", path, "--out", tmp_path / "study", "--jpeg", "--quiet")
    assert cli(*command).code == 0
    made = tmp_path / "study" / PATCHING / "jpeg" / "s_0.5mpp_256px"
    assert sorted(p.name for p in made.iterdir()) == [
        f"s_0.5mpp_256px_x{x}_y{y}.jpg" for x in (256, 512) for y in (256, 512)
    ]
    before = files(tmp_path / "study")
    assert cli(*command).code == 0
    assert files(tmp_path / "study") == before


def test_an_edited_outline_is_another_parameter_for_the_patches(tmp_path):
    """Patches laid over outlines that were changed since are not silently kept."""
    path = slide_file(tmp_path / "s.tif")
    ready = preparation(tmp_path / "study")
    lay([path], ready)
    tissue = ready.study.tissue("s")
    facts = json.loads(tissue.read_text())
    facts["features"] = []
    tissue.write_text(json.dumps(facts))
    with pytest.raises(ParametersDifferError, match="s_patches.h5: .*tissue_sha256"):
        lay([path], ready)


def test_no_slide_at_all_is_told(tmp_path):
    """An empty folder is named."""
    with pytest.raises(DataError, match=f"{tmp_path}: no slide found"):
        prepare([tmp_path], preparation(tmp_path / "study"))


def test_weights_are_remembered_by_their_whole_path(tmp_path, monkeypatch):
    """A model made here can be used from another folder."""
    monkeypatch.chdir(tmp_path)
    options = PrepareOptions(features={"encoder": "fake", "weights": "w.safetensors"})
    assert options.resolved().features.weights == tmp_path.resolve() / "w.safetensors"
    assert os.fspath(options.features.weights) == "w.safetensors"
