"""The table of test labels."""

import pytest

from coverslip.cohorts.camelyon16.reference import read_reference
from coverslip.errors import DataError


def test_ids_and_labels_are_read_whatever_their_case(tmp_path):
    """There is no header; further cells, a byte-order mark and empty lines do no harm."""
    table = tmp_path / "Reference.csv"
    table.write_text("\ufeffTest_001,Tumor,IDC,Macro\r\n\r\ntest_002.tif,normal\r\n")
    found = read_reference([tmp_path / "other.csv", table])
    assert found == (table, {"test_001": "tumor", "test_002": "normal"})


def test_without_a_table_there_are_no_labels(tmp_path):
    """That is for the caller to judge."""
    assert read_reference([tmp_path / "labels.csv"]) == (None, {})


@pytest.mark.parametrize(
    "text",
    [
        "image,type\n",
        "test_001\n",
        "test_001,Metastasis\n",
        "tumour_001,Tumor\n",
        "normal_001,Tumor\n",
    ],
)
def test_another_table_is_refused(tmp_path, text):
    """The message shows the row and a right one."""
    table = tmp_path / "reference.csv"
    table.write_text(text)
    with pytest.raises(DataError, match=r"is no row of .*test_001,Tumor"):
        read_reference([table])


def test_contradictions_are_refused(tmp_path):
    """Within a table and between two copies; equal copies are one."""
    one, other = tmp_path / "a" / "reference.csv", tmp_path / "b" / "reference.csv"
    for path in (one, other):
        path.parent.mkdir()
        path.write_text("test_001,Tumor,IDC,Macro\n")
    assert read_reference([one, other])[0] == one
    other.write_text("test_001,Normal,IDC,None\n")
    with pytest.raises(DataError, match="other labels than"):
        read_reference([one, other])
    other.write_text("test_001,Normal,IDC,None\nTest_001,Tumor,IDC,Macro\n")
    with pytest.raises(DataError, match="test_001 has two labels"):
        read_reference([other])
