"""The slides that are open: a few, each opened once and closed when nobody reads it."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from coverslip.slides.slide import Slide
from coverslip.viewer.pyramid import Pyramid

OPEN = 4
"""Slides kept open; each may keep 256 MB of decoded tiles."""


class _Drawer:
    """One slide: how many read it now, and its pyramid once it is open."""

    def __init__(self) -> None:
        self.opening = threading.Lock()
        self.readers = 0
        self.pyramid: Pyramid | None = None


class Cabinet:
    """Opens slides by id, and closes those that were not asked for lately.

    Args:
        open_one: Opens a slide by its id.
        most: How many stay open while nobody reads them.
    """

    def __init__(self, open_one: Callable[[str], Slide], most: int = OPEN) -> None:
        self.open_one = open_one
        self.most = most
        self._turn = threading.Lock()
        self._drawers: OrderedDict[str, _Drawer] = OrderedDict()

    @contextmanager
    def pyramid(self, slide_id: str) -> Iterator[Pyramid]:
        """Give the pyramid of a slide; it stays open within the block.

        Raises:
            CoverslipError: The slide cannot be opened.
        """
        with self._turn:
            drawer = self._drawers.setdefault(slide_id, _Drawer())
            self._drawers.move_to_end(slide_id)
            drawer.readers += 1
        try:
            with drawer.opening:
                if drawer.pyramid is None:
                    drawer.pyramid = Pyramid(self.open_one(slide_id))
            yield drawer.pyramid
        finally:
            with self._turn:
                drawer.readers -= 1
                self._make_room()

    def close(self) -> None:
        """Close every slide."""
        with self._turn:
            for drawer in self._drawers.values():
                if drawer.pyramid is not None:
                    drawer.pyramid.slide.close()
            self._drawers.clear()

    def _make_room(self) -> None:
        """Close what nobody reads, the longest unread first; forget what did not open."""
        idle = [
            (slide_id, drawer)
            for slide_id, drawer in self._drawers.items()
            if not drawer.readers
        ]
        bare = [slide_id for slide_id, drawer in idle if drawer.pyramid is None]
        for slide_id in bare:
            del self._drawers[slide_id]
        surplus = len(self._drawers) - self.most
        for slide_id, drawer in [pair for pair in idle if pair[0] not in bare]:
            if surplus <= 0:
                return
            del self._drawers[slide_id]
            surplus -= 1
            if drawer.pyramid is not None:
                drawer.pyramid.slide.close()
