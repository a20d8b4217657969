"""How much a run would make: from a sample, with an interval that holds."""

import numpy as np

from coverslip.pipeline.plan.estimating import Amount, exactly, standing, unseen_patches


def test_slides_that_were_all_seen_are_counted():
    """There is nothing to estimate."""
    assert unseen_patches([10, 20], [4, 9], []) == exactly(13)


def test_a_share_common_to_all_goes_with_the_area():
    """Where all slides are alike the interval closes."""
    amount = unseen_patches([100, 200, 400], [50, 100, 200], [1000, 1000])
    assert amount == Amount(1350, 1350, 1350)


def test_a_sample_of_one_or_none_knows_no_more_than_what_can_be():
    """The interval is from what was counted to all squares."""
    assert unseen_patches([100], [50], [100]) == Amount(50, 100, 150)
    assert unseen_patches([], [], [100]) == Amount(0, 100, 100)


def test_the_interval_holds_as_often_as_it_says():
    """Over many samples of a cohort whose slides differ in size and tissue."""
    rng = np.random.default_rng(1)
    squares = rng.integers(500, 5000, 200)
    patches = (squares * rng.beta(4, 6, 200)).astype(int)
    held, ratios = [], []
    for _ in range(400):
        order = rng.permutation(200)
        seen, rest = order[:20], order[20:]
        amount = unseen_patches(
            squares[seen].tolist(), patches[seen].tolist(), squares[rest].tolist()
        )
        held.append(amount.low <= patches.sum() <= amount.high)
        ratios.append(amount.likely / patches.sum())
    assert 0.9 <= np.mean(held) <= 0.99
    assert abs(np.mean(ratios) - 1) < 0.02


def test_amounts_add_end_to_end():
    """So an interval of a sum is as wide as its parts'."""
    assert Amount(1, 2, 3) + exactly(1) == Amount(2, 3, 4)
    assert Amount(1, 2, 3).times(2) == Amount(2, 4, 6)


def test_a_folder_that_is_not_there_yet_lies_in_one_that_is(tmp_path):
    """Its free disk is that of the one above it."""
    assert standing(tmp_path / "a" / "b") == tmp_path
    assert standing(tmp_path) == tmp_path
