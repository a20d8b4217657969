"""How a run came about: what was typed, on which split, with which programs.

Beside what a model's card says of itself. Nothing is decided by it: a run is kept or
refused by `config.json` alone.
"""

import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from coverslip import store
from coverslip.errors import CorruptFileError
from coverslip.version import __version__

PROVENANCE = "provenance.json"
"""In a run's folder."""
PACKAGES = ("torch", "numpy", "scipy", "scikit-learn", "openslide-python", "matplotlib")


def note_provenance(folder: Path, command: str, plan: store.Facts) -> None:
    """Write how a run came about, once it is done.

    What is written stays, but for a run that has grown by repeats or seeds: then the
    command that made it grow is added. To ask for a finished run again changes nothing.

    Args:
        folder: The run's.
        command: The command line; empty from Python.
        plan: Labels and split, JSON-ready.
    """
    before = read_provenance(folder)
    if before and all(before.get(name) == plan.get(name) for name in _GROWING):
        return
    commands = [*before.get("commands", []), *([command] if command else [])]
    facts = {
        "commands": list(dict.fromkeys(commands)),
        **plan,
        "versions": before.get("versions") or versions_now(),
    }
    store.write_json(folder / PROVENANCE, facts)


_GROWING = ("folds", "repeats", "seeds")


def read_provenance(folder: Path) -> dict[str, Any]:
    """Return how a run came about; empty where nobody wrote it down."""
    path = folder / PROVENANCE
    if not path.is_file():
        return {}
    try:
        facts = store.read_json(path)
    except CorruptFileError:
        return {}
    return dict(facts) if isinstance(facts, dict) else {}


def versions_now() -> dict[str, str]:
    """Return the versions of the programs at work."""
    found = {"coverslip": __version__, "python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found | {"system": f"{platform.system()} {platform.machine()}"}
