"""Slides through OpenSlide: pixels where they belong, scale, bounds, and damage."""

import shutil

import cv2
import numpy as np
import openslide
import pytest
import tifffile
from PIL import Image

from coverslip.cohorts.pyramid import write_pyramid
from coverslip.errors import MissingMppError, UnreadableSlideError
from coverslip.geometry import plan_scale
from coverslip.prepare.patches import PatchOptions, lay_patches
from coverslip.prepare.tissue import tissue_from_mask
from coverslip.slides.finding import open_slide
from coverslip.slides.openslide import OpenSlideSlide, is_slide
from coverslip.slides.overview import require_mpp
from coverslip.slides.reading import read_patch
from coverslip.testing import GLASS, slide_file
from stars import SIDE, centroid, starry

PATCH = 64


@pytest.fixture
def properties(monkeypatch):
    """Return a dictionary that takes the place of what OpenSlide says of any file."""
    said = {}
    monkeypatch.setattr(openslide.OpenSlide, "properties", said)
    return said


def offsets(slide, scale, l0_coords, l0_centres):
    """Return how far, in pixels of the patch, each square lies from where it should."""
    px_l0 = scale.achieved_mpp / scale.l0_mpp
    half = int(SIDE / px_l0 / 2) + 4
    found = []
    for l0_xy in l0_coords:
        patch = read_patch(slide, (int(l0_xy[0]), int(l0_xy[1])), scale)
        px_centres = (l0_centres - l0_xy) / px_l0
        inside = ((px_centres > half + 1) & (px_centres < PATCH - half - 1)).all(axis=1)
        for px in px_centres[inside]:
            left, top = (int(edge) for edge in px - half)
            window = patch[top : top + 2 * half + 1, left : left + 2 * half + 1]
            found.append(centroid(window) + (left, top) - px)
    return np.array(found)


@pytest.mark.parametrize(
    ("size", "l0_mpp", "pyramid", "target", "level"),
    [
        pytest.param((2003, 1501), 0.25, {}, 0.5, 1, id="half"),
        pytest.param((2003, 1501), 0.243, {}, 0.5, 1, id="CAMELYON16"),
        pytest.param(
            (2003, 1501), 0.25, {"downsample": 4}, 0.5, 0, id="levels 1 and 4"
        ),
        pytest.param((2003, 1501), 0.25, {"downsample": 4}, 1.0, 1, id="4.005"),
        pytest.param((2003, 1501), 0.25, {"downsample": 3}, 0.75, 1, id="3.003"),
        pytest.param((1603, 1201), 0.25, {"levels": 1}, 0.5, 0, id="single level"),
        pytest.param((1603, 1201), 0.52, {}, 0.5, 0, id="slightly enlarged"),
        pytest.param((8001, 301), 0.25, {}, 0.5, 1, id="long and narrow"),
        pytest.param(
            (301, 8001), 0.25, {"downsample": 4}, 1.0, 1, id="tall and narrow"
        ),
    ],
)
@pytest.mark.parametrize(
    ("reader", "most", "mean"),
    [
        pytest.param(OpenSlideSlide, 0.5, 0.15, id="blended"),
        pytest.param(open_slide, 0.55, 0.25, id="nearest"),
    ],
)
def test_every_patch_shows_what_lies_at_its_coordinates(
    tmp_path, size, l0_mpp, pyramid, target, level, reader, most, mean
):
    """All over the slide, the far corner too, squares lie within half a pixel.

    Decoded directly, it is the nearest pixel of the level: up to a half aside, to which
    the measure adds 0.05, and towards one side where a level drifts from the one before.
    """
    image, l0_centres = starry(*size)
    path = tmp_path / "a.tif"
    write_pyramid(path, image, l0_mpp, quality=95, **pyramid)
    with reader(path) as slide:
        tissue = tissue_from_mask(slide, np.ones((8, 8), bool), {})
        stride = max(16, round(PATCH * 0.8))
        options = PatchOptions(mpp=target, size=PATCH, stride=stride, threshold=0.0)
        patches = lay_patches(slide, tissue, options)
        assert patches.scale.level == level
        last = np.array(size) - np.ceil(patches.scale.l0_size).astype(int)
        l0_coords = np.concatenate([patches.coords, [last]])
        off = offsets(slide, patches.scale, l0_coords, l0_centres)
    assert len(off) > 30
    assert np.abs(off).max() < most
    assert np.abs(off.mean(axis=0)).max() < mean


def test_a_patch_is_the_area_mean_of_level_0(tmp_path):
    """Read from level 0 at twice the scale, each pixel is the mean of its four."""
    rng = np.random.default_rng(0)
    blobs = cv2.resize(rng.integers(0, 256, (40, 50, 3), np.uint8), (1003, 801))
    write_pyramid(tmp_path / "a.tif", blobs, 0.25, downsample=4, quality=100)
    with open_slide(tmp_path / "a.tif") as slide:
        scale = plan_scale(0.25, slide.downsamples, 0.5, 100)
        whole = slide.read((0, 0), 0, slide.l0_size)
        patch = read_patch(slide, (501, 333), scale).astype(float)
    piece = whole[333:533, 501:701].astype(float)
    mean = piece.reshape(100, 2, 100, 2, 3).mean(axis=(1, 3))
    assert np.abs(patch - mean).max() <= 0.5


def test_a_slide_says_what_it_is(tmp_path):
    """Id, sizes, real-valued downsamples, scale and bounds come from the file."""
    path = tmp_path / "case.1.tif"
    write_pyramid(path, np.full((1001, 1503, 3), 200, np.uint8), 0.25)
    with OpenSlideSlide(path) as slide:
        assert (slide.slide_id, slide.path) == ("case.1", path)
        assert slide.l0_size == (1503, 1001)
        assert slide.level_sizes == ((1503, 1001), (751, 500), (375, 250), (187, 125))
        assert slide.downsamples[1] == pytest.approx((1503 / 751 + 1001 / 500) / 2)
        assert slide.l0_mpp == pytest.approx(0.25)
        assert slide.bounds.as_list() == [0, 0, 1503, 1001]
        assert slide.series is None


def test_what_is_transparent_or_outside_is_white(tmp_path, monkeypatch):
    """Half-transparent pixels are mixed with white; no black corners."""
    path = slide_file(tmp_path / "a.tif", size=512, tissue=(0, 0, 512, 512))

    def read_region(_slide, _l0_xy, _level, lv_size):
        picture = np.zeros((lv_size[1], lv_size[0], 4), np.uint8)
        picture[:, 1] = (100, 50, 0, 255)
        picture[:, 2] = (100, 50, 0, 127)
        return Image.fromarray(picture, "RGBA")

    with OpenSlideSlide(path) as slide:
        outside = slide.read((450, 450), 0, (100, 100))
        assert np.all(outside[64:] == 255)
        assert np.all(outside[:, 64:] == 255)
        assert np.all(outside[:60, :60] < 250)
        assert np.all(slide.read((-50, -50), 0, (40, 40)) == 255)
        monkeypatch.setattr(openslide.OpenSlide, "read_region", read_region)
        pixels = slide.read((0, 0), 0, (4, 2))
    assert pixels.dtype == np.uint8
    assert pixels[0].tolist() == [
        [255, 255, 255],
        [100, 50, 0],
        [178, 153, 128],
        [255, 255, 255],
    ]


def test_bounds_are_those_the_scanner_set(tmp_path, properties):
    """Clipped to the slide; without them all of it."""
    path = slide_file(tmp_path / "a.tif", size=512)
    with open_slide(path) as slide:
        assert slide.bounds.as_list() == [0, 0, 512, 512]
        properties |= {
            "openslide.bounds-x": "100",
            "openslide.bounds-y": "40",
            "openslide.bounds-width": "300",
            "openslide.bounds-height": "200",
        }
        assert slide.bounds.as_list() == [100, 40, 300, 200]
        properties["openslide.bounds-width"] = "413"
        properties["openslide.bounds-height"] = "473"
        assert slide.bounds.as_list() == [100, 40, 412, 472]


MISSING = {"openslide.mpp-x": "0.5"}
NONSENSE = [
    MISSING,
    {"openslide.mpp-x": "wide", "openslide.mpp-y": "0.5"},
    {"openslide.mpp-x": "0", "openslide.mpp-y": "0"},
    {"openslide.mpp-x": "nan", "openslide.mpp-y": "nan"},
    {"openslide.mpp-x": "352.8", "openslide.mpp-y": "352.8"},
]


@pytest.mark.parametrize("said", NONSENSE)
def test_a_scale_that_is_missing_or_nonsense_is_no_scale(tmp_path, properties, said):
    """The refusal names file and remedies; a stated scale takes its place."""
    path = slide_file(tmp_path / "a.tif", size=256)
    properties |= said
    with open_slide(path) as slide:
        assert slide.l0_mpp is None
        with pytest.raises(MissingMppError) as error:
            require_mpp(slide)
    message = str(error.value)
    assert all(part in message for part in (str(path), "--mpp", "--mpp-csv"))
    assert open_slide(path, missing_mpp=0.4).l0_mpp == 0.4
    assert open_slide(path, l0_mpp=0.3, missing_mpp=0.4).l0_mpp == 0.3


def test_a_file_without_scale_has_none(tmp_path):
    """Also after a trip through a real TIFF."""
    path = slide_file(tmp_path / "a.tif", size=256, l0_mpp=None)
    assert open_slide(path).l0_mpp is None


def test_the_scale_of_the_screen_is_no_scale(tmp_path):
    """Programs that know no scale write 72 dots per inch, which is 353 um."""
    path = tmp_path / "a.tif"
    tifffile.imwrite(
        path,
        np.zeros((256, 256, 3), np.uint8),
        tile=(64, 64),
        resolution=(72, 72),
        resolutionunit="INCH",
        metadata=None,
    )
    with open_slide(path) as slide:
        assert slide.l0_mpp is None


def test_a_stated_scale_overrides_what_the_file_says(tmp_path):
    """`l0_mpp` always, `missing_mpp` only where the file is silent."""
    path = slide_file(tmp_path / "a.tif", size=256, l0_mpp=0.5)
    assert open_slide(path, missing_mpp=0.4).l0_mpp == pytest.approx(0.5)
    assert open_slide(path, l0_mpp=0.3).l0_mpp == 0.3


def test_pixels_that_are_not_square_are_refused(tmp_path, properties):
    """Two per cent is rounding; more needs a person to say which scale to use."""
    path = slide_file(tmp_path / "a.tif", size=256)
    properties |= {"openslide.mpp-x": "0.250", "openslide.mpp-y": "0.252"}
    with open_slide(path) as slide:
        assert slide.l0_mpp == pytest.approx(0.251)
        properties["openslide.mpp-y"] = "0.5"
        with pytest.raises(MissingMppError, match=r"not square.*--mpp-csv") as error:
            require_mpp(slide)
    assert str(path) in str(error.value)
    assert open_slide(path, l0_mpp=0.25).l0_mpp == 0.25


def not_a_slide(path):
    """Write a PNG under a slide's name."""
    Image.new("RGB", (64, 64)).save(path, "PNG")


def truncated(path):
    """Write the first third of a slide."""
    whole = slide_file(path.with_suffix(".whole"), size=1024).read_bytes()
    path.write_bytes(whole[: len(whole) // 3])


def cut(path):
    """Write a slide but for its last bytes."""
    path.write_bytes(slide_file(path.with_suffix(".whole")).read_bytes()[:-500])


def empty(path):
    """Write nothing."""
    path.touch()


@pytest.mark.parametrize("broken", [not_a_slide, truncated, cut, empty])
def test_what_cannot_be_opened_is_named_with_a_remedy(tmp_path, broken):
    """PNG named .svs, truncated, empty: one line, and no error of OpenSlide's own."""
    path = tmp_path / "a.svs"
    broken(path)
    with pytest.raises(UnreadableSlideError) as error:
        open_slide(path)
    message = str(error.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    assert any(word in message for word in ("copied whole", "copy or export it again"))


def test_a_missing_file_is_named(tmp_path):
    """And a folder is no slide."""
    with pytest.raises(UnreadableSlideError, match="no such file"):
        open_slide(tmp_path / "a.svs")
    with pytest.raises(UnreadableSlideError, match="not a slide"):
        open_slide(tmp_path)


def test_damage_inside_shows_when_the_pixels_are_read(tmp_path):
    """A slide whose tiles are garbage opens, and fails with its name."""
    path = slide_file(tmp_path / "a.tif", size=1024)
    with tifffile.TiffFile(path) as file:
        offset, size = file.pages[0].dataoffsets[5], file.pages[0].databytecounts[5]
    content = bytearray(path.read_bytes())
    content[offset : offset + size] = bytes(size)
    path.write_bytes(content)
    with (
        open_slide(path) as slide,
        pytest.raises(UnreadableSlideError, match="damaged or truncated") as error,
    ):
        slide.read((0, 0), 0, slide.l0_size)
    assert str(path) in str(error.value)


def test_a_slide_is_known_by_its_content(tmp_path):
    """Whatever the suffix says."""
    shutil.copy(slide_file(tmp_path / "a.tif", size=256), tmp_path / "b.bin")
    assert is_slide(tmp_path / "b.bin")
    with OpenSlideSlide(tmp_path / "b.bin") as slide:
        assert abs(int(slide.read((0, 0), 0, (1, 1)).max()) - GLASS) <= 2
    not_a_slide(tmp_path / "c.tif")
    assert not is_slide(tmp_path / "c.tif")
    assert not is_slide(tmp_path / "missing.svs")


def test_the_aperio_slide_is_read(real_data):
    """Shared JPEG tables, one level, scale in the description."""
    with open_slide(real_data / "slides" / "CMU-1-Small-Region.svs") as slide:
        assert slide.l0_size == (2220, 2967)
        assert slide.l0_mpp == pytest.approx(0.499)
        corner = slide.read((0, 0), 0, (32, 32))
        middle = slide.read((1000, 1500), 0, (300, 300))
    assert corner.mean() > 230
    assert middle.mean() < 220
