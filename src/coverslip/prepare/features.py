"""Features: one vector a patch, read straight from the slide (seed section II).

Reader threads fill the next batches while the encoder works on the one in hand; no
JPEG is written. A folder of exported patches can be read in the slide's place.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt

from coverslip import store
from coverslip.errors import CorruptFileError, DataError
from coverslip.prepare.ahead import ReadAhead
from coverslip.prepare.export import read_image, read_patch_folder
from coverslip.prepare.feature_options import FeatureOptions
from coverslip.prepare.patches import (
    Coordinates,
    Patches,
    PatchOptions,
    trident_attributes,
)
from coverslip.slides.reading import Reduce, read_patch
from coverslip.slides.slide import RGB, Slide

if TYPE_CHECKING:  # it loads torch
    from coverslip.prepare.encoders.encoder import Encoder

Progress = Callable[[int], None]
"""Told how many more patches are done."""


@dataclass(frozen=True)
class Features:
    """The features of one slide.

    Attributes:
        slide_id: The slide.
        features: (N, D) float16; another program's may be wider.
        coords: (N, 2) level-0 top-left corners in the same order; None when unknown.
        facts: Encoder, its weights' hash, and the patching.
        names: (N,) file names, of patches that came from files.
        attributes: What other programs expect on the coordinates.
        idle: Share of the time that encoder and readers waited, where just extracted.
    """

    slide_id: str
    features: npt.NDArray[np.floating[Any]]
    coords: Coordinates | None
    facts: store.Facts
    names: tuple[str, ...] = field(default=())
    attributes: Mapping[str, int] = field(default_factory=dict)
    idle: Mapping[str, float] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.features)

    def save(self, path: Path) -> None:
        """Write them as design section 2 says: contiguous, with TRIDENT's attributes."""
        arrays: dict[str, npt.NDArray[Any]] = {"features": self.features}
        if self.coords is not None:
            arrays["coords"] = self.coords
        place = {"name": self.slide_id, "savetodir": str(path.parent)}
        encoder = self.facts.get("encoder", {}).get("name", "unknown")
        store.write_h5(
            path,
            arrays,
            {"slide_id": self.slide_id, **self.facts},
            {
                "features": {"encoder": encoder, **place},
                "coords": {**self.attributes, **place},
            },
        )

    @classmethod
    def load(cls, path: Path) -> Self:
        """Open features of coverslip, TRIDENT or CLAM; all hold `features`.

        They are mapped from disk, not loaded, where the file is contiguous (ours
        always is), so that a cohort larger than memory trains as well as a small one.

        Raises:
            DataError: There is no such file, or it holds NaN or infinity.
            CorruptFileError: It is damaged, or not a file of features.
        """
        with store.reading_h5(path) as file:
            facts = store.facts_of(file)
            features = _mapped(path, file["features"])
            coords = (
                np.asarray(file["coords"][:], np.int64) if "coords" in file else None
            )
        features = _one_bag(features)
        coords = None if coords is None else _one_bag(coords)
        floating = np.issubdtype(features.dtype, np.floating)
        if (
            not floating
            or features.ndim != 2
            or (coords is not None and len(coords) != len(features))
        ):
            raise CorruptFileError(
                f"{path}: features {features.dtype} {features.shape} do not go with "
                "their coordinates: delete it and run the same command again"
            )
        check_finite(features, str(path))
        return cls(facts.pop("slide_id", path.stem), features, coords, facts)


def _one_bag(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return (N, D) of (1, N, D), as some programs write it."""
    return array[0] if array.ndim == 3 and len(array) == 1 else array


def _mapped(path: Path, dataset: Any) -> npt.NDArray[Any]:  # noqa: ANN401 - h5py
    offset = dataset.id.get_offset()
    if offset is None or dataset.size == 0:
        return np.asarray(dataset[:])
    return np.memmap(path, dataset.dtype, "r", offset, dataset.shape)


def check_finite(features: npt.NDArray[Any], name: str) -> None:
    """Refuse NaN and infinity.

    Raises:
        DataError: Some feature is not a finite number.
    """
    bad = ~np.isfinite(features).all(axis=1)
    if bad.any():
        raise DataError(
            f"{name}: features of {int(bad.sum())} of {len(bad)} patches are NaN, "
            "infinite or beyond float16: delete what is there and make them again, with "
            "--precision fp32"
        )


def features_made_with(
    patches: Patches,
    encoder: store.Facts,
    patching: store.Facts,
    reduce: Reduce = "area",
) -> store.Facts:
    """Return the facts that decide whether features on disk can be kept.

    `reduce` is null for the mean, as in files from before there was a choice.
    """
    return {
        "encoder": encoder,
        "patching": patching,
        "coords_sha256": coords_digest(patches.coords),
        "reduce": None if reduce == "area" else reduce,
    }


def coords_digest(coords: Coordinates) -> str:
    """Return a digest of coordinates, to tell whether features belong to them."""
    return hashlib.sha256(np.ascontiguousarray(coords, "<i8").tobytes()).hexdigest()[
        :16
    ]


def extract_features(
    slide: Slide,
    patches: Patches,
    encoder: "Encoder",
    options: FeatureOptions | None = None,
    progress: Progress | None = None,
) -> Features:
    """Encode the patches of a slide, read straight from it.

    Returns:
        Features in the order of the patches; (0, D) where there are none.

    Raises:
        UnreadableSlideError: Some patch cannot be decoded.
        EncoderError: Memory runs out even for one patch.
        DataError: The encoder returns NaN or infinity.
    """
    options = options or FeatureOptions()
    overlap = PatchOptions(**patches.facts["options"]).overlap
    l0_corners = [(int(x), int(y)) for x, y in patches.coords]
    batches = ReadAhead(
        l0_corners,
        lambda l0_xy: read_patch(slide, l0_xy, patches.scale, options.reduce),
        options.batch_size,
        options.workers,
    )
    made_with = features_made_with(
        patches, encoder.identity(), patches.facts["options"], options.reduce
    )
    return Features(
        slide_id=slide.slide_id,
        features=_embed(batches, encoder, slide.slide_id, progress),
        coords=patches.coords,
        facts={
            **{key: value for key, value in made_with.items() if value is not None},
            "scale": patches.scale.facts(),
        },
        attributes=trident_attributes(patches.scale, patches.l0_size, overlap),
        idle=batches.idle,
    )


def extract_folder(
    folder: Path,
    encoder: "Encoder",
    options: FeatureOptions | None = None,
    progress: Progress | None = None,
) -> Features:
    """Encode a folder of patch images; its name, or theirs, is the slide id.

    Raises:
        DataError: There is no image, or one cannot be read.
        EncoderError: Memory runs out even for one patch.
    """
    options = options or FeatureOptions()
    listing = read_patch_folder(folder)
    batches = ReadAhead(listing.paths, read_image, options.batch_size, options.workers)
    return Features(
        slide_id=listing.slide_id,
        features=_embed(batches, encoder, listing.slide_id, progress),
        coords=listing.coords,
        facts={"encoder": encoder.identity(), "patching": listing.patching},
        names=tuple(path.name for path in listing.paths),
    )


def _embed(
    batches: Iterable[RGB], encoder: "Encoder", name: str, progress: Progress | None
) -> npt.NDArray[np.float16]:
    parts = [np.empty((0, encoder.card.dim), np.float16)]
    for features in encoder.embed_each(batches):
        with np.errstate(over="ignore"):  # infinity is refused in the next line
            part = features.astype(np.float16)
        check_finite(part, name)
        parts.append(part)
        if progress is not None:
            progress(len(part))
    return np.concatenate(parts)
