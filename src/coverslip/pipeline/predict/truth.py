"""What is known of the lesions of many slides: annotations, and labels where none are.

A slide with an annotation file has the lesions drawn there. One without counts as normal
only if it is labelled so; every other one is left out, by name and with the reason.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from shapely import MultiPolygon, Polygon

from coverslip.errors import DataError
from coverslip.learn.labels import Labels, Row, read_labels
from coverslip.learn.names import join_key
from coverslip.prepare.annotations import read_annotations
from coverslip.prepare.outlines import unpacked

SUFFIXES = {".xml", ".json", ".geojson", ".tif", ".tiff", ".png"}
"""Files that `read_annotations` takes."""

NOTHING_DRAWN = "positive, but nothing is drawn in its annotation"
DRAWN_ON = "labelled negative, but lesions are drawn on it"
NOT_ANNOTATED = "positive, but it has no annotation"
UNKNOWN = "neither annotation nor label"


@dataclass(frozen=True)
class Truth:
    """Where the truth about lesions lies.

    Attributes:
        annotations: Folder of files named after the slides, case regardless.
        labels: CSV `slide_id,label`; the first class is the negative one.
    """

    annotations: Path
    labels: Path | None = None


@dataclass(frozen=True)
class Known:
    """What is known of some slides.

    Attributes:
        regions: Tumour in level-0 pixels by slide id; None on a normal slide.
        cases: The case of each labelled slide.
        left_out: Why others cannot count.
    """

    regions: Mapping[str, Polygon | MultiPolygon | None]
    cases: Mapping[str, str]
    left_out: Mapping[str, str]


def know(truth: Truth, slide_ids: Iterable[str]) -> Known:
    """Find what is known of slides.

    Raises:
        DataError: The folder is missing, or two files are named after one slide.
        LabelError: The labels cannot be read.
    """
    files = annotation_files(truth.annotations)
    labels = None if truth.labels is None else read_labels(truth.labels)
    rows = {} if labels is None else {join_key(k): r for k, r in labels.rows.items()}
    regions: dict[str, Polygon | MultiPolygon | None] = {}
    cases: dict[str, str] = {}
    left_out: dict[str, str] = {}
    for slide_id in slide_ids:
        row = rows.get(join_key(slide_id))
        try:
            path = files.get(join_key(slide_id))
            region = None if path is None else read_annotations(path).region
        except DataError as error:
            left_out[slide_id] = str(error)
            continue
        drawn = None if region is None else region.area > 0
        if reason := _fault(_is_positive(labels, row), drawn=drawn):
            left_out[slide_id] = reason
            continue
        regions[slide_id] = region if drawn else None
        if row is not None:
            cases[slide_id] = row.case_id
    return Known(regions, cases, left_out)


def annotation_files(folder: Path) -> dict[str, Path]:
    """Return the annotation files of a folder by the key of the slide they name.

    Raises:
        DataError: It is no folder, or two files are named after one slide.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder: give the one of the annotations")
    files: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        plain = unpacked(path)
        if plain.suffix.lower() in SUFFIXES and not path.name.startswith("."):
            other = files.setdefault(join_key(plain.stem), path)
            if other != path:
                raise DataError(
                    f"{path}: {other.name} is named after the same slide: keep one"
                )
    return files


def _is_positive(labels: Labels | None, row: Row | None) -> bool | None:
    return None if labels is None or row is None else row.label != labels.classes[0]


def _fault(positive: bool | None, *, drawn: bool | None) -> str:
    """Say why a slide cannot count; nothing when it can. None is what nobody said."""
    if drawn:
        return DRAWN_ON if positive is False else ""
    if positive:
        return NOT_ANNOTATED if drawn is None else NOTHING_DRAWN
    return UNKNOWN if positive is None and drawn is None else ""
