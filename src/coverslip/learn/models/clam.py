"""CLAM: gated attention whose extremes are pseudo-labels for instance classifiers.

    h_j     = ReLU(W_r x_j)                                     reduction
    e_bj    = u_b . (tanh(V h_j + c) * sigmoid(U h_j + d)) + a_b      branch b
    alpha_b = softmax_j e_bj
    o_c     = w_c . sum_j alpha_bj h_j + b_c                    SB: b = 1;  MB: b = c
    t_jc    = W_c h_j + b_c in R^2                              instance classifier of c
    L_in    = loss of t_jY: 1 for the k patches of highest alpha, 0 for the k lowest
    L_out   = loss of t_jc, c != Y: 0 for the k highest         subtyping only
    L       = 0.7 CE(o, Y) + 0.3 L_instance

L_instance is L_in or, in subtyping, the mean over classes of L_in and L_out. The loss
of a patch is cross-entropy or the smooth SVM of Berrada et al. 2018 (margin 1, tau 1).
Lu et al., Nature Biomedical Engineering 2021.
"""

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from coverslip.learn.models.attention import GatedAttention, softmax
from coverslip.learn.models.layers import (
    LinearClassifier,
    dropped,
    full_precision,
    initial_weights,
)
from coverslip.learn.models.one_tier import OneTier, Reading
from coverslip.learn.models.one_tier_options import CLAMOptions
from coverslip.learn.models.pseudobags import PseudoBags, whole
from coverslip.learn.models.selection import select, target_class


class CLAM(OneTier):
    """CLAM over bags of features, single branch (CLAM-SB).

    Args:
        in_dim: Length of a feature, D.
        n_classes: Number of classes, C.
        options: The method's options.
        seed: Draws the initial weights.
    """

    options: CLAMOptions
    multiple: ClassVar[bool] = False

    def __init__(
        self,
        in_dim: int,
        n_classes: int,
        options: CLAMOptions | None = None,
        seed: int = 0,
    ) -> None:
        options = options or CLAMOptions()
        with initial_weights(seed):
            super().__init__(in_dim, n_classes, options)
            heads = n_classes if self.multiple else 1
            self.attention = GatedAttention(options.dim, options.attention_dim, heads)
            self.instances = LinearClassifier(options.dim, 2 * n_classes)

    def bag_losses(
        self, x: Tensor, label: int, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Return "bag" and "instance", each with its weight."""
        h = self.reduce(x)  # (n, dim)
        with full_precision(h):
            if self.options.dropout > 0:
                h = dropped(h, self.options.dropout, generator)  # (n, dim)
            alpha = softmax(self.attention(h))  # (B, n)
            target = torch.tensor(label, device=h.device)  # ()
            weight = self.options.bag_weight
            return {
                "bag": weight * F.cross_entropy(self.judge(alpha, h), target),
                "instance": (1 - weight) * self.instance_loss(alpha, h, label),
            }

    def read(self, h: Tensor, generator: torch.Generator | None = None) -> Reading:  # noqa: ARG002 - `bag_losses` drops
        """Pool by attention.

        Of several branches `attention` is that of the last of two classes, or of the
        class that is predicted. What is said of a patch are its instance classifiers'
        log odds: their softmax is what they say, given that one of them is right.
        """
        alpha = softmax(self.attention(h))  # (B, n)
        logits = self.judge(alpha, h)  # (C,)
        branch = int(target_class(logits[None])) if self.multiple else 0
        said = self.instance_logits(h)  # (n, C, 2)
        return Reading(logits, alpha[branch], said[..., 1] - said[..., 0])

    def judge(self, alpha: Tensor, h: Tensor) -> Tensor:
        """Return the bag's logits (C,): each class reads its own branch, or the one."""
        f = alpha @ h  # (B, dim)
        linear = self.classifier.linear
        return (linear.weight * f).sum(dim=-1) + linear.bias  # (C,)

    def instance_logits(self, h: Tensor) -> Tensor:
        """Return each class's binary logits (no, yes) of each patch: (n, C, 2)."""
        logits: Tensor = self.instances(h)  # (n, 2 C)
        return logits.view(len(h), self.n_classes, 2)  # (n, C, 2)

    def instance_loss(self, alpha: Tensor, h: Tensor, label: int) -> Tensor:
        """Return the loss of the patches that attention (B, n) labels.

        Of fewer than 2 k patches half are labelled 1 and half 0; a single one is 1.
        """
        k = max(1, min(self.options.k, len(h) // 2))
        rows = alpha.expand(self.n_classes, -1)  # (C, n)
        slide = whole([len(h)]).to(h.device)  # (1, n)
        everyone = PseudoBags(*(part.expand_as(rows) for part in slide))  # (C, n)
        ends = select(rows, everyone, k, "maxmins")  # (C, 2 k): highest, then lowest
        said = self.instance_logits(h)  # (n, C, 2)
        losses = []
        for c in range(self.n_classes):
            if c == label:
                yes = torch.arange(ends.shape[1], device=h.device) < k  # (2 k,)
                losses.append(self._patch_loss(said[ends[c], c], yes.long()))
            elif self.options.subtyping:
                no = ends.new_zeros(k)  # (k,)
                losses.append(self._patch_loss(said[ends[c, :k], c], no))
        return torch.stack(losses).mean()  # ()

    def _patch_loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the mean loss of logits (m, 2) against targets (m,)."""
        if self.options.instance_loss == "ce":
            return F.cross_entropy(logits, target)
        return smooth_svm(logits, target)


class CLAMMB(CLAM):
    """CLAM with a branch of attention for each class; arguments as `CLAM`."""

    multiple = True


def smooth_svm(logits: Tensor, target: Tensor) -> Tensor:
    """Return mean log sum_y exp([y != Y] + s_y - s_Y) (Berrada et al. 2018, top 1).

    Args:
        logits: Scores (m, C).
        target: Classes (m,).
    """
    margin = 1 - F.one_hot(target, logits.shape[-1])  # (m, C): 0 for the right class
    own = logits.gather(-1, target[:, None])  # (m, 1)
    return (margin + logits - own).logsumexp(dim=-1).mean()  # ()
