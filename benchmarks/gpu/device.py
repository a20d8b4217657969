"""Which GPU it is, the most it can do, and the time that work takes on it."""

import shutil
import statistics
import subprocess
import time
from collections.abc import Callable

import torch

from coverslip import store


def card(device: str) -> store.Facts:
    """Return the card and what drives it, JSON-ready."""
    if device != "cuda":
        return {"card": "none: a trial run"}
    memory = torch.cuda.get_device_properties(0).total_memory
    return {
        "card": torch.cuda.get_device_name(0),
        "memory_gb": round(memory / 1e9, 1),
        "driver": _driver(),
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),  # type: ignore[no-untyped-call]
    }


def _driver() -> str | None:
    """Return the version of NVIDIA's driver, where its program tells it."""
    if shutil.which("nvidia-smi") is None:
        return None
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    return said.stdout.split()[0] if said.returncode == 0 else None


def wait_for(device: torch.device) -> None:
    """Return when a GPU has done all that it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def seconds(
    work: Callable[[], object],
    device: torch.device,
    rounds: int,
    *,
    to_its_end: bool = True,
) -> float:
    """Return the median seconds of some work, after one round that does not count.

    Args:
        work: What is timed.
        device: Idle when a round begins.
        rounds: Rounds that count.
        to_its_end: Wait for the device; else the clock stops when the call returns.
    """
    taken = []
    for _ in range(rounds + 1):
        wait_for(device)
        begun = time.perf_counter()
        work()
        if to_its_end:
            wait_for(device)
        taken.append(time.perf_counter() - begun)
    return statistics.median(taken[1:])


def ceiling(device: torch.device, side: int, rounds: int) -> float:
    """Return the operations a second of a large matrix product in bf16."""
    a, b = (torch.randn(side, side, device=device).to(torch.bfloat16) for _ in "ab")
    return 2 * side**3 / seconds(lambda: a @ b, device, rounds)
