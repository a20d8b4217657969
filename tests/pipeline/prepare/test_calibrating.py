"""int8 on a whole study: calibrated once, on slides all over it."""

from pathlib import Path

import numpy as np
import pytest

from coverslip.errors import DataError
from coverslip.pipeline.engine import LocalEngine
from coverslip.pipeline.prepare.calibrating import (
    CALIBRATING,
    CALIBRATION,
    most_different,
    spread_over,
)
from coverslip.pipeline.prepare.preparation import Preparation, PrepareOptions
from coverslip.pipeline.prepare.preparing import prepare
from coverslip.store import read_facts
from coverslip.testing import fake_encoder_known, slide_file

pytest.importorskip("nncf", reason="the extra openvino is not installed")


def preparation(out):
    """Return one with the fake encoder in int8."""
    options = PrepareOptions(
        patches={"size": 64}, features={"encoder": "fake", "precision": "int8"}
    )
    return Preparation(out, options, engine=LocalEngine(1), quiet=True)


def test_slides_added_later_are_made_with_the_same_ranges(tmp_path):
    """The patches come from every slide that has some, and are kept."""
    slides = [slide_file(tmp_path / f"{n}.tif", seed=n) for n in range(3)]
    slides.append(slide_file(tmp_path / "bare.tif", tissue=None))
    how = preparation(tmp_path / "study")
    with fake_encoder_known():
        table = prepare(slides, how)
        assert table.rows["2"]["status"] == "features"
        with np.load(how.features_folder / CALIBRATION) as kept:
            patches = kept["patches"]
        assert patches.shape[1:] == (64, 64, 3)
        assert len(patches) == CALIBRATING
        slides.append(slide_file(tmp_path / "late.tif", colour=(90, 20, 60)))
        prepare(slides, how)
    made = [
        read_facts(how.features_folder / f"{n}.h5")["encoder"] for n in ("0", "late")
    ]
    assert made[0] == made[1]
    assert made[0]["precision"] == "int8"
    assert made[0]["calibration"]


def test_without_any_tissue_there_is_nothing_to_calibrate_on(tmp_path):
    """The message says which precision needs none."""
    bare = slide_file(tmp_path / "bare.tif", tissue=None)
    with fake_encoder_known(), pytest.raises(DataError, match="--precision fp32"):
        prepare([bare], preparation(tmp_path / "study"))


def test_the_patches_that_differ_most_have_what_is_rare():
    """The one dark and the one pale patch among many alike are taken, none twice."""
    rng = np.random.default_rng(0)
    patches = rng.integers(150, 170, (100, 8, 8, 3), np.uint8)
    patches[17], patches[60] = 20, 250
    chosen = most_different(patches, 3)
    assert {int(patch.mean()) for patch in chosen[1:]} == {20, 250}
    assert 150 < chosen[0].mean() < 170
    everything = most_different(patches, 200)
    assert len(everything) == 100
    assert len(np.unique(everything.reshape(100, -1), axis=0)) == 100


@pytest.mark.parametrize("slides", [1, 255, 256, 300, 511, 2000])
def test_calibration_looks_all_over_a_study(slides):
    """From the first slide to the last, none twice, whatever their number."""
    found = [Path(f"{i:05}") for i in range(slides)]
    chosen = spread_over(found, 256)
    assert len(set(chosen)) == len(chosen) == min(slides, 256)
    assert (chosen[0], chosen[-1]) == (found[0], found[-1])
