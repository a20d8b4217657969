"""Fixtures shared by all tests: where the real data lies, and a quiet single thread."""

import os
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Return the folder of real slides, patches and weights, or skip."""
    named = os.environ.get("COVERSLIP_DATA")
    folder = Path(named) if named else PROJECT.parent / "shared" / "data"
    if not (folder / "MANIFEST.md").is_file():
        pytest.skip(f"no real data at {folder}: set COVERSLIP_DATA to its folder")
    return folder
