"""Lesion FROC: how many lesions are found at how many false alarms a slide.

The rules of CAMELYON16 (Ehteshami Bejnordi et al. 2017, JAMA 318:2199; the curve after
Bandos et al. 2009, Biometrics 65:247). A detection inside a lesion hits it. Of the hits
on one lesion the best counts, and the others are nothing. A detection inside isolated
tumour cells is nothing. Every other one is a false positive. From a threshold on,

    sensitivity = lesions hit / lesions that count        (all slides together)
    alarms      = false positives / slides                (normal slides too)

and the score is the mean of the sensitivities at 1/4, 1/2, 1, 2, 4 and 8 alarms a slide.
Between two points of the curve one goes in a straight line, behind the last one on the
level; where several points have one number of alarms the highest counts.

This is the organisers' script but for one thing: theirs (and MONAI's) leaves out the
lowest of all scores, which is the 0 of a lesion that nobody hit. When every lesion was
hit it is the score of a true detection, and a perfect result loses a lesion there.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from coverslip.errors import DataError
from coverslip.judge.detections import NO_DETECTIONS, Detections
from coverslip.judge.intervals import LEVEL, Interval
from coverslip.judge.lesions import Lesion, lesion_of_points
from coverslip.judge.metrics import NAN, Floats, null_for_nan
from coverslip.judge.resampling import REPEATS, bootstrap, case_numbers

RATES = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
"""Alarms a slide at which sensitivity is read."""


@dataclass(frozen=True)
class Hits:
    """What the detections on one slide came to.

    Attributes:
        best: (L,) highest score in each lesion that counts; NaN where none hit it.
        false: (F,) scores of the false positives.
        itc: How many isolated tumour cells the slide has.
    """

    best: Floats
    false: Floats
    itc: int = 0


class Curve:
    """The FROC curve of some slides, and of samples of them.

    Attributes:
        scores: Scores of false positives and best hits, the highest first.
        slides: The slide of each, as its place.
        true: Whether it is a hit.
        lesions: (slides,) how many lesions count on each.
    """

    def __init__(self, hits: Sequence[Hits]) -> None:
        found = [h.best[~np.isnan(h.best)] for h in hits]
        parts = [*found, *(h.false for h in hits)]
        scores = np.concatenate([np.empty(0), *parts])
        slides = np.repeat([*range(len(hits))] * 2, [len(part) for part in parts])
        order = np.argsort(-scores, kind="stable")
        self.scores = scores[order]
        self.slides = slides[order]
        self.true = (np.arange(len(scores)) < sum(map(len, found)))[order]
        self.lesions = np.array([len(h.best) for h in hits])
        # a threshold takes all detections of one score
        self._last = np.append(self.scores[1:] != self.scores[:-1], True)[: len(scores)]

    def points(
        self, weights: npt.NDArray[np.int64] | None = None, upto: int | None = None
    ) -> tuple[Floats, Floats]:
        """Return (alarms a slide, sensitivity), from nothing detected to everything.

        Args:
            weights: (slides,) how often each slide counts; once when None.
            upto: Look at so many of the highest scores only.
        """
        if weights is None:
            weights = np.ones(len(self.lesions), np.int64)
        counted, true = weights[self.slides[:upto]], self.true[:upto]
        last = self._last[:upto]
        hits = np.cumsum(counted * true)[last]
        alarms = np.cumsum(counted * ~true)[last]
        return (
            np.append(0, alarms) / weights.sum(),
            np.append(0, hits) / (weights * self.lesions).sum(),
        )

    def score(self, weights: npt.NDArray[np.int64]) -> float:
        """Return the mean sensitivity at the six rates, of a sample of the slides."""
        # 32 alarms a slide are nearly always enough to see what happens up to 8
        enough = int(np.searchsorted(np.cumsum(~self.true), 32 * len(weights)))
        alarms, sensitivity = self.points(weights, enough)
        if alarms[-1] <= RATES[-1]:
            alarms, sensitivity = self.points(weights)
        return float(read_curve(alarms, sensitivity, RATES).mean())


@dataclass(frozen=True)
class Froc:
    """How well lesions are found.

    Attributes:
        score: Mean sensitivity at `RATES`, with its interval.
        sensitivities: At each of `RATES`.
        slides: How many slides, normal ones too.
        lesions: How many lesions count.
        hit: How many of them some detection hits.
        itc: How many isolated tumour cells there are; they do not count.
        false_positives: How many detections hit nothing.
        alarms: (P,) the curve: false positives a slide, from 0.
        sensitivity: (P,) the curve.
        thresholds: (P,) the score from which on each point detects; the first infinite.
    """

    score: Interval
    sensitivities: tuple[float, ...]
    slides: int
    lesions: int
    hit: int
    itc: int
    false_positives: int
    alarms: Floats
    sensitivity: Floats
    thresholds: Floats

    def facts(self) -> dict[str, Any]:
        """Return the figures JSON-ready; of the curve the points that say something."""
        shown = zip(*(part[self._corners()] for part in self._curve()), strict=True)
        facts: dict[str, Any] = null_for_nan(
            {
                "score": self.score.facts(),
                "sensitivity_at": {
                    f"{rate:g}": value
                    for rate, value in zip(RATES, self.sensitivities, strict=True)
                },
                "slides": self.slides,
                "lesions": self.lesions,
                "lesions_hit": self.hit,
                "isolated_tumour_cells": self.itc,
                "false_positives": self.false_positives,
                "curve": [
                    dict(
                        zip(
                            ("alarms", "sensitivity", "threshold"),
                            map(float, p),
                            strict=True,
                        )
                    )
                    for p in shown
                ],
            }
        )
        return facts

    def sentence(self) -> str:
        """Say the most important figures in one line."""
        return (
            f"lesion FROC: {self.score}, {self.lesions} lesions on {self.slides} "
            f"slides, {self.hit} hit; {self.itc} isolated tumour cells not counted"
        )

    def _curve(self) -> tuple[Floats, Floats, Floats]:
        return self.alarms, self.sensitivity, self.thresholds

    def _corners(self) -> npt.NDArray[np.bool_]:
        """Mark where the curve turns, as far as the last rate."""
        rises = np.diff(self.sensitivity) > 0
        corner = np.append(True, rises) | np.append(rises, True)
        reached = np.append(0, self.alarms[:-1]) <= RATES[-1]
        return np.asarray(corner & reached)


def lesion_froc(
    detections: Mapping[str, Detections],
    lesions: Mapping[str, Sequence[Lesion]],
    cases: Mapping[str, str] | None = None,
    *,
    level: float = LEVEL,
    repeats: int = REPEATS,
    seed: int = 0,
) -> Froc:
    """Judge detections against lesions, by the rules above.

    Args:
        detections: By slide; a slide without an entry has none.
        lesions: By slide, of every slide that counts; empty for a normal one.
        cases: The case of a slide, for the interval; a slide not named is its own.
        level: Of the interval: cases with lesions, and cases without, are drawn anew.
        repeats: How many samples of cases.
        seed: The same seed gives the same interval.

    Raises:
        DataError: There is no slide, or detections lie on one that is not counted.
    """
    if unknown := sorted(detections.keys() - lesions.keys()):
        raise DataError(
            f"{', '.join(unknown[:5])}: detections on {len(unknown)} slides that do not "
            "count: give their lesions, or leave them out"
        )
    if not lesions:
        raise DataError("no slide to count lesions on: give at least one")
    hits = [judge_slide(detections.get(k, NO_DETECTIONS), lesions[k]) for k in lesions]
    curve = Curve(hits)
    clusters = [(cases or {}).get(slide_id, slide_id) for slide_id in lesions]
    alarms, sensitivity = _points(curve)
    return Froc(
        score=_interval(curve, clusters, level, repeats=repeats, seed=seed),
        sensitivities=tuple(read_curve(alarms, sensitivity, RATES).tolist()),
        slides=len(hits),
        lesions=int(curve.lesions.sum()),
        hit=int(curve.true.sum()),
        itc=sum(h.itc for h in hits),
        false_positives=int((~curve.true).sum()),
        alarms=alarms,
        sensitivity=sensitivity,
        thresholds=np.append(np.inf, -np.unique(-curve.scores)),
    )


def _points(curve: Curve) -> tuple[Floats, Floats]:
    if curve.lesions.sum():
        return curve.points()
    thresholds = 1 + len(np.unique(curve.scores))
    return np.full(thresholds, NAN), np.full(thresholds, NAN)


def _interval(
    curve: Curve, clusters: Sequence[str], level: float, *, repeats: int, seed: int
) -> Interval:
    """Return the score with its interval: cases with lesions, and those without."""
    if not curve.lesions.sum():
        return Interval(NAN, NAN, NAN, level, "none (no lesions)")
    n = len(curve.lesions)
    found = bootstrap(
        lambda drawn: curve.score(np.bincount(drawn, minlength=n)),
        (curve.lesions > 0).astype(np.int64),
        case_numbers(clusters, n),
        repeats=repeats,
        seed=seed,
    )
    drawn = "slides" if len(set(clusters)) == n else "cases"
    low, high = found.ends(level)
    return Interval(found.value, low, high, level, f"bootstrap of {drawn}, BCa")


def judge_slide(found: Detections, lesions: Sequence[Lesion]) -> Hits:
    """Tell the hits on one slide from its false positives.

    Raises:
        DataError: A score is not finite.
    """
    if not np.isfinite(found.scores).all():
        raise DataError("a detection's score is not finite: give numbers")
    where = lesion_of_points(found.l0_points, lesions)
    best = np.full(len(lesions), -np.inf)
    np.maximum.at(best, where[where >= 0], found.scores[where >= 0])
    best[np.isneginf(best)] = NAN
    counts = np.array([not lesion.is_itc for lesion in lesions], dtype=bool)
    return Hits(best[counts], found.scores[where < 0], int((~counts).sum()))


def read_curve(alarms: Floats, sensitivity: Floats, rates: npt.ArrayLike) -> Floats:
    """Return the sensitivity of a curve at numbers of alarms.

    Args:
        alarms: (P,) from 0, never falling.
        sensitivity: (P,) never falling.
        rates: (R,) not negative.
    """
    asked = np.asarray(rates, dtype=np.float64)
    left = np.searchsorted(alarms, asked, side="right") - 1
    right = np.minimum(left + 1, len(alarms) - 1)
    span = alarms[right] - alarms[left]
    part = np.divide(
        asked - alarms[left], span, out=np.zeros_like(asked), where=span > 0
    )
    return sensitivity[left] + part * (sensitivity[right] - sensitivity[left])
