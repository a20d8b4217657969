"""What commands print, for people and for programs."""

import json
from pathlib import Path

from coverslip.cli.telling import tell


def test_json_is_one_object_with_paths_as_text(capsys):
    """A program gets the facts and nothing beside them."""
    tell({"out": Path("a") / "b", "n": 2}, ["for people"], as_json=True)
    assert json.loads(capsys.readouterr().out) == {"out": str(Path("a/b")), "n": 2}


def test_people_get_lines(capsys):
    """Without the option the lines are printed."""
    tell({"n": 2}, ["one", "two"])
    assert capsys.readouterr().out == "one\ntwo\n"


def test_doctor_says_the_same_as_json(cli):
    """The checks come as a list, each with its state."""
    ran = cli("doctor", "--json")
    checks = json.loads(ran.out)["checks"]
    assert {"name", "state", "found", "remedy"} <= checks[0].keys()
