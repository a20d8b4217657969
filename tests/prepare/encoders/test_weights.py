"""Reading, matching and fetching weights files; the network is never touched."""

import hashlib
import io
import os
import urllib.error
import urllib.request

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from coverslip.errors import EncoderError
from coverslip.prepare.encoders.weights import (
    fetch,
    file_hash,
    load_exactly,
    read_state,
)

URL = "https://example.org/models/small-12345678.pth"
CONTENT = b"weights"
CONTENT_HASH = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """Return the folder of downloads, empty."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    return tmp_path / "hub" / "checkpoints"


def no_network(*_args, **_options):
    """Stand for urlopen on a machine without a network."""
    raise urllib.error.URLError("Temporary failure in name resolution")


def test_the_hash_is_that_of_the_file(tmp_path):
    """The SHA-256 is the known one of the bytes `abc`."""
    path = tmp_path / "a"
    path.write_bytes(b"abc")
    assert file_hash(path).startswith("ba7816bf8f01cfea414140de5dae2223")


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


def test_offline_says_exactly_what_to_do(cache, monkeypatch):
    """Without a connection the message names the URL and --weights; no file is left."""
    monkeypatch.setattr(urllib.request, "urlopen", no_network)
    with pytest.raises(EncoderError) as caught:
        fetch(URL, CONTENT_HASH[:8])
    message = str(caught.value)
    assert message.startswith(f"{URL}: cannot be downloaded")
    assert "--weights FILE" in message
    assert "\n" not in message
    assert not cache.exists()


def test_a_download_is_kept_and_made_once(cache, monkeypatch):
    """The first call downloads, the second works offline."""
    monkeypatch.setattr(urllib.request, "urlopen", lambda *_, **__: io.BytesIO(CONTENT))
    path = fetch(URL, CONTENT_HASH[:8])
    assert path == cache / "small-12345678.pth"
    assert path.read_bytes() == CONTENT
    monkeypatch.setattr(urllib.request, "urlopen", no_network)
    assert fetch(URL, CONTENT_HASH[:8]) == path


def test_a_wrong_download_is_not_kept(cache, monkeypatch):
    """Bytes of another hash raise and leave nothing behind."""
    monkeypatch.setattr(
        urllib.request, "urlopen", lambda *_, **__: io.BytesIO(b"login")
    )
    with pytest.raises(EncoderError, match=f"not {CONTENT_HASH[:8]}"):
        fetch(URL, CONTENT_HASH[:8])
    assert list(cache.iterdir()) == []


def test_a_damaged_copy_is_told(cache):
    """A kept file of another hash raises and says to delete it."""
    cache.mkdir(parents=True)
    (cache / "small-12345678.pth").write_bytes(b"half")
    with pytest.raises(EncoderError, match=r"small-12345678\.pth: .*delete it"):
        fetch(URL, CONTENT_HASH[:8])
