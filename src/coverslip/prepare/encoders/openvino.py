"""A network run by OpenVINO on a CPU (an extra): twice PyTorch's speed, or ten times.

The network is traced once from PyTorch, takes 8-bit pixels and normalises them itself.
In fp32 its features are PyTorch's to 1e-6 relative. Traced and quantised networks are
kept beside torch.hub's weights, because making them takes longer than a small slide.
"""

import hashlib
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from importlib.metadata import version
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from coverslip.errors import EncoderError, MissingExtraError, OptionError
from coverslip.prepare.encoders.card import Card
from coverslip.prepare.encoders.pixels import cropped, middle

HINTS = {"fp32": "f32", "bf16": "bf16", "int8": "bf16"}
"""OpenVINO's name of each precision; of int8 it is that of what stays unquantised."""

RECIPE = "whole pixels, glass, extremes, no bias correction"
"""How int8 is calibrated; with another one the same patches give other features."""

GLASS = 255, 243, 229, 210
"""Grey levels of even patches that are calibrated on beside those given.

Where nothing is on the glass, features take values that no tissue gives them, and
ranges without them clip those."""

CALIBRATED_AT_ONCE = 8
"""Patches that the network is given together while ranges are looked for."""


class OpenVinoNetwork:
    """OpenVINO with one stream on as many threads as PyTorch would use.

    Args:
        card: Says what the pixels become.
        module: Maps float images (B, 3, input_size, input_size) to (B, dim).
        precision: "fp32", "bf16", or "int8", which has to be calibrated first.

    Raises:
        MissingExtraError: OpenVINO is not installed.
    """

    def __init__(self, card: Card, module: nn.Module, precision: str = "fp32") -> None:
        require("openvino")
        self.card, self.precision = card, precision
        self._path = _kept_at(card, module)
        self._model = _kept(self._path, lambda: _trace(card, module))
        self._compiled = None if precision == "int8" else self._compile(self._model)

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
        path = self._path.with_stem(f"{self._path.stem}-int8-{digest.hexdigest()[:16]}")
        self._compiled = self._compile(_kept(path, lambda: self._quantise(patches)))

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
            alone = [f"__module.{name}" for name in self.card.unquantised]
            names = (node.get_friendly_name() for node in self._model.get_ops())
            kept = [name for name in names if name.startswith(tuple(alone))]
            return nncf.quantize(
                self._model.clone(),
                nncf.Dataset(images),
                subset_size=len(images),
                ignored_scope=nncf.IgnoredScope(names=kept, validate=False),
                advanced_parameters=nncf.AdvancedQuantizationParameters(
                    disable_bias_correction=True,
                    activations_range_estimator_params=RangeEstimatorParametersSet.MINMAX,
                ),
            )

    def __call__(self, patches: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Map patches (B, H, W, 3) to features (B, dim)."""
        if self._compiled is None:
            raise OptionError(
                f"{self.card.name}: int8 has to be calibrated on some patches first"
            )
        features: npt.NDArray[np.float32] = self._compiled(self._pixels(patches))[0]
        return features

    def _pixels(self, patches: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """Resize and crop as the card says: (B, input_size, input_size, 3)."""
        crop, (height, width) = self.card.input_size, patches.shape[1:3]
        if min(height, width) == self.card.resize:
            top, left = middle(height, crop), middle(width, crop)
            centre = patches[:, top : top + crop, left : left + crop]
            return np.ascontiguousarray(centre)
        pixels = cropped(torch.tensor(np.ascontiguousarray(patches)), self.card)
        return pixels.permute(0, 2, 3, 1).contiguous().to(torch.uint8).numpy()

    def _compile(self, model: Any) -> Any:  # noqa: ANN401 - OpenVINO has no types
        import openvino

        how = {
            "INFERENCE_PRECISION_HINT": HINTS[self.precision],
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
            "NUM_STREAMS": 1,
        }
        return openvino.Core().compile_model(model, "CPU", how)


def available() -> bool:
    """Say whether OpenVINO is installed."""
    return find_spec("openvino") is not None


def require(package: str) -> None:
    """Refuse to go on without a package of the extra.

    Raises:
        MissingExtraError: It is not installed.
    """
    if find_spec(package) is None:
        raise MissingExtraError(
            f"{package} is not installed: pip install 'coverslip[openvino]', or use "
            "--runtime torch and --precision fp32 or bf16"
        )


def _kept(path: Path, make: Callable[[], Any]) -> Any:  # noqa: ANN401 - OpenVINO's model
    """Return the network that is kept in a file, made now where there is none."""
    import openvino

    if path.is_file():
        return openvino.Core().read_model(path)
    model = make()
    with suppress(OSError):  # a folder that cannot be written: made again next time
        _keep(model, path)
    return model


def _keep(model: Any, path: Path) -> None:  # noqa: ANN401 - OpenVINO's model
    import openvino

    path.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=path.parent) as folder:
        fresh = Path(folder) / path.name
        openvino.serialize(model, fresh)
        for suffix in (".bin", ".xml"):  # what is looked for comes last
            fresh.with_suffix(suffix).replace(path.with_suffix(suffix))


def _kept_at(card: Card, module: nn.Module) -> Path:
    """Return where a network is kept: another for other weights or another structure."""
    facts = (
        card.name,
        card.input_size,
        card.mean,
        card.std,
        version("openvino"),
        repr(module),
    )
    weights = hashlib.sha256(repr(facts).encode())
    for name, value in module.state_dict().items():
        weights.update(name.encode() + value.cpu().contiguous().numpy().tobytes())
    digest = weights.hexdigest()[:16]
    return Path(torch.hub.get_dir()) / "coverslip" / f"{card.name}-{digest}.xml"


def _trace(card: Card, module: nn.Module) -> Any:  # noqa: ANN401 - OpenVINO's model
    import openvino
    from openvino import Layout, Type
    from openvino.preprocess import PrePostProcessor

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
    _check_traced(card, module, traced)
    return traced


def _check_traced(card: Card, module: nn.Module, traced: Any) -> None:  # noqa: ANN401 - OpenVINO's model
    """Refuse a copy that is not the network, such as one that learnt the batch by heart.

    Raises:
        EncoderError: On three patches of noise it gives other features.
    """
    import openvino

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
        np.linalg.norm(found - wanted) > 0.01 * np.linalg.norm(wanted)
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
