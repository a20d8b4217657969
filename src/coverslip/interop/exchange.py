"""What formats exchange: one slide's features, and all that is known of them.

A format that has no room for something must not lose it. So whatever a file said goes
along as a memo, in the attribute `coverslip` of the file that is written (or beside it,
where a format has no attributes), and a conversion back takes it from there: arrays,
their types, attributes and facts come back as they were.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from coverslip import store
from coverslip.geometry import Mpp, magnification
from coverslip.interop.h5_files import Array, Attributes, decode, exact
from coverslip.prepare.patches import Coordinates

MEMO = "exchange"
"""Member of the facts of a file that holds the memo."""

BESIDE = "coverslip"
"""Folder that holds the memos of formats without attributes: `<slide_id>.h5`."""

UNKNOWN = "unknown"
"""An encoder that nobody names."""


@dataclass(frozen=True)
class Laid:
    """How the patches of a slide lie on it; None is what nobody says.

    Attributes:
        l0_mpp: Micrometres per pixel of level 0.
        mpp: Micrometres per pixel of a patch.
        size: Side of a patch in pixels.
        overlap: Pixels that neighbours share.
        l0_size: Side of a patch in level-0 pixels.
        l0_extent: (width, height) of the slide.
        level: The level that is read.
        lv_size: Side of what is read there.
        downsample: Of that level.
    """

    l0_mpp: float | None = None
    mpp: float | None = None
    size: int | None = None
    overlap: int | None = None
    l0_size: float | None = None
    l0_extent: tuple[int, int] | None = None
    level: int | None = None
    lv_size: int | None = None
    downsample: float | None = None

    def completed(self, other: "Laid") -> "Laid":
        """Return this with what it lacks from another, and what follows from both."""
        lacking = {
            name: value
            for name, value in vars(other).items()
            if getattr(self, name) is None and value is not None
        }
        full = replace(self, **lacking)
        if full.l0_size is None and full.size and full.mpp and full.l0_mpp:
            full = replace(full, l0_size=full.size * full.mpp / full.l0_mpp)
        if full.mpp is None and full.size and full.l0_size and full.l0_mpp:
            full = replace(full, mpp=full.l0_size * full.l0_mpp / full.size)
        return full

    @property
    def folder(self) -> str | None:
        """The name of the patching, such as `20x_256px_0px_overlap`."""
        if self.mpp is None or self.size is None or self.overlap is None:
            return None
        power = f"{magnification(Mpp(self.mpp)):.4g}"
        return f"{power}x_{self.size}px_{self.overlap}px_overlap"


@dataclass(frozen=True)
class Known:
    """What the user says, where a file does not.

    Attributes:
        laid: How patches were laid.
        l0_mpp: Scales of level 0 by slide id, in lower case.
        l0_extents: (width, height) of slides by slide id, in lower case.
        slides: The slides themselves by slide id, in lower case.
        encoder: The encoder's name.
        lenient: Do without a scale: micrometres stay micrometres.
    """

    laid: Laid = field(default_factory=Laid)
    l0_mpp: Mapping[str, float] = field(default_factory=dict)
    l0_extents: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    slides: Mapping[str, Path] = field(default_factory=dict)
    encoder: str | None = None
    lenient: bool = False

    def of(self, slide_id: str) -> Laid:
        """Return what is said of one slide."""
        stated = self.l0_mpp.get(slide_id.lower(), self.laid.l0_mpp)
        extent = self.l0_extents.get(slide_id.lower())
        return replace(self.laid, l0_mpp=stated, l0_extent=extent)


@dataclass(frozen=True)
class Place:
    """Where one slide's features lie.

    Attributes:
        slide_id: The slide.
        path: The file of features.
        patches: The file of coordinates beside it, if there is one.
    """

    slide_id: str
    path: Path
    patches: Path | None = None


@dataclass(frozen=True)
class FeatureSet:
    """Features of one encoder and one way to lay patches.

    Attributes:
        name: Its folder, below the folder of the format.
        places: One for each slide.
        encoder: The encoder, where the folder names it.
    """

    name: str
    places: tuple[Place, ...]
    encoder: str | None = None


@dataclass(frozen=True)
class Item:
    """One slide on its way from a format to another.

    Attributes:
        slide_id: The slide.
        features: (N, D) of any floating type.
        coords: (N, 2) int64 level-0 top-left corners; None where unknown.
        encoder: The encoder's name.
        laid: How its patches lie.
        memo: What else the first file said; JSON-ready.
        arrays: Further arrays of it, by name.
        remembered: The encoder that our attribute names, where the format's own
            attribute names another.
    """

    slide_id: str
    features: Array
    coords: Coordinates | None
    encoder: str = UNKNOWN
    laid: Laid = field(default_factory=Laid)
    memo: store.Facts = field(default_factory=dict)
    arrays: Mapping[str, Array] = field(default_factory=dict)
    remembered: str | None = None

    @property
    def origin(self) -> str:
        """The format that it came from at first."""
        return str(self.memo.get("origin", ""))

    @property
    def home(self) -> str:
        """The folder in its first format, of plain names only; "" where it has none.

        A file says it, and files are not to be trusted with where others are written.
        """
        told = str(self.memo.get("set", ""))
        parts = told.split("/")
        plain = all(re.fullmatch(r"[\w.+-]+", one) and one.strip(".") for one in parts)
        return told if plain else ""

    @property
    def encoder_folder(self) -> str:
        """The encoder's name as part of a folder's."""
        return re.sub(r"[^\w.+-]+", "_", self.encoder).lstrip(".") or UNKNOWN

    @property
    def facts(self) -> store.Facts:
        """What is written into a file's root attribute, with the memo in it."""
        return {"slide_id": self.slide_id, MEMO: {**self.memo, **self._more}}

    @property
    def _more(self) -> store.Facts:
        return {"encoder": self.encoder, "laid": vars(self.laid)}

    def attributes(self, name: str) -> dict[str, Any]:
        """Return the attributes that the first file had on a dataset, or "" on itself."""
        told = self.memo.get("attributes", {}).get(name, {})
        return {key: decode(value) for key, value in told.items()}

    def typed(self, name: str, array: Array) -> Array:
        """Return an array in the type that the first file had it in, if none is lost."""
        told = self.memo.get("dtypes", {}).get(name)
        return array if told is None else exact(array, np.dtype(told))


class Format(Protocol):
    """One format: recognise a folder, read its slides one by one, write them.

    Attributes:
        name: As `--to` and `--from` take it.
        title: As people know it.
    """

    name: str
    title: str

    def recognise(self, folder: Path) -> bool:
        """Say whether a folder looks like this format."""
        ...

    def sets(self, folder: Path) -> list[FeatureSet]:
        """Return the sets of features in it; nothing is read but names."""
        ...

    def read(self, place: Place, known: Known) -> Item:
        """Read one slide.

        Raises:
            DataError: It is damaged, or something is missing.
        """
        ...

    def path(self, out: Path, item: Item) -> Path:
        """Return where the features of a slide would be written.

        Raises:
            DataError: The format needs something that is not known.
        """
        ...

    def write(self, out: Path, item: Item) -> list[Path]:
        """Write one slide.

        Returns:
            The files.

        Raises:
            DataError: The format needs something that is not known.
            OutputError: They cannot be written.
        """
        ...


def take_memo(facts: store.Facts) -> tuple[store.Facts, Laid, str | None]:
    """Return the memo in the facts of a file that coverslip wrote, if there is one."""
    memo = dict(facts.get(MEMO, {}))
    laid = dict(memo.pop("laid", {}))
    if laid.get("l0_extent"):
        laid["l0_extent"] = tuple(laid["l0_extent"])
    return memo, Laid(**laid), memo.pop("encoder", None)


def which_encoder(visible: object, ours: str | None) -> tuple[str | None, str | None]:
    """Return the encoder of a file, and what our attribute said where it differs.

    Args:
        visible: The attribute that the format's own readers see, as it was encoded.
        ours: The name in our attribute.
    """
    said = decode(visible)
    said = said.decode("utf-8", "replace") if isinstance(said, bytes) else said
    if not isinstance(said, str) or said in {"", "None", UNKNOWN}:
        return ours, None
    return said, ours if ours not in {None, said} else None


def new_memo(
    origin: str, name: str, arrays: Mapping[str, Array], attributes: Attributes
) -> store.Facts:
    """Begin the memo of a file that is read for the first time."""
    return {
        "origin": origin,
        "set": name,
        "dtypes": {key: array.dtype.str for key, array in arrays.items()},
        "attributes": attributes,
    }


def write_beside(
    out: Path, item: Item, arrays: Mapping[str, Array] | None = None
) -> Path:
    """Write the memo of a format that has no attributes."""
    path = out / BESIDE / f"{item.slide_id}.h5"
    store.write_h5(path, {**item.arrays, **(arrays or {})}, item.facts)
    return path


def read_beside(folder: Path, slide_id: str) -> tuple[store.Facts, dict[str, Array]]:
    """Return facts and arrays that `write_beside` wrote; empty where it did not."""
    path = folder / BESIDE / f"{slide_id}.h5"
    if not path.exists():
        return {}, {}
    with store.reading_h5(path) as file:
        return store.facts_of(file), {k: np.asarray(v[()]) for k, v in file.items()}
