"""Small networks of the foundation models' own structures, with random weights."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch

from coverslip.prepare.encoders.foundation import RECIPES, Recipe

WIDTH = 48
"""Length of a token; a multiple of the heads."""

_SMALL: Mapping[str, Mapping[str, Any]] = {
    "network": {"embed_dim": 24, "depths": (2, 2, 2, 2), "num_heads": (1, 2, 2, 4)},
    "class": {"embed_dim": WIDTH, "depth": 2, "num_heads": 4},
}


def small(name: str) -> Recipe:
    """Return a foundation model's recipe with a few thin layers."""
    (recipe,) = (one for one in RECIPES if one.card.name == name)
    kind = "network" if recipe.layout == "swin" else "class"
    dim = {"class+mean": 2 * WIDTH}.get(recipe.pooling, WIDTH)
    dim = {"swin": 8 * 24, "conch": 32}.get(recipe.layout, dim)
    return replace(
        recipe,
        card=replace(recipe.card, dim=dim),
        arguments={**recipe.arguments, **_SMALL[kind]},
    )


def filled(module: torch.nn.Module, seed: int = 0) -> dict[str, torch.Tensor]:
    """Return weights for a module, large enough that each one matters."""
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for key, value in module.state_dict().items():
        noise = torch.randn(value.shape, generator=generator)
        scale = 1.0 if value.ndim < 2 else max(value[0].numel(), 1) ** -0.5
        if key.endswith("running_var"):
            state[key] = 1 + 0.1 * noise.abs()
        elif key.endswith("num_batches_tracked"):
            state[key] = torch.zeros(value.shape, dtype=torch.long)
        elif key.endswith("weight") and value.ndim == 1:
            state[key] = 1 + 0.1 * noise
        else:
            state[key] = (scale * noise).reshape(value.shape)
    return state
