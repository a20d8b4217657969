"""Which patches of a pseudo-bag tier 2 reads: scores, and choices by score.

Scores are (G, n), one row a pseudo-bag; only their order within a row matters.
`attention` is the seed's wording, `cam` is DTFD-MIL's derived instance score (Zhang et
al. 2022), `margin` is the instance logit without attention.
"""

from typing import Literal

import torch
from torch import Tensor

Selection = Literal["maxmins", "maxs", "afs"]
"""MaxMinS: top-k and bottom-k patches; MaxS: top-k; AFS: the aggregated feature."""


def patches_needed(selection: Selection, k: int) -> int:
    """Return k_min, the fewest patches a pseudo-bag needs (method 5.1)."""
    return 2 * k if selection == "maxmins" else k


def target_class(s: Tensor) -> Tensor:
    """Return the class that each pseudo-bag's patches are scored for, (G,).

    Of two classes it is the last; of more, the one its logits `s` (G, C) predict.
    """
    if s.shape[1] == 2:
        return torch.ones(len(s), dtype=torch.int64, device=s.device)
    return s.argmax(dim=1)


def cam_score(alpha: Tensor, evidence: Tensor, target: Tensor) -> Tensor:
    """Score patches by the class evidence they bring to the pseudo-bag's feature.

    Args:
        alpha: Attention (G, n).
        evidence: w_c . h_j without the bias, (n, C).
        target: Class of each pseudo-bag, (G,).

    Returns:
        (G, n); in the order of softmax_c(alpha_j w_c . h_j) at the target class.
    """
    logits = alpha.unsqueeze(-1) * evidence  # (G, n, C)
    return _margin(logits, target)  # (G, n)


def margin_score(z: Tensor, target: Tensor) -> Tensor:
    """Score patches by their own logits z (n, C), for the target (G,): (G, n)."""
    return _margin(z.unsqueeze(0), target)  # (G, n)


def _margin(logits: Tensor, target: Tensor) -> Tensor:
    """Return the target's logit less logsumexp of the others: the log odds of it."""
    classes = torch.arange(logits.shape[-1], device=logits.device)  # (C,)
    chosen = target[:, None, None] == classes  # (G, 1, C)
    own = torch.where(chosen, logits, 0.0).sum(dim=-1)  # (G, n)
    others = torch.where(chosen, -torch.inf, logits).logsumexp(dim=-1)  # (G, n)
    return own - others  # (G, n)


def select(scores: Tensor, members: Tensor, k: int, selection: Selection) -> Tensor:
    """Return the patches that each pseudo-bag hands to tier 2.

    Of equal scores the patch that is listed first counts as the higher, so the choice
    is determined and the top and the bottom never share a patch.

    Args:
        scores: (G, n).
        members: Bool (G, n), as `partition` makes them: each pseudo-bag has at least
            `patches_needed` patches, or it is the whole slide and the choice shrinks.
        k: Patches for each end.
        selection: "maxmins" or "maxs".

    Returns:
        Indices (G, T) into the patches, the highest first; then the lowest, last.
    """
    n = scores.shape[1]
    top = min(k, n)
    bottom = min(k, n - top) if selection == "maxmins" else 0
    ranked = torch.where(members, scores, -torch.inf).argsort(
        dim=1, descending=True, stable=True
    )  # (G, n): members by falling score, then the others
    size = members.sum(dim=1, keepdim=True)  # (G, 1)
    ends = torch.arange(bottom, device=scores.device) - bottom  # (bottom,): -k .. -1
    lowest = ranked.gather(1, size + ends)  # (G, bottom)
    return torch.cat([ranked[:, :top], lowest], dim=1)  # (G, T)
