"""The small protocol that every multiple-instance model keeps."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from coverslip.errors import DataError, MismatchError
from coverslip.learn.models.layers import Standardise
from coverslip.learn.models.pseudobags import canonical_order


@dataclass(frozen=True, eq=False)
class BagOutput:
    """What a model says about one slide of n patches, in the caller's order.

    Attributes:
        probabilities: (R, C), one row a partition; one row where a model has none.
        attention: (n,), over the whole slide, summing to one.
        patch_probabilities: (n, C), what the model says of each patch alone.
    """

    probabilities: Tensor
    attention: Tensor
    patch_probabilities: Tensor

    @property
    def probability(self) -> Tensor:
        """The slide's class probabilities (C,): the mean over partitions."""
        return self.probabilities.mean(dim=0)


class MILModel(nn.Module, ABC):
    """A classifier of bags; a bag is one slide's features x (n, D).

    A model defines `losses`, `optimised` and `assess`; callers use `losses`,
    `optimised` and `predict`. Features are standardised first, by `standardise`.

    Args:
        in_dim: Length of a feature, D.
        n_classes: Number of classes, C.
    """

    def __init__(self, in_dim: int, n_classes: int) -> None:
        super().__init__()
        self.in_dim = in_dim
        self.n_classes = n_classes
        self.standardise = Standardise(in_dim)

    @abstractmethod
    def losses(
        self, x: Tensor, label: int, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Return the named losses of one bag; training descends their sum.

        Args:
            x: Features (n, D).
            label: The slide's class.
            generator: A CPU generator, the only source of chance.

        Raises:
            DataError: The bag has no patches.
            MismatchError: The features are not of length D.
        """

    @abstractmethod
    def optimised(self) -> dict[str, list[nn.Module]]:
        """Return the modules of each optimiser: one optimiser an entry.

        Every trained parameter is in exactly one module and every module has some;
        gradients are clipped module by module.
        """

    @abstractmethod
    def assess(self, x: Tensor, partitions: Sequence[int]) -> BagOutput:
        """Judge one bag whose patches are in canonical order; `predict` calls it."""

    @torch.no_grad()
    def predict(
        self, x: Tensor, partitions: Sequence[int], coords: Tensor | None = None
    ) -> BagOutput:
        """Judge one bag; neither the patches' order nor any random state matters.

        Args:
            x: Features (n, D).
            partitions: Seeds of the R partitions into pseudo-bags, at least one.
            coords: Level-0 (x, y) of each patch, (n, 2). Without them the patches
                are put in order by their features.

        Raises:
            DataError: The bag has no patches.
            MismatchError: The features are not of length D.
            ValueError: No partition is asked for.
        """
        self.check(x)
        if not partitions:
            raise ValueError("predict needs the seed of at least one partition")
        order = canonical_order(x, coords)  # (n,)
        back = order.argsort()  # (n,)
        was_training = self.training
        self.eval()
        try:
            output = self.assess(x[order], partitions)
        finally:
            self.train(was_training)
        return replace(
            output,
            attention=output.attention[back],
            patch_probabilities=output.patch_probabilities[back],
        )

    def check(self, x: Tensor) -> None:
        """Refuse a bag that this model cannot read.

        Raises:
            DataError: The bag has no patches.
            MismatchError: The features are not of length D.
        """
        if len(x) == 0:
            raise DataError("no patches: leave this slide out, or find tissue in it")
        if x.shape[1] != self.in_dim:
            raise MismatchError(
                f"features are {x.shape[1]} long and the model reads {self.in_dim}: "
                "use the encoder that the model was trained with"
            )
