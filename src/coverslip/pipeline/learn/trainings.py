"""Many trainings: folds, repeats, seeds and models, one after another or on a cluster.

A training travels as paths and facts: the machine that does it opens the cohort anew,
and what it made lies in the run's folder.
"""

import hashlib
import socket
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from tqdm import tqdm

from coverslip import store
from coverslip.errors import ClusterError
from coverslip.learn.labels import Labels, labels_from_names, read_labels
from coverslip.learn.splits import Split
from coverslip.pipeline.cohort import Cohort, features_in, open_cohort
from coverslip.pipeline.engine import Engine
from coverslip.pipeline.learn.learn_options import LearnOptions
from coverslip.pipeline.learn.seeds import (
    Trained,
    Training,
    members,
    put_together,
    train_one,
)
from coverslip.pipeline.learn.trackers.hook import Tracking
from coverslip.prepare.encoders.devices import precision_advice


@dataclass(frozen=True)
class Source:
    """Where a labelled cohort comes from.

    Attributes:
        features: Folder of features.
        labels: CSV `slide_id,label`; None takes labels from names.
    """

    features: Path
    labels: Path | None

    def read_labels(self, classes: Sequence[str] = ()) -> Labels:
        """Return the labels, of these classes where they are known."""
        if self.labels is not None:
            return read_labels(self.labels, classes)
        return labels_from_names(path.stem for path in features_in(self.features))

    def open(self, classes: Sequence[str] = ()) -> Cohort:
        """Open the cohort; see `open_cohort`."""
        return open_cohort(self.features, self.read_labels(classes))


@dataclass(frozen=True)
class Job:
    """A training to be done, or to be gone on with.

    Attributes:
        options: Which model, and how; with the seed of the first training.
        seeds: One model, or as many as one.
        split: Which slide is in which subset.
        folder: Where it lies.
    """

    options: LearnOptions
    seeds: int
    split: Split
    folder: Path

    def __str__(self) -> str:
        return str(self.folder)

    def single(self) -> list["Job"]:
        """Return the trainings of single models that this one needs."""
        if self.seeds == 1:
            return [self]
        return [
            replace(self, options=options, seeds=1, folder=folder)
            for options, folder in members(self.options, self.seeds, self.folder)
        ]


@dataclass(frozen=True)
class Trainings:
    """What the trainings of one command share, as paths and facts.

    Attributes:
        source: Where the cohort comes from.
        slides: `digest` of the cohort.
        prepare: Options that made the features.
        tracking: Experiment trackers that follow them.
        quiet: Show no progress.
    """

    source: Source
    slides: str
    prepare: store.Facts | None = None
    tracking: Tracking | None = None
    quiet: bool = False

    def do(self, jobs: Sequence[Job], cohort: Cohort, engine: Engine) -> list[Trained]:
        """Do trainings: those of all seeds first, then what puts seeds together.

        Returns:
            What each job came to, in their order.

        Raises:
            CoverslipError: One of them failed; those that were done are kept.
        """
        task = partial(self._do, None if engine.remote else cohort)
        single = [one for job in jobs for one in job.single()]
        for advice in [] if engine.remote else sorted(_advices(single)):
            tqdm.write(f"note: {advice}", file=sys.stderr)
        done: dict[Path, Trained] = {}
        for batch in (single, [job for job in jobs if job.seeds > 1]):
            done |= self._run(task, batch, engine)
        return [done[job.folder] for job in jobs]

    def _run(
        self, task: Callable[[Job], Trained], jobs: Sequence[Job], engine: Engine
    ) -> dict[Path, Trained]:
        """Do trainings that do not wait for one another."""
        done: dict[Path, Trained] = {}
        silent = self.quiet or not engine.remote  # each has its own bar, where seen
        bar = tqdm(total=len(jobs), desc="trainings", unit="model", disable=silent)
        with bar:
            for device in dict.fromkeys(job.options.training.device for job in jobs):
                own = [job for job in jobs if job.options.training.device == device]
                for outcome in engine.run(task, own, device):
                    done[outcome.item.folder] = outcome.taken()
                    bar.update()
        return done

    def _do(self, cohort: Cohort | None, job: Job) -> Trained:
        """Do one, on this machine; without a cohort, open it here."""
        training = Training(
            cohort or self._opened(),
            job.options,
            job.seeds,
            self.prepare,
            tracking=self.tracking,
            quiet=self.quiet or cohort is None,
        )
        act = train_one if job.seeds == 1 else put_together
        return act(training, job.split, job.folder)

    def _opened(self) -> Cohort:
        """Open the cohort.

        Raises:
            ClusterError: It is not the one that the command found.
        """
        cohort = self.source.open()
        if digest(cohort) != self.slides:
            reasons = [*cohort.left_out.values(), "others are there"]
            raise ClusterError(
                f"{self.source.features}: machine {socket.gethostname()} does not find "
                f"the same slides there ({reasons[0]}): keep features and labels on "
                "storage that all machines share"
            )
        return cohort


def _advices(jobs: Sequence[Job]) -> set[str]:
    asked = {
        (job.options.training.precision, job.options.training.device) for job in jobs
    }
    return {advice for one in asked if (advice := precision_advice(*one))}


def digest(cohort: Cohort) -> str:
    """Return a digest of which slides a cohort has, and with which labels."""
    rows = cohort.join.matched
    slides = [(slide_id, rows[slide_id].label) for slide_id in sorted(cohort.bags)]
    return hashlib.sha256(repr(slides).encode()).hexdigest()[:16]
