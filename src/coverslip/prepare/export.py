"""Patches as JPEG files, and folders of patch images of any origin.

    <folder>/<slide_id>_0.5mpp_256px/<slide_id>_0.5mpp_256px_x<l0_x>_y<l0_y>.jpg

Source: the seed's patch extraction and `getFolder_name` (1.3, 1.4); the scale stands in
the name in place of the pyramid level.
"""

import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from coverslip.errors import CorruptFileError, DataError
from coverslip.geometry import Mpp, Scale
from coverslip.slides.reading import read_patch
from coverslip.slides.slide import RGB, Slide
from coverslip.store import writing

Coordinates = npt.NDArray[np.int64]
"""Top-left corners (N, 2), (x, y) in level-0 pixels."""

IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png", ".tif", ".tiff"}

JPEG_BEGIN, JPEG_END = b"\xff\xd8", b"\xff\xd9"


@dataclass(frozen=True)
class PatchName:
    """What the file name of an exported patch says."""

    slide_id: str
    mpp: Mpp
    size: int
    l0_xy: tuple[int, int]


@dataclass(frozen=True)
class PatchFolder:
    """The patch images of one slide.

    Attributes:
        slide_id: From the names of the images, else the name of the folder.
        paths: The images: row by row where the names tell the coordinates, else by name.
        coords: (N, 2) level-0 top-left corners (x, y), in the same order; None unless
            every name tells them, of one slide and one scale.
        patching: `mpp` and `size` in pixels; empty when `coords` is None.
    """

    slide_id: str
    paths: tuple[Path, ...]
    coords: Coordinates | None
    patching: dict[str, Any]


def folder_name(slide_id: str, scale: Scale) -> str:
    """Return the name of a slide's folder of patches: `<slide_id>_0.5mpp_256px`."""
    return f"{slide_id}_{scale.asked_mpp:g}mpp_{scale.size}px"


def patch_name(slide_id: str, scale: Scale, l0_xy: tuple[int, int]) -> str:
    """Return the file name of one patch."""
    return f"{folder_name(slide_id, scale)}_x{l0_xy[0]}_y{l0_xy[1]}.jpg"


_NAME = re.compile(
    r"(?P<slide_id>.+)_(?P<mpp>[0-9][0-9.e-]*)mpp_(?P<size>[0-9]+)px"
    r"_x(?P<x>-?[0-9]+)_y(?P<y>-?[0-9]+)\.\w+"
)


def parse_patch_name(name: str) -> PatchName | None:
    """Read the file name of an exported patch; None for a name of another kind."""
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    try:
        mpp = Mpp(float(match["mpp"]))
    except ValueError:
        return None
    l0_xy = int(match["x"]), int(match["y"])
    return PatchName(match["slide_id"], mpp, int(match["size"]), l0_xy)


def coords_of_names(names: Sequence[str]) -> Coordinates | None:
    """Return the (N, 2) coordinates that file names tell; None unless all agree.

    All must be of one slide and one scale.
    """
    parsed = [found for name in names if (found := parse_patch_name(name)) is not None]
    kinds = {(found.slide_id, found.mpp, found.size) for found in parsed}
    if len(parsed) != len(names) or len(kinds) != 1:
        return None
    return np.array([found.l0_xy for found in parsed], dtype=np.int64)


def export_patches(
    slide: Slide,
    l0_coords: Coordinates,
    scale: Scale,
    folder: Path,
    *,
    quality: int = 90,
    workers: int = 4,
) -> Path:
    """Write patches as JPEG files; whole ones that are there already are kept.

    Args:
        slide: The slide.
        l0_coords: Top-left corners (N, 2), (x, y) in level-0 pixels.
        scale: What to read and what to make of it.
        folder: Where the slide's own folder is made.
        quality: JPEG quality, 1 to 100.
        workers: Threads that read and write.

    Returns:
        The slide's own folder.

    Raises:
        UnreadableSlideError: Some pixels cannot be decoded.
        OutputError: The folder cannot be written.
    """
    made = folder / folder_name(slide.slide_id, scale)

    def export(l0_xy: tuple[int, int]) -> None:
        path = made / patch_name(slide.slide_id, scale, l0_xy)
        if not _is_whole(path):
            _write_jpeg(path, read_patch(slide, l0_xy, scale), quality)

    with ThreadPoolExecutor(workers, "export") as pool:
        corners = ((int(x), int(y)) for x, y in l0_coords)
        for _ in pool.map(export, corners):
            pass
    return made


def _is_whole(path: Path) -> bool:
    """Say whether a JPEG file is there and has its beginning and its end."""
    try:
        with path.open("rb") as file:
            begins = file.read(2) == JPEG_BEGIN
            file.seek(-2, 2)
            return begins and file.read(2) == JPEG_END
    except OSError:
        return False


def _write_jpeg(path: Path, image: RGB, quality: int) -> None:
    bgr = np.ascontiguousarray(image[:, :, ::-1])
    _, encoded = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
    with writing(path) as part:
        part.write_bytes(encoded.tobytes())


def read_patch_folder(folder: Path) -> PatchFolder:
    """List the patch images of one slide.

    Args:
        folder: A folder with `.jpg`, `.png` or `.tif` images, named in any way.

    Raises:
        DataError: There is no such folder, or no image in it.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder: check the path")
    paths = sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")
    )
    if not paths:
        raise DataError(f"{folder}: no .jpg, .png or .tif image in it")
    coords = coords_of_names([path.name for path in paths])
    first = parse_patch_name(paths[0].name)
    if coords is None or first is None:
        return PatchFolder(folder.name, tuple(paths), None, {})
    order = np.lexsort(coords.T)
    return PatchFolder(
        first.slide_id,
        tuple(paths[i] for i in order),
        coords[order],
        {"mpp": first.mpp, "size": first.size},
    )


def read_image(path: Path) -> RGB:
    """Read one patch image as RGB.

    Returns:
        An image of shape (height, width, 3).

    Raises:
        CorruptFileError: It is missing, truncated, or no image.
    """
    try:
        with Image.open(path) as image:
            return np.asarray(image.convert("RGB"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise CorruptFileError(
            f"{path}: not a readable image ({error}): delete or export it again"
        ) from None
