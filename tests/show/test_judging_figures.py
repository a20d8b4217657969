"""Figures of judgement are drawn whatever is unknown, and show what they are given."""

import numpy as np
import pytest
from matplotlib.axes import Axes
from PIL import Image

from coverslip.show.judging_figures import draw_comparison, draw_reliability

NAN = float("nan")


def model(name, auc, difference=NAN, reach=0.05, p=NAN):
    """Return a row of a comparison."""
    return {
        "model": name,
        "auc": auc,
        "auc_low": auc - reach,
        "auc_high": auc + reach,
        "difference": difference,
        "difference_low": difference - reach,
        "difference_high": difference + reach,
        "p": p,
        "p_holm": p,
    }


@pytest.fixture
def drawn(monkeypatch):
    """Return the lines (x, y) that are plotted, as they are plotted."""
    lines: list[tuple[list[float], list[float]]] = []
    plot = Axes.plot

    def keep(self, *args, **kwargs):
        for line in (made := plot(self, *args, **kwargs)):
            x, y = line.get_data()
            lines.append((np.atleast_1d(x).tolist(), np.atleast_1d(y).tolist()))
        return made

    monkeypatch.setattr(Axes, "plot", keep)
    return lines


def test_a_comparison_shows_every_interval_on_its_models_line(tmp_path, drawn):
    """AUC and difference lie on the same line, with their ends."""
    rows = [model("ours", 0.9), model("theirs", 0.85, -0.05, p=0.01)]
    draw_comparison(tmp_path / "c.png", rows, "ours", "test, 129 slides")
    assert ([pytest.approx(0.85), pytest.approx(0.95)], [0, 0]) in drawn
    assert ([pytest.approx(-0.1), pytest.approx(0.0)], [1, 1]) in drawn
    assert ([-0.05], [1]) in drawn
    with Image.open(tmp_path / "c.png") as picture:
        assert picture.width > 600


def test_what_is_unknown_is_left_out(tmp_path, drawn):
    """A difference without an interval is a point, an AUC that is NaN nothing."""
    rows = [
        model("a", 0.9),
        model("same", 0.9, 0.0, reach=NAN, p=1.0),
        model("nothing", NAN),
    ]
    draw_comparison(tmp_path / "c.png", rows, "a", "test")
    assert ([0.0], [1]) in drawn
    assert all(y != [2] for _, y in drawn)


def test_reliability_points_lie_where_they_should(tmp_path, drawn):
    """Said along, happened up, an interval through each; one way or two."""
    rows = [
        {"n": 9, "said": 0.2, "happened": 0.1, "low": 0.0, "high": 0.4, "middle": 0.25},
        {"n": 5, "said": 0.9, "happened": 0.8, "low": 0.5, "high": 1.0, "middle": 0.95},
    ]
    draw_reliability(tmp_path / "r.png", {"as told": rows, "calibrated": rows}, "test")
    assert drawn.count(([0.2, 0.9], [0.1, 0.8])) == 2
    assert drawn.count(([0.9, 0.9], [0.5, 1.0])) == 2
    draw_reliability(tmp_path / "one.png", {"as told": rows}, "test")
    assert (tmp_path / "one.png").exists()
