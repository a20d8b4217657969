"""Pseudo-bags: seeded random groups of a slide's patches, as a membership matrix.

A slide of n patches in M groups is one boolean matrix (M, n). Attention within groups
is then a masked normalisation along n, and the features of all groups are one product
alpha @ h: no loop, no padding. Several partitions are more rows of the same matrix.
"""

from collections.abc import Sequence

import torch
from torch import Tensor


def partition(
    n: int, n_pseudo_bags: int, smallest: int, generator: torch.Generator
) -> Tensor:
    """Cut a random permutation of n patches into near-equal groups (method 5.1).

    Args:
        n: Patches of the slide, at least 1.
        n_pseudo_bags: Groups wanted, M.
        smallest: Patches that a group needs, k_min; M falls to n // k_min to keep it.
        generator: A CPU generator, so that every device sees the same groups.

    Returns:
        Membership, bool (M_eff, n), on the CPU: each patch is in exactly one group,
        sizes differ by at most one, and no group has fewer than min(n, k_min) patches.
    """
    groups = max(1, min(n_pseudo_bags, n // smallest))
    rank_to_group = torch.arange(n) * groups // n  # (n,)
    group = torch.empty(n, dtype=torch.int64)
    group[torch.randperm(n, generator=generator)] = rank_to_group
    return group == torch.arange(groups)[:, None]  # (M_eff, n)


def partitions(
    n: int, n_pseudo_bags: int, smallest: int, seeds: Sequence[int]
) -> Tensor:
    """Return one partition for each of R seeds: bool (R, M_eff, n)."""
    return torch.stack(
        [
            partition(n, n_pseudo_bags, smallest, torch.Generator().manual_seed(seed))
            for seed in seeds
        ]
    )


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
