"""Instance max, mi-Net (Wang et al. 2018): the slide is its most positive patch.

    z_j = W h_j + b                                    logits of a patch
    o   = z_j* with j* = argmax_j (z_j1 - z_j0)        two classes
    o_c = max_j z_jc                                   more classes

With two classes a slide's probability is the largest of its patches' probabilities: the
multiple-instance assumption to the letter. More classes have no positive one, so each
class is said by the patch that says it loudest.

The verdict rests on one patch, which would make a map of one dot. `attention` is the
softmax of the patches' evidence (log odds of the last of two classes, or of the class
predicted): its order is the order of patches by which the slide is judged.
"""

import torch
from torch import Tensor

from coverslip.learn.models.one_tier import Pooling, Reading
from coverslip.learn.models.selection import margin_score, target_class


class InstanceMax(Pooling):
    """Instance max. Arguments as `Pooling`."""

    def read(self, h: Tensor, generator: torch.Generator | None = None) -> Reading:
        """Classify each patch and let the strongest speak for the slide."""
        z = self.classifier(h, generator)  # (n, C)
        if self.n_classes == 2:
            logits = z[(z[:, 1] - z[:, 0]).argmax()]  # (C,)
        else:
            logits = z.amax(dim=0)  # (C,)
        evidence = margin_score(z, target_class(logits.unsqueeze(0)))  # (1, n)
        return Reading(logits, evidence[0].softmax(dim=0), z)
