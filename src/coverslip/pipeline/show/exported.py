"""One slide's export: which file holds what of a run's word."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import matplotlib as mpl
import numpy as np
import numpy.typing as npt

from coverslip import store
from coverslip.geometry import Box, Mpp
from coverslip.interop.qupath import (
    GLASS,
    Colour,
    Objects,
    Shape,
    Squares,
    write_qupath,
)
from coverslip.judge.detections import HotRegion, hot_regions
from coverslip.pipeline.predict.scoring import RunScores, SlideScores
from coverslip.pipeline.show.export_options import ExportOptions
from coverslip.prepare.annotations import write_asap_xml
from coverslip.prepare.outlines import HOT, area_parts, without_holes
from coverslip.prepare.tissue import Tissue
from coverslip.show.heatmap import PatchShape, rank
from coverslip.show.heatmap_tiff import frame_of, write_colours, write_values

GREEN: Colour = (0, 160, 0)
RED: Colour = (200, 0, 0)

Scores = npt.NDArray[np.float64]


@dataclass(frozen=True)
class _Hot:
    """The hot regions of one class, and the score that made them hot."""

    class_name: str
    colour: Colour
    scores: Scores
    regions: list[HotRegion]


class Exported:
    """One slide, and what its files have in common.

    Args:
        study: The study folder.
        run: Whose word it is.
        slide_id: The slide.
        options: What is exported, and in which frame.

    Raises:
        DataError: The run does not know the slide, or its files are missing or damaged.
        SlideError: The slide has no patch, is gone, or is another one.
    """

    def __init__(
        self, study: Path, run: RunScores, slide_id: str, options: ExportOptions
    ) -> None:
        self.options, self.run = options, run.name
        self.said: SlideScores = run.of(slide_id)
        self.tissue = Tissue.load(store.Study(study).tissue(slide_id))
        with self.said.open() as slide:
            self.whole = Box(0, 0, *slide.l0_size)
            self.bounds = slide.bounds

    @property
    def frame(self) -> Box:
        """What a picture shows, and whose corner is the origin."""
        return self.whole if self.options.origin == "level0" else self.bounds

    @property
    def mpp(self) -> Mpp:
        """Micrometres per pixel of level 0."""
        return Mpp(self.said.scale.l0_mpp)

    @property
    def positive(self) -> dict[str, Scores]:
        """Probabilities of patches by class: of two, of the last one only."""
        chances = self.said.prediction.patch_probabilities.astype(np.float64)
        named = dict(zip(self.said.card.classes, chances.T, strict=True))
        return dict(list(named.items())[-1:]) if len(named) == 2 else named

    @cached_property
    def hot(self) -> list[_Hot]:
        """Hot regions, class by class."""
        if self.options.hot_by == "attention":
            attention = self.said.prediction.attention.astype(np.float64)
            scores = {"attention": attention / attention.max()}
        else:
            scores = self.positive
        return [
            _Hot(name, colour, values, self._regions(values))
            for (name, values), colour in zip(
                scores.items(), _colours(len(scores)), strict=True
            )
        ]

    def _regions(self, scores: Scores) -> list[HotRegion]:
        size = self.said.scale.l0_size
        return hot_regions(self.said.coords, scores, size, self.options.hot_from)

    @property
    def patches(self) -> PatchShape:
        """Where the patches lie."""
        name = self.said.card.classes[-1]
        return PatchShape(self.said.coords, self.said.scale.l0_size, name)

    def facts(self) -> store.Facts:
        """Return how its files are made."""
        return {
            "slide_id": self.said.slide_id,
            "run": self.run,
            "classes": list(self.said.card.classes),
            "l0_mpp": self.mpp,
            "l0_patch": self.said.scale.l0_size,
            "l0_origin": [self.frame.l0_x, self.frame.l0_y],
            "options": {k: v for k, v in self.options.facts().items() if k != "device"},
        }


def _geojson(slide: Exported, out: Path) -> Iterator[Path]:
    end = ".geojson.gz" if slide.options.pack else ".geojson"
    path = out / f"{slide.said.slide_id}{end}"
    squares = None if slide.options.patches == "none" else _squares(slide)
    origin = (slide.frame.l0_x, slide.frame.l0_y)
    shapes = [*_tissue(slide), *_hot(slide)]
    objects = Objects(slide.said.slide_id, shapes, squares, origin)
    write_qupath(path, objects, slide.facts())
    yield path


def _tissue(slide: Exported) -> Iterator[Shape]:
    for number, outline in enumerate(slide.tissue.outlines, start=1):
        area = outline.area * slide.mpp**2 / 1e6
        yield Shape(
            outline, "Tissue", GREEN, f"Tissue {number}", {"Area mm^2": area}, True
        )


def _hot(slide: Exported) -> Iterator[Shape]:
    attention = slide.said.prediction.attention
    for hot in slide.hot:
        for number, region in enumerate(hot.regions, start=1):
            scores = hot.scores[region.patches]
            told = {
                "Patches": float(len(region.patches)),
                "Area mm^2": region.shape.area * slide.mpp**2 / 1e6,
                "Highest score": float(scores.max()),
                "Mean score": float(scores.mean()),
                "Attention": float(attention[region.patches].sum()),
            }
            name = f"{hot.class_name} {number}"
            yield Shape(
                region.shape, f"{HOT}: {hot.class_name}", hot.colour, name, told
            )


def _squares(slide: Exported) -> Squares:
    said, classes = slide.said.prediction, slide.said.card.classes
    attention = said.attention.astype(np.float64)
    share = attention / attention.max()
    slide_says = 0.0 if said.probabilities is None else float(said.probabilities[-1])
    named = zip(classes, said.patch_probabilities.T, strict=True)
    colours = _colours(len(slide.positive))
    if len(classes) == 2:
        chosen = (said.patch_probabilities[:, 1] >= slide.options.hot_from).astype(int)
        colours.insert(0, GLASS)
    else:
        chosen = said.patch_probabilities.argmax(axis=1)
    return Squares(
        slide.said.coords,
        slide.said.scale.l0_size,
        {
            "Attention": attention,
            "Attention rank": rank(attention),
            "Score": share * slide_says,
            **{f"Probability {name}": values for name, values in named},
        },
        list(zip(classes, colours, strict=True)),
        chosen,
        "tile" if slide.options.patches == "tile" else "detection",
    )


def _colours(count: int) -> list[Colour]:
    """Return red for one class, else colours that are told apart."""
    if count == 1:
        return [RED]
    table = mpl.colormaps["tab10"]
    rgb = [[round(255 * part) for part in table(i % 10)[:3]] for i in range(count)]
    return [(red, green, blue) for red, green, blue in rgb]


def _asap(slide: Exported, out: Path) -> Iterator[Path]:
    """Write hot regions without holes: one in `Exclusion` would cut others' lesions."""
    path = out / f"{slide.said.slide_id}.xml"
    groups = {
        f"{HOT}: {hot.class_name}": [
            piece
            for region in hot.regions
            for part in area_parts(region.shape)
            for piece in without_holes(part)
        ]
        for hot in slide.hot
    }
    write_asap_xml(path, groups)
    yield path


def _tiff(slide: Exported, out: Path) -> Iterator[Path]:
    said = slide.said
    frame = frame_of(slide.frame, said.scale.l0_size, slide.mpp)
    pictures = {"attention": (rank(said.prediction.attention), "magma")} | {
        f"probability_{_plain(name)}": (values, "RdBu_r")
        for name, values in slide.positive.items()
    }
    for name, (values, colours) in pictures.items():
        path = out / f"{said.slide_id}_{name}.tif"
        write_colours(path, slide.patches, values, frame, colours)
        yield path


def _likelihood(slide: Exported, out: Path) -> Iterator[Path]:
    path = out / f"{slide.said.slide_id}_likelihood_map.tif"
    values = np.stack(list(slide.positive.values()), axis=1)
    frame = frame_of(slide.whole, slide.said.scale.l0_size, slide.mpp)
    write_values(path, slide.patches, values, frame)
    yield path


def _plain(name: str) -> str:
    """Return a class's name as part of a file's."""
    return re.sub(r"[^\w.+-]+", "_", name)


WRITERS: Mapping[str, Callable[[Exported, Path], Iterator[Path]]] = {
    "geojson": _geojson,
    "asap": _asap,
    "tiff": _tiff,
    "likelihood": _likelihood,
}
"""What writes each format: it gives the files it made in a folder."""
