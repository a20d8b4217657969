"""The losses of DMIA-MIL over slides of M pseudo-bags each; the formulas are in `dmia`."""

import torch
import torch.nn.functional as F
from torch import Tensor

from coverslip.learn.models.dmia_options import DMIAOptions
from coverslip.learn.models.key_patches import key_loss
from coverslip.learn.models.pseudobags import PseudoBags
from coverslip.learn.models.tiers import Tier1


def dmia_losses(
    options: DMIAOptions,
    first: Tier1,
    o: Tensor,
    slides: PseudoBags,
    labels: Tensor,
    *,
    sharpness: float,
) -> dict[str, Tensor]:
    """Return each loss that has weight, the mean over slides: () each.

    Args:
        options: Weights of the losses.
        first: A tier-1 forward over pseudo-bags (B, M, L).
        o: What tier 2 says of the slides (B, C).
        slides: The same patches as whole slides, rows (B, n).
        labels: The slides' classes (B,).
        sharpness: How far tier 1 has warmed up: the share of its loss of key patches.
    """
    own = labels[:, None].expand(first.s.shape[:2])  # (B, M)
    losses = {
        "tier1": F.cross_entropy(first.s.flatten(0, 1), own.flatten()),
        "tier2": F.cross_entropy(o, labels),
    }
    if options.instance_loss > 0:
        cost = -first.each.log_softmax(dim=-1)  # (B, M, L, C)
        classes = torch.arange(cost.shape[-1], device=cost.device)  # (C,)
        said = torch.where(own[..., None, None] == classes, cost, 0.0).sum(dim=-1)
        weighted = (first.alpha * said).sum(dim=-1).mean()  # ()
        losses["instance"] = options.instance_loss * weighted
    if options.key_loss > 0:
        key = key_loss(first.z, slides, labels, options.key_patches).mean()
        losses["key"] = sharpness * options.key_loss * key
    return losses
