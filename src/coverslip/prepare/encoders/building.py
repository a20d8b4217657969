"""Foundation models: built by timm (extra `hub`), filled key by key, pooled."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from coverslip.errors import MissingExtraError
from coverslip.prepare.encoders.folding import fold_batch_norm
from coverslip.prepare.encoders.foundation import Recipe
from coverslip.prepare.encoders.layouts import arranged
from coverslip.prepare.encoders.networks import ConchTower, ConvStem, Pooled
from coverslip.prepare.encoders.weights import State, load_exactly, read_state


def loaded(recipe: Recipe, files: Sequence[Path]) -> nn.Module:
    """Make a foundation model of its weights for the registry.

    Args:
        recipe: Which.
        files: Its weights.

    Raises:
        MissingExtraError: timm is not installed.
        EncoderError: The weights are not of this network.
    """
    require_timm(recipe.card.name)
    state = read_states(files)
    network = build(recipe)
    state = arranged(state, recipe.layout, network)
    # 16-bit files as well: arithmetic is the encoder's own choice
    state = {key: t.float() if t.is_floating_point() else t for key, t in state.items()}
    unused = ("head.", "mask_token")
    load_exactly(network, state, files[0], ignored=unused, assign=True)
    if recipe.layout == "swin":
        fold_batch_norm(network)
    return Pooled(network, recipe.pooling)


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
