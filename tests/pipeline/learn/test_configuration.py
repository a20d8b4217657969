"""The resolved configuration beside a run: what is in it, and when it is rewritten."""

import tomllib
from pathlib import Path

from coverslip.geometry import Mpp
from coverslip.pipeline.learn.configuration import (
    RESOLVED,
    keep_resolved,
    resolved_preparation,
    resolved_training,
)
from coverslip.pipeline.learn.learn_options import LearnOptions
from coverslip.pipeline.learn.train_plan import TrainPlan
from coverslip.pipeline.learn.trainings import Source
from coverslip.pipeline.prepare.preparation import Preparation, PrepareOptions
from coverslip.slides.finding import Scales


def table_of(study, plan=None, **changes):
    """Return the table of a training."""
    source = Source(study / "20x" / "features_x", study / "labels.csv")
    options = LearnOptions(**changes)
    return resolved_training(study, source, options, plan or TrainPlan())


def kept(folder):
    """Return what lies in a run's folder."""
    return tomllib.loads((folder / RESOLVED).read_text())


def test_paths_in_the_study_are_relative_and_others_whole(tmp_path, monkeypatch):
    """A study that is moved takes its runs' configurations along."""
    monkeypatch.chdir(tmp_path)
    table = table_of(Path("study"), TrainPlan(split_file=Path("split.csv")))
    assert table["out"] == "../.."
    assert table["labels"] == "../../labels.csv"
    assert table["train"]["features"] == "../../20x/features_x"
    assert table["split"]["file"] == str(tmp_path / "split.csv")


def test_how_slides_were_prepared_is_in_it(tmp_path):
    """Stated scales, masks and weights, each as a whole path; where it ran is not."""
    weights = tmp_path / "w.safetensors"
    preparation = Preparation(
        tmp_path / "study",
        PrepareOptions(patches={"mpp": 1.0}, features={"weights": str(weights)}),
        Scales(Mpp(0.25), table=tmp_path / "mpp.csv"),
        tmp_path / "masks",
    )
    prepared = resolved_preparation([tmp_path / "slides"], preparation)
    plan = TrainPlan(prepared=prepared, command="run")
    keep_resolved(tmp_path, "run", table_of(tmp_path / "study", plan))
    table = kept(tmp_path)
    assert table["slides"] == [str(tmp_path / "slides")]
    assert (table["mpp"], table["mpp_csv"]) == (0.25, str(tmp_path / "mpp.csv"))
    assert table["mask"] == str(tmp_path / "masks")
    assert table["patches"]["mpp"] == 1.0
    assert table["features"]["weights"] == str(weights)
    assert "features" not in table["train"]
    assert not {"workers", "engine", "quiet"} & table.keys()


def test_it_is_rewritten_only_when_it_says_something_else(tmp_path):
    """One key that both have and that differs is enough; damage is mended."""
    path = tmp_path / RESOLVED
    keep_resolved(tmp_path, "run", {**table_of(tmp_path), "slides": ["there"]})
    keep_resolved(tmp_path, "train", table_of(tmp_path))
    assert kept(tmp_path)["slides"] == ["there"]
    keep_resolved(tmp_path, "train", table_of(tmp_path, TrainPlan(seeds=2)))
    assert "slides" not in kept(tmp_path)
    assert kept(tmp_path)["train"]["seeds"] == 2
    path.write_text("= =")
    keep_resolved(tmp_path, "train", table_of(tmp_path))
    assert kept(tmp_path)["train"]["seeds"] == 1


def test_the_models_options_are_all_there(tmp_path):
    """Those that were given, and the defaults of this version."""
    given = {"model": "dmia", "model_options": {"k": 2}}
    keep_resolved(tmp_path, "train", table_of(tmp_path, **given))
    own = kept(tmp_path)["model"]
    assert own["name"] == "dmia"
    assert own["options"] == {**LearnOptions().of_model().facts(), "k": 2}
    assert "coverslip train ANOTHER_STUDY --config" in (tmp_path / RESOLVED).read_text()
