"""How a model is trained: the options, apart from the training, which loads PyTorch."""

from typing import Literal

from pydantic import Field

from coverslip.options import Options


class TrainOptions(Options):
    """How a model is trained."""

    epochs: int = Field(100, ge=1, description="most passes over the training slides")
    patience: int | None = Field(
        20, ge=1, description="stop after so many epochs without a better validation"
    )
    always: float = Field(
        0.4, ge=0, le=1, description="share of the epochs that patience does not cut"
    )
    lr: float = Field(3e-4, gt=0, description="learning rate of Adam")
    weight_decay: float = Field(1e-4, ge=0, description="weight decay of Adam")
    drop_at: float = Field(
        0.5, gt=0, le=1, description="share of the epochs after which the rate falls"
    )
    drop_by: float = Field(0.2, gt=0, le=1, description="what it is multiplied by then")
    clip: float = Field(5.0, gt=0, description="largest gradient norm of a module")
    partitions: int = Field(
        10, ge=1, description="partitions that a prediction averages (R)"
    )
    seed: int = Field(0, ge=0, description="draws weights, order and pseudo-bags")
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="where it runs")
    precision: Literal["fp32", "bf16"] = Field(
        "fp32", description="arithmetic of the reduction in training"
    )
    slides_per_step: int = Field(1, ge=1, description="slides of a step, in one pass")


PAPER = {"epochs": 200, "patience": None, "lr": 1e-4, "weight_decay": 1e-4}
"""The seed's budget, after DTFD-MIL: all 200 epochs, the rate x 0.2 at half."""
