"""The speed benchmark's own tools: what is timed, how it is told, on which slides."""

import sys

import cv2
import numpy as np
import pytest
from benchmarks.speed import mosaic
from benchmarks.speed.measure import (
    Spent,
    Timing,
    met,
    peak_mb,
    rows_beside,
    rows_of,
    run_process,
    show,
    take_turns,
)
from benchmarks.speed.rivals import Rivals

from coverslip.slides.finding import open_slide
from coverslip.slides.tiled import TiledSlide

TIMED = {
    "ours": Timing((1.0, 2.0, 10.0), (1.0, 1.0, 1.0), 100),
    "theirs": Timing((2.0, 6.0, 20.0), (4.0, 4.0, 4.0), 100),
    "limit": Timing((0.5, 1.0, 5.0), (1.0, 1.0, 1.0), 100),
}


def test_ratios_are_medians_of_the_same_round():
    """A round in which the machine was busy for both does not count for one."""
    rows = rows_of(
        "a", TIMED, rival="theirs", limit="limit", bars={"ours": {"times_rival": 2}}
    )
    ours = rows[0]
    assert ours["per_cpu_second"] == 50
    assert ours["times_rival"] == 2
    assert ours["wall_times_rival"] == 4
    assert ours["of_limit"] == 0.5
    assert "bar" not in rows[1]


def test_each_rival_stands_for_one_in_rows_of_its_own():
    """With none, our rows stand alone; a rival is never compared with another."""
    bars = {"ours": {"times_rival": 2}}
    rows = rows_beside("a", TIMED, ["theirs", "limit"], bars)
    assert [(row["what"], row["who"], row["times_rival"]) for row in rows] == [
        ("a, to theirs", "ours", 2),
        ("a, to theirs", "theirs", 1),
        ("a, to limit", "ours", 0.5),
        ("a, to limit", "limit", 1),
    ]
    alone = rows_beside("a", {"ours": TIMED["ours"]}, [], bars)
    assert [(row["what"], row["times_rival"]) for row in alone] == [("a", None)]


@pytest.mark.parametrize(
    ("row", "verdict"),
    [
        ({"times_rival": 3.0, "bar": {"times_rival": 3}}, True),
        ({"times_rival": 2.9, "bar": {"times_rival": 3}}, False),
        (
            {"seconds": 0.4, "peak_mb": 510, "bar": {"seconds": 1, "peak_mb": 500}},
            False,
        ),
        ({"seconds": 0.4, "peak_mb": 490, "bar": {"seconds": 1, "peak_mb": 500}}, True),
        ({"times_rival": None, "bar": {"times_rival": 3}}, None),
        ({"times_rival": 3.0}, None),
    ],
)
def test_a_bar_is_met_or_missed_or_not_measured(row, verdict):
    """Seconds and memory have to stay below, ratios have to reach."""
    assert met(row) is verdict


def test_the_table_says_what_is_asked_and_leaves_out_what_nobody_has(capsys):
    """One line a row, with the verdict."""
    rows = rows_of("a", TIMED, rival="theirs", bars={"ours": {"times_rival": 2}})
    show({"stage": "reading", "slide": "small", "rows": rows})
    told = capsys.readouterr().out
    assert told.startswith("reading: small\n")
    assert "times_rival > 2: yes" in told
    assert "peak_mb" not in told
    assert len(told.splitlines()) == 2 + len(rows)


def test_who_measures_itself_is_believed():
    """A process's own account counts in place of this one's; the first round does not."""
    calls = iter([Spent(9, 9), Spent(2, 3), Spent(4, 5)])
    timed = take_turns({"a": (lambda: next(calls), 10), "b": (list, 1)}, repeats=2)
    assert timed["a"] == Timing((2, 4), (3, 5), 10)
    assert len(timed["b"].cpu) == 2


def test_a_program_is_timed_with_its_children_and_its_failure_is_told():
    """CPU seconds are those of the program, not the time that passed."""
    busy = "import time\nwhile time.process_time() < 0.2: pass\ntime.sleep(0.2)"
    spent = run_process([sys.executable, "-c", busy])
    assert 0.2 <= spent.cpu < spent.wall
    with pytest.raises(RuntimeError, match="no luck"):
        run_process([sys.executable, "-c", "raise SystemExit('no luck')"])


def test_the_peak_of_memory_counts_what_was_given_back():
    """Megabytes, of this process alone."""
    before = peak_mb()
    np.ones(2**22)
    assert 0 < before <= peak_mb() < 2**20


def test_a_rival_works_when_told_and_says_what_it_spent(tmp_path):
    """In its own folder and process; what it prints is no answer."""
    (tmp_path / "theirs.py").write_text("import time\ndef run(): time.sleep(0.05)\n")
    rivals = Rivals({"clam": tmp_path})
    assert "clam" in rivals
    assert "trident" not in rivals
    code = "import theirs\ndef work():\n    print('spent nothing'); theirs.run()"
    with rivals.at_work("clam", code) as work:
        for _ in range(2):
            spent = work()
            assert spent.cpu < 0.05 <= spent.wall
    with (
        rivals.at_work("clam", "import nowhere") as work,
        pytest.raises(RuntimeError, match="clam: .*No module named 'nowhere'"),
    ):
        work()


def test_a_mosaic_that_shares_its_tiles_shows_the_same(
    real_data, tmp_path, monkeypatch
):
    """In fewer bytes the same tissue in the same places, on every level."""
    monkeypatch.setenv("COVERSLIP_DATA", str(real_data))
    side = 5000
    mosaic.write_mosaic(tmp_path / "plain.tif", side)
    monkeypatch.setattr(mosaic, "SHARED", side)
    mosaic.write_mosaic(tmp_path / "shared.tif", side)
    with (
        open_slide(tmp_path / "plain.tif") as plain,
        open_slide(tmp_path / "shared.tif") as shared,
    ):
        assert isinstance(shared, TiledSlide)
        assert shared.l0_mpp == plain.l0_mpp
        assert shared.level_sizes == plain.level_sizes
        for level, size in enumerate(shared.level_sizes):
            assert shared.trusts(level)
            inside = (min(2048, size[0]), min(2048, size[1]))
            ours, theirs = (
                s.read((2048, 2048), level, inside) for s in (shared, plain)
            )
            assert cv2.absdiff(ours, theirs).mean() < 2
    sizes = [(tmp_path / f"{name}.tif").stat().st_size for name in ("shared", "plain")]
    assert sizes[0] < sizes[1]
