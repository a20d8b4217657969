"""Options of the models of one tier, a class each; the formulas are in their modules.

They lie apart from the networks, so that a command line is made, and its mistakes are
told, without waiting for PyTorch.
"""

from typing import Literal, Self

from pydantic import Field, model_validator

from coverslip.errors import OptionError
from coverslip.options import Options


class OneTierOptions(Options):
    """Options that every model of one tier has."""

    dim: int = Field(512, ge=1, description="length of the reduced features")
    residual_blocks: int = Field(
        0, ge=0, description="residual blocks in the reduction"
    )
    dropout: float = Field(
        0.0, ge=0, lt=1, description="share of the classifier's input dropped"
    )


class MeanOptions(OneTierOptions):
    """Options of the mean embedding."""


class MaxOptions(OneTierOptions):
    """Options of the max embedding."""


class InstanceMaxOptions(OneTierOptions):
    """Options of instance max."""


class ABMILOptions(OneTierOptions):
    """Options of attention-based MIL, plain and gated."""

    attention_dim: int = Field(128, ge=1, description="hidden units of attention")


class LossAttentionOptions(OneTierOptions):
    """Options of loss-based attention."""

    instance_loss: float = Field(
        0.1, ge=0, description="weight lambda of the patches' own loss"
    )


class MonotoneOptions(OneTierOptions):
    """Options of the monotone head."""

    pool: Literal["logsumexp", "max"] = Field(
        "logsumexp", description="how patches' log odds make the slide's"
    )
    tau: float = Field(
        1.0, gt=0, description="temperature: towards 0 the strongest patch decides"
    )
    expected_patches: int = Field(
        500, ge=1, description="logsumexp starts undecided about so many patches"
    )


class CLAMOptions(OneTierOptions):
    """Options of CLAM-SB and CLAM-MB; the defaults are the authors' small model."""

    dropout: float = Field(
        0.0, ge=0, lt=1, description="share of the reduced features dropped"
    )
    attention_dim: int = Field(256, ge=1, description="hidden units of attention")
    k: int = Field(8, ge=1, description="patches labelled at each end of the attention")
    bag_weight: float = Field(
        0.7,
        gt=0,
        lt=1,
        description="weight of the bag's loss; the patches' has the rest",
    )
    instance_loss: Literal["ce", "svm"] = Field(
        "ce", description="loss of a labelled patch: cross entropy or smooth SVM"
    )
    subtyping: bool = Field(
        False, description="also teach what is not of a class: they exclude each other"
    )


class DSMILOptions(OneTierOptions):
    """Options of DSMIL; the defaults are the authors' for CAMELYON16."""

    query_dim: int = Field(128, ge=1, description="length of a query")
    one_output: bool = Field(
        True, description="two classes share one output, the last class's"
    )


class TransMILOptions(OneTierOptions):
    """Options of TransMIL; the defaults are the authors'."""

    heads: int = Field(8, ge=1, description="heads of each layer; they divide dim")
    landmarks: int | None = Field(
        None, ge=1, description="landmarks of Nyström attention; none: dim / 2"
    )
    iterations: int = Field(6, ge=1, description="steps towards its pseudo-inverse")
    dropout: float = Field(
        0.1, ge=0, lt=1, description="share of each layer's update dropped in training"
    )

    @model_validator(mode="after")
    def _heads_divide_dim(self) -> Self:
        if self.dim % self.heads:
            raise OptionError(
                f"TransMILOptions: heads={self.heads} do not divide dim={self.dim}: "
                "choose a dim that is a multiple of heads"
            )
        return self


class ACMILOptions(OneTierOptions):
    """Options of ACMIL; the defaults are the paper's for CAMELYON16."""

    attention_dim: int = Field(128, ge=1, description="hidden units of attention")
    branches: int = Field(5, ge=2, description="branches of attention, K")
    masked_patches: int = Field(
        10, ge=0, description="highest scores of a branch that may be hidden (STKIM)"
    )
    mask_share: float = Field(
        0.6, ge=0, lt=1, description="share of them that is hidden in training"
    )
    aem: float = Field(
        0.0, ge=0, description="weight of the negative entropy of attention (AEM)"
    )
