"""Layers of a slide lie on each other, and patches are framed where they are."""

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from coverslip.learn.prediction import Prediction
from coverslip.prepare.patches import PatchOptions, lay_patches
from coverslip.prepare.tissue import find_tissue
from coverslip.show.report.pictures import gradient, layer_uri, picture_slide
from coverslip.slides.finding import open_slide
from coverslip.testing import slide_file

BOX = (256, 512, 1280, 1536)


def opened(uri):
    """Return a data URI's picture."""
    kind, data = uri.split(";base64,")
    assert kind in {"data:image/jpeg", "data:image/png"}
    return Image.open(io.BytesIO(base64.b64decode(data)))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Return the pictures of a slide of 2048 x 1536 pixels, tissue in a rectangle."""
    path = tmp_path_factory.mktemp("slide") / "s.tif"
    slide_file(path, size=(2048, 1536), tissue=BOX)
    with open_slide(path) as slide:
        tissue = find_tissue(slide)
        laid = lay_patches(slide, tissue, PatchOptions(size=256))
        n = len(laid.coords)
        attention = np.linspace(1, 2, n).astype("f4")
        chances = np.stack([np.linspace(1, 0, n), np.linspace(0, 1, n)], axis=1)
        prediction = Prediction(
            "s", np.array([0.5, 0.5]), np.zeros(2), attention / attention.sum(), chances
        )
        pictures = picture_slide(
            slide,
            prediction,
            laid.coords,
            laid.scale,
            tissue.outlines,
            of_class=(1, "tumor"),
            shown=3,
        )
    return pictures, laid


def test_all_layers_cover_the_same(made):
    """Thumbnail and heatmaps have the size that is said."""
    pictures, _ = made
    assert pictures.px_size == (640, 480)
    for uri in (pictures.thumbnail, pictures.attention, pictures.probability):
        assert opened(uri).size == (640, 480)


def test_the_outline_is_round_the_tissue(made):
    """Its ends are the rectangle's, to a few pixels of the thumbnail."""
    numbers = re.findall(r"[\d.]+", made[0].outlines)
    points = np.array(numbers, float).reshape(-1, 2)
    px_box = np.array(BOX) / 2048 * 640
    assert points.min(axis=0) == pytest.approx(px_box[:2], abs=6)
    assert points.max(axis=0) == pytest.approx(px_box[2:], abs=6)


def test_the_heatmap_lies_where_patches_do(made):
    """It is transparent elsewhere."""
    pictures, laid = made
    alpha = np.asarray(opened(pictures.attention).convert("RGBA"))[..., 3] > 0
    expected = np.zeros_like(alpha)
    for x, y in laid.coords * 640 / 2048:
        expected[round(y) : round(y + 80), round(x) : round(x + 80)] = True
    assert (alpha == expected).mean() > 0.995


def test_top_and_bottom_patches_are_those_of_attention(made):
    """The highest first, the lowest first, framed at their corners."""
    pictures, laid = made
    n = len(laid.coords)
    assert [patch.l0_xy for patch in pictures.top] == [
        tuple(laid.coords[n - 1 - i].tolist()) for i in range(3)
    ]
    assert [patch.name for patch in pictures.bottom] == ["B1", "B2", "B3"]
    assert pictures.bottom[0].l0_xy == tuple(laid.coords[0].tolist())
    assert (pictures.top[0].attention_rank, pictures.top[0].probability) == (1, 1)
    for patch in pictures.top + pictures.bottom:
        left, top, side = patch.px_box
        assert (left, top, side) == pytest.approx(
            (*(np.array(patch.l0_xy) * 640 / 2048), 80), abs=0.01
        )
        assert opened(patch.picture).size == (144, 144)


def test_the_bar_is_as_long_as_it_says(made):
    """Of 2048 pixels of 0.5 um, 200 um are 125 pixels of 640."""
    assert made[0].bar == (pytest.approx(125), "200 µm")


def test_few_patches_are_shown_once(tmp_path):
    """Of three patches two are on top and one at the bottom."""
    path = slide_file(tmp_path / "s.tif", size=1024, tissue=(0, 0, 1024, 1024))
    with open_slide(path) as slide:
        laid = lay_patches(slide, find_tissue(slide), PatchOptions(size=256))
        coords = laid.coords[:3]
        chances = np.full((3, 2), 0.5, "f4")
        prediction = Prediction("s", None, None, np.ones(3, "f4") / 3, chances)
        pictures = picture_slide(
            slide, prediction, coords, laid.scale, (), of_class=(0, "a"), shown=6
        )
    shown = [patch.l0_xy for patch in pictures.top + pictures.bottom]
    assert len(shown) == len(set(shown)) == 3


def test_colours_run_from_the_least_to_the_most():
    """A layer's ends have the colours of the legend's ends."""
    layer = opened(layer_uri(np.array([[0.0, 1.0, np.nan]]), "magma")).convert("RGBA")
    ends = gradient("magma").split(", ")
    seen = ["#{:02x}{:02x}{:02x}".format(*layer.getpixel((x, 0))[:3]) for x in (0, 1)]
    assert seen == [ends[0], ends[-1]]
    assert layer.getpixel((2, 0))[3] == 0
