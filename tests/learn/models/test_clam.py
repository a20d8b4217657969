"""CLAM is Lu et al.'s formulas, written out patch by patch."""

import math
from typing import Any

import numpy as np
import pytest
import torch

from coverslip.learn.models.clam import CLAM, CLAMMB, smooth_svm
from coverslip.learn.models.one_tier_options import CLAMOptions
from loops import D, bag, cross_entropy, grown, linear, near, numbers, reduced, softmax

SMALL: dict[str, Any] = {"dim": 8, "attention_dim": 5, "k": 3}
KINDS = pytest.mark.parametrize("kind", [CLAM, CLAMMB])


def seeded(seed: int) -> torch.Generator:
    """Return a CPU generator of that seed."""
    return torch.Generator().manual_seed(seed)


def model_of(kind: type[CLAM], n_classes: int = 2, **options: object) -> CLAM:
    """Return a small model."""
    return grown(kind(D, n_classes, CLAMOptions(**{**SMALL, **options}), seed=3))


def looped(model, x) -> dict[str, np.ndarray]:
    """Return attention (C, n), bag logits (C,), instance logits (n, C, 2), by loops."""
    h, parts, e = reduced(model, x), model.attention, []
    for row in h:
        v = np.array([math.tanh(value) for value in linear(parts.tanh, row)])
        u = np.array([1 / (1 + math.exp(-value)) for value in linear(parts.gate, row)])
        e.append(linear(parts.score, v * u))
    alpha = [softmax(branch) for branch in np.array(e).T]
    layer = model.classifier.linear
    weight, bias = numbers(layer.weight), numbers(layer.bias)
    alpha = alpha * len(weight) if len(alpha) == 1 else alpha  # SB: one for all
    o = [
        weight[c] @ sum(a * r for a, r in zip(alpha[c], h, strict=True)) + bias[c]
        for c in range(len(weight))
    ]
    t = [linear(model.instances.linear, row).reshape(-1, 2) for row in h]
    return {"a": np.array(alpha), "o": np.array(o), "t": np.array(t)}


def patch_loss(t, answer: int, kind: str) -> float:
    """Return the loss of one patch's two logits."""
    if kind == "ce":
        return cross_entropy(t, answer)
    return math.log(1 + math.exp(1 + t[1 - answer] - t[answer]))


@KINDS
@pytest.mark.parametrize(("n", "n_classes"), [(1, 2), (2, 2), (17, 2), (17, 3)])
def test_a_prediction_pools_by_each_classs_attention(kind, n, n_classes):
    """Single branch: one attention for all classes; multiple: one a class."""
    model, x = model_of(kind, n_classes), bag(n)
    want = looped(model, x)
    assert len(model.attention.score.bias) == (1 if kind is CLAM else n_classes)
    said = model.predict(x, [0], torch.arange(2 * n).reshape(n, 2))
    near(said.logits, [want["o"]])
    shown = 1 if n_classes == 2 else int(np.argmax(want["o"]))
    near(said.attention, want["a"][shown])
    near(said.patch_probabilities, [softmax(t[:, 1] - t[:, 0]) for t in want["t"]])


@KINDS
@pytest.mark.parametrize("loss", ["ce", "svm"])
@pytest.mark.parametrize("subtyping", [False, True])
@pytest.mark.parametrize(("n", "each"), [(17, 3), (6, 3), (5, 2)])
def test_losses_label_the_extremes_of_attention(kind, loss, subtyping, n, each):
    """Highest 1 and lowest 0 for the label's class; in subtyping highest 0 for others."""
    model = model_of(kind, 3, instance_loss=loss, subtyping=subtyping)
    x = bag(n)
    want = looped(model, x)
    per_class = []
    for c in range(3):
        ranked = np.argsort(-want["a"][c])
        high = [want["t"][j, c] for j in ranked[:each]]
        low = [want["t"][j, c] for j in ranked[-each:]]
        if c == 1:
            values = [patch_loss(t, 1, loss) for t in high]
            values += [patch_loss(t, 0, loss) for t in low]
            per_class.append(np.mean(values))
        elif subtyping:
            per_class.append(np.mean([patch_loss(t, 0, loss) for t in high]))
    losses = model.bag_losses(x, 1, seeded(0))
    near(losses["bag"], 0.7 * cross_entropy(want["o"], 1))
    near(losses["instance"], 0.3 * np.mean(per_class))


@KINDS
def test_a_single_patch_is_labelled_positive(kind):
    """There is no lowest patch then, and the loss is the highest's alone."""
    model, x = model_of(kind), bag(1)
    t = looped(model, x)["t"][0]
    losses = model.bag_losses(x, 1, seeded(0))
    near(losses["instance"], 0.3 * patch_loss(t[1], 1, "ce"))


def test_the_smooth_svm_asks_for_a_margin():
    """At a tie it is log(1 + e); a clear, right answer costs next to nothing."""
    right, wrong = torch.tensor([1]), torch.tensor([0])
    tie, clear = torch.zeros(1, 2), torch.tensor([[-10.0, 10.0]])
    near(smooth_svm(tie, right), math.log(1 + math.e))
    assert smooth_svm(clear, right) < 1e-7
    near(smooth_svm(clear, wrong), 21)


def test_dropout_acts_in_training_only_and_follows_the_generator():
    """Two seeds give two losses, the same seed one, and predictions do not vary."""
    model, x = model_of(CLAM, dropout=0.5), bag(9)
    one, two, again = (model.bag_losses(x, 1, seeded(s))["bag"] for s in (0, 1, 0))
    assert one == again != two
    without = model_of(CLAM)
    assert torch.equal(model.predict(x, [0]).logits, without.predict(x, [0]).logits)
