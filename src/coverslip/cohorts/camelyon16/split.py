"""A fixed split of CAMELYON16's 270 training slides: `split.csv` beside this file.

Slides of one label and one hospital make a stratum. Within it they are ordered by the
SHA-256 of `coverslip camelyon16 <slide_id>`, and the first fifth, rounded, validates.
No random number generator is needed to check it:

    printf 'coverslip camelyon16 normal_001' | sha256sum

The hospitals are those of FLamby's `metadata.csv` of CAMELYON16 (du Terrail et al. 2022,
column `hospital_corrected`). The organisers' 129 test slides are in no part of it.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from coverslip.cohorts.camelyon16.facts import TRAINING_IDS, label_of_name
from coverslip.errors import DataError
from coverslip.tables import read_csv, write_csv

SPLIT_CSV = Path(__file__).with_name("split.csv")
COLUMNS = ("slide_id", "label", "center", "split")
VAL_SHARE = 0.2


@dataclass(frozen=True)
class Place:
    """One training slide and its part of the split.

    Attributes:
        slide_id: In lower case.
        label: `normal` or `tumor`.
        center: Hospital, `0` or `1`.
        split: `train` or `val`.
    """

    slide_id: str
    label: str
    center: str
    split: Literal["train", "val"]


def published_split() -> dict[str, Place]:
    """Return the split that comes with this package, by slide id."""
    rows = read_csv(SPLIT_CSV, COLUMNS)
    return {row["slide_id"]: Place(**row) for row in rows}  # type: ignore[arg-type] # our own file


def deal(slides: Iterable[tuple[str, str, str]]) -> list[Place]:
    """Deal slides to training and validation as this module describes.

    Args:
        slides: (slide_id, label, center) of each, in any order.

    Returns:
        Their places, sorted by slide id.
    """
    strata: dict[tuple[str, str], list[str]] = {}
    for slide_id, label, center in slides:
        strata.setdefault((label, center), []).append(slide_id)
    places = []
    for (label, center), members in strata.items():
        drawn = sorted(members, key=_rank)
        cut = round(VAL_SHARE * len(drawn))
        places += [Place(s, label, center, "val") for s in drawn[:cut]]
        places += [Place(s, label, center, "train") for s in drawn[cut:]]
    return sorted(places, key=lambda place: place.slide_id)


def _rank(slide_id: str) -> str:
    return hashlib.sha256(f"coverslip camelyon16 {slide_id}".encode()).hexdigest()


def make_split_csv(flamby_metadata: Path, out: Path) -> None:
    """Write `split.csv` from FLamby's table of hospitals.

    Args:
        flamby_metadata: CSV with `slide_name` and `hospital_corrected`.
        out: The CSV to write.

    Raises:
        DataError: The table lacks a column or a training slide.
    """
    rows = read_csv(flamby_metadata, ("slide_name", "hospital_corrected"))
    centers = {
        Path(row["slide_name"]).stem.lower(): str(int(float(row["hospital_corrected"])))
        for row in rows
    }
    if lacking := [slide_id for slide_id in TRAINING_IDS if slide_id not in centers]:
        raise DataError(
            f"{flamby_metadata}: no hospital of {lacking[0]} and {len(lacking) - 1} "
            "others: take the table from FLamby as it is"
        )
    places = deal((s, label_of_name(s), centers[s]) for s in TRAINING_IDS)
    write_csv(out, COLUMNS, map(asdict, places))
