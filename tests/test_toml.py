"""TOML: what is written is read back, and a bad file is named."""

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coverslip.errors import CorruptFileError, DataError
from coverslip.toml import read_toml, toml_text

TEXT = st.text(st.characters(codec="utf-8"), max_size=8)
VALUE = st.one_of(
    st.booleans(), st.integers(-9, 2**40), st.floats(allow_nan=False), TEXT
)
TABLE = st.dictionaries(TEXT, st.one_of(VALUE, st.lists(VALUE, max_size=3)), max_size=4)


@given(st.dictionaries(TEXT, st.one_of(VALUE, TABLE), max_size=4))
def test_what_is_written_is_read_back(table):
    """Keys and texts of any kind, numbers to the last digit, sections in their place."""
    assert tomllib.loads(toml_text(table)) == table


def test_sections_nest_and_paths_are_text():
    """Keys come before the sections; a list may hold tables."""
    table = {"a": {"b": {"c": [{"d": 1}]}}, "p": Path("x") / "y", "n": None}
    assert tomllib.loads(toml_text(table)) == {
        "p": str(Path("x/y")),
        "n": "none",
        "a": {"b": {"c": [{"d": 1}]}},
    }


def test_what_toml_cannot_hold_is_a_mistake_of_ours():
    """No object is written by its repr."""
    with pytest.raises(TypeError, match="object is nothing that TOML can hold"):
        toml_text({"a": object()})


@pytest.mark.parametrize("content", [b"epochs = = 3", b"\xff\xfe", b"a = 1\na = 2"])
def test_a_file_that_is_not_toml_is_named(tmp_path, content):
    """One line says which file, and where in it."""
    path = tmp_path / "mine.toml"
    path.write_bytes(content)
    with pytest.raises(CorruptFileError, match=r"mine\.toml: not TOML \(.*mend"):
        read_toml(path)


def test_a_missing_file_and_a_folder_are_named(tmp_path):
    """The remedy is the command that writes one."""
    with pytest.raises(DataError, match=r"`coverslip init mine\.toml` writes one"):
        read_toml(tmp_path / "mine.toml")
    with pytest.raises(DataError, match="give a TOML file"):
        read_toml(tmp_path)
