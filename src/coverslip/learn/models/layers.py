"""The small layers that the models are built from (seed, section 3.1)."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

CONSTANT = 1e-6
"""A feature whose standard deviation is not above this never varies."""


class Standardise(nn.Module):
    """(x - mean) / std, by statistics of training patches; the identity until `set`.

    The statistics are buffers: they travel in the checkpoint and are never trained.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("std", torch.ones(dim))

    def set(self, mean: Tensor, std: Tensor) -> None:
        """Take the statistics, (D,) each; a feature that never varies is centred only.

        Raises:
            ValueError: A shape is not (D,).
        """
        if not mean.shape == std.shape == self.mean.shape:
            shapes = f"{tuple(mean.shape)} and {tuple(std.shape)}"
            raise ValueError(f"mean and std are {shapes}, not {tuple(self.mean.shape)}")
        self.mean.copy_(mean)
        self.std.copy_(std.where(std > CONSTANT, torch.ones_like(std)))

    def forward(self, x: Tensor) -> Tensor:
        """Map features (n, D) of any float type to (n, D) in the buffers' type."""
        return (x.to(self.mean.dtype) - self.mean) / self.std  # (n, D)


class ResidualBlock(nn.Module):
    """h + ReLU(W2 ReLU(W1 h)), without biases (seed: residual_block)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.first = nn.Linear(dim, dim, bias=False)
        self.second = nn.Linear(dim, dim, bias=False)

    def forward(self, h: Tensor) -> Tensor:
        """Map (n, dim) to (n, dim)."""
        inner = torch.relu(self.first(h))  # (n, dim)
        return h + torch.relu(self.second(inner))  # (n, dim)


class DimReduction(nn.Module):
    """h = ReLU(W x) without bias, then residual blocks (seed: DimReduction)."""

    def __init__(self, in_dim: int, dim: int, residual_blocks: int = 0) -> None:
        super().__init__()
        self.linear = nn.Linear(in_dim, dim, bias=False)
        self.blocks = nn.Sequential(
            *(ResidualBlock(dim) for _ in range(residual_blocks))
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map features (n, D) to (n, dim)."""
        h = torch.relu(self.linear(x))  # (n, dim)
        out: Tensor = self.blocks(h)  # (n, dim)
        return out


class LinearClassifier(nn.Module):
    """Class logits W f + b, with dropout of f when asked (seed: Classifier_1fc).

    Dropout acts where a generator is given and nowhere else, so a prediction cannot
    be random by accident and training does not read global random state.
    """

    def __init__(self, dim: int, n_classes: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.linear = nn.Linear(dim, n_classes)
        self.dropout = dropout

    def forward(self, f: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Map (..., dim) to logits (..., C).

        Args:
            f: Features.
            generator: A CPU generator that draws which features are dropped.
        """
        if generator is not None and self.dropout > 0:
            f = dropped(f, self.dropout, generator)  # (..., dim)
        return widened(f, self.linear.weight, self.linear.bias)  # (..., C)


def widened(f: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Return W f + b in the weights' precision, of features (..., dim) in any.

    What goes back to features in half precision is computed in it: it would be rounded
    to it all the same, and a wide one is twice the memory to write and to read.
    """
    if f.dtype == weight.dtype:
        return F.linear(f, weight, bias)
    logits: Tensor = _Widened.apply(f, weight, bias)  # type: ignore[no-untyped-call] # torch's own
    return logits


class _Widened(torch.autograd.Function):
    """`widened` of features (..., dim) in half precision."""

    generate_vmap_rule = True

    @staticmethod
    def forward(f: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """Return the logits (..., C)."""
        return F.linear(f.to(weight.dtype), weight, bias)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:  # noqa: ANN401, ARG004 - torch's
        """Keep what the slopes need."""
        ctx.save_for_backward(*inputs[:2])

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, Tensor, Tensor]:  # noqa: ANN401 - torch's
        """Return the slopes of features, weight and bias."""
        f, weight = ctx.saved_tensors
        rows = slope.flatten(0, -2)  # (n, C)
        own = slope.to(f.dtype) @ weight.to(f.dtype)  # (..., dim)
        return own, rows.T @ f.flatten(0, -2).to(weight.dtype), rows.sum(dim=0)


def dropped(f: Tensor, rate: float, generator: torch.Generator) -> Tensor:
    """Zero a share `rate` of the values and scale the others by 1 / (1 - rate)."""
    kept = torch.rand(f.shape, generator=generator) >= rate  # drawn alike on any device
    return f * kept.to(f.device) / (1 - rate)


def at_least_fp32(x: Tensor) -> Tensor:
    """Widen half precision to float32; leave float32 and float64 as they are."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def full_precision(h: Tensor) -> torch.autocast:
    """Return a block in which nothing is computed in half precision, on h's device."""
    return torch.autocast(h.device.type, enabled=False)


@contextmanager
def initial_weights(seed: int) -> Iterator[None]:
    """Within this block new layers draw their weights from `seed`.

    PyTorch's layers can only draw from the global generator: it is put back after.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield
