"""Encoders by name; nothing of torch is imported until a network has to be built."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from coverslip.errors import CoverslipError, EncoderError, OptionError
from coverslip.prepare.encoders.card import EFFICIENTNET_LITE0, HUB, RESNET50, Card
from coverslip.prepare.encoders.devices import choose_runtime
from coverslip.prepare.encoders.encoder import Encoder
from coverslip.prepare.encoders.foundation import RECIPES, Recipe
from coverslip.prepare.encoders.hub import cached, find_weights, loaded_card, offline
from coverslip.prepare.encoders.kept import Unbuilt
from coverslip.prepare.encoders.plugins import Loader, check_loaded, offered, plugin
from coverslip.prepare.encoders.published import (
    imagenet_resnet50,
    packaged_lite0,
    place_of,
)

if TYPE_CHECKING:
    from torch import nn

    from coverslip.prepare.encoders.devices import Device, Precision, Runtime

GENERIC = ("timm:", HUB)
"""How names begin that stand for any network of timm."""


@dataclass(frozen=True)
class Own:
    """How one of our encoders is loaded, in two steps: the second is often spared.

    Attributes:
        find: Returns its weights' files: those at the path that the user gave, or,
            given None, the published ones, which may be downloaded.
        build: Makes the network of them.
    """

    find: Callable[[Path | None], Sequence[Path]]
    build: "Callable[[Sequence[Path]], nn.Module]"


def _given_or(published: Callable[[], Path], weights: Path | None) -> Sequence[Path]:
    return (weights or published(),)


def _built_by(module: str, files: Sequence[Path]) -> "nn.Module":
    network: nn.Module = import_module(module).build(files)
    return network


def _ours(published: Callable[[], Path], module: str) -> Own:
    name = f"coverslip.prepare.encoders.{module}"
    return Own(partial(_given_or, published), partial(_built_by, name))


def _at_the_hub(card: Card, weights: Path | None) -> Sequence[Path]:
    if weights is None and cached(card) is None:  # nobody downloads gigabytes in vain
        from coverslip.prepare.encoders.building import require_timm

        require_timm(card.name)
    return find_weights(card, weights)


def _from_recipe(recipe: Recipe, files: Sequence[Path]) -> "nn.Module":
    from coverslip.prepare.encoders import building

    return building.loaded(recipe, files)


ENCODERS: dict[str, tuple[Card, Own | Loader]] = {
    RESNET50.name: (RESNET50, _ours(imagenet_resnet50, "resnet")),
    EFFICIENTNET_LITE0.name: (EFFICIENTNET_LITE0, _ours(packaged_lite0, "lite")),
    **{
        recipe.card.name: (
            recipe.card,
            Own(partial(_at_the_hub, recipe.card), partial(_from_recipe, recipe)),
        )
        for recipe in RECIPES
    },
}
"""Ours: card, and what loads it."""


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
    known, source = _find(name, weights)
    asked = _resized(known, resize, crop)
    # wrong options are told before any download
    chosen = choose_runtime(runtime, device, precision)
    if precision == "int8" and not known.int8:
        raise OptionError(
            f"precision=int8: nobody has looked what it does to {name}: use bf16 or fp32"
        )
    network: nn.Module | Unbuilt
    if isinstance(source, Own):
        files = source.find(weights)
        loaded = loaded_card(known, files, weights)
        network = Unbuilt(partial(source.build, files))
    else:
        loaded, network = source(weights)
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
        return None if offline() or cached(known) is not None else known.page
    if name != RESNET50.name or place_of(known.source).is_file():
        return None
    return known.source


def _resized(card: Card, resize: int | None, crop: int | None) -> Card:
    if resize is None:
        resize = card.resize
    return replace(
        card, resize=resize, input_size=card.input_size if crop is None else crop
    )


def _find(name: str, weights: Path | None) -> tuple[Card, Own | Loader]:
    """Return an encoder's card and what loads it."""
    if name in ENCODERS:
        return ENCODERS[name]
    if name.startswith(GENERIC):
        from coverslip.prepare.encoders import anytimm

        return anytimm.card(name, weights), partial(anytimm.load, name)
    if name in offered():
        return plugin(name)
    raise EncoderError(
        f"{name}: no such encoder: choose from {', '.join(encoder_names())}, or "
        "timm:NAME or hf-hub:ORG/NAME for any network of timm"
    )
