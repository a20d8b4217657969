"""Partitions cover each patch once, in near-equal groups, from the seed alone."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from coverslip.learn.models.pseudobags import (
    canonical_order,
    partition,
    partitions,
    stacked,
    whole,
)


def seeded(seed: int) -> torch.Generator:
    """Return a CPU generator of that seed."""
    return torch.Generator().manual_seed(seed)


@settings(max_examples=200, deadline=None)
@given(
    n=st.integers(1, 300),
    wanted=st.integers(1, 12),
    smallest=st.integers(1, 9),
    seed=st.integers(0, 2**31),
)
def test_a_partition_covers_each_patch_once_in_near_equal_groups(
    n, wanted, smallest, seed
):
    """Each index once; sizes within one; as many groups as k_min allows."""
    bags = partition(n, wanted, smallest, seeded(seed))
    rows = [row[inside].tolist() for row, inside in zip(*bags, strict=True)]
    sizes = [len(row) for row in rows]
    assert sorted(j for row in rows for j in row) == list(range(n))
    assert all(row == sorted(row) for row in rows)
    assert max(sizes) - min(sizes) <= 1
    assert len(rows) == max(1, min(wanted, n // smallest))
    assert min(sizes) >= min(n, smallest)
    assert max(sizes) == bags.patches.shape[1]
    assert (bags.patches[~bags.inside] < n).all()
    assert torch.equal(
        bags.patches, partition(n, wanted, smallest, seeded(seed)).patches
    )


def test_groups_are_random():
    """Any two patches share a group as often as chance says: (n/M - 1) / (n - 1)."""
    together = torch.stack(
        [
            (partition(8, 2, 1, seeded(seed)).patches < 2).sum(1).max() == 2
            for seed in range(2000)
        ]
    )
    assert together.float().mean().item() == pytest.approx(3 / 7, abs=0.04)


def test_partitions_are_those_of_their_seeds():
    """Each row stack is the partition of its own seed, and seeds differ."""
    several = partitions(20, 4, 1, [5, 6]).patches
    assert torch.equal(several[0], partition(20, 4, 1, seeded(5)).patches)
    assert torch.equal(several[1], partition(20, 4, 1, seeded(6)).patches)
    assert not torch.equal(several[0], several[1])


def test_slides_laid_end_to_end_keep_their_patches():
    """Rows of a later slide begin at its first patch; short rows end in padding."""
    sizes = (5, 9, 2)
    slides = whole(sizes)
    rows = [row[inside].tolist() for row, inside in zip(*slides, strict=True)]
    assert rows == [list(range(5)), list(range(5, 14)), [14, 15]]
    assert slides.patches[2].tolist() == [14, 15] + [14] * 7
    each = [partition(n, 2, 1, seeded(n)) for n in sizes]
    together = stacked(each, (0, 5, 14))
    assert together.patches.shape == (3, 2, 5)
    for number, (one, start) in enumerate(zip(each, (0, 5, 14), strict=True)):
        for row in range(2):
            inside = together.inside[number, row]
            mine = together.patches[number, row][inside] - start
            assert torch.equal(mine, one.patches[row][one.inside[row]])


def test_pooling_is_a_weighted_sum_of_each_row():
    """Padding has no weight; rows may lie in any shape."""
    bags = partitions(7, 2, 1, [0, 1, 2])  # (3, 2, 4)
    weights = torch.rand(bags.inside.shape, generator=seeded(1)) * bags.inside
    values = torch.randn(7, 5, generator=seeded(2))
    expected = (weights.unsqueeze(-1) * values[bags.patches]).sum(-2)
    torch.testing.assert_close(bags.pool(weights, values), expected)


def test_coordinates_order_by_y_then_x():
    """Reading order: row by row."""
    coords = torch.tensor([[5, 9], [7, 2], [1, 9], [3, 2]])  # (x, y)
    order = canonical_order(torch.zeros(4, 1), coords)
    assert coords[order].tolist() == [[3, 2], [7, 2], [1, 9], [5, 9]]


@pytest.mark.parametrize("located", [True, False])
@settings(max_examples=30, deadline=None)
@given(n=st.integers(1, 200), seed=st.integers(0, 1000))
def test_canonical_order_forgets_the_listing(located, n, seed):
    """A shuffled slide comes back in the same order, by place or by content."""
    x = torch.randn(n, 7, generator=seeded(seed)).half()
    coords = torch.stack([torch.arange(n) % 10, torch.arange(n) // 10], 1) * 256
    shuffled = torch.randperm(n, generator=seeded(seed + 1))
    first = canonical_order(x, coords if located else None)
    second = canonical_order(x[shuffled], coords[shuffled] if located else None)
    assert torch.equal(x[first], x[shuffled][second])
    assert torch.equal(first.sort().values, torch.arange(n))


def test_hash_order_does_not_depend_on_float_type_or_the_sign_of_zero():
    """float16 on disk and float32 in memory, 0.0 and -0.0: the same patches."""
    x = torch.randn(50, 6, generator=seeded(0)).half()
    x[3, 2] = 0.0
    y = x.float()
    y[3, 2] = -0.0
    assert torch.equal(canonical_order(x), canonical_order(y))
