"""The protocol that every reader of slides keeps."""

import inspect

from coverslip.slides.finding import open_slide
from coverslip.slides.slide import Slide
from coverslip.testing import slide_file


def test_the_reader_keeps_the_protocol(tmp_path):
    """Every member is there, and reading takes the same arguments by name."""
    members = {n for n in vars(Slide) if not n.startswith("_")}
    assert {"l0_mpp", "bounds", "downsamples", "read", "close"} < members
    with open_slide(slide_file(tmp_path / "a.tif", size=256)) as slide:
        assert [name for name in members if not hasattr(slide, name)] == []
        theirs = inspect.signature(slide.read).parameters
        ours = [name for name in inspect.signature(Slide.read).parameters][1:]
        assert list(theirs) == ours
        assert len(slide.level_sizes) == len(slide.downsamples)
        assert slide.level_sizes[0] == slide.l0_size
        assert slide.downsamples[0] == 1
