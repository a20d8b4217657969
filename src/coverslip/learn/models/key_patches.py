"""The loss of key patches: what a slide's label says of its patches one by one."""

import torch
from torch import Tensor

from coverslip.learn.models.pseudobags import PseudoBags
from coverslip.learn.models.selection import highest, margin_score, uppermost


def key_loss(z: Tensor, slides: PseudoBags, labels: Tensor, key_patches: int) -> Tensor:
    """Return what a slide's label says of its patches for sure, or nearly.

    Of two classes: every patch of a slide of class 0 is of class 0, and the hardest are
    counted once more; of a slide of class 1 the patches with the most evidence are of
    class 1, and the half with the least is not (CLAM's clustering of instances, Lu et
    al. 2021, made one-sided). Of more classes the patches with the most evidence for
    the slide's own class are of that class. No patch is said to be of both classes: a
    slide of few patches has fewer key patches, and one patch alone is the slide.

    Args:
        z: Instance logits (N, C) of the patches of B slides.
        slides: Whole slides, rows (B, n).
        labels: Their classes (B,).
        key_patches: How many have "the most".

    Returns:
        (B,): the mean of the two means of cross entropy; of more classes the first.
    """
    two, label = z.shape[-1] == 2, labels[:, None]  # (B, 1)
    size = slides.inside.sum(dim=1, keepdim=True)  # (B, 1)
    half = torch.where(label == 1, size - size // 2, size) if two else size  # (B, 1)
    with torch.no_grad():
        counted = torch.ones_like(labels) if two else labels  # (B,)
        evidence = margin_score(z[slides.patches], counted)  # (B, n)
        evidence = torch.where(slides.inside, evidence, -torch.inf)
        best = highest(evidence, min(key_patches, evidence.shape[1]))  # (B, k)
    cost = -z.log_softmax(dim=-1)  # (N, C)
    key = cost[slides.patches.gather(1, best)]  # (B, k, C)
    own = key.gather(2, label[..., None].expand_as(key[..., :1]))[..., 0]  # (B, k)
    rank = torch.arange(best.shape[1], device=z.device)  # (k,)
    most = _mean(own, rank < half)  # (B,)
    if not two:
        return most
    upper = uppermost(evidence, half) & (label == 1)  # (B, n)
    normal = slides.inside & ~upper  # (B, n)
    both = (most + _mean(cost[:, 0][slides.patches], normal)) / 2  # (B,)
    return torch.where(normal.any(dim=1), both, most)


def _mean(values: Tensor, kept: Tensor) -> Tensor:
    """Return the mean of the kept values of each row, (B,); 0 where there are none."""
    total = torch.where(kept, values, 0.0).sum(dim=1)  # (B,)
    return total / kept.sum(dim=1).clamp(min=1)
