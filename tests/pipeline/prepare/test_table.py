"""The table of slides: what is noted, what is kept, and what is told."""

import pytest

from coverslip.errors import DataError
from coverslip.pipeline.prepare.table import COLUMNS, FAILED, NO_TISSUE, SlideTable
from studies import rows


@pytest.fixture
def table(tmp_path):
    """Return an empty table."""
    return SlideTable.open(tmp_path / "slides.csv")


def test_rows_come_back_sorted_with_all_columns(table):
    """Facts noted one after the other are one row, in the order of slide ids."""
    table.note("b", {"status": "tissue", "width": 10})
    table.note("a", {"status": "tissue"})
    table.note("b", {"mpp": 0.5})
    table.write()
    again = SlideTable.open(table.path)
    assert list(again.rows) == ["a", "b"]
    assert tuple(again.rows["a"]) == COLUMNS
    assert (again.rows["b"]["width"], again.rows["b"]["mpp"]) == ("10", "0.5")
    assert again.asked == set()


@pytest.mark.parametrize(
    ("before", "now", "after"),
    [
        ("features", "tissue", "features"),
        ("tissue", "patches", "patches"),
        (FAILED, "tissue", "tissue"),
        ("features", FAILED, FAILED),
        ("features", NO_TISSUE, NO_TISSUE),
        (NO_TISSUE, "tissue", "tissue"),
    ],
)
def test_a_stage_found_done_does_not_take_the_status_back(table, before, now, after):
    """The status is the last stage done; failures and recoveries do change it."""
    table.note("s", {"status": before})
    table.note("s", {"status": now})
    assert table.rows["s"]["status"] == after


def test_a_failure_is_told_once_and_noted(table, capsys, tmp_path):
    """One line for the person who waits, the same in the table; success clears it."""
    table.note_failure("s", tmp_path / "s.svs", "s.svs: damaged: copy it again")
    assert capsys.readouterr().err == "failed: s.svs: damaged: copy it again\n"
    table.write()
    row = rows(table.path)["s"]
    assert (row["status"], row["error"]) == (FAILED, "s.svs: damaged: copy it again")
    assert row["path"] == str(tmp_path / "s.svs")
    table.note("s", {"status": "features"})
    assert table.rows["s"]["error"] == ""


def test_the_trace_of_an_unforeseen_error_is_kept_in_a_file(table, capsys, tmp_path):
    """The line names the file to report."""
    table.note_failure("s", tmp_path / "s.svs", "oops: please report it", "Trace ...")
    trace = tmp_path / "error_s.txt"
    assert trace.read_text() == "Trace ..."
    assert capsys.readouterr().err == f"failed: oops: please report it with {trace}\n"


def test_only_slides_that_were_worked_on_are_counted(table):
    """Rows of earlier calls are kept in the table and out of the count."""
    table.note("old", {"status": FAILED})
    table.write()
    again = SlideTable.open(table.path)
    again.note("new", {"status": FAILED})
    again.note("good", {"status": "features"})
    assert again.with_status(FAILED) == ["new"]
    assert again.asked == {"new", "good"}
    again.write()
    assert set(rows(table.path)) == {"old", "new", "good"}


def test_the_file_follows_within_seconds(table, monkeypatch):
    """A long batch can be watched: what was noted is on disk soon, not at each note."""
    clock = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: clock[0])
    table.write()
    table.note("a", {"status": "tissue"})
    assert set(rows(table.path)) == set()
    clock[0] += 2.5
    table.note("b", {"status": "tissue"})
    assert set(rows(table.path)) == {"a", "b"}


def test_a_foreign_table_is_named(tmp_path):
    """A CSV without slide ids is not taken for ours."""
    path = tmp_path / "slides.csv"
    path.write_text("name,size\na,1\n")
    with pytest.raises(DataError, match=r"slides.csv: no column slide_id"):
        SlideTable.open(path)


def test_idle_shares_count_the_slides_by_their_time(table):
    """Only of slides whose features were made since the table was opened."""
    assert table.idle() is None
    table.note("a", {"seconds_features": 30, "encoder_idle": 0.1, "readers_idle": 0.8})
    table.note("b", {"seconds_features": "10", "encoder_idle": "0.5"})
    assert table.idle() == pytest.approx((0.1, 0.8))
    table.note("b", {"readers_idle": "0.0"})
    assert table.idle() == pytest.approx((0.2, 0.6))
    table.write()
    again = SlideTable.open(table.path)
    assert again.idle() is None
    again.note("a", {})
    assert again.idle() is None
    again.note("b", {"seconds_features": 5, "encoder_idle": 0.4, "readers_idle": 0.1})
    assert again.idle() == pytest.approx((0.4, 0.1))
