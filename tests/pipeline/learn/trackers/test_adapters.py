"""The adapters of trackers, each with its own library where it is installed."""

import sys
import time
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from coverslip.pipeline.learn.trackers.hook import TrackedRun, Tracking


@pytest.fixture
def picture(tmp_path) -> Path:
    """Return a small picture."""
    path = tmp_path / "roc_test.png"
    Image.fromarray(np.zeros((4, 6, 3), np.uint8)).save(path)
    return path


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch):
    """Take away what the user of this machine has set."""
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "WANDB_MODE"):
        monkeypatch.delenv(name, raising=False)


def tracked(study, name, parent=None, *, resumed=False):
    """Return what a tracker is told of a training."""
    folder = study / "runs" / name
    above = parent and study / "runs" / parent
    params = {"train.lr": 0.1, "features.weights": None, "note": "x" * 900}
    return TrackedRun(study, folder, params, above, resumed)


def follow(tracker, run, files=()):
    """Let a tracker follow two epochs to the end."""
    followers = Tracking((tracker,), run.study).followers()
    followers.start(run)
    followers.log(1, {"val_auc": 0.5})
    followers.log(2, {"val_auc": 0.75, "val_loss": float("nan")})
    followers.finish({"test/auc": 0.9}, list(files))
    return followers


def test_tensorboard_has_curves_text_and_pictures(tmp_path, picture):
    """Its own reader finds them."""
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = tracked(tmp_path, "dmia")
    assert follow("tensorboard", run, [picture]).trackers
    log = EventAccumulator(str(run.folder / "tensorboard")).Reload()
    assert [(e.step, e.value) for e in log.Scalars("val_auc")] == [(1, 0.5), (2, 0.75)]
    assert log.Scalars("final/test/auc")[0].value == pytest.approx(0.9)
    assert log.Images("roc_test")[0].width == 6
    assert "made_with/text_summary" in log.Tags()["tensors"]


def test_mlflow_keeps_files_in_the_study(tmp_path, picture):
    """A run with parameters, curves and files, a fold below its run; no server."""
    pytest.importorskip("mlflow")
    from mlflow.tracking import MlflowClient

    study = tmp_path / "my study"
    whole = Tracking(("mlflow",), study).followers()
    whole.start(tracked(study, "dmia"))
    assert follow("mlflow", tracked(study, "dmia/fold_0", "dmia"), [picture]).trackers
    whole.fail("LabelError: no slide")
    client = MlflowClient(tracking_uri=(study / "mlruns").resolve().as_uri())
    (experiment,) = [e for e in client.search_experiments() if e.name != "Default"]
    assert experiment.name == "my study"
    runs = {r.info.run_name: r for r in client.search_runs([experiment.experiment_id])}
    assert runs.keys() == {"dmia", "dmia/fold_0"}
    fold, top = runs["dmia/fold_0"], runs["dmia"]
    assert fold.data.tags["mlflow.parentRunId"] == top.info.run_id
    assert (fold.info.status, top.info.status) == ("FINISHED", "FAILED")
    assert top.data.tags["coverslip.failed"] == "LabelError: no slide"
    assert fold.data.params["train.lr"] == "0.1"
    curve = client.get_metric_history(fold.info.run_id, "val_auc")
    assert [(m.step, m.value) for m in curve] == [(1, 0.5), (2, 0.75)]
    assert fold.data.metrics["final/test/auc"] == 0.9
    assert [f.path for f in client.list_artifacts(fold.info.run_id)] == [picture.name]


def test_mlflow_goes_on_in_the_same_record(tmp_path):
    """A training that was stopped has one record; one that is begun anew another."""
    pytest.importorskip("mlflow")
    from mlflow.tracking import MlflowClient

    stopped = Tracking(("mlflow",), tmp_path).followers()
    stopped.start(tracked(tmp_path, "dmia"))
    stopped.fail("KeyboardInterrupt: ")
    follow("mlflow", tracked(tmp_path, "dmia", resumed=True))
    client = MlflowClient(tracking_uri=(tmp_path / "mlruns").as_uri())
    names = [e.experiment_id for e in client.search_experiments()]
    (run,) = client.search_runs(names)
    assert run.info.status == "FINISHED"
    follow("mlflow", tracked(tmp_path, "dmia"))
    assert len(client.search_runs(names)) == 2


def test_mlflow_goes_to_the_users_server_which_may_be_down(
    tmp_path, monkeypatch, capfd
):
    """Then the training is told so, and goes on."""
    pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    assert not follow("mlflow", tracked(tmp_path, "dmia")).trackers
    assert capfd.readouterr().err.count("MLflow does not take the record") == 1
    assert not (tmp_path / "mlruns").exists()


class StandIn(ModuleType):
    """As much of wandb as is called; it writes down what it is told."""

    def __init__(self):
        super().__init__("wandb")
        self.begun: list[dict[str, object]] = []
        self.logged: list[tuple[dict[str, object], int | None]] = []
        self.summary: dict[str, object] = {}
        self.ended: list[int] = []

    def init(self, **named):
        """Begin."""
        self.begun.append(named)
        return SimpleNamespace(
            log=lambda figures, step=None: self.logged.append((figures, step)),
            summary=self.summary,
            finish=lambda exit_code: self.ended.append(exit_code),
        )

    def Image(self, path):  # noqa: N802 - wandb's
        """Return a picture."""
        return Path(path).name


@pytest.fixture
def stand_in(monkeypatch):
    """Let a stand-in be wandb."""
    module = StandIn()
    monkeypatch.setitem(sys.modules, "wandb", module)
    monkeypatch.delitem(
        sys.modules, "coverslip.pipeline.learn.trackers.wandb", raising=False
    )
    yield module
    sys.modules.pop("coverslip.pipeline.learn.trackers.wandb", None)


def test_wandb_is_offline_unless_the_user_says_online(
    tmp_path, picture, stand_in, monkeypatch
):
    """Nothing leaves the machine, and nobody is asked for a key."""
    assert follow("wandb", tracked(tmp_path, "dmia"), [picture]).trackers
    monkeypatch.setenv("WANDB_MODE", "online")
    follow("wandb", tracked(tmp_path, "dmia/fold_0", "dmia"))
    offline, online = stand_in.begun
    assert (offline["mode"], online["mode"]) == ("offline", "online")
    assert (offline["group"], online["group"]) == ("dmia", "dmia")
    assert (offline["name"], online["name"]) == ("dmia", "dmia/fold_0")
    assert offline["dir"] == str(tmp_path / "runs" / "dmia")
    assert stand_in.logged[:2] == [({"val_auc": 0.5}, 1), ({"val_auc": 0.75}, 2)]
    assert stand_in.logged[2][0] == {"roc_test": "roc_test.png"}
    assert stand_in.summary["final/test/auc"] == 0.9
    assert stand_in.ended == [0, 0]


def test_wandb_goes_on_under_the_id_it_had(tmp_path, stand_in):
    """The newest record's folder names it; a failed one ends with 1."""
    run = tracked(tmp_path, "dmia", resumed=True)
    for record in ("offline-run-20260101_000000-old", "run-20260102_000000-newer"):
        (run.folder / "wandb" / record).mkdir(parents=True)
    followers = Tracking(("wandb",), tmp_path).followers()
    followers.start(run)
    followers.fail("LabelError: no slide")
    assert stand_in.begun[0]["id"] == "newer"
    assert stand_in.ended == [1]
    assert stand_in.summary["failed"] == "LabelError: no slide"


def test_wandb_itself_takes_all_that(tmp_path, picture):
    """An offline record lies in the run's folder; its file has the figures."""
    pytest.importorskip("wandb")
    run = tracked(tmp_path, "dmia")
    run.folder.mkdir(parents=True)
    assert follow("wandb", run, [picture]).trackers
    (record,) = (run.folder / "wandb").glob("offline-run-*/run-*.wandb")
    for _ in range(200):  # it is written out a moment after the end
        if b"val_auc" in record.read_bytes():
            break
        time.sleep(0.05)
    assert b"val_auc" in record.read_bytes()
