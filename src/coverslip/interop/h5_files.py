"""Files of features by whatever program: their arrays, attributes and facts.

Attributes travel as JSON that keeps their types.
"""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from coverslip import store
from coverslip.errors import CorruptFileError, DataError
from coverslip.prepare.patches import Coordinates

Attributes = dict[str, dict[str, Any]]
"""Attributes by dataset and name, encoded; those of the file itself by ""."""

Array = npt.NDArray[Any]


def exact(array: Array, dtype: npt.DTypeLike) -> Array:
    """Return an array in another type, or as it is where that would change a value."""
    with np.errstate(over="ignore", invalid="ignore"):
        other = array.astype(dtype)
    return other if np.array_equal(other, array) else array


def encode(value: Any) -> Any:  # noqa: ANN401 - HDF5's, then JSON's
    """Return an attribute of HDF5 as JSON that keeps its type."""
    if isinstance(value, str):
        return value
    if isinstance(value, bytes | np.bytes_):
        return {"bytes": bytes(value).decode("latin1")}
    array = np.asarray(value)
    if array.dtype.kind not in "biuf":
        return {"text": [str(one) for one in array.ravel()]}
    return {"dtype": array.dtype.str, "value": array.tolist()}


def decode(value: Any) -> Any:  # noqa: ANN401 - JSON's, then HDF5's
    """Return what `encode` took."""
    if not isinstance(value, dict):
        return value
    if "bytes" in value:
        return np.bytes_(value["bytes"].encode("latin1"))
    if "text" in value:
        return value["text"]
    array = np.asarray(value["value"], np.dtype(value["dtype"]))
    return array if array.ndim else array[()]


def read_h5(
    path: Path, features: str = "features"
) -> tuple[dict[str, Array], Attributes, store.Facts]:
    """Read all arrays of a file of features, their attributes, and its facts.

    A leading dimension of 1 is taken off, as some programs write it.

    Args:
        path: The file.
        features: What it calls the features.

    Raises:
        DataError: It is missing, or has no features or other shapes than it should.
        CorruptFileError: It is damaged.
    """
    with store.reading_h5(path) as file:
        facts = store.facts_of(file)
        if features not in file:
            raise DataError(
                f"{path}: no {features} in it (it has "
                f"{', '.join(file) or 'nothing'}): leave it out"
            )
        arrays = {
            name: np.asarray(data[()])
            for name, data in file.items()
            if isinstance(data, h5py.Dataset)
        }
        attributes = {name: _told(file[name]) for name in arrays}
        attributes[""] = {k: v for k, v in _told(file).items() if k != store.FACTS}
    for name in {features, "coords"} & set(arrays):
        if arrays[name].ndim == 3 and len(arrays[name]) == 1:
            arrays[name] = arrays[name][0]
    check_shapes(path, arrays[features], arrays.get("coords"))
    return arrays, attributes, facts


def _told(thing: Any) -> dict[str, Any]:  # noqa: ANN401 - h5py
    return {str(key): encode(value) for key, value in thing.attrs.items()}


def check_shapes(path: Path, features: Array, coords: Array | None) -> None:
    """Refuse what is no (N, D) of real numbers, or has other coordinates than N.

    Raises:
        CorruptFileError: It is so.
    """
    sound = features.ndim == 2 and features.dtype.kind == "f"
    if coords is not None:
        sound = sound and coords.shape == (len(features), 2)
    if not sound:
        shape = None if coords is None else coords.shape
        raise CorruptFileError(
            f"{path}: features {features.dtype} {features.shape} do not go with "
            f"coordinates {shape}: make it again"
        )


def whole(path: Path, coords: Array) -> Coordinates:
    """Return coordinates as int64.

    Raises:
        DataError: Some are no whole numbers.
    """
    made = np.rint(coords).astype(np.int64)
    if not np.array_equal(made, coords):
        raise DataError(
            f"{path}: coordinates are not whole level-0 pixels: convert them first"
        )
    return made


def named(folder: Path, *endings: str, deep: bool = False) -> list[Path]:
    """Return the files with such endings in a folder, sorted; hidden ones are not."""
    if not folder.is_dir():
        return []
    found = list(folder.rglob("*") if deep else folder.iterdir())
    return sorted(
        path
        for path in found
        if path.name.endswith(endings)
        and not path.name.startswith(".")
        and path.is_file()
    )
