"""A slide never gets what belongs to another slide of the same name."""

import pytest

from coverslip.errors import DuplicateSlideError, OptionError
from coverslip.pipeline.prepare.preparation import Preparation, PrepareOptions
from coverslip.pipeline.prepare.preparing import prepare
from coverslip.pipeline.prepare.table import FAILED, NO_PATCH
from coverslip.pipeline.verbs import heatmap, predict
from coverslip.tables import read_csv
from coverslip.testing import fake_encoder_known, slide_file


@pytest.fixture
def preparation(tmp_path):
    """Prepare with the fake encoder into a study of its own."""
    with fake_encoder_known():
        options = PrepareOptions(features={"encoder": "fake"})
        yield Preparation(tmp_path / "study", options, quiet=True)


def test_another_slide_of_the_same_name_is_refused(tmp_path, preparation):
    """It fails by name, and what was made of the first stays as it was."""
    first = slide_file(tmp_path / "a" / "x.tif", seed=1)
    other = slide_file(tmp_path / "b" / "x.tif", seed=2)
    prepare([first], preparation)
    made = preparation.features_folder / "x.h5"
    before = made.read_bytes()
    table = prepare([other], preparation)
    assert table.rows["x"]["status"] == FAILED
    assert str(other) in str(table.rows["x"]["error"])
    assert "rename" in str(table.rows["x"]["error"])
    assert made.read_bytes() == before


def test_a_moved_slide_is_the_same_slide(tmp_path, preparation):
    """A copy elsewhere goes on with what was made."""
    first = slide_file(tmp_path / "a" / "x.tif", seed=1)
    prepare([first], preparation)
    moved = tmp_path / "b" / "x.tif"
    moved.parent.mkdir()
    first.rename(moved)
    assert prepare([moved], preparation).rows["x"]["status"] == "features"


def test_prediction_does_not_borrow(tmp_path, preparation, finished):
    """With the same --study, another slide of the same name has no prediction."""
    model = finished / "runs" / "dmia"
    first = slide_file(tmp_path / "a" / "x.tif", seed=1)
    other = slide_file(tmp_path / "b" / "x.tif", seed=2)
    out = tmp_path / "p.csv"
    assert predict(model, [first], out, preparation).rows == {"x": "ok"}
    assert not predict(model, [other], out, preparation).bare
    (row,) = read_csv(out)
    assert row["status"] == "failed"
    assert "another slide of the same name" in row["error"]


def test_a_slide_replaced_in_place_is_not_drawn_over(tmp_path, preparation, finished):
    """A heatmap of an old study on a new file is refused, not drawn."""
    model = finished / "runs" / "dmia"
    slide = slide_file(tmp_path / "a" / "x.tif", seed=1)
    prepare([slide], preparation)
    slide_file(slide, seed=2)
    drawn = heatmap(model, [preparation.out], tmp_path / "maps", preparation)
    assert drawn.pictures == ()
    assert "not the slide that its patches were laid on" in drawn.rows["x"]


def test_one_mask_file_is_not_laid_on_many_slides(tmp_path, preparation):
    """A mask belongs to one slide; many need a folder."""
    slides = [slide_file(tmp_path / f"{n}.tif", seed=n) for n in (1, 2)]
    mask = tmp_path / "m.geojson"
    mask.write_text('{"type": "FeatureCollection", "features": []}')
    one = Preparation(preparation.out, preparation.options, masks=mask, quiet=True)
    with pytest.raises(OptionError, match="one mask for 2 slides: give a folder"):
        prepare(slides, one)


def test_tissue_too_small_for_a_patch_is_not_called_no_tissue(tmp_path, preparation):
    """The table says that there is tissue, and that no patch has enough of it."""
    slide = slide_file(tmp_path / "x.tif", tissue=(360, 360, 680, 680))
    row = prepare([slide], preparation).rows["x"]
    assert row["status"] == NO_PATCH
    assert float(str(row["tissue_mm2"])) > 0


def test_the_error_is_about_one_slide():
    """So a batch goes on."""
    from coverslip.errors import SlideError

    assert issubclass(DuplicateSlideError, SlideError)
