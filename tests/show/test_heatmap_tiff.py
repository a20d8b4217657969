"""Heatmaps as TIFF: on the slide's pixels, of bounded size, opened by slide readers."""

import math

import numpy as np
import openslide
import pytest
import tifffile

from coverslip.geometry import Box, Mpp
from coverslip.show.heatmap import PatchShape
from coverslip.show.heatmap_tiff import (
    LONGEST,
    frame_of,
    write_colours,
    write_values,
)


@pytest.mark.parametrize("seed", range(8))
def test_a_frame_is_a_power_of_two_and_bounded(seed):
    """Whatever the slide: whole squares, and what ASAP divides comes out the same."""
    rng = np.random.default_rng(seed)
    corner = rng.integers(0, 9000, 2).tolist()
    size = rng.integers(1, 10 ** rng.integers(1, 7), 2).tolist()
    frame = frame_of(Box(*corner, *size), float(rng.uniform(1, 3000)), Mpp(0.243))
    whole = math.log2(frame.downsample).is_integer()
    assert whole or frame.downsample == min(size)
    assert 1 <= min(frame.px_size) <= max(frame.px_size) <= LONGEST
    assert frame.px_mpp == 0.243 * frame.downsample
    covered = np.array(frame.px_size) * frame.downsample
    assert frame.bounds.as_list() == [*corner, *covered]
    assert (np.array(size) - covered < frame.downsample).all()
    if min(frame.px_size) > frame.downsample:
        assert {s // p for s, p in zip(size, frame.px_size, strict=True)} == {
            frame.downsample
        }


PATCHES = PatchShape(np.array([[64, 32], [192, 96]]), 64.0, "tumor")


def test_slide_readers_open_it_at_its_scale(tmp_path):
    """OpenSlide finds levels and scale, the patch's colour, and white around it."""
    frame = frame_of(Box(0, 0, 2403, 1607), 64, Mpp(0.2431))
    assert (frame.downsample, frame.px_size) == (2, (1201, 803))
    path = tmp_path / "s_probability.tif"
    write_colours(path, PATCHES, np.array([1.0, 0.0]), frame, "RdBu_r")
    with openslide.OpenSlide(path) as slide:
        assert slide.level_dimensions == (
            (1201, 803),
            (600, 401),
            (300, 200),
            (150, 100),
        )
        for axis in "xy":
            mpp = float(slide.properties[f"openslide.mpp-{axis}"])
            assert mpp == pytest.approx(0.4862, rel=1e-6)
        pixels = np.asarray(slide.read_region((0, 0), 0, (1201, 803)).convert("RGB"))
    red, blue = pixels[16:48, 32:64], pixels[48:80, 96:128]
    assert (red[..., 0] > red[..., 2] + 50).all()
    assert (blue[..., 2] > blue[..., 0] + 50).all()
    outside = np.ones(pixels.shape[:2], bool)
    outside[16:48, 32:64] = outside[48:80, 96:128] = False
    assert (pixels[outside] == 255).all()


def test_values_are_kept_as_numbers(tmp_path):
    """One float channel a class, 0 where there is no patch, means in coarser levels."""
    frame = frame_of(Box(0, 0, 1400, 700), 64, Mpp(0.5))
    values = np.array([[0.25, 0.75], [1.0, 0.5]])
    write_values(tmp_path / "two.tif", PATCHES, values, frame)
    write_values(tmp_path / "one.tif", PATCHES, values[:, :1], frame)
    two = tifffile.imread(tmp_path / "two.tif")
    one = tifffile.imread(tmp_path / "one.tif")
    assert (two.shape, two.dtype) == ((350, 700, 2), np.float32)
    assert np.array_equal(one, two[..., 0])
    assert (two[16:48, 32:64] == [0.25, 0.75]).all()
    assert (two[48:80, 96:128] == [1, 0.5]).all()
    assert two.sum() == 32 * 32 * 2.5
    with tifffile.TiffFile(tmp_path / "one.tif") as file:
        levels = file.series[0].levels
        assert [level.shape for level in levels] == [(350, 700), (175, 350), (87, 175)]
        assert levels[1].asarray().sum() == pytest.approx(one.sum() / 4)


def test_the_same_heatmap_is_the_same_file(tmp_path):
    """No date and no name of a program's version makes two files differ."""
    frame = frame_of(Box(0, 0, 400, 300), 64, Mpp(0.5))
    for name in ("a.tif", "b.tif"):
        write_colours(tmp_path / name, PATCHES, np.array([1, 0.5]), frame, "magma")
    assert (tmp_path / "a.tif").read_bytes() == (tmp_path / "b.tif").read_bytes()
