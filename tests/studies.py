"""What tests of whole studies share: the command that makes one, and looking into it."""

import csv
import json
import re
from pathlib import Path

import h5py
import numpy as np

from coverslip.testing import SlideCohort

PATCHING = "20x_256px_0px_overlap"
LEARN = ("--epochs", "6", "--lr", "0.001", "--val-share", "0.2", "--test-share", "0.2")


def run_arguments(cohort: SlideCohort, study: Path, *more: object) -> list[str]:
    """Return the command that makes a small study of a cohort."""
    places = ["run", cohort.slides, "--labels", cohort.labels, "--out", study]
    return [str(word) for word in (*places, "--encoder", "fake", *LEARN, *more)]


def rows(path: Path) -> dict[str, dict[str, str]]:
    """Return a table by slide id."""
    with path.open(newline="", encoding="utf-8") as file:
        return {row["slide_id"]: row for row in csv.DictReader(file)}


def predictions(study: Path, run: str = "dmia") -> dict[str, dict[str, str]]:
    """Return the predictions of a run by slide id."""
    return rows(study / "runs" / run / "predictions.csv")


def files(folder: Path) -> dict[str, int]:
    """Return the time of change of every file in a folder, by relative path."""
    return {
        str(path.relative_to(folder)): path.stat().st_mtime_ns
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def same(one: Path, other: Path) -> bool:
    """Say whether two files of studies hold the same, whenever they were made.

    HDF5 names its own folder, the table of slides the seconds of each stage, and a
    run's provenance and report the command and the folder.
    """
    if one.suffix == ".h5":
        with h5py.File(one) as a, h5py.File(other) as b:
            facts = a.attrs["coverslip"] == b.attrs["coverslip"]
            return facts and all(np.array_equal(a[key], b[key]) for key in b)
    if one.name == "slides.csv":
        return _timeless(one) == _timeless(other)
    if one.name == "provenance.json":
        return _placeless(one) == _placeless(other)
    if one.name == "report.html":
        return _nameless(one) == _nameless(other)
    return one.read_bytes() == other.read_bytes()


def _nameless(path: Path) -> str:
    named = r"(?s)<(title|h1|pre)\b.*?</\1>|<h3>Command of[^<]*</h3>|\s"
    return re.sub(named, "", path.read_text(encoding="utf-8"))


def _placeless(path: Path) -> dict[str, object]:
    facts = json.loads(path.read_text())
    return {key: facts[key] for key in facts if key not in {"commands", "labels"}}


def _timeless(path: Path) -> dict[str, dict[str, str]]:
    return {
        slide_id: {
            k: v
            for k, v in row.items()
            if not (k.startswith("seconds_") or k.endswith("_idle"))
        }
        for slide_id, row in rows(path).items()
    }
