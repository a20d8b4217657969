"""The encoder alone: from patches in host memory to features in host memory, in bf16.

8-bit patches go over the bus, and are normalised on the GPU. Beside the whole, each of
its steps is timed alone on the same patches: filling page-locked memory, the bus,
launching, and the GPU's own work on patches that it has. The longest says what limits.
"""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from benchmarks.accuracy.record import data_folder
from benchmarks.gpu.device import ceiling, seconds, wait_for
from benchmarks.gpu.plan import Plan
from benchmarks.speed.networks import (
    WEIGHTS,
    Pixels,
    compared,
    operations,
    real_patches,
)
from safetensors.torch import save_file

from coverslip import store
from coverslip.errors import DataError
from coverslip.prepare.encoders.card import RESNET50
from coverslip.prepare.encoders.devices import Runtime
from coverslip.prepare.encoders.encoder import Encoder
from coverslip.prepare.encoders.registry import load_encoder
from coverslip.prepare.encoders.resnet import ResNetTrunk, resnet50_trunk
from coverslip.store import writing

if TYPE_CHECKING:
    from coverslip.prepare.encoders.eager import EagerNetwork

OVERLAPPED = 0.8
"""Share of the whole that its longest step takes where it limits."""

SERIAL = "no step alone: they wait for each other"
PRODUCTS = "the matrix product"
LAUNCHES = "the launching of kernels"
MEMORY = "the GPU's memory and small kernels (what remains beside matrix products)"


def main(plan: Plan, runtime: Runtime) -> list[store.Facts]:
    """Time the encoder as one runtime runs it, and its steps."""
    device = torch.device(plan.device)
    patches = some_patches(plan.batch)
    most = ceiling(device, plan.side, plan.rounds)
    with TemporaryDirectory() as folder:
        weights = some_weights(plan, Path(folder))
        load = partial(load_encoder, "resnet50", weights=weights, device=plan.device)
        flops = operations(resnet50_trunk(weights), RESNET50.input_size)
        encoder = load(precision="bf16", runtime=runtime)
        exact = load(precision="fp32", runtime="torch")
    taken = steps(encoder, patches, plan)
    count = len(patches) * plan.batches
    taken["products"] = count * flops / most
    kept = {step: round(own / taken["whole"], 3) for step, own in taken.items()}
    return [
        {
            "what": f"ResNet-50 trunk, batches of {len(patches)} x {len(patches[0])} px",
            "who": f"bf16, {runtime}",
            "weights": weights.name,
            "limit_tflops": float(f"{most / 1e12:.3g}"),
            "per_second": round(count / taken["whole"], 1),
            "of_limit": kept.pop("products"),
            "shares_of_time": {step: kept[step] for step in kept if step != "whole"},
            "limited_by": limited_by(taken),
            **compared(encoder.embed(patches), exact.embed(patches)),
        },
    ]


def steps(encoder: Encoder, patches: Pixels, plan: Plan) -> dict[str, float]:
    """Return the seconds of all batches: of the whole, and of each step alone."""
    device = torch.device(plan.device)
    network = cast("EagerNetwork", encoder._network)
    host = torch.from_numpy(patches)
    locked = host.pin_memory() if device.type == "cuda" else host
    there = locked.to(device)

    def again(work: Callable[[], object]) -> Callable[[], object]:
        return lambda: [work() for _ in range(plan.batches)]

    def fill() -> None:
        own = torch.empty(host.shape, dtype=torch.uint8, pin_memory=locked.is_pinned())
        own.numpy()[:] = patches

    clock = partial(seconds, device=device, rounds=plan.rounds)
    wait_for(device)
    return {
        "whole": clock(lambda: list(encoder.embed_each([patches] * plan.batches))),
        "preparation": clock(again(fill)),
        "bus": clock(again(lambda: locked.to(device, non_blocking=True))),
        "launches": plan.batches
        * clock(lambda: network.encode(there), to_its_end=False),
        "gpu": clock(again(lambda: network.encode(there))),
    }


def limited_by(taken: Mapping[str, float]) -> str:
    """Say what keeps the encoder from being faster.

    Host, bus and GPU work at the same time; the longest of the three decides, unless
    even that is well below the whole.

    Args:
        taken: Seconds of `whole` and, alone, of `preparation`, `bus`, `launches`, `gpu`
            and `products`, all for the same patches.
    """
    sides = {
        "host": taken["preparation"] + taken["launches"],
        "bus": taken["bus"],
        "gpu": taken["gpu"],
    }
    longest = max(sides, key=lambda side: sides[side])
    if sides[longest] < OVERLAPPED * taken["whole"]:
        return SERIAL
    if longest == "bus":
        return "the bus"
    if longest == "host":
        prepared = taken["preparation"] >= taken["launches"]
        return "the host's preparation of patches" if prepared else LAUNCHES
    if taken["products"] >= taken["gpu"] / 2:
        return PRODUCTS
    return LAUNCHES if taken["launches"] >= 0.9 * taken["gpu"] else MEMORY


def some_weights(plan: Plan, folder: Path) -> Path:
    """Return the weights that are asked for, those of the real data, or random ones."""
    if plan.weights is not None:
        return plan.weights
    try:
        return data_folder() / WEIGHTS
    except DataError:
        with writing(folder / "random.safetensors") as part:
            save_file(ResNetTrunk().state_dict(), part)
        return folder / "random.safetensors"


def some_patches(count: int) -> Pixels:
    """Return patches of the real slide, or of noise."""
    try:
        return real_patches(count)[0]
    except DataError:
        chance = np.random.default_rng(0)
        return chance.integers(0, 256, (count, 256, 256, 3), np.uint8)
