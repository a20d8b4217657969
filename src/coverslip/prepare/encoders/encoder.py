"""An encoder: patches of 8-bit RGB in, features out, whatever the machine's memory."""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from coverslip.errors import DataError, EncoderError
from coverslip.prepare.encoders.card import Card
from coverslip.prepare.encoders.devices import (
    Device,
    Precision,
    Runtime,
    choose_device,
    choose_runtime,
)
from coverslip.prepare.encoders.kept import Unbuilt, built
from coverslip.prepare.encoders.openvino import RECIPE, WHOLE, OpenVinoNetwork

if TYPE_CHECKING:
    from torch import nn

    from coverslip.prepare.encoders.eager import EagerNetwork

_OUT_OF_MEMORY = ("DefaultCPUAllocator", "not enough memory", "ALLOC_FAILED")

CPU_BATCH = 8
"""PyTorch's: on a CPU larger batches only make the system hand out fresh memory: half the speed."""


class Network(Protocol):
    """What an encoder runs: the preprocessing of its card, and the network itself."""

    def __call__(self, patches: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Map patches (B, H, W, 3) to features (B, dim).

        Raises:
            RuntimeError: Memory runs out, or something else went wrong.
        """
        ...


class Encoder:
    """A frozen network with the preprocessing that it was trained for.

    Args:
        card: Its facts.
        network: Maps float images (B, 3, input_size, input_size) to (B, dim).
        device: "auto" takes a GPU where there is one.
        precision: "fp32" is torch's (on a GPU, convolutions may run in TF32); the
            others run under autocast, and features leave as float32 all the same.
        runtime: What runs the network: PyTorch, PyTorch compiled (which needs a
            compiler on the machine), or OpenVINO on a CPU.

    Raises:
        OptionError: This machine has not the device, or device or runtime not the
            precision.
        MissingExtraError: OpenVINO is asked for and not installed.
    """

    def __init__(
        self,
        card: Card,
        network: "nn.Module | Unbuilt",
        *,
        device: Device = "auto",
        precision: Precision = "fp32",
        runtime: Runtime = "torch",
    ) -> None:
        self.card = card
        self.precision = precision
        self.runtime = choose_runtime(runtime, device, precision)
        self.device = choose_device(device, precision)
        by_torch = self.runtime != "openvino"  # which divides a batch by itself
        self.batch_limit = CPU_BATCH if self.device == "cpu" and by_torch else None
        self.calibration: str | None = None
        self._network: Network
        if self.runtime == "openvino":
            self._network = OpenVinoNetwork(card, network, precision)
        else:
            compiled = self.runtime == "compile"
            self._network = _by_torch(
                card, built(network), self.device, precision, compiled=compiled
            )

    def identity(self) -> dict[str, Any]:
        """Return the JSON-ready facts that make two features comparable."""
        return {
            "name": self.card.name,
            "dim": self.card.dim,
            "weights_hash": self.card.weights_hash,
            "resize": self.card.resize,
            "crop": self.card.input_size,
            "precision": self.precision,
            **({"calibration": self.calibration} if self.calibration else {}),
        }

    def calibrate(self, patches: npt.NDArray[np.uint8]) -> None:
        """Choose the ranges of int8 on some patches (B, H, W, 3); else do nothing.

        Raises:
            MissingExtraError: NNCF is not installed.
        """
        if self.precision == "int8" and isinstance(self._network, OpenVinoNetwork):
            self._network.calibrate(patches)
            digest = hashlib.sha256(np.ascontiguousarray(patches).tobytes())
            digest.update(repr((RECIPE, self.card.unquantised)).encode())
            self.calibration = digest.hexdigest()[:16]

    def embed(self, patches: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Encode patches.

        A batch that does not fit in memory is cut in half until it fits; the size that
        fitted is kept in `batch_limit` for the calls to come. On a CPU PyTorch is
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

    def embed_each(
        self, batches: Iterable[npt.NDArray[np.uint8]]
    ) -> Iterator[npt.NDArray[np.float32]]:
        """Encode batches (B, H, W, 3) in turn; a GPU has the next one before it is idle.

        A batch may be overwritten once the next is asked for.

        Raises:
            EncoderError, DataError: As `embed`.
        """
        if self.device == "cpu":
            yield from map(self.embed, batches)
            return
        waiting: Callable[[], npt.NDArray[np.float32]] | None = None
        for batch in batches:
            coming = self._start(self._network, batch)  # type: ignore[arg-type] # PyTorch's, on a GPU
            if waiting is not None:
                yield waiting()
            waiting = coming
        if waiting is not None:
            yield waiting()

    def _start(
        self, network: "EagerNetwork", patches: npt.NDArray[np.uint8]
    ) -> Callable[[], npt.NDArray[np.float32]]:
        """Begin a batch; where it does not fit in memory, encode it piece by piece."""
        if self.batch_limit is None or len(patches) <= self.batch_limit:
            try:
                fetch = network.start(patches)
            except RuntimeError as error:
                if not _is_out_of_memory(error):
                    raise
            else:
                return lambda: self._checked(fetch(), len(patches))
        features = self.embed(patches)
        return lambda: features

    def _checked(
        self, features: npt.NDArray[np.float32], count: int
    ) -> npt.NDArray[np.float32]:
        self._check_shape(features, count)
        self._check_finite(features)
        return features

    def _try(self, patches: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32] | None:
        """Encode a batch; None when memory ran out."""
        try:
            result = self._network(patches)
        except RuntimeError as error:
            if not _is_out_of_memory(error):
                raise
            return None
        self._check_shape(result, len(patches))
        return result

    def _check_shape(self, features: npt.NDArray[np.float32], count: int) -> None:
        if features.shape != (count, self.card.dim):
            raise EncoderError(
                f"{self.card.name}: gave features of shape {features.shape[1:]}, its "
                f"card says {self.card.dim}: the weights or the card are of another "
                "network"
            )

    def _halve(self, size: int) -> None:
        if self.device == "cuda":
            import torch

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


def _by_torch(
    card: Card,
    module: "nn.Module",
    device: str,
    precision: Precision,
    *,
    compiled: bool,
) -> "EagerNetwork":
    import torch

    from coverslip.prepare.encoders.eager import EagerNetwork
    from coverslip.prepare.encoders.whole_pixels import on_whole_pixels

    if precision in WHOLE:
        card, module = on_whole_pixels(card, module)
    where = torch.device(device)
    return EagerNetwork(card, module, where, precision, compiled=compiled)


def _is_out_of_memory(error: RuntimeError) -> bool:
    return type(error).__name__ == "OutOfMemoryError" or any(
        sign in str(error) for sign in _OUT_OF_MEMORY
    )
