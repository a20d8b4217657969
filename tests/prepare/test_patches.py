"""Patches: a grid that never drifts, and the share of tissue in each square of it."""

from pathlib import Path
from types import SimpleNamespace

import cv2
import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from coverslip.errors import (
    CorruptFileError,
    DataError,
    MissingMppError,
    TooCoarseError,
    TooSmallError,
)
from coverslip.geometry import Box
from coverslip.prepare.patches import Patches, PatchOptions, coverage, lay_patches
from coverslip.prepare.tissue import find_tissue, tissue_from_mask
from coverslip.slides.finding import open_slide
from coverslip.slides.reading import read_patch
from coverslip.testing import slide_file


def glass(l0_size, l0_mpp=0.5, downsamples=(1.0,), bounds=None):
    """Return a slide without pixels."""
    return SimpleNamespace(
        slide_id="a",
        path=Path("a.svs"),
        l0_size=l0_size,
        l0_mpp=l0_mpp,
        downsamples=downsamples,
        level_sizes=tuple(
            (int(l0_size[0] / d), int(l0_size[1] / d)) for d in downsamples
        ),
        bounds=bounds or Box(0, 0, *l0_size),
    )


def covered(slide, mask=None):
    """Return tissue all over a slide, or what a mask says."""
    return tissue_from_mask(slide, np.ones((8, 8), bool) if mask is None else mask, {})


def overlap(start, side, low, high):
    """Return the length that [start, start + side) and [low, high) share."""
    return max(0.0, min(start + side, high) - max(start, low))


@settings(max_examples=60, deadline=None)
@given(
    mask=hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=2, max_side=9)),
    l0_extent=st.tuples(st.integers(60, 500), st.integers(60, 500)),
    l0_side=st.floats(3, 60),
    seed=st.integers(0, 99),
)
def test_coverage_is_the_exact_share_of_tissue(mask, l0_extent, l0_side, seed):
    """As adding up, pixel by pixel, what each square shares with the mask."""
    bounds = Box(1000, 77, *l0_extent)
    tissue = covered(glass((5000, 5000), bounds=bounds), mask)
    rng = np.random.default_rng(seed)
    l0_xs = bounds.l0_x + rng.integers(0, l0_extent[0] - 59, 4)
    l0_ys = bounds.l0_y + rng.integers(0, l0_extent[1] - 59, 3)
    across, down = tissue.l0_per_px
    expected = np.zeros((3, 4))
    for row, column in np.argwhere(mask):
        left, top = bounds.l0_x + column * across, bounds.l0_y + row * down
        for i, y in enumerate(l0_ys):
            for j, x in enumerate(l0_xs):
                expected[i, j] += overlap(x, l0_side, left, left + across) * overlap(
                    y, l0_side, top, top + down
                )
    share = coverage(tissue, l0_xs, l0_ys, l0_side)
    assert share == pytest.approx(expected / l0_side**2, abs=1e-9)


def test_a_slide_full_of_tissue_is_full_of_patches():
    """Row by row, side by side, the last row and column included."""
    slide = glass((5 * 64, 3 * 64))
    patches = lay_patches(slide, covered(slide), PatchOptions(size=64))
    expected = [(x * 64, y * 64) for y in range(3) for x in range(5)]
    assert [tuple(xy) for xy in patches.coords] == expected
    assert patches.coords.dtype == np.int64
    assert np.allclose(patches.tissue_share, 1)
    assert len(patches) == 15


@pytest.mark.parametrize(("width", "columns"), [(319, 4), (320, 5), (383, 5), (384, 6)])
def test_no_patch_sticks_out(width, columns):
    """A row or column counts when it fits to the pixel, and not before."""
    slide = glass((width, 64))
    patches = lay_patches(slide, covered(slide), PatchOptions(size=64))
    assert len(patches) == columns


@pytest.mark.parametrize(
    ("stride", "expected"),
    [
        (32, [0, 32, 64, 96, 128, 160, 192]),
        (48, [0, 48, 96, 144, 192]),
        (100, [0, 100]),
        (200, [0]),
    ],
)
def test_the_stride_is_free(stride, expected):
    """Smaller than the patch it overlaps, larger it leaves gaps."""
    slide = glass((256, 64))
    options = PatchOptions(size=64, stride=stride)
    patches = lay_patches(slide, covered(slide), options)
    assert patches.coords[:, 0].tolist() == expected


@pytest.mark.parametrize("l0_mpp", [0.243, 0.226, 0.2526, 0.5])
def test_the_grid_never_drifts(l0_mpp):
    """Where a patch starts is rounded once: no error adds up over a whole slide."""
    slide = glass((221_184, 2000), l0_mpp, (1.0, 4.00022))
    patches = lay_patches(slide, covered(slide))
    l0_xs = np.unique(patches.coords[:, 0])
    l0_step = 256 * 0.5 / l0_mpp
    assert len(l0_xs) == int(221_184 / l0_step)
    assert np.abs(l0_xs - np.arange(len(l0_xs)) * l0_step).max() <= 0.5
    assert l0_xs[-1] + l0_step <= 221_184 + 0.5


def test_the_grid_starts_where_the_scan_does():
    """Coordinates stay in the frame of the whole slide."""
    slide = glass((1000, 1000), bounds=Box(301, 99, 200, 140))
    patches = lay_patches(slide, covered(slide), PatchOptions(size=64))
    expected = [(301 + x * 64, 99 + y * 64) for y in range(2) for x in range(3)]
    assert [tuple(xy) for xy in patches.coords] == expected


def test_a_patch_needs_more_tissue_than_the_threshold():
    """Strictly more: exactly half is not enough at 0.5."""
    mask = np.zeros((4, 8), bool)
    mask[:2] = True  # the upper half of the first row of patches
    mask[:, 4:6] = True
    slide = glass((128, 64))
    tissue = covered(slide, mask)
    shares = {}
    for threshold in (0.0, 0.49, 0.5, 0.74, 0.75):
        options = PatchOptions(size=64, threshold=threshold)
        patches = lay_patches(slide, tissue, options)
        shares[threshold] = dict(
            zip(patches.coords[:, 0].tolist(), patches.tissue_share, strict=True)
        )
    assert shares[0.0] == shares[0.49] == {0: 0.5, 64: 0.75}
    assert shares[0.5] == shares[0.74] == {64: 0.75}
    assert shares[0.75] == {}


def test_patches_lie_on_the_tissue_of_a_real_file(tmp_path):
    """All that fit into the square that is there, but for its rounded corners."""
    path = slide_file(tmp_path / "a.tif", tissue=(256, 256, 768, 768))
    with open_slide(path) as slide:
        tissue = find_tissue(slide)
        patches = lay_patches(slide, tissue, PatchOptions(size=64))
        bare = lay_patches(slide, covered(slide, np.zeros((8, 8), bool)))
    whole = {(x, y) for x in range(256, 768, 64) for y in range(256, 768, 64)}
    corners = {(x, y) for x in (256, 704) for y in (256, 704)}
    assert whole - corners <= {tuple(xy) for xy in patches.coords.tolist()} <= whole
    assert bare.coords.shape == (0, 2)


@pytest.mark.parametrize("l0_size", [(255, 4000), (4000, 255), (10, 10)])
def test_a_slide_smaller_than_a_patch_is_refused(l0_size):
    """The message names the file, both sizes and the remedy."""
    slide = glass(l0_size)
    with pytest.raises(TooSmallError) as error:
        lay_patches(slide, covered(slide))
    message = str(error.value)
    assert message.startswith("a.svs: ")
    assert f"{l0_size[0]} x {l0_size[1]}" in message
    assert "256 px" in message
    assert "--size" in message


def test_a_slide_of_one_patch_has_one():
    """The smallest that is enough."""
    slide = glass((256, 256))
    assert lay_patches(slide, covered(slide)).coords.tolist() == [[0, 0]]


def test_other_reasons_to_refuse_a_slide():
    """Too coarse, unless enlarging is admitted; without scale."""
    coarse = glass((4000, 4000), l0_mpp=1.0)
    with pytest.raises(TooCoarseError):
        lay_patches(coarse, covered(coarse))
    patches = lay_patches(coarse, covered(coarse), PatchOptions(upsample=True))
    assert patches.scale.l0_size == 128
    tissue = covered(coarse)
    coarse.l0_mpp = None
    with pytest.raises(MissingMppError):
        lay_patches(coarse, tissue)


def saved(tmp_path, slide, options):
    """Lay patches all over a slide, save them, return both and the path."""
    patches = lay_patches(slide, covered(slide), options)
    path = tmp_path / "patches" / f"{slide.slide_id}_patches.h5"
    patches.save(path, slide, options.overlap)
    return patches, path


def test_patches_come_back_from_disk(tmp_path):
    """Coordinates, shares, scale and how they were laid, none and many."""
    slide = glass((4003, 2999), 0.243, (1.0, 2.0005))
    patches, path = saved(tmp_path, slide, PatchOptions(stride=200))
    loaded = Patches.load(path)
    assert np.array_equal(loaded.coords, patches.coords)
    assert np.array_equal(loaded.tissue_share, patches.tissue_share)
    assert loaded.scale == patches.scale
    assert loaded.l0_size == (4003, 2999)
    assert loaded.facts == patches.facts
    assert loaded.facts["options"] == PatchOptions(stride=200).facts()
    bare = lay_patches(slide, covered(slide, np.zeros((4, 4), bool)))
    bare.save(path, slide, 0)
    assert Patches.load(path).coords.shape == (0, 2)


def test_clam_and_trident_find_their_attributes(tmp_path):
    """The union of both, with the values that their own programs would write."""
    slide = glass((40_003, 29_999), 0.25, (1.0, 2.0, 4.00022))
    patches, path = saved(tmp_path, slide, PatchOptions(mpp=1.0, stride=224))
    with h5py.File(path) as file:
        assert file["coords"].dtype == np.int64
        assert file["coords"].shape == (len(patches), 2)
        attributes = dict(file["coords"].attrs)
    clam = {
        "patch_size": 256,
        "patch_level": 2,
        "downsample": [4.00022, 4.00022],
        "downsampled_level_dim": [10_000, 7499],
        "level_dim": [10_000, 7499],
        "name": "a",
        "save_path": str(path.parent),
    }
    trident = {
        "patch_size": 256,
        "patch_size_level0": 1024,
        "level0_magnification": 40,
        "target_magnification": 10,
        "overlap": 32,
        "name": "a",
        "savetodir": str(path.parent),
        "level0_width": 40_003,
        "level0_height": 29_999,
    }
    assert set(clam) | set(trident) < set(attributes)
    for name, value in (clam | trident).items():
        assert np.array_equal(attributes[name], value), name
    integers = [name for name, value in trident.items() if isinstance(value, int)]
    assert all(isinstance(attributes[name], np.integer) for name in integers)


def test_magnifications_never_vanish(tmp_path):
    """Readers divide by them; a very coarse slide must not give zero."""
    slide = glass((4000, 4000), 25.0)
    _, path = saved(tmp_path, slide, PatchOptions(mpp=25.0, size=64))
    with h5py.File(path) as file:
        assert file["coords"].attrs["level0_magnification"] == 1
        assert file["coords"].attrs["target_magnification"] == 1


@pytest.mark.parametrize("l0_mpp", [0.25, 0.243])
def test_other_programs_read_the_same_pixels(tmp_path, l0_mpp):
    """TRIDENT's way (level 0, patch_size_level0) and, without resampling, CLAM's."""
    path = tmp_path / "a.tif"
    slide_file(path, size=1500, l0_mpp=l0_mpp, tissue=(300, 300, 1200, 1200))
    with open_slide(path) as slide:
        _, saved_at = saved(tmp_path, slide, PatchOptions(size=128))
        patches = Patches.load(saved_at)
        with h5py.File(saved_at) as file:
            said = dict(file["coords"].attrs)
        side, size = int(said["patch_size_level0"]), int(said["patch_size"])
        for x, y in patches.coords.tolist():
            ours = read_patch(slide, (x, y), patches.scale).astype(float)
            l0_pixels = slide.read((x, y), 0, (side, side))
            trident = cv2.resize(l0_pixels, (size, size), interpolation=cv2.INTER_AREA)
            assert np.abs(ours - trident).mean() < 4
            if l0_mpp == 0.25:
                level = int(said["patch_level"])
                assert np.array_equal(ours, slide.read((x, y), level, (size, size)))


def test_a_damaged_or_foreign_file_is_corrupt(tmp_path):
    """Cut short, of another program, or not there: each names the file."""
    slide = glass((4003, 2999))
    _, path = saved(tmp_path, slide, PatchOptions())
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CorruptFileError, match="delete it and run"):
        Patches.load(path)
    with h5py.File(path, "w") as file:
        file["coords"] = np.zeros((3, 2), np.int64)
        file["tissue_share"] = np.ones(3)
    with pytest.raises(CorruptFileError, match="not patches of coverslip"):
        Patches.load(path)
    with pytest.raises(DataError, match="no such file"):
        Patches.load(tmp_path / "missing.h5")
