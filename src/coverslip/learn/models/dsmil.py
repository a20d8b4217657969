"""DSMIL: the critical patch, and attention by likeness to it.

    h_j    = ReLU(W_r x_j)                                      reduction
    z_j    = W h_j + b                                          instance stream (n, O)
    m_c    = argmax_j z_jc ;  s1_c = z_{m_c, c}                 its critical patches
    q_j    = tanh(W_2 ReLU(W_1 h_j + b_1) + b_2)                queries
    A_jc   = softmax_j(q_j . q_{m_c} / sqrt(q_dim))             likeness to them
    B_c    = sum_j A_jc h_j                                     bag embedding (O, dim)
    s2_o   = sum_{c,d} K_ocd B_cd + a_o                         bag stream
    L      = (CE(s1, Y) + CE(s2, Y)) / 2 ;  o = (s1 + s2) / 2

O outputs: one a class; or, of two classes, one for the last, whose logits are (0, z):
then CE is the binary cross-entropy of the authors (their setting for CAMELYON16).
Li et al., CVPR 2021.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from coverslip.learn.models.attention import softmax
from coverslip.learn.models.layers import (
    LinearClassifier,
    full_precision,
    initial_weights,
)
from coverslip.learn.models.one_tier import OneTier, Reading
from coverslip.learn.models.one_tier_options import DSMILOptions
from coverslip.learn.models.selection import target_class


class Streams(NamedTuple):
    """One forward over n patches with O outputs."""

    z: Tensor
    """Instance scores (n, O)."""
    alpha: Tensor
    """Attention of each output (O, n), rows summing to one."""
    s1: Tensor
    """The instance stream's scores (O,)."""
    s2: Tensor
    """The bag stream's scores (O,)."""


class DSMIL(OneTier):
    """DSMIL over bags of features.

    Args:
        in_dim: Length of a feature, D.
        n_classes: Number of classes, C.
        options: The method's options.
        seed: Draws the initial weights.
    """

    def __init__(
        self,
        in_dim: int,
        n_classes: int,
        options: DSMILOptions | None = None,
        seed: int = 0,
    ) -> None:
        options = options or DSMILOptions()
        dim, outputs = options.dim, n_classes
        if n_classes == 2 and options.one_output:
            outputs = 1
        with initial_weights(seed):
            super().__init__(in_dim, n_classes, options)
            self.classifier = LinearClassifier(dim, outputs)  # of patches
            self.query = nn.Sequential(
                nn.Linear(dim, options.query_dim),
                nn.ReLU(),
                nn.Linear(options.query_dim, options.query_dim),
                nn.Tanh(),
            )
            self.bag = LinearClassifier(outputs * dim, outputs, options.dropout)

    def bag_losses(
        self, x: Tensor, label: int, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Return "instance" and "bag", each already halved."""
        h = self.reduce(x)  # (n, dim)
        with full_precision(h):
            streams = self.streams(h, generator)
            target = torch.tensor(label, device=h.device)  # ()
            return {
                "instance": F.cross_entropy(class_logits(streams.s1), target) / 2,
                "bag": F.cross_entropy(class_logits(streams.s2), target) / 2,
            }

    def streams(self, h: Tensor, generator: torch.Generator | None = None) -> Streams:
        """Run both streams over h (n, dim); a generator draws dropout of B."""
        z = self.classifier(h)  # (n, O)
        s1, critical = z.max(dim=0)  # (O,), (O,)
        q = self.query(h)  # (n, query_dim)
        alpha = softmax(q[critical] @ q.T / q.shape[1] ** 0.5)  # (O, n)
        s2 = self.bag((alpha @ h).flatten(), generator)  # (O,)
        return Streams(z, alpha, s1, s2)

    def read(self, h: Tensor, generator: torch.Generator | None = None) -> Reading:
        """Average both streams; what is said of a patch is the instance stream's z.

        `attention` is that of the last of two classes, or of the class predicted.
        """
        streams = self.streams(h, generator)
        logits = class_logits((streams.s1 + streams.s2) / 2)  # (C,)
        output = min(int(target_class(logits[None])), len(streams.alpha) - 1)
        return Reading(logits, streams.alpha[output], class_logits(streams.z))


def class_logits(z: Tensor) -> Tensor:
    """Return logits (..., C) of scores (..., O): one score z becomes (0, z)."""
    return F.pad(z, (1, 0)) if z.shape[-1] == 1 else z  # (..., C)
