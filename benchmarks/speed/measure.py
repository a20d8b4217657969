"""Timing on a noisy machine: contestants take turns, and medians of ratios count."""

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

REPEATS = 5


@dataclass(frozen=True)
class Timing:
    """What one contestant needed.

    Attributes:
        cpu: CPU seconds of each repeat, all threads of this process together.
        wall: Seconds of each repeat.
        items: What was done in each: tiles, patches, slides.
    """

    cpu: tuple[float, ...]
    wall: tuple[float, ...]
    items: int

    @property
    def rate(self) -> float:
        """Items a CPU second, the median."""
        return self.items / statistics.median(self.cpu)

    def times_faster(self, other: "Timing") -> float:
        """Return how many items it does while another does one, per CPU second.

        The median of the ratios of the same repeat: both saw the same neighbours.
        """
        ratios = [
            (theirs / other.items) / (ours / self.items)
            for ours, theirs in zip(self.cpu, other.cpu, strict=True)
        ]
        return statistics.median(ratios)

    def times_sooner(self, other: "Timing") -> float:
        """Return the same of the time that passed."""
        ratios = [
            (theirs / other.items) / (ours / self.items)
            for ours, theirs in zip(self.wall, other.wall, strict=True)
        ]
        return statistics.median(ratios)


def take_turns(
    contestants: Mapping[str, tuple[Callable[[], object], int]], repeats: int = REPEATS
) -> dict[str, Timing]:
    """Run contestants in turn, after one round that does not count.

    Args:
        contestants: By name, what to run and how many items it does.
        repeats: Rounds that count.
    """
    cpu: dict[str, list[float]] = {name: [] for name in contestants}
    wall: dict[str, list[float]] = {name: [] for name in contestants}
    for repeat in range(repeats + 1):
        for name, (work, _) in contestants.items():
            begun, spent = time.perf_counter(), time.process_time()
            work()
            if repeat:
                cpu[name].append(time.process_time() - spent)
                wall[name].append(time.perf_counter() - begun)
    return {
        name: Timing(tuple(cpu[name]), tuple(wall[name]), items)
        for name, (_, items) in contestants.items()
    }
