"""What a report says of how good a run is: figures drawn, and their numbers in tables.

Everything is counted from the run's own table of predictions, on the slides kept apart.
Of a cross-validated run that is every slide, predicted by the model that did not learn
from it; with repeats its probabilities are averaged.
"""

from pathlib import Path

import numpy as np

from coverslip.judge.calibration import brier, calibration_error, told
from coverslip.judge.intervals import Interval, auc_interval
from coverslip.judge.metrics import class_rates
from coverslip.judge.rates import rate_interval
from coverslip.judge.roc import METHOD, RocBand, roc_band
from coverslip.pipeline.judge.outcomes import Outcomes
from coverslip.pipeline.judge.trusting import reliability_points
from coverslip.pipeline.report.seen import Seen, ends, number, positions, span
from coverslip.show.report import drawing, plots
from coverslip.show.report.facts import Plot, Table

TOLD_AT = (0.0, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0)
"""1 - specificity at which a table says the curve and its band."""
STEPS = 401
MOST_CURVES = 9
"""Classes that get a ROC curve of their own, at most."""


def judged_plots(seen: Seen, folder: Path) -> tuple[Plot, ...]:
    """Draw ROC, calibration, confusion and classes, into files too.

    Args:
        seen: What the run says of one slide or more.
        folder: Takes the files.
    """
    return (
        _roc(seen, folder),
        _calibration(seen, folder),
        _confusion(seen, folder),
        _classes(seen, folder),
    )


def _roc(seen: Seen, folder: Path) -> Plot:
    title = "ROC with its 95 % band"
    if len(seen.occurring) < 2:
        return Plot("roc", title, "", missing="The slides are of one class only.")
    known = seen.outcomes
    chosen = [1] if seen.two else seen.occurring[:MOST_CURVES]
    curves, tables = [], []
    for c in chosen:
        positive, chances = known.labels == c, known.probabilities[:, c]
        band = roc_band(positive, chances, known.cases)
        area = auc_interval(positive, chances, known.cases)
        name = plots.short(seen.classes[c])
        said = known.decided == c
        curves.append(
            {
                "title": f"{name}: AUC {area.value:.3f} ({area.low:.3f} to {area.high:.3f})"
                if seen.two
                else f"{name}: AUC {area.value:.3f}",
                **_drawn(band),
                "others": [_curve(fold, c) for fold in seen.folds if _both(fold, c)],
                "decided": "at the threshold" if seen.two else "as decided",
                "point": (said[~positive].mean(), said[positive].mean()),
            }
        )
        tables.append(_roc_table(seen.classes[c], band, area))
    at = "at the threshold that validation chose" if seen.two else "decided"
    caption = (
        f"{len(known.slides)} slides kept apart. Dot: as {at}. Band: {METHOD}; it holds "
        "the true curve at any one place with 95 % or more."
    )
    if seen.folds:
        caption += f" Grey: each of {len(seen.folds)} folds; blue: all slides together."
    if len(seen.occurring) > len(chosen) and not seen.two:
        caption += f" The first {len(chosen)} classes of {len(seen.occurring)}."
    svg = drawing.keep(plots.roc(curves), folder, "roc")
    broad = len(curves) > 1
    return Plot("roc", title, caption, svg, tuple(tables), broad=broad)


def _drawn(band: RocBand) -> dict[str, object]:
    grid = np.linspace(0, 1, STEPS)
    _, low, high = band.at(grid)
    return {"x": band.false, "y": band.true, "grid": grid, "low": low, "high": high}


def _both(fold: Outcomes, c: int) -> bool:
    return 0 < int((fold.labels == c).sum()) < len(fold.labels)


def _curve(fold: Outcomes, c: int) -> tuple[object, object]:
    band = roc_band(fold.labels == c, fold.probabilities[:, c])
    return band.false, band.true


def _roc_table(name: str, band: RocBand, area: Interval) -> Table:
    heights, lows, highs = band.at(TOLD_AT)
    rows = [
        (f"{1 - x:.2f}", f"{y:.3f}", f"{low:.3f}", f"{high:.3f}")
        for x, y, low, high in zip(TOLD_AT, heights, lows, highs, strict=True)
    ]
    return Table(
        f"{name}: AUC {area.value:.3f}, {ends(area)} ({area.method})",
        ("specificity", "sensitivity", "low", "high"),
        tuple(rows),
        frozenset(range(4)),
    )


def _calibration(seen: Seen, folder: Path) -> Plot:
    known = seen.outcomes
    ways = {"as told": known.probabilities}
    if seen.calibrated is not None:
        ways["with the temperature"] = seen.calibrated
    points = {
        name: reliability_points(known.labels, chances, known.cases)
        for name, chances in ways.items()
    }
    rows = [
        (
            name,
            f"{row['middle'] - 0.05:.1f} to {row['middle'] + 0.05:.1f}",
            f"{row['n']:.0f}",
            f"{row['said']:.3f}",
            f"{row['happened']:.3f}",
            f"{row['low']:.3f} to {row['high']:.3f}",
        )
        for name, bins in points.items()
        for row in bins
    ]
    of = seen.classes[1] if seen.two else "the likeliest class"
    figures = [
        (
            name,
            f"{brier(known.labels, chances):.3f}",
            f"{calibration_error(*told(known.labels, chances)):.3f}",
        )
        for name, chances in ways.items()
    ]
    svg = drawing.keep(plots.calibration(points), folder, "calibration")
    return Plot(
        "calibration",
        "Calibration",
        f"Probability of {of} in ten bins: what was told, and the share that came true "
        "with its 95 % interval. Below: slides in each bin.",
        svg,
        (
            Table(
                "Errors: 0 is best",
                ("probabilities", "Brier score", "ECE"),
                tuple(figures),
                frozenset({1, 2}),
            ),
            Table(
                "Bins",
                (
                    "probabilities",
                    "bin",
                    "slides",
                    "told",
                    "came true",
                    "95 % interval",
                ),
                tuple(rows),
                frozenset(range(1, 6)),
            ),
        ),
    )


def confusion_of(seen: Seen) -> list[list[int]]:
    """Return [t][p]: slides of class t that were decided to be p."""
    matrix = np.zeros((len(seen.classes), len(seen.classes)), dtype=np.int64)
    np.add.at(matrix, (seen.outcomes.labels, seen.outcomes.decided), 1)
    return matrix.tolist()


def _confusion(seen: Seen, folder: Path) -> Plot:
    matrix = confusion_of(seen)
    if seen.threshold is not None:
        how = f"Decided at {seen.threshold:.4f}, the threshold that validation chose."
    elif seen.two:
        how = "Decided at the threshold that each model's own validation chose."
    else:
        how = "Decided for the likeliest class."
    rows = tuple(
        (name, *(str(n) for n in counts))
        for name, counts in zip(seen.classes, matrix, strict=True)
    )
    columns = ("is", *(f"decided {name}" for name in seen.classes))
    numbers = frozenset(range(1, len(columns)))
    return Plot(
        "confusion",
        "Confusion at the validation threshold" if seen.two else "Confusion",
        f"{how} Slides, and their share of the class.",
        drawing.keep(plots.confusion(matrix, seen.classes), folder, "confusion"),
        (Table("Slides", columns, rows, numbers),),
    )


def _classes(seen: Seen, folder: Path) -> Plot:
    known = seen.outcomes
    matrix = np.array(confusion_of(seen))
    rows = []
    for c, name in enumerate(seen.classes):
        own, rest = positions(known.labels == c), positions(known.labels != c)
        rates = class_rates(matrix, c)
        hit = rate_interval((known.decided == c)[own], [known.cases[i] for i in own])
        spared = rate_interval(
            (known.decided != c)[rest], [known.cases[i] for i in rest]
        )
        area = (
            auc_interval(known.labels == c, known.probabilities[:, c], known.cases)
            if own and rest
            else None
        )
        rows.append(
            (
                name,
                str(len(own)),
                "–" if area is None else f"{area.value:.3f} ({span(area)})",
                f"{number(hit.value)} ({span(hit)})" if own else "–",
                f"{number(spared.value)} ({span(spared)})" if rest else "–",
                number(rates["precision"]),
                number(rates["f1"]),
            )
        )
    what = (
        f"probability of {seen.classes[1]}"
        if seen.two
        else "probability of the class that the slide is of"
    )
    groups = {
        name: known.probabilities[known.labels == c, 1 if seen.two else c]
        for c, name in enumerate(seen.classes)
        if (known.labels == c).any()
    }
    figure = plots.scores(groups, seen.threshold, what.replace("$", "\\$"))
    columns = (
        "class",
        "slides",
        "AUC",
        "sensitivity",
        "specificity",
        "precision",
        "F1",
    )
    return Plot(
        "classes",
        "Each class",
        f"A dot a slide: {what}, by what it is. The table has each class against the "
        "rest, with 95 % intervals that count cases.",
        drawing.keep(figure, folder, "classes"),
        (
            Table(
                "Each class against the rest",
                columns,
                tuple(rows),
                frozenset(range(1, 7)),
            ),
        ),
    )
