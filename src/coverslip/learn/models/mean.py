"""Mean embedding: the slide is the mean of its patches.

    f = mean_j h_j ;  o = W f + b

What every other model has to beat. The mean of patches' logits is the same thing, the
classifier being linear: o = mean_j (W h_j + b).
"""

import torch
from torch import Tensor

from coverslip.learn.models.one_tier import Pooling, Reading


class Mean(Pooling):
    """Mean embedding. Arguments as `Pooling`."""

    def read(self, h: Tensor, generator: torch.Generator | None = None) -> Reading:
        """Weigh all patches alike: attention is 1 / n."""
        f = h.mean(dim=0)  # (dim,)
        return Reading(
            logits=self.classifier(f, generator),
            attention=h.new_full((len(h),), 1 / len(h)),
            z=self.classifier(h),
        )
