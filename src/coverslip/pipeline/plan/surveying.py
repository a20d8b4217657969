"""Look at slides before anything is made of them: can each be used, how much is on it.

Every slide is opened, its scale checked, and a few pixels are decoded in its corners;
on a sample the tissue is found and patches are laid, as a run would. Nothing is written.
"""

import json
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from tqdm import tqdm

from coverslip.errors import (
    Complain,
    CoverslipError,
    ParametersDifferError,
    UnreadableSlideError,
)
from coverslip.pipeline.engine import Engine, Item, LocalEngine, Outcome, Result
from coverslip.pipeline.plan.findings import Findings, few
from coverslip.pipeline.prepare.laying import kept_patches
from coverslip.pipeline.prepare.outlining import (
    check_masks,
    kept_tissue,
    make_tissue,
    mask_of,
    thumbnail,
)
from coverslip.pipeline.prepare.preparation import Preparation
from coverslip.prepare.patches import Patches, lay_grid, lay_patches
from coverslip.slides.finding import find_slides
from coverslip.slides.fingerprint import fingerprint
from coverslip.slides.slide import Slide
from coverslip.store import slide_id_of

SAMPLE = 20
"""Slides on which tissue is found, unless another number is asked for."""

PROBE = 16
"""Side in pixels of what is decoded in each corner."""


@dataclass(frozen=True)
class Look:
    """What was seen of a slide that can be used.

    Attributes:
        slide_id: The slide.
        path: Its file.
        squares: Places of the grid; each may become a patch.
        mark: Digest of the file's content.
        kept: The patches that the study holds of it already.
        conflict: Why what the study holds of it cannot be kept.
    """

    slide_id: str
    path: Path
    squares: int
    mark: str
    kept: Patches | None = None
    conflict: str = ""


@dataclass(frozen=True)
class Laid:
    """The patches of one slide of the sample.

    Attributes:
        look: The slide.
        patches: Its patches.
        bare: Whether it has no tissue at all.
        size: Bytes that outlines, thumbnail and coordinates take on disk.
    """

    look: Look
    patches: Patches
    bare: bool
    size: int


@dataclass(frozen=True)
class Survey:
    """What was seen of a cohort's slides.

    Attributes:
        paths: All slides that were found.
        looks: Those that can be used, by slide id.
        sample: Those of them whose patches were laid now.
        seconds: Time for a slide's tissue and patches; None without a sample.
    """

    paths: tuple[Path, ...]
    looks: dict[str, Look]
    sample: tuple[Laid, ...]
    seconds: float | None

    @property
    def kept(self) -> list[Look]:
        """The slides whose patches the study holds."""
        return [look for look in self.looks.values() if look.kept is not None]

    @property
    def unseen(self) -> list[Look]:
        """The slides whose patches were neither kept nor laid now."""
        seen = {laid.look.slide_id for laid in self.sample}
        return [
            look
            for look in self.looks.values()
            if look.kept is None and look.slide_id not in seen
        ]


def survey(
    places: Sequence[Path],
    preparation: Preparation,
    found: Findings,
    sample: int,
    seed: int,
) -> Survey:
    """Look at every slide, and lay the patches of some.

    Args:
        places: Slides, or folders of slides.
        preparation: How they would be prepared, and into which study.
        found: Takes what is wrong with them.
        sample: On how many slides patches are laid, at most.
        seed: Draws them.
    """
    complain = found.listing("slides")
    try:
        paths = find_slides([Path(place) for place in places], complain)
        paths = _there(paths, complain)
        check_masks(preparation, paths)
    except CoverslipError as error:
        complain(error)
        return Survey((), {}, (), None)
    if not paths:
        return Survey((), {}, (), None)
    engine = _engine_of(preparation)
    looks: dict[str, Look] = {}
    looked = engine.run(partial(look_at, preparation), paths)
    failed: dict[Path, str] = {}
    for outcome in _shown(looked, len(paths), "slides", preparation):
        if outcome.result is None:
            failed[outcome.item] = str(outcome.error)
        else:
            looks[outcome.result.slide_id] = outcome.result
    looks = {key: looks[key] for key in sorted(looks)}
    if conflicts := [look for look in looks.values() if look.conflict]:
        names = [look.slide_id for look in conflicts]
        found.add("error", "study", conflicts[0].conflict, names)
    free = [look for look in looks.values() if look.kept is None]
    rng = np.random.default_rng(seed)
    drawn = rng.choice(len(free), min(sample, len(free)), replace=False)
    start, laid = time.perf_counter(), []
    tries = engine.run(partial(lay, preparation), [free[i] for i in sorted(drawn)])
    for tried in _shown(tries, len(drawn), "tissue of a sample", preparation):
        if tried.result is None:
            failed[tried.item.path] = str(tried.error)
            del looks[tried.item.slide_id]
        else:
            laid.append(tried.result)
    spent = time.perf_counter() - start
    laid.sort(key=lambda one: one.look.slide_id)
    _tell_failed(failed, found)
    _tell_bare(laid, found)
    return Survey(tuple(paths), looks, tuple(laid), spent / len(laid) if laid else None)


def _there(paths: Sequence[Path], complain: Complain) -> list[Path]:
    """Return the files that exist; of the others it is told."""
    for path in paths:
        if not path.exists():
            complain(UnreadableSlideError(f"{path}: no such file: check the path"))
    return [path for path in paths if path.exists()]


def look_at(preparation: Preparation, path: Path) -> Look:
    """Look at one slide.

    Raises:
        SlideError: It cannot be opened or decoded, does not say its scale, is too
            coarse or too small, or the study holds another slide of its name.
        DataError: Masks were given, and there is none for it.
    """
    slide_id, conflict = slide_id_of(path), ""
    with preparation.scales.open(path) as slide:
        mask_of(slide_id, preparation.masks)
        _, l0_xs, l0_ys = lay_grid(slide, slide.bounds, preparation.options.patches)
        _probe(slide)
        try:
            there = kept_tissue(slide, preparation) is not None
            kept = kept_patches(slide_id, preparation) if there else None
        except ParametersDifferError as error:
            kept, conflict = None, str(error)
    squares = len(l0_xs) * len(l0_ys)
    return Look(slide_id, path, squares, fingerprint(path), kept, conflict)


def lay(preparation: Preparation, look: Look) -> Laid:
    """Find the tissue of one slide and lay its patches; keep nothing on disk.

    Raises:
        SlideError, DataError: As when it is prepared.
    """
    with preparation.scales.open(look.path) as slide:
        tissue = make_tissue(slide, preparation)
        picture = thumbnail(slide, tissue)
        patches = lay_patches(slide, tissue, preparation.options.patches)
    outlines = json.dumps(tissue.geojson())
    stored = patches.coords.nbytes + patches.tissue_share.nbytes + HDF5
    size = len(picture) + len(outlines) + stored
    return Laid(look, patches, not tissue.outlines, size)


HDF5 = 8_000
"""Bytes of a file of coordinates or features beside its arrays, about."""


def _shown(
    outcomes: Iterable[Outcome[Item, Result]],
    total: int,
    title: str,
    preparation: Preparation,
) -> Iterable[Outcome[Item, Result]]:
    """Pass outcomes on and show how many have come."""
    shown: Iterable[Outcome[Item, Result]] = tqdm(
        outcomes, title, total, unit="slide", disable=preparation.quiet
    )
    return shown


def _engine_of(preparation: Preparation) -> Engine:
    """Return the engine, or this machine in a cluster's place: a look is short."""
    if preparation.engine.remote:
        return LocalEngine(os.cpu_count() or 1)
    return preparation.engine


def _probe(slide: Slide) -> None:
    """Decode a little of level 0 at both ends and in the middle of what was scanned.

    Raises:
        UnreadableSlideError: The file is cut off or damaged there.
    """
    box = slide.bounds
    for share in (0.0, 0.5, 1.0):
        l0_xy = (
            box.l0_x + int(share * max(0, box.l0_width - PROBE)),
            box.l0_y + int(share * max(0, box.l0_height - PROBE)),
        )
        slide.read(l0_xy, 0, (PROBE, PROBE))


def _tell_failed(failed: Mapping[Path, str], found: Findings) -> None:
    """Tell why slides cannot be used; of what several share, once."""
    alike: dict[str, list[Path]] = {}
    for path, error in sorted(failed.items()):
        alike.setdefault(error.removeprefix(f"{path}: "), []).append(path)
    for reason, paths in alike.items():
        names = [path.name for path in paths]
        whose = str(paths[0]) if len(paths) == 1 else f"{len(paths)} ({few(names)})"
        found.add("error", "slides", f"{whose}: {reason}", names)


def _tell_bare(laid: Sequence[Laid], found: Findings) -> None:
    bare = [one.look.slide_id for one in laid if one.bare]
    scant = [one.look.slide_id for one in laid if not one.bare and not len(one.patches)]
    if bare:
        found.add(
            "warning",
            "slides",
            f"no tissue is found on {len(bare)} of the {len(laid)} slides tried: look at "
            "them, and give masks with --mask if there is some",
            bare,
        )
    if scant:
        found.add(
            "warning",
            "slides",
            f"tissue, but no patch with enough of it, on {len(scant)} of the {len(laid)} "
            "slides tried: ask for a smaller --size or --threshold",
            scant,
        )
