"""Train a model on labelled bags (seed sections 3.2 and 3.4).

One optimiser a tier, stepped in turn; a step sees one slide (or several, whose losses
are averaged, where the options say so); the learning rate falls once; gradients are
clipped; the model of the best validation AUC is kept, ties going to the lower
validation loss. Everything random is drawn from (seed, epoch, slide), so a training
that was interrupted goes on to the very result it would have had.
"""

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from sklearn.metrics import roc_auc_score

from coverslip.errors import DataError, LabelError
from coverslip.learn.loading import Batch, Labelled, Loader
from coverslip.learn.models.model import MILModel
from coverslip.learn.train_options import TrainOptions
from coverslip.prepare.encoders.devices import choose_device


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


def require_two_classes(name: str, labels: Sequence[object]) -> None:
    """Refuse slides that are all of one class.

    Args:
        name: What they are for.
        labels: The class of each.

    Raises:
        LabelError: There are not two classes among them.
    """
    if len(set(labels)) < 2:
        raise LabelError(
            f"{name}: {len(labels)} slides of one class only: label more slides, or "
            "split them otherwise"
        )


class Trainer:
    """A training in progress: `epochs` advances it, `state` and `restore` keep it.

    Args:
        model: The model; its standardisation is set already.
        train: Training slides, each with at least one patch.
        val: Validation slides; those without patches are passed over.
        options: How.

    Raises:
        LabelError: Training or validation lacks a slide of some class.
        DataError: A training slide has no patches.
        MismatchError: Its features are not of the model's length.
    """

    def __init__(
        self,
        model: MILModel,
        train: Sequence[Labelled],
        val: Sequence[Labelled],
        options: TrainOptions | None = None,
    ) -> None:
        self.options = options or TrainOptions()
        val = [item for item in val if len(item.bag)]
        for name, part in (("training", train), ("validation", val)):
            require_two_classes(name, [item.label for item in part])
        for item in (*train, *val):
            model.check(item.bag.features.shape)
        self.device = torch.device(choose_device(self.options.device))
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
        half = self.options.precision == "bf16"
        kind = torch.bfloat16 if half else torch.float32
        self._train_bags = Loader(train, model.standardise, self.device, kind)
        self._val_bags = Loader(
            val,
            model.standardise,
            self.device,
            room=self._train_bags.room_left,  # together they take no more than one
        )
        self.progress = Progress(0, [], None, {}, 0)
        self._always = self.options.always * self.options.epochs

    @property
    def done(self) -> bool:
        """Whether the budget is spent or patience has run out."""
        patience = self.options.patience
        tired = patience is not None and self.progress.since_best >= patience
        return tired or self.progress.epoch >= self.options.epochs

    @property
    def keeps_bags(self) -> bool:
        """Whether the training bags stay on the device from the first epoch on."""
        return self._train_bags.keeps

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

    def pass_over(self, epoch: int) -> dict[str, float]:
        """Train on every training slide once and return the mean losses.

        Raises:
            DataError: Losses or weights are no longer finite.
        """
        lr = learning_rate(self.options, epoch)
        for optimiser in self.optimisers.values():
            for group in optimiser.param_groups:
                group["lr"] = lr
        self.model.train()
        self.model.progress = epoch / self.options.epochs
        order = torch.randperm(
            len(self.train), generator=_generator(self.options.seed, epoch, "order")
        )
        totals: dict[str, torch.Tensor] = {}  # on the device: nothing waits for a sum
        for batch in self._train_bags.batches(
            order.tolist(), self.options.slides_per_step
        ):
            for name, loss in self._step(batch, epoch).items():
                total = len(batch.items) * loss
                totals[name] = totals[name] + total if name in totals else total
        losses = {
            name: float(total) / len(self.train) for name, total in totals.items()
        }
        sound = all(weights.isfinite().all() for weights in self.model.parameters())
        if not sound or not all(map(math.isfinite, losses.values())):
            raise DataError(
                f"training diverged in epoch {epoch + 1} (loss or weights are no longer "
                f"finite): ask for a lower --lr than {lr:g}"
            )
        return losses

    def _epoch(self, epoch: int) -> dict[str, float]:
        losses = {f"loss_{name}": one for name, one in self.pass_over(epoch).items()}
        lr = learning_rate(self.options, epoch)
        return {"epoch": epoch + 1, "lr": lr, **losses, **self._validate()}

    def _step(self, batch: Batch, epoch: int) -> dict[str, torch.Tensor]:
        generators = [
            _generator(self.options.seed, epoch, item.bag.slide_id)
            for item in batch.items
        ]
        with self._arithmetic():
            losses = self.model.batch_losses(
                batch.x, batch.sizes, batch.labels, generators
            )
        for optimiser in self.optimisers.values():
            optimiser.zero_grad(set_to_none=True)
        torch.stack(list(losses.values())).sum().backward()  # type: ignore[no-untyped-call] # torch's own
        self.model.clip(self.options.clip)
        for optimiser in self.optimisers.values():
            optimiser.step()
        return {name: loss.detach() for name, loss in losses.items()}

    def _arithmetic(self) -> Any:  # noqa: ANN401 - one of two context managers
        if self.options.precision == "bf16":
            return torch.autocast(self.device.type, torch.bfloat16)
        return nullcontext()

    @torch.no_grad()
    def _validate(self) -> dict[str, float]:
        """Return AUC and loss on validation, and how sharp attention is there."""
        self.model.eval()
        chances, sharp = [], []
        for batch in self._val_bags.batches(range(len(self.val)), 1):
            said = self.model.assess(batch.x, [0])
            chances.append(said.probability)
            top = said.attention.topk(min(10, len(said.attention))).values.sum()
            sharp.append(torch.stack([attention_entropy(said.attention), top]))
        labels = np.array([item.label for item in self.val])
        chance = torch.stack(chances).double().cpu().numpy()  # (N, C)
        entropy, top10 = torch.stack(sharp).double().mean(dim=0).tolist()
        true = chance[np.arange(len(labels)), labels]
        return {
            "val_auc": one_vs_rest_auc(labels, chance),
            "val_loss": float(-np.log(np.maximum(true, 1e-12)).mean()),
            "attention_entropy": entropy,
            "attention_top10": top10,
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


def attention_entropy(attention: torch.Tensor) -> torch.Tensor:
    """Return the entropy of attention (n,) over that of a mean: 1 is flat, 0 one patch."""
    weights = attention.double()
    flat = math.log(max(len(attention), 2))
    entropy: torch.Tensor = -torch.special.xlogy(weights, weights).sum() / flat
    return entropy  # ()


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
