"""STAMP's two tables: what is known of patients, and which slides are whose."""

from collections.abc import Sequence
from pathlib import Path

from coverslip.errors import DataError, LabelError
from coverslip.learn.labels import Row
from coverslip.tables import read_csv, write_csv

CLINI, SLIDES = "clini.csv", "slide.csv"
PATIENT, FILENAME, LABEL = "PATIENT", "FILENAME", "label"


def write_stamp_tables(out: Path, rows: Sequence[Row]) -> tuple[list[Path], list[str]]:
    """Write `clini.csv` (`PATIENT,label`) and `slide.csv` (`PATIENT,FILENAME`).

    STAMP labels patients: one whose slides have several labels is left out.

    Returns:
        The tables, and the patients left out.
    """
    labels: dict[str, set[str]] = {}
    for row in rows:
        labels.setdefault(row.case_id, set()).add(row.label)
    torn = sorted(case for case, own in labels.items() if len(own) > 1)
    kept = [row for row in rows if row.case_id not in torn]
    clini, slides = out / CLINI, out / SLIDES
    patients = {row.case_id: row.label for row in kept}
    write_csv(
        clini,
        [PATIENT, LABEL],
        ({PATIENT: case, LABEL: label} for case, label in sorted(patients.items())),
    )
    # STAMP groups neighbours: slides of one patient stand together
    ordered = sorted(kept, key=lambda row: (row.case_id, row.slide_id))
    write_csv(
        slides,
        [PATIENT, FILENAME],
        ({PATIENT: r.case_id, FILENAME: f"{r.slide_id}.h5"} for r in ordered),
    )
    return [clini, slides], torn


def read_stamp_tables(
    clini: Path, slides: Path, target: str | None = None
) -> list[Row]:
    """Read labels of slides from STAMP's tables.

    Args:
        clini: Table with `PATIENT` and labels.
        slides: Table with `PATIENT` and `FILENAME`.
        target: Column of the label; the only one beside `PATIENT` when not given.

    Raises:
        LabelError: A column is missing, or must be named.
    """
    patient, filename = PATIENT.lower(), FILENAME.lower()
    try:
        people = read_csv(clini, [patient])
        files = read_csv(slides, [patient, filename])
    except DataError as error:
        raise LabelError(str(error)) from None
    if not people:
        return []
    columns = [name for name in people[0] if name and name != patient]
    column = target.lower() if target else LABEL
    if target is None and column not in columns and len(columns) == 1:
        column = columns[0]
    if column not in columns:
        raise LabelError(
            f"{clini}: no column {column} (there are {', '.join(columns)}): name the "
            "label's with --target"
        )
    label_of = {row[patient]: row[column] for row in people}
    return [
        Row(Path(row[filename]).stem, label_of[row[patient]], row[patient])
        for row in files
        if label_of.get(row[patient])
    ]
