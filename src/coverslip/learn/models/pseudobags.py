"""Pseudo-bags: seeded random groups of a slide's patches, as rows of their indices.

A row lists the patches of one pseudo-bag in their order, padded to the longest. What is
known of each patch is gathered into rows, and attention within pseudo-bags is a masked
normalisation along them: no loop. Several partitions of a slide, and several slides, are
more rows; a step on many slides is one call (a ragged batch).
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor


class PseudoBags(NamedTuple):
    """Groups of patches, one a row."""

    patches: Tensor
    """Indices (..., L) into the patches, rising; then padding, which is the first's."""
    inside: Tensor
    """Bool (..., L), false where a row is padding."""

    def to(self, device: torch.device) -> "PseudoBags":
        """Return the same on another device, without waiting for it."""
        return PseudoBags(sent(self.patches, device), sent(self.inside, device))

    def pool(self, weights: Tensor, values: Tensor) -> Tensor:
        """Return each row's weighted sum of values (N, dim) of patches: (..., dim).

        Args:
            weights: (..., L), zero where a row is padding.
            values: Of all patches.
        """
        rows, flat = self.patches.flatten(0, -2), weights.flatten(0, -2)  # (G, L)
        spread = flat.new_zeros(len(rows), len(values)).scatter_add(1, rows, flat)
        pooled = spread @ values.to(spread.dtype)  # (G, dim)
        return pooled.reshape(*self.patches.shape[:-1], values.shape[1])


def partition(
    n: int, n_pseudo_bags: int, smallest: int, generator: torch.Generator
) -> PseudoBags:
    """Cut a random permutation of n patches into near-equal groups (method 5.1).

    Args:
        n: Patches of the slide, at least 1.
        n_pseudo_bags: Groups wanted, M.
        smallest: Patches that a group needs, k_min; M falls to n // k_min to keep it.
        generator: A CPU generator, so that every device sees the same groups.

    Returns:
        M_eff rows on the CPU: each patch is in exactly one group, sizes differ by at
        most one, and no group has fewer than min(n, k_min) patches.
    """
    groups = max(1, min(n_pseudo_bags, n // smallest))
    rank_to_group = torch.arange(n) * groups // n  # (n,)
    group = torch.empty(n, dtype=torch.int64)
    group[torch.randperm(n, generator=generator)] = rank_to_group
    members = group == torch.arange(groups)[:, None]  # (M_eff, n)
    return _rows(members.nonzero()[:, 1], members.sum(dim=1))


def partitions(
    n: int, n_pseudo_bags: int, smallest: int, seeds: Sequence[int]
) -> PseudoBags:
    """Return one partition for each of R seeds: rows (R, M_eff, L)."""
    return stacked(
        [
            partition(n, n_pseudo_bags, smallest, torch.Generator().manual_seed(seed))
            for seed in seeds
        ]
    )


def whole(sizes: Sequence[int]) -> PseudoBags:
    """Return slides of so many patches, laid end to end, as one pseudo-bag each."""
    return _rows(torch.arange(sum(sizes)), torch.tensor(sizes))


def stacked(each: Sequence[PseudoBags], starts: Sequence[int] = ()) -> PseudoBags:
    """Return groups of equally many rows as one, (len(each), M, L).

    Args:
        each: Rows (..., L) of several partitions, or of several slides.
        starts: At which patch each slide begins, of slides laid end to end.
    """
    longest = max(one.patches.shape[-1] for one in each)
    patches, inside = [], []
    for one, start in zip(each, starts or [0] * len(each), strict=True):
        more = longest - one.patches.shape[-1]
        first = one.patches[..., :1].expand(*one.patches.shape[:-1], more)
        patches.append(torch.cat([one.patches, first], dim=-1) + start)
        inside.append(torch.nn.functional.pad(one.inside, (0, more)))
    return PseudoBags(torch.stack(patches), torch.stack(inside))


def _rows(listed: Tensor, sizes: Tensor) -> PseudoBags:
    """Cut a list of patches into rows of these sizes, (G,)."""
    places = torch.arange(int(sizes.max()))  # (L,)
    inside = places < sizes[:, None]  # (G, L)
    starts = (sizes.cumsum(0) - sizes)[:, None]  # (G, 1)
    return PseudoBags(listed[starts + places * inside], inside)


def sent(tensor: Tensor, device: torch.device) -> Tensor:
    """Return a tensor on a device; a GPU gets it without being waited for."""
    if device.type != "cuda" or tensor.device.type == "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


def canonical_order(x: Tensor, coords: Tensor | None = None) -> Tensor:
    """Return the order of patches that does not depend on how they were listed.

    Args:
        x: Features (n, D); read only where there are no coordinates.
        coords: Level-0 (x, y) of each patch, (n, 2), each place once.

    Returns:
        Indices (n,): by y then x; without coordinates by a hash of each row.
    """
    if coords is None:
        return _row_hash(x).argsort(stable=True)
    coords = coords.to(x.device)
    by_x = coords[:, 0].argsort(stable=True)
    return by_x[coords[by_x, 1].argsort(stable=True)]


def _row_hash(x: Tensor) -> Tensor:
    """Return a 64-bit hash of each row's values, (n,): equal rows, equal hashes.

    Whole-number arithmetic that wraps: the same on every device and in any order.
    """
    fixed = torch.Generator().manual_seed(0)
    factors = torch.randint(-(2**63), 2**63 - 1, (x.shape[1],), generator=fixed)
    factors = factors.to(x.device)
    return torch.cat(
        [
            (rows.float() + 0.0).view(torch.int32).long().mul_(factors).sum(dim=1)
            for rows in torch.split(x, 4096)  # bounds the memory of the wide integers
        ]
    )
