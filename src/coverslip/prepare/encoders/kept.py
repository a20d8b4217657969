"""Networks that OpenVINO has traced or quantised, kept on disk (no torch here).

Making one takes longer than a small slide. They lie beside torch.hub's weights, named
by all that they were made of; where there is one, the network itself is never built,
and PyTorch never loaded.
"""

import hashlib
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from coverslip.errors import EncoderError
from coverslip.prepare.encoders.card import Card
from coverslip.prepare.encoders.published import torch_hub
from coverslip.version import __version__

if TYPE_CHECKING:
    from torch import nn

_MAKERS = ("openvino", "torch", "timm")
"""Packages that decide what a kept network is, as far as they are installed."""


@dataclass(frozen=True)
class Unbuilt:
    """A network of ours whose weights are found and hashed, and no more.

    Attributes:
        build: Makes it of them.
    """

    build: "Callable[[], nn.Module]"


def built(network: "nn.Module | Unbuilt") -> "nn.Module":
    """Return a network, built now if it is not.

    Raises:
        EncoderError: Its weights are not of this network.
    """
    return network.build() if isinstance(network, Unbuilt) else network


def kept_at(card: Card, network: "nn.Module | Unbuilt", **made: object) -> Path:
    """Return where a network is kept: another for other weights or another structure.

    Our own code counts for all: it says how networks are traced. Of a network that is not
    built it stands for the structure, and the hash of the weights' file for the weights;
    of others, such as a plugin's, the files of their classes count too.

    Args:
        card: Its facts.
        network: What is traced.
        made: What else decides what is kept.
    """
    pixels = card.input_size, card.mean, card.std
    facts = card.name, *pixels, __version__, _code(), _versions(), made
    digest = hashlib.sha256(repr(facts).encode())
    if isinstance(network, Unbuilt):
        digest.update(str(card.weights_hash).encode())
    else:
        digest.update(repr(network).encode())
        for source in _sources(network):
            digest.update(source.read_bytes())
        for name, value in network.state_dict().items():
            digest.update(name.encode() + value.cpu().contiguous().numpy().tobytes())
    name = f"{card.name}-{digest.hexdigest()[:16]}.xml"
    return torch_hub() / "coverslip" / name


@dataclass(frozen=True)
class Kept:
    """A network of OpenVINO's.

    Attributes:
        path: Where it lies.
        model: It, where it could not be kept; it is made again next time then.
    """

    path: Path
    model: Any = None

    def read(self) -> Any:  # noqa: ANN401 - OpenVINO's model
        """Return it.

        Raises:
            EncoderError: The file is damaged.
        """
        import openvino

        if self.model is not None:
            return self.model
        try:
            return openvino.Core().read_model(self.path)
        except RuntimeError:
            raise EncoderError(
                f"{self.path}: damaged: delete it, and run the same command again"
            ) from None


def keep(path: Path, make: Callable[[], Any]) -> Kept:
    """Have a network in a file, made now where there is none."""
    if path.is_file():
        return Kept(path)
    import openvino

    model = make()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=path.parent) as folder:
            fresh = Path(folder) / path.name
            openvino.serialize(model, fresh)
            for suffix in (".bin", ".xml"):  # what is looked for comes last
                fresh.with_suffix(suffix).replace(path.with_suffix(suffix))
    except (OSError, RuntimeError):  # OpenVINO's, of a full disk
        return Kept(path, model)
    return Kept(path)


def _versions() -> dict[str, str]:
    found = {}
    for package in _MAKERS:
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


def _sources(network: "nn.Module") -> list[Path]:
    """Return the files of the classes that make a network, but of `_MAKERS`."""
    names = {type(part).__module__ for part in network.modules()}
    own = [sys.modules.get(n) for n in names if n.split(".")[0] not in _MAKERS]
    files = {Path(getattr(module, "__file__", None) or "") for module in own}
    return sorted(file for file in files if file.is_file())


@cache
def _code() -> str:
    """Return a digest of the files that say what networks are, and how they are traced."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()
