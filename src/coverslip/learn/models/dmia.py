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

import itertools
from collections.abc import Sequence

import torch
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
from coverslip.learn.models.dmia_losses import dmia_losses
from coverslip.learn.models.dmia_options import PAPER, PRESETS, DMIAOptions
from coverslip.learn.models.layers import (
    DimReduction,
    LinearClassifier,
    at_least_fp32,
    full_precision,
    initial_weights,
)
from coverslip.learn.models.model import BagOutput, MILModel
from coverslip.learn.models.pseudobags import (
    PseudoBags,
    partition,
    partitions,
    sent,
    stacked,
    whole,
)
from coverslip.learn.models.selection import (
    cam_score,
    margin_score,
    patches_needed,
    select,
    target_class,
)
from coverslip.learn.models.tiers import Tier1, Tiers

__all__ = ["DMIA", "PAPER", "PRESETS", "DMIAOptions", "Tier1"]

SOFTEST = 0.1
"""Sharpness of attention at the start of a training that warms up: tau is ten times."""


class DMIA(MILModel):
    """DMIA-MIL over bags of features.

    The reduction and the scorer of gated attention, where nearly all arithmetic is, may
    run in bf16 under autocast; everything after them is small and stays in float32.

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
        return self.batch_losses(x, [len(x)], [label], [generator])

    def batch_losses(
        self,
        x: Tensor,
        sizes: Sequence[int],
        labels: Sequence[int],
        generators: Sequence[torch.Generator],
    ) -> dict[str, Tensor]:
        """Return the mean losses of several slides, all in one pass; see `MILModel`."""
        if not self.stackable(sizes):
            return super().batch_losses(x, sizes, labels, generators)
        bags = self.slides_groups(sizes, generators).to(x.device)  # (B, M, L)
        target = sent(torch.tensor(labels), x.device)  # (B,)
        slides = whole(sizes).to(x.device)  # (B, n)
        h = self.reduce(x)  # (N, dim)
        e = None if self.attends_to_logits else self.attention(h)  # (K, N)
        with full_precision(h):
            first = self.tier1(h, bags, e=e, generator=generators[0])
            return self.losses_from(first, slides, target, generators[0])

    def stackable(self, sizes: Sequence[int]) -> bool:
        """Say whether slides of so many patches go through in one pass.

        Several do if none is too small for its M pseudo-bags, and nothing but
        partitions is drawn: dropout is drawn by each slide's own generator.
        """
        enough = self.options.n_pseudo_bags * self.k_min
        alike = min(sizes) >= enough and self.options.dropout == 0
        return alike or len(sizes) == 1

    def losses_from(
        self,
        first: Tier1,
        slides: PseudoBags,
        labels: Tensor,
        generator: torch.Generator,
    ) -> dict[str, Tensor]:
        """Return the losses of a tier-1 forward over B slides; see `dmia_losses`."""
        tokens = self.tokens(first)  # (B, M, T, dim)
        if self.options.tier2_grad == "detach":
            tokens = tokens.detach()
        o = self.tier2(tokens.flatten(1, 2), generator)  # (B, C)
        return dmia_losses(
            self.options, first, o, slides, labels, sharpness=self.sharpness
        )

    def assess(self, x: Tensor, partitions: Sequence[int]) -> BagOutput:
        """Judge a bag in all R partitions at once: their groups are rows alike.

        `attention` is tier 1's with the whole slide as one pseudo-bag, and
        `patch_probabilities` is the softmax of the instance logits z.
        """
        return self.assess_by(self, x, partitions)

    def assess_by(self, by: Tiers, x: Tensor, partitions: Sequence[int]) -> BagOutput:
        """Judge a bag by tiers that may be several members'; the rest is one's own."""
        bags = self.seeded_groups(len(x), partitions).to(x.device)  # (R, M, L)
        h = by.reduce(x)  # (n, dim)
        with full_precision(h):
            first = by.tier1(h, bags)
            o = by.verdict(self.tokens(first).flatten(1, 2))  # (R, C)
            alone = self.weigh(first.e, whole([len(x)]).to(x.device))  # (1, n)
        return BagOutput(
            logits=o,
            attention=alone[0],
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

    def groups(self, n: int, generator: torch.Generator) -> PseudoBags:
        """Draw the pseudo-bags of a slide of n patches: rows (M, L)."""
        return partition(n, self.options.n_pseudo_bags, self.k_min, generator)

    def slides_groups(
        self, sizes: Sequence[int], generators: Sequence[torch.Generator]
    ) -> PseudoBags:
        """Draw those of slides laid end to end, each by its generator: (B, M, L)."""
        each = [self.groups(n, own) for n, own in zip(sizes, generators, strict=True)]
        starts = [0, *itertools.accumulate(sizes)][:-1]
        return stacked(each, starts)

    def seeded_groups(self, n: int, seeds: Sequence[int]) -> PseudoBags:
        """Return the pseudo-bags that R seeds stand for: rows (R, M, L)."""
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
        """Map standardised features (n, D) to h (n, dim), in half precision under bf16."""
        h: Tensor = self.reduction(x)  # (n, dim)
        return h

    def tier1(
        self,
        h: Tensor,
        bags: PseudoBags,
        z: Tensor | None = None,
        e: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> Tier1:
        """Attend within each pseudo-bag and classify it.

        Without dropout s is the mean of logits: of a linear classifier the same.

        Args:
            h: Reduced features (n, dim).
            bags: Pseudo-bags, rows (..., L).
            z: Instance logits (n, C), where they are known already.
            e: Attention scores (K, n), where they are known already.
            generator: Draws dropout of the aggregated features, in training.
        """
        z = self.classifier(h) if z is None else z  # (n, C)
        if e is None:
            read = z if self.attends_to_logits else at_least_fp32(h)
            e = self.attention(read)  # (K, n)
        alpha, each = self.weigh(e, bags), z[bags.patches]  # (..., L), (..., L, C)
        first = Tier1(h, z, self.classifier.linear.bias, e, bags, each, alpha, each)
        if generator is not None and self.options.dropout > 0:
            return first._replace(s=self.classifier(first.f, generator))
        return first._replace(s=(alpha.unsqueeze(-2) @ each).squeeze(-2))  # (..., C)

    @property
    def sharpness(self) -> float:
        """How far training has warmed up, from `SOFTEST` to 1; 1 while predicting.

        At first evidence is noise. A sharp maximum, or a loss of key patches, would then
        make it come true, whatever it points at; a soft attention sees all patches.
        """
        if not self.training or self.progress >= self.options.warmup:
            return 1.0
        return max(self.progress / self.options.warmup, SOFTEST)

    def weigh(self, e: Tensor, bags: PseudoBags) -> Tensor:
        """Normalise scores e (K, n) within pseudo-bags: weights (..., L)."""
        normalise = NORMALISERS[self.options.normaliser]
        tau = self.options.tau / self.sharpness
        weights = normalise(e[:, bags.patches], bags.inside, tau)  # (K, ..., L)
        return weights.mean(dim=0)  # (..., L)

    def tokens(self, first: Tier1) -> Tensor:
        """Return what tier 2 reads of each pseudo-bag, (..., T, dim)."""
        if self.options.selection == "afs":
            return first.f.unsqueeze(-2)  # (..., 1, dim)
        chosen = select(
            self.scores(first), first.bags, self.options.k, self.options.selection
        )  # (..., T)
        return at_least_fp32(first.h[chosen])  # (..., T, dim)

    @torch.no_grad()
    def scores(self, first: Tier1) -> Tensor:
        """Return what patches are selected by, (..., L)."""
        if self.options.score == "attention":
            return first.alpha  # (..., L)
        target = target_class(first.s)  # (...)
        if self.options.score == "margin":
            return margin_score(first.each, target)  # (..., L)
        return cam_score(first.alpha, first.each - first.b, target)  # (..., L)


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
