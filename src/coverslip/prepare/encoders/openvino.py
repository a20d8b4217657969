"""A network run by OpenVINO on a CPU (an extra): twice PyTorch's speed, or more.

The network is traced once from PyTorch, takes 8-bit pixels and normalises them itself.
In fp32 its 3 x 3 convolutions take half the products (`winograd`), and its features are
PyTorch's to 1e-5 relative. PyTorch is loaded to trace, and not where that has been done
before.
"""

import hashlib
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from functools import cached_property
from importlib.metadata import version
from io import StringIO
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from coverslip.errors import EncoderError, OptionError
from coverslip.prepare.encoders.card import Card
from coverslip.prepare.encoders.devices import require, threads
from coverslip.prepare.encoders.kept import Kept, Unbuilt, built, keep, kept_at
from coverslip.prepare.encoders.winograd import halve_products

if TYPE_CHECKING:
    from torch import nn

HINTS = {"fp32": "f32", "bf16": "bf16", "int8": "bf16"}
"""OpenVINO's name of each precision; of int8 it is that of what stays unquantised."""

RECIPE = "whole pixels, glass, extremes, no bias correction"
"""How int8 is calibrated; with another one the same patches give other features."""

GLASS = 255, 243, 229, 210
"""Grey levels of even patches that are calibrated on beside those given.

Where nothing is on the glass, features take values that no tissue gives them, and
ranges without them clip those."""

WHOLE = frozenset({"bf16", "int8"})
"""Precisions in which pixels are whole numbers (see `whole_pixels`)."""

AT_ONCE = 2
"""Patches that one stream is given together: what it makes of them stays in its cache."""

STREAMS = 16
"""Streams at most; with more threads than that, several work on the same patches."""

CALIBRATED_AT_ONCE = 8
"""Patches that the network is given together while ranges are looked for."""


class OpenVinoNetwork:
    """OpenVINO on as many threads as PyTorch would use, each with patches of its own.

    Args:
        card: Says what the pixels become.
        network: Maps float images (B, 3, input_size, input_size) to (B, dim).
        precision: "fp32", "bf16", or "int8", which has to be calibrated first.

    Raises:
        EncoderError: OpenVINO makes another network of it, or its weights are others.
        MissingExtraError: OpenVINO is not installed.
    """

    def __init__(
        self, card: Card, network: "nn.Module | Unbuilt", precision: str = "fp32"
    ) -> None:
        require("openvino")
        self.card, self.precision = card, precision
        self._one_caller = Lock()
        whole = precision in WHOLE
        self._traced = keep(
            kept_at(card, network, whole=whole),
            lambda: _trace(card, built(network), whole=whole),
        )
        self._runs: Kept | None = None if precision == "int8" else self._traced

    def calibrate(self, patches: npt.NDArray[np.uint8]) -> None:
        """Choose the ranges of int8 on some patches; the last call counts.

        Post-training quantisation of weights and activations (Jacob et al. 2018), by
        NNCF. Some dozens of patches of the tissue in question are enough; bare `GLASS`
        comes to them. Ranges are the extremes seen: cut tighter, they clip what is
        rare, and one patch in forty is off by more than it need be. Biases are not
        corrected: that takes as long again and brings features no nearer.

        Args:
            patches: (B, H, W, 3), not those that a comparison is made on.

        Raises:
            MissingExtraError: NNCF is not installed.
        """
        require("nncf")
        made = f"{RECIPE}, NNCF {version('nncf')}, {self.card.unquantised}"
        digest = hashlib.sha256(np.ascontiguousarray(patches).tobytes() + made.encode())
        traced = self._traced.path
        path = traced.with_stem(f"{traced.stem}-int8-{digest.hexdigest()[:16]}")
        self._runs = keep(path, lambda: self._quantise(patches))
        self.__dict__.pop("_streams", None)

    def _quantise(self, patches: npt.NDArray[np.uint8]) -> Any:  # noqa: ANN401 - OpenVINO's model
        with _quiet():
            import nncf

            nncf.set_log_level(logging.ERROR)
            from nncf.quantization.range_estimator import RangeEstimatorParametersSet

            levels = np.array(GLASS, np.uint8).reshape(-1, 1, 1, 1)
            glass = np.broadcast_to(levels, (len(GLASS), *patches.shape[1:]))
            seen = np.concatenate([patches, glass])
            images = [
                self._pixels(seen[start : start + CALIBRATED_AT_ONCE])
                for start in range(0, len(seen), CALIBRATED_AT_ONCE)
            ]
            model = self._traced.read()
            alone = [f"__module.{name}" for name in self.card.unquantised]
            names = (node.get_friendly_name() for node in model.get_ops())
            kept = [name for name in names if name.startswith(tuple(alone))]
            return nncf.quantize(
                model,
                nncf.Dataset(images),
                subset_size=len(images),
                ignored_scope=nncf.IgnoredScope(names=kept, validate=False),
                advanced_parameters=nncf.AdvancedQuantizationParameters(
                    disable_bias_correction=True,
                    activations_range_estimator_params=RangeEstimatorParametersSet.MINMAX,
                ),
            )

    def __call__(self, patches: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Map patches (B, H, W, 3), one or more, to features (B, dim)."""
        with self._one_caller:
            try:
                return self._in_pieces(patches)
            except BaseException:
                self.__dict__.pop("_streams", None)  # errors stay in them
                raise

    def _in_pieces(self, patches: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        parts: dict[int, npt.NDArray[np.float32]] = {}
        errors: list[Exception] = []

        def take(request: Any, start: int) -> None:  # noqa: ANN401 - OpenVINO's
            try:
                parts[start] = request.get_output_tensor(0).data.copy()
            except Exception as error:  # noqa: BLE001 - OpenVINO must not see it
                errors.append(error)

        streams = self._streams
        streams.set_callback(take)
        try:
            for start in range(0, len(patches), AT_ONCE):
                piece = self._pixels(patches[start : start + AT_ONCE])
                streams.start_async([_filled_up(piece, AT_ONCE)], start)
        finally:
            streams.wait_all()
        if errors:
            raise errors[0]
        return np.concatenate([parts[start] for start in sorted(parts)])[: len(patches)]

    def _pixels(self, patches: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """Resize and crop as the card says: (B, input_size, input_size, 3)."""
        if min(patches.shape[1:3]) != self.card.resize:
            patches = _resized(patches, self.card)
        rows, columns = (self.card.centre(side) for side in patches.shape[1:3])
        return np.ascontiguousarray(patches[:, rows, columns])

    @cached_property
    def _streams(self) -> Any:  # noqa: ANN401 - OpenVINO has no types
        """The network, ready to run: what is asked for with the first patch."""
        if self._runs is None:
            raise OptionError(
                f"{self.card.name}: int8 has to be calibrated on some patches first"
            )
        import openvino

        how = {
            "INFERENCE_PRECISION_HINT": HINTS[self.precision],
            "INFERENCE_NUM_THREADS": threads(),
            "NUM_STREAMS": min(threads(), STREAMS),
            # bound to cores, processes side by side would all take the first ones
            "ENABLE_CPU_PINNING": False,
        }
        model = self._runs.read()
        side = self.card.input_size
        model.reshape([AT_ONCE, side, side, 3])  # in known sizes it copies less
        return openvino.AsyncInferQueue(
            openvino.Core().compile_model(model, "CPU", how)
        )


def _filled_up(patches: npt.NDArray[np.uint8], count: int) -> npt.NDArray[np.uint8]:
    """Return so many patches: those given, and the last of them again."""
    lacking = count - len(patches)
    return np.pad(patches, ((0, lacking), (0, 0), (0, 0), (0, 0)), "edge")


def _resized(patches: npt.NDArray[np.uint8], card: Card) -> npt.NDArray[np.uint8]:
    """Resize patches (B, H, W, 3) so that the shorter side is what a card asks for."""
    height, width = patches.shape[1:3]
    scale = card.resize / min(height, width)
    size = round(width * scale), round(height * scale)
    how = Image.Resampling[card.interpolation.upper()]
    return np.stack(
        [np.asarray(Image.fromarray(patch).resize(size, how)) for patch in patches]
    )


def _trace(card: Card, module: "nn.Module", *, whole: bool) -> Any:  # noqa: ANN401 - OpenVINO's model
    import openvino
    import torch
    from openvino import Layout, Type
    from openvino.preprocess import PrePostProcessor

    from coverslip.prepare.encoders.whole_pixels import on_whole_pixels

    if whole:
        card, module = on_whole_pixels(card, module)
    side = card.input_size
    with _quiet():
        model = openvino.convert_model(
            module.eval(),
            example_input=torch.zeros(2, 3, side, side),
            input=[-1, 3, side, side],
        )
    steps = PrePostProcessor(model)
    steps.input().tensor().set_element_type(Type.u8).set_layout(Layout("NHWC"))
    steps.input().model().set_layout(Layout("NCHW"))
    mean, std = ([255 * value for value in each] for each in (card.mean, card.std))
    steps.input().preprocess().convert_element_type(Type.f32).mean(mean).scale(std)
    traced = steps.build()
    if not whole:
        halve_products(traced)
    _check_traced(card, module, traced)
    return traced


def _check_traced(card: Card, module: "nn.Module", traced: Any) -> None:  # noqa: ANN401 - OpenVINO's model
    """Refuse a copy that is not the network, such as one that learnt the batch by heart.

    Raises:
        EncoderError: On three patches of noise it gives other features.
    """
    import openvino
    import torch

    pixels = np.random.default_rng(0).integers(
        0, 256, (3, card.input_size, card.input_size, 3), np.uint8
    )
    mean, std = (np.array(each, np.float32) for each in (card.mean, card.std))
    images = torch.from_numpy((pixels / np.float32(255) - mean) / std)
    with torch.inference_mode():
        wanted = module(images.permute(0, 3, 1, 2)).float().numpy()
    how = {"INFERENCE_PRECISION_HINT": "f32"}
    found = openvino.Core().compile_model(traced, "CPU", how)(pixels)[0]
    far = wanted.shape != found.shape or (
        np.linalg.norm(found - wanted) > 0.001 * np.linalg.norm(wanted)
    )
    if far:
        raise EncoderError(
            f"{card.name}: OpenVINO makes another network of it: use --runtime torch"
        )


@contextmanager
def _quiet() -> Iterator[None]:
    """Within this block what tracing and quantising say is left out."""
    with warnings.catch_warnings(), redirect_stdout(StringIO()):
        warnings.simplefilter("ignore")
        yield
