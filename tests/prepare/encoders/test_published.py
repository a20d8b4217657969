"""Published weights: fetched once, checked, and kept where torch looks for them."""

import hashlib
import io
import urllib.error
import urllib.request

import pytest
import torch

from coverslip.errors import EncoderError
from coverslip.prepare.encoders.published import fetch, torch_hub

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


def test_torchs_folder_is_the_one_that_torch_uses(monkeypatch, tmp_path):
    """Found without torch, with and without TORCH_HOME."""
    for variable in ("TORCH_HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(variable, str(tmp_path / variable))
        assert str(torch_hub()) == torch.hub.get_dir()
        monkeypatch.delenv(variable)
    assert str(torch_hub()) == torch.hub.get_dir()


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
