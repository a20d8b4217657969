"""Timing on a noisy machine: contestants take turns, and medians of ratios count.

Every stage returns its facts, `rows` among them, one a contestant:

    what             the task
    who              the contestant
    per_cpu_second   items done in one CPU second, all threads together
    times_rival      how many it does while the rival does one, per CPU second
    wall_times_rival the same of the time that passed, where it is told
    of_limit         its share of what the machine allows, where that is known
    seconds          CPU seconds of one item, where that is what is asked for
    peak_mb          most memory that its process held
    exponent         of the growth of cost with the number of items
    error, cosine    of features against exact ones, the worst patch's
    bar              what is asked, by the name of the figure
    cpu_lacks        the arithmetic that the row is about, where this CPU has none
"""

import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from coverslip import store
from coverslip.prepare.encoders.devices import cpu_has

REPEATS = 5

Contestants = dict[str, tuple[Callable[[], object], int]]
"""By name, what to run and how many items it does."""

AT_MOST = ("seconds", "peak_mb", "exponent", "error")
"""Figures that have to stay below what is asked; the others have to reach it."""


@dataclass(frozen=True)
class Spent:
    """What one piece of work cost: CPU seconds, and seconds that passed."""

    cpu: float
    wall: float


class Clock:
    """Runs from when it is made; all threads of this process count."""

    def __init__(self) -> None:
        self._cpu, self._wall = time.process_time(), time.perf_counter()

    def spent(self) -> Spent:
        """Return what was spent since."""
        return Spent(time.process_time() - self._cpu, time.perf_counter() - self._wall)


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
    contestants: Contestants, repeats: int = REPEATS, *, warm: bool = True
) -> dict[str, Timing]:
    """Run contestants in turn, after one round that does not count.

    Args:
        contestants: By name, what to run and how many items it does. What it costs
            is measured here, unless it says so itself by returning what was spent.
        repeats: Rounds that count.
        warm: Run that round; whole programs are no warmer after it.
    """
    cpu: dict[str, list[float]] = {name: [] for name in contestants}
    wall: dict[str, list[float]] = {name: [] for name in contestants}
    for repeat in range(0 if warm else 1, repeats + 1):
        for name, (work, _) in contestants.items():
            clock = Clock()
            told = work()
            if not isinstance(told, Spent):
                told = clock.spent()
            if repeat:
                cpu[name].append(told.cpu)
                wall[name].append(told.wall)
    return {
        name: Timing(tuple(cpu[name]), tuple(wall[name]), items)
        for name, (_, items) in contestants.items()
    }


def rows_of(
    what: str,
    timed: Mapping[str, Timing],
    *,
    rival: str | None = None,
    limit: str | None = None,
    bars: Mapping[str, store.Facts] | None = None,
) -> list[store.Facts]:
    """Return the rows of one task.

    Args:
        what: The task.
        timed: What each contestant needed, by name.
        rival: Who stands for 1.
        limit: Who stands for what the machine allows.
        bars: What is asked of a contestant, by its name and the figure's.
    """
    rows = []
    for name, timing in timed.items():
        row: store.Facts = {
            "what": what,
            "who": name,
            "per_cpu_second": _round(timing.rate),
            "times_rival": None,
            "of_limit": _round(timing.times_faster(timed[limit])) if limit else None,
        }
        if rival in timed:
            row["times_rival"] = _round(timing.times_faster(timed[rival]))
            row["wall_times_rival"] = _round(timing.times_sooner(timed[rival]))
        if bars and name in bars:
            row["bar"] = dict(bars[name])
            row |= lacking(name)
        rows.append(row)
    return rows


def kinds() -> tuple[str, ...]:
    """Return PyTorch's precisions that are worth timing: it imitates bf16 very slowly."""
    return tuple(kind for kind in ("fp32", "bf16") if cpu_has(kind))


def lacking(who: str) -> store.Facts:
    """Say that this CPU has no instructions for the precision in a contestant's name."""
    lacks = [kind for kind in ("bf16", "int8") if kind in who and not cpu_has(kind)]
    return {"cpu_lacks": lacks[0]} if lacks else {}


def verdict(row: store.Facts, yes: str = "met", no: str = "**missed**") -> str:
    """Say whether a row reaches what is asked of it.

    A precision that the CPU can only imitate is not judged.
    """
    if (lacks := row.get("cpu_lacks")) is not None:
        return f"this CPU has no {lacks}"
    return {True: yes, False: no, None: "not measured"}[met(row)]


def rows_beside(
    what: str,
    timed: Mapping[str, Timing],
    rivals: Sequence[str],
    bars: Mapping[str, store.Facts] | None = None,
) -> list[store.Facts]:
    """Return the rows of one task once for each rival, or once if there is none.

    Args:
        what: The task.
        timed: What each contestant needed, by name.
        rivals: The names that are rivals'.
        bars: What is asked of a contestant against each of them.
    """
    ours = {name: timing for name, timing in timed.items() if name not in rivals}
    if not rivals:
        return rows_of(what, ours)
    return [
        row
        for rival in rivals
        for row in rows_of(
            f"{what}, to {rival}",
            {**ours, rival: timed[rival]},
            rival=rival,
            bars=bars,
        )
    ]


def met(row: store.Facts) -> bool | None:
    """Say whether a row reaches what is asked of it; None where it was not measured."""
    verdicts = []
    for figure, asked in row.get("bar", {}).items():
        if (value := row.get(figure)) is None:
            return None
        verdicts.append(value <= asked if figure in AT_MOST else value >= asked)
    return all(verdicts) if verdicts else None


def show(facts: store.Facts) -> None:
    """Print a stage's rows as a short table, with what is asked and whether it is met."""
    told = ("per_cpu_second", "seconds", "peak_mb", "times_rival", "wall_times_rival")
    others = ("of_limit", "share_of_start", "exponent", "error", "cosine")
    columns = ["what", "who", *told, *others, "encoder_idle", "readers_idle", "bar"]
    shown = [c for c in columns if any(r.get(c) is not None for r in facts["rows"])]
    lines = [shown, *([_cell(row, c) for c in shown] for row in facts["rows"])]
    widths = [max(len(line[i]) for line in lines) for i in range(len(shown))]
    print(f"{facts['stage']}: {facts.get('slide', '')}".rstrip(": "))
    for line in lines:
        cells = zip(line, widths, strict=True)
        print("  ".join(cell.ljust(width) for cell, width in cells).rstrip())


def _cell(row: store.Facts, column: str) -> str:
    if column != "bar":
        return "" if row.get(column) is None else str(row[column])
    asked = ", ".join(
        f"{figure} {'<' if figure in AT_MOST else '>'} {value:g}"
        for figure, value in row.get("bar", {}).items()
    )
    return f"{asked}: {verdict(row, 'yes', 'NO')}" if asked else ""


def _round(value: float) -> float:
    """Return a figure with three digits that count."""
    return float(f"{value:.3g}")


def coverslip(*arguments: object) -> list[str | Path]:
    """Return a command line of ours, run by this interpreter."""
    code = "from coverslip.cli import main; main()"
    return [sys.executable, "-c", code, *map(str, arguments)]


def run_process(
    command: Sequence[str | Path],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> Spent:
    """Run a program to its end, and return what it and its children cost.

    Raises:
        RuntimeError: It fails; the message has the end of what it said.
    """
    begun, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env={**os.environ, **(env or {})},
        capture_output=True,
        text=True,
        check=False,
    )
    wall, after = (
        time.perf_counter() - begun,
        resource.getrusage(resource.RUSAGE_CHILDREN),
    )
    if done.returncode:
        told = (done.stderr or done.stdout).strip()[-2000:]
        raise RuntimeError(f"{command[0]} {command[1]} failed: {told}")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Spent(cpu, wall)


def run_apart(module: str, *arguments: object) -> store.Facts:
    """Run a module in a fresh process; return the JSON of the last line that it prints.

    Raises:
        RuntimeError: It fails.
    """
    command = [sys.executable, "-m", module, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{module} failed: {done.stderr.strip()[-2000:]}")
    facts: store.Facts = json.loads(done.stdout.splitlines()[-1])
    return facts


def peak_mb() -> float:
    """Return the most memory that this process has held, in megabytes.

    Linux counts in `ru_maxrss` what the parent held when it started this process, so
    that the process's own record is asked first.
    """
    status = Path("/proc/self/status")
    if status.exists():
        told = dict(
            line.split(":", 1)
            for line in status.read_text().splitlines()
            if ":" in line
        )
        if "VmHWM" in told:
            return round(int(told["VmHWM"].split()[0]) / 1024, 1)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (2**20 if sys.platform == "darwin" else 1024), 1)
