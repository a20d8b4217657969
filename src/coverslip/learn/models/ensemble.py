"""Several models of one kind as one: their probabilities are averaged.

    p(x) = 1/N sum_i 1/R sum_r softmax(o_ir(x))        N members, R partitions of each

A member's partitions are further rows of logits, so that the mean over rows is the mean
over members, and the spread over rows is that over members and partitions.
"""

from collections.abc import Sequence
from typing import NoReturn

import torch
from torch import Tensor, nn

from coverslip.learn.models.model import BagOutput, MILModel


class Ensemble(MILModel):
    """The mean of trained models, as a model; each standardises features by itself.

    Args:
        members: At least one, all for the same features and classes.
    """

    def __init__(self, members: Sequence[MILModel]) -> None:
        super().__init__(members[0].in_dim, members[0].n_classes)
        self.members = nn.ModuleList(members)

    def bag_losses(
        self,
        x: Tensor,  # noqa: ARG002 - the protocol's
        label: int,  # noqa: ARG002 - the protocol's
        generator: torch.Generator,  # noqa: ARG002 - the protocol's
    ) -> NoReturn:
        """Refuse: members are trained one by one, before they are put together."""
        raise TypeError("an ensemble is not trained: train its members")

    def optimised(self) -> dict[str, list[nn.Module]]:
        """Return nothing: members are trained one by one."""
        return {}

    def assess(self, x: Tensor, partitions: Sequence[int]) -> BagOutput:
        """Let every member judge the bag: logits (N R, C), the rest averaged."""
        said = [m.assess(m.standardise(x), partitions) for m in self._models()]
        patches = torch.stack([one.patch_probabilities for one in said])  # (N, n, C)
        return BagOutput(
            logits=torch.cat([one.logits for one in said]),  # (N R, C)
            attention=torch.stack([one.attention for one in said]).mean(0),  # (n,)
            patch_probabilities=patches.mean(0),  # (n, C)
        )

    def _models(self) -> list[MILModel]:
        return [member for member in self.members if isinstance(member, MILModel)]
