"""Labels and splits that go along with features into another format."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from coverslip.errors import DataError, LabelError
from coverslip.interop.clam_tables import (
    DATASET,
    SPLITS,
    read_clam_splits,
    write_clam_tables,
)
from coverslip.interop.stamp_tables import (
    CLINI,
    SLIDES,
    read_stamp_tables,
    write_stamp_tables,
)
from coverslip.interop.torchmil import LABELS, read_array, write_array
from coverslip.learn.labels import Labels, Row, class_order, join, read_labels
from coverslip.learn.names import join_key
from coverslip.learn.split_files import write_splits
from coverslip.learn.splits import Split
from coverslip.tables import write_csv

OWN_LABELS, OWN_SPLITS = "labels.csv", "splits.csv"
"""Tables beside features, where a format has none of its own."""


@dataclass(frozen=True)
class Tables:
    """Where labels and splits are to be found.

    Attributes:
        labels: CSV `slide_id,label`; of STAMP the table of patients.
        slide_table: STAMP's table of slides.
        target: Column of the label in STAMP's table of patients.
        splits: A file of splits, or CLAM's folder of them.
        run: The run of a study whose labels and splits go along; the latest when not
            given.
    """

    labels: Path | None = None
    slide_table: Path | None = None
    target: str | None = None
    splits: Path | None = None
    run: str | None = None


@dataclass(frozen=True)
class Gathered:
    """Labels and splits that were found.

    Attributes:
        source: Where, for messages.
        rows: Labelled slides; they need not be those that are converted.
        splits: One, or one for each fold.
        notes: What could not be taken.
    """

    source: str
    rows: Sequence[Row] = ()
    splits: Sequence[Split] = ()
    notes: tuple[str, ...] = ()


def gather_tables(source: Path, kind: str, tables: Tables) -> Gathered:
    """Read the labels and splits that the user names, or else what the source holds.

    Raises:
        LabelError: A table that was named cannot be read.
        DataError: There is no such run.
    """
    notes: tuple[str, ...] = ()
    try:
        rows, splits = _in_source(source, kind, tables)
    except LabelError as error:  # nobody asked for these
        rows, splits, notes = [], [], (f"labels and splits were left out: {error}",)
    if tables.labels is not None:
        if tables.slide_table is not None:
            rows = read_stamp_tables(tables.labels, tables.slide_table, tables.target)
        else:
            rows = list(read_labels(tables.labels).rows.values())
    if tables.splits is not None:
        splits = read_clam_splits(tables.splits, rows)
    return Gathered(str(tables.labels or source), rows, splits, notes)


def bring_tables(
    found: Gathered, out: Path, to: str, slides: Sequence[str], mine: Sequence[str] = ()
) -> tuple[list[Path], list[str]]:
    """Write the labels and splits of some slides as a format has them.

    Args:
        found: The labels and splits.
        out: The folder that is written.
        to: Its format.
        slides: The slides that were converted.
        mine: Tables in `out` that may be written over.

    Returns:
        The tables, and notes.

    Raises:
        LabelError: None of the slides is labelled.
    """
    notes = [*found.notes]
    first = {"clam": DATASET, "stamp": CLINI}.get(to, OWN_LABELS)
    if (out / first).exists() and first not in mine:
        told = f"{out / first} is there already: labels and splits were left out"
        return [], [*notes, told]
    if not found.rows:
        return [], [*notes, "no labels went along: name a table with --labels"]
    labels = Labels(found.source, {row.slide_id: row for row in found.rows}, ())
    rows = sorted(join(labels, slides).matched.values(), key=lambda row: row.slide_id)
    ids = {join_key(row.slide_id): row.slide_id for row in rows}
    placed: list[Split] = [
        {ids[join_key(k)]: s for k, s in split.items() if join_key(k) in ids}
        for split in found.splits
    ]
    if to == "clam":
        return write_clam_tables(out, rows, placed), [*notes, *_ids_like_numbers(rows)]
    written = _write_own(out, rows, placed, arrays=to == "torchmil")
    if to == "stamp":
        own, torn = write_stamp_tables(out, rows)
        written = [*own, *written]
        if placed:
            notes.append("STAMP draws its own splits, and passes over splits.csv")
        if torn:
            notes.append(f"patients with several labels left out: {', '.join(torn)}")
    return written, notes


def _in_source(
    source: Path, kind: str, tables: Tables
) -> tuple[list[Row], list[Split]]:
    if kind == "study" and (found := _of_run(source, tables.run)):
        return found
    labels = source / (DATASET if kind == "clam" else OWN_LABELS)
    if not labels.exists():
        return _without_own(source, kind, tables), []
    rows = list(read_labels(labels).rows.values())
    splits = source / (SPLITS if kind == "clam" else OWN_SPLITS)
    return rows, read_clam_splits(splits, rows) if splits.exists() else []


def _without_own(source: Path, kind: str, tables: Tables) -> list[Row]:
    """Return labels as the other program keeps them, where no table of ours is there."""
    clini, slides = source / CLINI, source / SLIDES
    if kind == "stamp" and clini.exists() and slides.exists():
        return read_stamp_tables(clini, slides, tables.target)
    return _of_arrays(source / LABELS) if kind == "torchmil" else []


def _of_run(study: Path, name: str | None) -> tuple[list[Row], list[Split]] | None:
    """Return the labels and splits of a run, of a cross-validated one those of its folds.

    Raises:
        DataError: There is no such run.
    """
    from coverslip.pipeline.scoring import run_names  # it loads torch

    try:
        names = run_names(study)
    except DataError:
        if name is not None:
            raise
        return None
    if name is not None and name not in names:
        raise DataError(
            f"{study / 'runs' / name}: no finished run: choose from {names}"
        )
    folder = study / "runs" / (name or names[-1])
    own = folder / "splits.csv"
    folds = sorted(
        folder.glob("fold_*/splits.csv"), key=lambda p: int(p.parent.name[5:])
    )
    files = [own] if own.exists() else folds
    if not files:
        return None
    rows = list(read_labels(files[0]).rows.values())
    return rows, [read_clam_splits(path, rows)[0] for path in files]


def _of_arrays(folder: Path) -> list[Row]:
    """Return the labels of torchmil's arrays: numbers of classes."""
    arrays = {path.stem: read_array(path) for path in sorted(folder.glob("*.npy"))}
    return [
        Row(name, f"{array.ravel()[0]:g}", name)
        for name, array in arrays.items()
        if array.size
    ]


def _write_own(
    out: Path, rows: Sequence[Row], splits: Sequence[Split], *, arrays: bool
) -> list[Path]:
    labels = out / OWN_LABELS
    cells = (
        {"slide_id": r.slide_id, "case_id": r.case_id, "label": r.label} for r in rows
    )
    write_csv(labels, ["slide_id", "case_id", "label"], cells)
    written = [labels]
    if splits:
        write_splits(out / OWN_SPLITS, splits, rows)
        written.append(out / OWN_SPLITS)
    if arrays:
        classes = class_order(row.label for row in rows)
        for row in rows:
            number = np.array([classes.index(row.label)], np.int64)
            write_array(out / LABELS / f"{row.slide_id}.npy", number)
    return written


def _ids_like_numbers(rows: Sequence[Row]) -> list[str]:
    if not all(row.slide_id.isdigit() for row in rows):
        return []
    told = "all slide ids are numbers, and CLAM reads numbers without leading zeros"
    return [told]
