"""How large the demo is: the options, apart from what it runs, which loads PyTorch."""

from pydantic import Field

from coverslip.options import Options


class DemoOptions(Options):
    """How large the demo is."""

    slides: int = Field(80, ge=12, description="slides to paint")
    epochs: int = Field(60, ge=1, description="most passes over the training slides")
    seed: int = Field(0, ge=0, description="draws slides, split and model")
