"""MLflow: a local file store in the study, or the server that the user has set.

`MLFLOW_TRACKING_URI` and `MLFLOW_EXPERIMENT_NAME` are the user's. Without the first,
records go to `study/mlruns`; nothing is sent anywhere, MLflow's own telemetry included.
"""

import hashlib
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

for _name, _value in (
    ("MLFLOW_DISABLE_TELEMETRY", "true"),
    ("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1"),  # else a dead server is tried for minutes
    ("MLFLOW_HTTP_REQUEST_TIMEOUT", "10"),
):
    os.environ.setdefault(_name, _value)  # read by MLflow as it is loaded

from mlflow.entities import Metric, Param, Run, RunTag
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from coverslip.pipeline.learn.trackers.hook import TrackedRun

STORE = "mlruns"
"""In the study, where no server is set."""

PLACE_TAG = "coverslip.place"
"""A hash of the training's folder: one that is gone on with has one record."""

PARENT_TAG = "mlflow.parentRunId"
LONGEST = 500
"""Characters of a parameter's value that every store takes."""

AT_ONCE = 100
"""Parameters that one call may send."""


class Follower:
    """Keeps a training as an MLflow run, folds and seeds below the run they are of."""

    def start(self, run: TrackedRun) -> None:
        """Begin a record, or go on with the one that was left open."""
        self._client = MlflowClient(tracking_uri=_store(run.study))
        experiment = self._experiment(run.study)
        parent = run.parent and self._of(experiment, run.parent)
        known = self._of(experiment, run.folder) if run.resumed else None
        if known is not None:
            self._id = known.info.run_id
            self._client.update_run(self._id, status="RUNNING")
            return
        tags = {PLACE_TAG: _place(run.folder)}
        if parent:
            tags[PARENT_TAG] = parent.info.run_id
        made = self._client.create_run(experiment, run_name=run.name, tags=tags)
        self._id = made.info.run_id
        params = [Param(k, str(v)[:LONGEST]) for k, v in run.params.items()]
        for first in range(0, len(params), AT_ONCE):
            self._client.log_batch(
                self._id, params=params[first : first + AT_ONCE], synchronous=True
            )

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        """Send an epoch in one call."""
        now = int(1000 * time.time())
        metrics = [Metric(name, value, now, step) for name, value in figures.items()]
        self._client.log_batch(self._id, metrics=metrics, synchronous=True)

    def finish(self, figures: Mapping[str, float], files: Sequence[Path]) -> None:
        """Send final figures and files, and close."""
        self.log(0, {f"final/{name}": value for name, value in figures.items()})
        for path in files:
            self._client.log_artifact(self._id, str(path))
        self._client.set_terminated(self._id, "FINISHED")

    def fail(self, reason: str) -> None:
        """Close as failed, with the reason as a tag."""
        tag = RunTag("coverslip.failed", reason[:LONGEST])
        self._client.log_batch(self._id, tags=[tag], synchronous=True)
        self._client.set_terminated(self._id, "FAILED")

    def _experiment(self, study: Path) -> str:
        """Return the experiment's id: the study's name, or the user's."""
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or study.resolve().name
        known = self._client.get_experiment_by_name(name)
        if known is None:
            try:
                return str(self._client.create_experiment(name))
            except MlflowException:  # another machine was quicker
                known = self._client.get_experiment_by_name(name)
                if known is None:
                    raise
        return str(known.experiment_id)

    def _of(self, experiment: str, folder: Path) -> Run | None:
        """Return the newest record of a training, if there is one."""
        wanted = f"tags.`{PLACE_TAG}` = '{_place(folder)}'"
        found = self._client.search_runs([experiment], wanted, max_results=1)
        return found[0] if found else None


def _place(folder: Path) -> str:
    """Return what stands for a folder, whose own name nobody else need know."""
    return hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:32]


def _store(study: Path) -> str:
    """Return where records go: what the user has set, or files in the study."""
    if named := os.environ.get("MLFLOW_TRACKING_URI"):
        return named
    # newer versions want to be told that files will do; a server can be set instead
    os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
    return (study / STORE).resolve().as_uri()
