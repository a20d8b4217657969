"""Reading and matching weights files; the network is never touched."""

import os

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from coverslip.errors import EncoderError
from coverslip.prepare.encoders.weights import load_exactly, read_state


def test_both_formats_are_read_and_the_prefix_dropped(tmp_path):
    """Files of safetensors (with metadata) and .pth give the same tensors by bare key."""
    state = {"module.a.weight": torch.arange(3.0), "module.a.bias": torch.ones(2)}
    save_file(state, tmp_path / "w.safetensors", {"stride_on": "1x1"})
    torch.save(state, tmp_path / "w.pth")
    safe, metadata = read_state(tmp_path / "w.safetensors")
    plain, nothing = read_state(tmp_path / "w.pth")
    assert (metadata, nothing) == ({"stride_on": "1x1"}, {})
    for read in (safe, plain):
        assert read.keys() == {"a.weight", "a.bias"}
        assert read["a.weight"].tolist() == [0, 1, 2]


@pytest.mark.parametrize("name", ["w.safetensors", "w.pth"])
@pytest.mark.parametrize("content", [b"", b"no weights in here", None])
def test_files_that_are_not_weights_are_named(tmp_path, name, content):
    """An empty, foreign or missing file raises with its name."""
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(EncoderError, match=rf"{name}: not a readable weights file"):
        read_state(tmp_path / name)


def test_a_truncated_file_is_named(tmp_path):
    """A half-copied .pth raises with its name."""
    path = tmp_path / "w.pth"
    torch.save({"a": torch.zeros(1000)}, path)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(EncoderError, match="w.pth: not a readable weights file"):
        read_state(path)


class Payload:
    """Makes a folder when unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


def test_a_pickle_that_carries_code_is_refused_and_not_run(tmp_path):
    """Only tensors are read: a payload in a .pth raises, and has not run."""
    torch.save({"a": Payload(str(tmp_path / "ran"))}, tmp_path / "w.pth")
    with pytest.raises(EncoderError, match=r"w\.pth"):
        read_state(tmp_path / "w.pth")
    assert not (tmp_path / "ran").exists()


def test_a_checkpoint_around_the_state_is_refused(tmp_path):
    """A dict of other things than tensors says what is expected."""
    torch.save({"epoch": 3, "state_dict": {}}, tmp_path / "w.pth")
    with pytest.raises(EncoderError, match="w.pth: not a state dict"):
        read_state(tmp_path / "w.pth")


def test_a_state_inside_a_checkpoint_is_found(tmp_path):
    """Under `model` or `state_dict`, whatever lies beside it."""
    for key in ("model", "state_dict"):
        torch.save({"epoch": 3, key: {"module.a": torch.ones(2)}}, tmp_path / "w.pth")
        state, _ = read_state(tmp_path / "w.pth")
        assert state["a"].tolist() == [1, 1]


def test_matching_states_are_copied_and_counts_ignored(tmp_path):
    """All weights arrive; ignored prefixes and batch counts may be there or not."""
    module = nn.Sequential(nn.Linear(2, 1), nn.BatchNorm1d(1))
    state = {
        key: torch.full_like(value, 7)
        for key, value in module.state_dict().items()
        if not key.endswith("num_batches_tracked")
    }
    load_exactly(
        module, {**state, "fc.weight": torch.ones(1)}, tmp_path, ignored=["fc."]
    )
    assert module[0].weight.tolist() == [[7, 7]]
    assert module[1].running_var.tolist() == [7]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"weight": None}, "weight missing"),
        ({"extra": torch.ones(1)}, "extra unexpected"),
        ({"bias": torch.ones(9)}, "bias of another shape"),
        ({"weight": None, "w": torch.ones(1)}, "weight missing; w unexpected"),
        (dict.fromkeys("abcde", torch.ones(1)), "a, b, c and 2 more unexpected"),
    ],
)
def test_states_that_do_not_match_name_keys_and_file(tmp_path, change, told):
    """A missing, left-over or misshapen weight names the file and some keys."""
    module = nn.Linear(2, 1)
    state = {**module.state_dict(), **change}
    state = {key: value for key, value in state.items() if value is not None}
    with pytest.raises(EncoderError, match=rf"w\.pth: .*Linear \({told}\)"):
        load_exactly(module, state, tmp_path / "w.pth")
