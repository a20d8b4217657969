"""TRIDENT's job folders: `20x_256px_0px_overlap/features_uni_v1/SLIDE.h5`.

Source: `coords_to_h5`, `save_h5`, `read_coords` and the processor of TRIDENT: names of
folders, datasets and attributes are theirs. What coverslip adds, the attribute
`coverslip` and further datasets, their readers pass over.
"""

import re
from pathlib import Path
from typing import Any

import numpy as np

from coverslip import store
from coverslip.errors import DataError
from coverslip.geometry import Mpp, magnification
from coverslip.interop.exchange import (
    UNKNOWN,
    FeatureSet,
    Item,
    Known,
    Laid,
    Place,
    new_memo,
    take_memo,
    which_encoder,
)
from coverslip.interop.h5_files import (
    Array,
    decode,
    encode,
    named,
    read_h5,
    whole,
)
from coverslip.interop.study import TISSUE

CONTOURS = "contours_geojson"
_FOLDER = re.compile(r"([\d.]+)x_(\d+)px_(-?\d+)px_overlap")


class TridentFormat:
    """A job folder of TRIDENT."""

    name = "trident"
    title = "a job folder of TRIDENT"

    def recognise(self, folder: Path) -> bool:
        """Say whether it holds features of a patching, or what TRIDENT leaves."""
        marks = (CONTOURS, "wsi_states", "_config_segmentation.json")
        return bool(self.sets(folder)) or any((folder / m).exists() for m in marks)

    def sets(self, folder: Path) -> list[FeatureSet]:
        """Return the folders of patch features; slide features are passed over."""
        found = [
            *folder.glob("*_overlap/features_*"),
            *folder.glob("*_overlap/patch_features_*"),
        ]
        return [_set(folder, one) for one in sorted(found) if named(one, ".h5")]

    def read(self, place: Place, known: Known) -> Item:
        """Read one slide's features, and the contours beside them."""
        arrays, attributes, facts = read_h5(place.path)
        features, coords = arrays.pop("features"), arrays.pop("coords", None)
        coords = None if coords is None else whole(place.path, coords)
        told = {key: decode(value) for key, value in _of_coords(place, attributes)}
        memo, laid, encoder = take_memo(facts)
        name, other = which_encoder(attributes["features"].get("encoder"), encoder)
        name = name or place.path.parent.name.rpartition("features_")[2]
        name = name or known.encoder or UNKNOWN
        root = place.path.parents[2]
        arrays |= _contours(root, place.slide_id)
        if not memo:
            both = {"features": features}
            both |= {} if coords is None else {"coords": coords}
            where = place.path.parent.relative_to(root).as_posix()
            memo = new_memo(self.name, where, both, attributes)
            memo["patches"] = {"attributes": {k: encode(v) for k, v in told.items()}}
        laid = laid.completed(laid_from(told))
        laid = laid.completed(patching_named(place.path.parent.parent.name))
        laid = laid.completed(known.of(place.slide_id))
        return Item(place.slide_id, features, coords, name, laid, memo, arrays, other)

    def path(self, out: Path, item: Item) -> Path:
        """Return where the features of a slide would be written."""
        return out / _folder(item) / f"{item.slide_id}.h5"

    def write(self, out: Path, item: Item) -> list[Path]:
        """Write features and coordinates, and contours where there are outlines."""
        path = self.path(out, item)
        arrays = {"features": item.features, **item.arrays}
        arrays.pop(TISSUE, None)
        place = {"name": item.slide_id, "savetodir": str(path.parent)}
        attributes: dict[str, dict[str, Any]] = {
            "features": {**place, "encoder": item.encoder}
        }
        laid = {**attributes_of(item.laid), **place}
        if item.origin == self.name:
            arrays["features"] = item.typed("features", item.features)
            attributes["features"] = item.attributes("features")
        if item.coords is not None:
            arrays["coords"] = item.typed("coords", item.coords)
            told = item.origin == self.name
            attributes["coords"] = item.attributes("coords") if told else laid
        store.write_h5(path, arrays, item.facts, attributes)
        written = [path]
        if item.coords is not None:
            written.append(_write_patches(path.parent, item, item.coords, laid))
        if TISSUE in item.arrays:
            contours = out / CONTOURS / f"{item.slide_id}.geojson"
            with store.writing(contours) as part:
                part.write_bytes(item.arrays[TISSUE].tobytes())
            written.append(contours)
        return written


def patching_named(folder: str) -> Laid:
    """Return what a folder such as `20x_256px_0px_overlap` says; nothing of others."""
    found = _FOLDER.fullmatch(folder)
    if found is None or not float(found[1]):
        return Laid()
    mpp = 10 / float(found[1])
    return Laid(mpp=mpp, size=int(found[2]), overlap=int(found[3]))


def laid_from(told: dict[str, Any]) -> Laid:
    """Return how patches lie, from the attributes of coordinates.

    The magnification of level 0 is a class of scales, not a scale: it gives no `l0_mpp`.
    """
    number = {k: float(v) for k, v in told.items() if isinstance(v, np.number | float)}
    target, size = number.get("target_magnification"), number.get("patch_size")
    width, height = number.get("level0_width"), number.get("level0_height")
    overlap, l0_size = number.get("overlap"), number.get("patch_size_level0")
    return Laid(
        l0_mpp=number.get("level0_mpp"),
        mpp=number.get("target_mpp") or (10 / target if target else None),
        size=None if size is None else int(size),
        overlap=None if overlap is None else int(overlap),
        l0_size=l0_size,
        l0_extent=(int(width), int(height)) if width and height else None,
    )


def attributes_of(laid: Laid) -> dict[str, Any]:
    """Return the attributes that TRIDENT's readers expect; what is unknown is not there."""
    told: dict[str, Any] = {"patch_size": laid.size, "overlap": laid.overlap}
    if laid.l0_size is not None:
        told["patch_size_level0"] = round(laid.l0_size)
    if laid.mpp is not None:
        power = magnification(Mpp(laid.mpp))
        told["target_magnification"] = max(1, round(power))
        if laid.l0_size is not None and laid.size:
            told["level0_magnification"] = max(
                1, round(power * laid.l0_size / laid.size)
            )
    if laid.l0_mpp is not None:
        told["level0_mpp"] = float(laid.l0_mpp)
        told["level0_magnification"] = max(1, round(magnification(Mpp(laid.l0_mpp))))
    if laid.l0_extent is not None:
        told["level0_width"], told["level0_height"] = laid.l0_extent
    return {key: value for key, value in told.items() if value is not None}


def _set(folder: Path, features: Path) -> FeatureSet:
    places = []
    for path in named(features, ".h5"):
        patches = features.parent / "patches" / f"{path.stem}_patches.h5"
        places.append(Place(path.stem, path, patches if patches.exists() else None))
    return FeatureSet(
        features.relative_to(folder).as_posix(),
        tuple(places),
        features.name.rpartition("features_")[2],
    )


def _of_coords(place: Place, attributes: dict[str, Any]) -> list[tuple[str, Any]]:
    """Return the attributes of coordinates: of the patches' file, else the features'."""
    if place.patches is None:
        return list(attributes.get("coords", {}).items())
    with store.reading_h5(place.patches) as file:
        return [(key, encode(value)) for key, value in file["coords"].attrs.items()]


def _contours(root: Path, slide_id: str) -> dict[str, Array]:
    path = root / CONTOURS / f"{slide_id}.geojson"
    if not path.exists():
        return {}
    return {TISSUE: np.frombuffer(path.read_bytes(), np.uint8)}


def _folder(item: Item) -> str:
    """Return where the features of an item lie in a job folder.

    Raises:
        DataError: Nobody says how patches were laid.
    """
    told = item.home
    if _FOLDER.fullmatch(told.partition("/")[0]) and "features_" in told:
        return told
    if item.laid.folder is None:
        raise DataError(
            f"{item.slide_id}: {item.origin} does not say how its patches were laid: "
            "give --patching, such as 20x_256px_0px_overlap"
        )
    return f"{item.laid.folder}/features_{item.encoder_folder}"


def _write_patches(
    features: Path, item: Item, coords: Array, laid: dict[str, Any]
) -> Path:
    path = features.parent / "patches" / f"{item.slide_id}_patches.h5"
    if item.origin == TridentFormat.name:
        told = item.memo.get("patches", {}).get("attributes", {})
        laid = {key: decode(value) for key, value in told.items()}
    else:
        laid = {**laid, "savetodir": str(path.parent.parent)}
    store.write_h5(path, {"coords": item.typed("coords", coords)}, {}, {"coords": laid})
    return path
