"""Which patches of a pseudo-bag tier 2 reads: scores, and choices by score.

Scores are (..., L), one row a pseudo-bag; only their order within a row matters.
`attention` is the seed's wording, `cam` is DTFD-MIL's derived instance score (Zhang et
al. 2022), `margin` is the instance logit without attention.
"""

from typing import Literal

import torch
from torch import Tensor

from coverslip.learn.models.pseudobags import PseudoBags

Selection = Literal["maxmins", "maxs", "afs"]
"""MaxMinS: top-k and bottom-k patches; MaxS: top-k; AFS: the aggregated feature."""


def patches_needed(selection: Selection, k: int) -> int:
    """Return k_min, the fewest patches a pseudo-bag needs (method 5.1)."""
    return 2 * k if selection == "maxmins" else k


def target_class(s: Tensor) -> Tensor:
    """Return the class that each pseudo-bag's patches are scored for, (...).

    Of two classes it is the last; of more, the one its logits `s` (..., C) predict.
    """
    if s.shape[-1] == 2:
        return torch.ones_like(s[..., 0], dtype=torch.int64)
    return s.argmax(dim=-1)


def cam_score(alpha: Tensor, evidence: Tensor, target: Tensor) -> Tensor:
    """Score patches by the class evidence they bring to the pseudo-bag's feature.

    Args:
        alpha: Attention of the patches of each pseudo-bag, (..., L).
        evidence: w_c . h_j of them without the bias, (..., L, C).
        target: Class of each pseudo-bag, (...).

    Returns:
        (..., L); in the order of softmax_c(alpha_j w_c . h_j) at the target class.
    """
    return margin_score(alpha.unsqueeze(-1) * evidence, target)  # (..., L)


def margin_score(logits: Tensor, target: Tensor) -> Tensor:
    """Return the target's logit less logsumexp of the others: the log odds of it.

    Args:
        logits: Of the patches of each pseudo-bag, (..., L, C).
        target: Class of each pseudo-bag, (...).

    Returns:
        (..., L).
    """
    classes = torch.arange(logits.shape[-1], device=logits.device)  # (C,)
    chosen = target[..., None, None] == classes  # (..., 1, C)
    own = torch.where(chosen, logits, 0.0).sum(dim=-1)  # (..., L)
    others = torch.where(chosen, -torch.inf, logits).logsumexp(dim=-1)  # (..., L)
    return own - others  # (..., L)


def ranked(scores: Tensor, bags: PseudoBags) -> Tensor:
    """Return the places (..., L) in each row by falling score, padding last.

    Of equal scores the patch that is listed first counts as the higher.
    """
    inside = torch.where(bags.inside, scores, -torch.inf)  # (..., L)
    return inside.argsort(dim=-1, descending=True, stable=True)


def select(scores: Tensor, bags: PseudoBags, k: int, selection: Selection) -> Tensor:
    """Return the patches that each pseudo-bag hands to tier 2.

    The choice is determined, and the top and the bottom never share a patch.

    Args:
        scores: (..., L).
        bags: Rows (..., L), as `partition` makes them: each has at least
            `patches_needed` patches, or it is the whole slide and the choice shrinks.
        k: Patches for each end.
        selection: "maxmins" or "maxs".

    Returns:
        Indices (..., T) into the patches, the highest first; then the lowest, last.
    """
    length = scores.shape[-1]
    top = min(k, length)
    bottom = min(k, length - top) if selection == "maxmins" else 0
    places = ranked(scores, bags)  # (..., L)
    size = bags.inside.sum(dim=-1, keepdim=True)  # (..., 1)
    ends = torch.arange(bottom, device=scores.device) - bottom  # (bottom,): -k .. -1
    lowest = places.gather(-1, size + ends)  # (..., bottom)
    chosen = torch.cat([places[..., :top], lowest], dim=-1)  # (..., T)
    return bags.patches.gather(-1, chosen)  # (..., T)
