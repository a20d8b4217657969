"""What every result says of how it came about, and where the data lie."""

import json
import os
import platform
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from coverslip import store
from coverslip.errors import DataError
from coverslip.prepare.encoders.devices import cpu_flags
from coverslip.version import __version__

PROJECT = Path(__file__).resolve().parents[2]

RESULTS = PROJECT / "benchmarks" / "results"
"""Where results are kept."""


PACKAGES = (
    *("torch", "numpy", "scikit-learn", "openvino", "nncf", "openslide-python"),
    *("openslide-bin", "tifffile", "imagecodecs", "simplejpeg", "torchmil"),
)
"""Packages whose versions are told, as far as they are installed."""

DECISIVE = frozenset(
    {
        "avx2",
        "avx512f",
        "avx512_bf16",
        "avx512_vnni",
        "avx_vnni",
        "amx_bf16",
        "amx_int8",
    }
)
"""Instruction sets that are told of a machine."""


def data_folder() -> Path:
    """Return the folder of real data: $COVERSLIP_DATA, or `shared/data` beside us.

    Raises:
        DataError: It is not there.
    """
    named = os.environ.get("COVERSLIP_DATA")
    folder = Path(named) if named else PROJECT.parent / "shared" / "data"
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder: set COVERSLIP_DATA to the data's")
    return folder


def circumstances() -> store.Facts:
    """Return the command, the versions and the machine, JSON-ready."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    program = (
        f"-m {spec.name.removesuffix('.__main__')}" if spec else Path(sys.argv[0]).name
    )
    return {
        "commit": commit_of(PROJECT),
        "command": " ".join(["python", program, *map(without_paths, sys.argv[1:])]),
        "versions": {
            "coverslip": __version__,
            "python": platform.python_version(),
            **dict(_versions()),
        },
        "machine": machine(),
    }


def without_paths(text: str) -> str:
    """Return a text in which of each absolute path only its last part is left."""
    return re.sub(r"(?<![\w.:/])/(?:[^/\s]+/)+(?=[^/\s])", "", text)


def _versions() -> Iterator[tuple[str, str]]:
    for name in PACKAGES:
        with suppress(PackageNotFoundError):
            yield name, version(name)


def machine() -> str:
    """Return what computes here, and which instructions of it decide how fast."""
    told = f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPUs"
    cpuinfo = Path("/proc/cpuinfo")
    named = cpuinfo.exists() and re.search(
        r"^model name\s*:\s*(.+)$", cpuinfo.read_text(encoding="utf-8"), re.MULTILINE
    )
    return ", ".join(
        [told, *([named[1]] if named else []), *sorted(DECISIVE & cpu_flags())]
    )


def commit_of(checkout: Path) -> str | None:
    """Return the commit checked out, with `-dirty` where a file differs from it.

    Results and pages do not count: the parts of one run each write theirs. None where
    git knows of no commit.
    """

    def git(*words: str) -> str:
        return subprocess.run(
            ["git", *words], cwd=checkout, capture_output=True, text=True, check=False
        ).stdout.strip()

    commit = git("describe", "--always", "--abbrev=12")
    written = f":!{RESULTS.relative_to(PROJECT).as_posix()}", ":!docs", ":!README.md"
    changed = git("status", "--porcelain", "--untracked-files=no", "--", ".", *written)
    return f"{commit}-dirty" if commit and changed else commit or None


def earlier_rows(out: Path, facts: store.Facts) -> list[store.Facts]:
    """Return the rows of an earlier result of the same plan; none if there is none.

    Each says which commit it was measured at.

    Args:
        out: The earlier result.
        facts: The new one, without rows: all that is not of `circumstances` is plan.

    Raises:
        DataError: The plan of the earlier result differs.
    """
    if not out.exists():
        return []
    old = store.read_json(out)
    passing = circumstances().keys()
    plan = {k: v for k, v in json.loads(json.dumps(facts)).items() if k not in passing}
    other = [key for key, value in plan.items() if old.get(key) != value]
    if other:
        raise DataError(
            f"{out}: made with other {', '.join(other)}: measure every model again"
        )
    return [{"commit": old["commit"], **row} for row in old["results"]]


def merged(earlier: list[store.Facts], rows: list[store.Facts]) -> list[store.Facts]:
    """Return rows, each new one in the place of the earlier one of its kind, or last."""
    new = {_kind(row): row for row in rows}
    return [*(new.pop(_kind(row), row) for row in earlier), *new.values()]


def _kind(row: store.Facts) -> tuple[str, str]:
    """Return what a row is about: a set or a test, and the model."""
    return row.get("set") or row["test"], row["model"]
