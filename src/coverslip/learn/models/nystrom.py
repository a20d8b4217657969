"""Nyström attention: self-attention through a few landmarks (Xiong et al., AAAI 2021).

    q, k, v  = W_qkv x                                          each head has its part
    q', k'   = means of q, k over m runs of consecutive tokens  landmarks
    S        = softmax(q k'^T) softmax(q' k'^T)^+ softmax(q' k^T)    q scaled by 1/sqrt(d)
    out      = W (S v + conv(v)) + b                            conv: 33 tokens, a head

It stands in for softmax(q k^T) at a cost linear in the tokens. ^+ is the pseudo-inverse,
by a few steps of an iteration (Razavi et al. 2014). As in the implementation that the
authors of TransMIL use, tokens are put in front until m divides their number: they are
zero and take part.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from coverslip.learn.models.layers import dropped


class NystromAttention(nn.Module):
    """Multi-head Nyström attention over the tokens of one bag.

    Args:
        dim: Length of a token, a multiple of `heads`.
        heads: H.
        landmarks: m.
        iterations: Steps towards the pseudo-inverse.
        dropout: Share of the output dropped where a generator is given.
    """

    def __init__(
        self,
        dim: int,
        heads: int = 8,
        landmarks: int = 256,
        iterations: int = 6,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        self.heads, self.landmarks, self.iterations = heads, landmarks, iterations
        self.dropout = dropout
        self.qkv = nn.Linear(dim, 3 * dim, bias=False)
        self.nearby = nn.Conv2d(
            heads, heads, (33, 1), padding=(16, 0), groups=heads, bias=False
        )
        self.out = nn.Linear(dim, dim)

    def forward(
        self, x: Tensor, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return the tokens' updates (N, dim) and the first token's attention (N,).

        The latter is the first token's row of S, the mean of the heads: an
        approximation of attention, whose values may be slightly negative and whose sum
        over these tokens is not one.

        Args:
            x: Tokens (N, dim).
            generator: A CPU generator that draws dropout, in training.
        """
        n, dim = x.shape
        front = -n % self.landmarks
        x = F.pad(x, (0, 0, front, 0))  # (L, dim), L a multiple of m
        q, k, v = self.qkv(x).view(len(x), 3, self.heads, -1).permute(1, 2, 0, 3)
        q = q / q.shape[-1] ** 0.5  # (H, L, d), as k and v
        few = (self.heads, self.landmarks, -1, q.shape[-1])
        q_few, k_few = q.reshape(few).mean(2), k.reshape(few).mean(2)  # (H, m, d)
        left = (q @ k_few.mT).softmax(dim=-1)  # (H, L, m)
        middle = (q_few @ k_few.mT).softmax(dim=-1)  # (H, m, m)
        right = (q_few @ k.mT).softmax(dim=-1)  # (H, m, L)
        left = left @ pseudo_inverse(middle, self.iterations)  # (H, L, m)
        mixed = left @ (right @ v) + self.nearby(v)  # (H, L, d)
        mixed = mixed[:, front:].transpose(0, 1).reshape(n, dim)  # (n, dim)
        out = self.out(mixed)  # (n, dim)
        if generator is not None and self.dropout > 0:
            out = dropped(out, self.dropout, generator)  # (n, dim)
        first = left[:, front : front + 1] @ right  # (H, 1, L)
        return out, first[:, 0, front:].mean(dim=0)  # (n, dim), (n,)


def pseudo_inverse(a: Tensor, iterations: int) -> Tensor:
    """Approximate the Moore-Penrose inverse of matrices a (H, m, m).

    The start is the transpose over the largest row sum and column sum of all H.
    """
    size = a.abs()
    z = a.mT / (size.sum(dim=-1).max() * size.sum(dim=-2).max())  # (H, m, m)
    one = torch.eye(a.shape[-1], dtype=a.dtype, device=a.device)  # (m, m)
    for _ in range(iterations):
        az = a @ z  # (H, m, m)
        z = z @ (13 * one - az @ (15 * one - az @ (7 * one - az))) / 4  # (H, m, m)
    return z
