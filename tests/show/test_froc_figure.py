"""The picture of the FROC curve."""

import numpy as np
from PIL import Image

from coverslip.show.froc_figure import draw_froc

RATES = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)


def drawn(path, alarms, sensitivity):
    """Draw a curve and return the picture."""
    draw_froc(path, alarms, sensitivity, [(rate, 0.5) for rate in RATES], "caption")
    return np.asarray(Image.open(path).convert("RGB")).astype(int)


def test_a_higher_curve_is_drawn_higher(tmp_path):
    """The purple line lies at the sensitivity, and ends with the axis."""
    heights = []
    for value in (0.2, 0.8):
        alarms, sensitivity = np.array([0, 0, 0.3, 900]), np.array([0, value, value, 1])
        picture = drawn(tmp_path / f"{value}.png", alarms, sensitivity)
        purple = np.abs(picture - (0x7A, 0x1F, 0x5C)).sum(axis=2) < 30
        heights.append(purple.sum(axis=1).argmax())
    assert heights[0] > heights[1] + 150


def test_a_curve_without_false_positives_is_drawn(tmp_path):
    """All found at once: a line along the top."""
    picture = drawn(tmp_path / "a.png", np.array([0, 0]), np.array([0, 1]))
    purple = np.abs(picture - (0x7A, 0x1F, 0x5C)).sum(axis=2) < 30
    assert purple.any(axis=0).sum() > 400
