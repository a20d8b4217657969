"""Encoders by name; nothing of torch is imported until one is loaded."""

from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from coverslip.errors import EncoderError
from coverslip.prepare.encoders.card import EFFICIENTNET_LITE0, RESNET50, Card

if TYPE_CHECKING:
    from coverslip.prepare.encoders.encoder import Device, Encoder, Precision, Runtime

ENCODERS: dict[str, tuple[Card, str]] = {
    RESNET50.name: (RESNET50, "coverslip.prepare.encoders.resnet"),
    EFFICIENTNET_LITE0.name: (EFFICIENTNET_LITE0, "coverslip.prepare.encoders.lite"),
}
"""Card, and the module whose `load(weights)` returns the loaded card and network."""


def encoder_names() -> tuple[str, ...]:
    """Return the names of all encoders, the default first."""
    return tuple(ENCODERS)


def card(name: str) -> Card:
    """Return an encoder's facts without loading it; its weights hash is still empty.

    Raises:
        EncoderError: The name is unknown.
    """
    return _find(name)[0]


def load_encoder(
    name: str,
    *,
    weights: Path | None = None,
    device: "Device" = "auto",
    precision: "Precision" = "fp32",
    runtime: "Runtime" = "auto",
    resize: int | None = None,
    crop: int | None = None,
) -> "Encoder":
    """Load an encoder ready to `embed`.

    Args:
        name: One of `encoder_names()`.
        weights: A local weights file; None for the encoder's published ones.
        device: "auto" takes a GPU where there is one.
        precision: Of the arithmetic; features are float32. "int8" has to be calibrated.
        runtime: What runs the network; "auto" takes OpenVINO on a CPU where it is
            installed, else PyTorch.
        resize: Shorter side in pixels before the crop; None for the card's.
        crop: Side in pixels of the centre crop; None for the card's.

    Raises:
        EncoderError: The name is unknown, or the weights cannot be had or do not fit.
        MissingExtraError: The encoder needs an extra that is not installed.
        OptionError: The device, precision, resize or crop is not possible.
    """
    known, module = _find(name)
    asked = _resized(known, resize, crop)
    from coverslip.prepare.encoders.encoder import Encoder, choose_runtime

    # wrong options are told before any download
    chosen = choose_runtime(runtime, device, precision)
    loaded, network = import_module(module).load(weights)
    loaded = _resized(loaded, asked.resize, asked.input_size)
    return Encoder(loaded, network, device=device, precision=precision, runtime=chosen)


def to_download(name: str, weights: Path | None = None) -> str | None:
    """Return the URL that loading an encoder would download first, if any.

    Args:
        name: The encoder.
        weights: A local file, which nothing is downloaded in place of.

    Raises:
        EncoderError: The name is unknown.
    """
    _, module = _find(name)
    if weights is not None:
        return None
    ask = getattr(import_module(module), "to_download", None)
    url: str | None = None if ask is None else ask()
    return url


def _resized(card: Card, resize: int | None, crop: int | None) -> Card:
    if resize is None:
        resize = card.resize
    return replace(
        card, resize=resize, input_size=card.input_size if crop is None else crop
    )


def _find(name: str) -> tuple[Card, str]:
    if name not in ENCODERS:
        raise EncoderError(
            f"{name}: no such encoder: choose from {', '.join(ENCODERS)}"
        )
    return ENCODERS[name]
