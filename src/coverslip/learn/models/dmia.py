"""DMIA-MIL: key instances by attention to evidence, then a second look at them.

    h_j     = ReLU(W_r x_j)                                     reduction
    P_1..M  = a seeded random partition of the slide            pseudo-bags
    z_j     = W h_j + b                                         tier 1, per patch
    e_j     = z_j1 - z_j0                                       evidence, one-sided
    alpha_j = exp(e_j / tau) / sum over P_m of exp(e_i / tau)
    f_m     = sum over P_m of alpha_j h_j ;  s_m = W f_m + b    tier 1, per pseudo-bag
    L1      = mean_m CE(s_m, Y) + lambda mean_m sum_j alpha_j CE(z_j, Y) + kappa K
    tokens  = the h_j with the highest (and lowest) scores in P_m, or f_m (AFS)
    z'_t    = W' t + b'                                         tier 2, per token
    o'      = sum_t beta_t z'_t, beta the softmax of the evidence of z' / tau
    L2      = CE(o', Y)
    o       = the same sum of (1 - w) z'_t + w z_t              prediction

Tier 1's attention and classifier share W and b; K is the loss of the key patches, see
`key_loss`. The seed (section III) gives no formula for its "exponential attention". The
literal reading is the preset `paper`: e_j = log sum_c exp(z_jc) (Shi et al. 2020), AFS,
gated attention in tier 2, which decides alone. The defaults are what validation made of
it (docs/benchmarks.md). The preset with `attention="gated", score="cam"` is DTFD-MIL
(Zhang et al. 2022).
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from coverslip.learn.models.attention import (
    NORMALISERS,
    AttentionClassifier,
    EvidenceClassifier,
    ExponentialAttention,
    GatedAttention,
    MarginAttention,
    TanhAttention,
)
from coverslip.learn.models.dmia_options import PAPER, PRESETS, DMIAOptions
from coverslip.learn.models.key_patches import key_loss
from coverslip.learn.models.layers import (
    DimReduction,
    LinearClassifier,
    at_least_fp32,
    full_precision,
    initial_weights,
)
from coverslip.learn.models.model import BagOutput, MILModel
from coverslip.learn.models.pseudobags import partition, partitions
from coverslip.learn.models.selection import (
    cam_score,
    margin_score,
    patches_needed,
    select,
    target_class,
)

__all__ = ["DMIA", "PAPER", "PRESETS", "DMIAOptions", "Tier1"]

SOFTEST = 0.1
"""Sharpness of attention at the start of a training that warms up: tau is ten times."""


class Tier1(NamedTuple):
    """One tier-1 forward over n patches in G pseudo-bags."""

    h: Tensor
    """Reduced features (n, dim)."""
    z: Tensor
    """Instance logits (n, C)."""
    b: Tensor
    """Their bias (C,)."""
    e: Tensor
    """Raw attention scores (K, n)."""
    alpha: Tensor
    """Attention within each pseudo-bag (G, n), zero outside it."""
    f: Tensor
    """Aggregated features (G, dim)."""
    s: Tensor
    """Pseudo-bag logits (G, C)."""


class Tiers(Protocol):
    """What a verdict is made by."""

    def reduce(self, x: Tensor) -> Tensor:
        """Map features (n, D) to reduced ones."""

    def tier1(self, h: Tensor, members: Tensor) -> Tier1:
        """Look at reduced features in pseudo-bags, bool (G, n)."""

    def verdict(self, tokens: Tensor) -> Tensor:
        """Return the slide's logits (R, C) from its tokens (R, T, dim)."""


class DMIA(MILModel):
    """DMIA-MIL over bags of features.

    The reduction, where nearly all arithmetic is, may run in bf16 under autocast;
    everything after it is small and stays in float32.

    Args:
        in_dim: Length of a feature, D.
        n_classes: Number of classes, C.
        options: The method's options, of one member; `committee` makes several.
        seed: Draws the initial weights.

    Raises:
        ValueError: The options are a committee's.
    """

    tier2: EvidenceClassifier | AttentionClassifier

    def __init__(
        self,
        in_dim: int,
        n_classes: int,
        options: DMIAOptions,
        seed: int = 0,
    ) -> None:
        super().__init__(in_dim, n_classes)
        if options.members != 1:
            raise ValueError(f"{options.members} members are a Committee, not a DMIA")
        self.options = options
        with initial_weights(seed):
            self.reduction = DimReduction(in_dim, options.dim, options.residual_blocks)
            self.classifier = LinearClassifier(options.dim, n_classes, options.dropout)
            self.attention = _scorer(options)
            self.tier2 = _second_look(options, n_classes)

    def optimised(self) -> dict[str, list[nn.Module]]:
        """Return tier 1 (reduction, classifier, attention's scorer) and tier 2."""
        tier1 = [self.reduction, self.classifier]
        if not self.attends_to_logits:
            tier1.append(self.attention)
        return {"tier1": tier1, "tier2": [self.tier2]}

    def bag_losses(
        self, x: Tensor, label: int, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Return "tier1", "tier2" and, where they have weight, "instance" and "key".

        The seed trains the tiers alternately: one tier-1 forward, a step on L1, a step
        on L2 over the tokens of that same forward. Detached tokens carry no gradient
        back, so L1 moves only tier 1 and L2 only tier 2: one backward of the sum and
        then both optimisers' steps is the same update, number for number.
        """
        members = self.groups(len(x), generator).to(x.device)  # (M, n)
        return self.losses_from(self.reduce(x), members, label, generator)

    def losses_from(
        self, h: Tensor, members: Tensor, label: int, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Return the losses from reduced features h (n, dim) and pseudo-bags (M, n)."""
        with full_precision(h):
            first = self.tier1(h, members, generator)
            tokens = self.tokens(first, members)  # (M, T, dim)
            if self.options.tier2_grad == "detach":
                tokens = tokens.detach()
            o = self.tier2(tokens.flatten(0, 1), generator)  # (C,)
            target = torch.tensor(label, device=h.device)  # ()
            losses = {
                "tier1": F.cross_entropy(first.s, target.expand(len(members))),
                "tier2": F.cross_entropy(o, target),
            }
            if self.options.instance_loss > 0:
                each = F.cross_entropy(
                    first.z, target.expand(len(h)), reduction="none"
                )  # (n,)
                weighted = (first.alpha @ each).mean()  # ()
                losses["instance"] = self.options.instance_loss * weighted
            if self.options.key_loss > 0:
                key = key_loss(first.z, label, self.options.key_patches)  # ()
                losses["key"] = self.sharpness * self.options.key_loss * key
        return losses

    def assess(self, x: Tensor, partitions: Sequence[int]) -> BagOutput:
        """Judge a bag in all R partitions at once: their groups are rows of one matrix.

        `attention` is tier 1's with the whole slide as one pseudo-bag, and
        `patch_probabilities` is the softmax of the instance logits z.
        """
        return self.assess_by(self, x, partitions)

    def assess_by(self, by: Tiers, x: Tensor, partitions: Sequence[int]) -> BagOutput:
        """Judge a bag by tiers that may be several members'; the rest is one's own."""
        members = self.seeded_groups(len(x), partitions).to(x.device)  # (R, M, n)
        groups = members.flatten(0, 1)  # (R M, n)
        h = by.reduce(x)  # (n, dim), or of each member
        with full_precision(h):
            first = by.tier1(h, groups)
            tokens = self.tokens(first, groups)  # (R M, T, dim)
            tokens = tokens.reshape(len(members), -1, tokens.shape[-1])  # (R, M T, dim)
            o = by.verdict(tokens)  # (R, C)
            whole = self.weigh(first.e, groups.new_ones(1, len(x)))  # (1, n)
        return BagOutput(
            logits=o,
            attention=whole[0],
            patch_probabilities=first.z.softmax(dim=-1),
        )

    def verdict(self, tokens: Tensor) -> Tensor:
        """Return the slide's logits (R, C) from its tokens (R, T, dim).

        With evidence in tier 2 both tiers judge each token, and the joint evidence
        decides which tokens count: what only one of them believes in weighs less.
        """
        if not isinstance(self.tier2, EvidenceClassifier):
            o: Tensor = self.tier2(tokens)  # (R, C)
            return o
        return self.tier2.pool(self.judge(tokens))  # (R, C)

    def judge(self, tokens: Tensor) -> Tensor:
        """Return what both tiers say of each token (..., dim): logits (..., C)."""
        first, second = self.classifier(tokens), self.tier2.classifier(tokens)
        return torch.lerp(second, first, self.options.tier1_share)  # (..., C)

    def groups(self, n: int, generator: torch.Generator) -> Tensor:
        """Draw the pseudo-bags of a slide of n patches: bool (M, n)."""
        return partition(n, self.options.n_pseudo_bags, self.k_min, generator)

    def seeded_groups(self, n: int, seeds: Sequence[int]) -> Tensor:
        """Return the pseudo-bags that R seeds stand for: bool (R, M, n)."""
        return partitions(n, self.options.n_pseudo_bags, self.k_min, seeds)

    @property
    def k_min(self) -> int:
        """The fewest patches of a pseudo-bag."""
        return patches_needed(self.options.selection, self.options.k)

    @property
    def attends_to_logits(self) -> bool:
        """Whether tier 1's attention reads the logits of patches, not their features."""
        return isinstance(self.attention, ExponentialAttention | MarginAttention)

    def reduce(self, x: Tensor) -> Tensor:
        """Map features (n, D) to h (n, dim), in float32 or wider."""
        x = self.standardise(x)  # (n, D)
        return at_least_fp32(self.reduction(x))  # (n, dim)

    def tier1(
        self, h: Tensor, members: Tensor, generator: torch.Generator | None = None
    ) -> Tier1:
        """Attend within each pseudo-bag and classify it.

        Args:
            h: Reduced features (n, dim).
            members: Pseudo-bags, bool (G, n).
            generator: Draws dropout of the aggregated features, in training.
        """
        z = self.classifier(h)  # (n, C)
        e = self.attention(z if self.attends_to_logits else h)  # (K, n)
        alpha = self.weigh(e, members)  # (G, n)
        f = alpha @ h  # (G, dim)
        s = self.classifier(f, generator)  # (G, C)
        return Tier1(h, z, self.classifier.linear.bias, e, alpha, f, s)

    @property
    def sharpness(self) -> float:
        """How far training has warmed up, from `SOFTEST` to 1; 1 while predicting.

        At first evidence is noise. A sharp maximum, or a loss of key patches, would then
        make it come true, whatever it points at; a soft attention sees all patches.
        """
        if not self.training or self.progress >= self.options.warmup:
            return 1.0
        return max(self.progress / self.options.warmup, SOFTEST)

    def weigh(self, e: Tensor, members: Tensor) -> Tensor:
        """Normalise scores e (K, n) within pseudo-bags (G, n): weights (G, n)."""
        normalise = NORMALISERS[self.options.normaliser]
        tau = self.options.tau / self.sharpness
        weights = normalise(e, members.unsqueeze(1), tau)  # (G, K, n)
        return weights.mean(dim=1)  # (G, n)

    def tokens(self, first: Tier1, members: Tensor) -> Tensor:
        """Return what tier 2 reads of each pseudo-bag, (G, T, dim)."""
        if self.options.selection == "afs":
            return first.f.unsqueeze(1)  # (G, 1, dim)
        scores = self.scores(first)  # (G, n)
        chosen = select(
            scores, members, self.options.k, self.options.selection
        )  # (G, T)
        return first.h[chosen]  # (G, T, dim)

    @torch.no_grad()
    def scores(self, first: Tier1) -> Tensor:
        """Return what patches are selected by, (G, n)."""
        if self.options.score == "attention":
            return first.alpha  # (G, n)
        target = target_class(first.s)  # (G,)
        if self.options.score == "margin":
            return margin_score(first.z, target)  # (G, n)
        return cam_score(first.alpha, first.z - first.b, target)  # (G, n)


def _scorer(options: DMIAOptions) -> nn.Module:
    match options.attention:
        case "margin":
            return MarginAttention()
        case "exponential":
            return ExponentialAttention()
        case "gated":
            return GatedAttention(options.dim, options.attention_dim, options.heads)
        case "tanh":
            return TanhAttention(options.dim, options.attention_dim, options.heads)


def _second_look(
    options: DMIAOptions, n_classes: int
) -> EvidenceClassifier | AttentionClassifier:
    if options.tier2 == "evidence":
        return EvidenceClassifier(options.dim, n_classes, options.tau, options.dropout)
    return AttentionClassifier(
        options.dim,
        n_classes,
        hidden=options.tier2_attention_dim,
        dropout=options.dropout,
    )
