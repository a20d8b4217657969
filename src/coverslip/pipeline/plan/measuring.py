"""How fast this machine is, measured for a second: on a slide's patches, and on noise."""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from coverslip.errors import CoverslipError
from coverslip.learn.loading import Labelled
from coverslip.learn.models.zoo import build
from coverslip.learn.training import Trainer
from coverslip.pipeline.learn.learn_options import LearnOptions
from coverslip.pipeline.plan.findings import Findings
from coverslip.pipeline.prepare.calibrating import (
    CALIBRATING,
    calibrate,
    calibration_of,
)
from coverslip.pipeline.prepare.preparation import Preparation
from coverslip.prepare.encoders.published import check_reachable
from coverslip.prepare.encoders.registry import to_download
from coverslip.prepare.features import Features, extract_features
from coverslip.prepare.patches import Patches
from coverslip.slides.reading import read_patch

if TYPE_CHECKING:  # it loads torch
    from coverslip.prepare.encoders.encoder import Encoder

SECOND = 1.0
"""Seconds that are measured, at least."""

FIRST = 16
"""Patches that are encoded before the clock starts: some runtimes compile then."""

MOST_IN_BAG = 20_000
"""Patches of a bag that a training is measured on, at most."""


def encoder_here(preparation: Preparation, found: Findings) -> "Encoder | None":
    """Load the encoder of a run, unless it would have to be downloaded first.

    In int8 it has the ranges that the study keeps, if it keeps any.

    Args:
        preparation: Names it.
        found: Takes why it cannot be loaded.
    """
    features = preparation.options.features
    try:
        if (url := to_download(features.encoder, features.weights)) is None:
            encoder, kept = features.load(), calibration_of(preparation)
            if kept is not None and kept.exists():
                calibrate(encoder, kept)
            return encoder
        check_reachable(url)
    except CoverslipError as error:
        found.add("error", "encoder", f"{error}: without it no time can be told")
        return None
    found.add(
        "note",
        "encoder",
        f"{features.encoder}: its weights are not on this machine: the run downloads "
        f"{url} first; to have the time told, download it and give it with --weights",
    )
    return None


def patches_a_second(
    path: Path, patches: Patches, encoder: "Encoder", preparation: Preparation
) -> float:
    """Measure how many patches of a slide are read and encoded in a second, here.

    Args:
        path: The slide.
        patches: Its patches.
        encoder: Which encodes them; in int8 it is calibrated on some of them, unless
            it was before.
        preparation: How they are read.

    Raises:
        SlideError, DataError, EncoderError: As `extract_features`.
    """
    options = preparation.options.features
    if options.precision == "int8" and encoder.calibration is None:
        with preparation.scales.open(path) as slide:
            encoder.calibrate(
                np.stack(
                    [
                        read_patch(
                            slide, (int(x), int(y)), patches.scale, options.reduce
                        )
                        for x, y in patches.coords[:CALIBRATING]
                    ]
                )
            )

    def encode(start: int, count: int) -> int:
        rows = slice(start % len(patches), start % len(patches) + count)
        some = replace(
            patches,
            coords=patches.coords[rows],
            tissue_share=patches.tissue_share[rows],
        )
        with preparation.scales.open(path) as slide:
            return len(extract_features(slide, some, encoder, options))

    done = encode(0, FIRST)
    spent, encoded, count = 0.0, 0, FIRST
    while spent < SECOND:
        start = time.perf_counter()
        more = encode(done, count)
        spent += time.perf_counter() - start
        done, encoded, count = done + more, encoded + more, 2 * count
    return encoded / spent


def seconds_an_epoch(
    options: LearnOptions, dim: int, patches: float
) -> tuple[float, float]:
    """Measure how long an epoch takes for a slide, here, on noise.

    Args:
        options: Which model, and how it is trained.
        dim: Length of a feature.
        patches: Patches of a slide, in the mean.

    Returns:
        Seconds for a slide that trains, and for one that validates.
    """
    rng = np.random.default_rng(0)
    size = max(1, min(round(patches), MOST_IN_BAG))
    bags = [
        Labelled(_noise(f"noise_{label}", (size, dim), rng), label) for label in (0, 1)
    ]
    training = options.training.replace(epochs=1_000_000, patience=None)
    seed = training.seed
    model = build(options.model, dim, len(bags), options.of_model(), seed)
    trainer = Trainer(model, bags, bags, training)
    passing = _measured(lambda: trainer.pass_over(0))
    rows = trainer.epochs()
    whole = _measured(lambda: next(rows))
    scale = max(1.0, patches) / size / len(bags)
    return passing * scale, max(0.0, whole - passing) * scale


def _noise(name: str, shape: tuple[int, int], rng: np.random.Generator) -> Features:
    features = rng.standard_normal(shape, np.float32).astype(np.float16)
    return Features(name, features, None, {})


def _measured(work: Callable[[], object]) -> float:
    """Return the seconds that work takes: of several times, but for the first."""
    spent, times = 0.0, 0
    start = time.perf_counter()
    work()
    first = time.perf_counter() - start
    if first > SECOND:
        return first
    while spent < SECOND / 2:
        start = time.perf_counter()
        work()
        spent, times = spent + time.perf_counter() - start, times + 1
    return spent / times
