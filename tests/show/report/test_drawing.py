"""Figures are written as SVG and PNG, the same each time, and stand in a page together."""

import re
import xml.etree.ElementTree as ET

import pytest
from PIL import Image

from coverslip.show.report import drawing


@drawing.styled
def figure():
    """Return a small figure with clipping, markers and text."""
    made = drawing.new(3, 2)
    axis = drawing.axes(made)[0]
    axis.plot([0, 1], [0, 1], "o-", color=drawing.MAIN, label="a & b <c>")
    axis.set(xlabel="1 - specificity")
    axis.legend()
    return made


@pytest.fixture
def kept(tmp_path):
    """Return the folder and what stands in the page."""
    return tmp_path, drawing.keep(figure(), tmp_path, "roc")


def test_both_files_are_whole_and_text_stays_text(kept):
    """The SVG is XML whose words can be read; the PNG is a picture."""
    folder, _ = kept
    root = ET.parse(folder / "roc.svg").getroot()
    words = [one.text for one in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"1 - specificity", "a & b <c>"} <= set(words)
    with Image.open(folder / "roc.png") as picture:
        assert picture.width > 400


def test_the_same_figure_is_the_same_file(kept, tmp_path_factory):
    """No date and no random name, so that what did not change is left as it is."""
    folder, text = kept
    other = tmp_path_factory.mktemp("again")
    assert drawing.keep(figure(), other, "roc") == text
    for name in ("roc.svg", "roc.png"):
        assert (folder / name).read_bytes() == (other / name).read_bytes()


def test_two_figures_in_a_page_share_no_id(kept, tmp_path):
    """And what they refer to is their own."""
    other = drawing.keep(figure(), tmp_path, "other")
    ids = [re.findall(r'\bid="([^"]+)"', text) for text in (kept[1], other)]
    assert ids[0]
    assert not set(ids[0]) & set(ids[1])
    used = set(re.findall(r'url\(#([^)]+)\)|href="#([^"]+)"', other))
    assert {name for pair in used for name in pair if name} <= set(ids[1])


def test_in_a_page_a_figure_follows_the_page(kept):
    """Ink and ground are the page's, and nothing names another place."""
    text = kept[1]
    assert "currentColor" in text
    assert "var(--main)" in text
    assert drawing.INK not in text
    assert "#ffffff" not in text
    assert "http" not in text
    assert text.startswith("<svg ")
