"""A slide's score depends on the slide and the model, and on nothing else."""

import numpy as np
import pytest
import torch

from coverslip.learn.models.zoo import build, entry
from coverslip.learn.prediction import Prediction, predict_bag
from coverslip.prepare.features import Features


def bag(n, seed=0, *, located=True):
    """Return a slide of n patches."""
    rng = np.random.default_rng(seed)
    cells = rng.permutation(4 * n)[:n]
    coords = np.stack([cells % 7, cells // 7], axis=1) * 256 if located else None
    return Features(f"s{seed}", rng.normal(size=(n, 6)).astype("f2"), coords, {})


@pytest.fixture(params=["afs", "maxs", "maxmins"])
def model(request):
    """Return a model of each selection, with weights large enough to disagree."""
    options = entry("dmia").options(dim=16, selection=request.param)
    network = build("dmia", 6, 2, options, seed=1)
    with torch.no_grad():
        for weights in network.parameters():
            weights.mul_(3)
    return network.train()


@pytest.mark.parametrize("located", [True, False])
def test_the_order_of_patches_does_not_matter(model, located):
    """The score is the same to the last bit, and patches keep what was said of them."""
    one = bag(37, located=located)
    order = np.random.default_rng(5).permutation(len(one))
    coords = one.coords[order] if located else None
    other = Features("s0", one.features[order], coords, {})
    a, b = (predict_bag(model, item, range(10)) for item in (one, other))
    assert (a.probabilities == b.probabilities).all()
    assert (a.attention[order] == b.attention).all()
    assert (a.patch_probabilities[order] == b.patch_probabilities).all()


def test_neighbours_and_global_chance_do_not_matter(model):
    """Alone, first, last, and whatever was drawn before: one score."""
    slides = [bag(n, seed) for seed, n in enumerate((1, 3, 8, 50))]
    alone = {s.slide_id: predict_bag(model, s, range(5)).probabilities for s in slides}
    for order in (slides, slides[::-1]):
        for slide in order:
            torch.rand(3)
            again = predict_bag(model, slide, range(5)).probabilities
            assert (again == alone[slide.slide_id]).all()


def test_partitions_are_averaged_and_their_spread_told(model):
    """The score is the mean over the seeds, each of them a prediction of its own."""
    slide = bag(40)
    single = np.stack([predict_bag(model, slide, [r]).probabilities for r in range(6)])
    whole = predict_bag(model, slide, range(6))
    np.testing.assert_allclose(whole.probabilities, single.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(whole.spread, single.std(axis=0), rtol=1e-3, atol=1e-7)
    assert whole.spread.max() > 0


@pytest.mark.parametrize("n", [1, 2, 3])
def test_fewer_patches_than_pseudo_bags_are_judged_all_the_same(model, n):
    """Three patches with four pseudo-bags give a probability, not an error."""
    said = predict_bag(model, bag(n), range(3))
    assert said.probabilities.sum() == pytest.approx(1)
    assert said.attention.sum() == pytest.approx(1)


def test_a_slide_without_patches_says_no_tissue(model):
    """No score is made up where there is nothing to look at."""
    said = predict_bag(model, bag(0), range(3))
    assert said.probabilities is None
    assert said.patch_probabilities.shape == (0, 2)
    assert said.decide(("normal", "tumor"), 0.5) == "no tissue"


@pytest.mark.parametrize(
    ("chances", "threshold", "word"),
    [
        ([0.7, 0.3], 0.3, "tumor"),
        ([0.7, 0.3], 0.31, "normal"),
        ([0.2, 0.5, 0.3], 0.1, "tumor"),
    ],
)
def test_two_classes_are_decided_by_the_threshold_more_by_the_likeliest(
    chances, threshold, word
):
    """The threshold itself counts as positive; of three classes none has one."""
    classes = ("normal", "tumor", "other")[: len(chances)]
    empty = np.empty(0, np.float32)
    said = Prediction("s", np.array(chances), None, empty, empty)
    assert said.decide(classes, threshold) == word
