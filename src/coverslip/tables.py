"""Text tables: read as people save them, written whole."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path

from coverslip import store
from coverslip.errors import DataError


def write_csv(
    path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, object]]
) -> None:
    """Write a table whole; a missing cell stays empty."""
    with (
        store.writing(path) as part,
        part.open("w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.DictWriter(file, columns, restval="", extrasaction="ignore")
        writer.writeheader()
        writer.writerows(
            {k: "" if v is None else v for k, v in row.items()} for row in rows
        )


def read_csv(path: Path, required: Sequence[str] = ()) -> list[dict[str, str]]:
    """Read a table as text; names of columns are stripped and lower-cased.

    Args:
        path: A comma-, semicolon- or tab-separated file with a header.
        required: Columns that must be there.

    Returns:
        A dictionary a row; a cell that is missing at the end of a row is empty.

    Raises:
        DataError: The file is missing, empty, not text, lacks a column or has it twice,
            or a row has more cells than the header.
    """
    try:
        lines = _table(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise DataError(f"{path}: no such file: check the path") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(
            f"{path}: not a readable table ({error}): save it as CSV in UTF-8"
        ) from None
    if not lines:
        raise DataError(f"{path}: empty: it needs a header line and rows")
    names, body = [name.lower() for name in lines[0]], lines[1:]
    for fault, count in (("no", 0), ("more than one", 2)):
        if wrong := [name for name in required if min(names.count(name), 2) == count]:
            raise DataError(
                f"{path}: {fault} column {', '.join(wrong)}: its columns are "
                f"{', '.join(names)}"
            )
    if long := [row for row in body if any(row[len(names) :])]:
        raise DataError(
            f"{path}: more cells than the header has in {', '.join(long[0])}: put cells "
            "with separators in them in quotes"
        )
    return [dict(zip_longest(names, row[: len(names)], fillvalue="")) for row in body]


def _table(text: str) -> list[list[str]]:
    """Split a text table into stripped cells, without its empty rows."""
    header = next(filter(None, map(str.strip, text.splitlines())), "")
    separator = max(",;\t", key=header.count)
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    stripped = ([cell.strip() for cell in row] for row in rows)
    return [row for row in stripped if any(row)]
