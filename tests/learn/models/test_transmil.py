"""TransMIL is Shao et al.'s formulas, written out token by token."""

import math
from typing import Any

import numpy as np
import pytest
import torch

from coverslip.errors import OptionError
from coverslip.learn.models.one_tier_options import TransMILOptions
from coverslip.learn.models.transmil import TransMIL, shares, square_of
from loops import D, bag, cross_entropy, grown, linear, near, numbers, reduced, softmax

SMALL: dict[str, Any] = {"dim": 8, "heads": 2, "landmarks": 4, "dropout": 0.0}


def seeded(seed: int) -> torch.Generator:
    """Return a CPU generator of that seed."""
    return torch.Generator().manual_seed(seed)


def model_of(n_classes: int = 2, **options: object) -> TransMIL:
    """Return a small model in float64: two layers and large weights amplify rounding."""
    options = TransMILOptions(**{**SMALL, **options})
    return grown(TransMIL(D, n_classes, options, seed=3)).double()


def normed(layer, tokens: np.ndarray) -> np.ndarray:
    """Return LayerNorm of each token."""
    rows = []
    for row in tokens:
        unit = (row - row.mean()) / math.sqrt(row.var() + 1e-5)
        rows.append(unit * numbers(layer.weight) + numbers(layer.bias))
    return np.array(rows)


def convolved(square: np.ndarray, side: int, conv) -> np.ndarray:
    """Return a depthwise convolution of a square of tokens, place by place."""
    weight, bias = numbers(conv.weight)[:, 0], numbers(conv.bias)
    half = weight.shape[1] // 2
    out = np.tile(bias, (side * side, 1))
    for y in range(side):
        for x in range(side):
            for dy in range(-half, half + 1):
                for dx in range(-half, half + 1):
                    if 0 <= y + dy < side and 0 <= x + dx < side:
                        token = square[(y + dy) * side + x + dx]
                        out[y * side + x] += weight[:, half + dy, half + dx] * token
    return out


def attended(layer, tokens: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return T + Nystrom(LayerNorm(T)) and the attention (checked in test_nystrom)."""
    with torch.no_grad():
        update, seen = layer.attention(torch.tensor(normed(layer.norm, tokens)))
    return tokens + update.numpy(), seen.numpy()


def looped(model, x) -> dict[str, np.ndarray]:
    """Return last tokens (1 + s^2, dim) and the class token's attention, by loops."""
    h, encoder = reduced(model, x), model.encoder
    n = len(h)
    side = math.ceil(math.sqrt(n))
    square = np.array([h[i if i < n else i - n] for i in range(side * side)])
    tokens = np.concatenate([numbers(encoder.class_token), square])
    tokens, _ = attended(encoder.first, tokens)
    square = tokens[1:]
    near_by = [convolved(square, side, c) for c in encoder.positions.convolutions]
    assert [conv.kernel_size[0] for conv in encoder.positions.convolutions] == [7, 5, 3]
    tokens = np.concatenate([tokens[:1], square + sum(near_by)])
    tokens, seen = attended(encoder.second, tokens)
    return {"tokens": normed(encoder.norm, tokens), "seen": seen}


@pytest.mark.parametrize("n", [1, 2, 3, 5, 17])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_it_is_a_plain_loop(n, n_classes):
    """Logits, loss, attention with the repeated patches' share, and patches."""
    model, x = model_of(n_classes), bag(n).double()
    want, layer = looped(model, x), model.classifier.linear
    logits = linear(layer, want["tokens"][0])
    said = model.predict(x, [0], torch.arange(2 * n).reshape(n, 2))
    near(said.logits, [logits])
    near(model.bag_losses(x, 1, seeded(0))["bag"], cross_entropy(logits, 1))
    seen = [
        max(
            0,
            sum(
                want["seen"][1 + i] for i in range(len(want["seen"]) - 1) if i % n == j
            ),
        )
        for j in range(n)
    ]
    near(said.attention, np.array(seen) / sum(seen))
    patches = [softmax(linear(layer, token)) for token in want["tokens"][1 : n + 1]]
    near(said.patch_probabilities, patches)


def test_the_square_is_the_smallest_that_holds_the_patches():
    """And never asks to repeat more patches than there are."""
    assert [square_of(n) for n in (1, 2, 4, 5, 9, 10, 1000)] == [
        1,
        4,
        4,
        9,
        9,
        16,
        1024,
    ]
    assert all(square_of(n) <= 2 * n for n in range(1, 3000))


def test_shares_add_repetitions_and_take_nothing_for_less_than_nothing():
    """By hand; and where all is negative the patches are alike."""
    seen = torch.tensor([0.2, -0.4, 0.1, 0.3, 0.1])
    near(shares(seen, 3), [0.5 / 0.6, 0, 0.1 / 0.6])
    near(shares(-torch.ones(4), 3), [1 / 3] * 3)


def test_where_patches_lie_matters():
    """Another place in the square gives other neighbours, and another answer."""
    model, x = model_of(), bag(9)
    row = torch.stack([torch.arange(9), torch.zeros(9, dtype=torch.int64)], 1)
    one, two = model.predict(x, [0], row), model.predict(x, [0], row.flip(0))
    assert (one.logits - two.logits).abs().max() > 1e-3


def test_dropout_acts_in_training_only_and_follows_the_generator():
    """Two seeds give two losses, the same seed one, and predictions do not vary."""
    model, x = model_of(dropout=0.5), bag(9).double()
    one, two, again = (model.bag_losses(x, 1, seeded(s))["bag"] for s in (0, 1, 0))
    assert one == again != two
    assert torch.equal(model.predict(x, [0]).logits, model_of().predict(x, [0]).logits)


def test_landmarks_are_half_of_dim_unless_given():
    """The authors' rule."""
    made = [model_of(landmarks=m).encoder for m in (None, 3)]
    assert [e.first.attention.landmarks for e in made] == [4, 3]
    assert [e.second.attention.landmarks for e in made] == [4, 3]


def test_heads_that_do_not_divide_dim_are_refused():
    """The message gives both numbers."""
    with pytest.raises(OptionError, match="heads=8 do not divide dim=12"):
        TransMILOptions(dim=12)
