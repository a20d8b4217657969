"""Any network of timm by name: `timm:NAME`, or `hf-hub:ORG/NAME` (extra `hub`).

What the pixels become is what the weights' own configuration says. Nobody has looked
whether such a network is of use on tissue.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from coverslip import store
from coverslip.errors import CoverslipError, EncoderError
from coverslip.prepare.encoders.building import read_states, require_timm
from coverslip.prepare.encoders.card import HUB, Card
from coverslip.prepare.encoders.hub import (
    cached,
    download,
    find_weights,
    loaded_card,
)

_FILES = ("model.safetensors", "pytorch_model.bin")


@dataclass(frozen=True)
class _Plan:
    """What to build, and the configuration of its weights."""

    architecture: str
    arguments: Mapping[str, Any]
    config: Mapping[str, Any]
    revision: str = ""


def card(name: str, weights: Path | None = None) -> Card:
    """Return the facts of a network that timm knows, or the hub has for it.

    Args:
        name: `timm:NAME` or `hf-hub:ORG/NAME`, which may end in `@COMMIT`.
        weights: A folder as the hub has it, whose `config.json` is read.

    Raises:
        EncoderError: There is no such network, or it wants pixels that we cannot make.
        MissingExtraError: timm, or what a download needs, is not installed.
    """
    require_timm(name)
    plan = _plan(name, weights)
    with torch.device("meta"), torch.inference_mode():
        network = _create(plan)
        side = int(plan.config["input_size"][-1])
        dim = _length(name, network, torch.zeros(1, 3, side, side))
    return _card(name, plan, dim)


def load(name: str, weights: Path | None = None) -> tuple[Card, nn.Module]:
    """Load such a network for the registry.

    Raises:
        EncoderError: As `card`, or the weights cannot be had or do not fit.
        MissingExtraError: As `card`.
    """
    known, plan = card(name, weights), _plan(name, weights)
    if weights is None and not known.repository:
        raise EncoderError(
            f"{name}: the hub has no weights of it: give a file with --weights, such as "
            f"that at {plan.config.get('url') or 'its page'}"
        )
    files = find_weights(known, weights)
    state = read_states(files)
    network = _create(plan)
    try:
        filled = _create(plan, state)
        unfilled = _unfilled(filled, network)
        network = filled
    except (RuntimeError, KeyError, AttributeError) as error:
        unfilled = " ".join(str(error).split())[:200]
    if unfilled:
        raise EncoderError(
            f"{files[0]}: not weights of {plan.architecture} ({unfilled}): pass the "
            "right file with --weights"
        )
    return loaded_card(known, files, weights), network.eval()


def _plan(name: str, weights: Path | None) -> _Plan:
    if name.startswith(HUB):
        return _hub_plan(name, weights)
    import timm

    architecture = name.removeprefix("timm:")
    try:
        config = timm.get_pretrained_cfg(architecture)
    except RuntimeError:  # an unknown tag
        config = None
    if config is None or not timm.is_model(architecture):
        raise EncoderError(
            f"{name}: timm {timm.__version__} has no such network, or no weights of it: "
            "its list is timm.list_pretrained()"
        )
    return _Plan(architecture, {}, config.to_dict())


def _hub_plan(name: str, weights: Path | None) -> _Plan:
    import timm

    repository, _, revision = name.removeprefix(HUB).partition("@")
    stub = _stub(name, f"{HUB}{repository}", revision)
    config = "config.json"
    if weights is not None and (weights / config).is_file():
        path = weights / config
    else:
        path = cached(stub, (config,)) or download(stub, (config,))
    try:
        facts = store.read_json(path)
        architecture = facts["architecture"]
        given = {**facts, **facts.get("pretrained_cfg", {})}
        arguments = dict(facts.get("model_args", {}))
    except (CoverslipError, KeyError, AttributeError, TypeError):
        raise EncoderError(
            f"{path}: not the configuration of a network of timm: only those can be "
            "loaded by name"
        ) from None
    if not timm.is_model(architecture):
        raise EncoderError(
            f"{path}: timm {timm.__version__} has no network {architecture!r}"
        )
    arguments.pop("num_classes", None)
    usual = timm.get_pretrained_cfg(architecture.partition(".")[0])
    known = {} if usual is None else usual.to_dict()
    config_ = {**known, "license": None, **given, "hf_hub_id": repository}
    return _Plan(architecture, arguments, config_, revision)


def _stub(name: str, source: str, revision: str) -> Card:
    """Return a card that only says where the hub has something."""
    third = (0.5,) * 3
    return Card(name, 1, 32, 32, third, third, "unknown", source, revision=revision)


def _create(plan: _Plan, state: object = None) -> nn.Module:
    """Make a network, always with the same random weights where a state has none."""
    import timm

    overlay = {key: plan.config[key] for key in ("num_classes", "mean", "std")}
    overlay |= {"state_dict": state, "hf_hub_id": None, "url": "", "source": ""}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network: nn.Module = timm.create_model(
            plan.architecture,
            pretrained=state is not None,
            num_classes=0,
            pretrained_cfg_overlay=overlay,
            **plan.arguments,
        )
    return network.eval()


def _unfilled(network: nn.Module, empty: nn.Module) -> str:
    """Name the weights that are still random: timm passes over those a file has not."""
    random = {
        name: value
        for name, value in empty.named_parameters()
        if value.ndim > 1 and value.std() > 0
    }
    kept = [
        name
        for name, value in network.named_parameters()
        if name in random and torch.equal(value, random[name])
    ]
    more = f" and {len(kept) - 2} more" if len(kept) > 2 else ""
    return f"nothing for {', '.join(kept[:2])}{more}" if kept else ""


def _length(name: str, network: nn.Module, images: torch.Tensor) -> int:
    found = network(images)
    if not isinstance(found, torch.Tensor) or found.ndim != 2:
        raise EncoderError(
            f"{name}: gives a map or several outputs, not one feature a patch: it cannot "
            "be an encoder as it is"
        )
    return int(found.shape[1])


def _card(name: str, plan: _Plan, dim: int) -> Card:
    config = plan.config
    _, height, width = config["input_size"]
    mode = config.get("crop_mode") or "center"
    smooth: Literal["bicubic", "bilinear"]
    match config.get("interpolation") or "bilinear":
        case "bicubic":
            smooth = "bicubic"
        case "bilinear":
            smooth = "bilinear"
        case other:
            raise EncoderError(f"{name}: wants patches resized by {other!r}: not here")
    if height != width or mode == "border":
        raise EncoderError(
            f"{name}: wants {width} x {height} pixels, cropped by {mode!r}: only squares "
            "from the middle can be made"
        )
    repository = config.get("hf_hub_id") or ""
    file = config.get("hf_hub_filename")
    return Card(
        name=name,
        dim=dim,
        input_size=height,
        resize=math.floor(height / (config.get("crop_pct") or 0.875)),
        mean=_three(config["mean"]),
        std=_three(config["std"]),
        licence=config.get("license") or "see its page",
        source=f"{HUB}{repository}" if repository else "a file of your own",
        interpolation=smooth,
        revision=plan.revision,
        hub_files=(file,) if file else _FILES,
        extra="hub",
        int8=False,
    )


def _three(values: Any) -> tuple[float, float, float]:  # noqa: ANN401 - from JSON
    red, green, blue = (float(value) for value in values)
    return red, green, blue
