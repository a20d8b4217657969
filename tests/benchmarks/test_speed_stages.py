"""What the scripts of the speed benchmark compute from what they measure."""

import json

import h5py
import numpy as np
import pytest
from benchmarks.speed import embedding, growth, networks, start, tissue
from benchmarks.speed.measure import Timing
from torch import nn

from coverslip.prepare.encoders.resnet import ResNetTrunk
from coverslip.testing import slide_file


def test_the_worst_patch_decides_how_far_features_are_off():
    """Relative to its own length; a factor moves the error and not the cosine."""
    exact = np.array([[3.0, 4.0], [1.0, 0.0]])
    told = networks.compared(np.array([[3.0, 4.0], [2.0, 0.0]]), exact)
    assert told == {"error": 1.0, "cosine": 1.0}
    told = networks.compared(np.array([[3.0, 4.0], [0.0, 1.0]]), exact)
    assert told["cosine"] == 0
    assert told["error"] == pytest.approx(1.4, abs=0.02)


def test_operations_are_those_of_the_convolutions():
    """Two for each product, at each place where the kernel lies."""
    module = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.ReLU())
    assert networks.operations(module, 32) == 2 * 8 * 16 * 16 * 3 * 3 * 3
    trunk = networks.operations(ResNetTrunk("1x1"), 224)
    assert 6.2e9 < trunk < 6.3e9


def test_plain_pytorch_gives_the_same_at_any_batch_size():
    """So that the rival's best size may be chosen freely."""
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    patches = np.random.default_rng(0).integers(0, 256, (5, 256, 256, 3), np.uint8)
    one, many = (
        networks.plain(module.eval(), networks.RESNET50, size)(patches)
        for size in (1, 4)
    )
    assert one.shape == (5, 4)
    assert np.allclose(one, many, atol=1e-5)


def test_a_programs_start_is_taken_off_each_of_its_runs():
    """The median start; a run is never done in no time."""
    whole = Timing((10.0, 12.0, 3.0), (5.0, 6.0, 1.0), 100)
    begun = Timing((4.0, 3.0, 5.0), (2.0, 1.0, 3.0), 100)
    rest = embedding.without(whole, begun)
    assert rest.cpu[:2] == (6.0, 8.0)
    assert rest.wall[:2] == (3.0, 4.0)
    assert 0 < rest.cpu[2] < 1e-6
    assert rest.items == 100


@pytest.mark.parametrize("shape", [(4, 3), (1, 4, 3)])
def test_features_of_any_program_are_a_row_a_patch(tmp_path, shape):
    """Some write a bag of one slide with a dimension more."""
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["features"] = np.arange(12.0).reshape(shape)
    features = embedding.features_of(tmp_path / "a.h5")
    assert features.tolist() == np.arange(12.0).reshape(4, 3).tolist()


def test_idle_shares_are_those_of_the_run_that_is_told(tmp_path):
    """None for another program."""
    text = "slide_id,encoder_idle,readers_idle\na,0.01,0.9\n"
    (tmp_path / "coverslip fp32.csv").write_text(text)
    told = embedding.idle(tmp_path, "coverslip fp32")
    assert told == {"encoder_idle": 0.01, "readers_idle": 0.9}
    assert embedding.idle(tmp_path, "CLAM") == {}


def test_the_exponent_is_the_slope_of_the_logarithms():
    """Linear is 1, quadratic 2; a constant share makes it less than 1."""
    items = [100, 400, 1600]
    assert growth.exponent(items, [1, 4, 16]) == 1
    assert growth.exponent(items, [1, 16, 256]) == 2
    assert 0.5 < growth.exponent(items, [2, 5, 17]) < 1


def test_growth_has_a_row_a_size_and_one_exponent(monkeypatch):
    """The last row has the verdict."""
    costs = iter([2, 4, 16])
    monkeypatch.setattr(growth, "mosaic", lambda side: side)
    monkeypatch.setattr(
        growth,
        "run_apart",
        lambda *given: {"items": 100 * given[-1], "cpu": next(costs), "peak_mb": 50},
    )
    rows = growth.main(["tissue and patches"])["rows"]
    assert [row["seconds"] for row in rows] == [2, 4, 16]
    assert [row.get("exponent") for row in rows] == [None, None, 0.75]
    assert rows[2]["bar"] == {"exponent": 1.1}


def test_growth_takes_the_median_of_tries_and_the_first_ones_peak(monkeypatch):
    """Later ones may hold what earlier ones left."""
    tries = iter([(1, 50), (9, 60), (2, 60), (1, 60), (9, 70)])
    keys = "cpu", "peak_mb"

    def once(times):
        return {"items": 100 * times, **dict(zip(keys, next(tries), strict=True))}

    monkeypatch.setitem(growth.STAGES, "a", once)
    assert growth.tried("a", 4) == {"items": 400, "cpu": 2, "peak_mb": 50}


def test_the_share_of_a_commands_start_is_told():
    """Whole command first, its start second, others after."""
    timed = {
        "whole": Timing((4.0, 8.0, 6.0), (4.0, 8.0, 6.0), 1),
        "its start": Timing((1.0, 2.0, 3.0), (1.0, 1.0, 1.0), 1),
        "CLAM": Timing((8.0, 8.0, 12.0), (4.0, 4.0, 4.0), 1),
    }
    rows = start._shares("a", timed)
    assert rows[0]["share_of_start"] == 0.25
    assert [row["seconds"] for row in rows] == [6, 2, 8]
    assert rows[0]["times_rival"] == 2


def test_tissue_in_parts_lays_the_patches_of_the_whole(tmp_path):
    """What is timed beyond the reading is what the command does."""
    path = slide_file(tmp_path / "a.tif", size=2048)
    told = tissue.once(path)
    assert told["patches"] == tissue.lay(path, tmp_path) > 0
    assert told["peak_mb"] > 0
    outlines = json.loads((tmp_path / "tissue.geojson").read_text())
    assert outlines["features"]
