"""Lay patches on a folder of slides, their tissue found first, into one study.

Each stage keeps what it finds complete and made with the same parameters, so that the
same command after an interruption redoes at most the slide in hand.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from tqdm import tqdm

from coverslip import store
from coverslip.pipeline.prepare.outlining import check_masks, digest, ensure_tissue
from coverslip.pipeline.prepare.preparation import Preparation
from coverslip.pipeline.prepare.table import NO_PATCH, NO_TISSUE, SlideTable
from coverslip.prepare.export import export_patches
from coverslip.prepare.patches import Patches, lay_patches
from coverslip.prepare.tissue import Tissue
from coverslip.slides.finding import find_slides
from coverslip.slides.slide import Slide


def lay(
    slides: Sequence[Path], preparation: Preparation, *, patches: bool = True
) -> SlideTable:
    """Find the tissue of many slides and lay their patches.

    Args:
        slides: Slides, or folders of slides.
        preparation: How, and where to.
        patches: Lay them; without, only tissue is found.

    Returns:
        The table of slides; a slide that failed says why.

    Raises:
        DataError: No slide was found.
        DuplicateSlideError: Two slides have the same id.
        ParametersDifferError: The study holds results of other options.
        OutputError: The study cannot be written.
    """
    paths = slides_asked(slides, preparation)
    table = SlideTable.open(preparation.study.slides_csv)
    lay_each(paths, preparation, table, patches=patches)
    table.write()
    return table


def slides_asked(slides: Sequence[Path], preparation: Preparation) -> list[Path]:
    """Return the slides among files and folders, if the masks given can be theirs.

    Raises:
        DataError: No slide was found.
        DuplicateSlideError: Two slides have the same id.
        OptionError: One mask was given for several slides.
    """
    paths = find_slides([Path(place) for place in slides])
    check_masks(preparation, paths)
    return paths


def lay_each(
    paths: Sequence[Path],
    preparation: Preparation,
    table: SlideTable,
    *,
    patches: bool = True,
) -> list[Path]:
    """Lay the patches of slides, note what became of each, return what went well."""
    table.write()
    task = partial(lay_slide, preparation, patches=patches)
    good = []
    bar = tqdm(
        total=len(paths),
        desc="tissue and patches",
        unit="slide",
        disable=preparation.quiet,
    )
    with bar:
        for outcome in preparation.engine.run(task, paths):
            if table.note_outcome(outcome):
                good.append(outcome.item)
            bar.update()
    return sorted(good, key=paths.index)


def lay_slide(
    preparation: Preparation, path: Path, *, patches: bool = True
) -> store.Facts:
    """Find the tissue of one slide and lay its patches, unless that is done.

    Returns:
        What the table of slides should know.
    """
    with preparation.scales.open(path) as slide:
        facts: store.Facts = {
            "path": str(path.absolute()),
            "width": slide.l0_size[0],
            "height": slide.l0_size[1],
            "mpp": slide.l0_mpp,
        }
        study, patching = preparation.study, preparation.patching
        with timed(facts, "seconds_tissue", made=study.tissue(slide.slide_id)):
            tissue = ensure_tissue(slide, preparation)
        facts["tissue_mm2"] = round(tissue.area_mm2, 3)
        bare = NO_PATCH if tissue.outlines else NO_TISSUE
        facts["status"] = "tissue" if tissue.outlines else NO_TISSUE
        if patches:
            target = patching.patches(slide.slide_id)
            with timed(facts, "seconds_patches", made=target):
                laid = ensure_patches(slide, tissue, preparation)
            if preparation.jpeg:
                folder = patching.root / "jpeg"
                export_patches(slide, laid.coords, laid.scale, folder)
            facts |= {
                "patches": len(laid),
                "mpp_asked": laid.scale.asked_mpp,
                "mpp_read": round(laid.scale.level_mpp, 6),
                "mpp_achieved": round(laid.scale.achieved_mpp, 6),
                "resample": round(laid.scale.resample, 6),
                "status": "patches" if len(laid) else bare,
            }
    return facts


def ensure_patches(slide: Slide, tissue: Tissue, preparation: Preparation) -> Patches:
    """Return a slide's patches, laid before or now."""
    if (kept := kept_patches(slide.slide_id, preparation)) is not None:
        return kept
    options = preparation.options.patches
    patches = lay_patches(slide, tissue, options)
    patches.facts["tissue_sha256"] = digest(preparation.study.tissue(slide.slide_id))
    patches.save(preparation.patching.patches(slide.slide_id), slide, options.overlap)
    return patches


def kept_patches(slide_id: str, preparation: Preparation) -> Patches | None:
    """Return the patches that the study holds of a slide.

    Raises:
        ParametersDifferError: They were laid with other options, or on other tissue.
    """
    path = preparation.patching.patches(slide_id)
    if not path.exists():
        return None
    patches = Patches.load(path)
    asked = {
        "options": preparation.options.patches.facts(),
        "tissue_sha256": digest(preparation.study.tissue(slide_id)),
    }
    store.check_same(path, patches.facts, asked)
    return patches


@contextmanager
def timed(facts: store.Facts, key: str, *, made: Path) -> Iterator[None]:
    """Note the seconds that a stage took, unless its file was there before."""
    kept, start = made.exists(), time.perf_counter()
    yield
    if not kept:
        facts[key] = round(time.perf_counter() - start, 3)
