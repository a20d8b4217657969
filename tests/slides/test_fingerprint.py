"""A fingerprint follows the content of a file, not its name."""

import shutil

import pytest

from coverslip.errors import UnreadableSlideError
from coverslip.slides.fingerprint import PIECE, PIECES, fingerprint


def test_a_copy_under_another_name_keeps_it(tmp_path):
    """Moving or copying a slide changes nothing."""
    (tmp_path / "a.tif").write_bytes(bytes(range(256)) * 10)
    shutil.copy(tmp_path / "a.tif", tmp_path / "b.tif")
    assert fingerprint(tmp_path / "a.tif") == fingerprint(tmp_path / "b.tif")


def test_another_content_of_the_same_size_has_another(tmp_path):
    """One changed byte at the start, the end, or in a piece between, is seen."""
    size = 3 * PIECE * PIECES
    plain = tmp_path / "plain"
    plain.write_bytes(bytes(size))
    seen = {fingerprint(plain)}
    for place in (0, size - 1, (size - PIECE) * 7 // (PIECES - 1)):
        content = bytearray(size)
        content[place] = 1
        plain.write_bytes(content)
        seen.add(fingerprint(plain))
    assert len(seen) == 4


def test_another_size_has_another(tmp_path):
    """Zeros more or less make another file."""
    marks = set()
    for size in (0, 1, PIECE, PIECE + 1):
        (tmp_path / "a").write_bytes(bytes(size))
        marks.add(fingerprint(tmp_path / "a"))
    assert len(marks) == 4


def test_a_file_that_is_gone_or_no_file_is_told_by_name(tmp_path):
    """One line, with what to do."""
    with pytest.raises(UnreadableSlideError, match=r"a\.tif: the slide was moved"):
        fingerprint(tmp_path / "a.tif")
    with pytest.raises(UnreadableSlideError, match="cannot be read"):
        fingerprint(tmp_path)
