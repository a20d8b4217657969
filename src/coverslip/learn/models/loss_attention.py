"""Loss-based attention (Shi et al., AAAI 2020): attend to what the loss looks at.

    z_j     = W h_j + b
    alpha_j = sum_c exp(z_jc) / sum_i sum_c exp(z_ic)             equation 5
    f       = sum_j alpha_j h_j ;  o = W f + b                    the same W and b
    L       = CE(o, Y) + lambda sum_j alpha_j CE(z_j, Y)          equation 6

Attention has no weights of its own: a patch counts as much as the classifier makes of
it. It is what DMIA-MIL's first tier does with the whole slide as one pseudo-bag.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from coverslip.learn.models.attention import ExponentialAttention, softmax
from coverslip.learn.models.layers import initial_weights
from coverslip.learn.models.one_tier import OneTier, Reading
from coverslip.learn.models.one_tier_options import LossAttentionOptions


class LossAttention(OneTier):
    """Loss-based attention.

    Args:
        in_dim: Length of a feature, D.
        n_classes: Number of classes, C.
        options: The model's options.
        seed: Draws the initial weights.
    """

    options: LossAttentionOptions

    def __init__(
        self,
        in_dim: int,
        n_classes: int,
        options: LossAttentionOptions | None = None,
        seed: int = 0,
    ) -> None:
        with initial_weights(seed):
            super().__init__(in_dim, n_classes, options or LossAttentionOptions())
        self.attention = ExponentialAttention()

    def read(self, h: Tensor, generator: torch.Generator | None = None) -> Reading:
        """Pool by the exponential of the classifier's own logits."""
        z = self.classifier(h)  # (n, C)
        alpha = softmax(self.attention(z))  # (1, n)
        f = (alpha @ h)[0]  # (dim,)
        return Reading(self.classifier(f, generator), alpha[0], z)

    def own_losses(self, reading: Reading, target: Tensor) -> dict[str, Tensor]:
        """Return "instance", lambda included, where lambda > 0."""
        if self.options.instance_loss == 0:
            return {}
        labels = target.expand(len(reading.z))  # (n,)
        each = F.cross_entropy(reading.z, labels, reduction="none")  # (n,)
        return {"instance": self.options.instance_loss * (reading.attention @ each)}
