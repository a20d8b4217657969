"""Cross-validation: what the models of all folds say of the slides they never saw.

Two AUCs come out of it. The mean over folds compares scores of one model only with
scores of the same model; it is the one to quote, with its standard deviation. The
pooled one ranks all slides by scores of different models, whose scales may differ, so
it tends to be lower; but every slide counts once, so it has an interval (by case).
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import numpy as np
import numpy.typing as npt

from coverslip import store
from coverslip.judge.intervals import Interval, auc_interval, bootstrap_interval
from coverslip.judge.metrics import NAN, Ints, auc, null_for_nan
from coverslip.learn.splits import Split
from coverslip.pipeline.judge.outcomes import Outcomes, outcomes_of
from coverslip.tables import read_csv, write_csv

TOLD = ("auc", "accuracy", "sensitivity", "specificity")
"""The figures that a summary names."""


@dataclass(frozen=True)
class Part:
    """One split of a run, with a folder of its own.

    Attributes:
        folder: Where its model, predictions and figures lie.
        split: Which slide is in which subset.
        repeat: How many times the folds were dealt before these.
        fold: Number of the fold; None when the run has one split.
    """

    folder: Path
    split: Split
    repeat: int = 0
    fold: int | None = None

    @property
    def name(self) -> str:
        """What the part is called before a figure: "fold 2 ", or nothing."""
        again = f"repeat {self.repeat} " if self.repeat else ""
        return again if self.fold is None else f"{again}fold {self.fold} "


def fold_folder(folder: Path, repeat: int, fold: int) -> Path:
    """Return where a fold lies in a run's folder; the first dealing has no folder."""
    return (folder / f"repeat_{repeat}" if repeat else folder) / f"fold_{fold}"


def gather_folds(folder: Path, parts: Sequence[Part]) -> list[str]:
    """Collect what each fold says of its test slides into one table and one JSON.

    Writes `predictions.csv` (a row for each slide and repeat) and `metrics.json`
    (`folds`, `mean_of_folds`, `pooled`), which can be counted from the table.

    Args:
        folder: The run's folder.
        parts: Its folds, judged already.

    Returns:
        Lines that say the most important figures.
    """
    rows: list[dict[str, str]] = []
    figures: dict[str, Any] = {}
    for part in parts:
        said = read_csv(part.folder / "predictions.csv")
        rows += [
            {**row, "repeat": str(part.repeat), "fold": str(part.fold)}
            for row in said
            if row["split"] == "test"
        ]
        own = store.read_json(part.folder / "metrics.json")
        figures[part.folder.relative_to(folder).as_posix()] = own
    rows.sort(key=lambda row: (row["slide_id"], int(row["repeat"]), int(row["fold"])))
    table = folder / "predictions.csv"
    write_csv(table, list(dict.fromkeys(key for row in rows for key in row)), rows)
    mean = mean_figures(own["test"] for own in figures.values() if "test" in own)
    repeats = by_repeat(rows, table)
    pooled = pooled_figures(repeats) if repeats else {}
    store.write_json(
        folder / "metrics.json",
        {"folds": figures, "mean_of_folds": mean, "pooled": pooled},
    )
    return _lines(mean, pooled)


def by_repeat(rows: Sequence[Mapping[str, str]], table: Path) -> list[Outcomes]:
    """Return the out-of-fold outcomes of each repeat, where any slide was judged."""
    ordered = sorted(rows, key=lambda row: int(row["repeat"]))
    grouped = groupby(ordered, key=lambda row: row["repeat"])
    outcomes = [outcomes_of(list(own), table) for _, own in grouped]
    return [one for one in outcomes if one.slides]


def mean_figures(each: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return mean and standard deviation (n - 1) of every figure, JSON-ready.

    A figure that some of them lack (an AUC of one class) counts where it is known; `n`
    says how often that is.
    """
    known: dict[str, list[float]] = {}
    for figures in each:
        for name, value in figures.items():
            if isinstance(value, float) and math.isfinite(value):
                known.setdefault(name, []).append(value)
    known.pop("threshold", None)
    return {
        name: {
            "mean": fmean(values),
            "sd": stdev(values) if len(values) > 1 else None,
            "n": len(values),
        }
        for name, values in known.items()
    }


def pooled_figures(repeats: Sequence[Outcomes]) -> dict[str, Any]:
    """Return figures over the out-of-fold predictions of all folds, JSON-ready.

    With repeats each figure is the mean over them: that of one model a slide.
    """
    each = [one.figures() for one in repeats]
    figures = {name: own["mean"] for name, own in mean_figures(each).items()}
    interval = pooled_auc(repeats)
    facts = {
        "n": len({slide for one in repeats for slide in one.slides}),
        **figures,
        "intervals": {"auc": interval.facts()},
        "by_repeat": each,
    }
    return dict(null_for_nan(facts))


def pooled_auc(repeats: Sequence[Outcomes], seed: int = 0) -> Interval:
    """Return the pooled AUC, the mean over repeats, with an interval by case.

    Of one repeat the interval is `auc_interval`'s. Of several, cases are drawn with
    replacement, each with all its rows of all repeats.

    Args:
        repeats: Out-of-fold outcomes of each dealing of folds.
        seed: For the bootstrap.
    """
    if len(repeats) == 1:
        only = repeats[0]
        return auc_interval(only.labels, only.scores, only.cases, seed=seed)
    labels = np.concatenate([one.labels for one in repeats])
    scores = np.concatenate([one.scores for one in repeats])
    origin = np.repeat(np.arange(len(repeats)), [len(one.slides) for one in repeats])

    def mean_auc(y: Ints, rows: npt.NDArray[np.float64]) -> float:
        drawn = rows.astype(np.intp)
        areas = [
            auc(y[origin[drawn] == r], scores[drawn[origin[drawn] == r]])
            for r in range(len(repeats))
        ]
        known = [area for area in areas if math.isfinite(area)]
        return fmean(known) if known else NAN

    cases = [case for one in repeats for case in one.cases]
    places = np.arange(len(labels), dtype=np.float64)
    return bootstrap_interval(mean_auc, labels, places, clusters=cases, seed=seed)


def told(figures: Mapping[str, Any], names: Sequence[str] = TOLD) -> str:
    """Say mean and standard deviation of some figures."""
    parts = []
    for name in names:
        if own := figures.get(name):
            shown = "AUC" if name == "auc" else name
            spread = "" if own["sd"] is None else f" (sd {own['sd']:.3f})"
            parts.append(f"{shown} {own['mean']:.3f}{spread}")
    return ", ".join(parts)


def _lines(mean: Mapping[str, Any], pooled: Mapping[str, Any]) -> list[str]:
    lines = []
    if "auc" in mean:
        lines.append(f"mean of {mean['auc']['n']} folds, test: {told(mean)}")
    if pooled.get("auc") is not None:
        ends = pooled["intervals"]["auc"]
        lines.append(
            f"pooled over folds, test: AUC {pooled['auc']:.3f} (95 % interval "
            f"{_end(ends['low'])} to {_end(ends['high'])}), on {pooled['n']} slides"
        )
    return lines


def _end(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.3f}"
