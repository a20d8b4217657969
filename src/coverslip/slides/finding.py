"""Find slides by content, open them, and learn scales that the files do not say."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from coverslip.errors import DataError, DuplicateSlideError
from coverslip.geometry import Mpp
from coverslip.slides.openslide import OpenSlideSlide, is_slide
from coverslip.slides.slide import Slide
from coverslip.store import read_csv, slide_id_of

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
        by_slide: For single slides, by lower-case slide id, whatever they say.
    """

    missing: Mpp | None = None
    by_slide: Mapping[str, Mpp] = field(default_factory=dict)

    def open(self, path: Path) -> Slide:
        """Open a slide at the scale that was stated for it, if any."""
        stated = self.by_slide.get(slide_id_of(path).lower())
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
        name = Path(row["wsi"]).name
        known = Path(name).suffix.lower() in SLIDE_SUFFIXES
        by_slide[(slide_id_of(Path(name)) if known else name).lower()] = Mpp(mpp)
    return Scales(missing, by_slide)


def open_slide(
    path: Path | str, l0_mpp: Mpp | None = None, missing_mpp: Mpp | None = None
) -> Slide:
    """Open a whole-slide image.

    Args:
        path: The file.
        l0_mpp: Micrometres per pixel of level 0, overriding what the file says.
        missing_mpp: The same, only where the file does not say it.

    Raises:
        UnreadableSlideError: The file is missing, not a slide, or damaged.
    """
    return OpenSlideSlide(Path(path), l0_mpp, missing_mpp)


def find_slides(places: Iterable[Path]) -> list[Path]:
    """Find the slides among files and folders (with their sub-folders).

    A folder is searched by content: whatever OpenSlide can open is a slide, and so is
    what is named like one, so that a broken file is reported rather than passed over.
    A DICOM slide of several files counts once.

    Raises:
        DataError: A place does not exist, or no slide is there at all.
        DuplicateSlideError: Two slides have the same id.
    """
    found: list[Path] = []
    places = [Path(place) for place in places]
    for place in places:
        if place.is_dir():
            files = (p for p in sorted(place.rglob("*")) if p.is_file())
            found += [p for p in files if not p.name.startswith(".") and _meant(p)]
        else:
            found.append(place)
    if not found:
        named = ", ".join(map(str, places))
        raise DataError(f"{named}: no slide found: give slides or folders with slides")
    return _unique(_one_a_series(found))


def _meant(path: Path) -> bool:
    return path.suffix.lower() in SLIDE_SUFFIXES or is_slide(path)


def _one_a_series(paths: list[Path]) -> list[Path]:
    kept, seen = [], set()
    for path in paths:
        if path.suffix.lower() in {".dcm", ""} and is_slide(path):
            with OpenSlideSlide(path) as slide:
                series = slide.series
            if series is not None and series in seen:
                continue
            seen.add(series)
        kept.append(path)
    return kept


def _unique(paths: list[Path]) -> list[Path]:
    by_id: dict[str, Path] = {}
    for path in paths:
        other = by_id.setdefault(slide_id_of(path).lower(), path)
        if other is not path and other.resolve() != path.resolve():
            raise DuplicateSlideError(
                f"{path}: has the same slide id as {other}: rename one of them"
            )
    return list(by_id.values())
