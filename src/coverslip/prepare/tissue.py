"""Tissue: where on the slide there is something to look at (seed section I, 1.2)."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import shapely
from shapely.errors import ShapelyError
from shapely.geometry import MultiPolygon, Polygon, mapping, shape

from coverslip import store
from coverslip.errors import CorruptFileError, DataError
from coverslip.geometry import Box, Mpp, px_size_from_l0
from coverslip.prepare.filling import fill
from coverslip.prepare.segmentation import Mask, TissueOptions, segment
from coverslip.prepare.tumor_mask import polygons_from_mask, read_tumor_mask
from coverslip.slides.overview import read_overview, require_mpp
from coverslip.slides.slide import Slide


@dataclass(frozen=True)
class Tissue:
    """The tissue of one slide: outlines in level-0 pixels, and the mask they draw.

    Attributes:
        slide_id: The slide.
        outlines: Polygons with holes in level-0 pixels, along the edges of the mask's
            pixels.
        bounds: The part of level 0 that was searched.
        px_size: (width, height) of the mask over those bounds.
        l0_mpp: Micrometres per pixel of level 0.
        facts: How the tissue was found.
    """

    slide_id: str
    outlines: tuple[Polygon, ...]
    bounds: Box
    px_size: tuple[int, int]
    l0_mpp: Mpp
    facts: store.Facts

    @property
    def boxes(self) -> tuple[Box, ...]:
        """The bounding box of each piece, in level-0 pixels."""
        boxes = []
        for outline in self.outlines:
            left, top, right, bottom = (round(edge) for edge in outline.bounds)
            boxes.append(Box(left, top, right - left, bottom - top))
        return tuple(boxes)

    @property
    def l0_per_px(self) -> tuple[float, float]:
        """Level-0 pixels for one mask pixel, along x and y."""
        px_width, px_height = self.px_size
        return self.bounds.l0_width / px_width, self.bounds.l0_height / px_height

    @property
    def area_mm2(self) -> float:
        """Area of the mask in square millimetres."""
        across, down = self.l0_per_px
        return float(self.mask.sum()) * across * down * self.l0_mpp**2 / 1e6

    @cached_property
    def mask(self) -> Mask:
        """The pixels whose centre the outlines enclose: (height, width)."""
        origin = (self.bounds.l0_x, self.bounds.l0_y)
        px_outlines = shapely.transform(
            list(self.outlines), lambda l0_points: (l0_points - origin) / self.l0_per_px
        )
        return fill(px_outlines, self.px_size)

    def save(self, path: Path) -> None:
        """Write the outlines as GeoJSON (level-0 pixels), readable by QuPath."""
        store.write_json(path, self.geojson(), dense=True)

    def geojson(self) -> store.Facts:
        """Return the outlines as GeoJSON, with how they were found."""
        features: list[store.Facts] = [
            {
                "type": "Feature",
                "geometry": mapping(outline),
                "properties": {
                    "objectType": "annotation",
                    "classification": {"name": "Tissue", "color": [0, 160, 0]},
                    "tissue_id": number,
                    "box": box.as_list(),
                },
            }
            for number, (outline, box) in enumerate(
                zip(self.outlines, self.boxes, strict=True)
            )
        ]
        facts: store.Facts = {
            "slide_id": self.slide_id,
            "bounds": self.bounds.as_list(),
            "px_size": list(self.px_size),
            "l0_mpp": self.l0_mpp,
            **self.facts,
        }
        collection = {"type": "FeatureCollection", "features": features}
        return {**collection, store.FACTS: facts}

    @classmethod
    def load(cls, path: Path) -> "Tissue":
        """Read what `save` wrote, edited by hand or not.

        Raises:
            CorruptFileError: It is not such a file.
        """
        data = store.read_json(path)
        try:
            facts = dict(data[store.FACTS])
            outlines = [shape(item["geometry"]) for item in data["features"]]
            return cls(
                slide_id=facts.pop("slide_id"),
                outlines=polygons_of(outlines),
                bounds=Box(*facts.pop("bounds")),
                px_size=tuple(facts.pop("px_size")),
                l0_mpp=Mpp(facts.pop("l0_mpp")),
                facts=facts,
            )
        except (LookupError, TypeError, ValueError, AttributeError, ShapelyError) as e:
            raise CorruptFileError(
                f"{path}: not tissue outlines of coverslip ({e!r}): delete it and run "
                "the same command again, or give it with --mask"
            ) from None


def find_tissue(slide: Slide, options: TissueOptions | None = None) -> Tissue:
    """Find the tissue of a slide (`get_roi_bounds` of the seed).

    Returns:
        Its outlines; none at all on an empty slide.

    Raises:
        MissingMppError: The scale of the slide is unknown.
        UnreadableSlideError: The pixels cannot be decoded.
    """
    options = options or TissueOptions()
    picture, bounds = read_overview(slide, Mpp(options.mask_mpp))
    px_mpp = bounds.l0_width / picture.shape[1] * require_mpp(slide)
    mask, threshold = segment(picture, px_mpp, options)
    return tissue_from_mask(
        slide,
        mask,
        {"options": options.facts(), "source": "otsu", "saturation": threshold},
    )


def tissue_from_mask(slide: Slide, mask: Mask, facts: store.Facts) -> Tissue:
    """Outline a mask (height, width) that covers the slide's bounds."""
    bounds = slide.bounds
    px_height, px_width = mask.shape
    scale = (bounds.l0_width / px_width, bounds.l0_height / px_height)
    outlines = shapely.transform(
        polygons_from_mask(mask, scale),
        lambda l0_points: l0_points + (bounds.l0_x, bounds.l0_y),
    )
    return Tissue(
        slide_id=slide.slide_id,
        outlines=tuple(outlines),
        bounds=bounds,
        px_size=(px_width, px_height),
        l0_mpp=require_mpp(slide),
        facts=facts,
    )


def tissue_from_outlines(
    slide: Slide, outlines: list[Polygon], mask_mpp: float, facts: store.Facts
) -> Tissue:
    """Take outlines (level-0 pixels) that somebody drew."""
    bounds = slide.bounds
    downsample = max(1.0, mask_mpp / require_mpp(slide))
    return Tissue(
        slide_id=slide.slide_id,
        outlines=polygons_of(outlines),
        bounds=bounds,
        px_size=px_size_from_l0((bounds.l0_width, bounds.l0_height), downsample),
        l0_mpp=require_mpp(slide),
        facts=facts,
    )


def read_mask_image(path: Path, slide: Slide, mask_mpp: float = 8.0) -> Mask:
    """Read a mask somebody made as a picture of the whole slide: non-zero is tissue.

    Args:
        path: PNG or TIFF, of any size with the proportions of the slide's bounds.
        slide: The slide.
        mask_mpp: Of a pyramid, the level nearest to this scale is read.

    Raises:
        DataError: It is of another kind, or its sides are not those of the slide.
        CorruptFileError: It cannot be decoded.
    """
    if path.suffix.lower() not in {".png", ".tif", ".tiff"}:
        raise DataError(f"{path}: not a kind of mask: give a PNG, a TIFF or a GeoJSON")
    l0_size = (slide.bounds.l0_width, slide.bounds.l0_height)
    mask = read_tumor_mask(path, mask_mpp / require_mpp(slide), l0_size).mask
    aspect = (mask.shape[1] / mask.shape[0]) / (l0_size[0] / l0_size[1])
    slack = 1.5 / min(mask.shape) + 0.005
    if abs(aspect - 1) > slack:
        raise DataError(
            f"{path}: {mask.shape[1]} x {mask.shape[0]} px has not the sides of the "
            f"slide ({l0_size[0]} x {l0_size[1]}): give a mask of all of it"
        )
    return mask


def polygons_of(geometries: list[Any]) -> tuple[Polygon, ...]:
    """Return the polygons of a list of polygons and multipolygons."""
    polygons: list[Polygon] = []
    for geometry in geometries:
        if isinstance(geometry, MultiPolygon):
            polygons.extend(geometry.geoms)
        elif isinstance(geometry, Polygon):
            polygons.append(geometry)
    return tuple(polygons)
