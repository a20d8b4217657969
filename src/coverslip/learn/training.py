"""Train a model on labelled bags (seed sections 3.2 and 3.4).

One optimiser a tier, stepped in turn; the learning rate falls once; gradients are
clipped; the model of the best validation AUC is kept, ties going to the lower
validation loss. Everything random is drawn from (seed, epoch, slide), so a training
that was interrupted goes on to the very result it would have had.
"""

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field
from sklearn.metrics import roc_auc_score

from coverslip.errors import DataError, LabelError
from coverslip.learn.bags import Bag, bag_coords, bag_tensor
from coverslip.learn.models.model import MILModel
from coverslip.learn.prediction import predict_bag
from coverslip.options import Options
from coverslip.prepare.encoders.encoder import choose_device


class TrainOptions(Options):
    """How a model is trained."""

    epochs: int = Field(100, ge=1, description="most passes over the training slides")
    patience: int | None = Field(
        20, ge=1, description="stop after so many epochs without a better validation"
    )
    always: float = Field(
        0.4, ge=0, le=1, description="share of the epochs that patience does not cut"
    )
    lr: float = Field(3e-4, gt=0, description="learning rate of Adam")
    weight_decay: float = Field(1e-4, ge=0, description="weight decay of Adam")
    drop_at: float = Field(
        0.5, gt=0, le=1, description="share of the epochs after which the rate falls"
    )
    drop_by: float = Field(0.2, gt=0, le=1, description="what it is multiplied by then")
    clip: float = Field(5.0, gt=0, description="largest gradient norm of a module")
    partitions: int = Field(
        10, ge=1, description="partitions that a prediction averages (R)"
    )
    seed: int = Field(0, ge=0, description="draws weights, order and pseudo-bags")
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="where it runs")
    precision: Literal["fp32", "bf16"] = Field(
        "fp32", description="arithmetic of the reduction in training"
    )


PAPER = {"epochs": 200, "patience": None, "lr": 1e-4, "weight_decay": 1e-4}
"""The seed's budget, after DTFD-MIL: all 200 epochs, the rate x 0.2 at half."""


@dataclass(frozen=True)
class Labelled:
    """A bag and the number of its class."""

    bag: Bag
    label: int


@dataclass
class Progress:
    """All that a training needs to go on: kept after each epoch.

    Attributes:
        epoch: Epochs done.
        log: One row an epoch.
        best: Validation (AUC, loss) and epoch of the model kept; None before the first.
        best_weights: That model.
        since_best: Epochs since.
    """

    epoch: int
    log: list[dict[str, float]]
    best: tuple[float, float, int] | None
    best_weights: dict[str, torch.Tensor]
    since_best: int


class Trainer:
    """A training in progress: `epochs` advances it, `state` and `restore` keep it.

    Args:
        model: The model; its standardisation is set already.
        train: Training slides, each with at least one patch.
        val: Validation slides.
        options: How.

    Raises:
        LabelError: Training or validation lacks a slide of some class.
    """

    def __init__(
        self,
        model: MILModel,
        train: Sequence[Labelled],
        val: Sequence[Labelled],
        options: TrainOptions | None = None,
    ) -> None:
        self.options = options or TrainOptions()
        for name, part in (("training", train), ("validation", val)):
            if len({item.label for item in part}) < 2:
                raise LabelError(
                    f"{name}: {len(part)} slides of one class only: label more slides, "
                    "or split them otherwise"
                )
        self.device = choose_device(self.options.device)
        self.model = model.to(self.device)
        self.train, self.val = train, val
        self.optimisers = {
            name: torch.optim.Adam(
                [p for module in modules for p in module.parameters()],
                lr=self.options.lr,
                weight_decay=self.options.weight_decay,
                fused=True,
            )
            for name, modules in self.model.optimised().items()
        }
        self.progress = Progress(0, [], None, {}, 0)
        self._always = self.options.always * self.options.epochs

    @property
    def done(self) -> bool:
        """Whether the budget is spent or patience has run out."""
        patience = self.options.patience
        tired = patience is not None and self.progress.since_best >= patience
        return tired or self.progress.epoch >= self.options.epochs

    def epochs(self) -> Iterator[dict[str, float]]:
        """Train epoch by epoch, yielding the row of the log after each.

        Raises:
            DataError: Losses or weights are no longer finite.
        """
        while not self.done:
            row = self._epoch(self.progress.epoch)
            self.progress.epoch += 1
            self.progress.log.append(row)
            self._keep_if_best(row)
            yield row

    def finish(self) -> MILModel:
        """Return the model of the best validation."""
        self.model.load_state_dict(self.progress.best_weights)
        return self.model.eval()

    def _epoch(self, epoch: int) -> dict[str, float]:
        lr = learning_rate(self.options, epoch)
        for optimiser in self.optimisers.values():
            for group in optimiser.param_groups:
                group["lr"] = lr
        self.model.train()
        self.model.progress = epoch / self.options.epochs
        order = torch.randperm(
            len(self.train), generator=_generator(self.options.seed, epoch, "order")
        )
        totals: dict[str, torch.Tensor] = {}
        for number in order.tolist():
            for name, loss in self._step(self.train[number], epoch).items():
                totals[name] = totals.get(name, torch.zeros(())) + loss
        losses = {
            f"loss_{name}": float(total) / len(self.train)
            for name, total in totals.items()
        }
        sound = all(weights.isfinite().all() for weights in self.model.parameters())
        if not sound or not all(map(math.isfinite, losses.values())):
            raise DataError(
                f"training diverged in epoch {epoch + 1} (loss or weights are no longer "
                f"finite): ask for a lower --lr than {self.options.lr:g}"
            )
        return {"epoch": epoch + 1, "lr": lr, **losses, **self._validate()}

    def _step(self, item: Labelled, epoch: int) -> dict[str, torch.Tensor]:
        x = bag_tensor(item.bag).to(self.device)
        generator = _generator(self.options.seed, epoch, item.bag.slide_id)
        with self._arithmetic():
            losses = self.model.losses(x, item.label, generator, bag_coords(item.bag))
        for optimiser in self.optimisers.values():
            optimiser.zero_grad(set_to_none=True)
        torch.stack(list(losses.values())).sum().backward()  # type: ignore[no-untyped-call] # torch's own
        self.model.clip(self.options.clip)
        for optimiser in self.optimisers.values():
            optimiser.step()
        return {name: loss.detach().cpu() for name, loss in losses.items()}

    def _arithmetic(self) -> Any:  # noqa: ANN401 - one of two context managers
        if self.options.precision == "bf16":
            return torch.autocast(self.device.type, torch.bfloat16)
        return nullcontext()

    def _validate(self) -> dict[str, float]:
        """Return AUC and loss on validation, and how sharp attention is there."""
        labels, chances, entropies, tops = [], [], [], []
        for item in self.val:
            said = predict_bag(self.model, item.bag, [0])
            if said.probabilities is None:
                continue
            labels.append(item.label)
            chances.append(said.probabilities)
            entropies.append(attention_entropy(said.attention))
            tops.append(float(np.sort(said.attention)[-10:].sum()))
        true = [row[label] for label, row in zip(labels, chances, strict=True)]
        return {
            "val_auc": one_vs_rest_auc(np.array(labels), np.stack(chances)),
            "val_loss": float(-np.log(np.maximum(true, 1e-12)).mean()),
            "attention_entropy": float(np.mean(entropies)),
            "attention_top10": float(np.mean(tops)),
        }

    def _keep_if_best(self, row: Mapping[str, float]) -> None:
        key = (row["val_auc"], -row["val_loss"])
        best = self.progress.best
        if best is not None and key <= (best[0], -best[1]):
            self.progress.since_best += int(row["epoch"]) > self._always
            return
        self.progress.best = (row["val_auc"], row["val_loss"], int(row["epoch"]))
        self.progress.since_best = 0
        self.progress.best_weights = {
            name: value.detach().clone()
            for name, value in self.model.state_dict().items()
        }


def learning_rate(options: TrainOptions, epoch: int) -> float:
    """Return the rate of an epoch, counted from 0: it falls once."""
    late = epoch >= options.drop_at * options.epochs
    return options.lr * (options.drop_by if late else 1.0)


def attention_entropy(attention: npt.NDArray[np.float32]) -> float:
    """Return the entropy of attention over that of a mean: 1 is flat, 0 one patch."""
    weights = attention[attention > 0].astype(np.float64)
    flat = math.log(max(len(attention), 2))
    return float(-(weights * np.log(weights)).sum() / flat)


def one_vs_rest_auc(
    labels: npt.NDArray[np.int64], probabilities: npt.NDArray[np.float64]
) -> float:
    """Return the AUC of the last of two classes, or the mean of each against the rest.

    Args:
        labels: (N,) class numbers, of at least two classes.
        probabilities: (N, C).
    """
    classes = [1] if probabilities.shape[1] == 2 else np.unique(labels)
    areas = [roc_auc_score(labels == c, probabilities[:, c]) for c in classes]
    return float(np.mean(areas))


def _generator(*parts: object) -> torch.Generator:
    """Return a generator seeded by what it is for."""
    digest = hashlib.sha256(repr(parts).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)
