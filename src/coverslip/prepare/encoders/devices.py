"""Where a network runs, in which arithmetic and on how many threads (no torch here).

PyTorch is asked only where there may be a GPU: to load it takes longer than all else
before the first patch.
"""

import os
import re
import sys
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, get_args

from coverslip.errors import MissingExtraError, OptionError

Device = Literal["auto", "cpu", "cuda"]
Precision = Literal["fp32", "bf16", "fp16", "int8"]
Runtime = Literal["auto", "torch", "compile", "openvino"]

_GPU_DRIVERS = (
    "/dev/nvidiactl",
    "/proc/driver/nvidia",
    "/sys/module/nvidia",
    "/dev/nvhost-gpu",  # NVIDIA's boards
    "/dev/dxg",  # inside Windows
    "/dev/kfd",  # ROCm
)
"""What Linux shows where PyTorch might find a GPU."""

_CPUINFO = Path("/proc/cpuinfo")

_INSTRUCTIONS = {
    "bf16": {"avx512_bf16", "amx_bf16", "bf16"},
    "int8": {"avx512_vnni", "avx_vnni", "amx_int8", "i8mm", "asimddp"},
}
"""By precision, the instruction sets of which any one computes in it (x86, ARM)."""


def choose_device(
    device: Device = "auto", precision: Precision = "fp32"
) -> Literal["cpu", "cuda"]:
    """Return the device to run on.

    Raises:
        OptionError: The name is unknown, there is no GPU, or fp16 is asked of a CPU.
    """
    for value, known in ((device, get_args(Device)), (precision, get_args(Precision))):
        if value not in known:
            raise OptionError(f"{value!r} is unknown: choose from {', '.join(known)}")
    has_gpu = device != "cpu" and _has_gpu(surely=device == "cuda")
    if device == "cuda" and not has_gpu:
        raise OptionError(
            "device=cuda: torch finds no GPU: use --device cpu, or install a CUDA "
            "build of torch and check nvidia-smi"
        )
    if has_gpu and precision == "int8":
        raise OptionError("precision=int8: runs on a CPU only: use --device cpu")
    if not has_gpu and precision == "fp16":
        raise OptionError(
            "precision=fp16: needs a GPU: use --precision bf16 or fp32 on a CPU"
        )
    return "cuda" if has_gpu else "cpu"


def choose_runtime(
    runtime: Runtime = "auto", device: Device = "auto", precision: Precision = "fp32"
) -> Literal["torch", "compile", "openvino"]:
    """Return what runs a network.

    Raises:
        OptionError: The name is unknown, or the device or the precision is not one of
            that runtime; or as `choose_device`.
        MissingExtraError: OpenVINO is needed and not installed.
    """
    if runtime not in get_args(Runtime):
        known = ", ".join(get_args(Runtime))
        raise OptionError(f"{runtime!r} is unknown: choose from {known}")
    on_cpu = choose_device(device, precision) == "cpu"
    if precision == "int8" and runtime in {"torch", "compile"}:
        raise OptionError("precision=int8: needs OpenVINO: use --runtime openvino")
    if runtime == "openvino" and not on_cpu:
        raise OptionError("runtime=openvino: runs on a CPU only: use --device cpu")
    if runtime == "openvino" or precision == "int8":
        require("openvino")
        return "openvino"
    if runtime == "auto":
        return "openvino" if on_cpu and find_spec("openvino") is not None else "torch"
    return runtime


def require(package: str) -> None:
    """Refuse to go on without a package of the extra `openvino`.

    Raises:
        MissingExtraError: It is not installed.
    """
    if find_spec(package) is None:
        raise MissingExtraError(
            f"{package} is not installed: pip install 'coverslip[openvino]', or use "
            "--runtime torch and --precision fp32 or bf16"
        )


def cpu_has(precision: str) -> bool:
    """Say whether this CPU has instructions for a precision; true where it cannot tell."""
    wanted, flags = _INSTRUCTIONS.get(precision), cpu_flags()
    return not wanted or not flags or bool(wanted & flags)


def precision_advice(precision: Precision, device: Device = "auto") -> str:
    """Say that bf16 saves no time on this CPU; int8 does, with or without instructions.

    Returns:
        A sentence; empty where it does, or where a GPU works.
    """
    if precision != "bf16" or cpu_has("bf16") or choose_device(device) != "cpu":
        return ""
    return (
        "this CPU has no instructions for bf16, which saves no time here and with "
        "PyTorch costs much: use fp32"
    )


def cpu_flags() -> frozenset[str]:
    """Return the names of this CPU's instruction sets, as Linux tells them; else none."""
    try:
        told = _CPUINFO.read_text(encoding="utf-8")
    except OSError:
        return frozenset()
    found = re.search(r"^(?:flags|Features)\s*:(.*)$", told, re.MULTILINE)
    return frozenset(found[1].split()) if found else frozenset()


def threads() -> int:
    """Return how many threads a network has on this machine's CPU: as many as PyTorch's.

    Where PyTorch is not loaded that is the physical cores that this process may use, or
    MKL_NUM_THREADS, else OMP_NUM_THREADS, if it is less.
    """
    if "torch" in sys.modules:
        import torch

        return torch.get_num_threads()
    cores = _physical_cores()
    for variable in ("MKL_NUM_THREADS", "OMP_NUM_THREADS"):
        given = os.environ.get(variable, "").partition(",")[0].strip()
        if given.isdecimal() and int(given):
            return min(int(given), cores)
    return cores


def _physical_cores() -> int:
    if not hasattr(os, "sched_getaffinity"):
        return os.cpu_count() or 1
    mine = os.sched_getaffinity(0)
    root = Path("/sys/devices/system/cpu")
    try:
        cores = {
            (root / f"cpu{number}/topology/thread_siblings_list").read_text()
            for number in mine
        }
    except OSError:
        return len(mine)
    return len(cores)


def _has_gpu(*, surely: bool) -> bool:
    if not surely and "torch" not in sys.modules and not _may_have_gpu():
        return False
    import torch

    return torch.cuda.is_available()


def _may_have_gpu() -> bool:
    """Say whether PyTorch should be asked for a GPU at all."""
    if not sys.platform.startswith("linux"):
        return True
    try:
        for_cpu_only = version("torch").endswith("+cpu")
    except PackageNotFoundError:
        for_cpu_only = False
    return not for_cpu_only and any(Path(path).exists() for path in _GPU_DRIVERS)
