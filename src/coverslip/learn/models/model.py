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
        logits: (R, C), one row a partition; one row where a model has none.
        attention: (n,), over the whole slide, summing to one; zero where masked.
        patch_probabilities: (n, C), what the model says of each patch alone; NaN where
            masked.
    """

    logits: Tensor
    attention: Tensor
    patch_probabilities: Tensor

    @property
    def probabilities(self) -> Tensor:
        """The class probabilities of each partition (R, C)."""
        return self.logits.softmax(dim=-1)

    @property
    def probability(self) -> Tensor:
        """The slide's class probabilities (C,): the mean over partitions."""
        return self.probabilities.mean(dim=0)


class MILModel(nn.Module, ABC):
    """A classifier of bags; a bag is one slide's features x (n, D).

    A model defines `bag_losses`, `optimised` and `assess`; callers use `losses`,
    `optimised` and `predict`, which check the bag, leave out what is masked, put the
    patches in canonical order and standardise their features.

    Args:
        in_dim: Length of a feature, D.
        n_classes: Number of classes, C.

    Attributes:
        abreast: How many models lie side by side, as the first axis of each weight;
            gradients are clipped for each by itself.
        progress: Share of the training that is done, 0 to 1, for losses that change on
            the way; whoever trains sets it before each epoch.
    """

    def __init__(self, in_dim: int, n_classes: int) -> None:
        super().__init__()
        self.in_dim = in_dim
        self.n_classes = n_classes
        self.abreast = 1
        self.progress = 1.0
        self.standardise = Standardise(in_dim)

    @abstractmethod
    def bag_losses(
        self, x: Tensor, label: int, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Return the losses of a bag x (n, D), standardised and in canonical order."""

    @abstractmethod
    def optimised(self) -> dict[str, list[nn.Module]]:
        """Return the modules of each optimiser: one optimiser an entry.

        Every trained parameter is in exactly one module and every module has some;
        gradients are clipped module by module.
        """

    @torch.no_grad()
    def clip(self, limit: float) -> None:
        """Scale gradients down to a norm of at most `limit`, module by module."""
        for modules in self.optimised().values():
            for module in modules:
                slopes = [p.grad for p in module.parameters() if p.grad is not None]
                if not slopes:
                    continue
                parts = [slope.reshape(self.abreast, -1) for slope in slopes]
                norms = [part.norm(dim=1) for part in parts]  # (abreast,) each
                norm = torch.stack(norms).norm(dim=0)  # (abreast,)
                scale = (limit / (norm + 1e-6)).clamp(max=1)  # as PyTorch's clipping
                for part in parts:
                    part.mul_(scale.unsqueeze(1))

    @abstractmethod
    def assess(self, x: Tensor, partitions: Sequence[int]) -> BagOutput:
        """Judge a bag x (n, D), standardised and in canonical order."""

    def losses(
        self,
        x: Tensor,
        label: int,
        generator: torch.Generator,
        coords: Tensor | None = None,
        mask: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Return the named losses of one bag; training descends their sum.

        Args:
            x: Features (n, D).
            label: The slide's class.
            generator: A CPU generator, the only source of chance.
            coords: Level-0 (x, y) of each patch, (n, 2); they put the patches in order
                and tell a model nothing else.
            mask: Patches that take part, bool (n,); all without.

        Raises:
            DataError: The bag has no patches.
            MismatchError: The features are not of length D.
        """
        kept = self._kept(x, coords, mask)  # (m,)
        return self.bag_losses(self.standardise(x[kept]), label, generator)

    def batch_losses(
        self,
        x: Tensor,
        sizes: Sequence[int],
        labels: Sequence[int],
        generators: Sequence[torch.Generator],
    ) -> dict[str, Tensor]:
        """Return the named losses of several bags, each the mean over them.

        Here bag by bag; models whose arithmetic allows it take them in one pass.

        Args:
            x: Standardised features (N, D) of bags laid end to end, each in canonical
                order and not empty.
            sizes: How many patches each has; their sum is N.
            labels: The slides' classes.
            generators: A CPU generator for each.
        """
        each = [
            self.bag_losses(part, label, own)
            for part, label, own in zip(
                torch.split(x, list(sizes)), labels, generators, strict=True
            )
        ]
        names = dict.fromkeys(name for one in each for name in one)
        parts = {name: [one[name] for one in each if name in one] for name in names}
        return {name: torch.stack(own).sum() / len(each) for name, own in parts.items()}

    @torch.no_grad()
    def predict(
        self,
        x: Tensor,
        partitions: Sequence[int],
        coords: Tensor | None = None,
        mask: Tensor | None = None,
    ) -> BagOutput:
        """Judge one bag; neither the patches' order nor any random state matters.

        Args:
            x: Features (n, D).
            partitions: Seeds of the R partitions into pseudo-bags, at least one.
            coords: Level-0 (x, y) of each patch, (n, 2). Without them the patches
                are put in order by their features.
            mask: Patches that take part, bool (n,); all without.

        Raises:
            DataError: The bag has no patches.
            MismatchError: The features are not of length D.
            ValueError: No partition is asked for.
        """
        if not partitions:
            raise ValueError("predict needs the seed of at least one partition")
        kept = self._kept(x, coords, mask)  # (m,)
        was_training = self.training
        self.eval()
        try:
            output = self.assess(self.standardise(x[kept]), partitions)
        finally:
            self.train(was_training)
        attention = output.attention.new_zeros(len(x))  # (n,)
        said = output.patch_probabilities.new_full((len(x), self.n_classes), torch.nan)
        attention[kept] = output.attention
        said[kept] = output.patch_probabilities
        return replace(output, attention=attention, patch_probabilities=said)

    def _kept(self, x: Tensor, coords: Tensor | None, mask: Tensor | None) -> Tensor:
        """Return the places of the patches that take part, in canonical order: (m,)."""
        self.check((x if mask is None else x[mask]).shape)
        order = canonical_order(x, coords)  # (n,)
        return order if mask is None else order[mask[order]]

    def check(self, shape: tuple[int, ...]) -> None:
        """Refuse a bag (n, D) that this model cannot read.

        Raises:
            DataError: The bag has no patches.
            MismatchError: The features are not of length D.
        """
        n, dim = shape
        if n == 0:
            raise DataError("no patches: leave this slide out, or find tissue in it")
        if dim != self.in_dim:
            raise MismatchError(
                f"features are {dim} long and the model reads {self.in_dim}: use the "
                "encoder that the model was trained with"
            )
