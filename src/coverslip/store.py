"""What lies on disk: names, atomic writes, and "is this complete and made this way?".

    study/
      slides.csv
      tissue/<slide_id>.geojson, tissue/thumbnails/<slide_id>.jpg
      20x_256px_0px_overlap/patches/<slide_id>_patches.h5
      20x_256px_0px_overlap/features_<encoder>/<slide_id>.h5
      runs/<name>/
      heatmaps/<slide_id>.*

Every file is written under a temporary name and moved into place, so a file that is
there is whole: killing the program at any instant loses the file in hand, no other.
"""

import errno
import json
import os
import re
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy.typing as npt

from coverslip.errors import (
    CorruptFileError,
    DataError,
    OutputError,
    ParametersDifferError,
)
from coverslip.geometry import Mpp, scale_name

FACTS = "coverslip"
"""Name of the attribute (HDF5) or member (GeoJSON) that says how a file was made."""

Facts = dict[str, Any]


def slide_id_of(path: Path) -> str:
    """Return the file name without its last extension."""
    return path.stem


def features_name(encoder: str) -> str:
    """Return the name of the folder of an encoder's features.

    What not every system takes in a name (`timm:resnet18`, `hf-hub:org/net`) is `_`.
    """
    return "features_" + re.sub(r"[^\w.+-]", "_", encoder)


@dataclass(frozen=True)
class Patching:
    """The part of a study that holds patches of one scale, size and overlap."""

    root: Path

    def patches(self, slide_id: str) -> Path:
        """Return where the coordinates of a slide lie."""
        return self.root / "patches" / f"{slide_id}_patches.h5"

    def features_folder(self, encoder: str) -> Path:
        """Return the folder of one encoder's features."""
        return self.root / features_name(encoder)

    def features(self, encoder: str, slide_id: str) -> Path:
        """Return where one slide's features lie."""
        return self.features_folder(encoder) / f"{slide_id}.h5"


@dataclass(frozen=True)
class Study:
    """The workspace folder: where everything about one cohort lies."""

    root: Path

    @property
    def slides_csv(self) -> Path:
        """Return the table of slides."""
        return self.root / "slides.csv"

    def tissue(self, slide_id: str) -> Path:
        """Return where a slide's tissue outlines lie."""
        return self.root / "tissue" / f"{slide_id}.geojson"

    def thumbnail(self, slide_id: str) -> Path:
        """Return the thumbnail with the tissue outlines drawn on it."""
        return self.root / "tissue" / "thumbnails" / f"{slide_id}.jpg"

    def patching(self, mpp: Mpp, size: int, overlap: int) -> Patching:
        """Return the folder of one way to lay patches."""
        return Patching(self.root / scale_name(mpp, size, overlap))

    def run(self, name: str) -> Path:
        """Return the folder of one training run."""
        return self.root / "runs" / name

    def heatmap(self, slide_id: str, suffix: str) -> Path:
        """Return where a slide's heatmap lies, `suffix` with its dot."""
        return self.root / "heatmaps" / f"{slide_id}{suffix}"


@contextmanager
def writing(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; move it into place when all went well.

    A file that would come out the same is left as it is, its time of change too.

    Raises:
        OutputError: The folder cannot be made or written, or the disk is full.
    """
    part = path.with_name(f".{path.name}.{socket.gethostname()}-{os.getpid()}.part")
    try:
        _make_folder(path.parent)
        _clear_dead_parts(path.parent)
        yield part
        if not _same_content(part, path):
            part.replace(path)
    except (OSError, RuntimeError) as error:
        if (code := _errno_of(error)) in _DISK_ERRORS:
            reason = f"{os.strerror(code)}): {_DISK_ERRORS[code]}"
            raise OutputError(f"{path}: cannot write ({reason}") from error
        raise
    finally:
        with suppress(OSError):  # there is none where the folder cannot be made
            part.unlink()


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileNotFoundError as error:
        raise OutputError(
            f"{folder}: cannot be made ({error.strerror}): choose another folder"
        ) from error


_DISK_ERRORS = {
    errno.EACCES: "choose a folder you may write to",
    errno.EPERM: "choose a folder you may write to",
    errno.EROFS: "choose a folder you may write to",
    errno.EIO: "check the disk",
    errno.ENOTDIR: "a file stands where the folder should be",
    errno.EEXIST: "a file stands where the folder should be",
    errno.EISDIR: "a folder stands where the file should be",
    errno.ENOSPC: "free some space and run the same command again",
    errno.EDQUOT: "free some of your quota and run the same command again",
    errno.EFBIG: "choose a disk that takes files of this size",
    errno.ENAMETOOLONG: "shorten the name",
}


def _errno_of(error: OSError | RuntimeError) -> int:
    """Return what the system said was wrong; HDF5 says it in its message only."""
    told = re.search(r"errno = (\d+)", str(error))
    return getattr(error, "errno", None) or (int(told[1]) if told else 0)


def _same_content(one: Path, other: Path) -> bool:
    if not other.is_file() or one.stat().st_size != other.stat().st_size:
        return False
    return one.read_bytes() == other.read_bytes()


def _clear_dead_parts(folder: Path) -> None:
    """Remove, once a process, what killed runs on this machine left in a folder."""
    if folder in _SWEPT:
        return
    _SWEPT.add(folder)
    for part in folder.glob(f".*.{socket.gethostname()}-*.part"):
        pid = part.name.removesuffix(".part").rpartition("-")[2]
        if pid.isdigit() and not _alive(int(pid)):
            part.unlink(missing_ok=True)


_SWEPT: set[Path] = set()


def _alive(pid: int) -> bool:
    if sys.platform == "win32":  # there, signal 0 would interrupt the process
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def write_text(path: Path, text: str) -> None:
    """Write a text file whole."""
    with writing(path) as part:
        part.write_text(text, encoding="utf-8")


def write_json(path: Path, facts: object, *, dense: bool = False) -> None:
    """Write a JSON file whole; `dense` on one line, which takes a tenth of the time."""
    indent = None if dense else 2
    write_text(path, json.dumps(facts, indent=indent, ensure_ascii=False) + "\n")


def read_json(path: Path) -> Any:  # noqa: ANN401 - JSON is anything
    """Read a JSON file.

    Raises:
        CorruptFileError: It is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise CorruptFileError(
            f"{path}: not JSON ({error}): mend or delete it"
        ) from None


def write_h5(
    path: Path,
    arrays: Mapping[str, npt.NDArray[Any]],
    facts: Facts,
    attributes: Mapping[str, Mapping[str, Any]] | None = None,
) -> None:
    """Write arrays contiguous and uncompressed, and the facts of how they were made.

    Args:
        path: The file.
        arrays: Datasets by name.
        facts: JSON-ready; kept as text in the root attribute `coverslip`.
        attributes: Attributes of datasets, by dataset and name; those of the file
            itself by the name "".
    """
    with writing(path) as part, h5py.File(part, "w") as file:
        for key, value in (attributes or {}).get("", {}).items():
            file.attrs[key] = value
        for name, array in arrays.items():
            dataset = file.create_dataset(name, data=array)
            for key, value in (attributes or {}).get(name, {}).items():
                dataset.attrs[key] = value
        file.attrs[FACTS] = json.dumps(facts)


@contextmanager
def reading_h5(path: Path) -> Iterator[h5py.File]:
    """Open an HDF5 file for reading.

    Raises:
        DataError: It is missing.
        CorruptFileError: It is half-written, damaged, lacks a dataset, or is not HDF5.
    """
    try:
        with h5py.File(path, "r") as file:
            yield file
    except FileNotFoundError:
        raise DataError(f"{path}: no such file: make it first") from None
    except (OSError, KeyError, RuntimeError) as error:
        reason = str(error).splitlines()[0].strip("'\"")
        raise CorruptFileError(
            f"{path}: damaged or half-written ({reason}): "
            "delete it and run the same command again"
        ) from None


def read_facts(path: Path) -> Facts:
    """Return how an HDF5 file was made; empty for a file of another program."""
    with reading_h5(path) as file:
        return facts_of(file)


def facts_of(file: h5py.File) -> Facts:
    """Return how an open HDF5 file was made; empty for a file of another program.

    Raises:
        CorruptFileError: What it says is damaged.
    """
    text = file.attrs.get(FACTS)
    if not isinstance(text, str):
        return {}
    try:
        return dict(json.loads(text))
    except (ValueError, TypeError) as error:
        raise CorruptFileError(
            f"{file.filename}: its attribute {FACTS} is damaged ({error}): delete it and "
            "run the same command again"
        ) from None


def check_same(path: Path, made_with: Facts, asked: Facts) -> None:
    """Refuse to reuse a file that was made with other parameters.

    Raises:
        ParametersDifferError: Some parameter differs; the message names each.
    """
    differing = [_difference(key, made_with.get(key), asked[key]) for key in asked]
    named = [text for texts in differing for text in texts]
    if named:
        more = f"; and {len(named) - _SHOWN} more" if len(named) > _SHOWN else ""
        raise ParametersDifferError(
            f"{path}: made with other parameters ({'; '.join(named[:_SHOWN])}{more}): "
            "use another --out folder, or delete what was made"
        )


_SHOWN = 5


def _difference(name: str, was: object, now: object) -> list[str]:
    """Name what differs; of two dictionaries, only the members that do."""
    was, now = _plain(was), _plain(now)
    if isinstance(was, dict) and isinstance(now, dict):
        keys = dict.fromkeys([*was, *now])
        parts = [_difference(f"{name}.{k}", was.get(k), now.get(k)) for k in keys]
        return [text for part in parts for text in part]
    return [] if was == now else [f"{name} was {was!r}, now {now!r}"]


def _plain(value: object) -> object:
    """Return a value as it looks after a trip through JSON."""
    return json.loads(json.dumps(value))
