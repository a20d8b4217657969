"""Weights files of foundation models, brought into the keys of timm's networks."""

import re
from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from coverslip.prepare.encoders.foundation import Layout
from coverslip.prepare.encoders.weights import State

_DINOV2_NAMES = (
    (r"^embeddings\.cls_token$", "cls_token"),
    (r"^embeddings\.position_embeddings$", "pos_embed"),
    (r"^embeddings\.patch_embeddings\.projection\.", "patch_embed.proj."),
    (r"^layernorm\.", "norm."),
    (r"^encoder\.layer\.", "blocks."),
    (r"\.attention\.output\.dense\.", ".attn.proj."),
    (r"\.layer_scale(\d)\.lambda1$", r".ls\1.gamma"),
)
_PARTS = ("query", "key", "value")


def arranged(state: State, layout: Layout, network: nn.Module) -> State:
    """Return a state in the keys, and with the positions, of a network.

    Args:
        state: Tensors by key, as the file has them.
        layout: Of the file.
        network: Takes them.
    """
    return _ARRANGE[layout](state, network)


def _as_it_is(state: State, _network: nn.Module) -> State:
    return state


def _dinov2(state: State, _network: nn.Module) -> State:
    """Rename the keys of transformers' `Dinov2Model`; its q, k and v become one."""
    named = {}
    for key, value in state.items():
        name = key.removeprefix("dinov2.")
        for pattern, replacement in _DINOV2_NAMES:
            name = re.sub(pattern, replacement, name)
        named[name] = value
    named.pop("embeddings.mask_token", None)  # for training only
    return dict(_joined(named))


def _joined(named: State) -> Iterator[tuple[str, Tensor]]:
    inside = re.compile(r"(.*)\.attention\.attention\.(query|key|value)\.(\w+)$")
    for key, value in named.items():
        if (match := inside.match(key)) is None:
            yield key, value
            continue
        block, part, kind = match.groups()
        place = f"{block}.attention.attention"
        parts = [named.get(f"{place}.{name}.{kind}") for name in _PARTS]
        whole = [tensor for tensor in parts if tensor is not None]
        if part == "query" and len(whole) == len(_PARTS):
            yield f"{block}.attn.qkv.{kind}", torch.cat(whole)


def _swin(state: State, _network: nn.Module) -> State:
    """Drop what timm computes; a stage's halving moved from its end to its beginning."""
    old = any(key.startswith("layers.0.downsample.") for key in state)
    kept = {}
    for name, value in state.items():
        key = name
        if key.endswith(("relative_position_index", "attn_mask")):
            continue
        if old:
            key = re.sub(
                r"^layers\.(\d)\.downsample",
                lambda found: f"layers.{int(found[1]) + 1}.downsample",
                key,
            )
        kept[key] = value
    return kept


def _resampled(state: State, network: nn.Module) -> State:
    """Fit the positions of another input size to the network's, as timm does."""
    from timm.layers import resample_abs_pos_embed

    positions = state.get("pos_embed")
    # timm's networks have it; nn.Module says a Tensor or a Module
    wanted: Tensor = network.pos_embed  # type: ignore[assignment]
    if positions is None or positions.shape == wanted.shape:
        return state
    side = round((wanted.shape[1] - 1) ** 0.5)
    fitted = resample_abs_pos_embed(positions, [side, side], num_prefix_tokens=1)
    return {**state, "pos_embed": fitted}


def _conch(state: State, network: nn.Module) -> State:
    """Stretch CONCH's positions as its authors do: by a tenth of a token too much.

    Their network keeps the positions of 224 pixels and stretches them for every batch
    of 448; the tenth, of DINO's first code, was against rounding and shifts them a bit.
    """
    positions = state.get("trunk.pos_embed")
    trunk: nn.Module = network.trunk  # type: ignore[assignment] # of `ConchTower`
    wanted: Tensor = trunk.pos_embed  # type: ignore[assignment] # timm's networks have it
    if positions is None or positions.shape == wanted.shape:
        return state
    had, side = ((t.shape[1] - 1) ** 0.5 for t in (positions, wanted))
    grid = positions[:, 1:].float().reshape(1, round(had), round(had), -1)
    stretched = F.interpolate(
        grid.permute(0, 3, 1, 2),
        scale_factor=(side + 0.1) / had,
        mode="bicubic",
    )
    tokens = stretched.flatten(2).transpose(1, 2)
    fitted = torch.cat([positions[:, :1].float(), tokens], dim=1)
    return {**state, "trunk.pos_embed": fitted}


_ARRANGE: dict[Layout, Callable[[State, nn.Module], State]] = {
    "timm": _as_it_is,
    "resampled": _resampled,
    "dinov2": _dinov2,
    "swin": _swin,
    "conch": _conch,
}
