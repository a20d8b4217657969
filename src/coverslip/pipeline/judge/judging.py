"""Evaluate: predictions of every labelled slide, and figures on the ones kept apart."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from coverslip import store
from coverslip.errors import DataError
from coverslip.judge.intervals import Interval, auc_interval
from coverslip.judge.metrics import Metrics, evaluate, null_for_nan
from coverslip.judge.rates import rate_interval
from coverslip.learn.bags import check_belongs
from coverslip.learn.checkpoint import ModelCard, load_model, model_file
from coverslip.learn.prediction import Prediction, predict_bag
from coverslip.learn.splits import Split
from coverslip.pipeline.cohort import Cohort
from coverslip.pipeline.judge.trusting import (
    calibrated,
    reliability_points,
    trust_cells,
    trust_columns,
    trust_figures,
)
from coverslip.prepare.encoders.devices import Device, choose_device
from coverslip.show.figures import draw_roc
from coverslip.show.judging_figures import draw_reliability
from coverslip.tables import write_csv


@dataclass(frozen=True)
class Judged:
    """How good a model is on one subset of slides.

    Attributes:
        metrics: Figures at the threshold chosen on validation.
        intervals: Interval by name of figure: auc, accuracy, sensitivity, specificity.
        not_judged: Slides without tissue, which no figure counts.
        trust: Figures on calibration and referral, JSON-ready.
    """

    metrics: Metrics
    intervals: Mapping[str, Interval]
    not_judged: tuple[str, ...]
    trust: Mapping[str, Any] = field(default_factory=dict)

    def facts(self) -> store.Facts:
        """Return everything JSON-ready."""
        intervals = {
            name: {"low": i.low, "high": i.high, "level": i.level, "method": i.method}
            for name, i in self.intervals.items()
        }
        facts = {**self.metrics.facts(), "intervals": null_for_nan(intervals)}
        return {**facts, **self.trust, "not_judged": list(self.not_judged)}

    def sentence(self, subset: str) -> str:
        """Say the most important figures in one line."""
        auc = self.intervals.get("auc")
        named = (
            f"AUC {auc.value:.3f} (95 % interval {auc.low:.3f} to {auc.high:.3f})"
            if auc is not None
            else f"AUC {self.metrics.auc:.3f}"
        )
        return (
            f"{subset}: {named}, accuracy {self.metrics.accuracy:.3f}, "
            f"sensitivity {self.metrics.sensitivity:.3f}, "
            f"specificity {self.metrics.specificity:.3f}, on {self.metrics.n} slides"
        )


@dataclass(frozen=True)
class _Seen:
    """What slides with tissue are, and were said to be.

    Attributes:
        labels: (N,) class numbers.
        probabilities: (N, C).
        cases: (N,) the case of each.
    """

    labels: npt.NDArray[np.int64]
    probabilities: npt.NDArray[np.float64]
    cases: tuple[str, ...]


def _seen(predictions: Sequence[Prediction], cohort: Cohort, card: ModelCard) -> _Seen:
    rows = [cohort.join.matched[p.slide_id] for p in predictions]
    return _Seen(
        np.array([card.classes.index(row.label) for row in rows]),
        np.array([p.probabilities for p in predictions]),
        tuple(row.case_id for row in rows),
    )


def evaluate_run(
    model_path: Path, cohort: Cohort, split: Split, out: Path, device: Device = "auto"
) -> dict[str, Judged]:
    """Predict every labelled slide, and judge each subset.

    Writes `predictions.csv`, `metrics.json` and `figures/` into `out`.

    Args:
        model_path: A model file or a run folder.
        cohort: Labelled bags.
        split: Which slide is in which subset.
        out: Folder of the results.
        device: Where to run.

    Returns:
        What was found of `val` and `test`, where they hold slides.

    Raises:
        MismatchError: The features are not of the kind the model was trained on.
        DataError: The model or the features cannot be read.
    """
    model, card = load_model(model_path, choose_device(device))
    classes = cohort.join.labels.classes
    if classes != card.classes:
        raise DataError(
            f"{cohort.join.labels.source}: classes {', '.join(classes)} are not the "
            f"model's ({', '.join(card.classes)}): use the labels it was trained for"
        )
    predictions = []
    for slide_id in sorted(split):
        if slide_id in cohort.bags:
            bag = cohort.bags[slide_id]
            if len(bag):
                check_belongs(bag, card.features, str(model_path))
            predictions.append(predict_bag(model, bag, card.partitions))
    judged = {}
    for subset in ("val", "test"):
        part = [p for p in predictions if split[p.slide_id] == subset]
        if with_tissue := [p for p in part if p.probabilities is not None]:
            judged[subset] = judge(part, cohort, card, in_sample=subset == "val")
            seen = _seen(with_tissue, cohort, card)
            _draw(out / "figures", subset, judged[subset], seen, card)
    rows = [prediction_row(p, card, cohort, split) for p in predictions]
    write_csv(out / "predictions.csv", prediction_columns(card), rows)
    store.write_json(
        out / "metrics.json",
        {
            "model": "/".join(model_file(model_path).parts[-2:]),
            "left_out": dict(cohort.left_out),
            **{subset: result.facts() for subset, result in judged.items()},
        },
    )
    return judged


def _draw(
    folder: Path, subset: str, judged: Judged, seen: _Seen, card: ModelCard
) -> None:
    interval, threshold = judged.intervals.get("auc"), judged.metrics.threshold
    if interval is not None and threshold is not None:
        caption = (
            f"{subset}, {judged.metrics.n} slides: AUC {interval.value:.3f} "
            f"({interval.low:.3f} to {interval.high:.3f})"
        )
        path = folder / f"roc_{subset}.png"
        draw_roc(path, seen.labels, seen.probabilities[:, 1], threshold, caption)
    scaled = calibrated(card, seen.probabilities)
    if subset == "val" or scaled is None:  # on validation it was fitted: no evidence
        return
    what = card.classes[-1] if len(card.classes) == 2 else "the likeliest class"
    caption = f"{subset}, {judged.metrics.n} slides: probability of {what}"
    if card.temperature_note:
        caption = f"{caption}\nT: {card.temperature_note}"
    draw_reliability(
        folder / f"reliability_{subset}.png",
        {
            name: reliability_points(seen.labels, chances, seen.cases)
            for name, chances in (
                ("as told", seen.probabilities),
                (f"calibrated, T = {card.temperature:.2f}", scaled),
            )
        },
        caption,
    )


def judge(
    predictions: Sequence[Prediction],
    cohort: Cohort,
    card: ModelCard,
    *,
    in_sample: bool = False,
) -> Judged:
    """Judge the predictions of some slides, not all bare, at the model's threshold.

    Args:
        predictions: Of labelled slides.
        cohort: Their labels and cases.
        card: The model's.
        in_sample: These are the slides that chose threshold, temperature and limits.
    """
    with_tissue = [p for p in predictions if p.probabilities is not None]
    seen = _seen(with_tissue, cohort, card)
    labels, chances, cases = seen.labels, seen.probabilities, seen.cases
    metrics = evaluate(labels, chances, card.threshold, card.classes)
    decided = [p.decide(card.classes, card.threshold) for p in with_tissue]
    right = np.array([card.classes.index(name) for name in decided]) == labels
    intervals = _intervals(labels, chances, right, cases)
    unseen = tuple(p.slide_id for p in predictions if p.probabilities is None)
    trust = trust_figures(card, labels, chances, right, in_sample=in_sample)
    return Judged(metrics, intervals, unseen, trust)


def _intervals(
    labels: npt.NDArray[np.int64],
    chances: npt.NDArray[np.float64],
    right: npt.NDArray[np.bool_],
    cases: Sequence[str],
) -> dict[str, Interval]:
    """Return the interval of each figure that has one; they count cases."""
    intervals = {"accuracy": rate_interval(right, cases)}
    scores = chances[:, 1] if chances.shape[1] == 2 else chances
    if len(set(labels.tolist())) > 1:
        intervals["auc"] = auc_interval(labels, scores, cases)
    if chances.shape[1] == 2:
        for number, name in ((1, "sensitivity"), (0, "specificity")):
            own = np.flatnonzero(labels == number).tolist()
            if own:
                intervals[name] = rate_interval(right[own], [cases[i] for i in own])
    return intervals


def prediction_columns(card: ModelCard) -> list[str]:
    """Return the columns of a table of predictions."""
    return [
        "slide_id",
        "case_id",
        "split",
        "label",
        "predicted",
        "status",
        "error",
        "patches",
        *(f"probability_{name}" for name in card.classes),
        *trust_columns(card),
        "spread",
        "threshold",
    ]


def prediction_row(
    prediction: Prediction,
    card: ModelCard,
    cohort: Cohort | None = None,
    split: Split | None = None,
) -> dict[str, object]:
    """Return one row of a table of predictions; `spread` is over partitions."""
    slide_id = prediction.slide_id
    row: dict[str, object] = {
        "slide_id": slide_id,
        "predicted": prediction.decide(card.classes, card.threshold),
        "status": "ok" if prediction.probabilities is not None else "no tissue",
        "patches": len(prediction.attention),
        "threshold": f"{card.threshold:.6f}" if len(card.classes) == 2 else "",
    }
    if prediction.probabilities is not None and prediction.spread is not None:
        for name, value in zip(card.classes, prediction.probabilities, strict=True):
            row[f"probability_{name}"] = f"{value:.6f}"
        row |= trust_cells(card, prediction.probabilities)
        row["spread"] = f"{prediction.spread.max():.6f}"
    if cohort is not None and slide_id in cohort.join.matched:
        known = cohort.join.matched[slide_id]
        row |= {"case_id": known.case_id, "label": known.label}
    if split is not None:
        row["split"] = split.get(slide_id, "")
    return row
