"""Pixels as whole numbers: the same network, and nothing lost of them in bfloat16."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from coverslip.prepare.encoders.card import EFFICIENTNET_LITE0, RESNET50
from coverslip.prepare.encoders.encoder import Encoder
from coverslip.prepare.encoders.lite import EfficientNetLite0
from coverslip.prepare.encoders.resnet import ResNetTrunk
from coverslip.prepare.encoders.whole_pixels import on_whole_pixels

CARD = replace(RESNET50, input_size=64, resize=64)


def levels(count=3, side=64, seed=0):
    """Return grey levels as a network gets them: (B, 3, side, side), in [0, 255]."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, 3, side, side), generator=generator).float()


def fed(card, pixels):
    """Return what a card makes of grey levels."""
    mean, std = (torch.tensor(each).view(1, 3, 1, 1) for each in (card.mean, card.std))
    return (pixels / 255 - mean) / std


class Patchwise(nn.Module):
    """A convolution without padding, as a vision transformer begins."""

    def __init__(self, *, bias=True):
        super().__init__()
        torch.manual_seed(0)
        self.proj = nn.Conv2d(3, 1024, 16, 16, bias=bias)

    def forward(self, x):
        """Map images to the mean over all places."""
        return self.proj(x).mean((2, 3))


class SeesItTwice(Patchwise):
    """A network that looks at the image beside the convolution too."""

    def forward(self, x):
        """Add the image's mean."""
        return super().forward(x) + 10 * x.mean((1, 2, 3))[:, None]


@pytest.mark.parametrize("bias", [True, False])
def test_without_padding_it_is_the_same_network(bias):
    """To the rounding of float32; pixels are whole, and bfloat16 keeps them."""
    module = Patchwise(bias=bias).eval()
    card, whole = on_whole_pixels(CARD, module)
    pixels = levels()
    given = fed(card, pixels)
    assert (given - given.round()).abs().max() < 1e-4
    assert torch.equal(given.bfloat16().float(), given.round())
    with torch.no_grad():
        wanted, found = module(fed(CARD, pixels)), whole(given)
    assert torch.allclose(found, wanted, atol=1e-5)


@pytest.mark.parametrize(
    ("card", "network"),
    [(CARD, ResNetTrunk), (EFFICIENTNET_LITE0, EfficientNetLite0)],
)
def test_padding_moves_features_by_less_than_bfloat16_does(card, network):
    """Half a grey level on the border, no more; the module given stays as it was."""
    module = network().eval()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    moved_card, whole = on_whole_pixels(card, module)
    assert moved_card != card
    pixels = levels(side=64)
    with torch.no_grad():
        wanted, found = module(fed(card, pixels)), whole(fed(moved_card, pixels))
    assert (found - wanted).norm() < 0.002 * wanted.norm()
    after = module.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())


def test_other_weights_are_shared_not_copied():
    """A network of gigabytes stays one."""
    module = ResNetTrunk()
    _, whole = on_whole_pixels(CARD, module)
    assert whole.layer3[5].conv3.weight is module.layer3[5].conv3.weight
    assert whole.conv1.weight is not module.conv1.weight


@pytest.mark.parametrize(
    "module", [SeesItTwice(), nn.Sequential(nn.AvgPool2d(4), nn.Conv2d(3, 8, 16))]
)
def test_networks_that_begin_otherwise_are_left_alone(module):
    """Something else than one convolution sees the image."""
    assert on_whole_pixels(CARD, module) == (CARD, module)


def test_an_encoder_in_fewer_bits_begins_so(monkeypatch):
    """The image that reaches the first convolution is whole, so bf16 rounds nothing."""
    module, seen = Patchwise(), []
    forward = nn.Conv2d.forward
    encoder = Encoder(CARD, module, device="cpu", precision="bf16")
    monkeypatch.setattr(
        nn.Conv2d, "forward", lambda self, x: seen.append(x) or forward(self, x)
    )
    encoder.embed(np.arange(3 * 64 * 64).reshape(1, 64, 64, 3).astype(np.uint8))
    middle = (255 * torch.tensor(CARD.mean)).round().int()
    found = seen[0].bfloat16()[0].permute(1, 2, 0).int() + middle
    assert torch.equal(found.reshape(-1), torch.arange(3 * 64 * 64).int() % 256)
    assert encoder.card == CARD
