"""Evaluate: predictions of every labelled slide, and figures on the ones kept apart."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from coverslip import store
from coverslip.errors import DataError
from coverslip.judge.intervals import Interval, auc_interval, proportion_interval
from coverslip.judge.metrics import Metrics, evaluate, null_for_nan
from coverslip.learn.bags import check_belongs
from coverslip.learn.checkpoint import ModelCard, load_model, model_file
from coverslip.learn.prediction import Prediction, predict_bag
from coverslip.learn.splits import Split
from coverslip.pipeline.cohort import Cohort
from coverslip.prepare.encoders.encoder import Device, choose_device
from coverslip.show.figures import draw_roc
from coverslip.tables import read_csv, write_csv


@dataclass(frozen=True)
class Judged:
    """How good a model is on one subset of slides.

    Attributes:
        metrics: Figures at the threshold chosen on validation.
        intervals: Interval by name of figure: auc, accuracy, sensitivity, specificity.
        not_judged: Slides without tissue, which no figure counts.
        labels: (N,) class numbers of the slides judged.
        probabilities: (N, C) of the same slides.
    """

    metrics: Metrics
    intervals: Mapping[str, Interval]
    not_judged: tuple[str, ...]
    labels: npt.NDArray[np.int64]
    probabilities: npt.NDArray[np.float64]

    def facts(self) -> store.Facts:
        """Return everything JSON-ready."""
        intervals = {
            name: {"low": i.low, "high": i.high, "level": i.level, "method": i.method}
            for name, i in self.intervals.items()
        }
        facts = {**self.metrics.facts(), "intervals": null_for_nan(intervals)}
        return {**facts, "not_judged": list(self.not_judged)}

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
        if any(p.probabilities is not None for p in part):
            judged[subset] = judge(part, cohort, card)
            _draw(out / "figures" / f"roc_{subset}.png", subset, judged[subset])
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


def _draw(path: Path, subset: str, judged: Judged) -> None:
    interval, threshold = judged.intervals.get("auc"), judged.metrics.threshold
    if interval is None or threshold is None:
        return
    caption = (
        f"{subset}, {judged.metrics.n} slides: AUC {interval.value:.3f} "
        f"({interval.low:.3f} to {interval.high:.3f})"
    )
    draw_roc(path, judged.labels, judged.probabilities[:, 1], threshold, caption)


def judge(predictions: Sequence[Prediction], cohort: Cohort, card: ModelCard) -> Judged:
    """Judge the predictions of some slides, not all bare, at the model's threshold."""
    rows = cohort.join.matched
    seen = [p for p in predictions if p.probabilities is not None]
    labels = np.array([card.classes.index(rows[p.slide_id].label) for p in seen])
    chances = np.array([p.probabilities for p in seen])
    metrics = evaluate(labels, chances, card.threshold, card.classes)
    right = int(np.trace(np.array(metrics.confusion)))
    intervals = {"accuracy": proportion_interval(right, metrics.n)}
    if len(card.classes) == 2:
        cases = [rows[p.slide_id].case_id for p in seen]
        if len(set(labels.tolist())) == 2:
            intervals["auc"] = auc_interval(labels, chances[:, 1], cases)
        for number, name in ((1, "sensitivity"), (0, "specificity")):
            true = metrics.confusion[number]
            if sum(true):
                intervals[name] = proportion_interval(true[number], sum(true))
    unseen = tuple(p.slide_id for p in predictions if p.probabilities is None)
    return Judged(metrics, intervals, unseen, labels, chances)


def gather_folds(folder: Path, models: Sequence[Path]) -> None:
    """Collect what each fold says of its test slides into one table and one JSON."""
    rows: list[dict[str, str]] = []
    figures = {}
    for number, model in enumerate(models):
        table = read_csv(model.parent / "predictions.csv")
        rows += [
            {**row, "fold": str(number)} for row in table if row["split"] == "test"
        ]
        figures[f"fold_{number}"] = store.read_json(model.parent / "metrics.json")
    columns = list(dict.fromkeys(key for row in rows for key in row))
    rows.sort(key=lambda row: row["slide_id"])
    write_csv(folder / "predictions.csv", columns, rows)
    store.write_json(folder / "metrics.json", figures)


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
        row["spread"] = f"{prediction.spread.max():.6f}"
    if cohort is not None and slide_id in cohort.join.matched:
        known = cohort.join.matched[slide_id]
        row |= {"case_id": known.case_id, "label": known.label}
    if split is not None:
        row["split"] = split.get(slide_id, "")
    return row
