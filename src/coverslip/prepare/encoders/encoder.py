"""An encoder: patches of 8-bit RGB in, features out, whatever the machine's memory."""

from contextlib import AbstractContextManager, nullcontext
from itertools import pairwise
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from coverslip.errors import DataError, EncoderError, OptionError
from coverslip.prepare.encoders.card import Card

__all__ = ["Card", "Device", "Encoder", "Precision", "choose_device", "fold_batch_norm"]

Device = Literal["auto", "cpu", "cuda"]
Precision = Literal["fp32", "bf16", "fp16"]

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
_OUT_OF_MEMORY = ("DefaultCPUAllocator", "not enough memory", "ALLOC_FAILED")


CPU_BATCH = 8
"""On a CPU larger batches only make the system hand out fresh memory: half the speed."""


class Encoder:
    """A frozen network with the preprocessing that it was trained for.

    Args:
        card: Its facts.
        module: Maps float images (B, 3, input_size, input_size) to (B, dim).
        device: "auto" takes a GPU where there is one.
        precision: "fp32" is torch's (on a GPU, convolutions may run in TF32); the
            others run under autocast, and features leave as float32 all the same.

    Raises:
        OptionError: This machine has not the device, or the device not the precision.
    """

    def __init__(
        self,
        card: Card,
        module: nn.Module,
        *,
        device: Device = "auto",
        precision: Precision = "fp32",
    ) -> None:
        self.card = card
        self.precision = precision
        self.device = choose_device(device, precision)
        self.batch_limit = CPU_BATCH if self.device.type == "cpu" else None
        self._module = module.eval().requires_grad_(requires_grad=False)
        # torch's stub of Module.to leaves out memory_format without a dtype
        self._module.to(device=self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._mean = _channels(card.mean, self.device)
        self._std = _channels(card.std, self.device)

    def identity(self) -> dict[str, Any]:
        """Return the JSON-ready facts that make two features comparable."""
        return {
            "name": self.card.name,
            "dim": self.card.dim,
            "weights_hash": self.card.weights_hash,
            "resize": self.card.resize,
            "crop": self.card.input_size,
            "precision": self.precision,
        }

    def embed(self, patches: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Encode patches.

        A batch that does not fit in memory is cut in half until it fits; the size that
        fitted is kept in `batch_limit` for the calls to come. On a CPU the network is
        given `CPU_BATCH` patches at a time whatever the batch.

        Args:
            patches: RGB images, (B, H, W, 3), in [0, 255].

        Returns:
            Features, (B, dim), in the order of the patches.

        Raises:
            EncoderError: One patch alone does not fit in memory, or the network gives
                features of another length than its card says.
            DataError: A feature is not finite.
        """
        if patches.dtype != np.uint8 or patches.ndim != 4 or patches.shape[3] != 3:
            raise ValueError(
                f"patches must be uint8 (B, H, W, 3), not {patches.dtype} {patches.shape}"
            )
        features = np.empty((len(patches), self.card.dim), np.float32)
        start = 0
        while start < len(patches):
            stop = min(len(patches), start + (self.batch_limit or len(patches)))
            if (part := self._try(patches[start:stop])) is None:
                self._halve(stop - start)
                continue
            features[start:stop] = part
            start = stop
        self._check_finite(features)
        return features

    def _try(self, patches: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32] | None:
        """Encode a batch; None when memory ran out."""
        try:
            with torch.inference_mode(), self._arithmetic():
                features = self._module(self._prepare(patches))
                result: npt.NDArray[np.float32] = features.float().cpu().numpy()
        except RuntimeError as error:
            if not _is_out_of_memory(error):
                raise
            return None
        if result.shape != (len(patches), self.card.dim):
            raise EncoderError(
                f"{self.card.name}: gave features of shape {result.shape[1:]}, its card "
                f"says {self.card.dim}: the weights or the card are of another network"
            )
        return result

    def _prepare(self, patches: npt.NDArray[np.uint8]) -> Tensor:
        """Bring patches to the device, resize, crop to the centre and normalise."""
        pixels = torch.tensor(np.ascontiguousarray(patches)).to(self.device)
        x = pixels.permute(0, 3, 1, 2).float()
        if min(x.shape[-2:]) != self.card.resize:
            x = _resize(x, self.card.resize, self.card.interpolation)
        crop = self.card.input_size
        top, left = (x.shape[2] - crop) // 2, (x.shape[3] - crop) // 2
        x = x[:, :, top : top + crop, left : left + crop]
        x = (x / 255 - self._mean) / self._std
        return x.contiguous(memory_format=torch.channels_last)

    def _arithmetic(self) -> AbstractContextManager[Any]:
        if self.precision == "fp32":
            return nullcontext()
        return torch.autocast(self.device.type, _DTYPES[self.precision])

    def _halve(self, size: int) -> None:
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        if size == 1:
            raise EncoderError(
                f"{self.card.name}: one patch of {self.card.input_size} px does not fit "
                f"in the memory of {self.device}: close other programs, or use "
                "--device cpu or a smaller --crop"
            )
        self.batch_limit = size // 2

    def _check_finite(self, features: npt.NDArray[np.float32]) -> None:
        bad = np.flatnonzero(~np.isfinite(features).all(axis=1))
        if len(bad):
            raise DataError(
                f"{self.card.name}: {len(bad)} of {len(features)} features are not "
                f"finite (first: patch {bad[0]}) in {self.precision}: use --precision "
                "fp32 or bf16, and check the weights file"
            )


def choose_device(
    device: Device = "auto", precision: Precision = "fp32"
) -> torch.device:
    """Return the device to run on.

    Raises:
        OptionError: The name is unknown, there is no GPU, or fp16 is asked of a CPU.
    """
    for value, known in ((device, get_args(Device)), (precision, get_args(Precision))):
        if value not in known:
            raise OptionError(f"{value!r} is unknown: choose from {', '.join(known)}")
    has_gpu = torch.cuda.is_available()
    if device == "cuda" and not has_gpu:
        raise OptionError(
            "device=cuda: torch finds no GPU: use --device cpu, or install a CUDA "
            "build of torch and check nvidia-smi"
        )
    chosen = "cuda" if device != "cpu" and has_gpu else "cpu"
    if chosen == "cpu" and precision == "fp16":
        raise OptionError(
            "precision=fp16: needs a GPU: use --precision bf16 or fp32 on a CPU"
        )
    return torch.device(chosen)


def fold_batch_norm(module: nn.Module) -> nn.Module:
    """Fold each batch norm into the convolution declared just before it, in place.

    For networks in evaluation whose parts are declared in the order they run. The
    features are the same to rounding, and come in about two thirds of the time.
    """
    module.eval()
    for parent in list(module.modules()):
        for (conv_name, conv), (norm_name, norm) in pairwise(parent.named_children()):
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                setattr(parent, conv_name, fuse_conv_bn_eval(conv, norm))
                setattr(parent, norm_name, nn.Identity())
    return module


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


def _channels(values: tuple[float, float, float], device: torch.device) -> Tensor:
    return torch.tensor(values, device=device).view(1, 3, 1, 1)


def _is_out_of_memory(error: RuntimeError) -> bool:
    return isinstance(error, torch.OutOfMemoryError) or any(
        sign in str(error) for sign in _OUT_OF_MEMORY
    )
