"""Weights & Biases: offline files in the run's folder, unless the user says online.

`WANDB_MODE`, `WANDB_PROJECT` and the other variables of theirs are the user's. Without
the first the record is offline, and `wandb sync` sends it later: nothing leaves this
machine, and nobody is asked for a key, unless `WANDB_MODE=online` is set.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

for _name, _value in (("WANDB_SILENT", "true"), ("WANDB_ERROR_REPORTING", "false")):
    os.environ.setdefault(_name, _value)  # read by wandb as it is loaded

import wandb

from coverslip.pipeline.learn.trackers.hook import TrackedRun

FOLDER = "wandb"
"""What wandb itself calls its folder, in the folder it is given."""


class Follower:
    """Keeps a training as a run of W&B, folds and seeds in the group of their run."""

    def start(self, run: TrackedRun) -> None:
        """Begin a record; a training that goes on keeps the id it had."""
        mode = os.environ.get("WANDB_MODE") or "offline"
        known = _id_of(run.folder) if run.resumed else None
        run.folder.mkdir(parents=True, exist_ok=True)
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT") or "coverslip",
            name=run.name,
            group=run.name_of(run.parent or run.folder),
            job_type="part" if run.parent else "run",
            dir=str(run.folder),
            config=dict(run.params),
            mode=mode,
            id=known,
            resume="allow" if known and mode == "online" else None,
            reinit="create_new",
        )

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        """Write a point of each curve."""
        self._run.log(dict(figures), step=step)

    def finish(self, figures: Mapping[str, float], files: Sequence[Path]) -> None:
        """Write final figures and pictures, and close."""
        self._run.summary.update({f"final/{k}": v for k, v in figures.items()})
        pictures = [path for path in files if path.suffix == ".png"]
        if pictures:
            self._run.log({path.stem: wandb.Image(str(path)) for path in pictures})
        self._run.finish(exit_code=0)

    def fail(self, reason: str) -> None:
        """Close as failed."""
        self._run.summary.update({"failed": reason})
        self._run.finish(exit_code=1)


def _id_of(folder: Path) -> str | None:
    """Return the id of the last record in a run's folder: its folder's name ends so."""
    records = sorted(
        (folder / FOLDER).glob("*run-*-*"), key=lambda p: p.name.partition("run-")[2]
    )
    return records[-1].name.rpartition("-")[2] if records else None
