"""Takes stock of a folder of CAMELYON16: which slides are there, and what is the matter.

The layout is found out, not asked for: the organisers' folders (training/normal,
training/tumor, testing/images), the flat one of the AWS mirror (images), or any other;
names in any capitalisation. Masks and the like are passed over.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from coverslip.cohorts.camelyon16.facts import (
    ALL_IDS,
    INCOMPLETE_OUTLINES,
    LEFT_OUT,
    NO_LESION_TRUTH,
    NORMAL,
    NOT_IN_DTFD,
    TEST_IDS,
    TRAINING_IDS,
    TUMOR,
    label_of_name,
    slide_name,
    spans,
)
from coverslip.cohorts.camelyon16.outlines import OutlineFile, outline_files
from coverslip.cohorts.camelyon16.reference import read_reference
from coverslip.cohorts.camelyon16.split import published_split
from coverslip.errors import DataError, DuplicateSlideError
from coverslip.tables import write_csv

FOLDER = "camelyon16"
"""In the study, and in a run: what belongs to this data set."""

Status = Literal["found", "missing", "left out"]

SLIDE_SUFFIXES = {".tif", ".tiff"}
NOT_SLIDES = ("mask", "annotation", "tissue", "evaluation")
"""Words in the name of a file or folder that holds no slides."""

NO_LABEL = "no row in reference.csv: without a label it tests nothing"
COLUMNS = (
    "slide_id",
    "split",
    "label",
    "center",
    "status",
    "remark",
    "path",
    "outlines",
)


@dataclass(frozen=True)
class Item:
    """One slide of CAMELYON16, at hand or not.

    Attributes:
        slide_id: In lower case, whatever the file's name.
        split: `train`, `val` or `test`; empty for a slide that is no longer in the set.
        label: `normal` or `tumor`; empty for a test slide without a reference.
        center: Hospital of a training slide, `0` or `1`.
        status: `found` and used, `missing`, or `left out` although it is there.
        remark: Why, or what is special about it.
        path: The file, when it is there.
        outlines: The file of its lesions, when there is one.
    """

    slide_id: str
    split: str
    label: str
    center: str
    status: Status
    remark: str = ""
    path: Path | None = None
    outlines: OutlineFile | None = None


@dataclass(frozen=True)
class Stock:
    """What a folder holds of CAMELYON16.

    Attributes:
        folder: Where it was looked for.
        items: Every slide of the set in the data set's order, then the left-out ones.
        reference: The table of test labels; None when it is not there.
        unexpected: Image files that are no slide of the set.
    """

    folder: Path
    items: tuple[Item, ...]
    reference: Path | None = None
    unexpected: tuple[Path, ...] = field(default=())

    def with_status(self, status: Status) -> tuple[Item, ...]:
        """Return the slides of one status."""
        return tuple(item for item in self.items if item.status == status)

    @property
    def used(self) -> dict[str, Item]:
        """The slides at hand that count, by id."""
        return {item.slide_id: item for item in self.with_status("found")}

    def facts(self) -> dict[str, object]:
        """Return how many slides are used, and which are not, JSON-ready."""
        return {
            "used": len(self.used),
            "left_out": {i.slide_id: i.remark for i in self.with_status("left out")},
            "missing": [i.slide_id for i in self.with_status("missing")],
        }

    def report(self) -> str:
        """Say what was found, missing and left out, and why."""
        lines = [f"{self.folder}: CAMELYON16", *_counts(self)]
        for item in self.with_status("left out"):
            lines.append(f"  left out: {item.slide_id}: {item.remark}")
        if missing := [item.slide_id for item in self.with_status("missing")]:
            lines.append(
                f"  missing: {len(missing)} of {len(ALL_IDS)}: {spans(missing)}"
            )
        lines += _outline_lines(self)
        if self.unexpected:
            named = ", ".join(str(path) for path in self.unexpected[:3])
            lines.append(f"  not of the set: {len(self.unexpected)} images ({named})")
        return "\n".join(lines)

    def write(self, path: Path) -> None:
        """Write the table, one row a slide."""
        write_csv(path, COLUMNS, map(_row, self.items))


def take_stock(folder: Path) -> Stock:
    """Find CAMELYON16's slides, labels and lesion outlines in a folder.

    Raises:
        DataError: The folder is not there, holds no slide of the set, or two files of
            labels contradict each other.
        DuplicateSlideError: Two files carry the name of one slide.
        CorruptFileError: A zip of outlines is damaged.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder: give the one that holds CAMELYON16")
    files = list(_walk(folder, set()))
    slides, unexpected = _slides(folder, files)
    if not slides:
        raise DataError(
            f"{folder}: no slide of CAMELYON16: their names are normal_001.tif to "
            "tumor_111.tif and test_001.tif to test_130.tif"
        )
    reference, test_labels = read_reference(files)
    outlines = outline_files(files)
    centers = published_split()
    items = []
    for slide_id in (*ALL_IDS, *(s for s in LEFT_OUT if s in slides)):
        place = centers.get(slide_id)
        split = place.split if place else "test" if slide_id in TEST_IDS else ""
        label = test_labels.get(slide_id) or label_of_name(slide_id)
        path = slides.get(slide_id)
        status, remark = _status(slide_id, label, path)
        center = place.center if place else ""
        drawn = outlines.get(slide_id)
        items.append(Item(slide_id, split, label, center, status, remark, path, drawn))
    return Stock(folder, tuple(items), reference, tuple(unexpected))


def _walk(folder: Path, seen: set[Path]) -> Iterator[Path]:
    """Give the files in a folder, through links, without hidden ones and their like."""
    if (real := folder.resolve()) in seen:
        return
    seen.add(real)
    for path in sorted(folder.iterdir()):
        if path.name.startswith((".", "__MACOSX")):
            continue
        if path.is_dir():
            yield from _walk(path, seen)
        elif path.is_file():
            yield path


def _slides(folder: Path, files: list[Path]) -> tuple[dict[str, Path], list[Path]]:
    """Return slides by id, and images that are none."""
    slides: dict[str, Path] = {}
    unexpected = []
    for path in files:
        within = "/".join(path.relative_to(folder).parts).lower()
        if path.suffix.lower() not in SLIDE_SUFFIXES or any(
            word in within for word in NOT_SLIDES
        ):
            continue
        slide_id = slide_name(path.stem)
        if slide_id is None or slide_id not in {*ALL_IDS, *LEFT_OUT}:
            unexpected.append(path)
            continue
        other = slides.setdefault(slide_id, path)
        if other.resolve() != path.resolve():
            raise DuplicateSlideError(
                f"{path}: the same slide as {other}: remove one, or give the folder of "
                "one copy"
            )
    return slides, unexpected


def _status(slide_id: str, label: str, path: Path | None) -> tuple[Status, str]:
    """Say whether a slide is used, and what is to be remarked about it."""
    if slide_id in LEFT_OUT:
        return "left out", LEFT_OUT[slide_id]
    if path is None:
        return "missing", ""
    if not label:
        return "left out", NO_LABEL
    remarks = []
    if slide_id in NO_LESION_TRUTH:
        remarks.append(f"{NO_LESION_TRUTH[slide_id]}: not in the lesion figures")
    if slide_id in INCOMPLETE_OUTLINES:
        remarks.append("outlines not exhaustive; its slide label is sound")
    if slide_id in NOT_IN_DTFD:
        remarks.append("not among the 127")
    return "found", "; ".join(remarks)


def _counts(stock: Stock) -> list[str]:
    """Say how many slides of each part are at hand."""
    counted = Counter((item.split, item.label) for item in stock.used.values())

    def line(title: str, total: int, splits: Mapping[str, str]) -> str:
        own = {key: n for key, n in counted.items() if key[0] in splits}
        shares = ", ".join(
            f"{sum(n for (s, name), n in own.items() if (s, name) == (split, label))} "
            f"{label}{words}"
            for split, words in splits.items()
            for label in (NORMAL, TUMOR)
        )
        return f"  {title}: {sum(own.values())} of {total} slides ({shares})"

    parts = {"train": " to train", "val": " to validate"}
    where = stock.reference or "no reference.csv: no test slide has a label"
    return [
        line("training", len(TRAINING_IDS), parts),
        line("test", len(TEST_IDS), {"test": ""}),
        f"  test labels: {where}",
    ]


def _outline_lines(stock: Stock) -> list[str]:
    """Say which tumour slides have no outlines, and which have some that miss lesions."""
    positive = [item for item in stock.used.values() if item.label == TUMOR]
    bare = [item.slide_id for item in positive if item.outlines is None]
    drawn = len(positive) - len(bare)
    lines = [f"  outlines: of {drawn} of {len(positive)} tumor slides"]
    if bare:
        lines[0] += f"; none of {spans(bare)}"
    if partly := [s for s in INCOMPLETE_OUTLINES if s in stock.used]:
        lines.append(f"  outlines not exhaustive in training: {spans(partly)}")
    if untrue := [s for s in NO_LESION_TRUTH if s in stock.used]:
        lines.append(
            f"  not in the lesion figures: {spans(untrue)} (not exhaustively annotated)"
        )
    return lines


def _row(item: Item) -> dict[str, object]:
    return {name: getattr(item, name) for name in COLUMNS}
