"""What a run says of the slides that were kept apart, as a report judges it.

Of a cross-validated run that is every slide, predicted by the model that did not learn
from it; with repeats its probabilities and thresholds are averaged.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from coverslip.judge.intervals import Interval, auc_interval
from coverslip.judge.rates import rate_interval
from coverslip.pipeline.judge.outcomes import COLUMN, Outcomes, outcomes_of
from coverslip.pipeline.judge.run_tables import one_row_a_slide
from coverslip.show.report.facts import Headline
from coverslip.tables import read_csv

CALIBRATED = "calibrated_"


@dataclass(frozen=True)
class Seen:
    """What a run says of the slides kept apart.

    Attributes:
        outcomes: One row a slide.
        classes: Class names as they are to be shown.
        calibrated: (N, C) probabilities with the temperature; None without.
        folds: The rows of each fold, where there are some.
    """

    outcomes: Outcomes
    classes: tuple[str, ...]
    calibrated: npt.NDArray[np.float64] | None = None
    folds: tuple[Outcomes, ...] = ()

    @property
    def two(self) -> bool:
        """Whether there are two classes."""
        return len(self.classes) == 2

    @property
    def threshold(self) -> float | None:
        """The threshold, where all slides have the same one."""
        limits = self.outcomes.thresholds
        same = self.two and len(limits) > 0 and float(np.ptp(limits)) < 1e-9
        return float(limits[0]) if same else None

    @property
    def occurring(self) -> list[int]:
        """The classes that slides are of, by number."""
        return [int(c) for c in np.unique(self.outcomes.labels)]


def headlines(seen: Seen) -> tuple[Headline, ...]:
    """Return the figures that matter most, with their intervals."""
    known, right = seen.outcomes, seen.outcomes.decided == seen.outcomes.labels
    cases = len(set(known.cases))
    found = []
    if len(seen.occurring) > 1:
        area = auc_interval(known.labels, known.scores, known.cases)
        name = "AUC" if seen.two else "AUC, mean over classes"
        found.append(Headline(name, f"{area.value:.3f}", ends(area)))
    for number, name in ((1, "Sensitivity"), (0, "Specificity")) if seen.two else ():
        own = positions(known.labels == number)
        if own:
            rate = rate_interval(right[own], [known.cases[i] for i in own])
            found.append(Headline(name, f"{rate.value:.3f}", ends(rate)))
    rate = rate_interval(right, known.cases)
    found.append(Headline("Accuracy", f"{rate.value:.3f}", ends(rate)))
    on = f"of {cases} case{'s' if cases != 1 else ''}"
    return (*found, Headline("Slides judged", str(len(known.slides)), on))


def seen_in(table: Path, classes: Sequence[str]) -> Seen | None:
    """Read what a run says of the slides kept apart; None where none can be judged.

    Args:
        table: Its `predictions.csv`.
        classes: Class names as they are to be shown.

    Raises:
        DataError: It is not a table of predictions.
    """
    rows = [row for row in read_csv(table) if row.get("split") == "test"]
    if not rows or not (known := outcomes_of(rows, table)).slides:
        return None
    parts: dict[tuple[int, int], list[Mapping[str, str]]] = {}
    for row in rows:
        if row.get("fold"):
            place = (int(row.get("repeat") or 0), int(row["fold"]))
            parts.setdefault(place, []).append(row)
    folds = tuple(outcomes_of(parts[place], table) for place in sorted(parts))
    return Seen(one_row_a_slide(known), tuple(classes), _calibrated(rows, known), folds)


def _calibrated(
    rows: Sequence[Mapping[str, str]], known: Outcomes
) -> npt.NDArray[np.float64] | None:
    own = [row for row in rows if row["label"] and row[COLUMN + known.classes[0]]]
    columns = [CALIBRATED + name for name in known.classes]
    if not all(row.get(name) for row in own for name in columns):
        return None
    chances = np.array([[float(row[name]) for name in columns] for row in own])
    return one_row_a_slide(replace(known, probabilities=chances)).probabilities


def positions(chosen: npt.NDArray[np.bool_]) -> list[int]:
    """Return where something is so."""
    return [int(i) for i in np.flatnonzero(chosen)]


def number(value: Any) -> str:  # noqa: ANN401 - JSON's null, or a number
    """Return a figure as text; a dash where there is none."""
    known = isinstance(value, (int, float)) and math.isfinite(value)
    return f"{value:.3f}" if known else "–"


def span(one: Interval) -> str:
    """Return the ends of an interval as text."""
    return f"{number(one.low)} to {number(one.high)}"


def ends(one: Interval) -> str:
    """Return the same with its name."""
    return f"95 % interval {span(one)}"
