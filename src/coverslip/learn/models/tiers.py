"""What both tiers of DMIA-MIL hand to each other; the formulas are in `dmia`."""

from typing import NamedTuple, Protocol

from torch import Tensor

from coverslip.learn.models.pseudobags import PseudoBags


class Tier1(NamedTuple):
    """One tier-1 forward over n patches in pseudo-bags, rows (..., L)."""

    h: Tensor
    """Reduced features (n, dim)."""
    z: Tensor
    """Instance logits (n, C)."""
    b: Tensor
    """Their bias (C,)."""
    e: Tensor
    """Raw attention scores (K, n)."""
    bags: PseudoBags
    """The pseudo-bags."""
    each: Tensor
    """Instance logits of each pseudo-bag's patches (..., L, C)."""
    alpha: Tensor
    """Attention within each pseudo-bag (..., L), zero where a row is padding."""
    s: Tensor
    """Pseudo-bag logits (..., C)."""

    @property
    def f(self) -> Tensor:
        """Aggregated features (..., dim)."""
        return self.bags.pool(self.alpha, self.h)


class Tiers(Protocol):
    """What a verdict is made by."""

    def reduce(self, x: Tensor) -> Tensor:
        """Map features (n, D) to reduced ones (n, dim)."""

    def tier1(self, h: Tensor, bags: PseudoBags) -> Tier1:
        """Look at reduced features in pseudo-bags, rows (..., L)."""

    def verdict(self, tokens: Tensor) -> Tensor:
        """Return the slide's logits (R, C) from its tokens (R, T, dim)."""
