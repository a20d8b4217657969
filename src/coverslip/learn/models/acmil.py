"""ACMIL: several branches of gated attention, kept apart, with the top patches hidden.

    h_j      = ReLU(W_r x_j)                                    reduction
    e_kj     = u_k . (tanh(V h_j + c) * sigmoid(U h_j + d)) + b_k     k = 1 .. K branches
    e_kj     = -inf for a random share of each row's highest    STKIM, in training only
    alpha_k  = softmax_j e_kj
    s_k      = W_k sum_j alpha_kj h_j + b_k                     a branch's logits
    a_j      = mean_k alpha_kj ;  o = W sum_j a_j h_j + b       the slide's logits
    L        = CE(o, Y) + mean_k CE(s_k, Y) + mean_{k<l} cos(alpha_k, alpha_l)
               + aem mean_k sum_j alpha_kj log alpha_kj

Zhang et al., ECCV 2024 (the gated-attention form); the last term, off by default, is
their AEM (2024).
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from coverslip.learn.models.attention import GatedAttention, softmax
from coverslip.learn.models.layers import (
    LinearClassifier,
    full_precision,
    initial_weights,
)
from coverslip.learn.models.one_tier import OneTier, Reading
from coverslip.learn.models.one_tier_options import ACMILOptions
from coverslip.learn.models.regularisers import aem, diversity, stkim


class ACMIL(OneTier):
    """ACMIL over bags of features.

    Args:
        in_dim: Length of a feature, D.
        n_classes: Number of classes, C.
        options: The method's options.
        seed: Draws the initial weights.
    """

    options: ACMILOptions

    def __init__(
        self,
        in_dim: int,
        n_classes: int,
        options: ACMILOptions | None = None,
        seed: int = 0,
    ) -> None:
        options = options or ACMILOptions()
        with initial_weights(seed):
            super().__init__(in_dim, n_classes, options)
            self.attention = GatedAttention(
                options.dim, options.attention_dim, options.branches
            )
            self.branches = nn.ModuleList(
                LinearClassifier(options.dim, n_classes, options.dropout)
                for _ in range(options.branches)
            )

    def bag_losses(
        self, x: Tensor, label: int, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Return "bag", "branches", "diversity" and, where it has weight, "aem"."""
        h = self.reduce(x)  # (n, dim)
        with full_precision(h):
            alpha = self.attend(h, generator)  # (K, n)
            o = self.classifier(alpha.mean(dim=0) @ h, generator)  # (C,)
            rows = zip(self.branches, alpha @ h, strict=True)
            s = torch.stack([branch(f, generator) for branch, f in rows])  # (K, C)
            target = torch.tensor(label, device=h.device)  # ()
            losses = {
                "bag": F.cross_entropy(o, target),
                "branches": F.cross_entropy(s, target.expand(len(s))),
                "diversity": diversity(alpha),
            }
            if self.options.aem > 0:
                losses["aem"] = self.options.aem * aem(alpha)
        return losses

    def attend(self, h: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return the branches' attention to h (n, dim), (K, n); a generator masks."""
        e = self.attention(h)  # (K, n)
        if generator is not None:
            masked, share = self.options.masked_patches, self.options.mask_share
            e = stkim(e, masked, share, generator)  # (K, n)
        return softmax(e)  # (K, n)

    def read(self, h: Tensor, generator: torch.Generator | None = None) -> Reading:
        """Pool by the branches' mean attention; W h_j + b is said of a patch."""
        a = self.attend(h, generator).mean(dim=0)  # (n,)
        return Reading(self.classifier(a @ h, generator), a, self.classifier(h))
