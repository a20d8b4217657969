"""Splits on disk: ours, and CLAM's `train,val,test` columns of slide ids."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from coverslip.errors import Complain, DataError, LabelError, refuse
from coverslip.learn.labels import Row
from coverslip.learn.names import join_key
from coverslip.learn.splits import (
    SUBSETS,
    Split,
    Subset,
    check_cases,
    in_order,
    subset_of,
)
from coverslip.tables import read_csv, write_csv


@dataclass(frozen=True)
class SplitsFile:
    """What a file of splits says about the labelled slides.

    Attributes:
        splits: One split, or one for each fold.
        unknown: Ids in the file that are no labelled slide; they are left out.
        unplaced: Labelled slides that no split of the file places.
    """

    splits: list[Split]
    unknown: tuple[str, ...]
    unplaced: tuple[str, ...]


def write_splits(path: Path, splits: Sequence[Split], rows: Iterable[Row]) -> None:
    """Write one split as the column `split`, several as `fold_0`, `fold_1`, ..."""
    names = ["split"] if len(splits) == 1 else [f"fold_{i}" for i in range(len(splits))]
    table = (
        {"slide_id": row.slide_id, "case_id": row.case_id, "label": row.label}
        | {
            name: split.get(row.slide_id)
            for name, split in zip(names, splits, strict=True)
        }
        for row in sorted(rows, key=lambda row: row.slide_id)
    )
    write_csv(path, ["slide_id", "case_id", "label", *names], table)


def read_splits(
    path: Path, rows: Iterable[Row], complain: Complain = refuse
) -> SplitsFile:
    """Read what `write_splits` wrote, or CLAM's `train,val,test` columns of slide ids.

    Args:
        path: The CSV file.
        rows: The labelled slides; ids are matched as with labels.
        complain: Told of a slide or a case that is in two subsets.

    Raises:
        LabelError: The file has neither layout, a cell is no subset, or the file knows
            none of the slides; and what nobody is told of.
    """
    rows = list(rows)
    slide_of = {join_key(row.slide_id): row.slide_id for row in rows}
    splits: list[Split] = []
    unknown: set[str] = set()
    for places in _places(path):
        split: Split = {}
        for written, subset in places:
            slide_id = slide_of.get(join_key(written))
            if slide_id is None:
                unknown.add(written)
            elif split.setdefault(slide_id, subset) != subset:
                complain(
                    LabelError(
                        f"{path}: slide {slide_id!r} is in both {split[slide_id]} and "
                        f"{subset}: keep it in one"
                    )
                )
        splits.append(split)
    if not any(splits):
        example = min(unknown, default="")
        raise LabelError(
            f"{path}: places none of the {len(rows)} labelled slides (an id in it: "
            f"{example!r}): write the slide ids as the labels do"
        )
    for split in splits:
        check_cases(split, rows, complain)
    unplaced = {row.slide_id for row in rows}.difference(*splits)
    ordered = [in_order(split) for split in splits]
    return SplitsFile(ordered, tuple(sorted(unknown)), tuple(sorted(unplaced)))


def _places(path: Path) -> list[list[tuple[str, Subset]]]:
    """Return, for each split in the file, slide ids and their subsets."""
    try:
        cells = read_csv(path)
    except DataError as error:
        raise LabelError(str(error)) from None
    columns = list(cells[0]) if cells else []
    folds = [name for name in columns if re.fullmatch(r"split|fold_\d+", name)]
    if "slide_id" in columns and folds:
        return [
            [
                (row["slide_id"], subset_of(row[fold], f"{path}, {row['slide_id']}"))
                for row in cells
                if row.get(fold)
            ]
            for fold in folds
        ]
    if "train" in columns and "slide_id" not in columns:
        return [[(row[s], s) for row in cells for s in SUBSETS if row.get(s)]]
    raise LabelError(
        f"{path}: no split in it (columns: {', '.join(columns) or 'none'}): it needs "
        "slide_id with split or fold_0, fold_1, ..., or CLAM's train,val,test"
    )
