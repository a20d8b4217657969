"""The benchmark of the viewer asks for tiles that are there, and is quoted rightly."""

from pathlib import Path

from benchmarks.viewer import BAR, OUT, draw, summary, table

from coverslip import store

PROJECT = Path(__file__).resolve().parents[2]
FACTS = {"width": 3001, "height": 999, "tile": 254, "top": 12}


def test_tiles_are_different_and_of_every_level():
    """As many of each level as it has, or as of the others."""
    drawn = draw(FACTS, 40)
    assert len(set(drawn)) == len(drawn) == 40
    levels = [level for level, _, _ in drawn]
    assert [levels.count(level) for level in (6, 7, 8)] == [1, 1, 1]
    assert levels.count(12) >= levels.count(10) >= levels.count(9) == 2
    assert all(x * 254 < 3001 and y * 254 < 999 for _, x, y in drawn)


def test_a_slide_with_few_tiles_gives_all_of_them():
    """And no more than there are."""
    drawn = draw({**FACTS, "width": 500, "height": 300, "top": 9}, 1000)
    assert len(drawn) == 1 + 1 + 1 + 4


def test_a_summary_is_median_and_95th_percentile():
    """Of as many tiles as there were."""
    assert summary([float(n) for n in range(1, 102)]) == {
        "n": 101,
        "median": 51.0,
        "p95": 96.0,
    }


def test_the_documentation_has_the_figures_of_the_result():
    """docs/viewer.md quotes the table that the benchmark printed, and what was asked."""
    result = store.read_json(OUT)
    page = (PROJECT / "docs" / "viewer.md").read_text()
    assert table(result["rows"]) in page
    assert result["asked"]["p95"] == BAR
    assert f"load {result['load']}" in page
