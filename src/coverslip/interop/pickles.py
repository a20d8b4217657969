"""The seed's feature pickles, read without trusting them.

    {slide_id: [{"feature": float32 (D,), "file_name": str}, ...], ...}

or the list alone, in a file named after its slide. A pickle is a program: the reader
here admits plain numeric arrays and containers only. Even numpy's own classes stay
out: inert stand-ins take what the pickle says of an array, check it, and build it.

Source: `extract_save_features` of the seed (II) and DTFD-MIL's merged dictionaries.
"""

import pickle
import re
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from coverslip.errors import CorruptFileError, DataError, UnsafePickleError
from coverslip.prepare.export import Coordinates, coords_of_names
from coverslip.store import slide_id_of, writing

PROTOCOL = 4
"""Of what is written: every Python 3 reads it."""


class SlideFeatures(NamedTuple):
    """One slide's part of a pickle.

    Attributes:
        features: (N, D) float32.
        names: File name of each patch, as the pickle has it.
        coords: (N, 2) level-0 top-left corners (x, y); None unless every name tells.
    """

    features: npt.NDArray[np.float32]
    names: list[str]
    coords: Coordinates | None


def read_pickle_features(path: Path) -> dict[str, SlideFeatures]:
    """Read the features of one slide or of many.

    Returns:
        Features by slide id.

    Raises:
        DataError: The file is missing, or its content is laid out otherwise.
        UnsafePickleError: It asks for more than arrays; nothing of it was run.
        CorruptFileError: It is truncated, damaged, or no pickle.
    """
    content = _load(path)
    slides = content if isinstance(content, dict) else {slide_id_of(path): content}
    if not all(isinstance(name, str) for name in slides):
        raise DataError(f"{path}: its keys are not the names of slides")
    return {str(name): _slide(path, str(name), rows) for name, rows in slides.items()}


_MISFITS = (AttributeError, LookupError, RecursionError, TypeError, ValueError)


def _slide(path: Path, slide_id: str, rows: Any) -> SlideFeatures:  # noqa: ANN401 - a pickle holds anything
    try:
        vectors = [_vector(row["feature"]) for row in rows]
        names = [str(row.get("file_name", "")) for row in rows]
        features = np.stack(vectors) if vectors else np.empty((0, 0), np.float32)
    except _MISFITS:
        raise DataError(
            f"{path}: {slide_id}: not a list of "
            '{"feature": array, "file_name": text} of one length'
        ) from None
    plain_names = [PurePosixPath(name.replace("\\", "/")).name for name in names]
    return SlideFeatures(features, names, coords_of_names(plain_names))


def _vector(value: object) -> npt.NDArray[np.float32]:
    plain = value.array if isinstance(value, _Array) else value
    return np.asarray(plain, dtype=np.float32).reshape(-1)


def write_pickle_features(
    path: Path,
    slide_id: str,
    features: npt.NDArray[np.floating[Any]],
    names: Sequence[str],
) -> None:
    """Write one slide's features in the seed's layout.

    Args:
        path: The `.pkl` file.
        slide_id: The slide.
        features: (N, D); written as float32.
        names: File name of each patch.

    Raises:
        DataError: There are not as many names as features.
        OutputError: The file cannot be written.
    """
    if len(names) != len(features):
        raise DataError(f"{path}: {len(features)} features but {len(names)} names")
    rows = [
        {"feature": row, "file_name": str(name)}
        for row, name in zip(features.astype(np.float32), names, strict=True)
    ]
    with writing(path) as part, part.open("wb") as file:
        pickle.dump({slide_id: rows}, file, protocol=PROTOCOL)


class _Dtype:
    """Stands in for `numpy.dtype`; knows numbers and texts only."""

    __slots__ = ("code", "order")

    def __init__(self, code: str, *_: object) -> None:
        if not re.fullmatch(r"[iu][1248]|f[248]|b1|[SU][0-9]{1,4}", code):
            raise UnsafePickleError(f"holds an array of kind {code!r}")
        self.code, self.order = code, "="

    def __setstate__(self, state: Sequence[Any]) -> None:
        if state[1] not in ("<", ">", "|", "=") or any(state[2:5]):
            raise UnsafePickleError("holds an array of records")
        self.order = state[1]

    def array(self, raw: bytes | str) -> npt.NDArray[Any]:
        """Return the elements that bytes (texts, from Python 2) spell."""
        data = raw.encode("latin1") if isinstance(raw, str) else raw
        return np.frombuffer(data, np.dtype(self.order + self.code))


class _Array:
    """Stands in for `numpy.ndarray`; its bytes become a real array in `array`."""

    __slots__ = ("array",)

    def __init__(self, *_: object) -> None:
        self.array = np.empty(0)

    def __setstate__(self, state: Sequence[Any]) -> None:
        shape, dtype, is_fortran, raw = state[-4:]
        self.fill(raw, dtype, shape, "F" if is_fortran else "C")

    def fill(self, raw: bytes, dtype: _Dtype, shape: Any, order: Any) -> "_Array":  # noqa: ANN401 - numpy checks them
        """Build the array."""
        self.array = dtype.array(raw).reshape(shape, order=order)
        return self


def _scalar(dtype: _Dtype, raw: bytes) -> object:
    return dtype.array(raw)[0]


def _from_buffer(raw: bytes, dtype: _Dtype, shape: object, order: object) -> _Array:
    return _Array().fill(raw, dtype, shape, order)


def _encode(text: str, encoding: str) -> bytes:
    if encoding not in {"latin1", "latin-1"}:
        raise UnsafePickleError(f"asks for the encoding {encoding!r}")
    return text.encode("latin1")


def _empty_bytes() -> bytes:
    return b""


STAND_INS: dict[tuple[str, str], Callable[..., object]] = {
    ("numpy", "dtype"): _Dtype,
    ("numpy", "ndarray"): _Array,
    ("_codecs", "encode"): _encode,
    ("builtins", "bytes"): _empty_bytes,
    ("__builtin__", "bytes"): _empty_bytes,
    ("collections", "OrderedDict"): OrderedDict,
}
for _core in ("numpy.core", "numpy._core"):
    STAND_INS[f"{_core}.multiarray", "_reconstruct"] = _Array
    STAND_INS[f"{_core}.multiarray", "scalar"] = _scalar
    STAND_INS[f"{_core}.numeric", "_frombuffer"] = _from_buffer


class _ArraysOnly(pickle.Unpickler):
    """Admits containers, numbers, texts and the stand-ins; imports nothing."""

    def find_class(self, module: str, name: str) -> Callable[..., object]:
        if (stand_in := STAND_INS.get((module, name))) is None:
            raise UnsafePickleError(f"asks for {module}.{name}")

        # A pickle can set attributes of what it is given: so it is given a new thing.
        def call(*args: object) -> object:
            return stand_in(*args)

        return call

    def persistent_load(self, _: object) -> object:
        raise UnsafePickleError("asks for objects kept outside of it")


def _load(path: Path) -> Any:  # noqa: ANN401 - a pickle holds anything
    try:
        with path.open("rb") as file:
            return _ArraysOnly(file, encoding="latin1").load()
    except UnsafePickleError as error:
        raise UnsafePickleError(
            f"{path}: {error}, more than arrays and texts; nothing of it was run: "
            "save the features as HDF5 where you trust the file"
        ) from None
    except FileNotFoundError:
        raise DataError(f"{path}: no such file: check the path") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from None
    except DAMAGE as error:
        reason = str(error) or type(error).__name__
        raise CorruptFileError(
            f"{path}: truncated or no pickle ({reason}): fetch it again"
        ) from None


DAMAGE = (
    pickle.UnpicklingError,
    EOFError,
    AttributeError,
    ImportError,
    LookupError,
    MemoryError,
    OverflowError,
    RecursionError,
    TypeError,
    ValueError,
)
"""What unpickling damaged bytes was seen to raise."""
