"""Read patches ahead: threads fill the next batches while the last one is worked on."""

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

import numpy as np

from coverslip.errors import DataError
from coverslip.slides.slide import RGB

Item = TypeVar("Item")

AHEAD = 2
"""Batches that are read before they are asked for."""

PIECE = 8
"""Patches that a thread reads at a time: handing out single ones costs too much."""


class ReadAhead(Generic[Item]):
    """Batches of patches, in order, from `AHEAD` + 1 arrays that are used again.

    A batch is good until the next is asked for.

    Args:
        items: What to read: places, or files.
        read: Reads one patch (H, W, 3); several threads call it.
        batch_size: Patches of a batch; the last has what is left.
        workers: Threads.

    Attributes:
        waited: Seconds that batches were waited for: what works on them was idle.
        wall: Seconds from the first batch to the last one's end.
        busy: Seconds that threads spent reading, added up.
    """

    def __init__(
        self,
        items: Sequence[Item],
        read: Callable[[Item], RGB],
        batch_size: int,
        workers: int,
    ) -> None:
        self._items, self._read = items, read
        self._batch_size, self._workers = batch_size, workers
        self.waited = self.wall = self.busy = 0.0

    def __iter__(self) -> Iterator[RGB]:
        """Yield batches (B, H, W, 3).

        Raises:
            DataError: Patches differ in size; or as `read`.
        """
        if not self._items:
            return
        begun = time.perf_counter()
        first = self._read(self._items[0])  # shows the size
        self.waited += time.perf_counter() - begun
        size = min(self._batch_size, len(self._items))
        free = deque(np.empty((size, *first.shape), np.uint8) for _ in range(AHEAD + 1))
        starts = deque(range(0, len(self._items), self._batch_size))
        waiting: deque[tuple[RGB, list[Future[float]]]] = deque()
        with ThreadPoolExecutor(self._workers, "patches") as threads:
            try:
                while starts or waiting:
                    while starts and free:
                        waiting.append(
                            self._order(threads, starts.popleft(), free, first)
                        )
                    asked = time.perf_counter()
                    batch, pieces = waiting.popleft()
                    self.busy += sum(piece.result() for piece in pieces)
                    self.waited += time.perf_counter() - asked
                    yield batch
                    free.append(batch if batch.base is None else batch.base)
                self.wall = time.perf_counter() - begun
            finally:
                threads.shutdown(wait=True, cancel_futures=True)

    @property
    def idle(self) -> dict[str, float]:
        """Return the share of the time that the encoder and the readers were idle."""
        wall = max(self.wall, 1e-9)
        return {
            "encoder_idle": round(min(1.0, self.waited / wall), 3),
            "readers_idle": round(max(0.0, 1 - self.busy / (self._workers * wall)), 3),
        }

    def _order(
        self,
        threads: ThreadPoolExecutor,
        start: int,
        free: deque[RGB],
        first: RGB,
    ) -> tuple[RGB, list[Future[float]]]:
        """Have a batch read, piece by piece, into a free array."""
        items = self._items[start : start + self._batch_size]
        whole = free.popleft()
        batch = whole if len(items) == len(whole) else whole[: len(items)]
        pieces = [
            threads.submit(self._fill, batch[at : at + PIECE], items[at : at + PIECE])
            for at in range(start == 0, len(items), PIECE)
        ]
        if start == 0:
            batch[0] = first
        return batch, pieces

    def _fill(self, places: RGB, items: Sequence[Item]) -> float:
        """Read a few patches into their places; return the seconds."""
        begun = time.perf_counter()
        for place, item in zip(places, items, strict=True):
            patch = self._read(item)
            if patch.shape != place.shape:
                raise DataError(
                    f"patches differ in size ({place.shape}, {patch.shape}): "
                    "make them all one size"
                )
            place[:] = patch
        return time.perf_counter() - begun
