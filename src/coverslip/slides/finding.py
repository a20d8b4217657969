"""Find slides by content, open them, and learn scales that the files do not say."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from coverslip.errors import (
    Complain,
    DataError,
    DuplicateSlideError,
    UnreadableSlideError,
    refuse,
)
from coverslip.geometry import Mpp
from coverslip.slides.openslide import OpenSlideSlide, is_slide
from coverslip.slides.slide import Slide
from coverslip.slides.tiled import open_tiled
from coverslip.store import slide_id_of
from coverslip.tables import read_csv

SLIDE_SUFFIXES = frozenset(
    [
        ".svs",
        ".tif",
        ".tiff",
        ".ndpi",
        ".scn",
        ".mrxs",
        ".vms",
        ".vmu",
        ".bif",
        ".svslide",
        ".czi",
        ".dcm",
    ]
)
"""A file that ends so is meant to be a slide, even when it cannot be opened."""


@dataclass(frozen=True)
class Scales:
    """Micrometres per pixel of level 0 that the user states.

    Attributes:
        missing: For every slide that does not say its scale.
        by_slide: For single slides, whatever they say; by file name or slide id, in
            lower case.
        table: Where those were read from.
    """

    missing: Mpp | None = None
    by_slide: Mapping[str, Mpp] = field(default_factory=dict)
    table: Path | None = None

    def open(self, path: Path) -> Slide:
        """Open a slide at the scale that was stated for it, if any."""
        by_id = self.by_slide.get(slide_id_of(path).lower())
        stated = self.by_slide.get(path.name.lower(), by_id)
        return open_slide(path, stated, self.missing)


def read_scales(path: Path, missing: Mpp | None = None) -> Scales:
    """Read a CSV `wsi,mpp` (file names or slide ids), as TRIDENT takes it.

    Raises:
        DataError: A column is missing or a scale is not a positive number.
    """
    by_slide = {}
    for row in read_csv(path, required=("wsi", "mpp")):
        try:
            mpp = float(row["mpp"])
        except ValueError:
            mpp = 0.0
        if not 0 < mpp < 1000:
            raise DataError(
                f"{path}: mpp of {row['wsi']} is {row['mpp']!r}: write micrometres "
                "per pixel, such as 0.25"
            )
        wsi = Path(row["wsi"])
        by_slide[wsi.name.lower()] = Mpp(mpp)
        if wsi.suffix.lower() in SLIDE_SUFFIXES:
            by_slide[slide_id_of(wsi).lower()] = Mpp(mpp)
    return Scales(missing, by_slide, path)


def open_slide(
    path: Path | str, l0_mpp: Mpp | None = None, missing_mpp: Mpp | None = None
) -> Slide:
    """Open a whole-slide image, to be decoded directly if its format allows.

    Args:
        path: The file.
        l0_mpp: Micrometres per pixel of level 0, overriding what the file says.
        missing_mpp: The same, only where the file does not say it.

    Raises:
        UnreadableSlideError: The file is missing, not a slide, or damaged.
    """
    reference = OpenSlideSlide(Path(path), l0_mpp, missing_mpp)
    return open_tiled(reference) or reference


def find_slides(places: Iterable[Path], complain: Complain = refuse) -> list[Path]:
    """Find the slides among files and folders (with their sub-folders).

    A folder is searched by content: whatever OpenSlide can open is a slide, and so is
    what is named like one, so that a broken file is reported rather than passed over.
    What is hidden is passed over. A DICOM slide of several files counts once. A file
    that is named is taken as it is: whether it can be opened shows later.

    Raises:
        DataError: No slide is there at all.
        DuplicateSlideError: Two slides have the same id; unless `complain` is told of
            it.
    """
    found: list[Path] = []
    places = [Path(place) for place in places]
    for place in places:
        if place.is_dir():
            files = (p for p in sorted(place.rglob("*")) if p.is_file())
            found += [p for p in files if not _hidden(p, place) and _meant(p)]
        else:
            found.append(place)
    if not found:
        named = ", ".join(map(str, places))
        raise DataError(f"{named}: no slide found: give slides or folders with slides")
    return _unique(_one_a_series(found), complain)


def _hidden(path: Path, place: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(place).parts)


def _meant(path: Path) -> bool:
    return path.suffix.lower() in SLIDE_SUFFIXES or is_slide(path)


def _one_a_series(paths: list[Path]) -> list[Path]:
    kept, seen = [], set()
    for path in paths:
        series = _series(path)
        if series is None or series not in seen:
            kept.append(path)
        seen.add(series)
    return kept


def _series(path: Path) -> str | None:
    """Return the DICOM series of a file; None for anything else, broken or not."""
    if path.suffix.lower() not in {".dcm", ""} or not is_slide(path):
        return None
    try:
        with OpenSlideSlide(path) as slide:
            return slide.series
    except UnreadableSlideError:
        return None


def _unique(paths: list[Path], complain: Complain) -> list[Path]:
    by_id: dict[str, Path] = {}
    for path in paths:
        other = by_id.setdefault(slide_id_of(path).lower(), path)
        if other is not path and other.resolve() != path.resolve():
            complain(
                DuplicateSlideError(
                    f"{path}: has the same slide id as {other}: rename one of them"
                )
            )
    return list(by_id.values())
