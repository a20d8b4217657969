"""Prepare a folder of slides: tissue, patches and features of each, into one study.

Each stage keeps what it finds complete and made with the same parameters, so that the
same command after an interruption redoes at most the slide in hand.
"""

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from coverslip import store
from coverslip.pipeline.engine import Outcome
from coverslip.pipeline.prepare.calibrating import (
    calibrate,
    calibration_of,
    keep_calibration,
)
from coverslip.pipeline.prepare.encoding import (
    advices,
    identity_there,
    same_encoder_here,
)
from coverslip.pipeline.prepare.outlining import check_masks, digest, ensure_tissue
from coverslip.pipeline.prepare.preparation import PREPARED, Preparation
from coverslip.pipeline.prepare.table import NO_PATCH, NO_TISSUE, SlideTable
from coverslip.prepare.export import export_patches
from coverslip.prepare.features import Progress, extract_features, features_made_with
from coverslip.prepare.patches import Patches, lay_patches
from coverslip.prepare.tissue import Tissue
from coverslip.slides.finding import find_slides
from coverslip.slides.slide import Slide

if TYPE_CHECKING:  # it loads torch
    from coverslip.prepare.encoders.encoder import Encoder


def prepare(
    slides: Sequence[Path], preparation: Preparation, *, upto: str = "features"
) -> SlideTable:
    """Find tissue, lay patches and extract features of many slides.

    Args:
        slides: Slides, or folders of slides.
        preparation: How, and where to.
        upto: Last stage to do: `tissue`, `patches` or `features`.

    Returns:
        The table of slides; a slide that failed says why.

    Raises:
        DataError: No slide was found.
        DuplicateSlideError: Two slides have the same id.
        EncoderError: The encoder cannot be loaded.
        ParametersDifferError: The study holds results of other options.
        OutputError: The study cannot be written.
    """
    paths = find_slides([Path(place) for place in slides])
    check_masks(preparation, paths)
    whole, encoder = upto == "features", None
    for advice in advices(preparation) if whole else ():
        tqdm.write(f"note: {advice}", file=sys.stderr)
    if whole and preparation.engine.remote:
        identity_there(preparation, calibrated=False)
    elif whole:
        encoder = preparation.options.features.load()
    table = SlideTable.open(preparation.study.slides_csv)
    table.write()
    lay = partial(lay_slide, preparation, patches=upto != "tissue")
    good = _each(preparation, lay, paths, table, "tissue and patches")
    if whole:
        _embed_all(preparation, encoder, good, table)
        facts = preparation.options.resolved().facts()
        store.write_json(preparation.features_folder / PREPARED, facts)
    table.write()
    return table


def _each(
    preparation: Preparation,
    task: Any,  # noqa: ANN401 - a callable on a path
    paths: Sequence[Path],
    table: SlideTable,
    title: str,
) -> list[Path]:
    """Run a task on slides, note what became of each, return those that went well."""
    good = []
    bar = tqdm(total=len(paths), desc=title, unit="slide", disable=preparation.quiet)
    with bar:
        for outcome in preparation.engine.run(task, paths):
            if _note(table, outcome):
                good.append(outcome.item)
            bar.update()
    return sorted(good, key=paths.index)


def _note(table: SlideTable, outcome: Outcome[Path, store.Facts]) -> bool:
    """Write down what became of a slide; say whether it went well."""
    path, slide_id = outcome.item, store.slide_id_of(outcome.item)
    if outcome.error is not None:
        table.note_failure(slide_id, path, outcome.error, outcome.trace)
        return False
    table.note(slide_id, outcome.result or {})
    return True


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
        with _timed(facts, "seconds_tissue", made=study.tissue(slide.slide_id)):
            tissue = ensure_tissue(slide, preparation)
        facts["tissue_mm2"] = round(tissue.area_mm2, 3)
        bare = NO_PATCH if tissue.outlines else NO_TISSUE
        facts["status"] = "tissue" if tissue.outlines else NO_TISSUE
        if patches:
            target = patching.patches(slide.slide_id)
            with _timed(facts, "seconds_patches", made=target):
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


def _embed_all(
    preparation: Preparation,
    encoder: "Encoder | None",
    paths: list[Path],
    table: SlideTable,
) -> None:
    """Extract features slide by slide: the encoder is the bottleneck, not the slides.

    Without an encoder here, each machine of the engine loads its own.
    """
    features = preparation.options.features
    counts = {p: int(str(table.rows[store.slide_id_of(p)]["patches"])) for p in paths}
    if (kept := calibration_of(preparation)) is not None:
        keep_calibration(preparation, paths, kept)
        if encoder is not None:
            calibrate(encoder, kept)
    bar = tqdm(
        total=sum(counts.values()),
        desc=f"features ({features.encoder})",
        unit="patch",
        disable=preparation.quiet,
    )
    with bar:
        if encoder is None:
            identity = identity_there(preparation, calibrated=True)
            task = partial(embed_there, preparation, identity)
        else:
            task = partial(embed_slide, preparation, encoder, progress=bar.update)
        outcomes = preparation.engine.run(task, paths, features.device)
        for done, outcome in enumerate(outcomes, start=1):
            _note(table, outcome)
            bar.update(counts[outcome.item] if encoder is None else 0)
            bar.set_postfix_str(f"{done}/{len(paths)} slides")


def embed_there(
    preparation: Preparation, identity: store.Facts, path: Path
) -> store.Facts:
    """Extract the features of one slide with the encoder of this process.

    Raises:
        EncoderError: This machine does not load the encoder that was promised.
    """
    return embed_slide(preparation, same_encoder_here(preparation, identity), path)


def embed_slide(
    preparation: Preparation,
    encoder: "Encoder",
    path: Path,
    progress: Progress | None = None,
) -> store.Facts:
    """Extract the features of one slide whose patches are laid, unless that is done.

    Returns:
        What the table of slides should know.
    """
    slide_id = store.slide_id_of(path)
    patches = Patches.load(preparation.patching.patches(slide_id))
    target = preparation.features_folder / f"{slide_id}.h5"
    status = {"status": "features"} if len(patches) else {}
    if features_kept(preparation, encoder, slide_id, patches):
        if progress is not None:
            progress(len(patches))
        return status
    facts: store.Facts = dict(status)
    with (
        _timed(facts, "seconds_features", made=target),
        preparation.scales.open(path) as slide,
    ):
        features = extract_features(
            slide, patches, encoder, preparation.options.features, progress
        )
        features.save(target)
        facts |= features.idle
    return facts


def features_kept(
    preparation: Preparation, encoder: "Encoder", slide_id: str, patches: Patches
) -> bool:
    """Say whether the study holds the features of a slide's patches.

    Raises:
        ParametersDifferError: They were made by another encoder, or of other patches.
    """
    target = preparation.features_folder / f"{slide_id}.h5"
    if not target.exists():
        return False
    asked = features_made_with(
        patches,
        encoder.identity(),
        preparation.options.patches.facts(),
        preparation.options.features.reduce,
    )
    store.check_same(target, store.read_facts(target), asked)
    return True


@contextmanager
def _timed(facts: store.Facts, key: str, *, made: Path) -> Iterator[None]:
    """Note the seconds that a stage took, unless its file was there before."""
    kept, start = made.exists(), time.perf_counter()
    yield
    if not kept:
        facts[key] = round(time.perf_counter() - start, 3)
