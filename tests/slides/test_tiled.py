"""Direct decoding of JPEG tiles: OpenSlide's pixels, or OpenSlide itself."""

import threading
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
import tifffile

from coverslip.cohorts.pyramid import write_pyramid
from coverslip.errors import UnreadableSlideError
from coverslip.slides.finding import open_slide
from coverslip.slides.openslide import OpenSlideSlide
from coverslip.slides.shelf import Shelf
from coverslip.slides.tiled import TiledSlide, open_tiled
from coverslip.slides.tiles import TileError, TileFile

SLIDES = (
    "CMU-1-Small-Region.svs",
    "ln_benign_anthracosis_HE_10x.tif",
    "ln_metastasis_HE_20x.tif",
    "ln_metastasis_HE_40x_crop.tif",
)


def picture(width, height, seed=0):
    """Return a soft, colourful picture, the same in no two places."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (height // 9 + 2, width // 9 + 2, 3), np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


def write_levels(path, *, outcolorspace="YCBCR", optimise=False, **how):
    """Write two levels whose sizes are no multiples of a tile."""
    args = {"level": 90, "outcolorspace": outcolorspace, "optimize": optimise}
    with tifffile.TiffWriter(path) as tiff:
        for number, size in enumerate([(604, 450), (302, 225)]):
            level = cv2.resize(picture(604, 450), size)
            tiff.write(
                level,
                **{
                    "tile": (128, 64),
                    "photometric": "rgb",
                    "compression": "jpeg",
                    "compressionargs": args,
                    "subfiletype": number,
                    "metadata": None,
                    **how,
                },
            )
    return path


@pytest.fixture
def both():
    """Return a function that opens a slide directly and by OpenSlide."""
    opened = []

    def call(path):
        slide, reference = open_tiled(OpenSlideSlide(path)), OpenSlideSlide(path)
        opened.extend([slide, reference])
        return slide, reference

    yield call
    for slide in opened:
        slide.close()


def greatest_difference(slide, reference, level, rng, times=40):
    """Return it, over places all over a level and beyond its far edges."""
    width, height = slide.level_sizes[level]
    l0_xs, l0_ys = (slide.whole_pixels(level, axis)[0] for axis in (0, 1))
    found = []
    for _ in range(times):
        l0_xy = int(rng.choice(l0_xs)), int(rng.choice(l0_ys))
        size = int(rng.integers(1, 300)), int(rng.integers(1, 300))
        own = slide.read(l0_xy, level, size).astype(int)
        other = reference.read(l0_xy, level, size)
        assert own.shape == (size[1], size[0], 3)
        found.append(np.abs(own - other).max())
    (l0_x, lv_x), (l0_y, lv_y) = (
        (places[-1] for places in slide.whole_pixels(level, axis)) for axis in (0, 1)
    )
    for size in ((width - lv_x + 9, 40), (40, height - lv_y + 9)):
        if max(size) > 4096:  # OpenSlide reads it in parts, each blended otherwise
            continue
        area = (int(l0_x), int(l0_y)), level, (int(size[0]), int(size[1]))
        own = slide.read(*area).astype(int)
        found.append(np.abs(own - reference.read(*area)).max())
        assert own[-1, -1].tolist() == [255, 255, 255]
    return max(found)


@pytest.mark.parametrize("name", SLIDES)
def test_real_slides_have_openslides_pixels(real_data, both, name):
    """At whole pixels no value differs, on any level of any slide.

    Where a level's downsample is no whole number, OpenSlide blends by up to 1/500.
    """
    slide, reference = both(real_data / "slides" / name)
    rng = np.random.default_rng(0)
    for level in range(len(slide.level_sizes)):
        assert slide.trusts(level)
        blended = not float(slide.downsamples[level]).is_integer()
        assert greatest_difference(slide, reference, level, rng) <= int(blended)


@pytest.mark.parametrize("outcolorspace", ["YCBCR", "RGB"])
@pytest.mark.parametrize("optimise", [False, True])
def test_any_plain_pyramid_has_openslides_pixels(
    tmp_path, both, outcolorspace, optimise
):
    """YCbCr or RGB, the level's tables or each tile's own, tiles that are not square."""
    path = write_levels(
        tmp_path / "a.tif", outcolorspace=outcolorspace, optimise=optimise
    )
    slide, reference = both(path)
    rng = np.random.default_rng(1)
    for level in (0, 1):
        assert slide.trusts(level)
        assert greatest_difference(slide, reference, level, rng) == 0


def test_between_pixels_the_nearest_is_taken(tmp_path, both):
    """Where a level's pixels fall between level 0's, nothing is blurred."""
    write_pyramid(tmp_path / "a.tif", picture(1003, 803), 0.5, quality=95)
    slide, _ = both(tmp_path / "a.tif")
    whole = slide.read((0, 0), 1, slide.level_sizes[1])
    for l0_xy in ((401, 300), (700, 641)):
        left, top = (
            round(at * own / l0)
            for at, own, l0 in zip(
                l0_xy, slide.level_sizes[1], slide.l0_size, strict=True
            )
        )
        piece = whole[top : top + 40, left : left + 50]
        assert np.array_equal(slide.read(l0_xy, 1, (50, 40)), piece)


def test_half_size_is_within_its_stated_error_on_tissue(real_data, both):
    """1.6 grey levels on average of what averaging gives, or less."""
    slide, _ = both(real_data / "slides" / "ln_metastasis_HE_20x.tif")
    full = slide.read((6144, 4096), 0, (2048, 2048))
    halved = slide.read_halved((6144, 4096), 0, (2048, 2048))
    mean = cv2.resize(full, (1024, 1024), interpolation=cv2.INTER_AREA)
    assert mean.std() > 10
    assert np.abs(halved.astype(int) - mean).mean() < 1.6


def test_half_size_is_decoded_near_the_mean(tmp_path, both):
    """On a picture far more colourful than tissue; white beyond the edge."""
    write_pyramid(tmp_path / "a.tif", picture(1024, 768), 0.25)
    slide, _ = both(tmp_path / "a.tif")
    halved = slide.read_halved((130, 64), 0, (512, 512))
    full = slide.read((130, 64), 0, (512, 512))
    mean = cv2.resize(full, (256, 256), interpolation=cv2.INTER_AREA)
    assert halved.shape == (256, 256, 3)
    assert np.abs(halved.astype(int) - mean).mean() < 4
    beyond = slide.read_halved((900, 700), 0, (512, 512))
    assert beyond[-1, -1].tolist() == [255, 255, 255]
    assert slide.read_halved((0, 0), 0, (511, 512)) is None


@pytest.mark.parametrize(
    "how",
    [
        {"compression": "deflate", "compressionargs": {}},
        {"compression": "jpeg2000", "compressionargs": {"level": 80}},
        {
            "compression": "jpeg",
            "tile": None,
            "rowsperstrip": 64,
            "compressionargs": {"level": 90},
        },
    ],
)
def test_what_is_not_jpeg_tiles_is_left_to_openslide(tmp_path, how):
    """Other compressions and strips: there is no direct reader, and no error."""
    path = write_levels(tmp_path / "a.tif", **how)
    with pytest.raises(TileError):
        TileFile(path)
    if how["compression"] == "deflate":  # OpenSlide reads none of the others
        with open_slide(path) as slide:
            assert isinstance(slide, OpenSlideSlide)


def test_a_missing_tile_is_painted_by_openslide(tmp_path, both):
    """A tile of no bytes is glass; the others are decoded directly all the same."""
    path = write_levels(tmp_path / "a.tif")
    with tifffile.TiffFile(path, mode="r+") as tiff:
        tag = tiff.pages[0].tags["TileByteCounts"]
        tag.overwrite([0 if i == 2 else c for i, c in enumerate(tag.value)])
    slide, reference = both(path)
    area = (0, 0), 0, (400, 200)
    assert slide.trusts(0)
    assert np.array_equal(slide.read(*area), reference.read(*area))
    assert slide.read_halved(*area) is None


def test_a_damaged_tile_is_openslides_to_complain_of(tmp_path, both):
    """What cannot be decoded is an error that names the file, as without us."""
    path = write_levels(tmp_path / "a.tif")
    with tifffile.TiffFile(path) as tiff:
        where, count = tiff.pages[0].dataoffsets[2], tiff.pages[0].databytecounts[2]
    with path.open("r+b") as file:
        file.seek(where)
        file.write(b"\0" * count)
    slide, _ = both(path)
    slide.read((400, 200), 0, (64, 64))
    with pytest.raises(UnreadableSlideError, match=str(path)):
        slide.read((0, 0), 0, (400, 200))


def test_other_pixels_than_openslides_are_not_trusted(tmp_path, both, monkeypatch):
    """A reader that errs is found out before it is used; one level, one warning."""
    path = write_levels(tmp_path / "a.tif")
    slide, reference = both(path)
    decode = TileFile.decode
    monkeypatch.setattr(
        TileFile, "decode", lambda *a, **k: decode(*a, **k) ^ np.uint8(1)
    )
    with pytest.warns(UserWarning, match="differs from OpenSlide's pixels") as said:
        pixels = slide.read((10, 20), 0, (200, 100))
    assert str(path) in str(said[0].message)
    assert np.array_equal(pixels, reference.read((10, 20), 0, (200, 100)))
    assert not slide.trusts(0)


def test_a_level_of_which_nothing_could_be_compared_is_not_trusted(
    tmp_path, both, monkeypatch
):
    """Tiles that fail wherever they are tried say nothing of the others."""
    slide, _ = both(write_levels(tmp_path / "a.tif"))

    def fail(*_, **__):
        raise TileError

    monkeypatch.setattr(TileFile, "decode", fail)
    assert not slide.trusts(0)


def test_every_tile_is_decoded_once_in_a_pass(tmp_path, both, monkeypatch):
    """Patches that lie across tiles, read by several threads, share what they decode."""
    write_pyramid(tmp_path / "a.tif", picture(1500, 1300), 0.25, tile=128)
    slide, reference = both(tmp_path / "a.tif")
    assert slide.trusts(0)
    slide.clear()
    decoded, turn = [], threading.Lock()
    decode = TileFile.decode

    def counted(self, level, column, row, **how):
        with turn:
            decoded.append((level, column, row))
        return decode(self, level, column, row, **how)

    monkeypatch.setattr(TileFile, "decode", counted)
    corners = [(x, y) for y in range(37, 1200, 100) for x in range(51, 1400, 100)]
    with ThreadPoolExecutor(4) as threads:
        read = list(threads.map(lambda at: slide.read(at, 0, (100, 100)), corners))
    assert len(decoded) == len(set(decoded)) > 100
    for at, pixels in zip(corners[::17], read[::17], strict=True):
        assert np.array_equal(pixels, reference.read(at, 0, (100, 100)))


def test_the_shelf_keeps_what_was_used_last():
    """It holds so many bytes; what fails is not kept, and is tried again."""
    shelf, made = Shelf(250), []

    def make(name):
        def now():
            made.append(name)
            return np.zeros(100, np.uint8)

        return now

    for name in ("a", "b", "a", "c", "a", "b"):
        shelf.get(name, make(name))
    assert made == ["a", "b", "c", "b"]

    def fail():
        raise TileError

    with pytest.raises(TileError):
        shelf.get("d", fail)
    assert shelf.get("d", make("d")) is not None


def test_a_slide_is_opened_directly_where_it_can_be(tmp_path):
    """`open_slide` chooses."""
    write_pyramid(tmp_path / "a.tif", picture(400, 300), 0.25)
    with open_slide(tmp_path / "a.tif") as slide:
        assert isinstance(slide, TiledSlide)
        assert slide.l0_mpp == pytest.approx(0.25)
        assert slide.bounds.as_list() == [0, 0, 400, 300]
