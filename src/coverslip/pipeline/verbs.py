"""The verbs, as people type them; the command line calls these and prints."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from coverslip.errors import DataError, MismatchError, SlideError
from coverslip.learn.labels import read_labels
from coverslip.pipeline.judge.comparing import ComparedRuns, compare
from coverslip.pipeline.learn.configuration import resolved_preparation
from coverslip.pipeline.learn.learn_options import LearnOptions
from coverslip.pipeline.learn.runs import (
    TrainResult,
    evaluate,
    train,
    train_models,
)
from coverslip.pipeline.learn.trackers.hook import check_trackers
from coverslip.pipeline.learn.train_plan import TrainPlan
from coverslip.pipeline.predict.predicting import (
    draw_source,
    gather,
    open_model,
    predict_sources,
    write_predictions,
)
from coverslip.pipeline.prepare.folders import prepare_folders
from coverslip.pipeline.prepare.importing import export_pickles, import_pickles
from coverslip.pipeline.prepare.laying import lay
from coverslip.pipeline.prepare.preparation import Preparation
from coverslip.pipeline.prepare.preparing import prepare
from coverslip.pipeline.prepare.table import (
    FAILED,
    NO_PATCH,
    NO_TISSUE,
    SlideTable,
    tell_failure,
)
from coverslip.pipeline.report.reporting import ReportResult, report
from coverslip.tables import read_csv


def tissue(slides: Sequence[Path], preparation: Preparation) -> SlideTable:
    """Find the tissue of slides; see `lay`."""
    return lay(slides, preparation, patches=False)


def patches(slides: Sequence[Path], preparation: Preparation) -> SlideTable:
    """Lay patches over the tissue of slides; see `lay`."""
    return lay(slides, preparation)


def features(slides: Sequence[Path], preparation: Preparation) -> SlideTable:
    """Extract the features of slides, with tissue and patches first; see `prepare`."""
    return prepare(slides, preparation)


def features_from_patches(
    folders: Sequence[Path], preparation: Preparation
) -> SlideTable:
    """Extract features from folders of patch images, one folder a slide.

    A folder without images stands for the folders in it; see `prepare_folders`.
    """
    return prepare_folders(folders, preparation)


@dataclass(frozen=True)
class PredictResult:
    """What `predict` or `heatmap` made.

    Attributes:
        out: The table, or the folder of pictures.
        rows: Status by slide: "ok", "no tissue", "no patch", or the error.
        pictures: Heatmaps, when they were drawn.
    """

    out: Path
    rows: Mapping[str, str]
    pictures: tuple[Path, ...] = ()

    @property
    def failed(self) -> tuple[str, ...]:
        """The slides that did not come through."""
        sound = {"ok", NO_TISSUE, NO_PATCH}
        return tuple(k for k, status in self.rows.items() if status not in sound)

    @property
    def bare(self) -> tuple[str, ...]:
        """The slides without tissue, or without a patch of it."""
        bare = {NO_TISSUE, NO_PATCH}
        return tuple(k for k, status in self.rows.items() if status in bare)


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
        or ("ok" if p is not None and p.probabilities is not None else source.bare)
        for source, p in said
    }
    return PredictResult(out, rows)


def heatmap(
    model: Path,
    inputs: Sequence[Path],
    out: Path,
    preparation: Preparation,
    only: Sequence[str] = (),
    *,
    annotations: Path | None = None,
) -> PredictResult:
    """Draw where the model looked on each slide, and write every patch's scores.

    Args:
        model: A run folder or model file.
        inputs: Slides or folders of slides, or a study.
        out: Folder of the pictures and tables.
        preparation: For raw slides: where and how fast they are prepared.
        only: Slide ids to draw; all when empty.
        annotations: Folder of annotations named after the slides, to be outlined.

    Raises:
        DataError: Model or inputs cannot be used at all, or an id is unknown.
        OutputError: A picture cannot be written.
    """
    network, card = open_model(model, preparation.options.features.device)
    sources = gather(inputs, card, preparation, only)
    rows: dict[str, str] = {}
    pictures = []
    for source, bag, prediction in predict_sources(
        network, card, sources, quiet=preparation.quiet
    ):
        if bag is None or prediction is None:
            rows[source.slide_id] = source.error
            continue
        try:
            picture = draw_source(
                source, bag, prediction, card, out, annotations=annotations
            )
        except (SlideError, DataError) as error:
            tell_failure(str(error))
            rows[source.slide_id] = str(error)
            continue
        rows[source.slide_id] = "ok" if picture else source.bare
        pictures += [picture] if picture else []
    return PredictResult(out, rows, tuple(pictures))


@dataclass(frozen=True)
class RunResult:
    """What `run` made: the table of slides, the training, heatmaps and the report.

    Attributes:
        table: The slides.
        trained: The run.
        pictures: Heatmaps of the slides kept apart.
        report: The report; None where none could be made.
    """

    table: SlideTable
    trained: TrainResult
    pictures: tuple[Path, ...]
    report: ReportResult | None = None


def run(
    slides: Sequence[Path],
    labels: Path | None,
    preparation: Preparation,
    options: LearnOptions | None = None,
    plan: TrainPlan | None = None,
    *,
    annotations: Path | None = None,
) -> RunResult:
    """Do everything: slides and labels in; a judged model, heatmaps and a report out.

    Every stage keeps what is complete, so the same call after an interruption goes on.

    Args:
        slides: Slides, or folders of slides.
        labels: CSV `slide_id,label`; None takes labels from names.
        preparation: How slides are prepared, and the study for it all.
        options: Which model, and how.
        plan: On which split.
        annotations: Folder of annotations named after the slides, to be outlined.

    Raises:
        DataError: No slide could be prepared; or as `features`, `train`, `heatmap`.
    """
    plan = plan or TrainPlan()
    if labels is not None:
        read_labels(labels)  # a wrong table is better told of before an hour of work
    check_trackers(plan.trackers)
    table = features(slides, preparation)
    failed = table.with_status(FAILED)
    if len(failed) == len(table.asked):
        raise DataError(f"{table.path}: no slide could be prepared: see column error")
    plan = replace(
        plan,
        features=preparation.features_folder,
        command="run",
        prepared=resolved_preparation(slides, preparation, annotations),
    )
    trained = train(preparation.out, labels, options, plan)
    tested = [
        row["slide_id"]
        for row in read_csv(trained.models[0].parent / "predictions.csv")
        if row["split"] == "test" and row["slide_id"] not in failed
    ]
    drawn: tuple[Path, ...] = ()
    if tested:
        drawn = heatmap(
            trained.models[0],
            [preparation.out],
            preparation.study.root / "heatmaps",
            preparation,
            tested,
            annotations=annotations,
        ).pictures
    return RunResult(table, trained, drawn, reported(preparation, trained))


def reported(preparation: Preparation, trained: TrainResult) -> ReportResult | None:
    """Write the report of a run that is done; what is wrong with it is told only."""
    try:
        return report(
            preparation.out,
            trained.folder.name,
            device=preparation.options.features.device,
            quiet=preparation.quiet,
        )
    except (DataError, SlideError, MismatchError) as error:
        tell_failure(f"no report: {error}")
        return None


__all__ = [
    "ComparedRuns",
    "PredictResult",
    "ReportResult",
    "RunResult",
    "TrainPlan",
    "TrainResult",
    "compare",
    "evaluate",
    "export_pickles",
    "features",
    "features_from_patches",
    "heatmap",
    "import_pickles",
    "patches",
    "predict",
    "report",
    "reported",
    "run",
    "tissue",
    "train",
    "train_models",
]
