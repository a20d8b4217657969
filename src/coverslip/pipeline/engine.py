"""Where work runs: one method, so that a cluster can stand in for this machine.

A task is a callable that can be sent elsewhere; items and results are paths and facts,
never arrays. One bad item never ends a batch: its error becomes part of its outcome.
What concerns all items does: a full disk, other parameters than before, no encoder.
"""

import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from coverslip.errors import CoverslipError, DataError, SlideError

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Outcome(Generic[Item, Result]):
    """What became of one item: a result, or the error that its owner should see."""

    item: Item
    result: Result | None = None
    error: str | None = None
    trace: str | None = None


class Engine(Protocol):
    """Runs a task on many items."""

    def run(
        self, task: Callable[[Item], Result], items: Sequence[Item]
    ) -> Iterator[Outcome[Item, Result]]:
        """Yield the outcome of each item as it comes, in any order.

        Raises:
            CoverslipError: Something that concerns all items, such as a full disk.
        """
        ...


@dataclass(frozen=True)
class LocalEngine:
    """Threads on this machine; the libraries underneath release the interpreter lock."""

    workers: int = 1

    def run(
        self, task: Callable[[Item], Result], items: Sequence[Item]
    ) -> Iterator[Outcome[Item, Result]]:
        """Yield the outcome of each item as it comes."""
        if self.workers <= 1:
            yield from (attempt(task, item) for item in items)
            return
        with ThreadPoolExecutor(self.workers, "engine") as pool:
            futures = [pool.submit(attempt, task, item) for item in items]
            try:
                for future in as_completed(futures):
                    yield future.result()
            finally:
                pool.shutdown(wait=True, cancel_futures=True)


def attempt(task: Callable[[Item], Result], item: Item) -> Outcome[Item, Result]:
    """Run a task on one item; turn an error about that item into its outcome.

    Raises:
        CoverslipError: Something that concerns all items, such as a full disk.
    """
    try:
        return Outcome(item, task(item))
    except (SlideError, DataError) as error:
        return Outcome(item, error=str(error))
    except CoverslipError:
        raise
    except Exception as error:  # noqa: BLE001 - libraries raise anything on bad input
        kind, reason = type(error).__name__, " ".join(str(error).split())
        return Outcome(
            item,
            error=f"{item}: unexpected {kind} ({reason or kind}): please report it",
            trace=traceback.format_exc(),
        )
