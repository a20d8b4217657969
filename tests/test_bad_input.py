"""Bad input: one line that names file and remedy, and everything else goes on.

Every case goes through the command line. The code is not 0 where all failed; what was
done before stays; the slides that are sound are finished.
"""

import errno
import os
import pickle
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

from coverslip.pipeline.prepare import laying, outlining, preparing
from coverslip.prepare.features import Features
from coverslip.testing import LESION, slide_file
from studies import LEARN, PATCHING, files, predictions, rows, run_arguments, same

PATCHES, FEATURES = f"{PATCHING}/patches", f"{PATCHING}/features_fake"


def features(cli, place, study, *more):
    """Run `coverslip features` with the fake encoder."""
    places = place if isinstance(place, list) else [place]
    return cli(
        *("features", *places, "--out", study, "--encoder", "fake", "--quiet"), *more
    )


def beside_a_sound_slide(cli, bad, tmp_path):
    """Prepare a bad slide with a sound one, then alone; return the one line told."""
    good = slide_file(tmp_path / "good.tif")
    both = features(cli, [bad, good], tmp_path / "both")
    assert both.code == 0
    assert "1 of 2 slides done, 1 failed" in both.out
    table = rows(tmp_path / "both" / "slides.csv")
    assert table["good"]["status"] == "features"
    assert len(Features.load(tmp_path / "both" / FEATURES / "good.h5")) == 4
    assert table[bad.stem]["status"] == "failed"
    assert not (tmp_path / "both" / FEATURES / f"{bad.stem}.h5").exists()
    alone = features(cli, bad, tmp_path / "alone")
    assert alone.code == 1
    (line,) = both.complaints
    (other,) = alone.complaints
    assert line == f"failed: {table[bad.stem]['error']}"
    assert line.startswith(f"failed: {bad}: ")
    assert other.startswith(f"failed: {bad}: ")
    return line


# Slides


def test_a_missing_file(cli, tmp_path):
    """It is named, with what to check."""
    line = beside_a_sound_slide(cli, tmp_path / "missing.svs", tmp_path)
    assert "no such file: check the path" in line


@pytest.mark.parametrize("share", [0.0, 0.001, 0.1, 0.5, 0.75, 0.9, 0.99, 0.9999])
def test_a_truncated_slide(cli, tmp_path, share):
    """Wherever the file is cut, it is told to be cut, and nothing is made of it."""
    bad = slide_file(tmp_path / "cut.tif", seed=4)
    whole = bad.read_bytes()
    bad.write_bytes(whole[: int(share * len(whole))])
    line = beside_a_sound_slide(cli, bad, tmp_path)
    assert "cut short" in line or "truncated" in line


def test_a_slide_with_a_hole_in_its_data(cli, tmp_path):
    """Damage that shows only when the patches are read fails that slide there."""
    bad = slide_file(tmp_path / "hole.tif", size=2048, tissue=(0, 0, 2048, 2048))
    whole = bytearray(bad.read_bytes())
    middle = len(whole) // 3
    whole[middle : middle + 40_000] = bytes(40_000)
    bad.write_bytes(whole)
    line = beside_a_sound_slide(cli, bad, tmp_path)
    assert "damaged or truncated" in line
    assert "copy or export it again" in line


def test_a_picture_named_svs(cli, tmp_path):
    """A PNG with a slide's suffix is no slide."""
    bad = tmp_path / "picture.svs"
    Image.new("RGB", (600, 600), (200, 120, 180)).save(bad, "PNG")
    line = beside_a_sound_slide(cli, bad, tmp_path)
    assert "not a slide that OpenSlide can open" in line


def test_a_slide_without_scale(cli, tmp_path):
    """It is refused with both remedies, and each of them works."""
    bad = slide_file(tmp_path / "bare.tif", l0_mpp=None)
    line = beside_a_sound_slide(cli, bad, tmp_path)
    assert "micrometres per pixel unknown" in line
    assert "--mpp" in line
    assert "--mpp-csv" in line
    assert features(cli, bad, tmp_path / "a", "--mpp", "0.5").code == 0
    table = tmp_path / "mpp.csv"
    table.write_text("wsi,mpp\nbare.tif,0.5\n")
    assert features(cli, bad, tmp_path / "b", "--mpp-csv", table).code == 0


def test_a_slide_smaller_than_a_patch(cli, tmp_path):
    """Its size and the patch's are told."""
    bad = slide_file(tmp_path / "tiny.tif", size=200, tissue=(0, 0, 200, 200))
    line = beside_a_sound_slide(cli, bad, tmp_path)
    assert "200 x 200 px is smaller than one patch of 256 px" in line
    assert "--size" in line


def test_a_slide_coarser_than_asked(cli, tmp_path):
    """A 5x scan does not pass for 20x."""
    bad = slide_file(tmp_path / "coarse.tif", l0_mpp=2.0)
    assert "--upsample" in beside_a_sound_slide(cli, bad, tmp_path)


def test_a_slide_without_tissue(cli, finished, tmp_path):
    """No failure: empty features, and the prediction "no tissue"."""
    bare = slide_file(tmp_path / "glass.tif", tissue=None)
    ran = features(cli, bare, tmp_path / "study")
    assert (ran.code, ran.complaints) == (0, [])
    assert "1 of 1 slides done, 1 without tissue" in ran.out
    made = Features.load(tmp_path / "study" / FEATURES / "glass.h5")
    assert made.features.shape == (0, 6)
    assert made.coords.shape == (0, 2)
    out = tmp_path / "p.csv"
    ran = cli("predict", finished / "runs/dmia", bare, "--out", out, "--quiet")
    assert (ran.code, ran.complaints) == (0, [])
    row = rows(out)["glass"]
    assert (row["predicted"], row["status"]) == ("no tissue", "no tissue")
    assert row["probability_tumor"] == ""
    maps = ("heatmap", finished / "runs/dmia", bare, "--out", tmp_path / "maps")
    ran = cli(*maps, "--quiet")
    assert (ran.code, ran.complaints) == (0, [])
    assert "1 without tissue" in ran.out
    assert not list((tmp_path / "maps").glob("*.png"))


def test_two_slides_of_one_name(cli, tmp_path):
    """Both files are named before any work."""
    one = slide_file(tmp_path / "a" / "s.tif")
    two = slide_file(tmp_path / "b" / "S.tiff")
    ran = features(cli, [one, two], tmp_path / "study")
    assert ran.code == 1
    assert len(ran.complaints) == 1
    assert str(one) in ran.complaints[0]
    assert str(two) in ran.complaints[0]
    assert not (tmp_path / "study").exists()


def test_a_run_goes_on_without_the_bad_slides(cli, cohort, tmp_path):
    """Of a labelled cohort with two bad slides, the rest is trained and judged."""
    slides = shutil.copytree(cohort.slides, tmp_path / "slides")
    (slides / "slide_02.tif").write_bytes(b"II*\0")
    slide_file(slides / "slide_03.tif", l0_mpp=None, colour=LESION)
    labels = cohort.labels
    ran = cli(
        *("run", slides, "--labels", labels, "--out", tmp_path / "study", "--quiet"),
        *("--encoder", "fake", "--epochs", "1", "--val-share", "0.3"),
        *("--test-share", "0"),
    )
    assert ran.code == 0
    assert len(ran.complaints) == 2
    assert "8 of 10 slides done, 2 failed" in ran.out
    assert "labels without slide: 2 (slide_02, slide_03)" in ran.out
    assert len(predictions(tmp_path / "study")) == 8


def test_a_run_of_nothing_but_bad_slides(cli, cohort, tmp_path):
    """Each is named, and the command says that none could be prepared."""
    (tmp_path / "slides").mkdir()
    for path in cohort.slides.iterdir():
        (tmp_path / "slides" / path.name).write_bytes(b"")
    ran = cli(
        *("run", tmp_path / "slides", "--labels", cohort.labels, "--encoder", "fake"),
        *("--out", tmp_path / "study", "--quiet"),
    )
    assert ran.code == 1
    assert len(ran.complaints) == 11
    assert ran.complaints[-1] == (
        f"coverslip: error: {tmp_path / 'study' / 'slides.csv'}: no slide could be "
        "prepared: see column error"
    )


# Labels


def table_of(path, lines):
    """Write a label table."""
    path.write_text("\n".join(lines) + "\n")
    return path


def labelled(cohort):
    """Return the lines of the cohort's labels, without the header."""
    return cohort.labels.read_text().split()[1:]


@pytest.mark.parametrize(
    ("lines", "named"),
    [
        (["slide,label", "slide_00,normal"], "no column slide_id"),
        (["slide_id,label", "a,normal", "b,normal"], "only the class 'normal'"),
        (["slide_id,label", "a,normal", "a,tumor"], "a stands there twice"),
        (["slide_id,label", ",normal", "b,tumor"], "1 rows have no slide_id"),
        (["slide_id,label", "x,normal", "y,tumor"], "none of its 2 labels"),
        (["slide_id,label", "slide_00,", "slide_01,"], "no label"),
        ([], "empty"),
    ],
)
@pytest.mark.parametrize("command", ["train", "run"])
def test_a_wrong_label_table(cli, finished, cohort, tmp_path, command, lines, named):
    """It is named with what is wrong; what was prepared stays, nothing is trained."""
    labels = table_of(tmp_path / "wrong.csv", lines)
    study = shutil.copytree(finished, tmp_path / "study")
    before = files(study)
    new = ("--labels", labels, "--name", "new", "--quiet")
    ran = (
        cli("train", study, *new)
        if command == "train"
        else cli("run", cohort.slides, "--out", study, "--encoder", "fake", *new)
    )
    assert ran.code == 1
    assert len(ran.complaints) == 1
    assert ran.complaints[0].startswith(f"coverslip: error: {labels}: ")
    assert named in ran.complaints[0]
    assert files(study) == before


def test_a_label_table_that_is_not_there(cli, finished, tmp_path):
    """The path is named."""
    ran = cli("train", finished, "--labels", tmp_path / "none.csv")
    assert ran.code == 1
    assert f"{tmp_path / 'none.csv'}: no such file" in ran.complaints[0]


def test_labels_that_are_missing_unknown_or_repeated(cli, finished, cohort, tmp_path):
    """They are counted and named in the report; the matching ones are trained on."""
    lines = [*labelled(cohort)[1:], "stranger,tumor", "slide_05,tumor"]
    labels = table_of(tmp_path / "some.csv", ["slide_id,label", *lines])
    study = shutil.copytree(finished, tmp_path / "study")
    ran = cli(
        *("train", study, "--labels", labels, "--name", "some", "--epochs", "1"),
        *("--val-share", "0.3", "--test-share", "0.3", "--quiet"),
    )
    assert (ran.code, ran.complaints) == (0, [])
    assert "9 of 10 slides have a label" in ran.out
    assert "slides without label: 1 (slide_00)" in ran.out
    assert "labels without slide: 1 (stranger)" in ran.out
    assert "rows repeated, counted once: 1 (slide_05)" in ran.out
    assert "slide_00" not in predictions(study, "some")


def test_ids_that_are_numbers(cli, tmp_path):
    """`007` stays `007`; it is never read as 7."""
    for number in range(8):
        colour = {"colour": LESION} if number % 2 else {}
        slide_file(tmp_path / "slides" / f"00{number}.tif", seed=number, **colour)
    lines = [f"00{n},{n % 2}" for n in range(8)]
    labels = table_of(tmp_path / "labels.csv", ["slide_id,label", *lines])
    features(cli, tmp_path / "slides", tmp_path / "study")
    ran = cli(
        *("train", tmp_path / "study", "--labels", labels, "--epochs", "1"),
        *("--val-share", "0.25", "--test-share", "0.25", "--quiet"),
    )
    assert ran.code == 0
    assert "8 of 8 slides have a label (4 0, 4 1" in ran.out
    assert predictions(tmp_path / "study")["007"]["label"] == "1"


def test_too_few_cases_to_split(cli, finished, cohort, tmp_path):
    """Two slides of a class cannot train, validate and test."""
    lines = [line for line in labelled(cohort) if line[-6:] == "normal"]
    lines += ["slide_01,tumor", "slide_03,tumor"]
    labels = table_of(tmp_path / "few.csv", ["slide_id,label", *lines])
    ran = cli("train", finished, "--labels", labels, "--name", "few", "--quiet")
    assert ran.code == 1
    assert "tumor has 2" in ran.complaints[0]
    assert not (finished / "runs" / "few").exists()


# Features, patches, models


def test_three_patches_with_four_pseudo_bags(cli, finished, tmp_path):
    """A bag smaller than the pseudo-bags asked for is predicted all the same."""
    known = Features.load(finished / FEATURES / "slide_01.h5")
    few = Features("few", known.features[:3], known.coords[:3], known.facts)
    few.save(tmp_path / "few.h5")
    out = tmp_path / "p.csv"
    ran = cli("predict", finished / "runs/dmia", tmp_path / "few.h5", "--out", out)
    assert ran.code == 0
    assert (rows(out)["few"]["status"], rows(out)["few"]["patches"]) == ("ok", "3")


def spoil(path, kind):
    """Damage a file of features or patches."""
    if kind == "nan":
        with h5py.File(path, "r+") as file:
            file["features"][1, 2] = np.nan
    elif kind == "half":
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "text":
        path.write_text("not HDF5")
    else:
        path.unlink()
        with h5py.File(path, "w") as file:
            file["something"] = np.zeros(3)


SPOILED = ["nan", "half", "empty", "text", "alien"]


@pytest.mark.parametrize("kind", SPOILED)
def test_spoiled_features_are_predicted_around(cli, finished, tmp_path, kind):
    """That slide fails by name with the remedy; the other nine are predicted."""
    folder = shutil.copytree(finished / FEATURES, tmp_path / "features")
    bad = folder / "slide_06.h5"
    spoil(bad, kind)
    out = tmp_path / "p.csv"
    ran = cli("predict", finished / "runs/dmia", folder, "--out", out, "--quiet")
    assert ran.code == 0
    assert len(ran.complaints) == 1
    assert ran.complaints[0].startswith(f"failed: {bad}: ")
    assert "delete" in ran.complaints[0]
    said = rows(out)
    assert said.pop("slide_06")["error"] == ran.complaints[0].removeprefix("failed: ")
    assert {row["status"] for row in said.values()} == {"ok"}
    alone = cli("predict", finished / "runs/dmia", bad, "--out", out, "--quiet")
    assert alone.code == 1


@pytest.mark.parametrize("kind", ["nan", "half"])
def test_spoiled_features_are_trained_around(cli, finished, cohort, tmp_path, kind):
    """The training reports the file and goes on with the other slides."""
    study = shutil.copytree(finished, tmp_path / "study")
    bad = study / FEATURES / "slide_06.h5"
    spoil(bad, kind)
    ran = cli(
        *("train", study, "--labels", cohort.labels, "--name", "new", "--quiet"),
        *("--epochs", "1", "--val-share", "0.3", "--test-share", "0.3"),
    )
    assert ran.code == 0
    told = [line for line in ran.out.splitlines() if line.startswith("left out: ")]
    assert len(told) == 1
    assert str(bad) in told[0]
    assert len(predictions(study, "new")) == 9


@pytest.mark.parametrize("kind", ["half", "empty", "text"])
@pytest.mark.parametrize("stage", [PATCHES, FEATURES])
def test_spoiled_work_is_named_and_made_again_once_deleted(
    cli, finished, cohort, tmp_path, kind, stage
):
    """It is never silently kept or thrown away; the remedy that is told works."""
    study = shutil.copytree(finished, tmp_path / "study")
    suffix = "_patches.h5" if stage == PATCHES else ".h5"
    bad = study / stage / f"slide_06{suffix}"
    spoil(bad, kind)
    ran = features(cli, cohort.slides, study)
    assert ran.code == 0
    assert "9 of 10 slides done, 1 failed" in ran.out
    assert len(ran.complaints) == 1
    assert ran.complaints[0].startswith(f"failed: {bad}: damaged or half-written")
    assert "delete it and run the same command again" in ran.complaints[0]
    bad.unlink()
    assert features(cli, cohort.slides, study).code == 0
    assert same(bad, finished / stage / bad.name)


@pytest.mark.parametrize("slide_id", ["slide_06", "slide_09"])
def test_a_run_tells_of_spoiled_work_once(cli, finished, cohort, tmp_path, slide_id):
    """Whether the slide trains or tests, one line, though later stages meet it too."""
    study = shutil.copytree(finished, tmp_path / "study")
    bad = study / "tissue" / f"{slide_id}.geojson"
    bad.write_text("{}")
    ran = cli(*run_arguments(cohort, study, "--quiet"))
    assert ran.code == 0
    (line,) = ran.complaints
    assert line.startswith(f"failed: {bad}: not tissue outlines of coverslip")
    assert "delete it" in line


@pytest.mark.parametrize("content", ["{}", "[1]", ""])
def test_a_run_that_does_not_say_how_it_was_made(
    cli, finished, cohort, tmp_path, content
):
    """A spoiled config is named; the model beside it is neither used nor replaced."""
    study = shutil.copytree(finished, tmp_path / "study")
    bad = study / "runs/dmia/config.json"
    bad.write_text(content)
    before = files(study)
    ran = cli("train", study, "--labels", cohort.labels, *LEARN, "--quiet")
    assert ran.code == 1
    (line,) = ran.complaints
    assert line.startswith(f"coverslip: error: {bad}: ")
    assert files(study) == before


def test_a_run_whose_split_is_spoiled(cli, finished, cohort, tmp_path):
    """It is named; training slides are never silently counted as test."""
    run = shutil.copytree(finished / "runs/dmia", tmp_path / "run")
    (run / "splits.csv").write_text("a,b\n1,2\n")
    ran = cli(
        *("evaluate", run, "--labels", cohort.labels),
        *("--features", finished / FEATURES, "--out", tmp_path / "out"),
    )
    assert ran.code == 1
    (line,) = ran.complaints
    assert f"{run / 'splits.csv'}: no column slide_id, split" in line


def test_weights_that_are_no_weights(cli, cohort, tmp_path):
    """The file is named, and nobody is advised to load it unsafely."""
    bad = tmp_path / "weights.pt"
    bad.write_bytes(b"garbage")
    slide = cohort.slides / "slide_00.tif"
    ran = cli("features", slide, "--weights", bad, "--out", tmp_path / "study")
    assert ran.code == 1
    (line,) = ran.complaints
    assert f"{bad}: not a readable weights file" in line
    assert "weights_only" not in line


def test_a_pickle_that_runs_code(cli, tmp_path):
    """It is refused by name, nothing of it is run, and the code is 1."""
    path = tmp_path / "bad.pkl"
    program = f"c__builtin__\nopen\n(V{tmp_path / 'ran'}\nVw\ntR."
    path.write_bytes(program.encode())
    ran = cli("features", path, "--out", tmp_path / "study", "--encoder", "fake")
    assert ran.code == 1
    assert len(ran.complaints) == 1
    assert f"{path}: asks for" in ran.complaints[0]
    assert not (tmp_path / "ran").exists()


def test_a_model_that_is_a_pickle(cli, finished, tmp_path):
    """A checkpoint of another program is named, and not opened as a pickle."""
    path = tmp_path / "model.safetensors"
    path.write_bytes(pickle.dumps({"weights": [1, 2, 3]}))
    ran = cli("predict", path, finished, "--out", tmp_path / "p.csv")
    assert ran.code == 1
    assert len(ran.complaints) == 1
    assert f"{path}: damaged, or not a model of coverslip" in ran.complaints[0]


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.99])
def test_a_truncated_model(cli, finished, tmp_path, share):
    """It is told to be damaged."""
    run = shutil.copytree(finished / "runs/dmia", tmp_path / "run")
    path = run / "model.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    ran = cli("predict", run, finished, "--out", tmp_path / "p.csv")
    assert ran.code == 1
    assert len(ran.complaints) == 1
    assert f"{path}: damaged" in ran.complaints[0]


def test_commands_on_nothing(cli, finished, cohort, tmp_path):
    """Each says what is missing, in one line."""
    nothing, labels = tmp_path / "nothing", ("--labels", cohort.labels)
    model = finished / "runs/dmia"
    for arguments, named in (
        (("train", nothing, *labels), "no features in it"),
        (("evaluate", nothing, *labels, "--features", nothing), "no model there"),
        (("evaluate", model, *labels, "--features", nothing), "no features there"),
        (("evaluate", model, "--labels-from-names", "--features", nothing), "no feat"),
        (("predict", nothing, finished, "--out", tmp_path / "p.csv"), "no model"),
        (("train", finished, *labels, "--split", nothing), "no such file"),
    ):
        ran = cli(*arguments)
        assert ran.code == 1, arguments
        assert len(ran.complaints) == 1, arguments
        assert named in ran.complaints[0]
        assert str(nothing) in ran.complaints[0]


# Output


COMMANDS = [
    *("tissue", "patches", "features", "run"),
    *("train", "evaluate", "predict", "heatmap"),
]


def command(name, cohort, finished, out):
    """Return a command that writes to `out`."""
    study = ("--out", out, "--quiet")
    table = ("--out", out / "p.csv", "--quiet")
    model = finished / "runs/dmia"
    labels = ("--labels", cohort.labels)
    return {
        "tissue": ("tissue", cohort.slides, *study),
        "patches": ("patches", cohort.slides, *study),
        "features": ("features", cohort.slides, *study, "--encoder", "fake"),
        "run": ("run", cohort.slides, *labels, *study, "--encoder", "fake"),
        "train": ("train", out, *labels, "--features", finished / FEATURES),
        "predict": ("predict", model, cohort.slides, *table),
        "heatmap": ("heatmap", model, finished, *study),
        "evaluate": (
            *("evaluate", model, *labels, "--features", finished / FEATURES),
            *("--out", out),
        ),
    }[name]


@pytest.mark.parametrize("name", COMMANDS)
def test_a_file_where_the_folder_should_be(cli, cohort, finished, tmp_path, name):
    """It is named, left as it is, and the command ends at once."""
    out = tmp_path / "occupied"
    out.write_text("mine")
    ran = cli(*command(name, cohort, finished, out))
    assert ran.code == 1
    assert len(ran.complaints) == 1
    assert str(out) in ran.complaints[0]
    assert "a file stands where the folder should be" in ran.complaints[0]
    assert out.read_text() == "mine"


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("code", [errno.EACCES, errno.EROFS])
def test_a_folder_that_may_not_be_written(
    cli, cohort, finished, tmp_path, monkeypatch, name, code
):
    """The folder is named and the command ends at once, with no slide blamed."""
    out = tmp_path / "locked"
    make = Path.mkdir

    def refuse(self, *arguments, **options):
        if out in (self, *self.parents):
            raise OSError(code, os.strerror(code), str(self))
        make(self, *arguments, **options)

    monkeypatch.setattr(Path, "mkdir", refuse)
    ran = cli(*command(name, cohort, finished, out))
    assert ran.code == 1
    assert len(ran.complaints) == 1
    assert str(out) in ran.complaints[0]
    assert "choose a folder you may write to" in ran.complaints[0]


@pytest.mark.parametrize(
    "name",
    [
        "tissue/slide_05.geojson",
        "tissue/thumbnails/slide_05.jpg",
        f"{PATCHES}/slide_05_patches.h5",
        f"{FEATURES}/slide_05.h5",
        f"{FEATURES}/prepare.json",
        "runs/dmia/model.safetensors",
        "runs/dmia/predictions.csv",
        "runs/dmia/figures/roc_test.png",
        "heatmaps/slide_09.csv",
    ],
)
def test_a_disk_that_is_full(cli, cohort, finished, tmp_path, monkeypatch, name):
    """The file is named; after making room the same command ends in the same study."""
    study = shutil.copytree(finished, tmp_path / "study")
    target = study / name
    target.unlink()
    if target.suffix == ".jpg":  # it is drawn with the outlines
        target.parent.with_name(f"{target.stem}.geojson").unlink()
    before = files(study)
    replace = Path.replace

    def full(self, place):
        if place == target:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return replace(self, place)

    monkeypatch.setattr(Path, "replace", full)
    again = run_arguments(cohort, study, "--quiet", "--workers", 1)
    ran = cli(*again)
    assert ran.code == 1
    (line,) = ran.complaints
    assert line == (
        f"coverslip: error: {target}: cannot write (No space left on device): free "
        "some space and run the same command again"
    )
    kept = files(study)
    log = "runs/dmia/log.csv"  # grows again where the training has to be done again
    assert all(kept[k] == before[k] for k in before if k in kept and k != log)
    assert not list(study.rglob("*.part"))
    monkeypatch.undo()
    assert cli(*again).code == 0
    assert set(files(study)) == set(files(finished))
    assert all(same(study / k, finished / k) for k in files(finished))


# Interruption in this process


@pytest.mark.parametrize(
    ("home", "stage", "done"),
    [
        (outlining, "find_tissue", 0),
        (laying, "lay_patches", 1),
        (preparing, "extract_features", 3),
    ],
)
def test_ctrl_c_in_a_stage(
    cli, cohort, finished, tmp_path, monkeypatch, home, stage, done
):
    """One line and code 130; the same command goes on and redoes no finished slide."""
    study, calls = tmp_path / "study", []
    work = getattr(home, stage)

    def interrupted(*arguments, **options):
        calls.append(arguments[0].slide_id)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return work(*arguments, **options)

    monkeypatch.setattr(home, stage, interrupted)
    ran = features(cli, cohort.slides, study, "--workers", "1")
    assert ran.code == 130
    assert [line for line in ran.complaints if line] == [
        "coverslip: stopped: the same command goes on from here"
    ]
    assert not list(study.rglob("*.part"))
    before = files(study)
    assert features(cli, cohort.slides, study, "--workers", "1").code == 0
    assert sorted(calls) == sorted([*{*calls}, "slide_03"])
    after = files(study)
    kept = [name for name in before if name != "slides.csv"]
    assert len(kept) >= 3 * done
    assert all(after[name] == before[name] for name in kept)
    for name in after:
        assert same(study / name, finished / name), name
