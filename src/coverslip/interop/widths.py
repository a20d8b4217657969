"""How long the features of many slides are, with as little read as can be."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from coverslip import store
from coverslip.errors import CoverslipError
from coverslip.interop.exchange import Format, Known, Place


@dataclass(frozen=True)
class Widths:
    """How many numbers a feature has.

    Attributes:
        by_place: Of each slide that can be read and has a patch.
        usual: In most of them; of two that are as frequent, the first.
    """

    by_place: Mapping[Place, int]
    usual: int | None

    @classmethod
    def read(cls, form: Format, places: Sequence[Place]) -> "Widths":
        """Look into each file."""
        told = {place: _width(form, place) for place in places}
        known = {place: width for place, width in told.items() if width is not None}
        most = Counter(known.values()).most_common(1)
        return cls(known, most[0][0] if most else None)

    def odd(self, place: Place) -> bool:
        """Say whether a slide's features are of another length than most."""
        return self.by_place.get(place, self.usual) != self.usual


def _width(form: Format, place: Place) -> int | None:
    try:
        *_, patches, width = _shape(form, place)
    except (CoverslipError, OSError, ValueError):  # converting it says what is wrong
        return None
    return width if patches else None


def _shape(form: Format, place: Place) -> tuple[int, ...]:
    """Return the shape of a slide's features; of arrays, no number is read."""
    if place.path.suffix == ".h5":
        with store.reading_h5(place.path) as file:
            name = "feats" if form.name == "stamp" else "features"
            return tuple(file[name].shape) if name in file else ()
    if place.path.suffix == ".npy":
        array = np.load(place.path, mmap_mode="r", allow_pickle=False)
        return tuple(array.shape)
    return tuple(form.read(place, Known(lenient=True)).features.shape)
