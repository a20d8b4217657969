"""Tell one slide's file from another's, whatever they are called."""

import hashlib
from pathlib import Path

from coverslip.errors import UnreadableSlideError

PIECES = 16
PIECE = 65_536


def fingerprint(path: Path) -> str:
    """Return a digest of a file's size and of pieces spread evenly over it.

    A copy or a moved file keeps it; another slide under the same name does not. A
    megabyte is read, so it costs nothing even on a slide of many gigabytes.

    Raises:
        UnreadableSlideError: The file is gone, or cannot be read.
    """
    try:
        size = path.stat().st_size
        digest = hashlib.sha256(str(size).encode())
        with path.open("rb") as file:
            for piece in range(PIECES):
                file.seek(max(0, size - PIECE) * piece // (PIECES - 1))
                digest.update(file.read(PIECE))
    except FileNotFoundError:
        raise UnreadableSlideError(
            f"{path}: the slide was moved or deleted: put it back, or prepare it in "
            "another study from where it is now"
        ) from None
    except OSError as error:
        raise UnreadableSlideError(
            f"{path}: cannot be read ({error.strerror}): check the file"
        ) from None
    return digest.hexdigest()[:16]
