"""The loss of key patches: what a slide's label says of its patches one by one."""

import torch
import torch.nn.functional as F
from torch import Tensor

from coverslip.learn.models.selection import margin_score


def key_loss(z: Tensor, label: int, key_patches: int) -> Tensor:
    """Return what a slide's label says of its patches for sure, or nearly.

    Of two classes: every patch of a slide of class 0 is of class 0, and the hardest are
    counted once more; of a slide of class 1 the patches with the most evidence are of
    class 1, and the half with the least is not (CLAM's clustering of instances, Lu et
    al. 2021, made one-sided). Of more classes the patches with the most evidence for
    the slide's own class are of that class. No patch is said to be of both classes: a
    slide of few patches has fewer key patches, and one patch alone is the slide.

    Args:
        z: Instance logits (n, C).
        label: The slide's class.
        key_patches: How many have "the most".

    Returns:
        (): the mean of the two means of cross entropy; of more classes the first.
    """
    n, n_classes = z.shape
    counted = 1 if n_classes == 2 else label
    target = torch.tensor([counted], device=z.device)
    evidence = margin_score(z.detach(), target)[0]  # (n,)
    ranked = evidence.argsort(descending=True, stable=True)  # (n,)
    if n_classes > 2:
        return _cost(z, ranked[:key_patches], label)
    half = n - n // 2
    most, normal = (ranked[:half], ranked[half:]) if label == 1 else (ranked, ranked)
    own = _cost(z, most[:key_patches], label)
    return own if len(normal) == 0 else (own + _cost(z, normal, 0)) / 2


def _cost(z: Tensor, patches: Tensor, label: int) -> Tensor:
    """Return the mean cross entropy of some patches with one label: ()."""
    return F.cross_entropy(z[patches], torch.full_like(patches, label))
