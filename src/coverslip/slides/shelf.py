"""What was costly to make and may be wanted again: each is made once, whoever asks first."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, Generic, TypeVar

Thing = TypeVar("Thing")


class _Place(Generic[Thing]):
    """Where one thing will be; locked while it is made."""

    __slots__ = ("making", "thing")

    def __init__(self) -> None:
        self.making = threading.Lock()
        self.thing: Thing | None = None


def nbytes(array: Any) -> int:  # noqa: ANN401 - any array
    """Return the bytes that an array takes."""
    return int(array.nbytes)


class Shelf(Generic[Thing]):
    """Keeps what was used last, up to so much; several threads may ask at once.

    Args:
        capacity: Most that is kept: bytes, or what `weigh` counts.
        weigh: How much one thing takes; the bytes of an array when not given.
    """

    def __init__(self, capacity: int, weigh: Callable[[Thing], int] = nbytes) -> None:
        self.capacity = capacity
        self.weigh = weigh
        self._turn = threading.Lock()
        self._places: OrderedDict[Hashable, _Place[Thing]] = OrderedDict()
        self._held = 0

    def get(self, key: Hashable, make: Callable[[], Thing]) -> Thing:
        """Return a thing, made now unless it is here; who asks meanwhile waits for it.

        What `make` raises is passed on, and nothing is kept.
        """
        with self._turn:
            place = self._places.get(key)
            if place is None:
                place = self._places[key] = _Place()
            else:
                self._places.move_to_end(key)
        with place.making:
            if place.thing is None:
                try:
                    place.thing = make()
                except BaseException:
                    with self._turn:
                        self._places.pop(key, None)
                    raise
                self._make_room(key, place, self.weigh(place.thing))
        return place.thing

    def _make_room(self, key: Hashable, place: _Place[Thing], weight: int) -> None:
        with self._turn:
            if self._places.get(key) is not place:
                return  # given up while it was made: it is not held
            self._held += weight
            while self._held > self.capacity and len(self._places) > 1:
                _, oldest = self._places.popitem(last=False)
                if oldest.thing is not None:
                    self._held -= self.weigh(oldest.thing)
