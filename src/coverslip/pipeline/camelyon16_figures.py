"""CAMELYON16's figures, each on exactly the test slides that papers mean by a number.

    129   slides: the organisers' test set, test_001 to test_130 without test_049
    127   slides: without test_114 and test_124, which DTFD-MIL's features lack
    128   lesions: without test_114, which is not exhaustively annotated

A slide of a set that could not be judged is named, with the reason.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from coverslip import store
from coverslip.cohorts.camelyon16.facts import (
    NO_LESION_TRUTH,
    NOT_IN_DTFD,
    TEST_IDS,
    slide_name,
)
from coverslip.errors import DataError
from coverslip.judge.detections import FrocOptions
from coverslip.judge.froc import Froc
from coverslip.judge.intervals import (
    LEVEL,
    Interval,
    auc_interval,
    bootstrap_interval,
)
from coverslip.judge.lesions import CAMELYON16_MPP
from coverslip.judge.metrics import NAN, auc, null_for_nan
from coverslip.pipeline.judge.outcomes import Outcomes, outcomes_of
from coverslip.pipeline.predict.localising import froc
from coverslip.pipeline.predict.truth import Truth
from coverslip.pipeline.prepare.preparation import Preparation
from coverslip.pipeline.prepare.table import SlideTable
from coverslip.tables import read_csv

SLIDE_SETS = {
    "129": TEST_IDS,
    "127": tuple(s for s in TEST_IDS if s not in NOT_IN_DTFD),
}
"""The test slides of each slide figure: all in the organisers' reference, and those that
are in DTFD-MIL's released features."""

LESION_SETS = {"128": tuple(s for s in TEST_IDS if s not in NO_LESION_TRUTH)}
"""The test slides of the lesion figure: all with exhaustive outlines."""

NO_OUTLINES = "no outlines with the slides: get testing/lesion_annotations.zip"

SET_NAMES = {
    "129": "the organisers' test set: test_001 to test_130 without test_049",
    "128": f"the 129 without {' and '.join(NO_LESION_TRUTH)}",
    "127": f"the 129 without {' and '.join(NOT_IN_DTFD)}, as in DTFD-MIL's features",
}


@dataclass(frozen=True)
class SlideFigures:
    """How well slides are told apart, on one of the sets that papers use.

    Attributes:
        asked: The slides of the set.
        outcomes: Of those that were judged.
        not_judged: Why the others were not.
        auc: With DeLong's interval.
        bootstrap: The same with a bootstrap interval.
    """

    asked: tuple[str, ...]
    outcomes: Outcomes
    not_judged: Mapping[str, str]
    auc: Interval
    bootstrap: Interval

    def facts(self) -> store.Facts:
        """Return everything JSON-ready."""
        n = len(self.outcomes.slides)
        facts: dict[str, Any] = {
            "slides_asked": len(self.asked),
            "slides_judged": n,
            "tumor_judged": int(self.outcomes.labels.sum()),
            **(self.outcomes.figures() if n else {}),
            "auc_intervals": [self.auc.facts(), self.bootstrap.facts()],
            "not_judged": dict(self.not_judged),
        }
        return dict(null_for_nan(facts))

    def sentence(self, name: str) -> str:
        """Say the AUC, its intervals, and on how many slides of which set it is."""
        n = len(self.outcomes.slides)
        whole = f"all {n}" if n == len(self.asked) else f"only {n} of them"
        ends = [
            f"{i.low:.3f} to {i.high:.3f}, {i.method}"
            for i in (self.auc, self.bootstrap)
            if i.low
            < i.high  # an end may be unknown, and a bootstrap may shrink to a point
        ]
        value = f"{self.auc.value:.3f} (95 % interval {'; '.join(ends)})"
        said = value if ends else f"unknown ({self.auc.method})"
        return f"slide AUC on the {name}: {said}, {whole} judged"


@dataclass(frozen=True)
class LesionFigures:
    """How well lesions are found, on the test slides whose outlines are exhaustive.

    Attributes:
        asked: The slides of the set.
        froc: The figures; None when they could not be made.
        not_judged: Why slides do not count.
        error: Why there are no figures.
    """

    asked: tuple[str, ...]
    froc: Froc | None
    not_judged: Mapping[str, str]
    error: str = ""

    def facts(self) -> store.Facts:
        """Return everything JSON-ready."""
        found = {"error": self.error} if self.froc is None else self.froc.facts()
        asked = {"slides_asked": len(self.asked)}
        return {**asked, **found, "not_judged": dict(self.not_judged)}

    def sentence(self, name: str) -> str:
        """Say the score, and on how many slides of which set it is."""
        if self.froc is None:
            return f"lesion FROC on the {name}: none: {self.error}"
        if not self.froc.lesions:
            return f"lesion FROC on the {name}: none: no slide with lesions was judged"
        n = self.froc.slides
        whole = f"all {n}" if n == len(self.asked) else f"only {n} of them"
        return f"{self.froc.sentence()} (on the {name}, {whole} judged)"


def judge_slides(
    predictions: Path, reasons: Mapping[str, str]
) -> dict[str, SlideFigures]:
    """Judge a run's table of predictions on each set of test slides.

    Args:
        predictions: The table.
        reasons: Why a slide may be absent from it, by slide id.
    """
    rows = [row for row in read_csv(predictions) if row["split"] == "test"]
    outcomes = outcomes_of(rows, predictions)
    places = {slide_name(slide): i for i, slide in enumerate(outcomes.slides)}
    bare = {slide_name(row["slide_id"]): row["status"] for row in rows}
    figures = {}
    for name, asked in SLIDE_SETS.items():
        own = outcomes.take([places[s] for s in asked if s in places])
        why = {
            s: reasons.get(s) or bare.get(s) or "no prediction"
            for s in asked
            if s not in places
        }
        figures[name] = SlideFigures(asked, own, why, *_intervals(own))
    return figures


def judge_lesions(
    model: Path,
    preparation: Preparation,
    truth: Truth,
    out: Path,
    reasons: Mapping[str, str],
) -> dict[str, LesionFigures]:
    """Judge how well a model finds lesions on the test slides.

    As the organisers do, level 0 of every slide is taken to be 0.243 um a pixel.

    Args:
        model: The run's model.
        preparation: Of the study that it was trained in.
        truth: Outlines and labels.
        out: Folder for `lesions_128/`: detections, figures and curve.
        reasons: Why a slide may be absent from the study, by slide id.
    """
    options = FrocOptions(lesion_mpp=CAMELYON16_MPP)
    at_hand = SlideTable.open(preparation.study.slides_csv).rows
    figures = {}
    for name, asked in LESION_SETS.items():
        absent = {s: reasons[s] for s in asked if s in reasons}
        only = [k for k in at_hand if slide_name(k) in {*asked} - absent.keys()]
        drawn = truth.annotations.is_dir()
        if not only or not drawn:
            why = "no slide to judge" if drawn else NO_OUTLINES
            figures[name] = LesionFigures(asked, None, absent, why)
            continue
        place, study = out / f"lesions_{name}", [preparation.out]
        try:
            judged = froc(
                model, study, truth, place, preparation, options=options, only=only
            )
        except DataError as error:  # the slide figures are not lost with it
            figures[name] = LesionFigures(asked, None, absent, str(error))
            continue
        left_out = {slide_name(k) or k: why for k, why in judged.left_out.items()}
        figures[name] = LesionFigures(asked, judged.froc, absent | left_out)
    return figures


def _intervals(outcomes: Outcomes) -> tuple[Interval, Interval]:
    """Return the AUC with DeLong's and with a bootstrap interval.

    Where every sample has the same AUC, such as 1, the bootstrap knows no interval.
    """
    y, scores = outcomes.labels, outcomes.scores
    if len(set(y.tolist())) < 2:
        none = Interval(NAN, NAN, NAN, LEVEL, "one class only")
        return none, none
    drawn = bootstrap_interval(auc, y, scores)
    if not drawn.low < drawn.high:
        drawn = replace(drawn, low=NAN, high=NAN)
    return auc_interval(y, scores), drawn
