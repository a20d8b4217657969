"""How much a report holds: the options, apart from what loads PyTorch to write one."""

from pydantic import Field

from coverslip.options import Options


class ReportOptions(Options):
    """How much a report holds."""

    slides: int = Field(
        24, ge=0, description="test slides with pictures, the wrong ones first"
    )
    all: bool = Field(False, description="pictures of every test slide")
    patches: int = Field(
        6, ge=1, le=24, description="top patches, and bottom ones, of a slide"
    )
