"""A result can be measured anew for one model, and says which commit each row is of."""

import shutil
import subprocess

import pytest
from benchmarks.accuracy.record import (
    PROJECT,
    RESULTS,
    circumstances,
    commit_of,
    earlier_rows,
    merged,
    without_paths,
)

from coverslip.errors import DataError
from coverslip.store import write_json


def row(model, value, **more):
    """Return a row of a result."""
    return {"set": "one", "model": model, "value": value, **more}


def test_new_rows_take_the_place_of_the_old_ones(tmp_path):
    """Other models' rows stay, with the commit they were measured at; new ones join."""
    out, plan = tmp_path / "result.json", {"seeds": [0, 1]}
    old = {**circumstances(), "commit": "first", **plan, "seconds": 9}
    write_json(out, {**old, "results": [row("dmia", 1), row("mean", 2)]})
    earlier = earlier_rows(out, {**circumstances(), **plan})
    new = [row("dmia", 3, commit="now"), row("new", 4, commit="now")]
    assert merged(earlier, new) == [
        row("dmia", 3, commit="now"),
        {"commit": "first", **row("mean", 2)},
        row("new", 4, commit="now"),
    ]


def test_rows_of_another_plan_do_not_mix(tmp_path):
    """Other seeds, other epochs: then every model has to be measured again."""
    out = tmp_path / "result.json"
    assert earlier_rows(out, {"seeds": [0]}) == []
    write_json(out, {"commit": "a", "seeds": [0], "results": []})
    with pytest.raises(DataError, match="made with other seeds"):
        earlier_rows(out, {"seeds": [0, 1]})


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("--dtfd=/a/home/DTFD-MIL", "--dtfd=DTFD-MIL"),
        ("no such file: '/a/b.h5', /c/", "no such file: 'b.h5', /c/"),
        ("../peers/CLAM", "../peers/CLAM"),
        ("images/s, https://example.org/a/b", "images/s, https://example.org/a/b"),
    ],
)
def test_a_result_names_no_path_of_a_machine(text, told):
    """Only the last part of an absolute one is left."""
    assert without_paths(text) == told


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_results_of_the_same_run_do_not_make_a_checkout_dirty(tmp_path):
    """Code that differs from its commit does; without git there is no commit."""
    assert commit_of(tmp_path) is None
    results = tmp_path / RESULTS.relative_to(PROJECT)
    code, result = tmp_path / "code.py", results / "part.json"
    results.mkdir(parents=True)
    page = tmp_path / "docs" / "speed.md"
    page.parent.mkdir()
    page.write_text("a table")
    code.write_text("1")
    result.write_text("{}")
    me = ["-c", "user.name=a", "-c", "user.email=a@b"]
    for words in (["init", "-q"], ["add", "."], [*me, "commit", "-qm", "first"]):
        subprocess.run(["git", *words], cwd=tmp_path, check=True)
    clean = commit_of(tmp_path)
    result.write_text("[]")
    page.write_text("another table")
    assert commit_of(tmp_path) == clean
    code.write_text("2")
    assert commit_of(tmp_path) == f"{clean}-dirty"
