"""Bags on their way into a training: read ahead, in order, standardised, on the device.

Features stay on disk, mapped, in the type they were written in. Each step's bags are
put in canonical order, standardised block by block (a block fits in the cache) and
rounded once to what the reduction computes in, while the step before is computed. Where
the device has room for the whole cohort, it stays there from the first epoch on.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import psutil
import torch
from torch import Tensor

from coverslip.learn.bags import Bag, bag_coords, bag_tensor
from coverslip.learn.models.layers import Standardise
from coverslip.learn.models.pseudobags import canonical_order

BLOCK = 32_768
"""Values of a block: PyTorch hands more to several threads, which takes longer here."""

GPU_SHARE, CPU_SHARE = 0.6, 0.3
"""Share of the free memory of a GPU, or of the machine, that bags may stay in."""

Order = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Labelled:
    """A bag and the number of its class."""

    bag: Bag
    label: int


@dataclass(frozen=True)
class Batch:
    """Bags laid end to end, ready for a model.

    Attributes:
        x: Standardised features (N, D) on the device, each bag in canonical order.
        items: The bags, in the order of their patches in x.
    """

    x: Tensor
    items: tuple[Labelled, ...]

    @property
    def sizes(self) -> list[int]:
        """How many patches each bag has."""
        return [len(item.bag) for item in self.items]

    @property
    def labels(self) -> list[int]:
        """The class of each bag."""
        return [item.label for item in self.items]


class Loader:
    """Hands out bags in batches, one batch ahead.

    Args:
        items: Bags, each with at least one patch.
        standardise: By training statistics, on the device.
        device: Where they are wanted.
        dtype: What the reduction computes in.
        room: Bytes of bags that may stay on the device; without, a share of what is
            free there.

    Attributes:
        keeps: Whether its bags stay on the device, each from its first batch on.
        room_left: What of the room its bags do not take.
    """

    def __init__(
        self,
        items: Sequence[Labelled],
        standardise: Standardise,
        device: torch.device,
        dtype: torch.dtype = torch.float32,
        room: int | None = None,
    ) -> None:
        self.items = items
        self._standardise, self._device, self._dtype = standardise, device, dtype
        self._orders: dict[int, Order | None] = {}
        self._kept: dict[int, Tensor] = {}
        needed = sum(item.bag.features.size for item in items) * dtype.itemsize
        room = room_on(device) if room is None else room
        self.keeps = needed <= room
        self.room_left = room - needed * self.keeps

    def batches(self, order: Sequence[int], size: int) -> Iterator[Batch]:
        """Yield the bags of these numbers, so many at a time; the last has the rest."""
        parts = [order[at : at + size] for at in range(0, len(order), size)]
        with ThreadPoolExecutor(1, "bags") as ahead:
            coming = ahead.submit(self._batch, parts[0]) if parts else None
            for following in [*parts[1:], None]:
                if coming is None:
                    return
                batch = coming.result()
                coming = (
                    None if following is None else ahead.submit(self._batch, following)
                )
                yield batch

    def _batch(self, numbers: Sequence[int]) -> Batch:
        with torch.no_grad():
            each = [self._bag(number) for number in numbers]
        x = each[0] if len(each) == 1 else torch.cat(each)
        return Batch(x, tuple(self.items[number] for number in numbers))

    def _bag(self, number: int) -> Tensor:
        """Return one bag, ready, (n, D)."""
        if number in self._kept:
            return self._kept[number]
        bag = self.items[number].bag
        if number not in self._orders:
            self._orders[number] = _order(bag)
        x = self._ready(bag.features, self._orders[number])
        if self.keeps:
            self._kept[number] = x
        return x

    def _ready(self, features: npt.NDArray[np.floating], order: Order | None) -> Tensor:
        n, dim = features.shape
        if self._device.type == "cuda":
            own = np.array(features) if order is None else features[order]
            raw = torch.from_numpy(own).pin_memory()
            moved = raw.to(self._device, non_blocking=True)
            ready: Tensor = self._standardise(moved).to(self._dtype)
            return ready
        x = torch.empty(n, dim, dtype=self._dtype)
        rows = max(1, BLOCK // dim)
        for start in range(0, n, rows):
            block = slice(start, start + rows)
            part = features[block] if order is None else features[order[block]]
            x[block] = self._standardise(torch.from_numpy(np.array(part)))
        return x


def room_on(device: torch.device) -> int:
    """Return the bytes of bags that may stay on a device."""
    if device.type == "cuda":
        torch.cuda.empty_cache()  # what an earlier training held counts as free
        free, _ = torch.cuda.mem_get_info(device)
        return int(GPU_SHARE * free)
    return int(CPU_SHARE * psutil.virtual_memory().available)


def _order(bag: Bag) -> Order | None:
    """Return the canonical order of a bag's patches; None where they lie in it."""
    coords = bag_coords(bag)
    x = bag_tensor(bag) if coords is None else torch.empty(len(bag), 0)
    order: Order = canonical_order(x, coords).numpy()
    return None if np.array_equal(order, np.arange(len(order))) else order
