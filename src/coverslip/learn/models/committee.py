"""DMIA-MIL as a committee: members that learn apart and judge together.

    h^1 .. h^K  = ReLU(W^k (v^k * x_j)), dim / K values each    v^k: the features k sees
    L           = sum_k L^k                    each member's own losses, partition and tokens
    z_j         = mean_k z^k_j                 tier 1, per patch
    e_j         = evidence of z_j              by which patches are selected; of gates the mean
    o           = sum_t softmax_t(evidence of y / tau) y_t,  y_t = mean_k y^k_t

A slide's maximum is decided by the one patch that a model is most wrong about. Members
that see other features (Ho 1998, "The random subspace method") and other pseudo-bags are
wrong about other patches, so logits are averaged patch by patch, before anything is
pooled; averaging verdicts afterwards (`ensemble`) keeps each member's worst patch. A
committee is as wide as one model: K members of dim / K are reduced by one product.

Members lie side by side: each weight is one tensor (K, ...), and `vmap` calls each small
operation once for all of them.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call, vmap

from coverslip.learn.models.attention import EvidenceClassifier
from coverslip.learn.models.dmia import DMIA, Tier1
from coverslip.learn.models.dmia_options import DMIAOptions
from coverslip.learn.models.layers import full_precision, widened
from coverslip.learn.models.model import BagOutput, MILModel
from coverslip.learn.models.pseudobags import PseudoBags, sent, stacked, whole


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

    Args:
        in_dim: Length of a feature, D.
        n_classes: Number of classes, C.
        options: The method's options; `members` divides `dim`.
        seed: Draws every member's initial weights, and what it sees.

    Attributes:
        members: One DMIA, each of whose weights is K members' (K, ...).
        views: For each member (K, D), 0 where it is blind and 1 / sqrt(share) where it
            sees, so that sums over what is seen keep their spread.
    """

    views: Tensor

    def __init__(
        self, in_dim: int, n_classes: int, options: DMIAOptions, seed: int = 0
    ) -> None:
        super().__init__(in_dim, n_classes)
        self.options = options
        self.abreast = count = options.members
        own = options.replace(dim=options.dim // count, members=1)
        each = [DMIA(in_dim, n_classes, own, seed * count + k) for k in range(count)]
        self.members = each[0]
        for name, _ in list(self.members.named_parameters()):
            whole = torch.stack([member.get_parameter(name) for member in each])
            place, _, last = name.rpartition(".")
            setattr(self.members.get_submodule(place), last, nn.Parameter(whole))
        chance = torch.Generator().manual_seed(seed)
        drawn = torch.rand(count, in_dim, generator=chance).argsort(dim=1)  # (K, D)
        seen = drawn < max(1, round(options.view * in_dim))
        self.register_buffer("views", seen / seen.float().mean().sqrt())

    def optimised(self) -> dict[str, list[nn.Module]]:
        """Return the modules of tier 1 and of tier 2, each of all members."""
        return self.members.optimised()

    def bag_losses(
        self, x: Tensor, label: int, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Return the members' losses, each name's sum: a member learns as if alone."""
        return self.batch_losses(x, [len(x)], [label], [generator])

    def batch_losses(
        self,
        x: Tensor,
        sizes: Sequence[int],
        labels: Sequence[int],
        generators: Sequence[torch.Generator],
    ) -> dict[str, Tensor]:
        """Return the mean losses of several slides, all in one pass; see `MILModel`."""
        if not self.members.stackable(sizes):
            return super().batch_losses(x, sizes, labels, generators)
        self.members.progress = self.progress
        drawn = [self.members.slides_groups(sizes, generators) for _ in self.views]
        bags = stacked(drawn).to(x.device)  # (K, B, M, L)
        target = sent(torch.tensor(labels), x.device)  # (B,)
        slides = whole(sizes).to(x.device)  # (B, n)
        h = self.reduce(x)  # (N, dim)
        e = self._scores(h)
        with full_precision(h):
            z = self.logits(h)  # (K, N, C)

            def learn(
                member: DMIA, h: Tensor, z: Tensor, bags: PseudoBags, e: Tensor
            ) -> dict[str, Tensor]:
                own = None if member.attends_to_logits else e
                first = member.tier1(h, bags, z, own, generators[0])
                return member.losses_from(first, slides, target, generators[0])

            scored = z if e is None else e
            losses: dict[str, Tensor] = self._all(learn, self.apart(h), z, bags, scored)
        return {name: loss.sum() for name, loss in losses.items()}

    def assess(self, x: Tensor, partitions: Sequence[int]) -> BagOutput:
        """Judge a bag by the mean evidence; arguments and result as `DMIA.assess`."""
        return self.members.assess_by(self, x, partitions)

    def reduce(self, x: Tensor) -> Tensor:
        """Map standardised features (n, D) to all members' h abreast (n, dim)."""
        reduction = self.members.reduction
        weight = reduction.linear.weight * self.views.unsqueeze(1)  # (K, dim / K, D)
        h = F.linear(x, weight.flatten(0, 1)).relu()  # (n, dim)
        if self.options.residual_blocks:
            h = self._all(lambda member, h: member.reduction.blocks(h), self.apart(h))
            h = h.transpose(0, 1).flatten(1)  # (n, dim)
        return h

    def apart(self, h: Tensor) -> Tensor:
        """Return what lies abreast (n, dim) member by member: (K, n, dim / K)."""
        return h.reshape(len(h), len(self.views), -1).transpose(0, 1)

    def logits(self, h: Tensor) -> Tensor:
        """Return each member's instance logits (K, n, C) of h (n, dim), by one product.

        Members' classifiers are the blocks of one: eight thin products read h as often.
        """
        linear = self.members.classifier.linear  # (K, C, dim / K), (K, C)
        blocks = torch.block_diag(*linear.weight)  # type: ignore[no-untyped-call] # torch's own
        z = widened(h, blocks, linear.bias.flatten())  # (n, K C)
        return self.apart(z)  # (K, n, C)

    def tier1(self, h: Tensor, bags: PseudoBags) -> Tier1:
        """Return tier 1 of the committee: logits are means, features lie abreast.

        Args:
            h: The members' reduced features (n, dim).
            bags: Pseudo-bags, rows (..., L).
        """
        z = self.logits(h).mean(0)  # (n, C)
        scores = self._scores(h)  # (K, heads, n)
        e: Tensor = self.members.attention(z) if scores is None else scores.mean(0)
        first = self.members.tier1(h, bags, z, e)
        return first._replace(b=self.members.classifier.linear.bias.mean(0))

    def _scores(self, h: Tensor) -> Tensor | None:
        """Return what each member's gates say of h (n, dim), (K, heads, n), if any."""
        if self.members.attends_to_logits:
            return None
        scores: Tensor = self._all(lambda member, h: member.attention(h), self.apart(h))
        return scores

    def verdict(self, tokens: Tensor) -> Tensor:
        """Return the slide's logits (R, C) from its tokens (R, T, dim)."""
        shape = *tokens.shape[:-1], len(self.views), -1
        apart = tokens.reshape(shape).movedim(-2, 0)  # (K, R, T, dim / K)
        tier2 = self.members.tier2
        if isinstance(tier2, EvidenceClassifier):
            said = self._all(lambda member, t: member.judge(t), apart)  # (K, R, T, C)
            return tier2.pool(said.mean(0))  # (R, C)
        verdicts = self._all(lambda member, t: member.verdict(t), apart)  # (K, R, C)
        mean: Tensor = verdicts.mean(0)
        return mean

    def _all(self, do: Callable[..., Any], *what: Tensor | PseudoBags) -> Any:  # noqa: ANN401 - whatever `do` returns
        """Let each member `do(member, its part of what)`; results are (K, ...)."""
        weights: dict[str, Tensor] = {
            f"member.{k}": w for k, w in self.members.named_parameters()
        }
        doing = _Doing(self.members, do)

        def one(weights: dict[str, Tensor], *part: Tensor | PseudoBags) -> Any:  # noqa: ANN401 - as above
            return functional_call(doing, weights, part)

        return vmap(one, randomness="different")(weights, *what)


class _Doing(nn.Module):
    """A member and something to do with it, as `functional_call` wants it."""

    def __init__(self, member: DMIA, do: Callable[..., Any]) -> None:
        super().__init__()
        self.member = member
        self.do = do

    def forward(self, *part: Tensor | PseudoBags) -> Any:  # noqa: ANN401 - whatever `do` returns
        """Do it."""
        return self.do(self.member, *part)
