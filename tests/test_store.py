"""Files on disk: whole or not there, made this way or refused, and clear about faults."""

import errno
import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from coverslip import store
from coverslip.errors import (
    CorruptFileError,
    DataError,
    OutputError,
    ParametersDifferError,
)


def parts(folder):
    """Return the temporary files that lie in a folder."""
    return [path.name for path in folder.iterdir() if path.name.endswith(".part")]


def test_the_study_is_laid_out_as_its_readers_expect(tmp_path):
    """Names of folders and files are those that CLAM's and TRIDENT's users know."""
    study = store.Study(tmp_path)
    patching = study.patching(0.5, 256, 0)
    names = [
        study.slides_csv,
        study.tissue("a"),
        study.thumbnail("a"),
        patching.patches("a"),
        patching.features("resnet50", "a"),
        study.run("first"),
        study.heatmap("a", ".png"),
    ]
    assert [path.relative_to(tmp_path).as_posix() for path in names] == [
        "slides.csv",
        "tissue/a.geojson",
        "tissue/thumbnails/a.jpg",
        "20x_256px_0px_overlap/patches/a_patches.h5",
        "20x_256px_0px_overlap/features_resnet50/a.h5",
        "runs/first",
        "heatmaps/a.png",
    ]


def test_any_encoders_name_makes_one_folder():
    """What not every system takes in a name becomes `_`; usual names stay."""
    names = ("resnet50", "conch-v1.5", "timm:resnet18.a1_in1k", "hf-hub:org/net@1a")
    assert [store.features_name(name) for name in names] == [
        "features_resnet50",
        "features_conch-v1.5",
        "features_timm_resnet18.a1_in1k",
        "features_hf-hub_org_net_1a",
    ]


def test_a_slide_id_is_the_name_without_its_last_extension():
    """Dots within the name stay."""
    assert store.slide_id_of(Path("x/TCGA-A1.0c2f.svs")) == "TCGA-A1.0c2f"


def test_a_file_appears_whole_or_not_at_all(tmp_path):
    """While it is written the old one stands; after a failure still, and nothing else."""
    path = tmp_path / "new" / "a.txt"
    store.write_text(path, "old")

    def write_half():
        with store.writing(path) as part:
            part.write_text("ne")
            assert path.read_text() == "old"
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_half()
    assert path.read_text() == "old"
    with store.writing(path) as part:
        part.write_text("new")
    assert path.read_text() == "new"
    assert parts(path.parent) == []


def test_a_file_that_comes_out_the_same_is_not_touched(tmp_path):
    """Its time of change stays, so that nothing downstream looks outdated."""
    path = tmp_path / "a.txt"
    store.write_text(path, "same")
    os.utime(path, (1, 1))
    store.write_text(path, "same")
    assert path.stat().st_mtime == 1
    store.write_text(path, "else")
    assert path.stat().st_mtime > 1


WRITE_FOR_EVER = """
import sys
from pathlib import Path
from coverslip import store
with store.writing(Path(sys.argv[1])) as part:
    part.write_text("half")
    print("writing", flush=True)
    sys.stdin.read()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="has no SIGKILL")
def test_what_a_killed_process_left_is_swept_by_the_next(tmp_path, monkeypatch):
    """The old file stands, and the half-written one goes at the next writing."""
    path = tmp_path / "a.txt"
    path.write_text("old")
    with subprocess.Popen(
        [sys.executable, "-c", WRITE_FOR_EVER, path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as writer:
        assert writer.stdout.readline() == b"writing\n"
        assert len(parts(tmp_path)) == 1
        monkeypatch.setattr(store, "_SWEPT", set())
        store.write_text(tmp_path / "b.txt", "of a living neighbour")
        assert len(parts(tmp_path)) == 1, "its writer lives"
        writer.send_signal(signal.SIGKILL)
    assert path.read_text() == "old"
    assert len(parts(tmp_path)) == 1
    monkeypatch.setattr(store, "_SWEPT", set())
    store.write_text(tmp_path / "c.txt", "after it died")
    assert parts(tmp_path) == []
    assert path.read_text() == "old"


def test_parts_of_other_machines_are_left_alone(tmp_path, monkeypatch):
    """On a shared disk nobody can tell from here whether their writers live."""
    with subprocess.Popen([sys.executable, "-c", ""]) as dead:
        dead.wait()
    foreign, ours = (
        tmp_path / f".a.txt.{host}-{dead.pid}.part"
        for host in ("elsewhere", socket.gethostname())
    )
    foreign.write_text("x")
    ours.write_text("x")
    monkeypatch.setattr(store, "_SWEPT", set())
    store.write_text(tmp_path / "b.txt", "y")
    assert foreign.exists()
    assert not ours.exists()


@pytest.mark.parametrize(
    ("code", "remedy"),
    [
        (errno.ENOSPC, "free some space"),
        (errno.EDQUOT, "quota"),
        (errno.EROFS, "choose a folder"),
        (errno.EACCES, "choose a folder"),
    ],
)
def test_a_disk_that_cannot_be_written_is_an_output_error(tmp_path, code, remedy):
    """The message names the file, what the system said, and what to do."""
    path = tmp_path / "a.txt"
    path.write_text("old")

    def fail():
        with store.writing(path) as part:
            part.write_text("half")
            raise OSError(code, os.strerror(code))

    with pytest.raises(OutputError) as error:
        fail()
    message = str(error.value)
    assert message.startswith(f"{path}: cannot write ({os.strerror(code)})")
    assert remedy in message
    assert path.read_text() == "old"
    assert parts(tmp_path) == []


LIMITED = """
import resource, signal, sys
from pathlib import Path
import numpy as np
from coverslip import store
from coverslip.errors import OutputError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
try:
    store.write_h5(Path(sys.argv[1]), {"features": np.ones((1000, 1000))}, {})
except OutputError as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="has no limits on file size")
def test_an_hdf5_file_that_does_not_fit_is_an_output_error(tmp_path):
    """What HDF5 says only in the text of its error is understood."""
    path = tmp_path / "a.h5"
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, path],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith(f"{path}: cannot write"), done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(
    sys.platform == "win32" or os.geteuid() == 0, reason="root may write anywhere"
)
def test_a_folder_that_is_read_only_is_an_output_error(tmp_path):
    """As it really happens, where the user is not root."""
    folder = tmp_path / "locked"
    folder.mkdir(mode=0o500)
    with pytest.raises(OutputError, match="choose a folder"):
        store.write_text(folder / "a.txt", "x")


def test_files_and_folders_in_each_others_place_are_output_errors(tmp_path):
    """A file where the folder should be, at any depth, and the other way round."""
    (tmp_path / "study").write_text("I am a file")
    for path in (tmp_path / "study" / "a.txt", tmp_path / "study" / "deep" / "a.txt"):
        with pytest.raises(OutputError, match="a file stands where"):
            store.write_text(path, "x")
    (tmp_path / "a.txt").mkdir()
    with pytest.raises(OutputError, match="a folder stands where"):
        store.write_text(tmp_path / "a.txt", "x")


def test_a_name_that_is_too_long_is_an_output_error(tmp_path):
    """Slides can have names that leave no room for a suffix."""
    with pytest.raises(OutputError, match="shorten the name"):
        store.write_text(tmp_path / ("a" * 250), "x")


def test_an_error_that_is_not_the_disks_stays_what_it_is(tmp_path):
    """A missing input is not blamed on the output."""
    with pytest.raises(FileNotFoundError), store.writing(tmp_path / "a.txt"):
        (tmp_path / "missing").read_text()


def test_json_comes_back_and_damage_is_told(tmp_path):
    """Written for people (indented, UTF-8); what is no JSON names the file."""
    path = tmp_path / "a.json"
    facts = {"slide": "übung", "n": [1, 2.5, None]}
    store.write_json(path, facts)
    assert store.read_json(path) == facts
    assert "übung" in path.read_text(encoding="utf-8")
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(CorruptFileError, match=re.escape(str(path))):
        store.read_json(path)


def test_arrays_lie_contiguous_and_uncompressed_with_their_facts(tmp_path):
    """So that they can be mapped; facts and attributes come back as they were."""
    path = tmp_path / "a.h5"
    features = np.arange(12, dtype=np.float16).reshape(4, 3)
    empty = np.empty((0, 3), np.float16)
    facts = {"encoder": {"name": "fake"}, "mpp": 0.5, "none": None}
    arrays = {"features": features, "empty": empty}
    store.write_h5(path, arrays, facts, {"features": {"patch_size": 256, "name": "a"}})
    with store.reading_h5(path) as file:
        dataset = file["features"]
        assert dataset.chunks is None
        assert dataset.compression is None
        assert dataset.dtype == np.float16
        assert np.array_equal(dataset[:], features)
        assert file["empty"].shape == (0, 3)
        assert dict(dataset.attrs) == {"patch_size": 256, "name": "a"}
    assert store.read_facts(path) == facts


def test_a_file_of_another_program_has_no_facts(tmp_path):
    """It can be read all the same."""
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["features"] = np.zeros((2, 2))
    assert store.read_facts(tmp_path / "a.h5") == {}


@pytest.mark.parametrize("keep", [0.99, 0.6, 0.1, 0.0])
def test_a_truncated_hdf5_file_is_corrupt(tmp_path, keep):
    """However much is missing, the message names the file and the remedy."""
    path = tmp_path / "a.h5"
    store.write_h5(path, {"features": np.ones((100, 64))}, {"a": 1})
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * keep)])
    with (
        pytest.raises(CorruptFileError, match="delete it and run") as error,
        store.reading_h5(path) as file,
    ):
        file["features"][:]
    assert str(error.value).startswith(str(path))
    assert "\n" not in str(error.value)


def test_a_missing_or_foreign_hdf5_file_says_so(tmp_path):
    """No file, no such dataset, facts that are no JSON: each is told apart."""
    path = tmp_path / "a.h5"
    with pytest.raises(DataError, match="no such file"), store.reading_h5(path):
        pass
    with h5py.File(path, "w") as file:
        file["other"] = [1]
    with (
        pytest.raises(CorruptFileError, match="features"),
        store.reading_h5(path) as file,
    ):
        file["features"]
    with h5py.File(path, "a") as file:
        file.attrs[store.FACTS] = "{half"
    with pytest.raises(CorruptFileError, match="damaged"):
        store.read_facts(path)


def test_each_parameter_that_differs_is_named(tmp_path):
    """Also within options; what agrees is not, nor what was not asked about."""
    made = {"options": {"size": 256, "mpp": 0.5, "gone": 1}, "weights": "ab", "more": 3}
    asked = {"options": {"size": 512, "mpp": 0.5, "new": None}, "weights": "cd"}
    with pytest.raises(ParametersDifferError) as error:
        store.check_same(tmp_path / "a.h5", made, asked)
    message = str(error.value)
    assert message.startswith(f"{tmp_path / 'a.h5'}: ")
    assert "options.size was 256, now 512" in message
    assert "options.gone was 1, now None" in message
    assert "weights was 'ab', now 'cd'" in message
    assert "mpp" not in message
    assert "more" not in message
    assert "--out" in message


def test_facts_are_compared_as_json_keeps_them(tmp_path):
    """A tuple equals the list that came back from disk; a missing fact differs."""
    asked = {"size": (1, 2), "of": {"a": 1.0}}
    store.check_same(tmp_path, json.loads(json.dumps(asked)), asked)
    with pytest.raises(ParametersDifferError, match="size was None"):
        store.check_same(tmp_path, {}, asked)
