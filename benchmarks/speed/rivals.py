"""Other programs, as far as the person who measures names a checkout of them.

    --clam DIR        github.com/mahmoodlab/CLAM
    --trident DIR     github.com/mahmoodlab/TRIDENT
    --peer-python PY  an interpreter that has what they need

Programs that come as packages (torchmil, SOMA) take part where that interpreter, which
is this one unless another is named, has them. torchmil can live beside coverslip:
`pip install '.[bench]'`. SOMA needs torchvision and more, thus an environment of its own.

Their own code runs, in their own interpreter; here is only how to start it. What they
need (torchvision and timm among it), and the weights that timm fetches, is the business
of that interpreter.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryFile

from benchmarks.speed.measure import Spent

PACKAGES = ("torchmil", "soma")
"""Programs that are installed, not checked out, as Python imports them."""


@dataclass(frozen=True)
class Rivals:
    """Which other programs take part.

    Attributes:
        folders: Checkouts by name, `clam` and `trident`.
        python: The interpreter that runs them.
        packages: Those that it has installed, of `PACKAGES`.
    """

    folders: dict[str, Path] = field(default_factory=dict)
    python: str = sys.executable
    packages: frozenset[str] = frozenset()

    @classmethod
    def asked(cls, given: argparse.Namespace) -> "Rivals":
        """Return those that the command line names."""
        named = {"clam": given.clam, "trident": given.trident}
        folders = {k: v.resolve() for k, v in named.items() if v is not None}
        # not resolved: a virtual environment's interpreter is a link
        python = os.path.abspath(given.peer_python)  # noqa: PTH100
        return cls(folders, python, installed(python))

    def __contains__(self, name: str) -> bool:
        return name in self.folders or name in self.packages

    def env(self, name: str) -> dict[str, str]:
        """Return what a program needs to find its own modules."""
        folder = self.folders.get(name)
        return {} if folder is None else {"PYTHONPATH": str(folder)}

    @contextmanager
    def at_work(self, name: str, code: str) -> Iterator[Callable[[], Spent]]:
        """Start a program, and give a function that has it work once.

        Args:
            name: The program.
            code: Python that defines `work()`, run in its folder, if it has one.

        Raises:
            RuntimeError: It fails.
        """
        with (
            TemporaryFile("w+") as complaints,
            subprocess.Popen(
                [self.python, "-c", code + _LOOP],
                cwd=self.folders.get(name),
                env={**os.environ, **self.env(name)},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=complaints,
                text=True,
            ) as process,
        ):

            def work() -> Spent:
                if (spent := _once(process)) is None:
                    process.wait()
                    complaints.seek(0)
                    told = " ".join(complaints.read()[-500:].split())
                    raise RuntimeError(f"{name}: ended without doing the work: {told}")
                return spent

            try:
                yield work
            finally:
                process.kill()


def installed(python: str) -> frozenset[str]:
    """Return which of `PACKAGES` an interpreter has."""
    ask = (
        "from importlib.util import find_spec\n"
        f"print(*[name for name in {PACKAGES} if find_spec(name)])"
    )
    said = subprocess.run(
        [python, "-c", ask], capture_output=True, text=True, check=True
    )
    return frozenset(said.stdout.split())


_LOOP = f"""
import io as _io, json as _json, sys as _sys, time as _time
from contextlib import redirect_stdout as _redirect
for _ in _sys.stdin:
    with _redirect(_io.StringIO()):
        _cpu, _wall = _time.process_time(), _time.perf_counter()
        work()
        _spent = [_time.process_time() - _cpu, _time.perf_counter() - _wall]
    print({'"spent "'} + _json.dumps(_spent), flush=True)
"""


def _once(process: "subprocess.Popen[str]") -> Spent | None:
    """Have a program work once; None if it is there no more."""
    if process.stdin is None or process.stdout is None:
        return None
    with suppress(BrokenPipeError):
        os.write(process.stdin.fileno(), b"\n")
    for line in process.stdout:
        if line.startswith("spent "):
            cpu, wall = json.loads(line.removeprefix("spent "))
            return Spent(cpu, wall)
    return None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Let the command line name checkouts."""
    parser.add_argument("--clam", type=Path, help="checkout of mahmoodlab/CLAM")
    parser.add_argument("--trident", type=Path, help="checkout of mahmoodlab/TRIDENT")
    parser.add_argument(
        "--peer-python", default=sys.executable, help="interpreter that runs them"
    )
