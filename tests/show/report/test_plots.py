"""The figures of a report show what they are given, named and readable."""

from itertools import pairwise

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from coverslip.show.report import plots

NAN = float("nan")
LONG = "a class whose name is far too long for any axis"


def texts(figure):
    """Return every text of a drawn figure that can be seen."""
    FigureCanvasAgg(figure).draw()
    found = figure.findobj(lambda one: hasattr(one, "get_text") and one.get_visible())
    return [one for one in found if one.get_text().strip()]


def curve(**more):
    """Return a curve of three points."""
    line = {"x": [0, 0.2, 1], "y": [0, 0.8, 1], "point": (0.2, 0.8), "title": "tumor"}
    line["decided"] = "at the threshold"
    band = {"grid": [0, 0.5, 1], "low": [0, 0.3, 0.6], "high": [0.5, 0.9, 1]}
    return {**line, **band, **more}


def test_roc_marks_the_threshold_within_its_band():
    """The dot lies where decisions do; axes have their names."""
    axis = plots.roc([curve()]).axes[0]
    dot = next(line for line in axis.lines if line.get_marker() == "o")
    assert dot.get_xydata().tolist() == [[0.2, 0.8]]
    assert (axis.get_xlabel(), axis.get_ylabel()) == ("1 - specificity", "sensitivity")
    assert len(axis.collections) == 1  # the band


def test_every_class_has_its_panel_and_no_other_is_seen():
    """Four curves make two rows; the two places left over stay empty."""
    figure = plots.roc([curve(title=f"class {i}") for i in range(4)])
    seen = [axis.get_title() for axis in figure.axes if axis.get_visible()]
    assert seen == [f"class {i}" for i in range(4)]


def test_names_in_a_confusion_do_not_lie_on_each_other():
    """However long, they are cut and turned until they fit."""
    names = [LONG, "normal", "another quite long name", "d"]
    figure = plots.confusion(np.eye(4, dtype=int).tolist(), names)
    texts(figure)
    axis = figure.axes[0]
    boxes = [label.get_window_extent() for label in axis.get_yticklabels()]
    assert all(a.y0 >= b.y1 or b.y0 >= a.y1 for a, b in pairwise(boxes))
    whole = figure.bbox
    for label in [*axis.get_xticklabels(), *axis.get_yticklabels()]:
        box = label.get_window_extent()
        assert box.x0 >= whole.x0 - 1
        assert box.y0 >= whole.y0 - 1


def test_a_confusion_says_slides_and_shares():
    """Each cell has its number and its share of the class."""
    figure = plots.confusion([[8, 2], [0, 0]], ["normal", "tumor"])
    told = {one.get_text() for one in texts(figure)}
    assert {"8\n80%", "2\n20%", "0\n0%"} <= told


def test_every_slide_is_a_dot_of_its_class():
    """Near values are moved aside, never left out."""
    groups = {"normal": np.array([0.1, 0.1, 0.1]), "tumor": np.array([0.9])}
    axis = plots.scores(groups, 0.5, "probability of tumor").axes[0]
    dots = [line.get_xydata() for line in axis.lines if line.get_marker() == "o"]
    assert [len(own) for own in dots] == [3, 1]
    assert len({tuple(place) for place in dots[0]}) == 3
    assert all(abs(y - line) < 0.5 for line, own in enumerate(dots) for _, y in own)


def test_a_dollar_in_a_name_is_a_dollar():
    """It does not begin mathematics, which might not end."""
    figure = plots.scores({"a $x_{": np.array([0.5])}, None, "p")
    assert any("a $x_{" in one.get_text().replace("\\", "") for one in texts(figure))


def test_of_several_trainings_the_validation_loss_is_compared():
    """A line each, named; of one training every loss."""
    rows = [{"epoch": 1, "loss_bag": 1.0, "val_loss": 0.9, "val_auc": NAN}]
    losses = ["loss_bag", "val_loss"]
    one = plots.training({"training": rows}, losses).axes[0]
    assert [line.get_label() for line in one.lines] == ["bag", "validation"]
    several = plots.training({"fold 0": rows, "fold 1": rows}, losses).axes[0]
    assert [line.get_label() for line in several.lines] == ["fold 0", "fold 1"]
    assert several.get_ylabel() == "validation loss"


@pytest.mark.parametrize("low", [0.7, NAN])
def test_a_comparison_shows_what_is_known(low):
    """An unknown interval leaves an open dot."""
    row = {"auc": 0.8, "auc_low": low, "auc_high": 0.9}
    row |= {"difference": 0.1, "difference_low": low, "difference_high": 0.2}
    figure = plots.comparison([{**row, "model": "a"}, {**row, "model": "b"}], "a")
    left = figure.axes[0]
    assert [label.get_text() for label in left.get_yticklabels()] == ["a", "b"]
    assert len(left.lines) == (2 if np.isnan(low) else 4)


def test_calibration_has_a_bar_for_every_bin():
    """As many slides as the rows say."""
    row = {
        "n": 7,
        "said": 0.4,
        "happened": 0.5,
        "low": 0.2,
        "high": 0.8,
        "middle": 0.45,
    }
    figure = plots.calibration({"as told": [row], "with the temperature": [row]})
    bars = [patch.get_height() for patch in figure.axes[1].patches]
    assert bars == [7, 7]
