"""Features from folders of patch images, as the seed makes them."""

import shutil

import h5py
import numpy as np
import pytest

from coverslip.errors import DataError, OptionError
from coverslip.pipeline.prepare.folders import prepare_folders
from coverslip.pipeline.prepare.preparation import Preparation, PrepareOptions
from coverslip.testing import fake_encoder_known, slide_file
from studies import PATCHING, files, rows


@pytest.fixture(autouse=True)
def _fake_encoder():
    with fake_encoder_known():
        yield


@pytest.fixture
def exported(cli, tmp_path):
    """Export the patches of two slides as JPEG files, and their features from slides."""
    for number in range(2):
        slide_file(tmp_path / "slides" / f"s{number}.tif", seed=number)
    study = tmp_path / "study"
    out = ("--out", study, "--quiet")
    cli("patches", tmp_path / "slides", "--jpeg", *out)
    cli("features", tmp_path / "slides", "--encoder", "fake", *out)
    return study / PATCHING / "jpeg"


def preparation(out):
    """Return a quiet preparation with the fake encoder."""
    return Preparation(out, PrepareOptions(features={"encoder": "fake"}), quiet=True)


def test_folders_give_nearly_the_features_of_the_slides(exported, tmp_path):
    """In the same order, at the same corners, JPEG's loss apart."""
    out = tmp_path / "imported"
    table = prepare_folders([exported], preparation(out))
    assert table.with_status("features") == ["s0", "s1"]
    straight = exported.parent / "features_fake"
    for slide_id in ("s0", "s1"):
        made = out / "imported" / "features_fake" / f"{slide_id}.h5"
        with h5py.File(made) as a, h5py.File(straight / f"{slide_id}.h5") as b:
            assert (a["coords"][:] == b["coords"][:]).all()
            np.testing.assert_allclose(a["features"][:], b["features"][:], atol=0.15)
    row = rows(out / "slides.csv")["s0"]
    assert row["path"] == str(exported / "s0_0.5mpp_256px")
    assert (row["status"], row["patches"]) == ("features", "4")


def test_again_nothing_is_done(exported, tmp_path):
    """Finished folders are kept as they are."""
    out = tmp_path / "imported"
    prepare_folders([exported], preparation(out))
    before = files(out)
    prepare_folders([exported], preparation(out))
    assert files(out) == before


def test_a_bad_folder_does_not_end_the_others(exported, tmp_path, capsys):
    """A broken image and a missing folder are told by name."""
    broken = exported / "s0_0.5mpp_256px" / "s0_0.5mpp_256px_x256_y256.jpg"
    broken.write_bytes(broken.read_bytes()[:300])
    missing = tmp_path / "nowhere"
    table = prepare_folders([exported, missing], preparation(tmp_path / "imported"))
    assert table.with_status("features") == ["s1"]
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 2
    assert str(broken) in told[0]
    assert told[1] == f"failed: {missing}: no such folder: check the path"


def test_two_folders_of_one_slide_are_not_mixed_up(exported, tmp_path):
    """The second one with the same slide id fails; it is not taken for done."""
    twin = shutil.copytree(exported / "s0_0.5mpp_256px", tmp_path / "more" / "again")
    table = prepare_folders([exported, twin], preparation(tmp_path / "imported"))
    assert table.with_status("features") == ["s0", "s1"]
    assert table.rows["again"]["error"].startswith(f"{twin}: has the same slide id as")


def test_no_images_is_told(tmp_path):
    """A folder without a folder of images is named."""
    with pytest.raises(DataError, match=f"{tmp_path}: no folder with patch images"):
        prepare_folders([tmp_path], preparation(tmp_path / "study"))


def test_the_command_trains_on_them(cli, exported, tmp_path):
    """`features --from-patches` makes a study that `train` understands."""
    out = tmp_path / "imported"
    ran = cli(
        *("features", exported, "--from-patches", "--encoder", "fake", "--pickle"),
        *("--out", out, "--quiet"),
    )
    assert (ran.code, ran.complaints) == (0, [])
    assert "2 of 2 slides done" in ran.out
    pickles = out / "imported" / "features_fake" / "pickles"
    assert {path.name for path in pickles.iterdir()} == {"s0.pkl", "s1.pkl"}


def test_int8_of_patch_images_is_refused_before_anything_is_done(exported, tmp_path):
    """There is nothing to calibrate it on; the message says what works."""
    options = PrepareOptions(features={"encoder": "fake", "precision": "int8"})
    with pytest.raises(OptionError, match="--precision fp32 or bf16"):
        prepare_folders([exported], Preparation(tmp_path / "out", options, quiet=True))
    assert not (tmp_path / "out").exists()
