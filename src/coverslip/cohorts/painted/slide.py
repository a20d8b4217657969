"""Paints one synthetic H&E slide whose lesions differ in structure, not in colour."""

from dataclasses import dataclass

from numpy.random import Generator
from pydantic import Field as Option
from pydantic import field_validator
from shapely.geometry import Polygon

from coverslip.cohorts.painted.glass import add_fold, add_ink, on_glass
from coverslip.cohorts.painted.layers import Stain, paint_layers
from coverslip.cohorts.painted.lesion import paint_lesions
from coverslip.cohorts.painted.regions import lay_regions
from coverslip.cohorts.painted.shapes import lesion_outlines, tissue_pieces
from coverslip.options import Options
from coverslip.slides.slide import RGB


class PaintedOptions(Options):
    """How a cohort is painted."""

    n_slides: int = Option(60, ge=1, description="How many slides.")
    size: int = Option(3072, ge=1024, description="Side of a slide, level-0 px.")
    l0_mpp: float = Option(0.5, gt=0, description="Micrometres per pixel written.")
    positive_share: float = Option(0.5, ge=0, le=1, description="Share with lesions.")
    lesion_share: tuple[float, float] = Option(
        (0.02, 0.08), description="Least and most lesion area as a share of the tissue."
    )
    fold_share: float = Option(0.4, ge=0, le=1, description="Share of folded slides.")
    ink_share: float = Option(0.4, ge=0, le=1, description="Share of inked slides.")
    seed: int = Option(0, ge=0, description="Seed of everything random.")

    @field_validator("lesion_share")
    @classmethod
    def _least_before_most(cls, share: tuple[float, float]) -> tuple[float, float]:
        if not 0 < share[0] <= share[1] < 1:
            raise ValueError("give the least, then the most, both within 0 and 1")
        return share


@dataclass(frozen=True)
class PaintedSlide:
    """One painted slide and the truth about it.

    Attributes:
        image: uint8 of shape (size, size, 3).
        tissue: Outlines of the pieces, fat vacuoles as holes, in level-0 px.
        lesions: Outlines of the lesions in level-0 px, without holes.
    """

    image: RGB
    tissue: tuple[Polygon, ...]
    lesions: tuple[Polygon, ...]


def paint_slide(
    rng: Generator, options: PaintedOptions, *, lesions: bool
) -> PaintedSlide:
    """Paint one slide.

    The same generator state gives the same slide with and without lesions, up to
    the lesions themselves: nothing else in it can tell its label.
    """
    anatomy, texture, colour, artefacts, tumour = rng.spawn(5)
    size = options.size
    tissue = tissue_pieces(anatomy, size)
    regions = lay_regions(anatomy, size, tissue)
    layers = paint_layers(texture, size, tissue, regions)
    stain = Stain.of(colour)
    image = stain.dye(layers.haematoxylin, layers.eosin)
    outlines: tuple[Polygon, ...] = ()
    if lesions:
        outlines = lesion_outlines(tumour, tissue, options.lesion_share)
        paint_lesions(tumour, image, layers, stain, outlines)
    draw, fold, glass, ink = artefacts.spawn(4)
    folded, inked = draw.random(2) < (options.fold_share, options.ink_share)
    if folded:
        add_fold(fold, image, tissue)
    image = on_glass(glass, image)
    if inked:
        add_ink(ink, image, tissue)
    return PaintedSlide(image, tissue, outlines)
