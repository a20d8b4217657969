"""STAMP's features: `EXTRACTOR-HASH/SLIDE.h5` with `feats`, coordinates in micrometres.

Micrometres become level-0 pixels by the slide's scale, which STAMP does not write: it
is stated, or read from the slide. STAMP's corners need not lie on whole pixels; they are
rounded as STAMP rounds them for its heatmaps, and the micrometres are kept beside.

Source: `preprocess` and `get_coords` of STAMP 2.5: names of attributes are theirs.
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
    take_memo,
    which_encoder,
)
from coverslip.interop.h5_files import (
    Array,
    decode,
    named,
    read_h5,
)
from coverslip.prepare.patches import Coordinates

WRITTEN_AS = "2.1.0"
"""The STAMP from which this layout is known; newer ones read it, older ones refuse it."""

UM = "coords_um"
"""Array that keeps STAMP's own coordinates."""

_HISTORIC = (256.0, 224)
"""Micrometres and pixels of a tile before STAMP wrote them down."""


class StampFormat:
    """Folders of STAMP's tile features."""

    name = "stamp"
    title = "features of STAMP"

    def recognise(self, folder: Path) -> bool:
        """Say whether some file in it, or in a folder of it, holds `feats`."""
        return bool(self.sets(folder))

    def sets(self, folder: Path) -> list[FeatureSet]:
        """Return the folders of extractors; slides may lie deeper in them."""
        children = [one for one in sorted(folder.iterdir()) if one.is_dir()]
        here = [folder] if named(folder, ".h5") else children
        found = []
        for one in here:
            files = named(one, ".h5", deep=True)
            if any(_holds_feats(path) for path in files[:20]):
                places = tuple(Place(path.stem, path) for path in files)
                name = one.relative_to(folder).as_posix()
                found.append(FeatureSet(name, places))
        return found

    def read(self, place: Place, known: Known) -> Item:
        """Read one slide.

        Raises:
            DataError: It holds one vector a slide or case, or the slide's scale is not
                known.
        """
        arrays, attributes, facts = read_h5(place.path, "feats")
        root = {key: decode(value) for key, value in attributes[""].items()}
        kind = str(root.get("feat_type", "tile"))
        if kind != "tile" or "encoder" in root:
            raise DataError(
                f"{place.path}: one vector a {kind}, not one a tile: give the folder of "
                "the extractor"
            )
        features, coords = arrays.pop("feats"), arrays.pop("coords", None)
        memo, laid, encoder = take_memo(facts)
        name, other = which_encoder(attributes[""].get("extractor"), encoder)
        name = name or known.encoder or UNKNOWN
        if not memo:
            both = {"feats": features} | ({} if coords is None else {"coords": coords})
            memo = new_memo(self.name, place.path.parent.name, both, attributes)
        if memo["origin"] == self.name and coords is not None:
            arrays[UM] = coords
        in_um, told = _tile(place, root, coords)
        laid = laid.completed(told).completed(known.of(place.slide_id))
        if laid.l0_size is None:
            laid = _in_level0(laid, root)
        corners = _level0(place, in_um, laid, lenient=known.lenient)
        if corners is None and coords is not None:
            arrays[UM] = coords
        return Item(place.slide_id, features, corners, name, laid, memo, arrays, other)

    def path(self, out: Path, item: Item) -> Path:
        """Return where the features of a slide would be written."""
        own = item.home if item.origin == self.name else ""
        return out / (own or item.encoder_folder) / f"{item.slide_id}.h5"

    def write(self, out: Path, item: Item) -> list[Path]:
        """Write one slide.

        Raises:
            DataError: Coordinates, the size of a patch or the scale are not known.
        """
        path = self.path(out, item)
        arrays = dict(item.arrays)
        if item.origin == self.name:
            own = arrays.pop(UM, None)
            arrays["feats"] = item.typed("feats", item.features)
            arrays |= {} if own is None else {"coords": own}
            store.write_h5(path, arrays, item.facts, {"": item.attributes("")})
            return [path]
        laid = item.laid
        if item.coords is None or laid.l0_mpp is None or laid.l0_size is None:
            raise DataError(
                f"{item.slide_id}: STAMP wants coordinates in um, and the slide's scale "
                "or the size of its patches is not known: give --slides, --mpp or "
                "--mpp-csv, and --patching"
            )
        side = laid.l0_size * laid.l0_mpp
        arrays["feats"] = item.features
        arrays["coords"] = (item.coords * laid.l0_mpp).astype(np.float32)
        root = {
            "stamp_version": WRITTEN_AS,
            "extractor": item.encoder,
            "unit": "um",
            "tile_size_um": float(side),
            "tile_size_px": int(laid.size or round(laid.l0_size)),
            "code_hash": "coverslip",
            "feat_type": "tile",
        }
        store.write_h5(path, arrays, item.facts, {"": root})
        return [path]


def _holds_feats(path: Path) -> bool:
    try:
        with store.reading_h5(path) as file:
            return "feats" in file
    except CorruptFileError:
        return False


def _tile(
    place: Place, root: dict[str, Any], coords: Array | None
) -> tuple[Array | None, Laid]:
    """Return coordinates in um and the tile's size, of STAMP's three layouts."""
    if coords is None:
        return None, Laid()
    side = root.get("tile_size_um") or (
        root.get("tile_size") if root.get("unit") == "um" else None
    )
    pixels = root.get("tile_size_px")
    in_um = np.asarray(coords, np.float64)
    if side is None:
        if round(float(root.get("tile_size", _stride(coords)))) != _HISTORIC[1]:
            raise DataError(
                f"{place.path}: does not say the unit of its coordinates: extract it "
                "again with `stamp preprocess`"
            )
        side, pixels = _HISTORIC
        in_um = in_um / pixels * side
    size = int(pixels) if pixels else None
    mpp = float(side) / size if size else None
    return in_um, Laid(size=size, mpp=mpp, overlap=0)


def _stride(coords: Array) -> float:
    """Return the smallest step between two coordinates, 0 where there is none."""
    steps = [np.diff(np.unique(axis)) for axis in coords.T]
    return float(min((one.min() for one in steps if one.size), default=0.0))


def _in_level0(laid: Laid, root: dict[str, Any]) -> Laid:
    side = root.get("tile_size_um") or root.get("tile_size")
    if laid.l0_mpp is None or side is None:
        return laid
    return laid.completed(Laid(l0_size=float(side) / laid.l0_mpp))


def _level0(
    place: Place, in_um: Array | None, laid: Laid, *, lenient: bool
) -> Coordinates | None:
    """Return level-0 corners, rounded to whole pixels."""
    if in_um is None or (laid.l0_mpp is None and lenient):
        return None
    if laid.l0_mpp is None:
        raise DataError(
            f"{place.path}: STAMP gives micrometres, and nothing says the slide's scale: "
            "give --slides, --mpp or --mpp-csv"
        )
    return np.rint(in_um / laid.l0_mpp).astype(np.int64)
