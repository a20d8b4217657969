"""How a study is shown: the options, apart from the viewer, which loads PyTorch."""

from typing import Literal

from pydantic import Field

from coverslip.options import Options

PORT = 8790
"""The port that is tried first, so that links still lead somewhere tomorrow."""


class ViewOptions(Options):
    """How a study is shown."""

    host: str = Field(
        "127.0.0.1",
        description="Name or address to listen at. Beyond this machine a token is asked for.",
    )
    port: int | None = Field(
        None,
        ge=0,
        le=65_535,
        description=f"Port; 0 takes a free one. When not given: {PORT}, or a free one.",
    )
    token: bool = Field(
        False,
        description="Ask for a token on this machine too: where others log in to it.",
    )
    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto", description="Where models are run."
    )
