"""The files that the page is made of: our own, and OpenSeadragon's.

OpenSeadragon (BSD-3-Clause) is not in this repository. It is served from where it was
installed: by the package `tissuumaps`, which carries a build of it, or from a file that
the user names. Nothing of that package is imported or run.
"""

import os
from importlib import metadata
from pathlib import Path, PurePosixPath

from coverslip.errors import DataError, MissingExtraError

PAGE = Path(__file__).parent / "page"
CARRIER = "tissuumaps"
SCRIPT = "openseadragon.min.js"

NAMED = "COVERSLIP_OPENSEADRAGON"
"""Environment variable that names the script, where no file is given."""

KINDS = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
"""Content type by suffix of a file."""


def page_files() -> dict[str, Path]:
    """Return the page's own files by name."""
    return {path.name: path for path in PAGE.iterdir() if path.suffix in KINDS}


def find_openseadragon(named: Path | None = None) -> Path:
    """Return OpenSeadragon's built script.

    Args:
        named: The file, where the user has it; else the one that the environment names;
            else it is looked for.

    Raises:
        DataError: The file that was named is not OpenSeadragon.
        MissingExtraError: No package that carries it is installed.
    """
    if named is None and os.environ.get(NAMED):
        named = Path(os.environ[NAMED])
    if named is not None:
        if not named.is_file() or b"openseadragon" not in named.read_bytes()[:4096]:
            raise DataError(
                f"{named}: not OpenSeadragon: give {SCRIPT} of one of its releases"
            )
        return named
    for script in _carried():
        if script.is_file():
            return script
    raise MissingExtraError(
        "OpenSeadragon is not installed: pip install 'coverslip[view]', or name its "
        f"{SCRIPT} with --openseadragon"
    )


def _carried() -> list[Path]:
    """Return where the package that carries the script says that it lies."""
    try:
        files = metadata.files(CARRIER) or []
    except metadata.PackageNotFoundError:
        return []
    return [Path(str(f.locate())) for f in files if PurePosixPath(f).name == SCRIPT]
