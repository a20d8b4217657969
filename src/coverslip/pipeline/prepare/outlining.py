"""The tissue of one slide of a study: kept, found, or taken from a mask that was given."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import cv2

from coverslip import store
from coverslip.errors import DataError, DuplicateSlideError, OptionError
from coverslip.pipeline.prepare.preparation import Preparation
from coverslip.prepare.geojson import read_tissue_geojson
from coverslip.prepare.outlines import unpacked
from coverslip.prepare.thumbnail import draw_outlines, thumbnail_mpp
from coverslip.prepare.tissue import (
    Tissue,
    find_tissue,
    read_mask_image,
    tissue_from_mask,
    tissue_from_outlines,
)
from coverslip.slides.fingerprint import fingerprint
from coverslip.slides.overview import read_overview
from coverslip.slides.slide import Slide

MASK_SUFFIXES = (".geojson", ".geojson.gz", ".json", ".png", ".tif", ".tiff")


def check_masks(preparation: Preparation, paths: Sequence[Path]) -> None:
    """Refuse one mask for several slides.

    Raises:
        OptionError: There are several, and a file of a mask was given.
    """
    if preparation.masks is not None and preparation.masks.is_file() and len(paths) > 1:
        raise OptionError(
            f"{preparation.masks}: one mask for {len(paths)} slides: give a folder with "
            "a mask named after each"
        )


def ensure_tissue(slide: Slide, preparation: Preparation) -> Tissue:
    """Return a slide's tissue, found before or now."""
    if (kept := kept_tissue(slide, preparation)) is not None:
        return kept
    tissue = make_tissue(slide, preparation)
    with store.writing(preparation.study.thumbnail(slide.slide_id)) as part:
        part.write_bytes(thumbnail(slide, tissue))
    tissue.facts["slide"] = fingerprint(slide.path)
    tissue.save(preparation.study.tissue(slide.slide_id))
    return tissue


def kept_tissue(slide: Slide, preparation: Preparation) -> Tissue | None:
    """Return the tissue that the study holds of a slide.

    Raises:
        DuplicateSlideError: It is another slide's, of the same name.
        ParametersDifferError: It was found with other options, or at another scale.
    """
    path = preparation.study.tissue(slide.slide_id)
    if not path.exists():
        return None
    tissue, mark = Tissue.load(path), fingerprint(slide.path)
    if tissue.facts.get("slide", mark) != mark:
        raise DuplicateSlideError(
            f"{slide.path}: the study holds another slide of the same name: rename "
            "the file, or use another study folder"
        )
    known = {**tissue.facts, "l0_mpp": tissue.l0_mpp}
    asked = _asked(preparation, mask_of(slide.slide_id, preparation.masks))
    store.check_same(path, known, {**asked, "l0_mpp": slide.l0_mpp})
    return tissue


def make_tissue(slide: Slide, preparation: Preparation) -> Tissue:
    """Find a slide's tissue, or take the mask that was given for it.

    Raises:
        DataError: There is no mask for it, or it cannot be used.
        SlideError: As `find_tissue`.
    """
    options = preparation.options.tissue
    mask = mask_of(slide.slide_id, preparation.masks)
    if mask is None:
        return find_tissue(slide, options)
    asked = _asked(preparation, mask)
    if unpacked(mask).suffix.lower() in {".geojson", ".json"}:
        outlines = read_tissue_geojson(mask)
        return tissue_from_outlines(slide, outlines, options.mask_mpp, asked)
    return tissue_from_mask(
        slide, read_mask_image(mask, slide, options.mask_mpp), asked
    )


def thumbnail(slide: Slide, tissue: Tissue) -> bytes:
    """Return a JPEG of the slide with the tissue outlined."""
    picture, _ = read_overview(slide, thumbnail_mpp(slide))
    drawn = cv2.cvtColor(draw_outlines(picture, tissue), cv2.COLOR_RGB2BGR)
    return bytes(cv2.imencode(".jpg", drawn)[1].tobytes())


def mask_of(slide_id: str, masks: Path | None) -> Path | None:
    """Return the mask that somebody made for a slide, if masks were given.

    Raises:
        DataError: There is none for this slide.
    """
    if masks is None or masks.is_file():
        return masks
    for suffix in MASK_SUFFIXES:
        if (masks / f"{slide_id}{suffix}").is_file():
            return masks / f"{slide_id}{suffix}"
    raise DataError(
        f"{masks}: no mask for {slide_id}: name it {slide_id}.geojson or {slide_id}.png"
    )


def digest(path: Path) -> str:
    """Return a digest of a file's content."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def _asked(preparation: Preparation, mask: Path | None) -> store.Facts:
    """Return what tissue on disk must have been made with."""
    return {
        "options": preparation.options.tissue.facts(),
        "source": "otsu" if mask is None else f"{mask.name} {digest(mask)}",
    }
