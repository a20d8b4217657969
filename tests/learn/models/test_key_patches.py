"""The loss of key patches, by numbers worked out by hand and by what it pulls at."""

from math import log

import pytest
import torch
from torch import Tensor

from coverslip.learn.models.key_patches import key_loss as of_slides
from coverslip.learn.models.pseudobags import whole


def key_loss(z: Tensor, label: int, key_patches: int) -> Tensor:
    """Return the loss of one slide, ()."""
    return of_slides(z, whole([len(z)]), torch.tensor([label]), key_patches)[0]


def patches(*odds: float) -> Tensor:
    """Return logits (n, 2) of patches whose odds of class 1 are these."""
    return torch.tensor([[0.5, 0.5 + log(r)] for r in odds], requires_grad=True)


FOUR = (1.0, 1 / 7, 3.0, 1 / 3)
"""Odds of class 1; its probabilities are 1/2, 1/8, 3/4 and 1/4."""


@pytest.mark.parametrize(
    ("odds", "label", "key_patches", "expected"),
    [
        # class 1: the best are tumour, the two least are not
        (FOUR, 1, 1, (log(4 / 3) + (log(8 / 7) + log(4 / 3)) / 2) / 2),
        (FOUR, 1, 2, ((log(4 / 3) + log(2)) / 2 + (log(8 / 7) + log(4 / 3)) / 2) / 2),
        # class 0: none is tumour, and the hardest count again
        (FOUR, 0, 1, (log(4) + (log(4) + log(2) + log(4 / 3) + log(8 / 7)) / 4) / 2),
        # fewer patches than key patches: none is called both
        (FOUR, 1, 9, ((log(4 / 3) + log(2)) / 2 + (log(8 / 7) + log(4 / 3)) / 2) / 2),
        ((1 / 3, 3.0, 1.0), 1, 9, ((log(4 / 3) + log(2)) / 2 + log(4 / 3)) / 2),
        ((1.0, 3.0), 1, 9, (log(4 / 3) + log(2)) / 2),
        ((1.0, 3.0), 0, 9, (log(2) + log(4)) / 2),
        # one patch is its slide
        ((3.0,), 1, 2, log(4 / 3)),
        ((3.0,), 0, 2, log(4)),
    ],
)
def test_two_classes_by_hand(odds, label, key_patches, expected):
    """The mean of the key patches' cross entropy and of the surely normal ones'."""
    found = key_loss(patches(*odds), label, key_patches)
    assert found.item() == pytest.approx(expected, rel=1e-6)


THREE = torch.tensor([[1.0, 2.0, 5.0], [1.0, 8.0, 1.0], [2.0, 1.0, 1.0]]).log()
"""Logits of three patches whose probabilities are eighths, tenths and quarters."""


@pytest.mark.parametrize(
    ("label", "key_patches", "expected"),
    [
        (0, 1, log(2)),
        (1, 1, log(10 / 8)),
        (2, 1, log(8 / 5)),
        (2, 2, (log(8 / 5) + log(4)) / 2),
        (0, 9, (log(8) + log(10) + log(2)) / 3),
    ],
)
def test_of_three_classes_the_slides_own_evidence_counts(label, key_patches, expected):
    """Patches sure of another class are neither chosen nor blamed."""
    found = key_loss(THREE, label, key_patches)
    assert found.item() == pytest.approx(expected, rel=1e-6)


def test_one_patch_of_three_classes():
    """Its own cross entropy, whatever the class."""
    for label, p in enumerate((1 / 8, 2 / 8, 5 / 8)):
        found = key_loss(THREE[:1], label, 4)
        assert found.item() == pytest.approx(-log(p), rel=1e-6)


def test_in_a_positive_slide_what_is_neither_most_nor_least_is_left_alone():
    """Key patches are pulled up, the least half down, the others not at all."""
    z = patches(*FOUR)
    key_loss(z, 1, 1).backward()
    assert z.grad[:, 1].sign().tolist() == [0, 1, -1, 1]


def test_in_a_negative_slide_every_patch_is_pulled_down():
    """And the hardest the most."""
    z = patches(*FOUR)
    key_loss(z, 0, 1).backward()
    assert (z.grad[:, 1] > 0).all()
    assert z.grad[:, 1].argmax() == 2


@pytest.mark.parametrize("n_classes", [2, 3])
def test_the_order_of_patches_does_not_matter(n_classes):
    """The loss is of a set."""
    chance = torch.Generator().manual_seed(0)
    z = torch.randn(11, n_classes, generator=chance)
    shuffled = z[torch.randperm(11, generator=chance)]
    for label in range(n_classes):
        torch.testing.assert_close(key_loss(shuffled, label, 3), key_loss(z, label, 3))


@pytest.mark.parametrize("label", [0, 1])
def test_patches_that_say_what_the_label_says_cost_nothing(label):
    """Sure tumour in a positive slide, no tumour in a negative one."""
    odds = [1e-9] * 6 + [1e9] * (3 * label)
    assert key_loss(patches(*odds), label, 3).item() < 1e-6


def test_huge_logits_stay_finite():
    """The loss and its slope."""
    z = torch.tensor([[1e4, -1e4], [-1e4, 1e4], [0.0, 0.0]], requires_grad=True)
    for label in (0, 1):
        loss = key_loss(z, label, 2)
        loss.backward()
        assert loss.isfinite()
        assert z.grad.isfinite().all()


@pytest.mark.parametrize("n_classes", [2, 3])
def test_slides_laid_end_to_end_are_judged_one_by_one(n_classes):
    """A slide's loss has nothing of its neighbours', whatever their lengths."""
    sizes, labels = (1, 11, 4, 30), (1, 0, 1, n_classes - 1)
    z = torch.randn(46, n_classes, generator=torch.Generator().manual_seed(3))
    found = of_slides(z, whole(sizes), torch.tensor(labels), 3)
    alone = [
        key_loss(part, label, 3)
        for part, label in zip(z.split(sizes), labels, strict=True)
    ]
    torch.testing.assert_close(found, torch.stack(alone))
