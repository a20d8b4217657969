"""Attention-based MIL (Ilse, Tomczak & Welling 2018), plain and gated.

e_j     = w . tanh(V h_j + c) + a                                  plain
e_j     = w . (tanh(V h_j + c) * sigmoid(U h_j + d)) + a           gated
alpha_j = exp(e_j) / sum_i exp(e_i)
f       = sum_j alpha_j h_j ;  o = W f + b
"""

from typing import ClassVar

import torch
from torch import Tensor

from coverslip.learn.models.attention import GatedAttention, TanhAttention, softmax
from coverslip.learn.models.layers import initial_weights
from coverslip.learn.models.one_tier import OneTier, Reading
from coverslip.learn.models.one_tier_options import ABMILOptions


class ABMIL(OneTier):
    """Attention-based MIL with plain (tanh) attention.

    Args:
        in_dim: Length of a feature, D.
        n_classes: Number of classes, C.
        options: The model's options.
        seed: Draws the initial weights.
    """

    scorer: ClassVar[type[TanhAttention | GatedAttention]] = TanhAttention

    def __init__(
        self,
        in_dim: int,
        n_classes: int,
        options: ABMILOptions | None = None,
        seed: int = 0,
    ) -> None:
        options = options or ABMILOptions()
        with initial_weights(seed):
            super().__init__(in_dim, n_classes, options)
            self.attention = self.scorer(options.dim, options.attention_dim)

    def read(self, h: Tensor, generator: torch.Generator | None = None) -> Reading:
        """Pool by attention; what is said of a patch is W h_j + b."""
        alpha = softmax(self.attention(h))  # (1, n)
        f = (alpha @ h)[0]  # (dim,)
        return Reading(self.classifier(f, generator), alpha[0], self.classifier(h))


class GatedABMIL(ABMIL):
    """Attention-based MIL with gated attention; arguments as `ABMIL`."""

    scorer = GatedAttention
