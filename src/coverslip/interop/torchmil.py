"""torchmil's folders of arrays: `features/`, `coords/`, `labels/`, `patch_labels/`.

One `.npy` file a slide in each, for `ProcessedMILDataset`. Coordinates are level-0
pixels, so its `dist_thr` is a length on the slide: 1.5 sides of a patch reach the eight
neighbours. `TridentWSIDataset` reads what is written as TRIDENT's.

Source: torchmil 1.0.2, `processed_mil_dataset.py`.
"""

from pathlib import Path

import numpy as np

from coverslip import store
from coverslip.errors import CorruptFileError
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
from coverslip.interop.h5_files import (
    Array,
    check_shapes,
    named,
    whole,
)

FEATURES, COORDS, LABELS = "features", "coords", "labels"
PATCH_LABELS = "patch_labels"


class TorchmilFormat:
    """Folders of NumPy arrays as torchmil reads them."""

    name = "torchmil"
    title = "folders of arrays for torchmil"

    def recognise(self, folder: Path) -> bool:
        """Say whether it holds a folder of arrays of features."""
        return bool(named(folder / FEATURES, ".npy"))

    def sets(self, folder: Path) -> list[FeatureSet]:
        """Return its one set."""
        places = tuple(
            Place(path.stem, path) for path in named(folder / FEATURES, ".npy")
        )
        return [FeatureSet(".", places)]

    def read(self, place: Place, known: Known) -> Item:
        """Read one slide."""
        root = place.path.parent.parent
        features = read_array(place.path)
        there = {
            name: root / name / place.path.name
            for name in (COORDS, PATCH_LABELS)
            if (root / name / place.path.name).exists()
        }
        arrays = {name: read_array(path) for name, path in there.items()}
        check_shapes(place.path, features, arrays.get(COORDS))
        facts, beside = read_beside(root, place.slide_id)
        memo, laid, encoder = take_memo(facts)
        if not memo:
            types = {FEATURES: features, **arrays}
            memo = new_memo(self.name, ".", types, {})
        coords = arrays.pop(COORDS, None)
        if coords is not None:
            coords = whole(there[COORDS], coords)
        name = encoder or known.encoder or UNKNOWN
        laid = laid.completed(known.of(place.slide_id))
        further = {**beside, **arrays}
        return Item(place.slide_id, features, coords, name, laid, memo, further)

    def path(self, out: Path, item: Item) -> Path:
        """Return where the features of a slide would be written."""
        return out / FEATURES / f"{item.slide_id}.npy"

    def write(self, out: Path, item: Item) -> list[Path]:
        """Write one slide; features as float32, which its models compute in."""
        own = item.origin == self.name
        wide = item.typed(FEATURES, item.features) if own else _float32(item.features)
        arrays: dict[str, Array] = {FEATURES: wide}
        if item.coords is not None:
            coords = item.coords
            arrays[COORDS] = item.typed(COORDS, coords) if own else coords
        if PATCH_LABELS in item.arrays:
            arrays[PATCH_LABELS] = item.arrays[PATCH_LABELS]
        written = []
        for name, array in arrays.items():
            path = out / name / f"{item.slide_id}.npy"
            write_array(path, array)
            written.append(path)
        return [*written, write_beside(out, item)]


def _float32(features: Array) -> Array:
    return features.astype(np.float32) if features.itemsize < 4 else features


def read_array(path: Path) -> Array:
    """Read a NumPy array; nothing in it is run.

    Raises:
        CorruptFileError: It is missing, truncated, or holds objects.
    """
    try:
        return np.asarray(np.load(path, allow_pickle=False))
    except (OSError, ValueError, EOFError) as error:
        raise CorruptFileError(
            f"{path}: not a whole array of numbers ({error}): make it again"
        ) from None


def write_array(path: Path, array: Array) -> None:
    """Write a NumPy array whole."""
    with store.writing(path) as part, part.open("wb") as file:
        np.save(file, array, allow_pickle=False)
