"""A monotone head: another patch can only raise the slide's score.

    s_j = (w_1 - w_0) . h_j + b_1 - b_0                 a patch's log odds
    o   = max_j s_j                                     pool "max"
    o   = tau log sum_j exp(s_j / tau)                  pool "logsumexp"

The standard multiple-instance assumption says that a slide is positive if some patch
is. Then nothing that is added to a positive slide can make it negative; Raff & Holt
(NeurIPS 2023) show that attention models break this. Here it cannot be broken, whatever
the weights: both pools rise with each s_j and with each further patch. With tau = 1 the
slide's odds are the sum of its patches' odds; towards tau = 0 that is the max.

Two classes only. A slide of one patch has that patch's probability. Sums grow with the
number of patches, so b_1 starts lower by tau log(expected_patches): a slide of so many
patches starts undecided instead of certainly positive.
"""

import math

import torch
from torch import Tensor

from coverslip.errors import OptionError
from coverslip.learn.models.layers import initial_weights
from coverslip.learn.models.one_tier import OneTier, Reading
from coverslip.learn.models.one_tier_options import MonotoneOptions


class Monotone(OneTier):
    """The monotone head.

    Args:
        in_dim: Length of a feature, D.
        n_classes: Number of classes, which must be 2.
        options: The model's options.
        seed: Draws the initial weights.

    Raises:
        OptionError: There are more than two classes.
    """

    options: MonotoneOptions

    def __init__(
        self,
        in_dim: int,
        n_classes: int,
        options: MonotoneOptions | None = None,
        seed: int = 0,
    ) -> None:
        if n_classes != 2:
            raise OptionError(
                f"monotone: n_classes={n_classes}: it knows a positive class and a "
                "negative one: choose another model, such as instance_max"
            )
        options = options or MonotoneOptions()
        with initial_weights(seed):
            super().__init__(in_dim, n_classes, options)
        if options.pool == "logsumexp":
            start = options.tau * math.log(options.expected_patches)
            with torch.no_grad():
                self.classifier.linear.bias[1] -= start

    def read(self, h: Tensor, generator: torch.Generator | None = None) -> Reading:
        """Pool log odds; attention is their softmax, at tau the slope of logsumexp."""
        z = self.classifier(h, generator)  # (n, 2)
        s = z[:, 1] - z[:, 0]  # (n,)
        o = self.pool(s)  # ()
        logits = torch.stack([torch.zeros_like(o), o])  # (2,)
        return Reading(logits, (s / self.options.tau).softmax(dim=0), z)

    def pool(self, s: Tensor) -> Tensor:
        """Make the slide's log odds () of its patches' s (n,)."""
        if self.options.pool == "max":
            return s.amax()
        return self.options.tau * (s / self.options.tau).logsumexp(dim=0)
