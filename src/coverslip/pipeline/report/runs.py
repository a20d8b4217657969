"""What a report says of trainings: their curves, and the runs of a study side by side."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from coverslip.errors import DataError, LabelError
from coverslip.pipeline.judge.comparing import FIGURES, ComparedRuns, compare_tables
from coverslip.pipeline.predict.scoring import run_names
from coverslip.pipeline.report.seen import Seen, number
from coverslip.show.report import drawing, plots
from coverslip.show.report.facts import Plot, Table
from coverslip.tables import read_csv


def training_plot(folders: Mapping[str, Path], folder: Path) -> Plot:
    """Draw the training curves of a run, or of each of its folds and seeds.

    Args:
        folders: Where trainings lie, by name.
        folder: Takes the files.
    """
    title = "Training curves"
    logs: dict[str, list[dict[str, float]]] = {}
    for name, place in folders.items():
        if (place / "log.csv").is_file():
            logs[name] = [_numbers(row) for row in read_csv(place / "log.csv")]
    logs = {name: rows for name, rows in logs.items() if rows}
    if not logs:
        return Plot("training_curves", title, "", missing="No log of a training there.")
    losses = [  # the validation's is the last column of them
        column
        for column in next(iter(logs.values()))[0]
        if column.startswith("loss_") or column == "val_loss"
    ]
    table = tuple(
        (
            name,
            str(len(rows)),
            f"{max(rows, key=_area)['epoch']:.0f}",
            number(max(rows, key=_area).get("val_auc", math.nan)),
            *(number(rows[-1].get(loss, math.nan)) for loss in losses),
        )
        for name, rows in logs.items()
    )
    said = [plots.loss_name(loss) for loss in losses]
    columns = ("training", "epochs", "highest AUC at", "validation AUC", *said)
    return Plot(
        "training_curves",
        title,
        "Losses of training (of each part that is trained) and of validation, and the "
        "AUC on validation slides, epoch by epoch. The table has the last losses.",
        drawing.keep(plots.training(logs, losses), folder, "training_curves"),
        (Table("Trainings", columns, table, frozenset(range(1, len(columns)))),),
    )


def _area(row: Mapping[str, float]) -> float:
    area = row.get("val_auc", math.nan)
    return -1.0 if math.isnan(area) else area


def _numbers(row: Mapping[str, str]) -> dict[str, float]:
    found = {}
    for name, text in row.items():
        try:
            found[name] = float(text)
        except ValueError:
            found[name] = math.nan
    return found


def comparison_plot(study: Path, run: str, seen: Seen | None, folder: Path) -> Plot:
    """Draw all finished runs of a study beside the one that is reported.

    Args:
        study: The study folder.
        run: The run, which the others are compared with.
        seen: What that run says; None where nothing was judged.
        folder: Takes the files.
    """
    title = "Comparison of runs"
    done = run_names(study)
    others = [name for name in done if name != run]
    begun = {path.parent.name for path in (study / "runs").glob("*/config.json")}
    unfinished = ", ".join(sorted(begun.difference(done)))
    told = f" Not finished: {unfinished}." if unfinished else ""
    if not others:
        alone = () if seen is None else (_alone(run, seen),)
        return Plot("comparison", title, "", "", alone, f"The only finished run.{told}")
    places = [study / "runs" / name for name in (run, *sorted(others))]
    try:
        result, _ = compare_tables(places, folder, "test", places[0])
    except (DataError, LabelError) as error:
        return Plot("comparison", title, "", missing=f"Not comparable: {error}")
    figure = plots.comparison(result.aucs.rows(), result.aucs.reference)
    caption = (
        f"AUC on the {result.aucs.slides} slides kept apart that all runs share, and "
        f"its paired difference to {result.aucs.reference}, with 95 % intervals."
    )
    return Plot(
        "comparison",
        title,
        " ".join([caption, *(f"Note: {note}." for note in result.notes)]) + told,
        drawing.keep(figure, folder, "comparison"),
        (_compared(result),),
        broad=True,
    )


def _alone(run: str, seen: Seen) -> Table:
    figures = seen.outcomes.figures()
    cells = (run, str(len(seen.outcomes.slides)), number(figures["auc"]))
    columns = ("run", "slides", "AUC", *FIGURES.values())
    row = (*cells, *(number(figures[name]) for name in FIGURES))
    return Table("Runs", columns, (row,), frozenset(range(1, len(columns))))


def _compared(result: ComparedRuns) -> Table:
    columns = (
        "run",
        "AUC (95 % interval)",
        *FIGURES.values(),
        "difference (95 % interval)",
        "p",
        "p, Holm",
    )
    rows = []
    for row in result.rows:
        rest = (spanned(row, "difference"), number(row["p"]), number(row["p_holm"]))
        own = row["model"] == result.aucs.reference
        rows.append(
            (
                str(row["model"]),
                spanned(row, "auc"),
                *(number(row[name]) for name in FIGURES),
                *(("reference", "", "") if own else rest),
            )
        )
    return Table("Runs", columns, tuple(rows), frozenset(range(1, len(columns))))


def spanned(row: Mapping[str, Any], name: str) -> str:
    """Return a figure with the ends of its interval."""
    value, low, high = (number(row[f"{name}{end}"]) for end in ("", "_low", "_high"))
    return f"{value} ({low} to {high})"
