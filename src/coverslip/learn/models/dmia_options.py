"""Options of DMIA-MIL, and its presets; the formulas are in `dmia`."""

from typing import Literal, Self

from pydantic import Field, model_validator

from coverslip.errors import OptionError
from coverslip.options import Options

Selection = Literal["maxmins", "maxs", "afs"]
"""MaxMinS: top-k and bottom-k patches; MaxS: top-k; AFS: the aggregated feature."""


class DMIAOptions(Options):
    """Options of DMIA-MIL; the reading nearest to the seed is `PRESETS["paper"]`."""

    dim: int = Field(512, ge=1, description="length of the reduced features")
    members: int = Field(
        8, ge=1, description="members K of a committee, of dim / K features each"
    )
    view: float = Field(
        0.5, gt=0, le=1, description="share of the features that a member sees"
    )
    residual_blocks: int = Field(
        0, ge=0, description="residual blocks in the reduction"
    )
    dropout: float = Field(
        0.0, ge=0, lt=1, description="share of aggregated features dropped in training"
    )
    attention: Literal["margin", "exponential", "gated", "tanh"] = Field(
        "margin", description="tier-1 attention scores"
    )
    heads: int = Field(
        1, ge=1, description="heads of gated or tanh attention, their weights averaged"
    )
    attention_dim: int = Field(
        128, ge=1, description="hidden units of gated or tanh attention in tier 1"
    )
    normaliser: Literal["softmax", "sigmoid", "entmax", "sparsemax"] = Field(
        "softmax", description="how tier-1 scores become weights"
    )
    tau: float = Field(
        0.25, gt=0, description="temperature of attention to evidence; lower is sharper"
    )
    warmup: float = Field(
        0.4,
        ge=0,
        le=1,
        description="share of the training in which tier 1 sharpens to tau",
    )
    n_pseudo_bags: int = Field(2, ge=1, description="pseudo-bags of a slide")
    selection: Selection = Field(
        "maxs", description="what tier 2 reads of a pseudo-bag"
    )
    k: int = Field(4, ge=1, description="patches selected at each end of a pseudo-bag")
    score: Literal["attention", "cam", "margin"] = Field(
        "attention", description="what patches are selected by"
    )
    instance_loss: float = Field(
        0.0, ge=0, description="weight lambda of the patches' own loss in tier 1"
    )
    key_loss: float = Field(
        0.5, ge=0, description="weight kappa of the key patches' loss in tier 1"
    )
    key_patches: int = Field(
        8, ge=1, description="patches of a slide that its label is surely told by"
    )
    tier2_grad: Literal["detach", "joint"] = Field(
        "detach", description="whether tier 2's loss also trains tier 1"
    )
    tier2: Literal["evidence", "gated"] = Field(
        "evidence", description="what tier 2 attends by: its own evidence, or gates"
    )
    tier2_attention_dim: int = Field(
        128, ge=1, description="hidden units of tier 2's gated attention"
    )
    tier1_share: float = Field(
        0.5,
        ge=0,
        le=1,
        description="share w of tier 1 in a token's evidence, where tier 2 has evidence",
    )

    @model_validator(mode="after")
    def _members_divide_dim(self) -> Self:
        if self.dim % self.members:
            raise OptionError(
                f"DMIAOptions: members={self.members} does not divide dim={self.dim}: "
                "use a multiple, or members=1"
            )
        return self

    @model_validator(mode="after")
    def _heads_belong_to_a_scorer(self) -> Self:
        if self.attention in {"margin", "exponential"} and self.heads != 1:
            raise OptionError(
                f"DMIAOptions: heads={self.heads}: {self.attention} attention has one "
                "head a class already: use heads=1, or gated or tanh attention"
            )
        return self


class DTFDOptions(Options):
    """Options of DTFD-MIL."""

    dim: int = Field(512, ge=1, description="length of the reduced features")
    residual_blocks: int = Field(
        0, ge=0, description="residual blocks in the reduction"
    )
    dropout: float = Field(
        0.0, ge=0, lt=1, description="share of the classifiers' input dropped"
    )
    attention_dim: int = Field(
        128, ge=1, description="hidden units of attention in both tiers"
    )
    n_pseudo_bags: int = Field(4, ge=1, description="pseudo-bags of a slide")
    distill: Literal["afs", "maxs", "maxmins", "mas"] = Field(
        "afs", description="what tier 2 reads of a pseudo-bag"
    )
    k: int = Field(1, ge=1, description="patches taken at each end of a pseudo-bag")

    def as_dmia(self) -> DMIAOptions:
        """Return the same as options of DMIA-MIL, none left to DMIA's defaults."""
        return DMIAOptions(
            dim=self.dim,
            members=1,
            view=1.0,
            residual_blocks=self.residual_blocks,
            dropout=self.dropout,
            attention="gated",
            heads=1,
            attention_dim=self.attention_dim,
            normaliser="softmax",
            tau=1.0,
            warmup=0.0,
            n_pseudo_bags=self.n_pseudo_bags,
            selection="maxs" if self.distill == "mas" else self.distill,
            k=self.k,
            score="attention" if self.distill == "mas" else "cam",
            instance_loss=0.0,
            key_loss=0.0,
            key_patches=1,
            tier2="gated",
            tier1_share=0.0,
            tier2_grad="detach",
            tier2_attention_dim=self.attention_dim,
        )


PAPER = DMIAOptions(
    members=1,
    view=1.0,
    attention="exponential",
    tau=1.0,
    warmup=0.0,
    n_pseudo_bags=4,
    selection="afs",
    k=1,
    key_loss=0.0,
    key_patches=1,
    tier2="gated",
    tier1_share=0.0,
)
PRESETS = {
    "dmia": DMIAOptions(),
    "paper": PAPER,
    "dmia_l2": PAPER.replace(instance_loss=0.1),
}
"""The defaults; the literal reading of the seed; that with Shi et al.'s instance loss."""
