"""Calibrate an encoder in int8 on patches of the study that it is to encode."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from coverslip import store
from coverslip.errors import DataError, SlideError
from coverslip.pipeline.prepare.preparation import Preparation
from coverslip.prepare.patches import Patches
from coverslip.slides.reading import read_patch
from coverslip.slides.slide import RGB

if TYPE_CHECKING:  # it loads torch
    from coverslip.prepare.encoders.encoder import Encoder

CALIBRATION = "calibration.npz"
"""Beside the features of a study in int8: the patches that its ranges were chosen on."""

CALIBRATING = 32
"""How many patches that is, at most."""

CANDIDATES = 256
"""How many patches they are chosen from, about."""


def keep_calibration(
    preparation: Preparation, paths: Sequence[Path], path: Path
) -> None:
    """Keep patches from slides all over the study, to choose the ranges of int8 on.

    Of some hundred those are taken that differ most in colour, so that what is rare
    lies within the ranges. They lie beside the features, so that what is added later is
    made with the same ranges; patches that were kept before stay.

    Args:
        preparation: The study's.
        paths: Its slides, patches laid.
        path: The file, `calibration_of` the study.

    Raises:
        DataError: No slide has a patch that can be read.
    """
    if path.exists():
        return
    found = [p for p in paths if _laid(preparation, p) is not None]
    chosen = spread_over(found, CANDIDATES)
    rng = np.random.default_rng(0)
    patches = [
        patch
        for place in chosen
        for patch in _some_patches(
            preparation, place, -(-CANDIDATES // len(chosen)), rng
        )
    ]
    if not patches:
        raise DataError(
            f"{preparation.out}: no patch to calibrate int8 on: use --precision fp32"
        )
    with store.writing(path) as part, part.open("wb") as file:
        np.savez_compressed(file, patches=most_different(np.stack(patches)))


def calibrate(encoder: "Encoder", kept: Path) -> None:
    """Choose an encoder's ranges of int8 on patches that a study keeps."""
    with np.load(kept) as file:
        encoder.calibrate(file["patches"])


def calibration_of(preparation: Preparation) -> Path | None:
    """Return where a study keeps patches to calibrate on; None where it needs none."""
    if preparation.options.features.precision != "int8":
        return None
    return preparation.features_folder / CALIBRATION


def spread_over(found: Sequence[Path], count: int) -> list[Path]:
    """Return at most so many, evenly from the first to the last."""
    places = np.linspace(0, len(found) - 1, min(len(found), count)).astype(int)
    return [found[place] for place in places]


def most_different(patches: RGB, count: int = CALIBRATING) -> RGB:
    """Return patches (N, H, W, 3) that differ most: each is farthest from those before.

    The first is the most ordinary one. What counts is mean and spread of the colours.
    """
    pixels = patches.reshape(len(patches), -1, 3)
    colours = np.concatenate([pixels.mean(axis=1), pixels.std(axis=1)], axis=1)
    distance = ((colours - colours.mean(axis=0)) ** 2).sum(axis=1)
    chosen = [int(distance.argmin())]
    distance = np.full(len(patches), np.inf)
    while len(chosen) < min(count, len(patches)):
        away = ((colours - colours[chosen[-1]]) ** 2).sum(axis=1)
        distance = np.minimum(distance, away)
        chosen.append(int(distance.argmax()))
    return patches[chosen]


def _laid(preparation: Preparation, path: Path) -> Patches | None:
    """Return a slide's patches, if there are any."""
    target = preparation.patching.patches(store.slide_id_of(path))
    patches = Patches.load(target) if target.exists() else None
    return patches if patches is not None and len(patches) else None


def _some_patches(
    preparation: Preparation, path: Path, count: int, rng: np.random.Generator
) -> list[RGB]:
    """Read some patches of a slide; none if it cannot be read, which is told later."""
    patches = _laid(preparation, path)
    if patches is None:
        return []
    drawn = rng.choice(len(patches), min(count, len(patches)), replace=False)
    reduce = preparation.options.features.reduce
    try:
        with preparation.scales.open(path) as slide:
            return [
                read_patch(slide, (int(x), int(y)), patches.scale, reduce)
                for x, y in patches.coords[drawn]
            ]
    except SlideError:
        return []
