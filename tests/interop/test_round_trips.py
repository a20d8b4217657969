"""Round trips through every format lose nothing of a study, nor of the other program's."""

from itertools import product

import h5py
import numpy as np
import pytest

from coverslip.interop.formats import WRITTEN, recognise
from coverslip.pipeline.converting import ConvertOptions, Scaled, convert
from coverslip.slides.finding import Scales
from foreign import FOREIGN, write_foreign
from studies import PATCHING, rows

OTHERS = [name for name in WRITTEN if name != "study"]


def everything(path):
    """Return all that an HDF5 file says but where it lay, in types and values."""
    with h5py.File(path) as file:
        told = {("", key): value for key, value in file.attrs.items()}
        for name, data in file.items():
            told[name] = (data.dtype.str, data.shape, data[()].tobytes())
            told |= {(name, key): value for key, value in data.attrs.items()}
    return {
        key: plain(value) for key, value in told.items() if key != ("", "coverslip")
    }


def plain(value):
    """Return an attribute as something that compares as a whole."""
    if isinstance(value, np.ndarray | np.generic):
        return value.dtype.str, value.tolist()
    return value


def facts(path):
    """Return how a file was made, as text."""
    with h5py.File(path) as file:
        return file.attrs["coverslip"]


@pytest.mark.parametrize("other", OTHERS)
def test_a_study_comes_back_as_it_was(finished, tmp_path, other):
    """Features, coordinates, shares, outlines, options and splits are the same again."""
    there = convert(finished, tmp_path / "there", other)
    assert set(there.rows.values()) == {"ok"}
    assert recognise(tmp_path / "there").name == other
    back = convert(tmp_path / "there", tmp_path / "back", "study")
    assert set(back.rows.values()) == {"ok"}
    assert same_study(finished, tmp_path / "back") == 10
    told = rows(finished / "runs/dmia/splits.csv")
    assert rows(tmp_path / "back/splits.csv") == told
    labels = rows(tmp_path / "back/labels.csv")
    assert {k: row["label"] for k, row in labels.items()} == {
        k: row["label"] for k, row in told.items()
    }


def same_study(one, other):
    """Compare two studies file by file; return the number of slides."""
    features = sorted((one / PATCHING / "features_fake").glob("*.h5"))
    for path in [*features, *sorted((one / PATCHING / "patches").glob("*.h5"))]:
        twin = other / path.relative_to(one)
        assert everything(twin) == everything(path)
        assert facts(twin) == facts(path)
    for path in [
        *(one / "tissue").glob("*.geojson"),
        features[0].parent / "prepare.json",
    ]:
        assert (other / path.relative_to(one)).read_bytes() == path.read_bytes()
    assert rows(other / "slides.csv") == rows(one / "slides.csv")
    return len(features)


@pytest.mark.parametrize(
    ("first", "second"), [("stamp", "clam"), ("pickles", "trident")]
)
def test_a_study_comes_back_over_two_formats(finished, tmp_path, first, second):
    """What the first has no room for is not lost on the way to the second."""
    convert(finished, tmp_path / "1", first)
    convert(tmp_path / "1", tmp_path / "2", second)
    convert(tmp_path / "2", tmp_path / "back", "study")
    assert same_study(finished, tmp_path / "back") == 10


@pytest.mark.parametrize(("origin", "over"), list(product(FOREIGN, WRITTEN)))
def test_what_another_program_wrote_comes_back_as_it_was(tmp_path, origin, over):
    """Every number, type and attribute is the same, whatever lay between."""
    source = write_foreign(tmp_path / "source", origin)
    options = ConvertOptions(encoder="enc", patching="20x_256px_0px_overlap")
    scaled = Scaled(Scales(0.2527))
    way = convert(source, tmp_path / "way", over, options, scaled=scaled)
    assert set(way.rows.values()) == {"ok"}, way.rows
    back = convert(tmp_path / "way", tmp_path / "back", origin)
    assert set(back.rows.values()) == {"ok"}, back.rows
    files = [path for path in sorted(source.rglob("*")) if path.is_file()]
    assert files
    for path in files:
        twin = tmp_path / "back" / path.relative_to(source)
        if path.suffix == ".h5":
            assert everything(twin).items() >= everything(path).items(), path
        elif path.suffix in {".npy", ".geojson", ".pt", ".pkl"}:
            assert twin.read_bytes() == path.read_bytes(), path
