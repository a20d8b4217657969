"""Features: one vector a patch, in order, whole, and the same however they were made."""

import threading
import time

import h5py
import numpy as np
import pytest

from coverslip.errors import CorruptFileError, DataError, UnreadableSlideError
from coverslip.prepare import features as module
from coverslip.prepare.export import export_patches
from coverslip.prepare.feature_options import FeatureOptions
from coverslip.prepare.features import (
    Features,
    coords_digest,
    extract_features,
    extract_folder,
    features_made_with,
)
from coverslip.prepare.patches import PatchOptions, lay_patches
from coverslip.prepare.tissue import tissue_from_mask
from coverslip.slides.finding import open_slide
from coverslip.slides.reading import read_patch
from coverslip.testing import FAKE, fake_encoder, slide_file

SIZE = 64


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """Return a slide whose patches all differ."""
    path = tmp_path_factory.mktemp("slide") / "a.tif"
    return slide_file(path, size=640, tissue=(100, 0, 640, 500))


@pytest.fixture
def slide(path):
    """Return that slide, open."""
    with open_slide(path) as slide:
        yield slide


@pytest.fixture
def patches(slide):
    """Return a hundred patches all over it."""
    tissue = tissue_from_mask(slide, np.ones((4, 4), bool), {})
    return lay_patches(slide, tissue, PatchOptions(size=SIZE))


def no_patches(slide):
    """Return the patches of a slide without tissue."""
    tissue = tissue_from_mask(slide, np.zeros((4, 4), bool), {})
    return lay_patches(slide, tissue, PatchOptions(size=SIZE))


class Watcher:
    """An encoder that does what it is told to with each batch."""

    card = FAKE

    def __init__(self, watch):
        self.embed = watch

    def identity(self):
        """Return what the fake encoder says."""
        return fake_encoder().identity()

    def embed_each(self, batches):
        """Encode batch by batch, as an encoder on a CPU does."""
        yield from map(self.embed, batches)


def test_each_feature_belongs_to_the_patch_of_its_row(slide, patches):
    """In the order of the coordinates, whichever thread read first."""
    options = FeatureOptions(batch_size=7, workers=5)
    made = extract_features(slide, patches, fake_encoder(), options)
    assert made.coords is patches.coords
    assert made.features.dtype == np.float16
    assert made.features.shape == (100, 6)
    encoder = fake_encoder()
    for l0_xy, feature in zip(patches.coords, made.features, strict=True):
        patch = read_patch(slide, (int(l0_xy[0]), int(l0_xy[1])), patches.scale)
        assert np.allclose(encoder.embed(patch[None])[0], feature, atol=2e-3)
    assert len(np.unique(made.features, axis=0)) > 50


@pytest.mark.parametrize("batch_size", [1, 9, 1000])
def test_the_batch_size_does_not_change_features(slide, patches, batch_size):
    """Neither does the number of threads."""
    one = extract_features(slide, patches, fake_encoder(), FeatureOptions())
    options = FeatureOptions(batch_size=batch_size, workers=2)
    other = extract_features(slide, patches, fake_encoder(), options)
    assert np.allclose(one.features, other.features, atol=1e-3)


def test_progress_adds_up(slide, patches):
    """Each batch is told when it is done."""
    told = []
    options = FeatureOptions(batch_size=30)
    extract_features(slide, patches, fake_encoder(), options, told.append)
    assert told == [30, 30, 30, 10]


def test_facts_say_how_features_were_made(slide, patches):
    """Encoder, patching, scale and coordinates: enough to know whether to keep them."""
    made = extract_features(slide, patches, fake_encoder())
    encoder, patching = fake_encoder().identity(), PatchOptions(size=SIZE).facts()
    asked = features_made_with(patches, encoder, patching)
    assert {key: made.facts.get(key) for key in asked} == asked
    assert made.facts["scale"] == patches.scale.facts()
    moved = patches.coords + [[0, 1]]
    assert coords_digest(moved) != asked["coords_sha256"]
    assert coords_digest(patches.coords[::-1]) != asked["coords_sha256"]


def test_facts_say_how_pixels_were_reduced(slide, patches):
    """Nothing where they were averaged: such files are as they always were."""
    encoder, patching = fake_encoder().identity(), PatchOptions(size=SIZE).facts()
    for reduce, told in (("area", None), ("half", "half")):
        options = FeatureOptions(reduce=reduce)
        made = extract_features(slide, patches, fake_encoder(), options)
        asked = features_made_with(patches, encoder, patching, reduce)
        assert made.facts.get("reduce") == asked["reduce"] == told
        assert ("reduce" in made.facts) == (reduce == "half")


def test_a_slide_without_tissue_has_no_features_of_the_right_length(slide, tmp_path):
    """(0, D), saved and loaded: an empty bag is a bag."""
    made = extract_features(slide, no_patches(slide), fake_encoder())
    made.save(tmp_path / "a.h5")
    loaded = Features.load(tmp_path / "a.h5")
    for features in (made, loaded):
        assert features.features.shape == (0, 6)
        assert features.features.dtype == np.float16
        assert features.coords.shape == (0, 2)
        assert len(features) == 0


def test_a_saved_file_is_contiguous_and_mapped(slide, patches, tmp_path):
    """Float16 in one piece on disk, so that loading maps it and reads nothing."""
    made = extract_features(slide, patches, fake_encoder())
    path = tmp_path / "features_fake" / "a.h5"
    made.save(path)
    with h5py.File(path) as file:
        assert file["features"].dtype == np.float16
        assert file["features"].chunks is None
        assert file["features"].compression is None
        assert file["coords"].dtype == np.int64
    loaded = Features.load(path)
    assert isinstance(loaded.features, np.memmap)
    assert np.array_equal(loaded.features, made.features)
    assert np.array_equal(loaded.coords, patches.coords)
    assert (loaded.slide_id, loaded.facts) == ("a", made.facts)
    with pytest.raises(ValueError, match="read-only"):
        loaded.features[0] = 0


def test_trident_finds_its_attributes(slide, patches, tmp_path):
    """Its heatmaps take the side of a patch from the coordinates of the features."""
    extract_features(slide, patches, fake_encoder()).save(tmp_path / "a.h5")
    with h5py.File(tmp_path / "a.h5") as file:
        of_features, of_coords = (dict(file[n].attrs) for n in ("features", "coords"))
    assert of_features == {"name": "a", "encoder": "fake", "savetodir": str(tmp_path)}
    assert of_coords == {
        "patch_size": SIZE,
        "patch_size_level0": SIZE,
        "level0_magnification": 20,
        "target_magnification": 20,
        "overlap": 0,
        "level0_width": 640,
        "level0_height": 640,
        "name": "a",
        "savetodir": str(tmp_path),
    }


FOREIGN = np.random.default_rng(0).normal(size=(50, 8)).astype(np.float32)
GRID = np.stack(np.divmod(np.arange(50), 10), axis=1) * 256


@pytest.mark.parametrize("bag", [False, True], ids=["(N, D)", "(1, N, D)"])
@pytest.mark.parametrize("coords", [None, np.int32, np.int64])
@pytest.mark.parametrize("chunked", [False, True])
def test_features_of_other_programs_are_read(tmp_path, bag, coords, chunked):
    """CLAM's chunked float32, TRIDENT's with a leading axis, with coordinates or not."""
    path = tmp_path / "case.7.h5"
    with h5py.File(path, "w") as file:
        for name, array in (("features", FOREIGN), ("coords", GRID)):
            kept = array[None] if bag else array
            if name == "coords":
                if coords is None:
                    continue
                kept = kept.astype(coords)
            file.create_dataset(name, data=kept, chunks=kept.shape if chunked else None)
    loaded = Features.load(path)
    assert np.array_equal(loaded.features, FOREIGN)
    assert loaded.features.dtype == np.float32
    assert (loaded.slide_id, loaded.facts) == ("case.7", {})
    if coords is None:
        assert loaded.coords is None
    else:
        assert np.array_equal(loaded.coords, GRID)
        assert loaded.coords.dtype == np.int64


@pytest.mark.parametrize(
    ("features", "coords"),
    [
        (FOREIGN, GRID[:-1]),
        (FOREIGN[0], GRID[:8]),
        (np.zeros((2, 5, 8), np.float32), GRID[:2]),
        (np.ones((50, 8), np.int64), GRID),
    ],
)
def test_arrays_that_are_no_features_are_refused(tmp_path, features, coords):
    """Rows that do not match, a single vector, several bags, whole numbers."""
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["features"], file["coords"] = features, coords
    with pytest.raises(CorruptFileError, match="do not go with") as error:
        Features.load(path)
    assert str(error.value).startswith(str(path))


def test_damaged_and_missing_files_are_named(tmp_path, slide, patches):
    """Half a file, a file without features, no file."""
    path = tmp_path / "a.h5"
    with pytest.raises(DataError, match="no such file"):
        Features.load(path)
    extract_features(slide, patches, fake_encoder()).save(path)
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(CorruptFileError, match="damaged or half-written"):
        Features.load(path)
    with h5py.File(path, "w") as file:
        file["other"] = FOREIGN
    with pytest.raises(CorruptFileError, match="features"):
        Features.load(path)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_a_number_is_refused(tmp_path, bad):
    """On disk, with the file and how many patches."""
    spoiled = FOREIGN.copy()
    spoiled[[3, 3, 7], [0, 1, 2]] = bad
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["features"] = spoiled
    with pytest.raises(DataError, match="2 of 50 patches") as error:
        Features.load(tmp_path / "a.h5")
    assert str(error.value).startswith(str(tmp_path / "a.h5"))


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e6])
def test_an_encoder_that_gives_no_numbers_is_found_out(slide, patches, bad):
    """Also where a number is too large for float16: nothing infinite is stored."""

    def embed(batch):
        features = np.zeros((len(batch), 6), np.float32)
        features[0, 2] = bad
        return features

    with pytest.raises(DataError, match=r"^a: features of 1 of 64 patches.*fp32"):
        extract_features(slide, patches, Watcher(embed))


def test_reading_ahead_is_bounded(slide, patches, monkeypatch):
    """Readers work ahead of the encoder by two batches, not by the whole slide."""
    begun, lock = [], threading.Lock()

    def read(_slide, l0_xy, _scale, _reduce):
        with lock:
            begun.append(l0_xy)
        return np.zeros((SIZE, SIZE, 3), np.uint8)

    ahead, done = [], 0

    def embed(batch):
        nonlocal done
        done += len(batch)
        deadline = time.monotonic() + 10
        while len(begun) < min(100, done + 16) and time.monotonic() < deadline:
            time.sleep(0.001)
        time.sleep(0.01)  # a reader that goes further would do so now
        ahead.append(len(begun) - done)
        return np.zeros((len(batch), 6), np.float32)

    monkeypatch.setattr(module, "read_patch", read)
    options = FeatureOptions(batch_size=8, workers=4)
    extract_features(slide, patches, Watcher(embed), options)
    assert ahead == [16] * 10 + [12, 4, 0]


def test_a_patch_that_cannot_be_read_ends_the_slide(slide, patches, monkeypatch):
    """With the reader's own error; what was not begun is not read any more."""
    begun = []

    def read(_slide, l0_xy, _scale, _reduce):
        begun.append(l0_xy)
        if len(begun) == 10:
            raise UnreadableSlideError("a.tif: damaged or truncated")
        time.sleep(0.01)
        return np.zeros((SIZE, SIZE, 3), np.uint8)

    monkeypatch.setattr(module, "read_patch", read)
    options = FeatureOptions(batch_size=30, workers=2)
    with pytest.raises(UnreadableSlideError, match=r"^a\.tif: damaged"):
        extract_features(slide, patches, fake_encoder(), options)
    assert len(begun) < 60, "of 90 that were waiting"
    assert not [t for t in threading.enumerate() if t.name.startswith("patches")]


def test_an_encoder_that_fails_leaves_no_threads_behind(slide, patches):
    """Its error comes through, and the readers are gone."""

    def embed(_batch):
        raise DataError("the encoder failed")

    with pytest.raises(DataError, match="the encoder failed"):
        extract_features(slide, patches, Watcher(embed), FeatureOptions(batch_size=4))
    assert not [t for t in threading.enumerate() if t.name.startswith("patches")]


def test_exported_patches_give_the_same_features(slide, patches, tmp_path):
    """Same order and coordinates; pixels differ by what JPEG changes."""
    export_patches(slide, patches.coords, patches.scale, tmp_path, quality=100)
    (folder,) = tmp_path.iterdir()
    from_files = extract_folder(folder, fake_encoder(), FeatureOptions(batch_size=11))
    from_slide = extract_features(slide, patches, fake_encoder())
    assert from_files.slide_id == "a"
    assert np.array_equal(from_files.coords, patches.coords)
    assert np.allclose(from_files.features, from_slide.features, atol=0.03)
    assert len(from_files.names) == len(patches)
    x, y = patches.coords[5]
    assert from_files.names[5].endswith(f"_x{x}_y{y}.jpg")
    assert from_files.facts["patching"] == {"mpp": 0.5, "size": SIZE}


def test_images_of_different_sizes_are_refused(slide, patches, tmp_path):
    """A folder of mixed patches is a mistake, and the sizes are told."""
    export_patches(slide, patches.coords[:3], patches.scale, tmp_path)
    (folder,) = tmp_path.iterdir()
    import_one = lay_patches(
        slide, tissue_from_mask(slide, np.ones((4, 4), bool), {}), PatchOptions(size=32)
    )
    other = export_patches(slide, import_one.coords[:1], import_one.scale, tmp_path)
    (image,) = other.iterdir()
    image.rename(folder / "x.jpg")
    with pytest.raises(DataError, match="patches differ in size"):
        extract_folder(folder, fake_encoder())
