"""TransMIL: a transformer over the patches of a slide, with positions from a square.

    h_j    = ReLU(W_r x_j)                                      reduction
    T      = [class token; h_1 .. h_n, h_1 .. h_p]              n + p = s^2, s = ceil(sqrt n)
    T      = T + Nystrom(LayerNorm(T))                          layer 1
    T      = [class token; P + conv7(P) + conv5(P) + conv3(P)]  PPEG: P, the s x s square
    T      = T + Nystrom(LayerNorm(T))                          layer 2
    o      = W LayerNorm(T)_class + b ;  L = CE(o, Y)

The square is filled row by row in canonical order (by y, then x), so that it shows
neighbours only roughly; the convolutions are depthwise. Shao et al., NeurIPS 2021.
"""

from math import isqrt

import torch
from torch import Tensor, nn

from coverslip.learn.models.layers import initial_weights
from coverslip.learn.models.nystrom import NystromAttention
from coverslip.learn.models.one_tier import OneTier, Reading
from coverslip.learn.models.one_tier_options import TransMILOptions


class Layer(nn.Module):
    """T + Nystrom(LayerNorm(T))."""

    def __init__(self, options: TransMILOptions) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(options.dim)
        self.attention = NystromAttention(
            options.dim,
            options.heads,
            options.landmarks or max(1, options.dim // 2),
            options.iterations,
            options.dropout,
        )

    def forward(
        self, tokens: Tensor, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return tokens (N, dim) and the first one's attention to all of them (N,)."""
        update, attention = self.attention(self.norm(tokens), generator)
        return tokens + update, attention


class PPEG(nn.Module):
    """P + conv7(P) + conv5(P) + conv3(P), depthwise, over a square of tokens."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(
            nn.Conv2d(dim, dim, size, padding=size // 2, groups=dim)
            for size in (7, 5, 3)
        )

    def forward(self, square: Tensor) -> Tensor:
        """Map s^2 tokens, row by row, to as many: (s^2, dim)."""
        side = isqrt(len(square))
        image = square.T.reshape(1, -1, side, side)  # (1, dim, s, s)
        near = [conv(image) for conv in self.convolutions]  # (1, dim, s, s) each
        seen: Tensor = image + near[0] + near[1] + near[2]  # (1, dim, s, s)
        return seen.flatten(2)[0].T  # (s^2, dim)


class Encoder(nn.Module):
    """The class token, two layers and the positions between them."""

    def __init__(self, options: TransMILOptions) -> None:
        super().__init__()
        self.class_token = nn.Parameter(torch.randn(1, options.dim))
        self.first = Layer(options)
        self.positions = PPEG(options.dim)
        self.second = Layer(options)
        self.norm = nn.LayerNorm(options.dim)

    def forward(
        self, h: Tensor, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        """Map reduced features (n, dim) to tokens and the class token's attention.

        Args:
            h: Reduced features in canonical order (n, dim).
            generator: Draws dropout, in training.

        Returns:
            Tokens (1 + s^2, dim), the class token first, and its attention to each of
            them in the second layer, (1 + s^2,).
        """
        square = torch.cat([h, h[: square_of(len(h)) - len(h)]])  # (s^2, dim)
        tokens = torch.cat([self.class_token, square])  # (1 + s^2, dim)
        tokens, _ = self.first(tokens, generator)
        tokens = torch.cat([tokens[:1], self.positions(tokens[1:])])
        tokens, attention = self.second(tokens, generator)
        return self.norm(tokens), attention


class TransMIL(OneTier):
    """TransMIL over bags of features.

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
        options: TransMILOptions | None = None,
        seed: int = 0,
    ) -> None:
        options = options or TransMILOptions()
        with initial_weights(seed):
            super().__init__(in_dim, n_classes, options)
            self.encoder = Encoder(options)

    def read(self, h: Tensor, generator: torch.Generator | None = None) -> Reading:
        """Classify the class token; a generator draws the layers' dropout.

        `attention` is the class token's in the second layer (see `shares`). TransMIL
        has no classifier of patches: what is said of one is what the classifier says
        of its last token, which has seen the others.
        """
        n = len(h)
        tokens, seen = self.encoder(h, generator)  # (1 + s^2, dim), (1 + s^2,)
        said = self.classifier(tokens[: n + 1])  # (1 + n, C)
        return Reading(said[0], shares(seen[1:], n), said[1:])


def square_of(n: int) -> int:
    """Return the smallest square number that is not below n >= 1."""
    return (isqrt(n - 1) + 1) ** 2


def shares(seen: Tensor, n: int) -> Tensor:
    """Return the attention of n patches from that of s^2 tokens: (n,), sum one.

    Tokens beyond n repeat the first patches: their attention is added to these. The
    approximation may give a patch less than nothing: that counts as nothing. Where no
    patch has more, all are alike.
    """
    total = seen[:n].clone()  # (n,)
    total[: len(seen) - n] += seen[n:]
    total = total.clamp(min=0)  # (n,)
    flat = torch.full_like(total, 1 / n)  # (n,)
    return torch.where(total.any(), total / total.sum(), flat)
