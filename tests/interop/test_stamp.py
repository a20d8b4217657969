"""STAMP's micrometres: its three ways to write them, and level-0 pixels."""

import h5py
import numpy as np
import pytest

from coverslip.errors import DataError
from coverslip.interop.exchange import Known, Laid, Place
from coverslip.interop.stamp import StampFormat

MPP = 0.2527
NEW = {
    "unit": "um",
    "tile_size_um": 256.0,
    "tile_size_px": 224,
    "stamp_version": "2.5.0",
}


def place(tmp_path, coords, root):
    """Write one slide as STAMP does."""
    path = tmp_path / "s.h5"
    with h5py.File(path, "w") as file:
        file["feats"] = np.ones((len(coords), 3), np.float16)
        file["coords"] = np.asarray(coords, np.float32)
        file.attrs.update(root)
    return Place("s", path)


def read(place, mpp=MPP):
    """Read it with a scale."""
    return StampFormat().read(place, Known(Laid(l0_mpp=mpp)))


def test_micrometres_become_the_nearest_pixels(tmp_path):
    """A corner between two pixels goes to the nearer one; the tile's size is known."""
    item = read(place(tmp_path, [[0, 0], [256, 512], [100.3, 7.9]], NEW))
    assert item.coords.tolist() == [[0, 0], [1013, 2026], [397, 31]]
    assert item.laid.l0_size == pytest.approx(256 / MPP)
    assert (item.laid.size, item.laid.mpp) == (224, pytest.approx(256 / 224))


def test_far_corners_are_exact(tmp_path):
    """What is written in 32 bits gives the same pixels again on the largest slides."""
    pixels = np.random.default_rng(0).integers(0, 400_000, size=(500, 2))
    written = (pixels * MPP).astype(np.float32)
    item = read(place(tmp_path, written, NEW))
    assert np.array_equal(item.coords, pixels)


def test_older_units(tmp_path):
    """`tile_size` in um, and 224 pixels to 256 um before there was a unit."""
    item = read(place(tmp_path, [[0, 0], [256, 0]], {"unit": "um", "tile_size": 256.0}))
    assert item.coords[1].tolist() == [1013, 0]
    assert item.laid.l0_size == pytest.approx(256 / MPP)
    item = read(place(tmp_path, [[0, 0], [224, 0], [0, 224]], {}))
    assert item.coords[1].tolist() == [1013, 0]


def test_without_unit_or_scale_it_says_what_to_do(tmp_path):
    """Neither is guessed."""
    with pytest.raises(DataError, match="does not say the unit"):
        read(place(tmp_path, [[0, 0], [10, 0]], {}))
    with pytest.raises(DataError, match="give --slides, --mpp or --mpp-csv"):
        read(place(tmp_path, [[0, 0], [10, 0]], NEW), mpp=None)
