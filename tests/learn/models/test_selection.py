"""Selection takes the ends of each pseudo-bag, and scores are DTFD's or the margin."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from coverslip.learn.models.pseudobags import partition
from coverslip.learn.models.selection import (
    cam_score,
    margin_score,
    patches_needed,
    select,
    target_class,
    uppermost,
)


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    """Return standard normal numbers of a seed."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("selection", ["maxs", "maxmins"])
@settings(max_examples=100, deadline=None)
@given(
    n=st.integers(1, 60),
    wanted=st.integers(1, 6),
    k=st.integers(1, 4),
    levels=st.integers(1, 50),
    seed=st.integers(0, 1000),
)
def test_select_takes_the_ends_of_each_pseudo_bag(
    selection, n, wanted, k, levels, seed
):
    """Equal to a sort in Python, ties and tiny slides included; never a patch twice."""
    generator = torch.Generator().manual_seed(seed)
    bags = partition(n, wanted, patches_needed(selection, k), generator)
    scores = torch.randint(levels, bags.patches.shape, generator=generator).float()
    chosen = select(scores, bags, k, selection)
    for row, score, patches, inside in zip(chosen, scores, *bags, strict=True):
        known = dict(zip(patches[inside].tolist(), score[inside].tolist(), strict=True))
        ranked = sorted(known, key=lambda j: -known[j])
        top = ranked[:k]
        rest = ranked[len(top) :]
        expected = top + (rest[-k:] if selection == "maxmins" else [])
        assert row.tolist() == expected
        assert len(set(row.tolist())) == len(expected)


@settings(max_examples=100, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 20), min_size=1, max_size=4),
    levels=st.integers(1, 9),
    seed=st.integers(0, 1000),
)
def test_uppermost_marks_another_number_in_each_row(lengths, levels, seed):
    """Equal to a sort in Python, ties and padding included."""
    chance = torch.Generator().manual_seed(seed)
    scores = torch.full((len(lengths), max(lengths)), -torch.inf)
    counts = []
    for row, length in zip(scores, lengths, strict=True):
        row[:length] = torch.randint(levels, (length,), generator=chance).float()
        counts.append(int(torch.randint(1, length + 1, (1,), generator=chance)))
    found = uppermost(scores, torch.tensor(counts)[:, None])
    for mask, row, count in zip(found, scores.tolist(), counts, strict=True):
        ranked = sorted(range(len(row)), key=lambda j: -row[j])
        assert mask.nonzero()[:, 0].tolist() == sorted(ranked[:count])


def test_patches_needed_is_k_or_both_ends():
    """k_min of the method."""
    assert [patches_needed(s, 3) for s in ("afs", "maxs", "maxmins")] == [3, 3, 6]


def test_cam_of_two_classes_is_dtfds_difference():
    """alpha_j (w_1 - w_0) . h_j, so its order is that of softmax at the last class."""
    alpha, evidence = drawn(3, 9).softmax(1), drawn(9, 2)
    score = cam_score(alpha, evidence, target_class(torch.zeros(3, 2)))
    torch.testing.assert_close(score, alpha * (evidence[:, 1] - evidence[:, 0]))


def test_scores_of_many_classes_are_log_odds_of_the_predicted_class():
    """Both scores order patches as softmax probability of each bag's own class does."""
    alpha, z, s = drawn(2, 9).softmax(1), drawn(9, 4, seed=1), torch.eye(4)[[2, 0]]
    target = target_class(s)
    assert target.tolist() == [2, 0]
    for g, c in enumerate([2, 0]):
        p = z.softmax(1)[:, c]
        torch.testing.assert_close(margin_score(z, target[g]), (p / (1 - p)).log())
        p = (alpha[g][:, None] * z).softmax(1)[:, c]
        score = cam_score(alpha, z, target)[g]
        torch.testing.assert_close(score, (p / (1 - p)).log(), atol=1e-5, rtol=1e-4)


def test_the_target_of_two_classes_is_the_last_whatever_is_predicted():
    """DTFD scores patches for the positive class in negative slides too."""
    assert target_class(torch.tensor([[9.0, 0.0], [0.0, 9.0]])).tolist() == [1, 1]
