"""The labels of the test slides: `reference.csv`, a table without a header."""

import csv
import io
from collections.abc import Iterable
from pathlib import Path

from coverslip.cohorts.camelyon16.facts import (
    NORMAL,
    TUMOR,
    label_of_name,
    slide_name,
)
from coverslip.errors import DataError

NAME = "reference.csv"


def read_reference(files: Iterable[Path]) -> tuple[Path | None, dict[str, str]]:
    """Find the table of test labels among files, and read it.

    Returns:
        The file, and label by slide id in lower case; None and nothing without it.

    Raises:
        DataError: It is not the organisers' table, or two tables contradict each other.
    """
    tables = [path for path in files if path.name.lower() == NAME]
    if not tables:
        return None, {}
    labels = [_labels(path) for path in tables]
    for path, other in zip(tables[1:], labels[1:], strict=True):
        if other != labels[0]:
            raise DataError(
                f"{path}: other labels than {tables[0]}: keep the organisers' table"
            )
    return tables[0], labels[0]


def _labels(path: Path) -> dict[str, str]:
    """Read `id, Tumor or Normal, type, size`, one row a slide."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read ({error}): download it anew") from None
    labels: dict[str, str] = {}
    for row in csv.reader(io.StringIO(text)):
        cells = [cell.strip() for cell in row]
        if not any(cells):
            continue
        slide_id = slide_name(cells[0].removesuffix(".tif"))
        label = cells[1].lower() if len(cells) > 1 else ""
        if slide_id is None or label_of_name(slide_id) or label not in (NORMAL, TUMOR):
            raise DataError(
                f"{path}: {','.join(row)!r} is no row of CAMELYON16's reference "
                "(test_001,Tumor,IDC,Macro): download it anew"
            )
        if labels.setdefault(slide_id, label) != label:
            raise DataError(f"{path}: {slide_id} has two labels: download it anew")
    return labels
