"""Writes what a model said of one slide as GeoJSON that QuPath reads.

Checked against QuPath's own reader and documentation (docs/qupath.md says which): a
FeatureCollection of features with a UUID, `objectType`, a class as {"name" or "names",
"color"} (QuPath refuses a class without its colour), `isLocked`, and `measurements` as
an object of numbers. Two decimals, as many as QuPath keeps.

A slide has up to hundreds of thousands of patches, so objects are written one by one,
one a line, and may be packed (`.gz`), which QuPath reads since 0.4.
"""

import gzip
import io
import json
import math
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely
from shapely import MultiPolygon, Polygon

from coverslip import store
from coverslip.prepare.geojson import ORIGIN

Colour = tuple[int, int, int]
"""Red, green and blue, 0 to 255."""

GLASS: Colour = (200, 200, 200)
DECIMALS = 2
_IDS = uuid.UUID("6b7f2f3e-0f0a-5c52-9d3b-3f2f64c0a7d1")


@dataclass(frozen=True)
class Shape:
    """An annotation.

    Attributes:
        area: In level-0 pixels.
        class_name: Its class; of several names (`Hot: tumor`) parted by colons.
        colour: Of the class.
        name: What is written beside it.
        measurements: Numbers by name; what is not finite is left out.
        locked: Whether QuPath lets nobody change it until it is unlocked.
    """

    area: Polygon | MultiPolygon
    class_name: str
    colour: Colour
    name: str = ""
    measurements: Mapping[str, float] = field(default_factory=dict)
    locked: bool = False


@dataclass(frozen=True)
class Squares:
    """The patches of a slide.

    Attributes:
        coords: (N, 2) level-0 top-left corners.
        l0_side: Side in level-0 pixels; each is drawn to the end of the pixel it ends
            in, as on the heatmap.
        measurements: (N,) numbers by name.
        classes: Names and colours.
        chosen: (N,) which class each one has.
        kind: `tile`, or `detection`.
    """

    coords: npt.NDArray[np.int64]
    l0_side: float
    measurements: Mapping[str, npt.NDArray[np.floating[Any]]]
    classes: Sequence[tuple[str, Colour]]
    chosen: npt.NDArray[np.integer[Any]]
    kind: str = "tile"


@dataclass(frozen=True)
class Objects:
    """What QuPath is to show on one slide.

    Attributes:
        slide_id: The slide.
        shapes: Annotations.
        squares: Patches; None for none.
        l0_origin: The level-0 pixel that the file's (0, 0) is. Annotations carry it as
            metadata, so that what comes back from QuPath is read at its place.
    """

    slide_id: str
    shapes: Sequence[Shape]
    squares: Squares | None = None
    l0_origin: tuple[int, int] = (0, 0)


def write_qupath(path: Path, objects: Objects, facts: store.Facts) -> None:
    """Write one slide's objects.

    The same objects get the same ids, and the same file, each time.

    Args:
        path: `.geojson`, or `.geojson.gz` to have it packed.
        objects: What is to be shown.
        facts: How it was made, for the member `coverslip`.

    Raises:
        OutputError: The file cannot be written.
    """
    with store.writing(path) as part, part.open("wb") as raw:
        # No time and no name within, so that the same objects make the same file.
        packed = gzip.GzipFile("", "wb", 6, raw, mtime=0) if _is_packed(path) else raw
        with io.TextIOWrapper(packed, encoding="utf-8", newline="\n") as file:
            file.write('{"type":"FeatureCollection","features":[')
            for number, line in enumerate(_features(objects)):
                file.write(",\n" if number else "\n")
                file.write(line)
            file.write(f'\n],"{store.FACTS}":{_dense(facts)}}}\n')


def _is_packed(path: Path) -> bool:
    return path.suffix == ".gz"


def _features(objects: Objects) -> Iterator[str]:
    for number, shape in enumerate(objects.shapes):
        yield _dense(_annotation(objects.slide_id, number, shape, objects.l0_origin))
    if objects.squares is not None:
        yield from _patches(objects.slide_id, objects.squares, objects.l0_origin)


def _annotation(
    slide_id: str, number: int, shape: Shape, l0_origin: tuple[int, int]
) -> store.Facts:
    area = shapely.transform(
        shape.area, lambda points: np.round(points - l0_origin, DECIMALS)
    )
    properties: store.Facts = {
        "objectType": "annotation",
        "classification": _class(shape.class_name, shape.colour),
    }
    if shape.name:
        properties["name"] = shape.name
    if shape.locked:
        properties["isLocked"] = True
    if numbers := {k: v for k, v in shape.measurements.items() if math.isfinite(v)}:
        properties["measurements"] = {k: _short(v) for k, v in numbers.items()}
    if any(l0_origin):
        properties["metadata"] = {ORIGIN: f"{l0_origin[0]},{l0_origin[1]}"}
    return {
        "type": "Feature",
        "id": str(uuid.uuid5(_IDS, f"{slide_id} annotation {number}")),
        "geometry": shapely.geometry.mapping(area),
        "properties": properties,
    }


def _patches(
    slide_id: str, squares: Squares, l0_origin: tuple[int, int]
) -> Iterator[str]:
    """Make the patches' lines by hand: a tenth of the time of a dictionary each."""
    side = math.ceil(squares.l0_side)
    names = [json.dumps(name, ensure_ascii=False) for name in squares.measurements]
    numbers = np.array([*squares.measurements.values()], np.float64).reshape(
        len(names), len(squares.coords)
    )
    classes = [_dense(_class(*named)) for named in squares.classes]
    corners = (squares.coords - np.array(l0_origin)).tolist()
    for (x, y), values, chosen in zip(
        corners, numbers.T.tolist(), squares.chosen.tolist(), strict=True
    ):
        ring = f"[{x},{y}],[{x + side},{y}],[{x + side},{y + side}],[{x},{y + side}]"
        told = ",".join(
            f"{name}:{value:.6g}"
            for name, value in zip(names, values, strict=True)
            if math.isfinite(value)
        )
        place = f"{slide_id} patch {x + l0_origin[0]} {y + l0_origin[1]}"
        yield (
            f'{{"type":"Feature","id":"{uuid.uuid5(_IDS, place)}",'
            f'"geometry":{{"type":"Polygon","coordinates":[[{ring},[{x},{y}]]]}},'
            f'"properties":{{"objectType":"{squares.kind}",'
            f'"classification":{classes[chosen]},"measurements":{{{told}}}}}}}'
        )


def _class(name: str, colour: Colour) -> store.Facts:
    """Return a class as QuPath has it since 0.4; it parts names at colons itself."""
    names = [part.strip() for part in name.split(":") if part.strip()] or [name]
    named: store.Facts = {"name": names[0]} if len(names) == 1 else {"names": names}
    return {**named, "color": list(colour)}


def _short(value: float) -> float:
    return float(f"{value:.6g}")


def _dense(facts: object) -> str:
    return json.dumps(facts, ensure_ascii=False, separators=(",", ":"))
