"""What tests of encoders share."""

import pytest
import torch
from torch import nn

from coverslip.prepare.encoders.resnet import ResNetTrunk


@pytest.fixture(scope="session")
def timm():
    """Return timm, or skip."""
    try:
        import timm
    except (ImportError, RuntimeError) as error:  # RuntimeError: torchvision of another
        pytest.skip(f"timm is not here ({error}): pip install 'coverslip[hub]'")
    return timm


@pytest.fixture(scope="session")
def trained():
    """Return a trunk whose batch norms do something, as after training."""
    trunk = ResNetTrunk(seed=3).eval()
    draw = torch.Generator().manual_seed(4)
    for part in trunk.modules():
        if isinstance(part, nn.BatchNorm2d):
            for values, low, high in (
                (part.running_mean, -0.5, 0.5),
                (part.running_var, 0.5, 2.0),
                (part.weight.data, 0.3, 0.9),
                (part.bias.data, -0.3, 0.3),
            ):
                values.uniform_(low, high, generator=draw)
    return trunk
