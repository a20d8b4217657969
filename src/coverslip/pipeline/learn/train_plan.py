"""What a training is done on: features, splits, folds and seeds, and where."""

from dataclasses import dataclass, field
from pathlib import Path

from coverslip.errors import OptionError
from coverslip.learn.splits import SplitOptions
from coverslip.pipeline.engine import Engine, LocalEngine
from coverslip.store import Facts
from coverslip.toml import Table


@dataclass(frozen=True)
class TrainPlan:
    """What a training is done on, beside its options.

    Attributes:
        name: Name of the run; its folder is `runs/<name>`. The model's when not given.
        features: Folder of features; the study's only one when not given.
        splits: How slides are dealt.
        split_file: A split that exists, in place of dealing.
        folds: Number of folds; 0 trains on one split.
        repeats: How often folds are dealt; each time with other seeds.
        seeds: Models that are trained on a split, to be averaged.
        trackers: Experiment trackers that follow it, by name.
        quiet: Show no progress.
        engine: Where models are trained.
        command: That trains; with --config it does so again.
        typed: The whole command line, to be remembered with the run.
        prepared: What the same command did before, for the resolved configuration.
    """

    name: str | None = None
    features: Path | None = None
    splits: SplitOptions = field(default_factory=SplitOptions)
    split_file: Path | None = None
    folds: int = 0
    repeats: int = 1
    seeds: int = 1
    trackers: tuple[str, ...] = ()
    quiet: bool = False
    engine: Engine = field(default_factory=LocalEngine)
    command: str = "train"
    typed: str = ""
    prepared: Table = field(default_factory=dict)

    def facts(self) -> Facts:
        """Return how slides are dealt, JSON-ready."""
        split_file = None if self.split_file is None else str(self.split_file)
        dealt = {"splits": self.splits.facts(), "split_file": split_file}
        return {**dealt, **self.counts()}

    def counts(self) -> dict[str, int]:
        """Return the numbers of folds, repeats and seeds."""
        return {"folds": self.folds, "repeats": self.repeats, "seeds": self.seeds}

    def __post_init__(self) -> None:
        name = self.name
        if name is not None and (name.strip(".") == "" or {"/", "\\"} & set(name)):
            raise OptionError(f"name={name!r}: a run's name is one folder's name")
        if self.repeats < 1 or self.seeds < 1:
            raise OptionError(
                f"repeats={self.repeats}, seeds={self.seeds}: at least 1 each"
            )
        if self.repeats > 1 and (self.split_file is not None or not self.folds):
            raise OptionError(
                f"repeats={self.repeats}: only folds that are dealt here can be dealt "
                "again: ask for folds, without a file of splits; or use seeds"
            )
