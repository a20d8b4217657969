"""Scales: which level is read, how much of it, and what comes out."""

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from coverslip.errors import TooCoarseError
from coverslip.geometry import (
    Box,
    magnification,
    plan_scale,
    px_size_from_l0,
    scale_name,
)

SEED = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0]
SCANNED = [1.0, 4.00022, 16.0017, 32.0089]
PYRAMIDS = [[1.0], [1.0, 4.0], SCANNED, SEED, [1.0, 3.99988, 7.9991]]


@pytest.mark.parametrize(
    ("l0_mpp", "downsamples", "asked", "level", "lv_size"),
    [
        pytest.param(0.25, SEED, 0.5, 1, 256, id="level 1 is 20x, as in the seed"),
        pytest.param(0.243, SEED, 0.5, 1, 263, id="CAMELYON16, Radboud"),
        pytest.param(0.226, SEED, 0.5, 1, 283, id="CAMELYON16, Utrecht"),
        pytest.param(0.2526, SCANNED, 0.5, 0, 507, id="Aperio 40x has no 20x level"),
        pytest.param(0.25, SCANNED, 1.0, 1, 256, id="4.00022 is fine enough for 4"),
        pytest.param(0.25, [1.0, 3.99988], 1.0, 1, 256, id="3.99988 is not 3"),
        pytest.param(0.499, [1.0], 0.5, 0, 257, id="single level"),
        pytest.param(0.5, SEED, 0.5, 0, 256, id="native 20x"),
        pytest.param(0.505, SEED, 0.5, 0, 253, id="a little coarser is enlarged"),
        pytest.param(0.25, SEED, 8.0, 5, 256, id="overview"),
    ],
)
def test_the_level_read_is_the_nearest_that_is_fine_enough(
    l0_mpp, downsamples, asked, level, lv_size
):
    """Real pyramids: the level by micrometres, and as many pixels as cover the patch."""
    scale = plan_scale(l0_mpp, downsamples, asked, 256)
    assert (scale.level, scale.lv_size) == (level, lv_size)
    assert scale.level_mpp == pytest.approx(l0_mpp * downsamples[level])
    assert scale.l0_size == pytest.approx(256 * asked / l0_mpp)
    assert scale.resample == pytest.approx(lv_size / 256)
    assert scale.achieved_mpp == pytest.approx(asked, rel=0.5 / lv_size + 1e-9)


def test_the_order_of_levels_does_not_matter():
    """A pyramid that lists its levels out of order is read at the same scale."""
    assert plan_scale(0.25, [1.0, 16.0, 4.0], 1.0, 64).level == 2


@given(
    l0_mpp=st.floats(0.1, 1.5),
    asked=st.floats(0.1, 10),
    size=st.integers(8, 1024),
    downsamples=st.sampled_from(PYRAMIDS),
)
def test_every_plan_keeps_its_promises(l0_mpp, asked, size, downsamples):
    """Fine enough, none coarser would be, and right to half a pixel of the level."""
    assume(asked >= l0_mpp / 1.1)
    scale = plan_scale(l0_mpp, downsamples, asked, size)
    assert scale.level_mpp <= asked * 1.01 or scale.level == 0
    coarser = [d for d in downsamples if d > downsamples[scale.level]]
    assert all(d * l0_mpp > asked for d in coarser)
    lv_exact = size * asked / scale.level_mpp
    assert scale.lv_size >= 1
    assert abs(scale.lv_size - lv_exact) <= 0.5 or scale.lv_size == 1
    l0_read = scale.lv_size * downsamples[scale.level]
    assert scale.achieved_mpp * size == pytest.approx(l0_read * l0_mpp)


@pytest.mark.parametrize("l0_mpp", [0.56, 1.0, 2.0])
def test_a_slide_that_is_too_coarse_is_refused_unless_enlarging_is_admitted(l0_mpp):
    """The message names both scales and both remedies; enlarging reads fewer pixels."""
    with pytest.raises(TooCoarseError) as error:
        plan_scale(l0_mpp, [1.0, 2.0], 0.5, 256)
    for part in (f"{l0_mpp:g} mpp", "0.5", "--target-mpp", "--upsample"):
        assert part in str(error.value)
    scale = plan_scale(l0_mpp, [1.0, 2.0], 0.5, 256, upsample=True)
    assert (scale.level, scale.lv_size) == (0, round(128 / l0_mpp))
    assert scale.resample < 1


def test_a_scale_is_told_as_plain_facts():
    """The audit holds asked, read and achieved scale; it rebuilds the scale."""
    scale = plan_scale(0.243, SEED, 0.5, 256)
    facts = scale.facts()
    assert type(scale)(**facts) == scale
    assert facts["asked_mpp"] == 0.5
    assert facts["level_mpp"] == pytest.approx(0.486)
    assert facts["achieved_mpp"] == pytest.approx(0.486 * 263 / 256)


@pytest.mark.parametrize(
    ("mpp", "size", "overlap", "name"),
    [
        (0.5, 256, 0, "20x_256px_0px_overlap"),
        (0.25, 512, 64, "40x_512px_64px_overlap"),
        (0.97, 96, 0, "10.31x_96px_0px_overlap"),
        (8.0, 224, 0, "1.25x_224px_0px_overlap"),
    ],
)
def test_a_patching_is_named_as_tridents_users_know_it(mpp, size, overlap, name):
    """Magnification, size and overlap: two scales never share a folder by rounding."""
    assert scale_name(mpp, size, overlap) == name
    assert magnification(mpp) == pytest.approx(10 / mpp)


@given(
    st.tuples(st.integers(1, 300_000), st.integers(1, 300_000)), st.floats(1.0, 300.0)
)
@example((1, 42021), 1.4)  # 42021 / 1.4 is 30015, and a rounding error
def test_an_image_of_an_extent_has_room_for_all_of_it(l0_size, downsample):
    """Never a pixel too few, never one too many, never none."""
    for px, l0 in zip(px_size_from_l0(l0_size, downsample), l0_size, strict=True):
        assert px >= 1
        assert px * downsample >= l0 * (1 - 1e-12)
        assert (px - 1) * downsample < l0


def test_a_box_is_listed_as_x_y_width_height():
    """The order that GeoJSON properties and readers expect."""
    assert Box(1, 2, 30, 40).as_list() == [1, 2, 30, 40]
