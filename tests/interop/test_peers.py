"""The real programs read what is converted for them, and what they wrote is read.

They take part where COVERSLIP_PEERS names a folder with checkouts CLAM, TRIDENT and
STAMP, and `python`, the Python that has what they and torchmil need.
"""

import json
import os
import shutil
import subprocess
from pathlib import Path

import h5py
import numpy as np
import pytest

from coverslip.pipeline.converting import Scaled, convert
from coverslip.pipeline.exchanged_tables import Tables
from coverslip.prepare.features import Features
from in_peer_digest import digest
from studies import PATCHING, rows

DRIVER = Path(__file__).with_name("in_peer.py")


@pytest.fixture(scope="session")
def peers() -> Path:
    """Return the folder of the real programs, or skip."""
    named = os.environ.get("COVERSLIP_PEERS")
    if not named:
        pytest.skip("no other programs: COVERSLIP_PEERS names their folder")
    return Path(named)


def ask(peers, action, *places, **more):
    """Have a program do something, and return what it says."""
    program = action.split("_")[1].upper()
    environment = {
        **{k: v for k, v in os.environ.items() if not k.startswith("PYTHON")},
        "PYTHONPATH": str(peers / program),
        "HF_HUB_OFFLINE": "1",
        **more,
    }
    ran = subprocess.run(
        [peers / "python", DRIVER, action, *places],
        env=environment,
        cwd=peers,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr[-3000:]
    answer = ran.stdout.rpartition("ANSWER")[2]
    return json.loads(answer)


@pytest.fixture(scope="session")
def ours(finished):
    """Return the features of the finished study by slide."""
    folder = finished / PATCHING / "features_fake"
    return {path.stem: Features.load(path) for path in sorted(folder.glob("*.h5"))}


def same(answer, ours, scale=1.0, within=1e-3):
    """Say whether a program sees our features and corners, slide by slide."""
    assert answer["slides"].keys() == ours.keys()
    for slide_id, one in answer["slides"].items():
        bag = ours[slide_id]
        assert one["features"] == digest(bag.features)
        if one["coords"] is not None:
            assert np.allclose(np.array(one["coords"]) / scale, bag.coords, atol=within)
    return True


def test_clam_reads_ours(peers, finished, cohort, ours, tmp_path):
    """Its loader gets features, labels and splits; its patch reader the same tissue."""
    convert(finished, tmp_path / "clam", "clam")
    answer = ask(peers, "read_clam", tmp_path / "clam", cohort.slides)
    assert same(answer, ours)
    split = rows(finished / "runs/dmia/splits.csv")
    placed = {k: s for s, ids in answer["splits"].items() for k in ids}
    assert placed == {slide_id: row["split"] for slide_id, row in split.items()}
    classes = ["normal", "tumor"]
    for slide_id, one in answer["slides"].items():
        assert classes[one["label"]] == split[slide_id]["label"]
        assert one["cut"]["shape"] == [len(ours[slide_id]), 6]


def test_ours_reads_clam(peers, cohort, tmp_path):
    """Features, corners, labels and both splits of CLAM come in, and train."""
    answer = ask(peers, "write_clam", tmp_path / "clam", cohort.slides)
    done = convert(tmp_path / "clam", tmp_path / "study", "study")
    assert set(done.rows.values()) == {"ok"}
    folder = tmp_path / "study/imported/features_unknown"
    bags = {path.stem: Features.load(path) for path in folder.glob("*.h5")}
    assert same(answer, bags)
    splits = rows(tmp_path / "study/splits.csv")
    for number, parts in answer["splits"].items():
        for subset, ids in zip(("train", "val", "test"), parts, strict=True):
            assert all(splits[k][f"fold_{number}"] == subset for k in ids)


def test_trident_reads_ours(peers, finished, cohort, ours, tmp_path):
    """It reads features and corners, and makes its own from our corners."""
    convert(finished, tmp_path / "trident", "trident")
    answer = ask(peers, "read_trident", tmp_path / "trident", cohort.slides)
    assert same(answer, ours)
    for one in answer["slides"].values():
        assert one["encoder"] == "fake"
        assert {"patch_size_level0", "level0_magnification"} <= set(one["attributes"])


def test_trident_works_on_a_study_as_it_is(peers, finished, cohort, ours, tmp_path):
    """Our own study needs no conversion for it."""
    study = shutil.copytree(finished, tmp_path / "study")
    assert same(ask(peers, "read_trident", study, cohort.slides), ours)


def test_ours_reads_trident(peers, cohort, tmp_path):
    """What it wrote goes into a study, and back as it was."""
    answer = ask(peers, "write_trident", tmp_path / "job", cohort.slides)
    convert(tmp_path / "job", tmp_path / "study", "study")
    folder = tmp_path / "study/imported/features_colours"
    assert same(
        answer, {path.stem: Features.load(path) for path in folder.glob("*.h5")}
    )
    convert(tmp_path / "study", tmp_path / "back", "trident")
    again = ask(peers, "read_trident", tmp_path / "back", cohort.slides)
    for slide_id, one in answer["slides"].items():
        assert again["slides"][slide_id]["features"] == one["features"]
        # features that it makes from our coordinates are those it made at first
        assert again["slides"][slide_id]["cut"] == one["features"]


def test_stamp_reads_ours(peers, finished, ours, tmp_path):
    """Its loader gets patients, labels, features, and corners in micrometres."""
    convert(finished, tmp_path / "stamp", "stamp")
    answer = ask(peers, "read_stamp", tmp_path / "stamp", tmp_path)
    assert answer["kind"] == "tile"
    assert same(answer, ours, scale=0.5)
    labels = rows(finished / "runs/dmia/splits.csv")
    for slide_id, one in answer["slides"].items():
        assert (one["tile_um"], one["tile_px"]) == (128.0, 256)
        assert one["label"] == labels[slide_id]["label"]


def test_ours_reads_stamp(peers, cohort, tmp_path):
    """What it wrote goes into a study by the slides' scale, and back as it was."""
    answer = ask(peers, "write_stamp", tmp_path / "stamp", cohort.slides)
    scaled = Scaled(slides=[cohort.slides])
    convert(tmp_path / "stamp", tmp_path / "study", "study", scaled=scaled)
    folder = tmp_path / "study/imported/features_colours"
    bags = {path.stem: Features.load(path) for path in folder.glob("*.h5")}
    assert same(answer, bags, scale=0.5, within=0.51)
    labels = Tables(labels=cohort.labels)
    convert(tmp_path / "study", tmp_path / "back", "stamp", tables=labels)
    again = ask(peers, "read_stamp", tmp_path / "back", tmp_path)
    for slide_id, one in answer["slides"].items():
        assert again["slides"][slide_id]["features"] == one["features"]
        assert again["slides"][slide_id]["coords"] == one["coords"]


def test_torchmil_reads_ours(peers, finished, ours, tmp_path):
    """Its data set gets bags, labels and neighbours, and a model of it takes them."""
    convert(finished, tmp_path / "torchmil", "torchmil")
    reach = str(1.5 * 256)
    answer = ask(peers, "read_torchmil", tmp_path / "torchmil", tmp_path, DIST=reach)
    assert same(answer, ours)
    assert answer["scores"] == [3]
    labels = rows(finished / "runs/dmia/splits.csv")
    for slide_id, one in answer["slides"].items():
        assert ["normal", "tumor"][one["label"]] == labels[slide_id]["label"]
        n = len(ours[slide_id])  # of a square of four, each has three neighbours
        assert (n, one["neighbours"]) == (4, 12)


def test_torchmil_reads_ours_as_trident(peers, finished, ours, tmp_path):
    """Its reader of TRIDENT's folders reads what is converted for TRIDENT."""
    convert(finished, tmp_path / "trident", "trident")
    answer = ask(peers, "read_torchmil_trident", tmp_path / "trident", tmp_path)
    assert same(answer, ours)


def test_the_pickle_is_what_the_seed_writes(finished, ours, tmp_path):
    """A plain unpickling, as in the seed and in DTFD-MIL, gives vectors and names."""
    import pickle

    convert(finished, tmp_path / "pickles", "pickles")
    for slide_id, bag in ours.items():
        raw = (tmp_path / "pickles" / f"{slide_id}.pkl").read_bytes()
        listing = pickle.loads(raw)[slide_id]  # noqa: S301, TID251 - what peers do
        made = np.stack([row["feature"] for row in listing])
        assert digest(made) == digest(bag.features)


def test_our_own_tables_open_elsewhere(finished, tmp_path):
    """Further arrays and the attribute do not hide what others look for."""
    convert(finished, tmp_path / "clam", "clam")
    with h5py.File(next((tmp_path / "clam/h5_files").glob("*.h5"))) as file:
        assert file["features"].dtype == np.float32
        assert file["coords"].dtype == np.int32
