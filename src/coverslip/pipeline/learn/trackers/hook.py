"""One hook for experiment trackers: begin, a row an epoch, end.

A tracker is a guest. Each loads its library only when asked for, sends nothing anywhere
unless the user's own settings say so, and when it fails the training goes on without it.
No slide's name is handed to one.
"""

import importlib.util
import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Protocol

from tqdm import tqdm

from coverslip.errors import MissingExtraError, OptionError

TRACKERS = ("tensorboard", "mlflow", "wandb")
"""By name: that of their library, of our extra, and of the module beside this one."""

TITLES = {"tensorboard": "TensorBoard", "mlflow": "MLflow", "wandb": "Weights & Biases"}


@dataclass(frozen=True)
class TrackedRun:
    """What a tracker is told of a training before it begins.

    Attributes:
        study: The study folder.
        folder: The training's, in `study/runs`.
        params: Everything it is made with, one level deep, JSON-ready.
        parent: The folder of the run that this is a fold or a seed of.
        resumed: Whether it goes on where it was stopped.
    """

    study: Path
    folder: Path
    params: Mapping[str, object]
    parent: Path | None = None
    resumed: bool = False

    @property
    def name(self) -> str:
        """The run's name, such as `dmia` or `dmia/fold_0/seed_1`."""
        return self.name_of(self.folder)

    def name_of(self, folder: Path) -> str:
        """Return the name of another training of the study."""
        return folder.relative_to(self.study / "runs").as_posix()


class Tracker(Protocol):
    """Keeps one training: `start`, `log` each epoch, then `finish` or `fail`."""

    def start(self, run: TrackedRun) -> None:
        """Begin, or go on with, the record of a run."""

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        """Keep the figures of an epoch, which is counted from 1."""

    def finish(self, figures: Mapping[str, float], files: Sequence[Path]) -> None:
        """Keep the final figures, and files to look at; close the record."""

    def fail(self, reason: str) -> None:
        """Close the record of a training that did not come to its end."""


@dataclass
class Followers:
    """All trackers of one training; one that fails is told of once and let go.

    Attributes:
        trackers: By name.
    """

    trackers: dict[str, Tracker] = field(default_factory=dict)

    def start(self, run: TrackedRun) -> None:
        """Begin, or go on with, the record of a run."""
        self._each(lambda one: one.start(run))

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        """Keep the figures of an epoch."""
        self._each(lambda one: one.log(step, finite(figures)))

    def finish(self, figures: Mapping[str, float], files: Sequence[Path]) -> None:
        """Keep the final figures and those of the files that are there."""
        there = [path for path in files if path.is_file()]
        self._each(lambda one: one.finish(finite(figures), there))

    def fail(self, reason: str) -> None:
        """Close the record of a training that did not come to its end."""
        self._each(lambda one: one.fail(reason))

    @contextmanager
    def following(self, run: TrackedRun) -> Iterator["Followers"]:
        """Keep a run: begun here, and closed as failed when an error leaves the block."""
        self.start(run)
        try:
            yield self
        except BaseException as error:
            self.fail(f"{type(error).__name__}: {error}")
            raise

    def _each(self, act: Callable[[Tracker], None]) -> None:
        for name, tracker in list(self.trackers.items()):
            try:
                act(tracker)
            except Exception as error:  # noqa: BLE001 - a guest never ends a training
                del self.trackers[name]
                tell_lost(name, error)


def tell_lost(name: str, error: Exception) -> None:
    """Say, above the progress bars, that a tracker is no longer written to."""
    reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
    tqdm.write(
        f"note: {TITLES[name]} does not take the record ({reason}): the training goes "
        "on without it; its figures are in log.csv and metrics.json",
        file=sys.stderr,
    )


@dataclass(frozen=True)
class Tracking:
    """Which trackers follow the trainings of a study; travels to other machines.

    Attributes:
        names: Of the trackers.
        study: The study folder.
    """

    names: tuple[str, ...]
    study: Path

    def followers(self) -> Followers:
        """Return trackers for one training; one that cannot be loaded is told of."""
        made: dict[str, Tracker] = {}
        for name in self.names:
            try:
                module = import_module(f"coverslip.pipeline.learn.trackers.{name}")
                made[name] = module.Follower()
            except Exception as error:  # noqa: BLE001 - such as a machine without it
                tell_lost(name, error)
        return Followers(made)

    def parent_of(self, folder: Path) -> Path | None:
        """Return the run that a fold's or a seed's folder belongs to, if it is one."""
        runs = self.study / "runs"
        steps = folder.relative_to(runs).parts
        return runs / steps[0] if len(steps) > 1 else None


def check_trackers(names: Sequence[str]) -> None:
    """Make sure, before any work, that trackers are known and installed.

    Raises:
        OptionError: There is no such tracker.
        MissingExtraError: Its library is not installed.
    """
    for name in names:
        if name not in TRACKERS:
            raise OptionError(
                f"tracker {name!r} is unknown: choose from {', '.join(TRACKERS)}"
            )
        if not installed(name):
            raise MissingExtraError(
                f"{TITLES[name]} is not installed: pip install 'coverslip[{name}]'"
            )


def installed(name: str) -> bool:
    """Say whether a tracker's library is there, without loading it."""
    return importlib.util.find_spec(name) is not None


def flat(facts: Mapping[str, object], above: str = "") -> dict[str, object]:
    """Return nested facts one level deep, keys joined by dots; lists become text."""
    found: dict[str, object] = {}
    for key, value in facts.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{above}{key}.")
        elif isinstance(value, (list, tuple)):
            found[f"{above}{key}"] = ", ".join(map(str, value))
        else:
            found[f"{above}{key}"] = value
    return found


def finite(figures: Mapping[str, float]) -> dict[str, float]:
    """Return the figures that are numbers: trackers differ in what they do with NaN."""
    return {name: float(v) for name, v in figures.items() if math.isfinite(v)}
