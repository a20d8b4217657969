"""CAMELYON16 as its organisers describe it: which slides there are, and which to leave.

    training   159 normal (001 to 160 without 086), 111 tumor (001 to 111)
    test       129 (001 to 130 without 049), labelled by `reference.csv`

Sources: the data set's own description (README of the organisers' download, and Litjens
et al. 2018, GigaScience 7:giy065); the challenge (Ehteshami Bejnordi et al. 2017, JAMA
318:2199). The slides missing from DTFD-MIL's features are as seen in its release.
"""

import re
from collections.abc import Iterable

NORMAL, TUMOR = "normal", "tumor"
"""The two labels."""

CENTER_MPP = {"0": 0.243, "1": 0.226}
"""Level-0 um per pixel of the two hospitals' scanners, by the number of the hospital."""


def _named(kind: str, last: int, without: int = 0) -> tuple[str, ...]:
    return tuple(f"{kind}_{n:03d}" for n in range(1, last + 1) if n != without)


NORMAL_IDS = _named("normal", 160, without=86)
TUMOR_IDS = _named("tumor", 111)
TRAINING_IDS = NORMAL_IDS + TUMOR_IDS
TEST_IDS = _named("test", 130, without=49)
ALL_IDS = TRAINING_IDS + TEST_IDS

LEFT_OUT = {
    "normal_086": "misclassified: the organisers renamed it tumor_111",
    "test_049": "a duplicate: the organisers removed it from both tasks",
}
"""Slides that older copies hold and nobody may count, and why."""

NO_LESION_TRUTH = {"test_114": "not exhaustively annotated"}
"""Test slides that count for slide figures, not for lesion figures, and why."""

INCOMPLETE_OUTLINES = tuple(
    f"tumor_{n:03d}"
    for n in (
        *(10, 15, 18, 20, 25, 29, 33, 34, 44, 46),
        *(51, 54, 55, 56, 67, 79, 85, 92, 95, 110),
    )
)
"""Training slides whose outlines miss lesions. Their slide label is sound; what lies
outside their outlines must not be taken for normal tissue."""

NOT_IN_DTFD = ("test_114", "test_124")
"""Test slides that DTFD-MIL's released features lack: papers that use those features
report on the other 127."""

_NAME = re.compile(r"(normal|tumor|test)_(\d{3})", re.IGNORECASE)


def slide_name(stem: str) -> str | None:
    """Return the id that a file name stands for, in lower case; None for other files."""
    return stem.lower() if _NAME.fullmatch(stem) else None


def label_of_name(slide_id: str) -> str:
    """Return the label of a training slide; empty for a test slide."""
    kind = slide_id.partition("_")[0]
    return kind if kind in (NORMAL, TUMOR) else ""


def spans(slide_ids: Iterable[str]) -> str:
    """Write ids shortly: `normal_001 to normal_085, test_004`.

    Ids are in the data set's own order, so normal_085 and normal_087 are neighbours.
    """
    place = {slide_id: i for i, slide_id in enumerate(ALL_IDS)}
    runs: list[list[str]] = []
    for slide_id in sorted(slide_ids, key=lambda s: (place.get(s, len(place)), s)):
        follows = runs and place.get(runs[-1][-1], -2) + 1 == place.get(slide_id, -1)
        same_kind = follows and runs[-1][-1][:4] == slide_id[:4]
        if same_kind:
            runs[-1].append(slide_id)
        else:
            runs.append([slide_id])
    return ", ".join(
        run[0] if len(run) == 1 else f"{run[0]} to {run[-1]}" for run in runs
    )
