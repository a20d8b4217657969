"""DTFD-MIL (Zhang et al., CVPR 2022): pseudo-bags, distilled to a second tier.

DMIA-MIL was made from it, so it is DMIA with other parts (formulas in `dmia`): gated
attention in tier 1, the CAM score to choose patches by, no loss on patches, and tokens
detached from tier 1, which is what the authors' two optimisers come to.

    distill    what tier 2 reads of each pseudo-bag
    afs        its aggregated feature f_m
    maxs       the h_j of the k highest CAM scores
    maxmins    the h_j of the k highest and the k lowest
    mas        the h_j of the k highest attention weights
"""

from typing import Literal

from pydantic import Field

from coverslip.learn.models.dmia import DMIA, DMIAOptions
from coverslip.options import Options


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


class DTFD(DMIA):
    """DTFD-MIL; its attribute `options` are DMIA's.

    Args:
        in_dim: Length of a feature, D.
        n_classes: Number of classes, C.
        options: The method's options.
        seed: Draws the initial weights.
    """

    def __init__(
        self,
        in_dim: int,
        n_classes: int,
        options: DTFDOptions | None = None,
        seed: int = 0,
    ) -> None:
        options = options or DTFDOptions()
        super().__init__(in_dim, n_classes, options.as_dmia(), seed)
