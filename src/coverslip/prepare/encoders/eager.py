"""A network run by PyTorch, on a CPU or a GPU, with the preprocessing before it."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from coverslip.prepare.encoders.card import Card

_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


class EagerNetwork:
    """PyTorch, one operation after the other, in channels-last memory.

    Args:
        card: Says what the pixels become.
        module: Maps float images (B, 3, input_size, input_size) to (B, dim).
        device: Where it runs.
        precision: "fp32", or "bf16" or "fp16" under autocast.
    """

    def __init__(
        self, card: Card, module: nn.Module, device: torch.device, precision: str
    ) -> None:
        self.card, self.device, self.precision = card, device, precision
        self._module = module.eval().requires_grad_(requires_grad=False)
        # torch's stub of Module.to leaves out memory_format without a dtype
        self._module.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._mean, self._std = (
            torch.tensor(values, device=device).view(1, 3, 1, 1)
            for values in (card.mean, card.std)
        )

    def __call__(self, patches: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Map patches (B, H, W, 3) to features (B, dim)."""
        with torch.inference_mode(), self._arithmetic():
            pixels = torch.tensor(np.ascontiguousarray(patches)).to(self.device)
            x = (cropped(pixels, self.card) / 255 - self._mean) / self._std
            x = x.contiguous(memory_format=torch.channels_last)
            features: npt.NDArray[np.float32] = self._module(x).float().cpu().numpy()
            return features

    def _arithmetic(self) -> AbstractContextManager[Any]:
        if self.precision == "fp32":
            return nullcontext()
        return torch.autocast(self.device.type, _DTYPES[self.precision])


def cropped(pixels: Tensor, card: Card) -> Tensor:
    """Resize patches to what a card asks for and keep the centre.

    Args:
        pixels: 8-bit patches (B, H, W, 3), on any device.
        card: Says the sizes.

    Returns:
        (B, 3, input_size, input_size), whole numbers in [0, 255] held as floats.
    """
    x = pixels.permute(0, 3, 1, 2).float()
    if min(x.shape[-2:]) != card.resize:
        x = _resize(x, card.resize, card.interpolation)
    crop = card.input_size
    top, left = (x.shape[2] - crop) // 2, (x.shape[3] - crop) // 2
    return x[:, :, top : top + crop, left : left + crop]


def _resize(x: Tensor, shorter: int, mode: str) -> Tensor:
    """Resize 8-bit values held as floats, axis after axis, each rounded: as Pillow does.

    Weights were trained on such pixels. Rounding once at the end instead differs by up
    to 22 grey levels where a patch is nearly white.
    """
    height, width = x.shape[-2:]
    scale = shorter / min(height, width)
    target = (round(height * scale), round(width * scale))
    for size in ((height, target[1]), target):
        x = F.interpolate(x, size, mode=mode, antialias=True).round().clamp(0, 255)
    return x
