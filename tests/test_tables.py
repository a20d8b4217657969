"""Tables survive what people's programs do to them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coverslip.errors import (
    DataError,
)
from coverslip.tables import read_csv, write_csv

CELLS = st.text(
    st.characters(exclude_categories=["C", "Z"], exclude_characters="\ufeff"),
    min_size=1,
)


@given(rows=st.lists(st.tuples(CELLS, CELLS | st.just("")), min_size=1, max_size=5))
def test_a_table_comes_back_as_it_was(tmp_path_factory, rows):
    """Separators and quotes within cells are no harm; missing cells are empty."""
    path = tmp_path_factory.mktemp("csv") / "a.csv"
    written = [{"slide_id": a, "label": b or None, "more": 1} for a, b in rows]
    write_csv(path, ["slide_id", "label", "mpp"], written)
    assert read_csv(path, ["slide_id"]) == [
        {"slide_id": a, "label": b, "mpp": ""} for a, b in rows
    ]


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("start", ["", "\ufeff"], ids=["plain", "BOM"])
@pytest.mark.parametrize("end", ["\n", "\r\n"], ids=["unix", "windows"])
def test_a_table_of_any_program_is_read(tmp_path, separator, start, end):
    """Separators, byte-order mark, line ends, blank lines, spaces, case of the header."""
    lines = ["", " Slide_ID|LABEL ", "a | tumor", "", 'b|"two; or, three"', "c", "||"]
    path = tmp_path / "a.csv"
    text = start + end.join(lines).replace("|", separator)
    path.write_bytes(text.encode())
    assert read_csv(path, ["slide_id", "label"]) == [
        {"slide_id": "a", "label": "tumor"},
        {"slide_id": "b", "label": "two; or, three"},
        {"slide_id": "c", "label": ""},
    ]


def test_a_cell_may_have_several_lines(tmp_path):
    """Excel writes them in quotes."""
    path = tmp_path / "a.csv"
    path.write_text('slide_id,note\na,"one\ntwo"\nb,three\n')
    rows = read_csv(path)
    assert [row["slide_id"] for row in rows] == ["a", "b"]
    assert rows[0]["note"] == "one\ntwo"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no such file"),
        (b"", "empty"),
        (b"\n \n", "empty"),
        (b"slide,mpp\na,1\n", "no column slide_id, label: its columns are slide, mpp"),
        (b"slide_id,label,label\na,1,2\n", "more than one column label"),
        (b"slide_id,label\na,1,2\n", "more cells than the header has in a, 1, 2"),
        ("slide_id,label\nü,1\n".encode("latin-1"), "save it as CSV in UTF-8"),
        ("slide_id,label\na,1\n".encode("utf-16"), "save it as CSV in UTF-8"),
    ],
)
def test_a_table_that_cannot_be_used_says_why(tmp_path, content, message):
    """One line with the file and the fault, whatever is in it."""
    path = tmp_path / "a.csv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError) as error:
        read_csv(path, ["slide_id", "label"])
    assert str(error.value).startswith(f"{path}: ")
    assert message in str(error.value)
    assert "\n" not in str(error.value)
