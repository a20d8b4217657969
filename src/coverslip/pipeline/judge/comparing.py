"""Compare: how runs do on the slides they have in common, in one table and one figure.

Every figure is counted from the runs' `predictions.csv`; nothing is predicted anew.
Decisions are the runs' own, at thresholds that their validation chose.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coverslip import store
from coverslip.judge.comparison import COLUMNS as AUC_COLUMNS
from coverslip.judge.comparison import Comparison
from coverslip.judge.comparison import compare as compare_aucs
from coverslip.judge.metrics import null_for_nan
from coverslip.pipeline.judge.run_tables import RunTable, in_common, name_of, read_runs
from coverslip.show.judging_figures import draw_comparison
from coverslip.tables import write_csv

NAME = "comparison"
"""Of the folder that results go to when none is named, and of the files in it."""

FIGURES = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced acc.",
    "f1": "F1",
    "sensitivity": "sensitivity",
    "specificity": "specificity",
    "auprc": "AUPRC",
    "brier": "Brier",
    "ece": "ECE",
}
"""What is told of each run beside its AUC, and its name in the printed table."""


@dataclass(frozen=True)
class ComparedRuns:
    """What `compare` found.

    Attributes:
        folder: Where `comparison.csv`, `.json` and `.png` were written.
        subset: Which slides were compared.
        rows: One a run: `model`, figures, and the difference to the reference; NaN
            where a figure is undefined.
        aucs: The comparison of AUCs, with methods.
        notes: What should be known before the figures are believed.
    """

    folder: Path
    subset: str
    rows: tuple[Mapping[str, Any], ...]
    aucs: Comparison
    notes: tuple[str, ...]

    def markdown(self) -> str:
        """Return the table as Markdown, differences with interval and p values."""
        head = ["run", "AUC (95 % interval)", *FIGURES.values()]
        head += [f"AUC less {self.aucs.reference}'s", "p", "p, Holm"]
        lines = [head, ["---", *["---:"] * (len(head) - 1)]]
        lines += [_cells(row, row["model"] == self.aucs.reference) for row in self.rows]
        return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def compare(
    runs: Sequence[Path],
    out: Path | None = None,
    subset: str = "test",
    reference: Path | None = None,
) -> ComparedRuns:
    """Compare runs, slide by slide, with one of them.

    Args:
        runs: Two or more run folders (of one model, of seeds, or of folds), or tables of
            predictions. A folder of an earlier comparison is passed over.
        out: Folder for the results; `comparison` beside the first run when not given.
        subset: Which slides are compared: `test`, `val` or `train`.
        reference: The run that the others are compared with; the first when not given.
            Name it before looking: the best of many is flattered by being chosen.

    Raises:
        DataError: A run has no judged slides of the subset, or none are in common.
        LabelError: Two runs label a slide differently.
        OptionError: Fewer than two runs, one twice, or another reference.
    """
    runs = [run for run in runs if not (run / f"{NAME}.json").exists()]
    folder = out or (runs[0].resolve().parent if runs else Path()) / NAME
    result, tables = compare_tables(runs, folder, subset, reference)
    _write(result, tables)
    return result


def compare_tables(
    runs: Sequence[Path], folder: Path, subset: str, reference: Path | None = None
) -> tuple[ComparedRuns, list[RunTable]]:
    """Compare runs as `compare` does, and write nothing.

    Returns:
        What came out, and each run's table of the slides they share.
    """
    found = read_runs(runs, subset)
    against = None if reference is None else name_of(reference, found)
    tables, notes = in_common(found)
    first = tables[0].outcomes
    scores = {one.name: one.outcomes.scores for one in tables}
    aucs = compare_aucs(first.labels, scores, first.cases, against)
    rows = tuple(
        {**own, "n": aucs.slides, **_figures(table)}
        for own, table in zip(aucs.rows(), tables, strict=True)
    )
    return ComparedRuns(folder, subset, rows, aucs, tuple(notes)), tables


def _figures(table: RunTable) -> dict[str, float]:
    figures = table.outcomes.figures()
    return {name: figures[name] for name in FIGURES}


def _write(result: ComparedRuns, tables: Sequence[RunTable]) -> None:
    columns = [AUC_COLUMNS[0], "n", *AUC_COLUMNS[1:4], *FIGURES, *AUC_COLUMNS[4:]]
    rows = [{key: _text(value) for key, value in row.items()} for row in result.rows]
    write_csv(result.folder / f"{NAME}.csv", columns, rows)
    runs = [
        {"model": one.name, "predictions": str(one.path), **_figures(one)}
        for one in tables
    ]
    facts = {
        "subset": result.subset,
        "notes": list(result.notes),
        "runs": runs,
        "auc": result.aucs.facts(),
    }
    store.write_json(result.folder / f"{NAME}.json", null_for_nan(facts))
    draw_comparison(
        result.folder / f"{NAME}.png",
        result.aucs.rows(),
        result.aucs.reference,
        f"{result.subset}, {result.aucs.slides} slides of {result.aucs.cases} cases",
    )


def _text(value: object) -> object:
    if not isinstance(value, float):
        return value
    return f"{value:.6g}" if math.isfinite(value) else None


def _cells(row: Mapping[str, Any], is_reference: bool) -> list[str]:
    cells = [row["model"], _spanned(row, "auc", ".3f")]
    cells += [_plain(row[name]) for name in FIGURES]
    if is_reference:
        return [*cells, "reference", "", ""]
    return [
        *cells,
        _spanned(row, "difference", "+.3f"),
        _p(row["p"]),
        _p(row["p_holm"]),
    ]


def _spanned(row: Mapping[str, Any], name: str, how: str) -> str:
    value, low, high = (row[f"{name}{end}"] for end in ("", "_low", "_high"))
    if not math.isfinite(value):
        return "-"
    if not (math.isfinite(low) and math.isfinite(high)):
        return f"{value:{how}}"
    return f"{value:{how}} ({low:{how}} to {high:{how}})"


def _plain(value: float) -> str:
    return f"{value:.3f}" if math.isfinite(value) else "-"


def _p(value: float) -> str:
    if not math.isfinite(value):
        return "-"
    return "< 0.001" if value < 0.001 else f"{value:.3f}"
