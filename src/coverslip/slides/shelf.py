"""Decoded tiles that the next read may want: each is decoded once, whoever asks first."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable

from coverslip.slides.slide import RGB


class _Place:
    """Where one tile will be; locked while it is decoded."""

    __slots__ = ("making", "pixels")

    def __init__(self) -> None:
        self.making = threading.Lock()
        self.pixels: RGB | None = None


class Shelf:
    """Keeps the tiles used last, up to so many bytes; several threads may ask at once.

    Args:
        capacity: Most bytes kept.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._turn = threading.Lock()
        self._places: OrderedDict[Hashable, _Place] = OrderedDict()
        self._held = 0

    def get(self, key: Hashable, make: Callable[[], RGB]) -> RGB:
        """Return a tile, made now unless it is here; who asks meanwhile waits for it.

        What `make` raises is passed on, and nothing is kept.
        """
        with self._turn:
            place = self._places.get(key)
            if place is None:
                place = self._places[key] = _Place()
            else:
                self._places.move_to_end(key)
        with place.making:
            if place.pixels is None:
                try:
                    place.pixels = make()
                except BaseException:
                    with self._turn:
                        self._places.pop(key, None)
                    raise
                self._make_room(key, place, place.pixels.nbytes)
        return place.pixels

    def _make_room(self, key: Hashable, place: _Place, nbytes: int) -> None:
        with self._turn:
            if self._places.get(key) is not place:
                return  # given up while it was made: it is not held
            self._held += nbytes
            while self._held > self.capacity and len(self._places) > 1:
                _, oldest = self._places.popitem(last=False)
                if oldest.pixels is not None:
                    self._held -= oldest.pixels.nbytes
