"""CLAM's folders: `patches/SLIDE.h5`, `h5_files/SLIDE.h5`, `pt_files/SLIDE.pt`.

`patches` are coordinates as `create_patches_fp.py` writes them, the other two features
as `extract_features_fp.py` does. CLAM trains on `pt_files`.

Source: `WholeSlideImage.process_contour`, `save_hdf5` and `dataset_generic.py` of CLAM:
names and types of datasets and attributes are theirs.
"""

from pathlib import Path
from typing import Any

import numpy as np

from coverslip import store
from coverslip.errors import CorruptFileError, DataError
from coverslip.interop.exchange import (
    UNKNOWN,
    FeatureSet,
    Item,
    Known,
    Laid,
    Place,
    new_memo,
    read_beside,
    take_memo,
    write_beside,
)
from coverslip.interop.h5_files import (
    Array,
    Attributes,
    check_shapes,
    decode,
    encode,
    exact,
    named,
    read_h5,
    whole,
)
from coverslip.interop.tensors import read_tensor, write_tensor

H5, PT, PATCHES = "h5_files", "pt_files", "patches"


class ClamFormat:
    """A folder of CLAM's features, with its patches where they lie in it."""

    name = "clam"
    title = "a folder of CLAM's features"

    def recognise(self, folder: Path) -> bool:
        """Say whether one of its two folders of features is there."""
        return (folder / H5).is_dir() or (folder / PT).is_dir()

    def sets(self, folder: Path) -> list[FeatureSet]:
        """Return the one set of features: of `h5_files`, else of `pt_files`."""
        places = {path.stem: path for path in named(folder / PT, ".pt")}
        places |= {path.stem: path for path in named(folder / H5, ".h5")}
        found = []
        for slide_id, path in sorted(places.items()):
            patches = folder / PATCHES / f"{slide_id}.h5"
            beside = patches if patches.exists() else None
            found.append(Place(slide_id, path, beside))
        return [FeatureSet(".", tuple(found))] if found else []

    def read(self, place: Place, known: Known) -> Item:
        """Read one slide's features, and how its patches lie where that is told."""
        arrays, attributes, facts = _features(place)
        features, coords = arrays.pop("features"), arrays.pop("coords", None)
        both = {"features": features} | ({} if coords is None else {"coords": coords})
        memo, laid, encoder = take_memo(facts)
        if not memo:
            memo = new_memo(self.name, ".", both, attributes)
            if place.patches is not None:
                memo["patches"], laid = _told_of_patches(place.patches)
        laid = laid.completed(known.of(place.slide_id))
        coords = None if coords is None else whole(place.path, coords)
        name = encoder or known.encoder or UNKNOWN
        return Item(place.slide_id, features, coords, name, laid, memo, arrays)

    def path(self, out: Path, item: Item) -> Path:
        """Return where the features of a slide would be written, for training."""
        return out / PT / f"{item.slide_id}.pt"

    def write(self, out: Path, item: Item) -> list[Path]:
        """Write features twice, as CLAM has them, and coordinates."""
        features = np.ascontiguousarray(item.features, np.float32)
        tensor = self.path(out, item)
        write_tensor(tensor, features)
        if item.coords is None:
            return [tensor, write_beside(out, item)]
        path = out / H5 / f"{item.slide_id}.h5"
        told: Attributes = {}
        if item.origin == self.name:
            told = {name: item.attributes(name) for name in ("features", "coords")}
        arrays = {
            "features": features,
            "coords": _coords(item, item.coords),
            **item.arrays,
        }
        store.write_h5(path, arrays, item.facts, told)
        return [path, tensor, *_write_patches(out, item)]


class PlainFormat:
    """A folder of HDF5 files with `features`, of no program in particular; read only."""

    name = "h5"
    title = "a folder of HDF5 files with features"

    def recognise(self, folder: Path) -> bool:
        """Say whether its first file holds features."""
        files = named(folder, ".h5", ".hdf5")
        return bool(files) and _holds(files[0], "features")

    def sets(self, folder: Path) -> list[FeatureSet]:
        """Return its files."""
        files = named(folder, ".h5", ".hdf5")
        encoder = folder.name.rpartition("features_")[2] or None
        encoder = encoder if "features_" in folder.name else None
        places = tuple(Place(path.stem, path) for path in files)
        return [FeatureSet(".", places, encoder)]

    def read(self, place: Place, known: Known) -> Item:
        """Read one slide."""
        return ClamFormat().read(place, known)

    def path(self, out: Path, item: Item) -> Path:
        """Return where a slide would lie."""
        return out / f"{item.slide_id}.h5"

    def write(self, out: Path, item: Item) -> list[Path]:
        """Refuse: it is no format of anybody's."""
        raise DataError(f"{out}: {item.slide_id}: choose a format to write")


def _holds(path: Path, dataset: str) -> bool:
    try:
        with store.reading_h5(path) as file:
            return dataset in file
    except CorruptFileError:
        return False


def _features(place: Place) -> tuple[dict[str, Array], Attributes, store.Facts]:
    if place.path.suffix != ".pt":
        return read_h5(place.path)
    features = read_tensor(place.path)
    check_shapes(place.path, features, None)
    facts, arrays = read_beside(place.path.parent.parent, place.slide_id)
    return {"features": features, **arrays}, {}, facts


def _told_of_patches(path: Path) -> tuple[store.Facts, Laid]:
    """Return what CLAM's file of coordinates says, and how patches lie by it."""
    with store.reading_h5(path) as file:
        attributes = dict(file["coords"].attrs)
        dtype = file["coords"].dtype.str
    told = {key: encode(value) for key, value in attributes.items()}
    size, level = attributes.get("patch_size"), attributes.get("patch_level")
    down = np.ravel(attributes.get("downsample", [np.nan]))[0]
    extent = attributes.get("level_dim") if level == 0 else None
    known = size is not None and np.isfinite(down)
    laid = Laid(
        size=None if size is None else int(size),
        l0_size=float(size * down) if known else None,
        l0_extent=None if extent is None else (int(extent[0]), int(extent[1])),
        level=None if level is None else int(level),
        lv_size=None if size is None else int(size),
        downsample=float(down) if known else None,
    )
    return {"attributes": told, "dtype": dtype}, laid


def _coords(item: Item, coords: Array) -> Array:
    """Return coordinates in CLAM's type, 32 bits, or wider where they need it."""
    if item.origin == ClamFormat.name:
        return item.typed("coords", coords)
    return exact(coords, np.int32)


def _write_patches(out: Path, item: Item) -> list[Path]:
    path = out / PATCHES / f"{item.slide_id}.h5"
    told = item.memo.get("patches", {}).get("attributes", {})
    if item.origin == ClamFormat.name:
        if not told:
            return []
        attributes: dict[str, Any] = {k: decode(v) for k, v in told.items()}
        dtype = item.memo["patches"]["dtype"]
    else:
        attributes, dtype = _patch_attributes(item, told, str(path.parent)), "<i8"
    if not attributes:
        return []
    coords = np.asarray(item.coords, np.dtype(dtype))
    store.write_h5(path, {"coords": coords}, {}, {"coords": attributes})
    return [path]


def _patch_attributes(item: Item, told: store.Facts, place: str) -> dict[str, Any]:
    """Return what CLAM's scripts want to know; nothing where the size is not known.

    CLAM's `patch_size` is in pixels of the level that is read.
    """
    laid, patches = item.laid, {k: decode(v) for k, v in told.items()}
    if laid.level is not None and laid.lv_size and laid.downsample:
        level, size, down = laid.level, laid.lv_size, laid.downsample
    elif laid.l0_size is not None:
        level, size, down = 0, round(laid.l0_size), 1.0
    else:
        return {}
    extent = patches.get("level_dim") if level else laid.l0_extent
    attributes = {
        "patch_size": size,
        "patch_level": level,
        "downsample": np.array([down, down], np.float64),
        "name": item.slide_id,
        "save_path": place,
    }
    if extent is not None:
        attributes["downsampled_level_dim"] = np.asarray(extent)
        attributes["level_dim"] = np.asarray(extent)
    return attributes
