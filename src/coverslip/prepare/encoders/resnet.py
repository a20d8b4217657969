"""ResNet-50 cut after its third stage: the seed's encoder, 1024 numbers a patch.

He et al. 2016 (arXiv:1512.03385), in torchvision's key names. Two layouts of a stage's
first block are about: the paper's has the stride on its first 1x1 convolution, and
torchvision's ("v1.5") on the 3x3. The weights fit both and mean something in one only.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from coverslip.errors import EncoderError
from coverslip.prepare.encoders.folding import fold_batch_norm
from coverslip.prepare.encoders.published import imagenet_resnet50
from coverslip.prepare.encoders.weights import load_exactly, read_state

StrideOn = Literal["3x3", "1x1"]


class Bottleneck(nn.Module):
    """Three convolutions, narrow in the middle, added to a shortcut.

    Seed section 2.1, `Bottleneck_Baseline`.

    Args:
        channels: Channels that come in.
        width: Channels of the first two convolutions; four times as many go out.
        stride: 2 halves the side.
        stride_on: Which convolution carries the stride.
    """

    expansion = 4

    def __init__(
        self, channels: int, width: int, stride: int = 1, stride_on: StrideOn = "3x3"
    ) -> None:
        super().__init__()
        out = width * self.expansion
        first, second = (stride, 1) if stride_on == "1x1" else (1, stride)
        self.conv1 = nn.Conv2d(channels, width, 1, first, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, second, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, out, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out)
        self.downsample = nn.Sequential()
        if stride != 1 or channels != out:
            self.downsample.append(nn.Conv2d(channels, out, 1, stride, bias=False))
            self.downsample.append(nn.BatchNorm2d(out))

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, channels, H, W) to (B, 4 width, H / stride, W / stride)."""
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        y = F.relu(self.bn2(self.conv2(y)), inplace=True)
        y = self.bn3(self.conv3(y))
        return F.relu(y + self.downsample(x), inplace=True)


class ResNetTrunk(nn.Module):
    """The stem, three stages of 3, 4 and 6 bottlenecks, and an average over the map.

    Seed section 2.1, `ResNet_Baseline`.

    Args:
        stride_on: Layout of the stages.
        seed: Of the random weights: Kaiming normal (fan out, ReLU) for convolutions;
            batch norm starts at scale 1 and shift 0.
    """

    def __init__(self, stride_on: StrideOn = "3x3", *, seed: int = 0) -> None:
        super().__init__()
        self.stride_on = stride_on
        with torch.random.fork_rng(devices=[]):  # the global generator stays as it is
            self.conv1 = nn.Conv2d(3, 64, 7, 2, padding=3, bias=False)
            self.bn1 = nn.BatchNorm2d(64)
            self.maxpool = nn.MaxPool2d(3, 2, padding=1)
            self.layer1 = _stage(64, 64, 3, 1, stride_on)
            self.layer2 = _stage(256, 128, 4, 2, stride_on)
            self.layer3 = _stage(512, 256, 6, 2, stride_on)
            self.avgpool = nn.AdaptiveAvgPool2d(1)
        _initialise(self, torch.Generator().manual_seed(seed))

    def forward(self, x: Tensor) -> Tensor:
        """Map images (B, 3, H, W), each side at least 32 pixels, to (B, 1024)."""
        x = self.maxpool(F.relu(self.bn1(self.conv1(x)), inplace=True))
        x = self.layer3(self.layer2(self.layer1(x)))
        return torch.flatten(self.avgpool(x), 1)


def _stage(
    channels: int, width: int, blocks: int, stride: int, stride_on: StrideOn
) -> nn.Sequential:
    out = width * Bottleneck.expansion
    return nn.Sequential(
        Bottleneck(channels, width, stride, stride_on),
        *(Bottleneck(out, width) for _ in range(blocks - 1)),
    )


def _initialise(module: nn.Module, generator: torch.Generator) -> None:
    for part in module.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.kaiming_normal_(
                part.weight, mode="fan_out", nonlinearity="relu", generator=generator
            )
        elif isinstance(part, nn.BatchNorm2d):
            part.reset_parameters()


def resnet50_trunk(
    weights: Path | Literal["imagenet"] | None = None,
    *,
    stride_on: StrideOn | None = None,
    seed: int = 0,
) -> ResNetTrunk:
    """Make the trunk; seed section 2.1, `resnet50_baseline`.

    Args:
        weights: None for random ones; "imagenet" for torchvision's IMAGENET1K_V1,
            downloaded once; or a file, `.safetensors` or a PyTorch state dict, whose
            fourth stage and classifier are ignored.
        stride_on: Layout; None takes the one in the file's metadata, else "3x3".
        seed: Of the random weights.

    Raises:
        EncoderError: The weights cannot be had, or are not of this network.
    """
    if weights is None:
        return ResNetTrunk(stride_on or "3x3", seed=seed)
    path = imagenet_resnet50() if weights == "imagenet" else Path(weights)
    state, metadata = read_state(path)
    trunk = ResNetTrunk(stride_on or _layout(path, metadata))
    load_exactly(trunk, state, path, ignored=("layer4.", "fc."))
    return trunk


def build(files: Sequence[Path]) -> nn.Module:
    """Make the trunk of a weights file for the registry, batch norm folded.

    Raises:
        EncoderError: As `resnet50_trunk`.
    """
    (path,) = files
    return fold_batch_norm(resnet50_trunk(path))


def _layout(path: Path, metadata: dict[str, str]) -> StrideOn:
    match metadata.get("stride_on", "3x3"):
        case "3x3":
            return "3x3"
        case "1x1":
            return "1x1"
        case other:
            raise EncoderError(
                f"{path}: its metadata says stride_on={other!r}: write '3x3' or '1x1'"
            )
