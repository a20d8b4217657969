"""A run: a model trained on a study's features, judged on the slides kept apart."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from coverslip import store
from coverslip.errors import DataError, OptionError
from coverslip.learn.checkpoint import load_model
from coverslip.learn.splits import Split
from coverslip.pipeline.cohort import (
    Cohort,
    SplitOptions,
    choose_folds,
    choose_split,
    read_split_file,
)
from coverslip.pipeline.engine import Engine, LocalEngine
from coverslip.pipeline.folds import Part, fold_folder, gather_folds
from coverslip.pipeline.judging import Judged, evaluate_run
from coverslip.pipeline.learning import LearnOptions
from coverslip.pipeline.preparation import PREPARED
from coverslip.pipeline.provenance import note_provenance
from coverslip.pipeline.seeds import Trained, seeded
from coverslip.pipeline.trainings import Job, Source, Trainings, digest
from coverslip.prepare.encoders.encoder import Device
from coverslip.tables import read_csv


@dataclass(frozen=True)
class TrainResult:
    """What `train` made.

    Attributes:
        folder: The run's folder.
        models: The model of each fold, one without folds.
        judged: Figures on `val` and `test`; with folds on those of each.
        report: How labels and slides met, and what was left out.
        summary: The most important figures in a few lines.
    """

    folder: Path
    models: tuple[Path, ...]
    judged: Mapping[str, Judged]
    report: str
    summary: tuple[str, ...] = ()


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
        tensorboard: Log for TensorBoard too.
        quiet: Show no progress.
        engine: Where models are trained.
        command: The command line that asks for it, to be remembered with the run.
    """

    name: str | None = None
    features: Path | None = None
    splits: SplitOptions = field(default_factory=SplitOptions)
    split_file: Path | None = None
    folds: int = 0
    repeats: int = 1
    seeds: int = 1
    tensorboard: bool = False
    quiet: bool = False
    engine: Engine = field(default_factory=LocalEngine)
    command: str = ""

    def facts(self) -> store.Facts:
        """Return how slides are dealt, JSON-ready."""
        return {
            "splits": self.splits.facts(),
            "split_file": None if self.split_file is None else str(self.split_file),
            "folds": self.folds,
            "repeats": self.repeats,
            "seeds": self.seeds,
        }

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


def train(
    study: Path,
    labels: Path | None,
    options: LearnOptions | None = None,
    plan: TrainPlan | None = None,
) -> TrainResult:
    """Train on a study's features and judge on the slides kept apart.

    With folds, repeat r deals them by `split_seed` + r and trains from `seed` + r on.
    With several seeds, every split trains so many models and averages them.

    Args:
        study: The study folder.
        labels: CSV `slide_id,label`; None takes labels from names like `tumor_001`.
        options: Which model, and how.
        plan: On which features and split.

    Raises:
        DataError: There are no features, or several folders of them.
        LabelError: The labels, or the split, cannot be used.
        ParametersDifferError: The run exists with other data or options.
    """
    return train_models(study, labels, [options or LearnOptions()], plan)[0]


def train_models(
    study: Path,
    labels: Path | None,
    models: Sequence[LearnOptions],
    plan: TrainPlan | None = None,
) -> list[TrainResult]:
    """Train several models on the same splits, each in a run of its own; see `train`.

    Raises:
        OptionError: Two models would have the same run.
    """
    plan = plan or TrainPlan()
    names = [plan.name or options.model for options in models]
    if len(set(names)) < len(names):
        raise OptionError(f"{', '.join(names)}: each model needs a run of its own name")
    source = Source(plan.features or only_features(study), labels)
    cohort = source.open()
    runs = [
        _Run.laid_out(store.Study(study).run(name), options, cohort, plan)
        for name, options in zip(names, models, strict=True)
    ]
    prepared = source.features / PREPARED
    trainings = Trainings(
        source,
        digest(cohort),
        store.read_json(prepared) if prepared.exists() else None,
        tensorboard=plan.tensorboard,
        quiet=plan.quiet,
    )
    jobs = [job for run in runs for job in run.jobs]
    done = iter(trainings.do(jobs, cohort, plan.engine))
    results = [run.result([next(done) for _ in run.jobs], cohort) for run in runs]
    told = {"labels": None if labels is None else str(labels), **plan.facts()}
    for run in runs:
        note_provenance(run.folder, plan.command, told)
    return results


@dataclass(frozen=True)
class _Run:
    """One model's run: its splits, and the training on each.

    Attributes:
        folder: Of the run.
        parts: Its splits.
        jobs: The training on each.
        notes: What a file of splits leaves unsaid.
    """

    folder: Path
    parts: list[Part]
    jobs: list[Job]
    notes: list[str]

    @classmethod
    def laid_out(
        cls, folder: Path, options: LearnOptions, cohort: Cohort, plan: TrainPlan
    ) -> "_Run":
        parts, notes = _parts(cohort, plan, folder)
        _keep_layout(folder, plan, parts)
        jobs = [
            Job(seeded(options, part.repeat), plan.seeds, part.split, part.folder)
            for part in parts
        ]
        return cls(folder, parts, jobs, notes)

    def result(self, done: Sequence[Trained], cohort: Cohort) -> TrainResult:
        """Return what the trainings came to; gather folds where there are some."""
        judged: dict[str, Judged] = {}
        lines: list[str] = []
        for part, trained in zip(self.parts, done, strict=True):
            judged |= {f"{part.name}{s}": own for s, own in trained.judged.items()}
            lines += [f"{part.name}{line}" for line in trained.lines]
        if len(self.parts) > 1:
            lines += gather_folds(self.folder, self.parts)
        left_out = (f"left out: {reason}" for reason in cohort.left_out.values())
        report = "\n".join([cohort.join.report(), *left_out, *self.notes])
        models = tuple(trained.model for trained in done)
        return TrainResult(self.folder, models, judged, report, tuple(lines))


def evaluate(
    model: Path,
    labels: Path | None,
    features_folder: Path,
    out: Path,
    device: Device = "auto",
) -> dict[str, Judged]:
    """Judge a trained model on labelled slides.

    On the slides of its own study the run's split is used, so that training slides are
    never counted as test; on other slides all count as test.

    Args:
        model: A run folder or model file.
        labels: CSV `slide_id,label`; None takes labels from names.
        features_folder: Their features.
        out: Folder for `predictions.csv` and `metrics.json`.
        device: Where to run.
    """
    _, card = load_model(model)
    cohort = Source(features_folder, labels).open(card.classes)
    split: Split = dict.fromkeys(cohort.bags, "test")
    known = (model if model.is_dir() else model.parent) / "splits.csv"
    if known.exists():
        rows = read_csv(known, ("slide_id", "split"))
        trained = {row["slide_id"]: row["split"] for row in rows}
        split |= {s: trained[s] for s in cohort.bags if trained.get(s)}  # type: ignore[misc] # written by us
    return evaluate_run(model, cohort, split, out, device)


def only_features(study: Path) -> Path:
    """Return a study's folder of features.

    Raises:
        DataError: There is none, or more than one.
    """
    folders = sorted(path for path in study.glob("*/features_*") if path.is_dir())
    if len(folders) == 1:
        return folders[0]
    if not folders:
        raise DataError(f"{study}: no features in it: run `coverslip features` first")
    named = ", ".join(str(path) for path in folders)
    raise DataError(f"{study}: several features: choose one with --features ({named})")


def _parts(
    cohort: Cohort, plan: TrainPlan, folder: Path
) -> tuple[list[Part], list[str]]:
    """Return the splits with their folders, and what a file of splits leaves unsaid."""
    notes: list[str] = []
    if plan.split_file is not None:
        splits, notes = _splits_of(plan.split_file, cohort)
        dealings = [splits]
    elif plan.folds:
        seeds = range(plan.splits.split_seed, plan.splits.split_seed + plan.repeats)
        each = [plan.splits.replace(split_seed=seed) for seed in seeds]
        dealings = [choose_folds(cohort, options, plan.folds) for options in each]
    else:
        dealings = [[choose_split(cohort, plan.splits)]]
    if len(dealings[0]) == 1:
        return [Part(folder, dealings[0][0])], notes
    return [
        Part(fold_folder(folder, repeat, fold), split, repeat, fold)
        for repeat, splits in enumerate(dealings)
        for fold, split in enumerate(splits)
    ], notes


def _splits_of(path: Path, cohort: Cohort) -> tuple[list[Split], list[str]]:
    read = read_split_file(cohort, path)
    unsaid = {"in no split": read.unplaced, "unknown to the labels": read.unknown}
    return read.splits, [
        f"{path}: {len(ids)} slides {what} (first: {ids[0]})"
        for what, ids in unsaid.items()
        if ids
    ]


def _keep_layout(folder: Path, plan: TrainPlan, parts: Sequence[Part]) -> None:
    """Refuse to mix runs of another layout in one folder; repeats and seeds may grow.

    Raises:
        ParametersDifferError: The folder's run has other folds, or fewer are asked for.
    """
    single = {"folds": 0, "repeats": 1, "seeds": 1}
    folds = len({part.fold for part in parts if part.fold is not None})
    asked = {"folds": folds, "repeats": plan.repeats, "seeds": plan.seeds}
    config = folder / "config.json"
    if config.exists():
        known = store.read_json(config)
        was = {**single, **(known.get("layout", {}) if isinstance(known, dict) else {})}
        may = {"repeats": was["folds"] > 0, "seeds": was["seeds"] > 1}
        grown = {name: max(was[name], asked[name]) for name in may if may[name]}
        store.check_same(config, {"layout": {**was, **grown}}, {"layout": asked})
    if asked != single:
        store.write_json(config, {"layout": asked})
