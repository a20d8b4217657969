"""The hook for trackers: what they are told, and that they never cost a training."""

import sys
from types import ModuleType

import pytest

from coverslip.errors import LabelError, MissingExtraError, OptionError
from coverslip.learn.splits import SplitOptions
from coverslip.pipeline.learn.following import final_figures
from coverslip.pipeline.learn.learn_options import LearnOptions
from coverslip.pipeline.learn.runs import TrainPlan, train
from coverslip.pipeline.learn.trackers.hook import (
    TRACKERS,
    check_trackers,
    finite,
    flat,
)
from coverslip.testing import FakeEngine, toy_cohort
from studies import files

OPTIONS = LearnOptions(model="mean", training={"epochs": 2, "partitions": 1})


class Notebook:
    """A tracker that writes down what it is told; it fails at one of the calls."""

    told: list[tuple[object, ...]]
    fails_at = ""

    def _note(self, *said):
        if said[0] == self.fails_at:
            raise ConnectionError("the server is\ndown")
        self.told.append(said)

    def start(self, run):
        """Note a beginning."""
        self.run = run
        self._note("start", run.name, run.parent and run.parent.name, dict(run.params))

    def log(self, step, figures):
        """Note an epoch."""
        self._note("log", self.run.name, step, dict(figures))

    def finish(self, figures, files):
        """Note an end."""
        self._note("finish", self.run.name, figures, [path.name for path in files])

    def fail(self, reason):
        """Note a failure."""
        self._note("fail", self.run.name, reason)


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    """Return a toy cohort."""
    return toy_cohort(tmp_path_factory.mktemp("toy"), slides=16, patches=8, dim=4)


@pytest.fixture
def notebook(monkeypatch):
    """Let a notebook stand in for TensorBoard, and draw no figures."""
    own = type("Own", (Notebook,), {"told": []})
    module = ModuleType("coverslip.pipeline.learn.trackers.tensorboard")
    module.Follower = own
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(
        "coverslip.pipeline.learn.trackers.hook.installed", lambda _: True
    )
    for name in ("judge.judging.draw_roc", "judge.judging.draw_reliability"):
        monkeypatch.setattr(f"coverslip.pipeline.{name}", lambda *_: None)
    return own


def trained(toy, study, trackers=("tensorboard",), **changes):
    """Train on the toy cohort."""
    splits = SplitOptions(val_share=0.3, test_share=0.3)
    plan = TrainPlan(
        features=toy.features, splits=splits, trackers=trackers, quiet=True
    )
    plan = TrainPlan(**{**vars(plan), **changes})
    return train(study, toy.labels, OPTIONS, plan)


def test_a_training_is_told_of_from_start_to_finish(toy, tmp_path, notebook):
    """Options without any slide's name, a row an epoch, figures and what to look at."""
    trained(toy, tmp_path)
    assert [said[0] for said in notebook.told] == ["start", "log", "log", "finish"]
    start, first, _, finish = notebook.told
    assert start[1:3] == ("mean", None)
    params = start[3]
    assert params["model"] == "mean"
    assert params["train.epochs"] == 2
    assert params["slides.train"] + params["slides.val"] + params["slides.test"] == 16
    slides = [path.stem for path in toy.features.glob("*.h5")]
    assert not any(slide in repr(notebook.told) for slide in slides)
    assert first[2] == 1
    assert {"val_auc", "val_loss", "lr"} <= first[3].keys()
    assert {"test/auc", "val/sensitivity"} <= finish[2].keys()
    assert "training.png" in finish[3]
    assert {name.rpartition(".")[2] for name in finish[3]} == {"png"}


def test_a_model_that_is_kept_is_not_told_of_again(toy, tmp_path, notebook):
    """The second call of the same command makes no second record."""
    trained(toy, tmp_path)
    notebook.told.clear()
    trained(toy, tmp_path)
    assert notebook.told == []


def test_folds_and_seeds_have_a_record_each_below_that_of_their_run(
    toy, tmp_path, notebook
):
    """The run itself has the figures of them all."""
    trained(toy, tmp_path, folds=2, seeds=2)
    begun = {said[1]: said[2] for said in notebook.told if said[0] == "start"}
    assert begun == {
        "mean": None,
        **{f"mean/fold_{f}/seed_{s}": "mean" for f in (0, 1) for s in (0, 1)},
    }
    ended = {said[1]: said[2] for said in notebook.told if said[0] == "finish"}
    assert ended.keys() == begun.keys()
    assert {"mean_of_folds/auc", "pooled/auc"} <= ended["mean"].keys()
    assert notebook.told[-1][1] == "mean"


def test_other_machines_tell_as_this_one_does(toy, tmp_path, notebook):
    """Only names and paths travel there."""
    engine = type("Far", (FakeEngine,), {"remote": True})()
    trained(toy, tmp_path, seeds=2, engine=engine)
    assert sum(said[0] == "start" for said in notebook.told) == 3


@pytest.mark.parametrize("call", ["start", "log", "finish"])
def test_a_tracker_that_fails_never_ends_a_training(
    toy, tmp_path, notebook, capfd, call
):
    """It is told of once; the same files come out as without it."""
    notebook.fails_at = call
    trained(toy, tmp_path / "with")
    lines = [line for line in capfd.readouterr().err.splitlines() if "note:" in line]
    assert len(lines) == 1
    assert "TensorBoard does not take the record (ConnectionError: the " in lines[0]
    trained(toy, tmp_path / "without", trackers=())
    assert files(tmp_path / "with").keys() == files(tmp_path / "without").keys()
    model = "runs/mean/model.safetensors"
    assert (tmp_path / "with" / model).read_bytes() == (
        tmp_path / "without" / model
    ).read_bytes()


def test_one_that_cannot_be_loaded_over_there_is_told_of(
    toy, tmp_path, notebook, monkeypatch, capfd
):
    """A worker without the library trains all the same."""
    monkeypatch.setitem(sys.modules, "coverslip.pipeline.learn.trackers.wandb", None)
    trained(toy, tmp_path, trackers=("wandb", "tensorboard"))
    assert "Weights & Biases does not take the record" in capfd.readouterr().err
    assert notebook.told[-1][0] == "finish"


def test_a_training_that_fails_is_told_of_as_failed(
    toy, tmp_path, notebook, monkeypatch
):
    """The error goes on to who waits for it."""

    def broken(*_, **__):
        raise LabelError("no slide")

    monkeypatch.setattr("coverslip.pipeline.learn.seeds.train_model", broken)
    with pytest.raises(LabelError):
        trained(toy, tmp_path)
    assert notebook.told[-1] == ("fail", "mean", "LabelError: no slide")


def test_what_is_not_installed_or_unknown_is_told_before_any_work(
    monkeypatch, tmp_path
):
    """With the line that installs it."""
    monkeypatch.setattr(
        "coverslip.pipeline.learn.trackers.hook.installed", lambda _: False
    )
    for name in TRACKERS:
        with pytest.raises(MissingExtraError, match=rf"coverslip\[{name}\]"):
            train(tmp_path, None, OPTIONS, TrainPlan(trackers=(name,)))
    with pytest.raises(OptionError, match="tracker 'visdom' is unknown: choose from"):
        check_trackers(["visdom"])


def test_run_tells_of_a_missing_tracker_before_the_slides_are_read(
    cli, cohort, tmp_path, monkeypatch
):
    """Not after hours of features."""
    monkeypatch.setattr(
        "coverslip.pipeline.learn.trackers.hook.installed", lambda _: False
    )
    where = ("--labels", cohort.labels, "--out", tmp_path / "study")
    ran = cli("run", cohort.slides, *where, "--tracker", "mlflow")
    assert "MLflow is not installed: pip install 'coverslip[mlflow]'" in ran.err
    assert not (tmp_path / "study").exists()


def test_facts_and_figures_are_made_plain():
    """Keys join with dots; what is no number is left out."""
    assert flat({"a": {"b": {"c": 1}, "d": [1, 2]}}) == {"a.b.c": 1, "a.d": "1, 2"}
    assert finite({"a": 1, "b": float("nan")}) == {"a": 1.0}
    metrics = {"test": {"auc": 0.5, "n": 3, "sensitivity": None, "intervals": {}}}
    assert final_figures(metrics) == {"test/auc": 0.5, "test/n": 3.0}
