"""PyTorch's files of one tensor: every kind that is met, and none that does harm."""

import io
import zipfile

import numpy as np
import pytest
import torch

from coverslip.errors import CorruptFileError, DataError, UnsafePickleError
from coverslip.interop.tensors import read_tensor, write_tensor


@pytest.mark.parametrize(
    "dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64]
)
def test_numbers_come_as_they_are(tmp_path, dtype):
    """Whatever the type, a slice or a transposed view, the values are PyTorch's."""
    whole = (torch.randn(7, 5) * 9).to(dtype)
    for tensor in (whole, whole[2:4, 1:3], whole.T, whole[:0]):
        torch.save(tensor, tmp_path / "x.pt")
        made = read_tensor(tmp_path / "x.pt")
        assert np.array_equal(made, tensor.float().numpy())
        assert made.shape == tuple(tensor.shape)


def test_what_is_written_is_what_torch_saves(tmp_path):
    """PyTorch itself reads it, carefully; and the same array gives the same bytes."""
    array = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
    write_tensor(tmp_path / "x.pt", array)
    made = torch.load(tmp_path / "x.pt", weights_only=True)  # noqa: TID251 - a peer does
    assert np.array_equal(made.numpy(), array)
    write_tensor(tmp_path / "y.pt", array)
    assert (tmp_path / "x.pt").read_bytes() == (tmp_path / "y.pt").read_bytes()


class Bomb:
    """Writes a file when it is loaded."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        """Ask the reader to open a file for writing."""
        return (open, (str(self.path), "w"))


def test_a_file_that_runs_code_is_refused(tmp_path):
    """Nothing of it is run."""
    torch.save(Bomb(tmp_path / "ran"), tmp_path / "x.pt")
    with pytest.raises(UnsafePickleError, match="nothing of it was run"):
        read_tensor(tmp_path / "x.pt")
    assert not (tmp_path / "ran").exists()


def test_a_tensor_that_reaches_beyond_its_numbers_is_refused(tmp_path):
    """A view laid over foreign memory would be read from it."""
    torch.save(torch.arange(6.0).reshape(2, 3), tmp_path / "x.pt")
    with zipfile.ZipFile(tmp_path / "x.pt") as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    data = next(name for name in content if "/data/" in name)
    content[data] = content[data][:-4]
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w") as archive:
        for name, one in content.items():
            archive.writestr(name, one)
    (tmp_path / "x.pt").write_bytes(raw.getvalue())
    with pytest.raises(CorruptFileError, match="numbers are missing"):
        read_tensor(tmp_path / "x.pt")


def test_truncated_old_missing_and_other_files(tmp_path):
    """Each gets one line that says what to do."""
    torch.save(torch.ones(3), tmp_path / "x.pt")
    whole = (tmp_path / "x.pt").read_bytes()
    (tmp_path / "x.pt").write_bytes(whole[:-30])
    with pytest.raises(CorruptFileError, match="truncated"):
        read_tensor(tmp_path / "x.pt")
    torch.save(torch.ones(3), tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    with pytest.raises(CorruptFileError, match=r"PyTorch 1\.6 or newer"):
        read_tensor(tmp_path / "old.pt")
    torch.save({"x": 1}, tmp_path / "dict.pt")
    with pytest.raises(DataError, match="holds a dict"):
        read_tensor(tmp_path / "dict.pt")
    with pytest.raises(DataError, match="no such file"):
        read_tensor(tmp_path / "none.pt")
