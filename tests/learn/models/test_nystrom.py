"""Nyström attention is its formulas, written out token by token."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from coverslip.learn.models.layers import initial_weights
from coverslip.learn.models.nystrom import NystromAttention, pseudo_inverse
from loops import linear, near, numbers, softmax

DIM, HEADS = 8, 2


def tokens(n: int) -> Tensor:
    """Return n tokens (n, DIM)."""
    chance = torch.Generator().manual_seed(n)
    return torch.randn(n, DIM, generator=chance, dtype=torch.float64)


def layer_of(landmarks: int, dropout: float = 0.0) -> NystromAttention:
    """Return a layer whose local convolution and mixing matter alike."""
    with initial_weights(0):
        layer = NystromAttention(DIM, HEADS, landmarks, dropout=dropout).double()
    with torch.no_grad():
        layer.qkv.weight.mul_(3)
    return layer


def inverse_steps(a: np.ndarray, largest: float, steps: int) -> np.ndarray:
    """Return the iteration's matrix after some steps."""
    z, one = a.T / largest, np.eye(len(a))
    for _ in range(steps):
        inner = a @ z @ (15 * one - a @ z @ (7 * one - a @ z))
        z = z @ (13 * one - inner) / 4
    return z


def looped(layer, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (update (n, DIM), the first token's attention (n,)), by loops."""
    n, m, d = len(x), layer.landmarks, DIM // HEADS
    front = (m - n % m) % m
    x = np.concatenate([np.zeros((front, DIM)), x])
    run = len(x) // m
    qkv = np.array([numbers(layer.qkv.weight) @ row for row in x])
    heads = []
    for head in range(HEADS):
        at = [head * d + part * DIM for part in range(3)]
        q, k, v = (qkv[:, start : start + d] for start in at)
        q = q / math.sqrt(d)
        few_q = np.array([q[i * run : (i + 1) * run].sum(0) / run for i in range(m)])
        few_k = np.array([k[i * run : (i + 1) * run].sum(0) / run for i in range(m)])
        left = np.array([softmax([row @ key for key in few_k]) for row in q])
        middle = np.array([softmax([row @ key for key in few_k]) for row in few_q])
        right = np.array([softmax([row @ key for key in k]) for row in few_q])
        heads.append((left, middle, right, v))
    largest = max(h[1].sum(1).max() for h in heads) * max(
        h[1].sum(0).max() for h in heads
    )
    outs, firsts = [], []
    for head, (left, middle, right, v) in enumerate(heads):
        whole = left @ inverse_steps(middle, largest, layer.iterations) @ right
        kernel = numbers(layer.nearby.weight)[head, 0, :, 0]
        near_by = np.zeros_like(v)
        for i in range(len(v)):
            for j in range(len(v)):
                if abs(j - i) <= 16:
                    near_by[i] += kernel[j - i + 16] * v[j]
        outs.append(whole @ v + near_by)
        firsts.append(whole[front, front:])
    joined = np.concatenate(outs, axis=1)[front:]
    return np.array([linear(layer.out, row) for row in joined]), np.mean(firsts, 0)


@pytest.mark.parametrize(("n", "landmarks"), [(2, 4), (4, 4), (7, 4), (8, 4), (45, 4)])
def test_it_is_a_plain_loop(n, landmarks):
    """With fewer tokens than landmarks, just as many, and with tokens put in front."""
    layer, x = layer_of(landmarks), tokens(n)
    out, first = layer(x)
    want_out, want_first = looped(layer, x.numpy())
    near(out, want_out)
    near(first, want_first)


def test_with_a_landmark_a_token_it_is_nearly_full_attention():
    """Then the three factors are A, A^+ and A, which is A, but for the iteration."""
    x = tokens(6)
    layer = layer_of(6)
    layer.iterations = 40
    _, first = layer(x)
    qkv = x.numpy() @ numbers(layer.qkv.weight).T
    d = DIM // HEADS
    rows = []
    for head in range(HEADS):
        q = qkv[0, head * d : (head + 1) * d] / math.sqrt(d)
        k = qkv[:, DIM + head * d : DIM + (head + 1) * d]
        rows.append(softmax(k @ q))
    near(first, np.mean(rows, axis=0))


def test_the_iteration_comes_to_the_pseudo_inverse():
    """Matrices with an inverse get it."""
    chance = torch.Generator().manual_seed(0)
    a = torch.randn(3, 5, 5, generator=chance, dtype=torch.float64).softmax(-1)
    near(pseudo_inverse(a, 40), np.linalg.inv(a.numpy()))


def test_dropout_needs_a_generator():
    """Without one nothing is dropped; with one a share of the values is zero."""
    layer, x = layer_of(4, dropout=0.5), tokens(40)
    plain, _ = layer(x)
    drawn, _ = layer(x, torch.Generator().manual_seed(0))
    zero = drawn == 0
    assert 0.4 < zero.double().mean() < 0.6
    torch.testing.assert_close(drawn[~zero], 2 * plain[~zero])
