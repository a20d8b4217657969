"""A run remembers what was typed, and is not kept or refused by it."""

import sys

from coverslip.cli.telling import command_line
from coverslip.pipeline.learn.provenance import note_provenance, read_provenance
from coverslip.store import read_json


def test_what_made_a_run_is_remembered_and_what_made_it_grow(tmp_path):
    """To ask for what is there adds nothing; more repeats are another command."""
    note_provenance(tmp_path, "coverslip train a", {"folds": 2, "repeats": 1})
    before = (tmp_path / "provenance.json").stat().st_mtime_ns
    note_provenance(tmp_path, "coverslip run b", {"folds": 2, "repeats": 1})
    assert (tmp_path / "provenance.json").stat().st_mtime_ns == before
    note_provenance(tmp_path, "coverslip train c", {"folds": 2, "repeats": 3})
    found = read_provenance(tmp_path)
    assert found["commands"] == ["coverslip train a", "coverslip train c"]
    assert found["repeats"] == 3
    assert found["versions"]["python"] == ".".join(map(str, sys.version_info[:3]))


def test_what_is_damaged_counts_as_nothing(tmp_path):
    """It is no reason to stop; it is written anew."""
    (tmp_path / "provenance.json").write_text("{half")
    assert read_provenance(tmp_path) == {}
    note_provenance(tmp_path, "coverslip run", {})
    assert read_provenance(tmp_path)["commands"] == ["coverslip run"]


def test_a_run_remembers_its_command_and_split(finished):
    """As it was typed, with what decides the split."""
    found = read_json(finished / "runs" / "dmia" / "provenance.json")
    (command,) = found["commands"]
    assert command.startswith("coverslip run ")
    assert "--encoder fake" in command
    assert found["splits"] == {"val_share": 0.2, "test_share": 0.2, "split_seed": 0}


def test_outside_of_a_command_there_is_no_command_line():
    """From Python nothing is made up."""
    assert command_line() == ""
