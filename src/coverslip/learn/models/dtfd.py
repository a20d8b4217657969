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

from coverslip.learn.models.dmia import DMIA
from coverslip.learn.models.dmia_options import DTFDOptions


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
