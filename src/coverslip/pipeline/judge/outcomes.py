"""What a table of predictions says of labelled slides, as arrays that can be judged."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from coverslip.errors import DataError
from coverslip.judge.calibration import brier, calibration_error, told
from coverslip.judge.metrics import auc, average_precision, log_loss, metrics_at

COLUMN = "probability_"
"""Each class has a column of this name and its own."""


@dataclass(frozen=True)
class Outcomes:
    """What was predicted of N slides, and what they are.

    Attributes:
        slides: Slide ids, N; one may stand there more than once.
        cases: The case of each.
        classes: The C names, in lower case; of two, the last is the positive one.
        labels: (N,) class numbers.
        probabilities: (N, C).
        thresholds: (N,) that of the model each was predicted by; NaN when C > 2.
        decided: (N,) class numbers, decided at those thresholds.
    """

    slides: tuple[str, ...]
    cases: tuple[str, ...]
    classes: tuple[str, ...]
    labels: npt.NDArray[np.int64]
    probabilities: npt.NDArray[np.float64]
    thresholds: npt.NDArray[np.float64]
    decided: npt.NDArray[np.int64]

    def take(self, chosen: Sequence[int] | npt.NDArray[np.intp]) -> "Outcomes":
        """Return some of the rows, in that order."""
        return Outcomes(
            tuple(self.slides[i] for i in chosen),
            tuple(self.cases[i] for i in chosen),
            self.classes,
            self.labels[chosen],
            self.probabilities[chosen],
            self.thresholds[chosen],
            self.decided[chosen],
        )

    @property
    def scores(self) -> npt.NDArray[np.float64]:
        """What an AUC is made from: (N,) of two classes, (N, C) of more."""
        two = len(self.classes) == 2
        return self.probabilities[:, 1] if two else self.probabilities

    def figures(self) -> dict[str, Any]:
        """Return the figures of all rows together, named as in `Metrics`.

        `brier` and `ece` say how well the probabilities are calibrated. Decisions are the table's, each at the threshold of the model it comes from.
        """
        said = np.eye(len(self.classes))[self.decided]  # (N, C)
        return {
            "auc": auc(self.labels, self.probabilities),
            "auprc": average_precision(self.labels, self.probabilities),
            "log_loss": log_loss(self.labels, self.probabilities),
            "brier": brier(self.labels, self.probabilities),
            "ece": calibration_error(*told(self.labels, self.probabilities)),
            **metrics_at(self.labels, said, 0.5),
        }


def outcomes_of(rows: Sequence[Mapping[str, str]], path: Path) -> Outcomes:
    """Take the rows of a table that have a label and a probability.

    Args:
        rows: Of a table of predictions.
        path: That table, for messages.

    Raises:
        DataError: A column is missing or holds no number, or a label is no class.
    """
    columns = list(rows[0]) if rows else []
    classes = [name.removeprefix(COLUMN) for name in columns if name.startswith(COLUMN)]
    lacking = {"slide_id", "label", "predicted"}.difference(columns)
    if lacking or len(classes) < 2:
        raise DataError(
            f"{path}: no predictions of labelled slides in it: give the folder of a run "
            "that `coverslip train` made"
        )
    seen = [row for row in rows if row["label"] and row[COLUMN + classes[0]]]
    try:
        return Outcomes(
            tuple(row["slide_id"] for row in seen),
            tuple(row.get("case_id") or row["slide_id"] for row in seen),
            tuple(classes),
            np.array([classes.index(row["label"].lower()) for row in seen], np.int64),
            np.array(
                [[float(row[COLUMN + name]) for name in classes] for row in seen]
            ).reshape(-1, len(classes)),
            np.array([float(row.get("threshold") or "nan") for row in seen]),
            np.array(
                [classes.index(row["predicted"].lower()) for row in seen], np.int64
            ),
        )
    except ValueError as error:
        raise DataError(
            f"{path}: not a table of predictions ({error}): make it again"
        ) from None
