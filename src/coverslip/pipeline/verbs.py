"""The verbs, as people type them; the command line calls these and prints."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from coverslip import store
from coverslip.errors import DataError, SlideError
from coverslip.learn.labels import Labels, labels_from_names, read_labels
from coverslip.learn.splits import Split, read_splits
from coverslip.pipeline.cohort import (
    Cohort,
    SplitOptions,
    choose_folds,
    choose_split,
    open_cohort,
)
from coverslip.pipeline.folders import prepare_folders
from coverslip.pipeline.importing import export_pickles, import_pickles
from coverslip.pipeline.judging import Judged, evaluate_run, gather_folds
from coverslip.pipeline.learning import LearnOptions, train_model
from coverslip.pipeline.predicting import (
    draw_source,
    gather,
    open_model,
    predict_sources,
    write_predictions,
)
from coverslip.pipeline.preparing import PREPARED, Preparation, prepare
from coverslip.pipeline.table import SlideTable
from coverslip.prepare.encoders.encoder import Device


def tissue(slides: Sequence[Path], preparation: Preparation) -> SlideTable:
    """Find the tissue of slides; see `prepare`."""
    return prepare(slides, preparation, upto="tissue")


def patches(slides: Sequence[Path], preparation: Preparation) -> SlideTable:
    """Lay patches over the tissue of slides; see `prepare`."""
    return prepare(slides, preparation, upto="patches")


def features(slides: Sequence[Path], preparation: Preparation) -> SlideTable:
    """Extract the features of slides, with tissue and patches first; see `prepare`."""
    return prepare(slides, preparation, upto="features")


def features_from_patches(
    folders: Sequence[Path], preparation: Preparation
) -> SlideTable:
    """Extract features from folders of patch images, one folder a slide.

    A folder without images stands for the folders in it; see `prepare_folders`.
    """
    return prepare_folders(folders, preparation)


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
    splits = _splits(cohort, plan)
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
    report = "\n".join([cohort.join.report(), *cohort.left_out.values()])
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
    _, card = open_model(model, "cpu")
    table = _labels(labels, features_folder, card.classes)
    cohort = open_cohort(features_folder, table)
    split: Split = dict.fromkeys(cohort.bags, "test")
    known = (model if model.is_dir() else model.parent) / "splits.csv"
    if known.exists():
        trained = {row["slide_id"]: row["split"] for row in store.read_csv(known)}
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
    return labels_from_names(path.stem for path in sorted(features_folder.glob("*.h5")))


def _splits(cohort: Cohort, plan: TrainPlan) -> list[Split]:
    if plan.split_file is not None:
        rows = [cohort.join.matched[slide_id] for slide_id in cohort.bags]
        return read_splits(plan.split_file, rows).splits
    if plan.folds:
        return choose_folds(cohort, plan.splits, plan.folds)
    return [choose_split(cohort, plan.splits)]


@dataclass(frozen=True)
class PredictResult:
    """What `predict` or `heatmap` made.

    Attributes:
        out: The table, or the folder of pictures.
        rows: Status by slide: "ok", "no tissue", or the error.
        pictures: Heatmaps, when they were drawn.
    """

    out: Path
    rows: Mapping[str, str]
    pictures: tuple[Path, ...] = ()

    @property
    def all_failed(self) -> bool:
        """Whether no slide came through."""
        return not any(status in {"ok", "no tissue"} for status in self.rows.values())


def predict(
    model: Path, inputs: Sequence[Path], out: Path, preparation: Preparation
) -> PredictResult:
    """Predict slides that nobody has labelled.

    Args:
        model: A run folder or model file.
        inputs: Slides or folders of slides, a study, or features.
        out: The CSV to write.
        preparation: For raw slides: where and how fast they are prepared.

    Raises:
        DataError: Model or inputs cannot be used at all.
        OutputError: The table cannot be written.
    """
    network, card = open_model(model, preparation.options.features.device)
    sources = gather(inputs, card, preparation)
    said = []
    for source, _, prediction in predict_sources(
        network, card, sources, quiet=preparation.quiet
    ):
        said.append((source, prediction))
    write_predictions(out, card, said)
    rows = {
        source.slide_id: source.error
        or ("ok" if p is not None and p.probabilities is not None else "no tissue")
        for source, p in said
    }
    return PredictResult(out, rows)


def heatmap(
    model: Path,
    inputs: Sequence[Path],
    out: Path,
    preparation: Preparation,
    only: Sequence[str] = (),
) -> PredictResult:
    """Draw where the model looked on each slide, and write every patch's scores.

    Args:
        model: A run folder or model file.
        inputs: Slides or folders of slides, or a study.
        out: Folder of the pictures and tables.
        preparation: For raw slides: where and how fast they are prepared.
        only: Slide ids to draw; all when empty.

    Raises:
        DataError: Model or inputs cannot be used at all, or an id is unknown.
        OutputError: A picture cannot be written.
    """
    network, card = open_model(model, preparation.options.features.device)
    sources = gather(inputs, card, preparation)
    if only:
        known = {source.slide_id for source in sources}
        if missing := sorted(set(only) - known):
            raise DataError(f"{', '.join(missing)}: no such slide among the inputs")
        sources = [source for source in sources if source.slide_id in only]
    rows: dict[str, str] = {}
    pictures = []
    for source, bag, prediction in predict_sources(
        network, card, sources, quiet=preparation.quiet
    ):
        if bag is None or prediction is None:
            rows[source.slide_id] = source.error
            continue
        try:
            picture = draw_source(source, bag, prediction, card, out)
        except (SlideError, DataError) as error:
            rows[source.slide_id] = str(error)
            continue
        rows[source.slide_id] = "ok" if picture else "no tissue"
        pictures += [picture] if picture else []
    return PredictResult(out, rows, tuple(pictures))


@dataclass(frozen=True)
class RunResult:
    """What `run` made: the table of slides, the training, and heatmaps."""

    table: SlideTable
    trained: TrainResult
    pictures: tuple[Path, ...]


def run(
    slides: Sequence[Path],
    labels: Path | None,
    preparation: Preparation,
    options: LearnOptions | None = None,
    plan: TrainPlan | None = None,
) -> RunResult:
    """Do everything: slides and labels in, a judged model and heatmaps out.

    Every stage keeps what is complete, so the same call after an interruption goes on.

    Args:
        slides: Slides, or folders of slides.
        labels: CSV `slide_id,label`; None takes labels from names.
        preparation: How slides are prepared, and the study for it all.
        options: Which model, and how.
        plan: On which split.
    """
    plan = plan or TrainPlan()
    if labels is not None:
        read_labels(labels)  # a wrong table is better told of before an hour of work
    table = features(slides, preparation)
    plan = replace(plan, features=preparation.features_folder)
    trained = train(preparation.out, labels, options, plan)
    tested = [
        row["slide_id"]
        for row in store.read_csv(trained.models[0].parent / "predictions.csv")
        if row["split"] == "test"
    ]
    drawn = heatmap(
        trained.models[0],
        [preparation.out],
        preparation.study.root / "heatmaps",
        preparation,
        tested,
    )
    return RunResult(table, trained, drawn.pictures)


__all__ = [
    "PredictResult",
    "RunResult",
    "TrainPlan",
    "TrainResult",
    "evaluate",
    "export_pickles",
    "features",
    "features_from_patches",
    "heatmap",
    "import_pickles",
    "patches",
    "predict",
    "run",
    "tissue",
    "train",
]
