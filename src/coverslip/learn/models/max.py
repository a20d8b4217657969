"""Max embedding, MI-Net (Wang et al. 2018): the slide is its largest features.

    f_d = max_j h_jd ;  o = W f + b

There is no attention. What stands for it is the share of the dim maxima that a patch
supplies; patches that tie for a maximum share it.
"""

import torch
from torch import Tensor

from coverslip.learn.models.layers import initial_weights
from coverslip.learn.models.one_tier import OneTier, OneTierOptions, Reading


class MaxOptions(OneTierOptions):
    """Options of the max embedding."""


class Max(OneTier):
    """Max embedding.

    Args:
        in_dim: Length of a feature, D.
        n_classes: Number of classes, C.
        options: The model's options.
        seed: Draws the initial weights.
    """

    def __init__(
        self,
        in_dim: int,
        n_classes: int,
        options: MaxOptions | None = None,
        seed: int = 0,
    ) -> None:
        with initial_weights(seed):
            super().__init__(in_dim, n_classes, options or MaxOptions())

    def read(self, h: Tensor, generator: torch.Generator | None = None) -> Reading:
        """Take the largest of each feature; attention is the share of maxima."""
        f = h.amax(dim=0)  # (dim,)
        supplies = (h == f).to(h.dtype)  # (n, dim)
        return Reading(
            logits=self.classifier(f, generator),
            attention=(supplies / supplies.sum(dim=0)).mean(dim=1),
            z=self.classifier(h),
        )
