"""The lesion outlines of CAMELYON16: ASAP XML files, loose or in lesion_annotations.zip.

Nothing of a zip is unpacked but files named after a slide, under that name: paths in it
lead nowhere.
"""

import zipfile
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from coverslip.cohorts.camelyon16.facts import slide_name
from coverslip.errors import CorruptFileError, DataError
from coverslip.store import writing

_DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, KeyError)
"""What reading a zip raises that is broken, encrypted, or packed in unknown ways."""

LARGEST = 2**27
"""Bytes of one outline file; the organisers' largest has far fewer."""


@dataclass(frozen=True)
class OutlineFile:
    """Where the outlines of a slide lie.

    Attributes:
        path: An XML file, or a zip.
        member: Its name within the zip; empty for a loose file.
    """

    path: Path
    member: str = ""

    def __str__(self) -> str:
        return f"{self.path}:{self.member}" if self.member else str(self.path)

    def contents(self) -> bytes:
        """Return the bytes of the XML.

        Raises:
            DataError: It cannot be read, or is too large to be outlines.
            CorruptFileError: The zip is damaged.
        """
        try:
            if not self.member:
                return self.path.read_bytes()
            with zipfile.ZipFile(self.path) as archive, archive.open(self.member) as f:
                read = f.read(LARGEST + 1)
        except _DAMAGED as e:
            raise CorruptFileError(f"{self}: damaged ({e}): download it anew") from None
        except OSError as error:
            raise DataError(f"{self}: cannot be read ({error.strerror})") from None
        if len(read) > LARGEST:
            raise DataError(f"{self}: too large for outlines: download it anew")
        return read


def outline_files(files: Iterable[Path]) -> dict[str, OutlineFile]:
    """Find the outlines among files: those named after a slide, a loose one first.

    Returns:
        Where they lie, by slide id in lower case.

    Raises:
        CorruptFileError: A zip of annotations is damaged.
    """
    found: dict[str, OutlineFile] = {}
    files = list(files)
    for path in files:
        if path.suffix.lower() == ".xml" and (slide_id := slide_name(path.stem)):
            found.setdefault(slide_id, OutlineFile(path))
    for path in files:
        if path.suffix.lower() == ".zip" and "annotation" in path.name.lower():
            for slide_id, member in _members(path):
                found.setdefault(slide_id, OutlineFile(path, member))
    return found


def _members(path: Path) -> list[tuple[str, str]]:
    """Return (slide id, member) of the XML files in a zip that are named after a slide."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError) as error:
        raise CorruptFileError(f"{path}: damaged ({error}): download it anew") from None
    members = []
    for name in names:
        inner = PurePosixPath(name)
        if inner.suffix.lower() == ".xml" and (slide_id := slide_name(inner.stem)):
            members.append((slide_id, name))
    return members


def gather_outlines(
    outlines: Iterable[tuple[str, OutlineFile]], folder: Path
) -> dict[str, Path]:
    """Copy outlines into one folder, each under its slide's name.

    Args:
        outlines: (name of the slide, its outlines).
        folder: Where they go; a copy that is there already is left as it is.

    Returns:
        The copies by name.

    Raises:
        DataError: One cannot be read.
        OutputError: The folder cannot be written.
    """
    copies = {}
    for name, file in outlines:
        copies[name] = folder / f"{name}.xml"
        content = file.contents()
        with writing(copies[name]) as part:
            part.write_bytes(content)
    return copies
