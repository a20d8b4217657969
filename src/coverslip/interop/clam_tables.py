"""CLAM's tables: a data set `case_id,slide_id,label`, and three files for each split."""

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from coverslip.errors import LabelError
from coverslip.learn.labels import Row, class_order
from coverslip.learn.split_files import read_splits
from coverslip.learn.splits import SUBSETS, Split
from coverslip.tables import write_csv

DATASET, SPLITS = "dataset.csv", "splits"


def write_clam_tables(
    out: Path, rows: Sequence[Row], splits: Sequence[Split]
) -> list[Path]:
    """Write `dataset.csv`, and of each split i `splits/splits_i.csv` and two more.

    `splits_i_bool.csv` says it slide by slide, `splits_i_descriptor.csv` counts classes.
    """
    dataset = out / DATASET
    table = (
        {"case_id": r.case_id, "slide_id": r.slide_id, "label": r.label} for r in rows
    )
    write_csv(dataset, ["case_id", "slide_id", "label"], table)
    written = [dataset]
    for number, split in enumerate(splits):
        stem = f"{SPLITS}/splits_{number}"
        tables = {
            "": _columns(split),
            "_bool": _bool(split),
            "_descriptor": _counts(split, rows),
        }
        for ending, cells in tables.items():
            path = out / f"{stem}{ending}.csv"
            write_csv(path, ["", *SUBSETS], cells)
            written.append(path)
    return written


def read_clam_splits(place: Path, rows: Sequence[Row]) -> list[Split]:
    """Read one file of splits, or the files `splits_0.csv`, `splits_1.csv`, ... .

    Raises:
        LabelError: There is none, or one of them is no split of these slides.
    """
    if place.is_file():
        return read_splits(place, rows).splits
    found = {
        int(told[1]): path
        for path in place.glob("splits_*.csv")
        if (told := re.fullmatch(r"splits_(\d+)\.csv", path.name))
    }
    if not found:
        raise LabelError(f"{place}: no splits_0.csv in it: check the path")
    return [read_splits(path, rows).splits[0] for _, path in sorted(found.items())]


def _columns(split: Split) -> list[dict[str, object]]:
    by_subset = {s: [k for k, where in split.items() if where == s] for s in SUBSETS}
    longest = max(map(len, by_subset.values()))
    return [
        {"": number}
        | {s: ids[number] if number < len(ids) else "" for s, ids in by_subset.items()}
        for number in range(longest)
    ]


def _bool(split: Split) -> list[dict[str, object]]:
    in_turn = [(k, where) for s in SUBSETS for k, where in split.items() if where == s]
    return [{"": k} | {s: where == s for s in SUBSETS} for k, where in in_turn]


def _counts(split: Split, rows: Sequence[Row]) -> list[dict[str, object]]:
    counts = Counter((row.label, split.get(row.slide_id)) for row in rows)
    classes = class_order(row.label for row in rows)
    return [{"": name} | {s: counts[name, s] for s in SUBSETS} for name in classes]
