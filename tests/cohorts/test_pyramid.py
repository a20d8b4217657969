"""Writing an image as a slide, read back with OpenSlide."""

import numpy as np
import openslide
import pytest

from coverslip.cohorts.pyramid import write_pyramid


@pytest.fixture
def image():
    """Return 700 x 517 px of flat 32-px squares: JPEG keeps their middles."""
    squares = np.random.default_rng(0).integers(40, 216, (17, 22, 3), dtype=np.uint8)
    return np.kron(squares, np.ones((32, 32, 1), np.uint8))[:517, :700]


@pytest.fixture
def written(tmp_path):
    """Return a function that writes an image and opens what was written."""

    def write(image, l0_mpp=0.5, **options):
        path = tmp_path / "slide.tif"
        write_pyramid(path, image, l0_mpp, **options)
        return openslide.OpenSlide(path)

    return write


def _level(slide, level=0):
    size = slide.level_dimensions[level]
    return np.asarray(slide.read_region((0, 0), level, size))[..., :3].astype(int)


def test_level_0_holds_the_image_in_place(image, written):
    """Colours are right in the middle of each square, borders right to the pixel."""
    pixels = _level(written(image, quality=95))
    assert pixels.shape == image.shape
    assert np.abs(pixels[16::32, 16::32] - image[16::32, 16::32]).max() <= 4
    edges = np.abs(np.diff(pixels.sum(axis=2), axis=1)).sum(axis=0)
    assert (np.sort(np.argsort(edges)[-21:]) == np.arange(31, 699, 32)).all()


def test_a_level_is_the_area_average_of_level_0(written):
    """A one-pixel checkerboard turns into its mean, not into either of its colours."""
    board = np.indices((512, 512)).sum(axis=0) % 2
    image = np.repeat((60 + 120 * board)[..., None], 3, axis=2).astype(np.uint8)
    level = _level(written(image, quality=95), 1)
    assert np.abs(level - 120).max() <= 3


def test_sizes_that_do_not_divide_give_fractional_downsamples(image, written):
    """Level sizes are rounded down and the downsample says the real ratio."""
    slide = written(image)
    assert slide.level_dimensions == ((700, 517), (350, 258), (175, 129))
    expected = (700 / 175 + 517 / 129) / 2
    assert slide.level_downsamples[2] == pytest.approx(expected)
    assert slide.level_downsamples[2] > 4


def test_levels_go_on_until_one_tile_holds_the_slide(image, written):
    """The number of levels follows from the tile, and can be given."""
    assert written(image, tile=128).level_count == 4
    assert written(image, levels=2).level_count == 2
    assert written(image, downsample=4).level_dimensions == ((700, 517), (175, 129))


@pytest.mark.parametrize("l0_mpp", [0.5, 0.2273, 0.24309])
def test_the_scale_is_kept(image, written, l0_mpp):
    """OpenSlide reports the micrometres per pixel that were given."""
    properties = written(image, l0_mpp).properties
    for axis in (openslide.PROPERTY_NAME_MPP_X, openslide.PROPERTY_NAME_MPP_Y):
        assert float(properties[axis]) == pytest.approx(l0_mpp, rel=1e-6)


def test_no_scale_is_written_for_none(image, written):
    """A slide without micrometres per pixel can be made, as some scanners do."""
    assert openslide.PROPERTY_NAME_MPP_X not in written(image, None).properties


def test_the_description_is_kept(image, written):
    """The ImageDescription is the text that was given."""
    slide = written(image, description="a lymph node")
    assert slide.properties["tiff.ImageDescription"] == "a lymph node"


def test_a_failed_write_leaves_what_was_there(image, tmp_path):
    """The file is replaced whole or not at all, and nothing half-written stays."""
    path = tmp_path / "slide.tif"
    write_pyramid(path, image, 0.5)
    before = path.read_bytes()
    with pytest.raises(ValueError, match="tile"):
        write_pyramid(path, image, 0.5, tile=100)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["slide.tif"]


@pytest.mark.parametrize(
    "image",
    [np.zeros((64, 64)), np.zeros((64, 64, 4), np.uint8), np.zeros((64, 64, 3))],
)
def test_only_rgb_of_8_bits_is_taken(image, tmp_path):
    """Another kind of array is refused before anything is written."""
    with pytest.raises(ValueError, match="uint8 RGB"):
        write_pyramid(tmp_path / "slide.tif", image, 0.5)
    assert not list(tmp_path.iterdir())
