"""The seed's pickles in and out; a pickle is never trusted."""

import pickle

import numpy as np
import pytest

from coverslip.interop.pickles import read_pickle_features
from coverslip.prepare.features import Features
from studies import PATCHING, rows


def listing(n=3, dim=6, seed=0):
    """Return what the seed pickles for one slide."""
    x = np.random.default_rng(seed).normal(size=(n, dim)).astype(np.float32)
    return [{"feature": row, "file_name": f"p{i}.jpg"} for i, row in enumerate(x)]


def write(path, content):
    """Pickle something."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(content))
    return path


def test_what_goes_out_comes_in_again(cli, finished, tmp_path):
    """Features leave as the seed's pickles and come back with numbers and corners."""
    study = tmp_path / "study"
    source = finished / PATCHING / "features_fake" / "slide_01.h5"
    (study / PATCHING / "features_fake").mkdir(parents=True)
    (study / PATCHING / "features_fake" / "slide_01.h5").write_bytes(
        source.read_bytes()
    )
    from coverslip.pipeline.prepare.importing import export_pickles

    written = export_pickles(study / PATCHING / "features_fake")
    assert [path.name for path in written] == ["slide_01.pkl"]
    ran = cli("features", *written, "--out", tmp_path / "in", "--encoder", "fake")
    assert (ran.code, ran.complaints) == (0, [])
    made = Features.load(tmp_path / "in/imported/features_fake/slide_01.h5")
    known = Features.load(source)
    assert (made.features == known.features).all()
    assert (made.coords == known.coords).all()
    row = rows(tmp_path / "in" / "slides.csv")["slide_01"]
    assert (row["status"], row["patches"]) == ("features", "4")


def test_a_pickle_of_many_slides_becomes_many_files(cli, tmp_path):
    """DTFD-MIL's merged dictionaries are taken apart."""
    path = write(tmp_path / "all.pkl", {"a": listing(), "b": listing(5, seed=1)})
    ran = cli("features", path, "--out", tmp_path / "study", "--encoder", "fake")
    assert ran.out.startswith("2 of 2 slides done")
    folder = tmp_path / "study/imported/features_fake"
    assert len(Features.load(folder / "b.h5")) == 5
    assert Features.load(folder / "a.h5").coords is None


class Bomb:
    """A pickle that writes a file when it is loaded."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        """Ask the reader to open a file for writing."""
        return (open, (str(self.path), "w"))


def test_a_pickle_that_runs_code_is_refused_and_the_others_are_read(cli, tmp_path):
    """Nothing of it is run; it is named; the good one is imported all the same."""
    ran_file = tmp_path / "ran"
    bad = write(tmp_path / "bad.pkl", {"bad": Bomb(ran_file)})
    good = write(tmp_path / "good.pkl", {"good": listing()})
    ran = cli("features", bad, good, "--out", tmp_path / "study", "--encoder", "fake")
    assert not ran_file.exists()
    assert ran.code == 0
    assert len(ran.complaints) == 1
    assert f"{bad}: asks for" in ran.complaints[0]
    assert "nothing of it was run" in ran.complaints[0]
    assert rows(tmp_path / "study/slides.csv")["good"]["status"] == "features"
    again = cli("features", bad, "--out", tmp_path / "study", "--encoder", "fake")
    assert again.code == 1
    assert not ran_file.exists()


@pytest.mark.parametrize("name", ["../escaped", "a/b", "a\\b", "..", ""])
def test_a_slide_id_cannot_leave_the_folder(cli, tmp_path, name):
    """Names inside a stranger's pickle are not paths."""
    path = write(tmp_path / "in" / "p.pkl", {name: listing()})
    ran = cli("features", path, "--out", tmp_path / "study", "--encoder", "fake")
    assert ran.code == 1
    assert "is no file name" in ran.complaints[0]
    assert not list(tmp_path.rglob("*.h5"))


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e6])
def test_numbers_that_float16_cannot_hold_are_refused(cli, tmp_path, value):
    """NaN, infinity and what would become infinite are told, not written."""
    rows_of = listing()
    rows_of[1]["feature"][2] = value
    path = write(tmp_path / "p.pkl", {"s": rows_of})
    ran = cli("features", path, "--out", tmp_path / "study", "--encoder", "fake")
    assert ran.code == 1
    assert f"{path}, s: features of 1 of 3 patches are NaN" in ran.complaints[0]
    assert not list(tmp_path.rglob("*.h5"))


def test_pickles_are_written_beside_the_features_when_asked(cli, cohort, tmp_path):
    """`--pickle` writes one a slide, with the names that JPEG export would give."""
    slide = cohort.slides / "slide_00.tif"
    ran = cli(
        *("features", slide, "--out", tmp_path, "--encoder", "fake", "--pickle"),
        "--quiet",
    )
    path = tmp_path / PATCHING / "features_fake" / "pickles" / "slide_00.pkl"
    assert str(path) in ran.out
    read = read_pickle_features(path)["slide_00"]
    assert read.names[0] == "slide_00_0.5mpp_256px_x256_y256.jpg"
    assert len(read.features) == 4
