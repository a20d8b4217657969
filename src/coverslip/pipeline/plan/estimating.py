"""How much a run would make, and how long it would take on this machine.

Patches come from tissue that was found on a sample of the slides and go with the area
that was scanned (a ratio estimate, Cochran 1977, section 6); speed is measured.
"""

import math
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from coverslip import store
from coverslip.errors import CoverslipError, EncoderError
from coverslip.judge.intervals import LEVEL, student_quantile
from coverslip.learn.checkpoint import MODEL_FILE
from coverslip.pipeline.learn.folds import Part
from coverslip.pipeline.learn.learn_options import LearnOptions
from coverslip.pipeline.plan.findings import Findings
from coverslip.pipeline.plan.measuring import (
    encoder_here,
    patches_a_second,
    seconds_an_epoch,
)
from coverslip.pipeline.plan.surveying import HDF5, Survey
from coverslip.pipeline.prepare.preparation import Preparation
from coverslip.pipeline.prepare.preparing import features_kept
from coverslip.prepare.encoders.registry import card

if TYPE_CHECKING:  # it loads torch
    from coverslip.prepare.encoders.encoder import Encoder

HEATMAP = 3_500_000
"""Bytes of a slide's heatmap, gallery and table, about."""


@dataclass(frozen=True)
class Amount:
    """An estimate, with the ends of its 95 % interval; all the same where it is known."""

    low: float
    likely: float
    high: float

    def __add__(self, other: "Amount") -> "Amount":
        """Add what is estimated together: ends to ends."""
        return Amount(
            self.low + other.low, self.likely + other.likely, self.high + other.high
        )

    def times(self, factor: float) -> "Amount":
        """Return so many of it."""
        return Amount(self.low * factor, self.likely * factor, self.high * factor)


def exactly(value: float) -> Amount:
    """Return an amount that is known."""
    return Amount(value, value, value)


@dataclass(frozen=True)
class Estimate:
    """What a run would make, and how long it would take here; None where unknown.

    Attributes:
        patches: Of all slides.
        bytes: That the study will take, when all is done.
        there: Bytes that it takes now.
        free: Bytes that are free where it will lie.
        patches_a_second: Read and encoded, as measured.
        tissue: Seconds for tissue and patches.
        features: Seconds for features.
        training: Seconds for the trainings that are left, if none ends early.
    """

    patches: Amount | None = None
    bytes: Amount | None = None
    there: float = 0.0
    free: float | None = None
    patches_a_second: float | None = None
    tissue: float | None = None
    features: Amount | None = None
    training: float | None = None

    @property
    def seconds(self) -> Amount | None:
        """All of it; None where the features are unknown."""
        if self.features is None:
            return None
        return self.features + exactly((self.tissue or 0) + (self.training or 0))


def patches_of(survey: Survey) -> Amount:
    """Estimate how many patches a cohort's slides have.

    Known are those of the sample and those that the study holds. A slide's patches
    scatter around a common share of its grid; of a sample of one nothing is known of
    that, and the interval is everything that can be.
    """
    known = sum(len(look.kept) for look in survey.kept if look.kept is not None)
    return exactly(known) + unseen_patches(
        [one.look.squares for one in survey.sample],
        [len(one.patches) for one in survey.sample],
        [look.squares for look in survey.unseen],
    )


def unseen_patches(
    squares: Sequence[int], patches: Sequence[int], unseen: Sequence[int]
) -> Amount:
    """Estimate the patches of all slides from those of a sample drawn at random.

    Args:
        squares: Places of the grid on each slide of the sample.
        patches: Patches on each.
        unseen: Places of the grid on each of the other slides; without a sample, each
            may be a patch.
    """
    counted = sum(patches)
    if not unseen:
        return exactly(counted)
    most = counted + sum(unseen)
    if not squares:
        return Amount(counted, most, most)
    x, y = np.array(squares, float), np.array(patches, float)
    share, n = y.sum() / x.sum(), len(x)
    likely = counted + share * sum(unseen)
    if n < 2:
        return Amount(counted, likely, most)
    rest = len(unseen)
    scatter = math.sqrt(float(((y - share * x) ** 2).sum()) / (n - 1))
    error = scatter * math.sqrt(rest * (rest + n) / n)  # of the unseen ones' sum
    reach = student_quantile(LEVEL, n - 1) * error
    return Amount(max(counted, likely - reach), likely, min(most, likely + reach))


def disk_of(
    survey: Survey, study: store.Study, patches: Amount, dim: int, tested: int
) -> Amount:
    """Estimate the bytes that a study will take.

    Args:
        survey: The slides.
        study: What it holds already.
        patches: How many patches.
        dim: Length of a feature.
        tested: Slides that heatmaps are drawn of.
    """
    kept, slides = [look.slide_id for look in survey.kept], len(survey.looks)
    drawn = [path for s in kept for path in (study.tissue(s), study.thumbnail(s))]
    there = sum(path.stat().st_size for path in drawn if path.exists())
    sizes = [one.size for one in survey.sample]
    a_slide = sum(sizes) / len(sizes) if sizes else 0.0
    fixed = (slides - len(kept)) * a_slide + there + slides * HDF5 + tested * HEATMAP
    return exactly(fixed) + patches.times(2 * dim + 16)  # float16, and two int64


def estimate(
    seen: Survey,
    parts: Sequence[Part],
    preparation: Preparation,
    training: tuple[LearnOptions, int],
    found: Findings,
) -> Estimate:
    """Estimate what a run would make, and how long it would take here.

    Args:
        seen: The slides.
        parts: The splits.
        preparation: How slides would be prepared.
        training: Which model and how, and how many of it on each split.
        found: Takes what stands in the way.
    """
    free = float(shutil.disk_usage(standing(preparation.out)).free)
    files = (path for path in preparation.out.rglob("*") if path.is_file())
    there = float(sum(path.stat().st_size for path in files))
    encoder = encoder_here(preparation, found)
    if not seen.looks:
        return Estimate(there=there, free=free)
    patches = patches_of(seen)
    tissue = (seen.seconds or 0.0) * (len(seen.looks) - len(seen.kept))
    rate = features = None
    if encoder is not None:
        left = patches + exactly(-_done(seen, encoder, preparation, found))
        rate = _rate(seen, encoder, preparation, found)
        features = None if rate is None else left.times(1 / rate)
    try:
        dim = card(preparation.options.features.encoder).dim
    except EncoderError:  # told of already
        return Estimate(patches, None, there, free, None, tissue)
    tested = list(parts[0].split.values()).count("test") if parts else 0
    study = preparation.study
    size = disk_of(seen, study, patches, dim, tested)
    a_slide = patches.likely / len(seen.looks)
    trained = _training(parts, *training, dim, a_slide)
    return Estimate(patches, size, there, free, rate, tissue, features, trained)


def standing(folder: Path) -> Path:
    """Return a folder, or the nearest one above it that is there."""
    folder = folder.absolute()
    while not folder.exists():
        folder = folder.parent
    return folder


def _done(
    seen: Survey, encoder: "Encoder", preparation: Preparation, found: Findings
) -> int:
    """Return how many patches have their features in the study already."""
    done = 0
    for look in seen.kept:
        try:
            if look.kept is not None and features_kept(
                preparation, encoder, look.slide_id, look.kept
            ):
                done += len(look.kept)
        except CoverslipError as error:
            found.add("error", "study", str(error), [look.slide_id])
            break
    return done


def _rate(
    seen: Survey, encoder: "Encoder", preparation: Preparation, found: Findings
) -> float | None:
    """Measure the encoder on the slide of middling size; None where no patch is known."""
    laid = [(one.look, one.patches) for one in seen.sample]
    laid += [(look, look.kept) for look in seen.kept if look.kept is not None]
    laid = sorted((pair for pair in laid if len(pair[1])), key=lambda p: len(p[1]))
    if not laid:
        return None
    look, patches = laid[len(laid) // 2]
    try:
        return patches_a_second(look.path, patches, encoder, preparation)
    except CoverslipError as error:
        found.add("error", "encoder", str(error), [look.slide_id])
        return None


def _training(
    parts: Sequence[Part],
    options: LearnOptions,
    seeds: int,
    dim: int,
    patches: float,
) -> float | None:
    """Return the seconds of a run's trainings that are left, if none ends early."""
    if not parts:
        return None
    left = [part for part in parts if not (part.folder / MODEL_FILE).exists()]
    subsets = [list(part.split.values()) for part in left]
    train, val = (sum(s.count(name) for s in subsets) for name in ("train", "val"))
    if not train:
        return 0.0
    a_train, a_val = seconds_an_epoch(options, dim, patches)
    return (train * a_train + val * a_val) * options.training.epochs * seeds
