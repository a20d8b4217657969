"""DMIA-MIL as a committee: members that learn apart and judge together.

    h^1 .. h^K  = ReLU(W^k (v^k * x_j)), dim / K values each    v^k: the features k sees
    L           = sum_k L^k                    each member's own losses, partition and tokens
    z_j         = mean_k z^k_j                 tier 1, per patch
    e_j         = mean_k e^k_j                 evidence, by which patches are selected
    o           = sum_t softmax_t(evidence of y / tau) y_t,  y_t = mean_k y^k_t

A slide's maximum is decided by the one patch that a model is most wrong about. Members
that see other features (Ho 1998, "The random subspace method") and other pseudo-bags are
wrong about other patches, so evidence is averaged patch by patch, before anything is
pooled; averaging verdicts afterwards (`ensemble`) keeps each member's worst patch. A committee is as wide
as one model: K members of dim / K are reduced by one product.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from coverslip.learn.models.attention import EvidenceClassifier
from coverslip.learn.models.dmia import DMIA, Tier1
from coverslip.learn.models.dmia_options import DMIAOptions
from coverslip.learn.models.layers import at_least_fp32, full_precision
from coverslip.learn.models.model import BagOutput, MILModel


def make_dmia(
    in_dim: int, n_classes: int, options: DMIAOptions | None = None, seed: int = 0
) -> "DMIA | Committee":
    """Make DMIA-MIL: one model, or a committee where the options have members.

    Args:
        in_dim: Length of a feature, D.
        n_classes: Number of classes, C.
        options: The method's options.
        seed: Draws the initial weights.
    """
    options = options or DMIAOptions()
    kind = DMIA if options.members == 1 else Committee
    return kind(in_dim, n_classes, options, seed)


class Committee(MILModel):
    """Several DMIA-MIL over the same bags, whose evidence is averaged.

    `views` (K, D) has, for each member, 0 where it is blind and 1 / sqrt(share) where it
    sees: sums over what is seen keep their spread. It travels in the checkpoint.

    Args:
        in_dim: Length of a feature, D.
        n_classes: Number of classes, C.
        options: The method's options; `members` divides `dim`.
        seed: Draws every member's initial weights, and what it sees.
    """

    views: Tensor

    def __init__(
        self, in_dim: int, n_classes: int, options: DMIAOptions, seed: int = 0
    ) -> None:
        super().__init__(in_dim, n_classes)
        self.options = options
        count = options.members
        own = options.replace(dim=options.dim // count, members=1)
        self.members = nn.ModuleList(
            DMIA(in_dim, n_classes, own, seed * count + k) for k in range(count)
        )
        chance = torch.Generator().manual_seed(seed)
        drawn = torch.rand(count, in_dim, generator=chance).argsort(dim=1)  # (K, D)
        seen = drawn < max(1, round(options.view * in_dim))
        self.register_buffer("views", seen / seen.float().mean().sqrt())

    @property
    def _members(self) -> list[DMIA]:
        return [member for member in self.members if isinstance(member, DMIA)]

    def optimised(self) -> dict[str, list[nn.Module]]:
        """Return the modules of tier 1 and of tier 2, of all members."""
        each = [member.optimised() for member in self._members]
        return {tier: [m for own in each for m in own[tier]] for tier in each[0]}

    def bag_losses(
        self, x: Tensor, label: int, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Return the members' losses, each name's sum: a member trains as if alone."""
        totals: dict[str, Tensor] = {}
        for member, h in zip(self._members, self._apart(self.reduce(x)), strict=True):
            member.progress = self.progress
            for name, loss in member.losses_from(h, label, generator).items():
                totals[name] = totals[name] + loss if name in totals else loss
        return totals

    def assess(self, x: Tensor, partitions: Sequence[int]) -> BagOutput:
        """Judge a bag by the mean evidence; arguments and result as `DMIA.assess`."""
        lead = self._members[0]
        members = lead.seeded_groups(len(x), partitions).to(x.device)  # (R, M, n)
        groups = members.flatten(0, 1)  # (R M, n)
        h = self.reduce(x)  # (n, dim)
        with full_precision(h):
            first = self.tier1(h, groups)
            tokens = lead.tokens(first, groups)  # (R M, T, dim)
            tokens = tokens.reshape(len(members), -1, h.shape[1])  # (R, M T, dim)
            o = self.verdict(tokens)  # (R, C)
            whole = lead.weigh(first.e, groups.new_ones(1, len(x)))  # (1, n)
        return BagOutput(
            logits=o,
            attention=whole[0],
            patch_probabilities=first.z.softmax(dim=-1),
        )

    def reduce(self, x: Tensor) -> Tensor:
        """Map features (n, D) to all members' h, side by side: (n, dim)."""
        x = self.standardise(x)  # (n, D)
        reductions = [member.reduction for member in self._members]
        weight = torch.cat(
            [
                own.linear.weight * view
                for own, view in zip(reductions, self.views, strict=True)
            ]
        )  # (dim, D)
        h = self._apart(torch.relu(F.linear(x, weight)))
        return at_least_fp32(
            torch.cat(
                [own.blocks(part) for own, part in zip(reductions, h, strict=True)], 1
            )
        )  # (n, dim)

    def tier1(self, h: Tensor, groups: Tensor) -> Tier1:
        """Return tier 1 of the committee: its evidence is the members' mean.

        Args:
            h: All members' reduced features (n, dim).
            groups: Pseudo-bags, bool (G, n).
        """
        each = [
            member.tier1(part, groups)
            for member, part in zip(self._members, self._apart(h), strict=True)
        ]
        z, b, e = (
            torch.stack(same).mean(0)
            for same in zip(*((own.z, own.b, own.e) for own in each), strict=True)
        )  # (n, C), (C,), (heads, n)
        alpha = self._members[0].weigh(e, groups)  # (G, n)
        s = alpha @ z  # (G, C): classifiers are linear and weights sum to one
        return Tier1(h, z, b, e, alpha, alpha @ h, s)

    def verdict(self, tokens: Tensor) -> Tensor:
        """Return the slide's logits (R, C) from its tokens (R, T, dim)."""
        pairs = list(zip(self._members, self._apart(tokens), strict=True))
        tier2 = self._members[0].tier2
        if isinstance(tier2, EvidenceClassifier):
            said = torch.stack([member.judge(part) for member, part in pairs])
            return tier2.pool(said.mean(0))  # (R, C)
        return torch.stack([member.verdict(part) for member, part in pairs]).mean(0)

    def _apart(self, h: Tensor) -> tuple[Tensor, ...]:
        """Return each member's part (..., dim / K) of h (..., dim)."""
        return h.tensor_split(len(self.members), dim=-1)
