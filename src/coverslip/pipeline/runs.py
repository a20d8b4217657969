"""A run: a model trained on a study's features, judged on the slides kept apart."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from coverslip import store
from coverslip.errors import DataError, OptionError
from coverslip.learn.checkpoint import load_model
from coverslip.learn.labels import Labels, labels_from_names, read_labels
from coverslip.learn.splits import Split
from coverslip.pipeline.cohort import (
    Cohort,
    SplitOptions,
    choose_folds,
    choose_split,
    features_in,
    open_cohort,
    read_split_file,
)
from coverslip.pipeline.judging import Judged, evaluate_run, gather_folds
from coverslip.pipeline.learning import LearnOptions, train_model
from coverslip.pipeline.preparation import PREPARED
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
    """

    folder: Path
    models: tuple[Path, ...]
    judged: Mapping[str, Judged]
    report: str


@dataclass(frozen=True)
class TrainPlan:
    """What a training is done on, beside its options.

    Attributes:
        name: Name of the run; its folder is `runs/<name>`.
        features: Folder of features; the study's only one when not given.
        splits: How slides are dealt.
        split_file: A split that exists, in place of dealing.
        folds: Number of folds; 0 trains one model on one split.
        tensorboard: Log for TensorBoard too.
        quiet: Show no progress.
    """

    name: str = "dmia"
    features: Path | None = None
    splits: SplitOptions = field(default_factory=SplitOptions)
    split_file: Path | None = None
    folds: int = 0
    tensorboard: bool = False
    quiet: bool = False

    def __post_init__(self) -> None:
        if self.name.strip(".") == "" or {"/", "\\"} & set(self.name):
            raise OptionError(f"name={self.name!r}: a run's name is one folder's name")


def train(
    study: Path,
    labels: Path | None,
    options: LearnOptions | None = None,
    plan: TrainPlan | None = None,
) -> TrainResult:
    """Train on a study's features and judge on the slides kept apart.

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
    plan, options = plan or TrainPlan(), options or LearnOptions()
    folder = store.Study(study).run(plan.name)
    features_folder = plan.features or only_features(study)
    cohort = open_cohort(features_folder, _labels(labels, features_folder))
    splits, notes = _splits(cohort, plan)
    prepared = features_folder / PREPARED
    prepare_facts = store.read_json(prepared) if prepared.exists() else None
    models = []
    judged: dict[str, Judged] = {}
    for number, split in enumerate(splits):
        part = folder if len(splits) == 1 else folder / f"fold_{number}"
        models.append(
            train_model(
                cohort,
                split,
                part,
                options,
                prepare_facts,
                tensorboard=plan.tensorboard,
                quiet=plan.quiet,
            )
        )
        found = evaluate_run(models[-1], cohort, split, part, options.training.device)
        if len(splits) > 1:
            found = {f"fold {number} {subset}": j for subset, j in found.items()}
        judged |= found
    if len(splits) > 1:
        gather_folds(folder, models)
    left_out = (f"left out: {reason}" for reason in cohort.left_out.values())
    report = "\n".join([cohort.join.report(), *left_out, *notes])
    return TrainResult(folder, tuple(models), judged, report)


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
    table = _labels(labels, features_folder, card.classes)
    cohort = open_cohort(features_folder, table)
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


def _labels(
    labels: Path | None, features_folder: Path, classes: Sequence[str] = ()
) -> Labels:
    if labels is not None:
        return read_labels(labels, classes)
    return labels_from_names(path.stem for path in features_in(features_folder))


def _splits(cohort: Cohort, plan: TrainPlan) -> tuple[list[Split], list[str]]:
    """Return the splits, and what a file of splits leaves unsaid."""
    if plan.split_file is not None:
        read = read_split_file(cohort, plan.split_file)
        notes = {"in no split": read.unplaced, "unknown to the labels": read.unknown}
        return read.splits, [
            f"{plan.split_file}: {len(ids)} slides {what} (first: {ids[0]})"
            for what, ids in notes.items()
            if ids
        ]
    if plan.folds:
        return choose_folds(cohort, plan.splits, plan.folds), []
    return [choose_split(cohort, plan.splits)], []
