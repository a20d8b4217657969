"""What an export holds: the options, apart from what loads PyTorch to write one."""

from typing import Literal

from pydantic import Field

from coverslip.options import Options

FORMATS = ("geojson", "asap", "tiff", "likelihood")
"""What can be exported."""


class ExportOptions(Options):
    """What is exported of a slide, and in which frame."""

    hot_by: Literal["probability", "attention"] = Field(
        "probability",
        description="what makes a patch hot: its probability of a class, or attention as "
        "a share of the slide's highest",
    )
    hot_from: float = Field(
        0.5, gt=0, le=1, description="the least of that in a hot region"
    )
    patches: Literal["tile", "detection", "none"] = Field(
        "tile", description="geojson: what patches are in QuPath, or none of them"
    )
    origin: Literal["level0", "bounds"] = Field(
        "level0",
        description="where (0, 0) of geojson and tiff is: the corner of level 0, or that "
        "of the scanned part, to which QuPath crops slides such as MRXS",
    )
    device: str = Field("auto", description="where the model runs")
    pack: bool = Field(
        False, description="geojson: write .geojson.gz, a sixth of the size"
    )
