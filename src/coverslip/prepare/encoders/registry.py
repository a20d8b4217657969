"""Encoders by name; nothing of torch is imported until one is loaded."""

from dataclasses import replace
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from coverslip.errors import CoverslipError, EncoderError, OptionError
from coverslip.prepare.encoders.card import EFFICIENTNET_LITE0, HUB, RESNET50, Card
from coverslip.prepare.encoders.foundation import RECIPES, Recipe
from coverslip.prepare.encoders.plugins import Loader, check_loaded, offered, plugin

if TYPE_CHECKING:
    from torch import nn

    from coverslip.prepare.encoders.encoder import Device, Encoder, Precision, Runtime

GENERIC = ("timm:", HUB)
"""How names begin that stand for any network of timm."""


def _from_recipe(recipe: Recipe, weights: Path | None, /) -> "tuple[Card, nn.Module]":
    from coverslip.prepare.encoders import building

    return building.load(recipe, weights)


ENCODERS: dict[str, tuple[Card, Loader | str]] = {
    RESNET50.name: (RESNET50, "coverslip.prepare.encoders.resnet"),
    EFFICIENTNET_LITE0.name: (EFFICIENTNET_LITE0, "coverslip.prepare.encoders.lite"),
    **{r.card.name: (r.card, partial(_from_recipe, r)) for r in RECIPES},
}
"""Ours: card, and what loads it, or the module whose `load(weights)` does."""


def encoder_names() -> tuple[str, ...]:
    """Return the names of all encoders, the default first, other packages' last."""
    return (*ENCODERS, *(name for name in offered() if name not in ENCODERS))


def card(name: str) -> Card:
    """Return an encoder's facts without loading it; its weights hash is still empty.

    For `timm:NAME` and `hf-hub:ORG/NAME` timm is asked, and the hub where it must be.

    Raises:
        EncoderError: The name is unknown, or the package that has it does not work.
        MissingExtraError: timm is needed and not installed.
    """
    return _find(name, None)[0]


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
        name: One of `encoder_names()`, `timm:NAME`, or `hf-hub:ORG/NAME`.
        weights: A local weights file, or for a model of the hub a folder as the hub
            has it; None for the encoder's published ones.
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
    known, loader = _find(name, weights)
    asked = _resized(known, resize, crop)
    from coverslip.prepare.encoders.encoder import Encoder, choose_runtime

    # wrong options are told before any download
    chosen = choose_runtime(runtime, device, precision)
    if precision == "int8" and not known.int8:
        raise OptionError(
            f"precision=int8: nobody has looked what it does to {name}: use bf16 or fp32"
        )
    loaded, network = loader(weights)
    if name not in ENCODERS and not name.startswith(GENERIC):
        check_loaded(name, loaded, network)
    loaded = _resized(loaded, asked.resize, asked.input_size)
    try:
        encoder = Encoder(
            loaded, network, device=device, precision=precision, runtime=chosen
        )
        if asked.input_size != known.input_size:
            _try_on(encoder)
    except CoverslipError:
        raise
    except Exception as error:
        if asked.input_size == known.input_size:
            raise
        reason = " ".join(str(error).split())[:160]
        raise OptionError(
            f"{name}: the network does not take crops of {asked.input_size} px "
            f"({reason}): leave --crop out, for {known.input_size}"
        ) from None
    return encoder


def _try_on(encoder: "Encoder") -> None:
    """Let an encoder see one black patch."""
    import numpy as np

    if encoder.precision != "int8":  # which has to be calibrated first
        side = encoder.card.resize
        encoder.embed(np.zeros((1, side, side, 3), np.uint8))


def to_download(name: str, weights: Path | None = None) -> str | None:
    """Return what loading an encoder would download first, a URL or a page, if anything.

    Args:
        name: The encoder.
        weights: A local file, which nothing is downloaded in place of.

    Raises:
        EncoderError: The name is unknown.
        MissingExtraError: timm is needed and not installed.
    """
    known, _ = _find(name, weights)
    if known.extra == "hub":
        from coverslip.prepare.encoders.building import require_timm

        require_timm(name)
    if weights is not None:
        return None
    if known.repository:
        from coverslip.prepare.encoders.hub import cached, offline

        return None if offline() or cached(known) is not None else known.page
    module = ENCODERS.get(name, (known, None))[1]
    if not isinstance(module, str):
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


def _find(name: str, weights: Path | None) -> tuple[Card, Loader]:
    """Return an encoder's card and what loads it."""
    if name in ENCODERS:
        known, loader = ENCODERS[name]
        return known, partial(_from_module, loader) if isinstance(
            loader, str
        ) else loader
    if name.startswith(GENERIC):
        from coverslip.prepare.encoders import anytimm

        return anytimm.card(name, weights), partial(anytimm.load, name)
    if name in offered():
        return plugin(name)
    raise EncoderError(
        f"{name}: no such encoder: choose from {', '.join(encoder_names())}, or "
        "timm:NAME or hf-hub:ORG/NAME for any network of timm"
    )


def _from_module(module: str, weights: Path | None, /) -> "tuple[Card, nn.Module]":
    loaded: tuple[Card, nn.Module] = import_module(module).load(weights)
    return loaded
