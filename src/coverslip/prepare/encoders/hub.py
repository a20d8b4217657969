"""Where an encoder's weights are: given by the user, kept by the hub, or at the hub.

The cache is read as the Hugging Face hub lays it out, without its library; only a
download needs that. HF_HOME, HF_HUB_CACHE, HF_HUB_OFFLINE and HF_TOKEN mean what they
mean there. (No torch here.)
"""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from coverslip import store
from coverslip.errors import CoverslipError, EncoderError, MissingExtraError
from coverslip.prepare.encoders.card import Card
from coverslip.version import __version__

INDEX = "model.safetensors.index.json"
"""Beside weights in several files: which tensor lies in which."""

_USUAL = ("model.safetensors", "pytorch_model.bin")
_SUFFIXES = {".safetensors", ".bin", ".pth", ".pt"}
_TRUE = {"1", "ON", "YES", "TRUE"}


def find_weights(card: Card, weights: Path | None) -> tuple[Path, ...]:
    """Return the files of an encoder's weights, downloading them as a last resort.

    Args:
        card: Says what they are called, and where the hub has them.
        weights: A file, or a folder as the hub has it; None looks into the hub's cache.

    Raises:
        EncoderError: They cannot be had; the message says what to do.
        MissingExtraError: A download needs a package that is not installed.
    """
    if weights is not None:
        return local_weights(card, weights)
    found = cached(card)
    return (found if found is not None else download(card),)


def local_weights(card: Card, place: Path) -> tuple[Path, ...]:
    """Return the weights files at a path that the user gave.

    Raises:
        EncoderError: There is nothing, or a folder holds more than one candidate.
    """
    if place.is_file():
        return (place,)
    if not place.is_dir():
        raise EncoderError(f"{place}: no such file or folder: check --weights")
    for name in (*card.hub_files, INDEX, *_USUAL):
        if (place / name).is_file():
            return _parts(place / name) if name == INDEX else (place / name,)
    found = sorted(path for path in place.iterdir() if path.suffix in _SUFFIXES)
    if len(found) == 1:
        return (found[0],)
    told = ", ".join(path.name for path in found[:4]) or "none"
    raise EncoderError(
        f"{place}: which file holds the weights of {card.name}? Looked for "
        f"{' or '.join(card.hub_files or _USUAL)}, found {told}: name the file itself "
        "with --weights"
    )


def _parts(index: Path) -> tuple[Path, ...]:
    try:
        names = {str(name) for name in store.read_json(index)["weight_map"].values()}
    except (CoverslipError, KeyError, AttributeError, TypeError):
        raise EncoderError(
            f"{index}: does not say which files hold the weights: fetch the folder again"
        ) from None
    files = tuple(index.parent / Path(name).name for name in sorted(names))
    for file in files:
        if not file.is_file():
            raise EncoderError(
                f"{file}: missing, and {index.name} names it: fetch the folder again"
            )
    return files


def loaded_card(card: Card, files: Sequence[Path], weights: Path | None) -> Card:
    """Return the card of weights that are found: their hash, and where they are from.

    Args:
        card: As it is without weights.
        files: The weights.
        weights: What the user gave; None for the encoder's own.

    Raises:
        EncoderError: A file cannot be read.
    """
    card = replace(card, weights_hash=weights_digest(files))
    if weights is None:
        return card
    return replace(card, source=weights.name, licence="that of the given file")


def weights_digest(files: Sequence[Path]) -> str:
    """Return the SHA-256 of a weights file; of several, that of their names and hashes.

    Raises:
        EncoderError: A file cannot be read.
    """
    hashes = [(path.name, file_hash(path)) for path in files]
    if len(hashes) == 1:
        return hashes[0][1]
    lines = "".join(f"{digest}  {name}\n" for name, digest in sorted(hashes))
    return hashlib.sha256(lines.encode()).hexdigest()


def file_hash(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal.

    Raises:
        EncoderError: The file cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise EncoderError(
            f"{path}: cannot be read ({error.strerror}): check the path after --weights"
        ) from None


def hub_cache() -> Path:
    """Return the folder in which the hub's library keeps what it downloaded."""
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        if value := os.environ.get(name):
            return Path(value).expanduser()
    home = os.environ.get("HF_HOME") or (
        Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "huggingface"
    )
    return Path(home).expanduser() / "hub"


def cached(card: Card, names: Sequence[str] = ()) -> Path | None:
    """Return a file of a repository that the hub's cache holds; None where it does not.

    Args:
        card: Names the repository and its revision; the newest that was fetched will do.
        names: Of the file; those of the weights when none are given.
    """
    place = hub_cache() / f"models--{card.repository.replace('/', '--')}"
    if not card.repository or (folder := _any_case(place)) is None:
        return None
    newest = folder / "refs" / "main"
    commits = [card.revision] if card.revision else []
    if newest.is_file():
        commits.append(newest.read_text().strip())
    for commit in commits:
        for name in names or card.hub_files:
            if (path := folder / "snapshots" / commit / name).is_file():
                return path
    return None


def _any_case(folder: Path) -> Path | None:
    """Return a folder by its name; the hub's names differ in case from page to page."""
    if folder.is_dir():
        return folder
    if not folder.parent.is_dir():
        return None
    wanted = folder.name.lower()
    return next((p for p in folder.parent.iterdir() if p.name.lower() == wanted), None)


def offline() -> bool:
    """Say whether the user has forbidden to ask the hub."""
    names = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
    return any(os.environ.get(name, "").upper() in _TRUE for name in names)


def download(card: Card, names: Sequence[str] = ()) -> Path:
    """Fetch a file of a repository into the hub's cache, once.

    Args:
        card: Names the repository and its revision.
        names: Of the file, the first choice first; None given, those of the weights.

    Raises:
        EncoderError: It cannot be had; the message says what to do.
        MissingExtraError: The hub's library is not installed.
    """
    if not (names := names or card.hub_files):
        raise EncoderError(
            f"{card.name}: its card names no file at the hub: give one with --weights"
        )
    if offline():
        raise EncoderError(
            f"{card.name}: {names[0]} of {card.repository} is not in {hub_cache()}, and "
            f"HF_HUB_OFFLINE is set: {_by_hand(card)}, or copy that folder from a "
            "machine that has it"
        )
    try:
        import huggingface_hub
        from huggingface_hub import errors
    except ImportError:
        raise MissingExtraError(
            f"{card.name}: its weights are not in {hub_cache()}, and to fetch them "
            "huggingface_hub is needed: pip install 'coverslip[hub]', or "
            f"{_by_hand(card)}"
        ) from None
    for name in names:
        try:
            path = huggingface_hub.hf_hub_download(
                card.repository,
                name,
                revision=card.revision or None,
                library_name="coverslip",
                library_version=__version__,
            )
        except Exception as error:  # noqa: BLE001 - the library's, and its HTTP client's own
            absent = isinstance(error, errors.EntryNotFoundError)
            offline_too = isinstance(error, errors.LocalEntryNotFoundError)
            if absent and not offline_too and name != names[-1]:
                continue
            raise EncoderError(_remedy(card, name, error, errors)) from None
        return Path(path)
    raise AssertionError("the last name returns or raises")


def _remedy(card: Card, name: str, error: Exception, errors: Any) -> str:  # noqa: ANN401 - a module
    """Say in one line why a download failed, and what to do."""
    reason = " ".join(str(error).split())[:160]
    about = f"{card.name}: {name} of {card.page}"
    gated = isinstance(error, errors.GatedRepoError)
    hidden = isinstance(error, errors.RepositoryNotFoundError)
    if gated or (hidden and card.gated):
        return (
            f"{about} is given only to who accepted its licence ({card.licence}): "
            "log in there and accept it, set HF_TOKEN to a token of that account "
            f"(https://huggingface.co/settings/tokens), and repeat; or {_by_hand(card)}"
        )
    if hidden:
        return f"{about}: the hub knows no such repository: check the name"
    if isinstance(error, errors.RevisionNotFoundError):
        return (
            f"{about}: the hub no longer has commit {card.revision[:12]}: look there "
            f"what changed; to take the newest all the same, {_by_hand(card)}"
        )
    if isinstance(error, errors.LocalEntryNotFoundError):
        return (
            f"{about} cannot be fetched (no connection to the hub): repeat when there "
            f"is one, or {_by_hand(card)}"
        )
    return f"{about} cannot be fetched ({reason}): repeat, or {_by_hand(card)}"


def _by_hand(card: Card) -> str:
    return (
        f"download it from {card.page} on another machine and give the file or its "
        "folder with --weights"
    )
