"""DSMIL is Li et al.'s formulas, written out patch by patch."""

import math
from typing import Any

import numpy as np
import pytest
import torch

from coverslip.learn.models.dsmil import DSMIL
from coverslip.learn.models.one_tier_options import DSMILOptions
from loops import D, bag, cross_entropy, grown, linear, near, numbers, reduced, softmax

SMALL: dict[str, Any] = {"dim": 8, "query_dim": 5}
KINDS = pytest.mark.parametrize(
    ("n_classes", "one", "outputs"), [(2, True, 1), (2, False, 2), (3, True, 3)]
)


def seeded(seed: int) -> torch.Generator:
    """Return a CPU generator of that seed."""
    return torch.Generator().manual_seed(seed)


def model_of(n_classes: int = 2, **options: object) -> DSMIL:
    """Return a small model."""
    return grown(DSMIL(D, n_classes, DSMILOptions(**{**SMALL, **options}), seed=3))


def looped(model, x) -> dict[str, np.ndarray]:
    """Return z (n, O), s1 (O,), s2 (O,) and attention (O, n), by loops."""
    h = reduced(model, x)
    z = np.array([linear(model.classifier.linear, row) for row in h])
    q = [
        np.tanh(linear(model.query[2], np.maximum(linear(model.query[0], row), 0)))
        for row in h
    ]
    attention, embedding = [], []
    for scores in z.T:
        critical = q[int(np.argmax(scores))]
        attention.append(softmax([row @ critical / math.sqrt(len(row)) for row in q]))
        embedding.append(sum(a * r for a, r in zip(attention[-1], h, strict=True)))
    outputs = z.shape[1]
    kernel = numbers(model.bag.linear.weight).reshape(outputs, outputs, -1)
    bias = numbers(model.bag.linear.bias)
    s2 = [
        sum(kernel[o, c] @ embedding[c] for c in range(outputs)) + bias[o]
        for o in range(outputs)
    ]
    return {"z": z, "s1": z.max(0), "s2": np.array(s2), "a": np.array(attention)}


def classes(scores) -> list[float]:
    """Return logits of the classes: a single score is the last of two classes'."""
    return [0.0, *scores] if len(scores) == 1 else list(scores)


@pytest.mark.parametrize("n", [1, 2, 17])
@KINDS
def test_a_prediction_is_the_mean_of_both_streams(n, n_classes, one, outputs):
    """With attention of the last of two classes, or of the one that is predicted."""
    model, x = model_of(n_classes, one_output=one), bag(n)
    want = looped(model, x)
    assert want["z"].shape == (n, outputs)
    logits = classes((want["s1"] + want["s2"]) / 2)
    said = model.predict(x, [0], torch.arange(2 * n).reshape(n, 2))
    near(said.logits, [logits])
    row = outputs - 1 if n_classes == 2 else int(np.argmax(logits))
    near(said.attention, want["a"][row])
    near(said.patch_probabilities, [softmax(classes(row)) for row in want["z"]])


@pytest.mark.parametrize("label", [0, 1])
@KINDS
def test_losses_are_half_of_each_streams(n_classes, one, outputs, label):
    """Of one output, cross entropy is the binary cross entropy of the authors."""
    model, x = model_of(n_classes, one_output=one), bag(9)
    want = looped(model, x)
    losses = model.bag_losses(x, label, seeded(0))
    for name, scores in (("instance", want["s1"]), ("bag", want["s2"])):
        near(losses[name], cross_entropy(classes(scores), label) / 2)
        if outputs == 1:
            p = 1 / (1 + math.exp(-scores[0]))
            near(losses[name], -math.log(p if label else 1 - p) / 2)


def test_dropout_acts_in_training_only_and_follows_the_generator():
    """It is of the bag's embedding: the instance stream does not change."""
    model, x = model_of(dropout=0.5), bag(9)
    one, two, again = (model.bag_losses(x, 1, seeded(s)) for s in (0, 3, 0))
    assert one == again
    assert one["bag"] != two["bag"]
    assert one["instance"] == two["instance"]
    assert torch.equal(model.predict(x, [0]).logits, model_of().predict(x, [0]).logits)
