"""Tensors that PyTorch saved: `.pt` files of one tensor, read without running them.

Such a file is a ZIP archive with a pickle and raw numbers. PyTorch's own careful reader
could be talked into running code until version 2.6, so this one admits one thing: a
tensor of numbers in the archive itself. Writing one is a format of others.

Source: the layout of `torch.save` since PyTorch 1.6, `torch/serialization.py`.
"""

import io
import math
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from coverslip.errors import CorruptFileError, DataError, UnsafePickleError
from coverslip.interop.pickles import DAMAGE
from coverslip.store import writing

_KINDS = {
    "FloatStorage": "<f4",
    "DoubleStorage": "<f8",
    "HalfStorage": "<f2",
    "BFloat16Storage": "<u2",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
}
Array = npt.NDArray[Any]


class _Storage:
    """Stands in for a storage class of PyTorch: a name, nothing more."""

    def __init__(self, kind: str) -> None:
        self.kind = kind


def _rebuild(
    storage: tuple[Array, str], offset: int, size: Sequence[int], stride: Sequence[int],
    *_: object,
) -> Array:  # fmt: skip
    numbers, kind = storage
    last = offset + sum((n - 1) * s for n, s in zip(size, stride, strict=True))
    if math.prod(size) == 0:
        numbers = np.empty(tuple(size), numbers.dtype)
    elif min(offset, *size, *stride) < 0 or last >= len(numbers):
        raise ValueError("reaches beyond its numbers")
    else:
        steps = tuple(s * numbers.itemsize for s in stride)
        view = np.lib.stride_tricks.as_strided(numbers[offset:], tuple(size), steps)
        numbers = np.array(view)
    if kind == "BFloat16Storage":
        return (numbers.astype(np.uint32) << 16).view(np.float32)
    return numbers


class _TensorOnly(pickle.Unpickler):
    """Admits one tensor; imports nothing."""

    def __init__(self, data: bytes, numbers: Callable[[str], bytes]) -> None:
        super().__init__(io.BytesIO(data), encoding="utf-8")
        self._numbers = numbers

    def find_class(self, module: str, name: str) -> Any:  # noqa: ANN401 - a stand-in
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return lambda *parts: _rebuild(*parts)
        if (module, name) == ("collections", "OrderedDict"):
            return lambda: OrderedDict()
        if module == "torch" and name in _KINDS:
            return _Storage(name)
        raise UnsafePickleError(f"asks for {module}.{name}")

    def persistent_load(self, told: Any) -> tuple[Array, str]:  # noqa: ANN401 - a pickle holds anything
        word, storage, key, _, count = told
        if word != "storage" or not isinstance(storage, _Storage):
            raise UnsafePickleError("asks for objects kept outside of it")
        numbers = np.frombuffer(self._numbers(str(key)), _KINDS[storage.kind])
        if len(numbers) < count:
            raise EOFError("numbers are missing")
        return numbers, storage.kind


def read_tensor(path: Path) -> Array:
    """Read the tensor in a `.pt` file; bfloat16 becomes float32.

    Raises:
        DataError: The file is missing, or from before PyTorch 1.6.
        UnsafePickleError: It holds more than a tensor; nothing of it was run.
        CorruptFileError: It is truncated or damaged.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            content = _content(archive)
    except FileNotFoundError:
        raise DataError(f"{path}: no such file: check the path") from None
    except UnsafePickleError as error:
        raise UnsafePickleError(
            f"{path}: {error}, more than a tensor; nothing of it was run: save its "
            "features as HDF5 where you trust the file"
        ) from None
    except (zipfile.BadZipFile, OSError, NotImplementedError, *DAMAGE) as error:
        raise CorruptFileError(
            f"{path}: truncated, or not a tensor of PyTorch 1.6 or newer "
            f"({str(error) or type(error).__name__}): make it again, or use its .h5 file"
        ) from None
    if not isinstance(content, np.ndarray):
        raise DataError(
            f"{path}: holds a {type(content).__name__}, not a tensor: leave it out"
        )
    return content


def _content(archive: zipfile.ZipFile) -> Any:  # noqa: ANN401 - a pickle holds anything
    names = [name for name in archive.namelist() if name.endswith("/data.pkl")]
    if len(names) != 1:
        raise zipfile.BadZipFile("no data.pkl in it")
    root = names[0].removesuffix("data.pkl")
    order = f"{root}byteorder"
    if order in archive.namelist() and archive.read(order) != b"little":
        raise ValueError("its bytes are in big-endian order")
    data = archive.read(names[0])
    return _TensorOnly(data, lambda key: archive.read(f"{root}data/{key}")).load()


def write_tensor(path: Path, array: Array) -> None:
    """Write an array as PyTorch saves a tensor, for CLAM's loader."""
    import torch

    tensor = torch.from_numpy(np.ascontiguousarray(array))
    with writing(path) as part, part.open("wb") as file:
        torch.save(tensor, file)
