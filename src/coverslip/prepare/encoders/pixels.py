"""What a card makes of patches: resized as Pillow does it, cropped as torchvision does.

Weights were trained on such pixels, and every model's page prepares them so. Resizing
in floating point instead differs by a grey level in one pixel of twenty (bilinear), and
by up to 22 where rounding waits until the end and a patch is nearly white.
"""

from functools import lru_cache
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from coverslip.prepare.encoders.card import Card

_BITS = 22
"""Of the fraction in which weights of neighbours are written, as in Pillow."""

_Weights = tuple[npt.NDArray[np.int64], npt.NDArray[np.int32]]


def cropped(pixels: Tensor, card: Card) -> Tensor:
    """Resize patches to what a card asks for and keep the centre.

    Args:
        pixels: 8-bit patches (B, H, W, 3), on any device.
        card: Says the sizes.

    Returns:
        (B, 3, input_size, input_size), whole numbers in [0, 255] held as floats.
    """
    if min(pixels.shape[1:3]) != card.resize:
        pixels = _resized(pixels, card.resize, card.interpolation)
    rows, columns = (card.centre(side) for side in pixels.shape[1:3])
    return pixels[:, rows, columns].permute(0, 3, 1, 2).float()


@torch.compiler.disable  # type: ignore[untyped-decorator] # torch's; NumPy is not compiled
def _resized(x: Tensor, shorter: int, mode: Literal["bicubic", "bilinear"]) -> Tensor:
    """Resize 8-bit images (B, H, W, 3), axis after axis, each rounded: as Pillow does.

    Returns:
        (B, H', W', 3) int32, the shorter side as asked.
    """
    height, width = x.shape[1:3]
    scale = shorter / min(height, width)
    # an axis that comes first is read in long pieces, which is ten times faster
    x = _along(x.permute(2, 1, 0, 3), round(width * scale), mode)  # (W', H, B, 3)
    x = _along(x.transpose(0, 1), round(height * scale), mode)  # (H', W', B, 3)
    return x.permute(2, 0, 1, 3)


def _along(x: Tensor, target: int, mode: Literal["bicubic", "bilinear"]) -> Tensor:
    """Resize the first axis: weighted sums of neighbours in whole numbers, halves up."""
    if len(x) == target:
        return x
    x = x.to(torch.int32).contiguous()
    total = torch.full(
        (target, *x.shape[1:]), 1 << (_BITS - 1), dtype=torch.int32, device=x.device
    )
    places, weights = _neighbours(len(x), target, mode)
    for place, weight in zip(places, weights, strict=True):
        at = torch.from_numpy(place).to(x.device)
        share = torch.from_numpy(weight).to(x.device).view(-1, 1, 1, 1)
        total.addcmul_(x.index_select(0, at), share)
    return (total >> _BITS).clamp_(0, 255)


@lru_cache(maxsize=8)
def _neighbours(size: int, target: int, mode: str) -> _Weights:
    """Return which old pixels make each new one, and how much each counts.

    A kernel is laid over the old pixels, as wide as a new pixel is where that is wider;
    its weights sum to one, and are then rounded to whole 2^-22.

    Returns:
        Places (taps, target) and weights (taps, target) in units of 2^-22.
    """
    scale = size / target
    wide = max(scale, 1.0)
    reach = wide * (2 if mode == "bicubic" else 1)
    centre = (np.arange(target) + 0.5) * scale
    first = np.maximum(centre - reach + 0.5, 0).astype(np.int64)
    last = np.minimum(centre + reach + 0.5, size).astype(np.int64)
    places = first + np.arange((last - first).max())[:, None]
    distance = np.abs(places + 0.5 - centre) / wide
    weights = np.where(places < last, _kernel(distance, mode), 0)
    units = weights / weights.sum(axis=0) * (1 << _BITS)
    rounded = np.trunc(units + np.copysign(0.5, units)).astype(np.int32)
    return np.minimum(places, size - 1), rounded


def _kernel(distance: npt.NDArray[np.float64], mode: str) -> npt.NDArray[np.float64]:
    """Return a tent, or Keys' cubic with a = -0.5, at some distances from its middle."""
    d = distance
    if mode == "bilinear":
        return np.maximum(1 - d, 0)
    near = (1.5 * d - 2.5) * d * d + 1
    far = ((-0.5 * d + 2.5) * d - 4) * d + 2
    return np.where(d < 1, near, np.where(d < 2, far, 0))
