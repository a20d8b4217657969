"""Foundation models: built by timm (extra `hub`), filled key by key, pooled."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from coverslip.errors import MissingExtraError
from coverslip.prepare.encoders.card import Card
from coverslip.prepare.encoders.encoder import fold_batch_norm
from coverslip.prepare.encoders.foundation import Recipe
from coverslip.prepare.encoders.hub import find_weights, weights_digest
from coverslip.prepare.encoders.layouts import arranged
from coverslip.prepare.encoders.networks import ConchTower, ConvStem, Pooled
from coverslip.prepare.encoders.weights import State, load_exactly, read_state


def load(recipe: Recipe, weights: Path | None) -> tuple[Card, nn.Module]:
    """Load a foundation model for the registry.

    Args:
        recipe: Which.
        weights: A file, or a folder as the hub has it; None for the hub's cache, and
            the hub itself.

    Raises:
        MissingExtraError: timm, or for a download huggingface_hub, is not installed.
        EncoderError: The weights cannot be had, or are not of this network.
    """
    require_timm(recipe.card.name)
    files = find_weights(recipe.card, weights)
    state = read_states(files)
    network = build(recipe)
    state = arranged(state, recipe.layout, network)
    # 16-bit files as well: arithmetic is the encoder's own choice
    state = {key: t.float() if t.is_floating_point() else t for key, t in state.items()}
    unused = ("head.", "mask_token")
    load_exactly(network, state, files[0], ignored=unused, assign=True)
    if recipe.layout == "swin":
        fold_batch_norm(network)
    return loaded_card(recipe.card, files, weights), Pooled(network, recipe.pooling)


def build(recipe: Recipe) -> nn.Module:
    """Make the network of a recipe, empty where it holds nothing but weights."""
    import timm

    layers = {"SwiGLUPacked": timm.layers.SwiGLUPacked, "SiLU": nn.SiLU}
    layers["ConvStem"] = ConvStem
    arguments = {
        key: layers[value] if isinstance(value, str) else value
        for key, value in recipe.arguments.items()
    }
    computes = recipe.layout == "swin"  # windows, which no file holds
    with torch.random.fork_rng(devices=[]), torch.device("cpu" if computes else "meta"):
        network: nn.Module = timm.create_model(
            recipe.network, pretrained=False, num_classes=0, **arguments
        )
        if recipe.layout == "conch":
            network = ConchTower(network, recipe.card.dim)
    return network.eval()


def read_states(files: Sequence[Path]) -> State:
    """Return the tensors of all files together.

    Raises:
        EncoderError: One cannot be read.
    """
    return {key: value for file in files for key, value in read_state(file)[0].items()}


def loaded_card(card: Card, files: Sequence[Path], weights: Path | None) -> Card:
    """Return the card of weights that are loaded: their hash, and where they are from."""
    card = replace(card, weights_hash=weights_digest(files))
    if weights is None:
        return card
    return replace(card, source=weights.name, licence="that of the given file")


def require_timm(name: str) -> None:
    """Refuse to go on without timm.

    Raises:
        MissingExtraError: It is not installed, or does not work here.
    """
    try:
        import timm  # noqa: F401 - asked for before a download
    except ImportError as error:
        raise MissingExtraError(
            f"{name}: timm is not installed ({error}): pip install 'coverslip[hub]'"
        ) from None
    except RuntimeError as error:  # a torchvision of another torch
        raise MissingExtraError(
            f"{name}: timm cannot be loaded ({error}): install the torchvision that "
            "belongs to this torch"
        ) from None
