"""All formats by name, and which of them a folder is."""

from pathlib import Path

from coverslip.errors import DataError, OptionError
from coverslip.interop.clam import ClamFormat, PlainFormat
from coverslip.interop.exchange import FeatureSet, Format
from coverslip.interop.pickle_folder import PickleFormat
from coverslip.interop.stamp import StampFormat
from coverslip.interop.study import StudyFormat
from coverslip.interop.torchmil import TorchmilFormat
from coverslip.interop.trident import TridentFormat

FORMATS: dict[str, Format] = {
    one.name: one
    for one in (
        StudyFormat(),
        TridentFormat(),
        ClamFormat(),
        TorchmilFormat(),
        PickleFormat(),
        StampFormat(),
        PlainFormat(),
    )
}
"""In the order in which a folder is compared with them: the plainest last."""

WRITTEN = tuple(name for name in FORMATS if name != PlainFormat.name)
"""Those that are written."""


def recognise(folder: Path) -> Format | None:
    """Return the format of a folder; None when it is like no known one.

    Raises:
        DataError: There is no such folder.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder: check the path")
    return next((one for one in FORMATS.values() if one.recognise(folder)), None)


def format_of(folder: Path, name: str | None = None) -> Format:
    """Return the format that is named, or else the folder's.

    Raises:
        DataError: There is no such folder, or it is like no known format.
        OptionError: There is no format of that name.
    """
    if name is not None and name not in FORMATS:
        raise OptionError(f"{name!r} is no format: choose from {', '.join(FORMATS)}")
    found = recognise(folder)
    if name is not None:
        return FORMATS[name]
    inside = folder.absolute().parent
    if found is FORMATS[PlainFormat.name] and inside.name.endswith("_overlap"):
        raise DataError(
            f"{folder}: is inside a study or job folder: give {inside.parent} with "
            f"--features {inside.name}/{folder.name}"
        )
    if found is None:
        raise DataError(
            f"{folder}: like no known format (tried: {', '.join(FORMATS)}): give the "
            "folder that holds the program's own folders"
        )
    return found


def choose_set(folder: Path, form: Format, name: str | None = None) -> FeatureSet:
    """Return the set of features that is named, or the only one.

    Raises:
        DataError: There is none, or none of that name.
        OptionError: There are several, and none is named.
    """
    sets = form.sets(folder)
    if not sets:
        raise DataError(f"{folder}: {form.title} without features: extract them first")
    names = ", ".join(one.name for one in sets)
    if name is None and len(sets) > 1:
        raise OptionError(
            f"{folder}: several sets of features: give --features {names}"
        )
    for one in sets:
        if name in {None, one.name}:
            return one
    raise DataError(f"{folder}: no features {name}: there are {names}")
