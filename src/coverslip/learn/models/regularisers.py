"""Regularisers of attention, for any model that has scores e (K, n) of n patches.

STKIM hides some of the highest scores while training; AEM rewards a high entropy of
the weights; diversity sets the rows, one a branch, apart. All act against attention
that rests on a few patches of the training slides.
"""

import torch
from torch import Tensor


def stkim(e: Tensor, k: int, share: float, generator: torch.Generator) -> Tensor:
    """Hide a random share of each row's k highest scores (Zhang et al. 2024, ACMIL).

    Stochastic top-k instance masking, for training only. Of min(k, n) scores
    int(share * min(k, n)) are hidden, so one at least is left.

    Args:
        e: Raw scores (K, n), before the softmax.
        k: How many of the highest scores may be hidden.
        share: Share of them that is, at least 0 and below 1.
        generator: A CPU generator, drawn from alike on any device.

    Returns:
        Scores (K, n), -inf where hidden: a softmax gives these no weight.
    """
    top = e.topk(min(k, e.shape[-1]), dim=-1).indices  # (K, k')
    chance = torch.rand(top.shape, generator=generator)  # (K, k')
    drawn = chance.argsort(dim=-1)[:, : int(top.shape[-1] * share)]  # (K, hidden)
    hidden = torch.zeros_like(e, dtype=torch.bool)  # (K, n)
    hidden.scatter_(-1, top.gather(-1, drawn.to(e.device)), value=True)
    return e.masked_fill(hidden, -torch.inf)  # (K, n)


def aem(alpha: Tensor) -> Tensor:
    """Return the negative entropy of attention, a loss (Zhang et al. 2024, AEM).

    Args:
        alpha: Weights (K, n), each row summing to one; zeros count as 0 log 0 = 0.

    Returns:
        (): sum_j alpha_j log alpha_j, the mean over rows; -log n where it is flat.
    """
    tiny = torch.finfo(alpha.dtype).tiny
    return (alpha * alpha.clamp(min=tiny).log()).sum(dim=-1).mean()  # ()


def diversity(alpha: Tensor) -> Tensor:
    """Return how alike the rows attend: the mean cosine of two rows (ACMIL's L_d).

    Args:
        alpha: Weights (K, n) of K >= 2 branches.

    Returns:
        (): 0 where no two rows share a patch, 1 where all are the same.
    """
    unit = alpha / alpha.norm(dim=-1, keepdim=True)  # (K, n)
    cosines = unit @ unit.T  # (K, K)
    first, second = torch.triu_indices(len(alpha), len(alpha), 1, device=alpha.device)
    alike: Tensor = cosines[first, second].mean()  # ()
    return alike
