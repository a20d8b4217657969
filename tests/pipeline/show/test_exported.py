"""One slide's files all lie on the same pixels: the geometry test.

Slides of odd sizes, with pyramids and patches whose scales are no whole numbers, half of
them scanned off the corner of level 0. A lesion is painted where some of the patches
lie, and only these are hot. Every file must then show those very pixels.
"""

import json
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import openslide
import pytest
import shapely
import tifffile

from coverslip import store
from coverslip.cohorts.pyramid import write_pyramid
from coverslip.geometry import Box, Scale
from coverslip.learn.prediction import Prediction
from coverslip.pipeline.predict.scoring import SlideScores
from coverslip.pipeline.show.export_options import ExportOptions
from coverslip.pipeline.show.exported import WRITERS, Exported
from coverslip.prepare.annotations import read_annotations, read_tissue_geojson
from coverslip.prepare.filling import fill
from coverslip.prepare.patches import PatchOptions, lay_patches
from coverslip.prepare.segmentation import TissueOptions
from coverslip.prepare.tissue import find_tissue
from coverslip.show import heatmap_tiff
from coverslip.show.heatmap import paint
from coverslip.slides.finding import open_slide
from coverslip.slides.overview import read_overview
from coverslip.testing import GLASS, TISSUE

LESION = (60, 20, 90)
COLD, HOT = 0.45, 1.0
"""What the run says of patches. Those whose side is no whole number overlap by a pixel,
where their mean is taken: it is above a half wherever one is hot."""

MASK_MPP = 4.0
PLAIN = {"smooth_um": 4.0, "close_um": 0, "open_um": 0, "min_hole_um2": 0}


@dataclass
class Planted:
    """A slide with a lesion on known pixels, and a run that finds just it."""

    study: object
    run: object
    size: tuple[int, int]
    bounds: Box
    tissue: tuple[int, int, int, int]
    lesion: Box
    scale: Scale

    @property
    def mask(self):
        """The lesion's pixels, (height, width) of level 0."""
        mask = np.zeros(self.size[::-1], bool)
        left, top, width, height = self.lesion.as_list()
        mask[top : top + height, left : left + width] = True
        return mask

    def exported(self, **options):
        """The slide as it is exported."""
        return Exported(self.study, self.run, "slide", ExportOptions(**options))


@pytest.fixture(scope="module", params=range(6))
def planted(request, tmp_path_factory):
    """Draw a slide; odd numbers of the draw have bounds off the corner."""
    with pytest.MonkeyPatch.context() as patch:
        rng = np.random.default_rng(request.param)
        patch.setattr(heatmap_tiff, "PATCH_PX", int(rng.integers(6, 40)))
        size = tuple((2 * rng.integers(400, 600, 2) + 1).tolist())
        bounds = Box(0, 0, *size)
        if request.param % 2:
            x, y = rng.integers(31, 140, 2).tolist()
            bounds = Box(x, y, size[0] - x - 17, size[1] - y - 5)
            names = ("x", "y", "width", "height")
            said = zip(names, map(str, bounds.as_list()), strict=True)
            properties = {f"openslide.bounds-{name}": value for name, value in said}
            patch.setattr(openslide.OpenSlide, "properties", properties)
        yield plant(tmp_path_factory.mktemp("planted"), size, bounds, rng)


def plant(folder, size, bounds, rng):
    """Paint tissue, lay patches, then paint the lesion where some of them lie."""
    l0_mpp = float(rng.uniform(0.21, 0.49))
    left, top = bounds.l0_x + 60, bounds.l0_y + 45
    tissue = (left, top, size[0] - 95, size[1] - 80)
    path, downsample = folder / "slide.tif", int(rng.integers(2, 5))
    picture = np.full((size[1], size[0], 3), GLASS, np.uint8)
    piece = picture[top : tissue[3], left : tissue[2]]
    piece[:] = np.array(TISSUE) + rng.integers(-20, 21, piece.shape)
    write_pyramid(path, picture, l0_mpp, downsample=downsample)
    with open_slide(path, l0_mpp) as slide:
        found = find_tissue(slide, TissueOptions(mask_mpp=MASK_MPP, **PLAIN))
        laid = lay_patches(slide, found, PatchOptions(mpp=0.5, size=64))
    found.save(store.Study(folder).tissue("slide"))
    corner = laid.coords[rng.integers(len(laid.coords) // 3)]
    side = int(np.ceil(laid.scale.l0_size))
    hot = ((laid.coords >= corner) & (laid.coords < corner + 2.5 * side)).all(axis=1)
    width, height = (laid.coords[hot].max(axis=0) + side - corner).tolist()
    lesion = Box(*corner.tolist(), width, height)
    picture[corner[1] : corner[1] + height, corner[0] : corner[0] + width] = LESION
    write_pyramid(path, picture, l0_mpp, downsample=downsample)
    chance = np.where(hot, HOT, COLD).astype(np.float32)
    chances = np.stack([1 - chance, chance], axis=1)
    slide_says = np.array([0.3, 0.7])
    said = Prediction("slide", slide_says, slide_says * 0, chance / 99, chances)
    card = SimpleNamespace(classes=("normal", "tumor"))
    scores = SlideScores("slide", path, said, laid.coords, laid.scale, card)
    run = SimpleNamespace(name="planted", of=lambda _: scores)
    return Planted(folder, run, size, bounds, tissue, lesion, laid.scale)


def written(planted, tmp_path, name, **options):
    """Write one format, and return its files."""
    exported = planted.exported(**options)
    return list(WRITERS[name](exported, tmp_path / "out"))


def features(path, origin):
    """Return (kind, class, shape in level-0 pixels) of a GeoJSON file's objects."""
    for item in json.loads(path.read_text())["features"]:
        told = item["properties"]["classification"]
        shape = shapely.geometry.shape(item["geometry"])
        moved = shapely.transform(shape, lambda points: points + origin)
        name = told.get("name") or ": ".join(told["names"])
        yield item["properties"]["objectType"], name, moved


def pixels(shapes, size):
    """Return the mask of level 0 that shapes enclose."""
    parts = [part for shape in shapes for part in shapely.get_parts(shape)]
    return fill(parts, size)


@pytest.mark.parametrize("origin", ["level0", "bounds"])
def test_the_lesion_is_on_the_same_pixels_in_geojson(planted, tmp_path, origin):
    """Hot region and tumour tiles enclose the lesion's pixels, exactly."""
    (path,) = written(planted, tmp_path, "geojson", origin=origin)
    corner = (0, 0)
    if origin == "bounds":
        corner = (planted.bounds.l0_x, planted.bounds.l0_y)
    found = list(features(path, corner))
    hot = [shape for _, name, shape in found if name == "Hot: tumor"]
    tiles = [s for kind, name, s in found if (kind, name) == ("tile", "tumor")]
    assert np.array_equal(pixels(hot, planted.size), planted.mask)
    assert np.array_equal(pixels(tiles, planted.size), planted.mask)


def test_the_lesion_is_on_the_same_pixels_in_asap(planted, tmp_path):
    """The XML's hot region, once it is called tumour, encloses the lesion's pixels."""
    (path,) = written(planted, tmp_path, "asap")
    assert not read_annotations(path).positive
    path.write_text(path.read_text().replace("Hot: tumor", "Tumor"))
    region = read_annotations(path).region
    assert np.array_equal(pixels([region], planted.size), planted.mask)


@pytest.mark.parametrize("origin", ["level0", "bounds"])
def test_the_lesion_is_on_the_same_pixels_in_tiff(planted, tmp_path, origin):
    """Its edges are where they should be, to half a pixel of the TIFF."""
    frame = planted.bounds if origin == "bounds" else Box(0, 0, *planted.size)
    _, path = written(planted, tmp_path, "tiff", origin=origin)
    with tifffile.TiffFile(path) as file:
        page = file.pages[0]
        picture, (over, under) = page.asarray(), page.tags["XResolution"].value
    downsample = 10_000 * under / over / planted.scale.l0_mpp
    assert downsample == pytest.approx(round(downsample), rel=1e-6)
    red = picture[..., 0].astype(int) - picture[..., 2] > 3
    check_edges(planted, red, frame, (round(downsample),) * 2)


def test_the_lesion_is_on_the_same_pixels_as_numbers(planted, tmp_path):
    """So in the file that ASAP lays over the slide, which always shows all of it."""
    (path,) = written(planted, tmp_path, "likelihood", origin="bounds")
    values = tifffile.imread(path)
    downsample = planted.size[0] // values.shape[1]
    assert downsample == planted.size[1] // values.shape[0]
    assert (values.min(), values.max()) == (0, HOT)
    check_edges(planted, values > 0.5, Box(0, 0, *planted.size), (downsample,) * 2)


def test_the_lesion_is_on_the_same_pixels_in_the_heatmap(planted):
    """In the picture's panel, and in the slide beneath it: to half of its pixel."""
    exported = planted.exported()
    with exported.said.open() as slide:
        assert slide.bounds == planted.bounds
        picture, bounds = read_overview(slide, 3.7 * slide.l0_mpp)
    said = exported.said
    values = said.prediction.patch_probabilities[:, 1].astype(np.float64)
    px_size = picture.shape[1::-1]
    painted = paint(said.coords, values, said.scale.l0_size, bounds, px_size)
    across, down = bounds.l0_width / px_size[0], bounds.l0_height / px_size[1]
    check_edges(planted, np.nan_to_num(painted) > 0.5, bounds, (across, down))
    dark = picture[..., 1] < 70  # halfway between lesion and tissue
    check_edges(planted, dark, bounds, (across, down), slack=1.0, filled=0.9)


def check_edges(planted, mask, frame, downsample, slack=0.5, filled=1.0):
    """Compare the box of a mask's pixels with the lesion's, in level-0 pixels."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    across, down = downsample
    found = np.array(
        [
            frame.l0_x + columns[0] * across,
            frame.l0_y + rows[0] * down,
            frame.l0_x + (columns[-1] + 1) * across,
            frame.l0_y + (rows[-1] + 1) * down,
        ]
    )
    left, top, width, height = planted.lesion.as_list()
    expected = np.array([left, top, left + width, top + height])
    limit = slack * np.array([across, down, across, down])
    assert (np.abs(found - expected) <= limit + 1e-6).all(), (found - expected) / limit
    within = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    assert within.mean() >= filled


@pytest.mark.parametrize("origin", ["level0", "bounds"])
def test_the_tissue_is_on_the_same_pixels(planted, tmp_path, origin):
    """Its outline is the study's to the hundredth, and the tissue's to two mask pixels.

    Read again, from whatever origin, it is the study's still.
    """
    (path,) = written(planted, tmp_path, "geojson", origin=origin)
    study = shapely.union_all(planted.exported().tissue.outlines)
    again = shapely.union_all(read_tissue_geojson(path))
    assert again.hausdorff_distance(study) < 0.01
    px = MASK_MPP / planted.scale.l0_mpp
    assert np.abs(np.subtract(again.bounds, planted.tissue)).max() < 2 * px
    outline = shapely.box(*planted.tissue)
    assert again.symmetric_difference(outline).area < 2 * px * outline.length
