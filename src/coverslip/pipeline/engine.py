"""Where work runs: one method, so that a cluster can stand in for this machine.

A task is a callable that can be sent elsewhere; items and results are paths and facts,
never arrays. One bad item never ends a batch: its error becomes part of its outcome.
What concerns all items does: a full disk, other parameters than before, no encoder.
"""

import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from coverslip.errors import CoverslipError, DataError, SlideError

if TYPE_CHECKING:
    from coverslip.prepare.encoders.devices import Device

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Outcome(Generic[Item, Result]):
    """What became of one item: a result, or the error that its owner should see.

    Attributes:
        item: What the task was given.
        result: What it returned; None where it failed.
        error: Why it failed, in one line.
        trace: Where an error came from that nobody foresaw.
        cause: The error itself, where it can be had.
    """

    item: Item
    result: Result | None = None
    error: str | None = None
    trace: str | None = None
    cause: Exception | None = None

    def taken(self) -> Result:
        """Return the result, or raise the error: where one bad item does end it all.

        Raises:
            Exception: What the task raised.
        """
        if self.error is not None:
            raise self.cause or RuntimeError(self.trace or self.error)
        return self.result  # type: ignore[return-value] # without an error it is there


class Engine(Protocol):
    """Runs a task on many items."""

    @property
    def remote(self) -> bool:
        """Whether tasks run elsewhere: they, and what they know, then travel there."""
        ...

    def run(
        self,
        task: Callable[[Item], Result],
        items: Sequence[Item],
        network: "Device | None" = None,
    ) -> Iterator[Outcome[Item, Result]]:
        """Yield the outcome of each item as it comes, in any order.

        Args:
            task: What is done with an item.
            items: Paths and facts.
            network: Where the network runs that the task works with; None when it
                works with none. A network takes a whole device, or every core.

        Raises:
            CoverslipError: Something that concerns all items, such as a full disk.
        """
        ...


@dataclass(frozen=True)
class LocalEngine:
    """Threads on this machine; the libraries underneath release the interpreter lock.

    What works with a network is done in order, one item after the other.
    """

    workers: int = 1
    remote = False

    def run(
        self,
        task: Callable[[Item], Result],
        items: Sequence[Item],
        network: "Device | None" = None,
    ) -> Iterator[Outcome[Item, Result]]:
        """Yield the outcome of each item as it comes."""
        if self.workers <= 1 or network is not None:
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
        return Outcome(item, error=str(error), cause=error)
    except CoverslipError:
        raise
    except Exception as error:  # noqa: BLE001 - libraries raise anything on bad input
        kind, reason = type(error).__name__, " ".join(str(error).split())
        return Outcome(
            item,
            error=f"{item}: unexpected {kind} ({reason or kind}): please report it",
            trace=traceback.format_exc(),
            cause=error,
        )
