"""What the models of one tier share: a reduction, a classifier, one loss on the bag.

    h_j = ReLU(W_r x_j)                     reduction of standardised features
    o   = what the model makes of h_1 .. h_n, by pooling
    L   = CE(o, Y), and losses of the model's own

A model of this kind says only how it reads a bag (`read`); it has no partitions, so it
gives one row of logits. Dropout acts on what the classifier reads, in training.
"""

from abc import abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from coverslip.learn.models.layers import (
    DimReduction,
    LinearClassifier,
    at_least_fp32,
    full_precision,
    initial_weights,
)
from coverslip.learn.models.model import BagOutput, MILModel
from coverslip.learn.models.one_tier_options import OneTierOptions


class Reading(NamedTuple):
    """What one forward says about a bag of n patches."""

    logits: Tensor
    """Of the slide, (C,)."""
    attention: Tensor
    """Of each patch, (n,), summing to one."""
    z: Tensor
    """Logits of each patch alone, (n, C)."""


class OneTier(MILModel):
    """A model of one tier; build it within `initial_weights`.

    Args:
        in_dim: Length of a feature, D.
        n_classes: Number of classes, C.
        options: The model's options.
    """

    options: OneTierOptions

    def __init__(self, in_dim: int, n_classes: int, options: OneTierOptions) -> None:
        super().__init__(in_dim, n_classes)
        self.options = options
        self.reduction = DimReduction(in_dim, options.dim, options.residual_blocks)
        self.classifier = LinearClassifier(options.dim, n_classes, options.dropout)

    @abstractmethod
    def read(self, h: Tensor, generator: torch.Generator | None = None) -> Reading:
        """Read a bag of reduced features h (n, dim); a generator draws dropout."""

    def own_losses(self, reading: Reading, target: Tensor) -> dict[str, Tensor]:  # noqa: ARG002 - for models that have some
        """Return losses beside the bag's, for the label `target`, a tensor ()."""
        return {}

    def optimised(self) -> dict[str, list[nn.Module]]:
        """Return all parts that have weights, for one optimiser."""
        return {
            "model": [m for m in self.children() if any(True for _ in m.parameters())]
        }

    def bag_losses(
        self, x: Tensor, label: int, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Return "bag", the cross entropy of the slide, and the model's own losses."""
        h = self.reduce(x)  # (n, dim)
        with full_precision(h):
            reading = self.read(h, generator)
            target = torch.tensor(label, device=h.device)  # ()
            bag = F.cross_entropy(reading.logits, target)
            return {"bag": bag, **self.own_losses(reading, target)}

    def assess(self, x: Tensor, partitions: Sequence[int]) -> BagOutput:  # noqa: ARG002 - there are none
        """Judge a bag: one row of logits, whatever the partitions."""
        h = self.reduce(x)  # (n, dim)
        with full_precision(h):
            reading = self.read(h)
        return BagOutput(
            logits=reading.logits.unsqueeze(0),  # (1, C)
            attention=reading.attention,
            patch_probabilities=reading.z.softmax(dim=-1),
        )

    def reduce(self, x: Tensor) -> Tensor:
        """Reduce standardised features (n, D) to h (n, dim), fp32 or wider."""
        return at_least_fp32(self.reduction(x))  # (n, dim)


class Pooling(OneTier):
    """A model of one tier with no weights but the reduction's and the classifier's.

    Args:
        in_dim: Length of a feature, D.
        n_classes: Number of classes, C.
        options: The model's options.
        seed: Draws the initial weights.
    """

    def __init__(
        self,
        in_dim: int,
        n_classes: int,
        options: OneTierOptions | None = None,
        seed: int = 0,
    ) -> None:
        with initial_weights(seed):
            super().__init__(in_dim, n_classes, options or OneTierOptions())
