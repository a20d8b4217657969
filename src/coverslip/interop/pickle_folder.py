"""The seed's pickles as one of the formats: a file a slide, or one of many slides."""

from functools import lru_cache
from pathlib import Path

import numpy as np

from coverslip.errors import DataError
from coverslip.interop.exchange import (
    UNKNOWN,
    FeatureSet,
    Item,
    Known,
    Place,
    new_memo,
    read_beside,
    take_memo,
    write_beside,
)
from coverslip.interop.h5_files import Array, named
from coverslip.interop.pickles import (
    SlideFeatures,
    read_pickle_features,
    write_pickle_features,
)

NAMES = "file_names"
"""Array that keeps what the pickle called each patch."""


class PickleFormat:
    """A folder of the seed's pickles."""

    name = "pickles"
    title = "pickles of features, as the seed writes them"

    def recognise(self, folder: Path) -> bool:
        """Say whether there are pickles in it."""
        return bool(named(folder, ".pkl", ".pickle"))

    def sets(self, folder: Path) -> list[FeatureSet]:
        """Return its slides; one that cannot be read stands there by its file's name."""
        places = []
        for path in named(folder, ".pkl", ".pickle"):
            try:
                ids = list(_slides(path))
            except DataError:
                ids = [path.stem]
            places += [Place(slide_id, path) for slide_id in ids]
        return [FeatureSet(".", tuple(places))] if places else []

    def read(self, place: Place, known: Known) -> Item:
        """Read one slide; coordinates are known where the names of patches tell them."""
        slide = _slides(place.path)[place.slide_id]
        facts, arrays = read_beside(place.path.parent, place.slide_id)
        memo, laid, encoder = take_memo(facts)
        coords = slide.coords
        if not memo:
            memo = new_memo(self.name, ".", {"features": slide.features}, {})
            arrays = {NAMES: _texts(slide.names)}
        name = encoder or known.encoder or UNKNOWN
        laid = laid.completed(known.of(place.slide_id))
        return Item(place.slide_id, slide.features, coords, name, laid, memo, arrays)

    def path(self, out: Path, item: Item) -> Path:
        """Return where the features of a slide would be written."""
        return out / f"{item.slide_id}.pkl"

    def write(self, out: Path, item: Item) -> list[Path]:
        """Write one slide; its patches are called as `coverslip patches --jpeg` does."""
        path = self.path(out, item)
        kept = item.arrays.get(NAMES) if item.origin == self.name else None
        if kept is None:
            names = _names(item)
        else:
            names = [str(one) for one in np.char.decode(kept, "utf-8")]
        write_pickle_features(path, item.slide_id, item.features, names)
        return [path, write_beside(out, item)]


@lru_cache(maxsize=1)
def _read(path: Path, _changed: int) -> dict[str, SlideFeatures]:
    return read_pickle_features(path)


def _slides(path: Path) -> dict[str, SlideFeatures]:
    """Return the slides of a pickle; the one in hand is not read again for each."""
    slides = _read(path, path.stat().st_mtime_ns)
    if wrong := [s for s in slides if {"/", "\\"} & set(s) or not s.strip(".")]:
        raise DataError(f"{path}: slide id {wrong[0]!r} is no file name: mend it")
    return slides


def _texts(names: list[str]) -> Array:
    """Return texts as an array of bytes, which HDF5 can hold."""
    return np.char.encode(np.array(names, dtype=np.str_), "utf-8")


def _names(item: Item) -> list[str]:
    stem = f"{item.slide_id}_{item.laid.mpp or 0:g}mpp_{item.laid.size or 0}px"
    if item.coords is None:
        return [f"{stem}_{number}.jpg" for number in range(len(item.features))]
    return [f"{stem}_x{x}_y{y}.jpg" for x, y in item.coords]
