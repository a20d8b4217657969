"""Networks kept on disk: built once, and then neither they nor PyTorch are loaded."""

import importlib
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from coverslip.errors import EncoderError
from coverslip.prepare.encoders import kept
from coverslip.prepare.encoders.card import RESNET50
from coverslip.prepare.encoders.kept import Unbuilt, built, kept_at
from coverslip.prepare.encoders.registry import load_encoder

pytest.importorskip("openvino", reason="the extra openvino is not installed")

ENCODE = """
import sys
import numpy as np
from pathlib import Path
from coverslip.prepare.encoders.registry import load_encoder
precision, weights, out = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
encoder = load_encoder(
    "resnet50", weights=weights, device="cpu", precision=precision, runtime="openvino"
)
rng = np.random.default_rng(0)
for side in (224, 256):
    patches = rng.integers(0, 256, (3, side, side, 3), np.uint8)
    if precision == "int8" and side == 224:
        encoder.calibrate(patches)
    np.save(out / f"{side}.npy", encoder.embed(patches))
print(*sorted({"torch", "nncf"} & set(sys.modules)))
"""


@pytest.fixture
def weights(trained, tmp_path, monkeypatch):
    """Return a file of weights, and a cache of networks of this test's own."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    path = tmp_path / "w.safetensors"
    save_file({k: v.contiguous() for k, v in trained.state_dict().items()}, path)
    return path


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_a_kept_network_needs_no_torch_and_gives_the_same(weights, tmp_path, precision):
    """To the bit; patches resized and cropped, or only cropped."""
    if precision == "int8":
        pytest.importorskip("nncf", reason="the extra openvino is not installed")
    for time in ("first", "again"):
        (tmp_path / time).mkdir()
        given = precision, str(weights), str(tmp_path / time)
        done = subprocess.run(
            [sys.executable, "-c", ENCODE, *given],
            capture_output=True,
            text=True,
            check=True,
        )
        assert ("torch" in done.stdout) == (time == "first")
    assert "nncf" not in done.stdout
    for side in (224, 256):
        first, again = (
            np.load(tmp_path / time / f"{side}.npy") for time in ("first", "again")
        )
        np.testing.assert_array_equal(first, again)


def test_other_code_of_a_network_is_another_network(tmp_path, monkeypatch):
    """The same weights and words of it, but another way through: a plugin mended."""
    source = "from torch import nn\nclass Net(nn.Identity):\n    way = {}\n"
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    places = []
    for way in (1, 22):
        (tmp_path / "of_a_plugin.py").write_text(source.format(way))
        sys.modules.pop("of_a_plugin", None)
        importlib.invalidate_caches()
        network = importlib.import_module("of_a_plugin").Net()
        assert network.way == way
        places += [kept_at(RESNET50, network), kept_at(RESNET50, network)]
    sys.modules.pop("of_a_plugin")
    assert places[0] == places[1] != places[2] == places[3]


def test_weights_of_another_network_are_told_though_one_is_kept(weights, tmp_path):
    """What is kept is another file's, and the network is built as ever."""
    load_encoder("resnet50", weights=weights, device="cpu", runtime="openvino")
    other = tmp_path / "other.safetensors"
    save_file({"a": torch.ones(1)}, other)
    with pytest.raises(EncoderError, match="not weights of this ResNetTrunk"):
        load_encoder("resnet50", weights=other, device="cpu", runtime="openvino")


def test_a_damaged_copy_is_named(weights):
    """With the remedy; it ends the command, for it is no slide's fault."""
    load_encoder("resnet50", weights=weights, device="cpu", runtime="openvino")
    (path,) = kept.torch_hub().rglob("*.bin")
    path.write_bytes(path.read_bytes()[:1000])
    again = load_encoder("resnet50", weights=weights, device="cpu", runtime="openvino")
    with pytest.raises(EncoderError, match=r"resnet50-\w+\.xml: damaged: delete it"):
        again.embed(np.zeros((1, 256, 256, 3), np.uint8))


@pytest.mark.parametrize("error", [OSError("full"), RuntimeError("iostream error")])
def test_a_copy_that_cannot_be_written_whole_is_done_without(
    tmp_path, monkeypatch, error
):
    """The network runs from memory, and nothing half is left."""
    import openvino

    def refuse(_model, path):
        path.with_suffix(".bin").write_bytes(b"half")
        raise error

    monkeypatch.setattr(openvino, "serialize", refuse)
    made = kept.keep(tmp_path / "a" / "n.xml", lambda: "a network")
    assert made.read() == "a network"
    assert list((tmp_path / "a").iterdir()) == []


def test_what_is_kept_is_named_by_all_that_makes_it(monkeypatch):
    """Weights, crop, pixels, versions and our own code; a network is not built for it."""
    unbuilt = Unbuilt(lambda: pytest.fail("built"))
    card = replace(RESNET50, weights_hash="a")

    def place(card=card, *, whole=False):
        return kept_at(card, unbuilt, whole=whole)

    names = {
        place(),
        place(replace(card, weights_hash="b")),
        place(replace(card, input_size=192)),
        place(replace(card, mean=(0.5, 0.5, 0.5))),
        place(whole=True),
    }
    assert len(names) == 5
    assert place() == place(replace(card, resize=300)), "patches are resized before"
    monkeypatch.setattr(kept, "version", lambda _package: "another")
    names.add(place())
    monkeypatch.setattr(kept, "_code", lambda: "another")
    names.add(place())
    assert len(names) == 7


def test_a_network_that_is_built_is_taken_as_it_is():
    """What another package's function returned has been built already."""
    network = torch.nn.Identity()
    assert built(network) is network
    assert built(Unbuilt(lambda: network)) is network
