"""Tell one slide's file from another's, whatever they are called."""

import hashlib
from pathlib import Path

PIECES = 16
PIECE = 65_536


def fingerprint(path: Path) -> str:
    """Return a digest of a file's size and of pieces spread evenly over it.

    A copy or a moved file keeps it; another slide under the same name does not. A
    megabyte is read, so it costs nothing even on a slide of many gigabytes.
    """
    size = path.stat().st_size
    digest = hashlib.sha256(str(size).encode())
    with path.open("rb") as file:
        for piece in range(PIECES):
            file.seek(max(0, size - PIECE) * piece // (PIECES - 1))
            digest.update(file.read(PIECE))
    return digest.hexdigest()[:16]
