"""What can be wrong with the features of one slide, and with slides among others."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from coverslip import store
from coverslip.interop.clam import H5, PT
from coverslip.interop.exchange import Item, Place
from coverslip.interop.stamp import UM
from coverslip.interop.tensors import read_tensor

Level = Literal["error", "warning"]


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong.

    Attributes:
        level: An `error` makes what is read wrong or impossible; a `warning` may be meant.
        path: Where.
        text: What, and what to do.
        slide_id: Of which slide, where it is about one.
    """

    level: Level
    path: Path
    text: str
    slide_id: str | None = None

    def line(self) -> str:
        """Say it in one line."""
        return f"[{self.level:>7}] {self.path}: {self.text}"


class Checked:
    """What was seen of a set, slide by slide."""

    def __init__(self) -> None:
        self.patches = 0
        self.ids: list[str] = []
        self.alike: dict[str, dict[Place, str]] = {}

    def note(self, place: Place, item: Item) -> None:
        """Take in one slide."""
        self.patches += len(item.features)
        facts = item.memo.get("facts", {}).get("encoder", {})
        weights = str(facts.get("weights_hash", ""))[:8]
        weights = "" if item.remembered else weights
        said = {
            "encoder": f"{item.encoder} {weights}".strip(),
            "size of patches": _said(item.laid.size),
            "scale of patches": _said(item.laid.mpp),
        }
        if len(item.features):
            said["length of features"] = str(item.features.shape[1])
        for name, value in said.items():
            self.alike.setdefault(name, {})[place] = value

    def told(self) -> dict[str, Any]:
        """Return what people want to know of the set."""
        usual = Counter(self.alike.get("length of features", {}).values())
        encoders = sorted(set(self.alike.get("encoder", {}).values()))
        long = usual.most_common(1)[0][0] if usual else "?"
        return {
            "slides": len(self.ids),
            "patches": self.patches,
            "numbers a patch": long,
            "encoder": " and ".join(encoders) or "?",
        }

    def mixed(self) -> Iterator[Finding]:
        """Say which slides are of another kind than most."""
        for name, values in self.alike.items():
            counted = Counter(values.values())
            if len(counted) < 2:
                continue
            usual = counted.most_common(1)[0][0]
            for place, value in values.items():
                if value != usual:
                    text = (
                        f"{name} is {value}, and {usual} in most slides: features of two "
                        "kinds cannot be learnt from together: keep one"
                    )
                    yield Finding("error", place.path, text, place.slide_id)


def _said(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.3g}"


def check_item(item: Item) -> Iterator[tuple[Level, str]]:
    """Say what is wrong with the features and coordinates of one slide."""
    if item.remembered:
        text = (
            f"its own attribute names the encoder {item.encoder}, ours (coverslip) "
            f"{item.remembered}: it was changed after it was converted; find out which"
        )
        yield "warning", text
    total = len(item.features)
    if not total:
        yield "warning", "no patch: other programs may stop at it; leave it out"
        return
    if bad := int((~np.isfinite(item.features).all(axis=1)).sum()):
        yield "error", f"NaN or infinite in {bad} of {total} patches: make it again"
    if empty := int((item.features == 0).all(axis=1).sum()):
        yield "warning", f"all numbers are 0 in {empty} of {total} patches"
    coords = item.coords if item.coords is not None else item.arrays.get(UM)
    if coords is None:
        yield "warning", "no coordinates: nothing can be drawn where it lies"
        return
    if doubled := total - len(np.unique(coords, axis=0)):
        yield (
            "error",
            f"{doubled} of {total} patches lie where another lies: make it again",
        )
    if item.coords is not None:
        yield from _outside(item)


def _outside(item: Item) -> Iterator[tuple[Level, str]]:
    """Say which corners do not lie on the slide, where its size is known."""
    coords, laid = item.coords, item.laid
    if coords is None:
        return
    outside = (coords < 0).any(axis=1)
    if laid.l0_extent is not None:
        width, height = laid.l0_extent
        outside |= (coords[:, 0] >= width) | (coords[:, 1] >= height)
    if count := int(outside.sum()):
        size = (
            ""
            if laid.l0_extent is None
            else f" of {laid.l0_extent[0]} x {laid.l0_extent[1]}"
        )
        text = (
            f"{count} of {len(coords)} patches lie outside the slide{size}: the "
            "coordinates are of another slide or level"
        )
        yield "error", text


def check_beside(place: Place, item: Item) -> Iterator[tuple[Level, str]]:
    """Say where features, and what lies beside them, do not belong together."""
    if place.patches is not None:
        with store.reading_h5(place.patches) as file:
            coords = np.asarray(file["coords"][()])
        if item.coords is not None and not np.array_equal(coords, item.coords):
            text = (
                f"{len(item.features)} features are not of the {len(coords)} "
                f"coordinates in {place.patches}: make the features again"
            )
            yield "error", text
    tensor = place.path.parent.parent / PT / f"{place.slide_id}.pt"
    if place.path.parent.name == H5 and tensor.exists():
        twin = read_tensor(tensor)
        if not np.array_equal(twin, item.features):
            yield "error", f"its features are not those in {tensor}: make both again"
