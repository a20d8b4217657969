"""A network run by PyTorch, on a CPU or a GPU, with the preprocessing before it."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from coverslip.errors import EncoderError
from coverslip.prepare.encoders.card import Card
from coverslip.prepare.encoders.pixels import cropped

_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


Fetch = Callable[[], npt.NDArray[np.float32]]
"""Waits for features that were asked for, and returns them."""


class EagerNetwork:
    """PyTorch, one operation after the other or compiled, in channels-last memory.

    Args:
        card: Says what the pixels become.
        module: Maps float images (B, 3, input_size, input_size) to (B, dim).
        device: Where it runs.
        precision: "fp32", or "bf16" or "fp16" under autocast.
        compiled: Have `torch.compile` fuse the operations, preprocessing among them,
            the first time that patches come; smaller batches are filled up to the
            largest before, so that it seldom happens again.
    """

    def __init__(
        self,
        card: Card,
        module: nn.Module,
        device: torch.device,
        precision: str,
        *,
        compiled: bool = False,
    ) -> None:
        self.card, self.device, self.precision = card, device, precision
        self._module = module.eval().requires_grad_(requires_grad=False)
        # torch's stub of Module.to leaves out memory_format without a dtype
        self._module.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._mean, self._std = (
            torch.tensor(values, device=device).view(1, 3, 1, 1)
            for values in (card.mean, card.std)
        )
        self._run = torch.compile(self._encode, dynamic=False) if compiled else None
        self._filled = 0
        on_gpu = device.type == "cuda"
        self._copies = torch.cuda.Stream(device) if on_gpu else None  # type: ignore[no-untyped-call] # torch's own

    def __call__(self, patches: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Map patches (B, H, W, 3) to features (B, dim)."""
        return self.start(patches)()

    def start(self, patches: npt.NDArray[np.uint8]) -> Fetch:
        """Begin to encode patches (B, H, W, 3), which may be overwritten afterwards.

        A GPU works on while the caller reads the next ones; a CPU is done on return.
        """
        with torch.inference_mode():
            return self._fetch(self.encode(self._sent(patches)))

    def encode(self, pixels: Tensor) -> Tensor:
        """Map 8-bit pixels (B, H, W, 3) on the device to features (B, dim) there.

        A GPU is not waited for.
        """
        with torch.inference_mode(), self._arithmetic():
            return self._encode(pixels) if self._run is None else self._compiled(pixels)

    def _encode(self, pixels: Tensor) -> Tensor:
        """Map 8-bit pixels (B, H, W, 3) on the device to features (B, dim), float32."""
        x = (cropped(pixels, self.card) / 255 - self._mean) / self._std
        x = x.contiguous(memory_format=torch.channels_last)
        features: Tensor = self._module(x).float()
        return features

    def _compiled(self, pixels: Tensor) -> Tensor:
        if self._run is None:
            raise ValueError("this network is not compiled")
        count = len(pixels)
        self._filled = max(self._filled, count)
        filling = pixels[-1:].expand(self._filled - count, *pixels.shape[1:])
        try:
            return self._run(torch.cat([pixels, filling]))[:count]
        except torch._dynamo.exc.TorchDynamoException as error:
            reason = str(error).strip().splitlines()[0][:200]
            raise EncoderError(
                f"{self.card.name}: torch cannot compile it here ({reason}): use "
                "--runtime torch"
            ) from None
        except RuntimeError:
            self._filled = 0  # too much for the memory: the next try is smaller
            raise

    def _sent(self, patches: npt.NDArray[np.uint8]) -> Tensor:
        """Return patches on the device as bytes; a GPU copies while it computes."""
        own = torch.empty(
            patches.shape, dtype=torch.uint8, pin_memory=bool(self._copies)
        )
        own.numpy()[:] = patches
        if self._copies is None:
            return own
        working = torch.cuda.current_stream(self.device)
        with torch.cuda.stream(self._copies):
            moved = own.to(self.device, non_blocking=True)
        working.wait_stream(self._copies)
        moved.record_stream(working)
        return moved

    def _fetch(self, features: Tensor) -> Fetch:
        if self._copies is None:
            return features.numpy
        own = torch.empty(features.shape, dtype=features.dtype, pin_memory=True)
        own.copy_(features, non_blocking=True)
        done = torch.cuda.Event()  # type: ignore[no-untyped-call] # torch's own
        done.record()

        def wait() -> npt.NDArray[np.float32]:
            done.synchronize()
            found: npt.NDArray[np.float32] = own.numpy().copy()
            return found

        return wait

    def _arithmetic(self) -> AbstractContextManager[Any]:
        if self.precision == "fp32":
            return nullcontext()
        return torch.autocast(self.device.type, _DTYPES[self.precision])
