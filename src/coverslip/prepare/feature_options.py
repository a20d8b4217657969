"""Which encoder makes features, and how: the options, apart from the encoders."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from coverslip.options import Options
from coverslip.slides.reading import Reduce

if TYPE_CHECKING:  # it loads torch
    from coverslip.prepare.encoders.encoder import Encoder


class FeatureOptions(Options):
    """Which encoder turns patches into features, and how it runs."""

    encoder: str = Field("resnet50", description="name of the encoder")
    weights: Path | None = Field(
        None, description="local file of the encoder's weights"
    )
    resize: int | None = Field(
        None,
        ge=8,
        description="side before the crop; the encoder's card when not given",
    )
    crop: int | None = Field(
        None, ge=8, description="side of the centre crop; the card's when not given"
    )
    batch_size: int = Field(64, ge=1, description="patches at once")
    workers: int = Field(4, ge=1, description="threads that read patches")
    reduce: Reduce = Field(
        "area",
        description="how finer pixels become a patch's: averaged (area), or decoded at "
        "half size (half) where the level is just twice as fine: faster, inexact",
    )
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="where it runs")
    precision: Literal["fp32", "bf16", "fp16", "int8"] = Field(
        "fp32",
        description="arithmetic of the encoder; fp16 on a GPU only, int8 on a CPU only",
    )
    runtime: Literal["auto", "torch", "compile", "openvino"] = Field(
        "auto",
        description="what runs the encoder; auto: OpenVINO on a CPU, where installed, "
        "else torch",
    )

    def load(self) -> "Encoder":
        """Load the encoder that these options name."""
        # the encoders' registry is not small, and tissue and patches need none of it
        from coverslip.prepare.encoders.registry import load_encoder

        return load_encoder(
            self.encoder,
            weights=self.weights,
            device=self.device,
            precision=self.precision,
            runtime=self.runtime,
            resize=self.resize,
            crop=self.crop,
        )
