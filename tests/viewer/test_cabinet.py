"""Slides are opened once, stay open while they are read, and are closed in the end."""

import pytest

from coverslip.errors import UnreadableSlideError
from coverslip.viewer.cabinet import Cabinet


class Paper:
    """A slide that only knows whether it is closed."""

    l0_size = (512, 512)

    def __init__(self):
        self.closed = False

    def close(self):
        """Remember it."""
        self.closed = True


@pytest.fixture
def opened():
    """Return what was opened, by id."""
    return {}


@pytest.fixture
def cabinet(opened):
    """Return a cabinet for two slides."""

    def open_one(slide_id):
        if slide_id == "torn":
            raise UnreadableSlideError("torn: damaged")
        assert slide_id not in opened or opened[slide_id].closed
        opened[slide_id] = Paper()
        return opened[slide_id]

    return Cabinet(open_one, most=2)


def look(cabinet, *slide_ids):
    """Read slides, one after the other."""
    for slide_id in slide_ids:
        with cabinet.pyramid(slide_id):
            pass


def test_the_slide_unread_for_longest_is_closed(cabinet, opened):
    """A third slide closes the first, and one that was read again stays."""
    look(cabinet, "a", "b", "a", "c")
    assert [key for key, slide in opened.items() if slide.closed] == ["b"]


def test_a_slide_is_not_closed_while_it_is_read(cabinet, opened):
    """However many others are asked for meanwhile; afterwards it is."""
    with cabinet.pyramid("a"):
        look(cabinet, "b", "c", "d")
        assert not opened["a"].closed
    look(cabinet, "e", "f")
    assert opened["a"].closed


def test_a_slide_that_cannot_be_opened_takes_no_place(cabinet, opened):
    """It is tried anew each time, and closes nothing."""
    look(cabinet, "a", "b")
    for _ in range(3):
        with pytest.raises(UnreadableSlideError), cabinet.pyramid("torn"):
            pass
    assert not any(slide.closed for slide in opened.values())


def test_closing_closes_all(cabinet, opened):
    """Nothing stays open."""
    look(cabinet, "a", "b")
    cabinet.close()
    assert all(slide.closed for slide in opened.values())
