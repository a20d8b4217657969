"""Which patches of a pseudo-bag tier 2 reads: scores, and choices by score.

Scores are (..., L), one row a pseudo-bag; only their order within a row matters.
`attention` is the seed's wording, `cam` is DTFD-MIL's derived instance score (Zhang et
al. 2022), `margin` is the instance logit without attention.
"""

import torch
from torch import Tensor

from coverslip.learn.models.dmia_options import Selection
from coverslip.learn.models.pseudobags import PseudoBags


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


def highest(scores: Tensor, k: int) -> Tensor:
    """Return the places (..., k) of the highest scores of each row, by falling score.

    Of equal scores the one that is listed first counts as the higher.
    """
    edge = scores.topk(k, dim=-1).values[..., -1:]  # (..., 1)
    place = torch.arange(scores.shape[-1], device=scores.device)  # (L,)
    chosen = torch.where(_down_to(scores, edge, k), place, len(place) - 1)  # (..., L)
    places = chosen.topk(k, dim=-1, largest=False).values  # (..., k), rising
    order = scores.gather(-1, places).argsort(dim=-1, descending=True, stable=True)
    return places.gather(-1, order)


def uppermost(scores: Tensor, counts: Tensor) -> Tensor:
    """Return a mask (B, L) of each row's highest scores, another number in each row.

    Args:
        scores: Finite where they count, else -inf: (B, L).
        counts: At least one, and at most the finite ones: (B, 1).
    """
    length = scores.shape[1]
    ahead = torch.arange(length, device=scores.device) < length - counts  # (B, L)
    more = torch.where(ahead, torch.inf, -torch.inf).to(scores.dtype)
    # with so many infinities ahead, each row's last is its L-th highest
    edge = torch.cat([more, scores], dim=1).kthvalue(length + 1, dim=1, keepdim=True)
    return _down_to(scores, edge.values, counts)


def _down_to(scores: Tensor, edge: Tensor, count: Tensor | int) -> Tensor:
    """Return a mask of the scores above the edge, and of the first of those on it."""
    above, level = scores > edge, scores == edge
    missing = count - above.sum(dim=-1, keepdim=True)
    return above | (level & (level.cumsum(dim=-1) <= missing))


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
    chosen = highest(torch.where(bags.inside, scores, -torch.inf), top)  # (..., top)
    if bottom:
        turned = torch.where(bags.inside, -scores, -torch.inf).flip(-1)
        lowest = length - 1 - highest(turned, bottom).flip(-1)  # (..., bottom)
        chosen = torch.cat([chosen, lowest], dim=-1)  # (..., T)
    return bags.patches.gather(-1, chosen)  # (..., T)
