"""From the scores of patches to points, and the organisers' files of them."""

import numpy as np
import pytest
import shapely

from coverslip.errors import DataError
from coverslip.judge.detections import (
    Detections,
    hot_regions,
    peaks,
    read_detections,
    regions,
    write_detections,
)

SIDE = 100


def grid(rows):
    """Return corners and scores of a picture of numbers, one patch a number."""
    values = np.array(rows, dtype=float)
    ys, xs = np.indices(values.shape)
    return np.c_[xs.ravel(), ys.ravel()] * SIDE, values.ravel()


def found(detections):
    """Return {(column, row): score} of detections at the centres of patches."""
    places = (detections.l0_points - SIDE / 2) / SIDE
    return {
        tuple(p): s for p, s in zip(places.tolist(), detections.scores, strict=True)
    }


def test_a_peak_removes_what_is_near_and_nothing_else():
    """Best first; what is farther than the radius may be a peak of its own."""
    corners, scores = grid([[0.9, 0.8, 0.7, 0.1], [0.2, 0.3, 0.4, 0.6]])
    near = found(peaks(corners, scores, SIDE, 1.5 * SIDE))
    assert near == {(0, 0): 0.9, (2, 0): 0.7}
    assert found(peaks(corners, scores, SIDE, 10 * SIDE)) == {(0, 0): 0.9}
    assert len(found(peaks(corners, scores, SIDE, 0.5 * SIDE))) == 8


def test_what_a_removed_patch_lies_near_to_stays():
    """A patch that is no peak suppresses nobody: 0.7 is next to 0.8, which is gone."""
    corners, scores = grid([[0.9, 0.8, 0.7]])
    assert found(peaks(corners, scores, SIDE, SIDE)) == {(0, 0): 0.9, (2, 0): 0.7}


@pytest.mark.parametrize("find", [peaks, regions])
def test_the_order_of_patches_does_not_matter(find):
    """Equal scores are settled by place: the same detections in the same order."""
    rng = np.random.default_rng(0)
    corners, _ = grid(np.zeros((12, 9)))
    scores = rng.integers(0, 4, len(corners)) / 3
    order = rng.permutation(len(corners))
    limit = 1.5 * SIDE if find is peaks else 0.5
    one = find(corners, scores, SIDE, limit)
    other = find(corners[order], scores[order], SIDE, limit)
    assert one.l0_points.tolist() == other.l0_points.tolist()
    assert one.scores.tolist() == sorted(one.scores, reverse=True)


def test_peaks_are_as_far_apart_as_asked_and_leave_no_patch_uncovered():
    """No two within the radius; each patch has one at least as good within it."""
    rng = np.random.default_rng(1)
    corners = rng.integers(0, 5000, (400, 2))
    scores = rng.random(400)
    kept = peaks(corners, scores, SIDE, 300)
    apart = np.linalg.norm(kept.l0_points[:, None] - kept.l0_points, axis=2)
    assert apart[~np.eye(len(apart), dtype=bool)].min() > 300
    to = np.linalg.norm((corners + SIDE / 2)[:, None] - kept.l0_points, axis=2)
    assert ((to <= 300) & (kept.scores >= scores[:, None])).any(axis=1).all()


def test_regions_are_touching_patches_by_their_best():
    """Corners count as touching; the threshold itself is in."""
    corners, scores = grid([[0.5, 0, 0, 0.6], [0, 0.7, 0, 0.6], [0, 0, 0, 0]])
    assert found(regions(corners, scores, SIDE, 0.5)) == {(1, 1): 0.7, (3, 0): 0.6}
    assert found(regions(corners, scores, SIDE, 0.8)) == {}


def test_patches_of_a_fractional_side_touch():
    """Corners are whole pixels: a grid of 512.8 px steps by 513 now and then."""
    corners = np.round(np.arange(20)[:, None] * [512.8, 0]).astype(int)
    assert len(regions(corners, np.ones(20), 512.8, 0.5).scores) == 1


@pytest.mark.parametrize("find", [peaks, regions])
def test_wrong_scores_are_refused_and_none_are_none(find):
    """One finite number a patch; no patch, no detection."""
    corners, scores = grid([[0.5, 0.6]])
    for wrong in (scores[:1], np.array([0.5, np.nan])):
        with pytest.raises(DataError, match="one finite score"):
            find(corners, wrong, SIDE, 0.5)
    assert len(find(np.empty((0, 2)), np.empty(0), SIDE, 0.5).scores) == 0


def test_a_large_slide_has_as_many_peaks_as_chance_makes():
    """100,000 patches: were all pairs looked at, memory would not do."""
    corners, _ = grid(np.zeros((316, 317)))
    scores = np.random.default_rng(0).random(len(corners))
    assert 10_000 < len(peaks(corners, scores, SIDE, 1.5 * SIDE).scores) < 40_000


def test_what_is_written_is_read(tmp_path):
    """Rows `prob,x,y` without a header, pixels whole, an empty file for nothing."""
    path = tmp_path / "test_001.csv"
    write_detections(
        path, Detections(np.array([[5.5, 7.0], [1e5, 2e5]]), np.r_[0.25, 1])
    )
    assert path.read_text() == "0.25,5,7\n1,100000,200000\n"
    back = read_detections(path)
    assert back.l0_points.tolist() == [[5, 7], [1e5, 2e5]]
    assert back.scores.tolist() == [0.25, 1]
    write_detections(path, Detections(np.empty((0, 2)), np.empty(0)))
    assert len(read_detections(path).scores) == 0


def test_a_header_and_blank_lines_are_admitted(tmp_path):
    """People save tables with both."""
    path = tmp_path / "a.csv"
    path.write_text("Prob, X, Y\n\n0.5, 10, 20\n")
    assert read_detections(path).l0_points.tolist() == [[10, 20]]


@pytest.mark.parametrize("row", ["0.5,1", "a,1,2", "nan,1,2", "0.5,1,2,3", "0.5,,3"])
def test_a_row_that_is_no_detection_is_named(tmp_path, row):
    """A table of another kind is never read as detections."""
    path = tmp_path / "a.csv"
    path.write_text(f"0.1,1,2\n{row}\n")
    with pytest.raises(DataError, match=r"a\.csv: '.*is no detection"):
        read_detections(path)
    with pytest.raises(DataError, match="no such file"):
        read_detections(tmp_path / "b.csv")


def test_hot_regions_are_the_areas_of_the_regions():
    """Touching patches are one area, with its hole; a corner joins; the best is first."""
    corners, scores = grid(
        [
            [0.6, 0.7, 0.6, 0.0, 0.0],
            [0.6, 0.1, 0.6, 0.0, 0.9],
            [0.6, 0.6, 0.6, 0.0, 0.0],
            [0.0, 0.0, 0.0, 0.5, 0.0],
        ]
    )
    lone, ring = hot_regions(corners, scores, SIDE, 0.5)
    assert lone.shape.equals(shapely.box(400, 100, 500, 200))
    whole = shapely.box(0, 0, 300, 300).difference(shapely.box(100, 100, 200, 200))
    assert ring.shape.equals(whole.union(shapely.box(300, 300, 400, 400)))
    assert ring.shape.is_valid
    assert len(shapely.get_coordinates(ring.shape)) == 15
    assert scores[ring.patches].min() == 0.5
    assert len(ring.patches) == 9
    assert len(regions(corners, scores, SIDE, 0.5).scores) == 2
    assert hot_regions(corners, scores, SIDE, 0.95) == []


def test_hot_patches_whose_side_is_no_whole_number_leave_no_gap():
    """Neighbours of a grid that was rounded to pixels are one rectangle."""
    side = 64.6
    xs = np.rint(np.arange(7) * side).astype(int)
    corners = np.stack(np.meshgrid(xs, xs), axis=-1).reshape(-1, 2)
    (region,) = hot_regions(corners, np.ones(len(corners)), side, 0.5)
    assert region.shape.equals(shapely.box(0, 0, xs[-1] + 65, xs[-1] + 65))
