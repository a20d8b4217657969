"""A run remembers what was typed, and is not kept or refused by it."""

import sys

from coverslip.cli.telling import command_line
from coverslip.pipeline.provenance import note_provenance, read_provenance
from coverslip.store import read_json


def test_commands_are_remembered_in_order_and_once(tmp_path):
    """A command that goes on is not told twice; another one is added."""
    for command in ("coverslip train a", "coverslip train a", "coverslip run b", ""):
        note_provenance(tmp_path, command, {"folds": 2})
    found = read_provenance(tmp_path)
    assert found["commands"] == ["coverslip train a", "coverslip run b"]
    assert found["folds"] == 2
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
