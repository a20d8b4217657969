"""A run: a model trained on a study's features, judged on the slides kept apart."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from coverslip import store
from coverslip.errors import Complain, DataError, OptionError, refuse
from coverslip.learn.checkpoint import load_model
from coverslip.learn.labels import Row
from coverslip.learn.split_files import read_splits
from coverslip.learn.splits import Split
from coverslip.pipeline.cohort import (
    Cohort,
    choose_folds,
    choose_split,
)
from coverslip.pipeline.judge.judging import Judged, evaluate_run
from coverslip.pipeline.learn.configuration import keep_resolved, resolved_training
from coverslip.pipeline.learn.folds import Part, fold_folder, gather_folds
from coverslip.pipeline.learn.following import followed_whole
from coverslip.pipeline.learn.learn_options import LearnOptions
from coverslip.pipeline.learn.provenance import note_provenance
from coverslip.pipeline.learn.seeds import Trained, seeded
from coverslip.pipeline.learn.trackers.hook import Tracking, check_trackers
from coverslip.pipeline.learn.train_plan import TrainPlan
from coverslip.pipeline.learn.trainings import Job, Source, Trainings, digest
from coverslip.pipeline.prepare.preparation import PREPARED
from coverslip.prepare.encoders.devices import Device
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
    check_trackers(plan.trackers)
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
    tracking = Tracking(plan.trackers, study)
    trainings = Trainings(
        source,
        digest(cohort),
        store.read_json(prepared) if prepared.exists() else None,
        tracking=tracking,
        quiet=plan.quiet,
    )
    jobs = [job for run in runs for job in run.jobs]
    parts = [[one.folder for job in run.jobs for one in job.single()] for run in runs]
    whole = list(zip([run.folder for run in runs], models, parts, strict=True))
    with followed_whole(tracking, whole, plan.counts()):
        done = iter(trainings.do(jobs, cohort, plan.engine))
        results = [run.result([next(done) for _ in run.jobs], cohort) for run in runs]
    for options, result in zip(models, results, strict=True):
        table = resolved_training(study, source, options, plan)
        keep_resolved(result.folder, plan.command, table)
        told = {"labels": None if labels is None else str(labels), **plan.facts()}
        note_provenance(result.folder, plan.typed, told)
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
        parts, notes = parts_of(cohort.rows, plan, folder)
        if (layout := check_layout(folder, plan, parts)) is not None:
            store.write_json(folder / "config.json", {"layout": layout})
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


def parts_of(
    rows: Sequence[Row], plan: TrainPlan, folder: Path, complain: Complain = refuse
) -> tuple[list[Part], list[str]]:
    """Deal labelled slides as planned.

    Args:
        rows: The slides that can be used.
        plan: On which split, or splits.
        folder: Of the run.
        complain: Told of what is wrong with a split that somebody made.

    Returns:
        The splits with their folders, and what a file of splits leaves unsaid.

    Raises:
        LabelError: They cannot be dealt so; and what nobody is told of.
    """
    notes: list[str] = []
    if plan.split_file is not None:
        splits, notes = _splits_of(plan.split_file, rows, complain)
        dealings = [splits]
    elif plan.folds:
        seeds = range(plan.splits.split_seed, plan.splits.split_seed + plan.repeats)
        each = [plan.splits.replace(split_seed=seed) for seed in seeds]
        dealings = [choose_folds(rows, options, plan.folds) for options in each]
    else:
        dealings = [[choose_split(rows, plan.splits, complain)]]
    if len(dealings[0]) == 1:
        return [Part(folder, dealings[0][0])], notes
    return [
        Part(fold_folder(folder, repeat, fold), split, repeat, fold)
        for repeat, splits in enumerate(dealings)
        for fold, split in enumerate(splits)
    ], notes


def _splits_of(
    path: Path, rows: Sequence[Row], complain: Complain
) -> tuple[list[Split], list[str]]:
    read = read_splits(path, rows, complain)
    unsaid = {"in no split": read.unplaced, "unknown to the labels": read.unknown}
    return read.splits, [
        f"{path}: {len(ids)} slides {what} (first: {ids[0]})"
        for what, ids in unsaid.items()
        if ids
    ]


def check_layout(
    folder: Path, plan: TrainPlan, parts: Sequence[Part]
) -> store.Facts | None:
    """Refuse to mix runs of another layout in one folder; repeats and seeds may grow.

    Returns:
        The layout to be noted; None for a single model.

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
    return None if asked == single else asked
