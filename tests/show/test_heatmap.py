"""Heatmaps: every value lands on the pixels of its patch, and nowhere else."""

import csv
import io
import math

import numpy as np
import pytest
from PIL import Image

from coverslip.geometry import Box
from coverslip.learn.prediction import Prediction
from coverslip.show.heatmap import (
    PatchShape,
    draw_heatmap,
    paint,
    patch_scores,
    rank,
)
from coverslip.slides.finding import open_slide
from coverslip.testing import slide_file


def by_hand(coords, values, l0_side, bounds, px_size):
    """Paint patch by patch, pixel by pixel, as the docstring says."""
    px_width, px_height = px_size
    layers = [[[] for _ in range(px_width)] for _ in range(px_height)]
    across, down = px_width / bounds.l0_width, px_height / bounds.l0_height
    l0_whole = math.ceil(l0_side)
    for (x, y), value in zip(coords, values, strict=True):
        left, right = (round((e - bounds.l0_x) * across) for e in (x, x + l0_whole))
        top, bottom = (round((e - bounds.l0_y) * down) for e in (y, y + l0_whole))
        for row in range(max(0, top), min(bottom, px_height)):
            for column in range(max(0, left), min(right, px_width)):
                layers[row][column].append(value)
    return np.array(
        [[np.mean(c) if c else np.nan for c in row] for row in layers], dtype=float
    )


@pytest.mark.parametrize("seed", range(6))
def test_painting_equals_painting_by_hand(seed):
    """Overlaps, odd sizes, bounds off the corner, patches that stick out: all equal."""
    rng = np.random.default_rng(seed)
    bounds = Box(
        *rng.integers(-40, 90, 2).tolist(), *rng.integers(300, 700, 2).tolist()
    )
    px_size = tuple(rng.integers(17, 61, 2).tolist())
    corner = np.array([bounds.l0_x, bounds.l0_y])
    coords = corner + rng.integers(-60, 700, (40, 2))
    values = rng.normal(size=40)
    l0_side = float(rng.uniform(20, 130))
    painted = paint(coords, values, l0_side, bounds, px_size)
    expected = by_hand(coords.tolist(), values, l0_side, bounds, px_size)
    assert painted.shape == px_size[::-1]
    np.testing.assert_allclose(painted, expected, atol=1e-9)


@pytest.mark.parametrize("l0_side", [64.5, 131.337, 99.9])
def test_neighbours_leave_no_gap(l0_side):
    """Patches whose side is no whole number of pixels still cover the picture."""
    l0_xs = np.rint(np.arange(12) * l0_side).astype(np.int64)
    coords = np.stack(np.meshgrid(l0_xs, l0_xs), axis=-1).reshape(-1, 2)
    whole = Box(0, 0, *(int(12 * l0_side),) * 2)
    for px_side in (100, 371, 766):
        painted = paint(coords, np.ones(144), l0_side, whole, (px_side, px_side))
        np.testing.assert_allclose(painted, 1)


def test_nothing_to_paint_is_all_empty():
    """A picture without patches has no value anywhere."""
    none = np.empty((0, 2), np.int64)
    painted = paint(none, np.empty(0), 10, Box(0, 0, 100, 50), (20, 10))
    assert painted.shape == (10, 20)
    assert np.isnan(painted).all()


def test_ranks_run_from_0_to_1_and_ties_are_equal():
    """Equal values are equally hot, wherever they lie."""
    assert rank(np.array([0.2, 0.9, 0.4])).tolist() == [0, 1, 0.5]
    assert rank(np.array([0.0, 0.0, 0.5, 0.0, 1.0])).tolist() == [0, 0, 0.75, 0, 1]
    assert rank(np.array([0.3])).tolist() == [1]


def prediction(n, hot):
    """Return a prediction that attends to one patch."""
    attention = np.full(n, 0.1 / n, np.float32)
    attention[hot] = 0.9
    chances = np.full((n, 2), 0.5, np.float32)
    chances[hot] = [0.02, 0.98]
    return Prediction("s", np.array([0.3, 0.7]), np.zeros(2), attention, chances)


@pytest.mark.parametrize(
    ("width", "height", "l0_mpp", "l0_side"),
    [(1031, 777, 0.5, 128.0), (2603, 1301, 0.2431, 131.6), (701, 1503, 0.5, 64.5)],
)
def test_the_planted_patch_is_hottest_at_its_place(
    tmp_path, width, height, l0_mpp, l0_side
):
    """In the picture file, both panels are hottest where the patch lies on the slide."""
    path = slide_file(
        tmp_path / "s.tif", size=(width, height), l0_mpp=l0_mpp, tissue=None
    )
    xs, ys = (
        np.arange(0, side - l0_side, l0_side).round().astype(int)
        for side in (width, height)
    )
    coords = np.stack(np.meshgrid(xs, ys), axis=-1).reshape(-1, 2)
    hot = len(xs) + 2
    made = tmp_path / "heatmap.png"
    with open_slide(path) as slide:
        shape = PatchShape(coords, l0_side, "tumor")
        draw_heatmap(made, slide, prediction(len(coords), hot), shape, "a title")
    centre = (coords[hot] + l0_side / 2) / (width, height)
    panels = find_panels(np.asarray(Image.open(made).convert("RGB")), width / height)
    for panel, hottest in zip(panels[1:], (brightest, reddest), strict=True):
        found = hottest(panel) / panel.shape[1::-1]
        np.testing.assert_allclose(found, centre, atol=0.012)


def find_panels(picture, aspect):
    """Cut the panels out of a figure: the large boxes that are not figure-white."""
    import cv2

    filled = (picture != 255).any(axis=2).astype(np.uint8)
    _, _, boxes, _ = cv2.connectedComponentsWithStats(filled, connectivity=4)
    large = [b for b in boxes[1:].tolist() if b[4] > 0.02 * filled.size]
    large = [b for b in large if abs(b[2] / b[3] / aspect - 1) < 0.05]
    large.sort(key=lambda b: (b[1] // 50, b[0] // 50))
    assert len(large) == 3
    return [picture[y : y + h, x : x + w].astype(float) for x, y, w, h, _ in large]


def middle(mask):
    """Return the (x, y) middle of the largest piece of a mask."""
    rows, columns = np.nonzero(mask)
    return np.array([np.median(columns) + 0.5, np.median(rows) + 0.5])


def brightest(panel):
    """Return where the attention panel is hottest: the only green above the glass's."""
    return middle(panel[..., 1] > 245)


def reddest(panel):
    """Return where the score panel is red."""
    return middle(panel[..., 0] - panel[..., 2] > 30)


def test_the_table_of_scores_lists_the_most_attended_first():
    """One row a patch, with its corner, rank and what is said of it alone."""
    coords = np.array([[0, 0], [256, 0], [0, 256]])
    said = prediction(3, hot=2)
    rows = list(csv.DictReader(io.StringIO(patch_scores(said, coords, ("no", "yes")))))
    assert [(row["x"], row["y"]) for row in rows] == [
        ("0", "256"),
        ("0", "0"),
        ("256", "0"),
    ]
    assert [float(row["attention_rank"]) for row in rows] == [1, 0, 0]
    assert float(rows[0]["attention"]) == pytest.approx(0.9)
    assert float(rows[0]["probability_yes"]) == pytest.approx(0.98)
    assert {row["slide_id"] for row in rows} == {"s"}


def test_a_slide_far_larger_than_the_picture_is_reduced(tmp_path):
    """The picture stays a picture: no panel is wider than is sensible on a screen."""
    path = slide_file(tmp_path / "s.tif", size=(5000, 600), tissue=(9, 9, 4900, 590))
    with open_slide(path) as slide:
        shape = PatchShape(np.array([[0, 0]]), 256, "tumor")
        draw_heatmap(tmp_path / "h.png", slide, prediction(1, 0), shape, "wide")
    with Image.open(tmp_path / "h.png") as picture:
        assert max(picture.size) < 2000
