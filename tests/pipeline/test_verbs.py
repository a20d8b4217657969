"""From slides and labels to a judged model and heatmaps, and everything kept."""

import csv
import json
import shutil

import h5py
import numpy as np
import pytest
from PIL import Image

from coverslip import store
from coverslip.testing import LESION, slide_file
from studies import LEARN, PATCHING, files, predictions, rows, run_arguments, same


def test_the_study_is_laid_out_as_documented(finished, cohort):
    """Every file of design section 2 is there, and nothing else."""
    ids = sorted(path.stem for path in cohort.slides.iterdir())
    tested = [k for k, r in predictions(finished).items() if r["split"] == "test"]
    run = ("config.json", "log.csv", "metrics.json", "model.json", "model.safetensors")
    run += ("predictions.csv", "splits.csv", "provenance.json", "report.html")
    run += ("config.toml",)
    figures = ["reliability_test.png", "roc_test.png", "roc_val.png", "training.png"]
    for name in ("roc", "calibration", "confusion", "classes", "training_curves"):
        figures += [f"{name}.svg", f"{name}.png"]
    expected = {
        "slides.csv",
        *(f"tissue/{i}.geojson" for i in ids),
        *(f"tissue/thumbnails/{i}.jpg" for i in ids),
        *(f"{PATCHING}/patches/{i}_patches.h5" for i in ids),
        f"{PATCHING}/features_fake/prepare.json",
        *(f"{PATCHING}/features_fake/{i}.h5" for i in ids),
        *(f"runs/dmia/{name}" for name in run),
        *(f"runs/dmia/figures/{name}" for name in figures),
        *(f"heatmaps/{i}{end}" for i in tested for end in (".csv", ".png")),
        *(f"heatmaps/{i}_patches.png" for i in tested),
    }
    assert set(files(finished)) == expected


def test_the_table_of_slides_says_what_became_of_each(finished, cohort):
    """Size, scale, what was read, status and seconds, one row a slide."""
    table = rows(finished / "slides.csv")
    assert len(table) == 10
    for slide_id, row in table.items():
        assert row["path"] == str(cohort.slides / f"{slide_id}.tif")
        assert (row["width"], row["height"], row["mpp"]) == ("1024", "1024", "0.5")
        assert (row["status"], row["error"], row["patches"]) == ("features", "", "4")
        assert float(row["mpp_achieved"]) == 0.5
        for stage in ("tissue", "patches", "features"):
            assert float(row[f"seconds_{stage}"]) >= 0


def test_features_are_readable_by_the_neighbours(finished):
    """Features and coordinates in one order, with CLAM's and TRIDENT's attributes."""
    patching = finished / PATCHING
    with (
        h5py.File(patching / "patches" / "slide_03_patches.h5") as laid,
        h5py.File(patching / "features_fake" / "slide_03.h5") as made,
    ):
        assert made["features"].dtype == np.float16
        assert made["features"].shape == (4, 6)
        assert made["features"].chunks is None
        assert (made["coords"][:] == laid["coords"][:]).all()
        assert laid["coords"].dtype == np.int64
        assert laid["coords"].attrs["patch_size_level0"] == 256
        assert laid["coords"].attrs["patch_level"] == 0


def test_the_cohort_is_learned_and_judged(finished, cohort):
    """Colours tell the classes apart: AUC 1 on the slides kept apart."""
    metrics = json.loads((finished / "runs/dmia/metrics.json").read_text())
    assert metrics["test"]["auc"] == 1.0
    assert metrics["test"]["n"] == 2
    assert metrics["test"]["not_judged"] == []
    labels = rows(cohort.labels)
    said = predictions(finished)
    assert said.keys() == labels.keys()
    for slide_id, row in said.items():
        assert row["label"] == labels[slide_id]["label"]
        assert row["status"] == "ok"
        chances = [float(row[f"probability_{name}"]) for name in ("normal", "tumor")]
        assert sum(chances) == pytest.approx(1, abs=2e-6)
        high = chances[1] >= float(row["threshold"])
        assert row["predicted"] == ("tumor" if high else "normal")
    assert {row["split"] for row in said.values()} == {"train", "val", "test"}


def test_pictures_can_be_opened_and_their_tables_fit(finished):
    """Heatmaps of the test slides: pictures with the patches' scores beside them."""
    for path in (finished / "heatmaps").glob("*.csv"):
        with path.open() as file:
            table = list(csv.DictReader(file))
        assert len(table) == 4
        assert sum(float(row["attention"]) for row in table) == pytest.approx(1, 1e-4)
        for end in (".png", "_patches.png"):
            with Image.open(path.with_name(f"{path.stem}{end}")) as picture:
                picture.load()
                assert min(picture.size) > 200


def test_the_same_command_again_does_nothing(cli, finished, cohort, tmp_path):
    """Every stage finds its work done: no file is touched, and the words are the same."""
    study = tmp_path / finished.parent.name / "study"  # which the report names
    shutil.copytree(finished, study)
    before = files(study)
    ran = cli(*run_arguments(cohort, study, "--quiet"))
    assert ran.code == 0
    assert ran.complaints == []
    assert "test: AUC 1.000" in ran.out
    assert files(study) == before


def test_a_raw_slide_gets_the_score_it_had_in_the_study(
    cli, finished, cohort, tmp_path
):
    """From the file alone, in one call, alone or with others: the very same score."""
    known, out = predictions(finished), tmp_path / "out.csv"
    model = finished / "runs" / "dmia"
    for asked in (["slide_07"], ["slide_02", "slide_07"]):
        places = [cohort.slides / f"{slide_id}.tif" for slide_id in asked]
        ran = cli("predict", model, *places, "--out", out, "--quiet")
        assert (ran.code, ran.complaints) == (0, [])
        said = rows(out)
        assert list(said) == asked
        for slide_id, row in said.items():
            for column in ("probability_tumor", "spread", "predicted", "patches"):
                assert row[column] == known[slide_id][column]
    assert (tmp_path / "out_study" / PATCHING / "features_fake/slide_07.h5").exists()


@pytest.mark.parametrize("kind", ["study", "folder", "file"])
def test_what_is_prepared_already_is_predicted_as_it_is(cli, finished, tmp_path, kind):
    """A study, a folder of features or a file of them; no slide is opened for it."""
    folder = finished / PATCHING / "features_fake"
    place = {"study": finished, "folder": folder, "file": folder / "slide_04.h5"}[kind]
    before = files(finished)
    model = finished / "runs/dmia/model.safetensors"
    ran = cli("predict", model, place, "--out", tmp_path / "p.csv", "--quiet")
    said = rows(tmp_path / "p.csv")
    assert (ran.code, len(said)) == (0, 1 if kind == "file" else 10)
    known = predictions(finished)
    for slide_id, row in said.items():
        assert row["probability_tumor"] == known[slide_id]["probability_tumor"]
    assert files(finished) == before
    assert files(tmp_path).keys() == {"p.csv"}


def test_a_heatmap_of_one_raw_slide(cli, finished, cohort, tmp_path):
    """The slide that is asked for is drawn, just as it was in the study."""
    out = tmp_path / "maps"
    ran = cli(
        *("heatmap", finished / "runs/dmia", cohort.slides, "--out", out),
        *("--slide", "slide_09", "--quiet"),
    )
    assert (ran.code, ran.complaints) == (0, [])
    assert f"heatmap: {out / 'slide_09.png'}" in ran.out
    made = [path for path in out.iterdir() if path.is_file()]
    assert len(made) == 3
    assert all(same(path, finished / "heatmaps" / path.name) for path in made)


def test_heatmaps_are_drawn_anew_for_another_model(cli, finished, cohort, tmp_path):
    """A picture stays while the numbers stay, and follows them when they change."""
    study = tmp_path / "study"
    shutil.copytree(finished, study)
    before = files(study / "heatmaps")
    ran = cli(*run_arguments(cohort, study, "--name", "other", "--seed", 9, "--quiet"))
    assert ran.code == 0
    after = files(study / "heatmaps")
    assert before.keys() == after.keys()
    assert all(before[name] != after[name] for name in before)
    assert files(study / "runs/dmia") == files_like(finished / "runs/dmia", study)


def files_like(folder, study):
    """Return the files of another study's run, with the times of this one's copies."""
    names = [path.relative_to(folder) for path in folder.rglob("*") if path.is_file()]
    times = {}
    for name in names:
        copy = study / "runs/dmia" / name
        assert copy.read_bytes() == (folder / name).read_bytes()
        times[str(name)] = copy.stat().st_mtime_ns
    return times


def test_a_heatmap_of_an_unknown_slide_is_refused(cli, finished, tmp_path):
    """An id that is not among the inputs is named."""
    ran = cli(
        *("heatmap", finished / "runs/dmia", finished, "--out", tmp_path),
        *("--slide", "nobody", "--quiet"),
    )
    assert ran.code == 1
    assert "nobody: no such slide among the inputs" in ran.err


def test_stages_one_by_one_make_what_run_makes(cli, cohort, finished, tmp_path):
    """`tissue`, `patches`, `features`, `train`, `report`: the same, without heatmaps."""
    study = tmp_path / "study"
    for stage, status in (
        ("tissue", "tissue"),
        ("patches", "patches"),
        ("features", "features"),
        ("tissue", "features"),
    ):
        more = ["--encoder", "fake"] if stage == "features" else []
        ran = cli(stage, cohort.slides, "--out", study, *more, "--quiet")
        assert (ran.code, ran.complaints) == (0, [])
        *told, done = ran.out.splitlines()
        assert done == f"10 of 10 slides done: {study / 'slides.csv'}"
        assert [line.partition(":")[0] for line in told] == (
            ["features"] if stage == "features" else []
        )
        assert {r["status"] for r in rows(study / "slides.csv").values()} == {status}
    ran = cli("train", study, "--labels", cohort.labels, *LEARN, "--quiet")
    assert ran.code == 0
    assert cli("report", study, "--quiet").code == 0
    for path in finished.rglob("*"):
        # how a run is made again is another command for one made step by step
        if path.is_file() and not {"heatmaps", "config.toml"} & {*path.parts}:
            assert same(study / path.relative_to(finished), path), path


def test_folds_test_every_slide_once(cli, finished, cohort, tmp_path):
    """Each fold's model has its own test slides; one table of what they say of them."""
    study = tmp_path / "study"
    shutil.copytree(finished, study)
    ran = cli(
        *("train", study, "--labels", cohort.labels, "--folds", "3", "--name", "cv"),
        *("--epochs", "2", "--quiet"),
    )
    assert ran.code == 0
    said = rows(study / "runs/cv/predictions.csv")
    assert said.keys() == rows(cohort.labels).keys()
    for number in range(3):
        part = study / "runs/cv" / f"fold_{number}"
        split = {k: r["split"] for k, r in rows(part / "splits.csv").items()}
        mine = {k for k, row in said.items() if row["fold"] == str(number)}
        assert mine == {k for k, subset in split.items() if subset == "test"}
        assert f"fold {number} test: " in ran.out
    metrics = json.loads((study / "runs/cv/metrics.json").read_text())
    assert set(metrics["folds"]) == {"fold_0", "fold_1", "fold_2"}
    assert "pooled over folds, test: AUC" in ran.out


def test_a_split_that_somebody_made_is_followed(cli, finished, cohort, tmp_path):
    """Given as CSV it is used to the letter; what it leaves out is told."""
    ids = sorted(rows(cohort.labels))
    subset = dict(zip(ids, ["train"] * 4 + ["val"] * 2 + ["test"] * 2, strict=False))
    split = tmp_path / "split.csv"
    lines = [f"{slide_id},{where}" for slide_id, where in subset.items()]
    split.write_text("\n".join(["slide_id,split", *lines, "stranger,test"]))
    study = tmp_path / "study"
    shutil.copytree(finished, study)
    ran = cli(
        *("train", study, "--labels", cohort.labels, "--split", split),
        *("--name", "given", "--epochs", "1", "--quiet"),
    )
    assert ran.code == 0
    said = predictions(study, "given")
    assert {k: row["split"] for k, row in said.items()} == subset
    assert f"{split}: 2 slides in no split (first: slide_08)" in ran.out
    assert "1 slides unknown to the labels (first: stranger)" in ran.out


def test_labels_can_be_taken_from_names(cli, tmp_path):
    """`tumor_...` and `normal_...` need no table, when that is asked for."""
    for number in range(4):
        slide_file(tmp_path / f"slides/normal_{number}.tif", seed=number)
        name = f"slides/Tumor_{number}.tif"
        slide_file(tmp_path / name, colour=LESION, seed=9 + number)
    study = tmp_path / "study"
    cli("features", tmp_path / "slides", "--out", study, "--encoder", "fake", "--quiet")
    shares = ("--val-share", "0.25", "--test-share", "0.25")
    ran = cli("train", study, "--labels-from-names", "--epochs", 1, *shares, "--quiet")
    assert ran.code == 0
    assert "8 of 8 slides have a label (4 normal, 4 tumor" in ran.out
    assert predictions(study)["Tumor_1"]["label"] == "tumor"


def test_evaluate_keeps_training_slides_apart(cli, finished, cohort, tmp_path):
    """On its own study the run's split counts; the figures are the run's."""
    features = finished / PATCHING / "features_fake"
    ran = cli(
        *("evaluate", finished / "runs/dmia", "--labels", cohort.labels),
        *("--features", features, "--out", tmp_path),
    )
    assert ran.code == 0
    known = finished / "runs/dmia"
    for name in ("predictions.csv", "metrics.json"):
        made = (tmp_path / name).read_text()
        assert made == (known / name).read_text()


def test_evaluate_on_other_slides_counts_all_as_test(cli, finished, tmp_path):
    """Slides that the model never saw are all judged."""
    for number in range(6):
        slide_file(
            tmp_path / f"slides/new_{number}.tif",
            seed=50 + number,
            **({"colour": LESION} if number < 3 else {}),
        )
    study = tmp_path / "study"
    cli("features", tmp_path / "slides", "--out", study, "--encoder", "fake", "--quiet")
    labels = tmp_path / "new.csv"
    labels.write_text(
        "slide_id,label\n"
        + "".join(f"new_{n},{'tumor' if n < 3 else 'normal'}\n" for n in range(6))
    )
    ran = cli(
        *("evaluate", finished / "runs/dmia/model.safetensors", "--labels", labels),
        *("--features", study / PATCHING / "features_fake", "--out", tmp_path / "out"),
    )
    assert ran.code == 0
    assert "test: AUC 1.000" in ran.out
    assert "on 6 slides" in ran.out
    assert {r["split"] for r in rows(tmp_path / "out/predictions.csv").values()} == {
        "test"
    }


def test_a_run_without_test_slides_draws_nothing(cli, cohort, tmp_path):
    """With a test share of 0 there is no test, and no slide's heatmap in its place."""
    shares = ("--test-share", 0, "--epochs", 1)
    ran = cli(*run_arguments(cohort, tmp_path / "study", *shares, "--quiet"))
    assert ran.code == 0
    assert "heatmap:" not in ran.out
    assert not (tmp_path / "study" / "heatmaps").exists()
    assert store.read_json(tmp_path / "study/runs/dmia/metrics.json").keys() == {
        "model",
        "left_out",
        "val",
    }
