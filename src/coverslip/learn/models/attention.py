"""Attention: scores of patches, their normalisation within groups, attention pooling.

A scorer maps features to raw scores (..., K, n), one row a head. A normaliser turns
scores into weights that are zero outside the mask and sum to one inside it, in float32
or wider. Which formula the seed's "exponential attention" means is left open there;
`ExponentialAttention` is this project's literal reading, `MarginAttention` is what it
improves that reading to, and the others are options.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from coverslip.learn.models.layers import (
    LinearClassifier,
    at_least_fp32,
    full_precision,
)


class TanhAttention(nn.Module):
    """e = w . tanh(V h + c) + b (Ilse et al. 2018; seed: Attention2)."""

    def __init__(self, dim: int, hidden: int = 128, heads: int = 1) -> None:
        super().__init__()
        self.tanh = nn.Linear(dim, hidden)
        self.score = nn.Linear(hidden, heads)

    def forward(self, h: Tensor) -> Tensor:
        """Map features (..., n, dim) to scores (..., K, n)."""
        v = torch.tanh(self.tanh(h))  # (..., n, hidden)
        return scored(self.score, v)  # (..., K, n)


class GatedAttention(nn.Module):
    """e = w . (tanh(V h + c) * sigmoid(U h + d)) + b (Ilse 2018; Attention_Gated)."""

    def __init__(self, dim: int, hidden: int = 128, heads: int = 1) -> None:
        super().__init__()
        self.tanh = nn.Linear(dim, hidden)
        self.gate = nn.Linear(dim, hidden)
        self.score = nn.Linear(hidden, heads)

    def forward(self, h: Tensor) -> Tensor:
        """Map features (..., n, dim) to scores (..., K, n)."""
        weight = torch.cat([self.tanh.weight, self.gate.weight])  # (2 hidden, dim)
        bias = torch.cat([self.tanh.bias, self.gate.bias])  # (2 hidden,)
        v, u = F.linear(h, weight, bias).chunk(2, dim=-1)  # one product reads h once
        return scored(self.score, torch.tanh(v) * torch.sigmoid(u))  # (..., K, n)


def scored(score: nn.Linear, v: Tensor) -> Tensor:
    """Map hidden units v (..., n, hidden) to scores (..., K, n), in full precision."""
    with full_precision(v):
        e: Tensor = score(v.to(score.weight.dtype))  # (..., n, K)
    return e.transpose(-1, -2)  # (..., K, n)


class ExponentialAttention(nn.Module):
    """e = log sum_c exp(z_c): total class evidence (Shi et al. 2020; AttentionLayer).

    It has no weights of its own: z are the instance logits of the tier's classifier,
    one "head" a class, so what attention favours is what the classifier knows.
    """

    def forward(self, z: Tensor) -> Tensor:
        """Map instance logits (..., n, C) to scores (..., 1, n)."""
        return at_least_fp32(z).logsumexp(dim=-1).unsqueeze(-2)  # (..., 1, n)


class MarginAttention(nn.Module):
    """e = log odds of the evidence: one-sided exponential attention, without weights.

    Of two classes e = z_1 - z_0: a patch that is surely of the first class gets no
    weight, where `ExponentialAttention` favours whatever is sure of either. Of more
    classes e = max_c (z_c - log sum of the others' exp(z)): how sure of any one class.
    """

    def forward(self, z: Tensor) -> Tensor:
        """Map instance logits (..., n, C) to scores (..., 1, n)."""
        return margin(at_least_fp32(z)).unsqueeze(-2)  # (..., 1, n)


def margin(z: Tensor) -> Tensor:
    """Return the one-sided evidence of logits (..., C), see `MarginAttention`: (...)."""
    if z.shape[-1] == 2:
        return z[..., 1] - z[..., 0]
    best = z.topk(1, dim=-1)  # (..., 1)
    others = z.scatter(-1, best.indices, -torch.inf).logsumexp(dim=-1)  # (...)
    most: Tensor = best.values[..., 0] - others  # (...)
    return most


class AttentionClassifier(nn.Module):
    """Gated attention pooling and a linear classifier (seed: Attention_with_Classifier).

    g = sum_t beta_t t with beta the softmax of gated attention; logits o = W g + b.
    """

    def __init__(
        self,
        dim: int,
        n_classes: int,
        hidden: int = 128,
        heads: int = 1,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.attention = GatedAttention(dim, hidden, heads)
        self.classifier = LinearClassifier(dim, n_classes, dropout)

    def forward(
        self, tokens: Tensor, generator: torch.Generator | None = None
    ) -> Tensor:
        """Map tokens (..., T, dim) to logits (..., C); a generator draws dropout."""
        e = self.attention(tokens)  # (..., K, T)
        beta = softmax(e).mean(dim=-2, keepdim=True)  # (..., 1, T)
        g = (beta @ tokens).squeeze(-2)  # (..., dim)
        o: Tensor = self.classifier(g, generator)  # (..., C)
        return o


class EvidenceClassifier(nn.Module):
    """A classifier that attends to its own evidence: o = sum_t beta_t z_t.

    z_t = W t + b for each token and beta the softmax of their margins / tau: a smooth
    maximum, to which a token without evidence adds next to nothing.
    """

    def __init__(
        self, dim: int, n_classes: int, tau: float = 1.0, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.classifier = LinearClassifier(dim, n_classes, dropout)
        self.tau = tau

    def forward(
        self, tokens: Tensor, generator: torch.Generator | None = None
    ) -> Tensor:
        """Map tokens (..., T, dim) to logits (..., C); a generator draws dropout."""
        return self.pool(self.classifier(tokens, generator))  # (..., C)

    def pool(self, z: Tensor) -> Tensor:
        """Bring the logits of tokens (..., T, C) together: (..., C)."""
        beta = softmax(margin(z), tau=self.tau)  # (..., T)
        return (beta.unsqueeze(-2) @ z).squeeze(-2)  # (..., C)


def softmax(e: Tensor, mask: Tensor | None = None, tau: float = 1.0) -> Tensor:
    """Return exp(e / tau) / sum exp(e / tau) over the masked entries.

    Args:
        e: Scores (..., n).
        mask: Entries that take part, bool, broadcast against e; at least one a row.
        tau: Temperature: towards 0 the largest takes all, towards infinity a mean.

    Returns:
        Weights (..., n), zero outside the mask, each row summing to one.
    """
    return _masked(at_least_fp32(e) / tau, mask).softmax(dim=-1)


def sigmoid(e: Tensor, mask: Tensor | None = None, tau: float = 1.0) -> Tensor:
    """Divide the sigmoid of e / tau by its sum; mask and shapes as in `softmax`.

    Computed from log sigmoid, so that very negative scores do not become 0 / 0.
    """
    return _masked(F.logsigmoid(at_least_fp32(e) / tau), mask).softmax(dim=-1)


def entmax(e: Tensor, mask: Tensor | None = None, tau: float = 1.0) -> Tensor:
    """Return the exact 1.5-entmax of e / tau (Peters et al. 2019); as `softmax`.

    Weights (e / 2 tau - t)^2 above a threshold t and exactly zero below it.
    """
    return _above_threshold(at_least_fp32(e) / (2 * tau), mask, 2, _entmax_threshold)


def sparsemax(e: Tensor, mask: Tensor | None = None, tau: float = 1.0) -> Tensor:
    """Return the sparsemax of e / tau (Martins & Astudillo 2016); as `softmax`.

    Weights e / tau - t above a threshold t and exactly zero below it.
    """
    return _above_threshold(at_least_fp32(e) / tau, mask, 1, _sparsemax_threshold)


NORMALISERS: dict[str, Callable[[Tensor, Tensor | None, float], Tensor]] = {
    "softmax": softmax,
    "sigmoid": sigmoid,
    "entmax": entmax,
    "sparsemax": sparsemax,
}


def _masked(e: Tensor, mask: Tensor | None) -> Tensor:
    return e if mask is None else torch.where(mask, e, -torch.inf)


def _above_threshold(
    e: Tensor,
    mask: Tensor | None,
    power: int,
    threshold: Callable[[Tensor, Tensor, Tensor], Tensor],
) -> Tensor:
    """Return (e - t)^power above the t at which the weights sum to one.

    The largest weight is at most 1, so t lies within 1 of the largest score: what is
    further below has no weight and is clamped, which keeps huge scores exact.
    """
    e = _masked(e, mask)  # (..., n)
    e = (e - e.amax(dim=-1, keepdim=True).detach()).clamp(min=-1)  # (..., n) in [-1, 0]
    with (
        torch.no_grad()
    ):  # which entries have weight: a matter of sorting, not of slope
        ordered = e.sort(dim=-1, descending=True).values  # (..., n)
        count = torch.arange(1, e.shape[-1] + 1, device=e.device)  # (n,)
        sums, squares = ordered.cumsum(-1), ordered.square().cumsum(-1)  # (..., n)
        t = threshold(
            sums, squares, count
        )  # (..., n): t if the first `count` had weight
        last = (t <= ordered).sum(dim=-1, keepdim=True) - 1  # (..., 1)
        support = (e > t.gather(-1, last)) & (e > -1)  # (..., n)
    inside = e * support  # (..., n)
    count = support.sum(dim=-1, keepdim=True)  # (..., 1)
    sums = inside.sum(dim=-1, keepdim=True)  # (..., 1)
    squares = inside.square().sum(dim=-1, keepdim=True)  # (..., 1)
    t = threshold(sums, squares, count)  # (..., 1), now with a gradient
    return (e - t).clamp(min=0).pow(power) * support  # (..., n)


def _entmax_threshold(sums: Tensor, squares: Tensor, count: Tensor) -> Tensor:
    """Solve sum (e - t)^2 = 1 for t below the mean of `count` entries."""
    mean = sums / count
    spread = squares - sums * mean
    return mean - ((1 - spread) / count).clamp(min=1e-12).sqrt()


def _sparsemax_threshold(sums: Tensor, squares: Tensor, count: Tensor) -> Tensor:  # noqa: ARG001 - one signature for both
    """Solve sum (e - t) = 1 for t."""
    return (sums - 1) / count
