"""Small operations on painted pixels, typed: noise, blur, layers of light."""

import math
from typing import Any, TypeVar

import cv2
import numpy as np
import numpy.typing as npt
from numpy.random import Generator

from coverslip.slides.slide import RGB

Gray = npt.NDArray[np.uint8]
"""An image of shape (height, width)."""

Field = npt.NDArray[np.floating[Any]]
"""A map of real numbers of shape (height, width)."""

Pixels = TypeVar("Pixels", bound=npt.NDArray[Any])


def blurred(image: Pixels, sigma: float, sigma_y: float = 0) -> Pixels:
    """Return an image under a Gaussian blur, other along y when `sigma_y` is given."""
    return _like(image, cv2.GaussianBlur(image, (0, 0), sigma, sigmaY=sigma_y))


def averaged(image: Pixels, width: int, height: int | None = None) -> Pixels:
    """Return the mean over a box round each pixel; a square when `height` is None."""
    return _like(image, cv2.blur(image, (width, height or width)))


def enlarged(image: Pixels, px_size: tuple[int, int]) -> Pixels:
    """Return an image enlarged to (width, height), smooth."""
    return _like(image, cv2.resize(image, px_size, interpolation=cv2.INTER_LINEAR))


def times(light: Pixels, share: Pixels) -> Pixels:
    """Return the product of two uint8 images whose 255 means 1.

    Light that passes two layers is their product, and so is a layer cut by a mask.
    """
    return _like(light, cv2.multiply(light, share, scale=1 / 255))


def light_through(amount: Gray, table: npt.NDArray[np.float64]) -> RGB:
    """Return the colour of each pixel's amount.

    Args:
        amount: uint8 of shape (height, width).
        table: The colour of each amount, of shape (256, 3), 0 to 255.
    """
    colours = np.round(table).astype(np.uint8)[:, None, :]
    return np.asarray(cv2.LUT(cv2.merge([amount] * 3), colours), np.uint8)


def _like(image: Pixels, result: object) -> Pixels:
    """Return OpenCV's result with the type it has: its stubs lose it."""
    kept: Pixels = np.asarray(result, image.dtype)  # type: ignore[assignment] # the same dtype
    return kept


def ramp(values: Field, low: float, high: float) -> Field:
    """Return 0 below `low`, 1 above `high`, smooth between; falling if low > high."""
    share = np.clip((values - low) / (high - low), 0, 1)
    smooth: Field = share * share * (3 - 2 * share)
    return smooth.astype(np.float32)


def value_noise(rng: Generator, side: int, cell: float) -> Field:
    """Return a square of smooth noise, zero mean and unit spread, `cell` px a bump."""
    few = math.ceil(side / cell) + 3
    grid = rng.standard_normal((few, few)).astype(np.float32)
    large = cv2.resize(grid, None, fx=cell, fy=cell, interpolation=cv2.INTER_CUBIC)
    left, top = rng.integers(0, large.shape[0] - side + 1, 2)
    return 1.4 * large[top : top + side, left : left + side].astype(np.float32)


def grain(rng: Generator, sigma: float, px_size: tuple[int, int]) -> Field:
    """Return noise of bumps of width sigma, zero mean and unit spread.

    Args:
        rng: Source of the noise.
        sigma: Width of a bump in px.
        px_size: (width, height); the same tile of 512 px is repeated over it.
    """
    tile, margin = 512, math.ceil(4 * sigma)
    noise = rng.standard_normal((tile, tile)).astype(np.float32)
    wrapped = blurred(np.pad(noise, margin, "wrap"), sigma)
    smooth = wrapped[margin:-margin, margin:-margin]
    width, height = px_size
    repeats = (math.ceil(height / tile), math.ceil(width / tile))
    return np.tile(smooth / smooth.std(), repeats)[:height, :width]
