"""Weights files: read without running code, matched by key."""

import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from coverslip.errors import EncoderError

State = dict[str, Tensor]

_UNREADABLE = (
    SafetensorError,
    pickle.UnpicklingError,
    OSError,
    RuntimeError,
    EOFError,
    KeyError,
    ValueError,
)


def read_state(path: Path) -> tuple[State, dict[str, str]]:
    """Read the tensors of a weights file by key, and its metadata (safetensors only).

    A leading `module.`, which `DataParallel` leaves, is dropped from the keys. Where the
    state lies under `model` or `state_dict`, beside other things, it is taken from there.

    Args:
        path: A `.safetensors` file, or a PyTorch state dict of any other suffix.

    Raises:
        EncoderError: The file cannot be read, or holds something else.
    """
    state: object
    try:
        if path.suffix == ".safetensors":
            with safe_open(path, "pt") as file:
                metadata = dict(file.metadata() or {})
                keys = file.keys()
                state = {key: file.get_tensor(key) for key in keys}
        else:
            metadata = {}
            state = torch.load(  # noqa: TID251 - published weights are .pth; arrays only
                path, map_location="cpu", weights_only=True
            )
    except _UNREADABLE as error:
        # torch goes on to advise weights_only=False, which would run what is in it
        reason = str(error).partition("\n")[0].partition(". ")[0]
        raise EncoderError(
            f"{path}: not a readable weights file ({reason}): fetch it again"
        ) from None
    state = _unwrapped(state)
    if not isinstance(state, dict) or not _is_state(state):
        raise EncoderError(
            f"{path}: not a state dict: save the bare model.state_dict() of the encoder"
        )
    return {
        key.removeprefix("module."): value for key, value in state.items()
    }, metadata


def _unwrapped(state: object) -> object:
    for key in ("model", "state_dict"):
        inside = state.get(key) if isinstance(state, dict) else None
        if isinstance(inside, dict) and inside and _is_state(inside):
            return inside
    return state


def _is_state(state: dict[Any, Any]) -> bool:
    return all(isinstance(value, Tensor) for value in state.values())


def load_exactly(
    module: nn.Module,
    state: State,
    path: Path,
    *,
    ignored: Sequence[str] = (),
    assign: bool = False,
) -> None:
    """Copy a state into a module; every weight must have its place and its shape.

    Args:
        module: The network.
        state: Tensors by key.
        path: The file they came from, named in errors.
        ignored: Prefixes of keys that the network does without.
        assign: The tensors become the network's own, which may have none as yet.

    Raises:
        EncoderError: A key is missing, left over, or of another shape.
    """
    wanted = {key: t.shape for key, t in module.state_dict().items() if _counts(key)}
    given = {
        key: value
        for key, value in state.items()
        if _counts(key) and not key.startswith(tuple(ignored))
    }
    wrong = {
        "missing": sorted(wanted.keys() - given.keys()),
        "unexpected": sorted(given.keys() - wanted.keys()),
        "of another shape": sorted(
            key
            for key in wanted.keys() & given.keys()
            if given[key].shape != wanted[key]
        ),
    }
    if any(wrong.values()):
        told = "; ".join(
            f"{_some(keys)} {what}" for what, keys in wrong.items() if keys
        )
        raise EncoderError(
            f"{path}: not weights of this {type(module).__name__} ({told}): "
            "pass the right file with --weights"
        )
    module.load_state_dict(given, strict=False, assign=assign)


def _counts(key: str) -> bool:
    """Leave out the count of training batches, which files may lack."""
    return not key.endswith("num_batches_tracked")


def _some(keys: Sequence[str]) -> str:
    more = f" and {len(keys) - 3} more" if len(keys) > 3 else ""
    return ", ".join(keys[:3]) + more
