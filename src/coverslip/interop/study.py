"""Our own study as one of the formats: what it says of a slide, and back into it.

What was made here and comes back unchanged lies again where it lay, byte for byte in
all that counts. What came from elsewhere goes into `imported/`.
"""

import hashlib
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from coverslip import store
from coverslip.interop.exchange import (
    MEMO,
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
from coverslip.prepare.features import coords_digest
from coverslip.tables import read_csv

SHARE, TISSUE = "tissue_share", "tissue_geojson"
"""Arrays that hold the patches' share of tissue, and the text of the outlines."""

PREPARED = "prepare.json"
_OWN = {SHARE, TISSUE}


class StudyFormat:
    """A study folder of coverslip."""

    name = "study"
    title = "a study of coverslip"

    def recognise(self, folder: Path) -> bool:
        """Say whether it holds a table of slides, or features that were imported."""
        return (folder / "slides.csv").is_file() or (folder / "imported").is_dir()

    def sets(self, folder: Path) -> list[FeatureSet]:
        """Return the folders of features, of slides and imported ones."""
        found = sorted(
            [*folder.glob("*_overlap/features_*"), *folder.glob("imported/*")]
        )
        return [_set(folder, one) for one in found if named(one, ".h5")]

    def read(self, place: Place, known: Known) -> Item:
        """Read one slide's features, patches and outlines."""
        arrays, attributes, facts = read_h5(place.path)
        features = arrays.pop("features")
        coords = arrays.pop("coords", None)
        coords = None if coords is None else whole(place.path, coords)
        memo, laid, encoder = take_memo(facts)
        slide_id = place.slide_id
        if not memo:
            both = {"features": features}
            both |= {} if coords is None else {"coords": coords}
            root = place.path.parents[2]
            memo = new_memo(
                self.name, _below(root, place.path.parent), both, attributes
            )
            memo |= {"facts": facts, "digest": digest(features)}
            memo |= _set_facts(root, place)
            arrays |= _patches(place, memo)
            arrays |= _tissue(root, slide_id)
            laid = laid_of(facts, memo.get("patches", {}).get("facts", {}))
        encoder = encoder or facts.get("encoder", {}).get("name")
        name, other = which_encoder(attributes["features"].get("encoder"), encoder)
        name = name or known.encoder or UNKNOWN
        laid = laid.completed(known.of(slide_id))
        return Item(slide_id, features, coords, name, laid, memo, arrays, other)

    def path(self, out: Path, item: Item) -> Path:
        """Return where the features of a slide would be written."""
        imported = f"imported/features_{item.encoder_folder}"
        folder = item.home if is_own(item) else imported
        return out / folder / f"{item.slide_id}.h5"

    def write(self, out: Path, item: Item) -> list[Path]:
        """Write one slide where it came from, or into `imported`."""
        path = self.path(out, item)
        if is_own(item):
            return _write_own(out, path, item)
        arrays = {"features": item.features, **item.arrays}
        if item.coords is not None:
            arrays["coords"] = item.coords
        patching = {"mpp": item.laid.mpp, "size": item.laid.size}
        facts = {
            **item.facts,
            "imported_from": item.origin,
            "encoder": {"name": item.encoder},
            "patching": {k: v for k, v in patching.items() if v is not None},
        }
        store.write_h5(path, arrays, facts)
        return [path]


def row_of(known: Known, slide_id: str) -> store.Facts:
    """Return the row of `slides.csv` of a slide that was given along; else nothing."""
    path = known.slides.get(slide_id.lower())
    if path is None:
        return {}
    laid = known.of(slide_id)
    width, height = laid.l0_extent or ("", "")
    mpp = laid.l0_mpp or ""
    return {"path": str(path), "width": width, "height": height, "mpp": mpp}


def digest(features: Array) -> str:
    """Return a digest of features that does not depend on how wide they are stored."""
    wide = np.ascontiguousarray(features, "<f8" if features.itemsize > 4 else "<f4")
    return hashlib.sha256(wide.tobytes()).hexdigest()[:16]


def is_own(item: Item) -> bool:
    """Say whether a slide was made by coverslip and is as it was."""
    if item.origin != StudyFormat.name or "/features_" not in item.home:
        return False
    facts = item.memo.get("facts", {})
    if facts.get("encoder", {}).get("name", item.encoder) != item.encoder:
        return False
    laid = facts.get("coords_sha256")
    if laid is not None and (item.coords is None or coords_digest(item.coords) != laid):
        return False
    return bool(item.memo.get("digest") == digest(item.features))


def laid_of(facts: Mapping[str, Any], patches: Mapping[str, Any]) -> Laid:
    """Return how patches lie, from the facts of features and of patches."""
    scale, options = facts.get("scale") or {}, facts.get("patching") or {}
    size, stride = options.get("size"), options.get("stride")
    l0_mpp, level_mpp = scale.get("l0_mpp"), scale.get("level_mpp")
    extent = patches.get("l0_size")
    return Laid(
        l0_mpp=l0_mpp,
        mpp=options.get("mpp"),
        size=size,
        overlap=size - (stride or size) if size else None,
        l0_size=scale.get("l0_size"),
        l0_extent=tuple(extent) if extent else None,
        level=scale.get("level"),
        lv_size=scale.get("lv_size"),
        downsample=level_mpp / l0_mpp if l0_mpp and level_mpp else None,
    )


def _set(folder: Path, features: Path) -> FeatureSet:
    places = []
    for path in named(features, ".h5"):
        patches = features.parent / "patches" / f"{path.stem}_patches.h5"
        places.append(Place(path.stem, path, patches if patches.exists() else None))
    encoder = features.name.removeprefix("features_")
    return FeatureSet(_below(folder, features), tuple(places), encoder)


def _below(root: Path, path: Path) -> str:
    return path.relative_to(root).as_posix()


def _set_facts(root: Path, place: Place) -> store.Facts:
    """Return what is known of the slide beside its features."""
    prepared = place.path.parent / PREPARED
    facts = {}
    if prepared.exists():
        facts["prepare"] = store.read_json(prepared)
    table = root / "slides.csv"
    if table.exists():
        row = _rows(table, table.stat().st_mtime_ns).get(place.slide_id)
        facts |= {"row": row} if row else {}
    return facts


@lru_cache(maxsize=2)
def _rows(table: Path, _changed: int) -> dict[str, dict[str, str]]:
    return {row["slide_id"]: row for row in read_csv(table, ("slide_id",))}


def _patches(place: Place, memo: store.Facts) -> dict[str, Array]:
    """Note how the slide's patches were laid; return the share of tissue of each."""
    if place.patches is None:
        return {}
    with store.reading_h5(place.patches) as file:
        told = {key: encode(value) for key, value in file["coords"].attrs.items()}
        memo["patches"] = {"facts": store.facts_of(file), "attributes": told}
        return {SHARE: np.asarray(file[SHARE][:])} if SHARE in file else {}


def _tissue(root: Path, slide_id: str) -> dict[str, Array]:
    path = store.Study(root).tissue(slide_id)
    if not path.exists():
        return {}
    return {TISSUE: np.frombuffer(path.read_bytes(), np.uint8)}


def _write_own(out: Path, path: Path, item: Item) -> list[Path]:
    folder = path.parent
    further = {k: v for k, v in item.arrays.items() if k not in _OWN}
    arrays = {"features": item.typed("features", item.features), **further}
    if item.coords is not None and "coords" in item.memo["dtypes"]:
        arrays["coords"] = item.coords
    attributes = {name: item.attributes(name) for name in arrays}
    facts = {k: v for k, v in item.memo["facts"].items() if k != MEMO}
    store.write_h5(path, arrays, facts, attributes)
    written = [path]
    if (prepared := item.memo.get("prepare")) is not None:
        store.write_json(folder / PREPARED, prepared)
    patches = item.memo.get("patches")
    if patches is not None and item.coords is not None and SHARE in item.arrays:
        beside = folder.parent / "patches" / f"{item.slide_id}_patches.h5"
        told = {key: decode(value) for key, value in patches["attributes"].items()}
        both = {"coords": item.coords, SHARE: item.arrays[SHARE]}
        store.write_h5(beside, both, patches["facts"], {"coords": told})
        written.append(beside)
    if TISSUE in item.arrays:
        outlines = store.Study(out).tissue(item.slide_id)
        with store.writing(outlines) as part:
            part.write_bytes(item.arrays[TISSUE].tobytes())
        written.append(outlines)
    return written
