"""Max embedding, MI-Net (Wang et al. 2018): the slide is its largest features.

    f_d = max_j h_jd ;  o = W f + b

There is no attention. What stands for it is the share of the dim maxima that a patch
supplies; patches that tie for a maximum share it.
"""

import torch
from torch import Tensor

from coverslip.learn.models.one_tier import Pooling, Reading


class Max(Pooling):
    """Max embedding. Arguments as `Pooling`."""

    def read(self, h: Tensor, generator: torch.Generator | None = None) -> Reading:
        """Take the largest of each feature; attention is the share of maxima."""
        f = h.amax(dim=0)  # (dim,)
        supplies = (h == f).to(h.dtype)  # (n, dim)
        return Reading(
            logits=self.classifier(f, generator),
            attention=(supplies / supplies.sum(dim=0)).mean(dim=1),
            z=self.classifier(h),
        )
