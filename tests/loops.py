"""The parts that models share, written out in plain loops over float64 numbers.

Tests of models compare them with these; nothing here calls the layers it checks.
"""

import math

import numpy as np
import torch
from torch import Tensor

from coverslip.learn.models.model import MILModel

D = 6
"""Length of a feature in these tests."""


def bag(n: int, seed: int = 0) -> Tensor:
    """Return features of n patches, (n, D), neither centred nor of deviation 1."""
    return 1 + 2 * torch.randn(n, D, generator=torch.Generator().manual_seed(seed))


def grown(model: MILModel) -> MILModel:
    """Return the model with weights large enough to matter."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(3)
    return model


def numbers(values: Tensor) -> np.ndarray:
    """Return a tensor as float64 numbers."""
    return values.detach().double().numpy()


def reduced(model, x: Tensor) -> np.ndarray:
    """Return h_j = ReLU(W_r x_j) and its residual blocks, (n, dim)."""
    rows = []
    for row in numbers(x):
        h = np.maximum(numbers(model.reduction.linear.weight) @ row, 0)
        for block in model.reduction.blocks:
            inner = np.maximum(numbers(block.first.weight) @ h, 0)
            h = h + np.maximum(numbers(block.second.weight) @ inner, 0)
        rows.append(h)
    return np.array(rows)


def linear(layer: torch.nn.Linear, h: np.ndarray) -> np.ndarray:
    """Return W h + b of one vector."""
    return numbers(layer.weight) @ h + numbers(layer.bias)


def softmax(values) -> np.ndarray:
    """Return exp(v) / sum exp(v) of a list."""
    raised = [math.exp(v - max(values)) for v in values]
    return np.array(raised) / sum(raised)


def cross_entropy(logits, label: int) -> float:
    """Return -log of the probability of the label."""
    return -math.log(softmax(logits)[label])


def near(found: Tensor, expected) -> None:
    """Assert that numbers agree to 1e-5."""
    np.testing.assert_allclose(numbers(found), expected, atol=1e-5, rtol=1e-5)
