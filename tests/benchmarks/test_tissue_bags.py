"""Bags of real tissue are drawn as the page says, and no part sees another's patches."""

from itertools import pairwise

import numpy as np
import pytest
from benchmarks.accuracy.tissue_bags import (
    NEIGHBOURS,
    PATCHES,
    SHARE,
    Pool,
    draw_bags,
    read_pool,
)

from coverslip.errors import DataError


@pytest.fixture
def pool():
    """Return 1,200 patches of every part, stain and class."""
    rng = np.random.default_rng(0)
    n = 1200
    return Pool(
        features=rng.normal(size=(n, 4)).astype(np.float16),
        stain=rng.uniform(size=(n, 2)),
        tumour=rng.random(n) < 0.5,
        part=np.array(["train", "val", "test"])[np.arange(n) % 3],
    )


@pytest.mark.parametrize("part", ["train", "val", "test"])
def test_a_bag_holds_patches_of_its_part_alone(pool, part):
    """Tumour is where the bag says, in the share that the page says."""
    bags = draw_bags(pool, part, 20, np.random.default_rng(1))
    assert [bag.label for bag in bags] == [0, 1] * 10
    for bag in bags:
        assert PATCHES[0] <= len(bag.patches) <= PATCHES[1]
        assert set(pool.part[bag.patches]) == {part}
        assert (pool.tumour[bag.patches] == bag.tumour).all()
        share = bag.tumour.mean()
        low, high = SHARE if bag.label else (0, 0)
        assert low - 1 / PATCHES[0] <= share <= high + 1 / PATCHES[0]


def test_a_bag_has_one_stain(pool):
    """Its patches are alike in stain, compared with those of all bags."""
    bags = draw_bags(pool, "train", 30, np.random.default_rng(2))
    within = np.mean([pool.stain[bag.patches, 1].std() for bag in bags])
    assert NEIGHBOURS[0] > 100  # nearly all of this small pool: so the test asks little
    assert within < pool.stain[:, 1].std()


def test_the_seed_draws_the_bags(pool):
    """The same seed gives the same bags, another seed others."""
    first, again, other = (
        draw_bags(pool, "val", 3, np.random.default_rng(seed)) for seed in (3, 3, 4)
    )
    assert all(
        (a.patches == b.patches).all() for a, b in zip(first, again, strict=True)
    )
    assert not np.array_equal(first[0].patches, other[0].patches)


def test_parts_of_the_real_patches_are_apart(real_data):
    """Test patches are the official valid ones; validation has stains of its own."""
    pool = read_pool(real_data)
    assert pool.features.shape == (9907, 1024)
    counts = {
        (part, c): int(((pool.part == part) & (pool.tumour == c)).sum())
        for part in ("train", "val", "test")
        for c in (False, True)
    }
    assert (counts["test", False], counts["test", True]) == (1500, 1407)
    assert all(counts[part, c] > 400 for part in ("train", "val") for c in (0, 1))
    train, val = (pool.stain[pool.part == part] for part in ("train", "val"))
    edges = np.histogram_bin_edges(pool.stain[:, 1], 200)
    both = [
        min(((s[:, 1] >= a) & (s[:, 1] < b)).mean() for s in (train, val))
        for a, b in pairwise(edges)
    ]
    assert sum(both) < 0.7  # groups drawn at random would share nearly all


def test_absent_data_are_told_of(tmp_path):
    """The message names the file and the remedy."""
    with pytest.raises(
        DataError, match=r"resnet50\.npz: not there: set COVERSLIP_DATA"
    ):
        read_pool(tmp_path)
