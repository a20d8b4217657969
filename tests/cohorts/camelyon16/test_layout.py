"""Taking stock of a folder of CAMELYON16; the files are empty, only names matter here."""

import zipfile
from collections.abc import Iterable
from pathlib import Path

import pytest

from coverslip.cohorts.camelyon16.facts import (
    ALL_IDS,
    INCOMPLETE_OUTLINES,
    NORMAL_IDS,
    TEST_IDS,
    TUMOR_IDS,
)
from coverslip.cohorts.camelyon16.layout import COLUMNS, Stock, take_stock
from coverslip.errors import CorruptFileError, DataError, DuplicateSlideError
from coverslip.tables import read_csv

REFERENCE = "".join(
    f"{slide_id},{'Tumor' if number % 2 else 'Normal'},IDC,None\n"
    for number, slide_id in enumerate(TEST_IDS)
)


def touch(folder: Path, names: Iterable[str]) -> None:
    """Make empty files."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).touch()


def official(folder: Path, *, capital: bool = False) -> Path:
    """Lay out the organisers' folders with all 399 slides."""

    def named(ids: Iterable[str], end: str = ".tif") -> list[str]:
        return [(s.capitalize() if capital else s) + end for s in ids]

    touch(folder / "training" / "normal", named(NORMAL_IDS))
    touch(folder / "training" / "tumor", named(TUMOR_IDS))
    touch(folder / "testing" / "images", named(TEST_IDS))
    (folder / "testing" / "reference.csv").write_text(REFERENCE)
    for part, ids in (("training", TUMOR_IDS), ("testing", TEST_IDS[::2])):
        path = folder / part / "lesion_annotations.zip"
        with zipfile.ZipFile(path, "w") as archive:
            for name in named(ids, ".xml"):
                archive.writestr(name, "<ASAP_Annotations/>")
    return folder


def flat(folder: Path) -> Path:
    """Lay out the mirror's folders: all images in one, masks and others beside."""
    touch(folder / "images", [f"{s}.tif" for s in ALL_IDS])
    touch(folder / "masks", [f"{s}_mask.tif" for s in TUMOR_IDS])
    touch(folder / "background_tissue", [f"{s}.tif" for s in ALL_IDS])
    touch(folder / "annotations", [f"{s}.xml" for s in (*TUMOR_IDS, *TEST_IDS[::2])])
    touch(folder / "evaluation", [])
    (folder / "evaluation" / "reference.csv").write_text(REFERENCE)
    return folder


def statuses(stock: Stock) -> dict[str, str]:
    """Return what became of each slide."""
    return {item.slide_id: item.status for item in stock.items}


@pytest.mark.parametrize("layout", ["official", "capital", "flat", "bare"])
def test_all_399_are_found_in_any_layout(tmp_path, layout):
    """Each with its split, its label and the outlines of it that are there."""
    if layout == "flat":
        flat(tmp_path)
    elif layout == "bare":
        touch(tmp_path, [f"{s}.tif" for s in ALL_IDS])
        touch(tmp_path, [f"{s}.xml" for s in (*TUMOR_IDS, *TEST_IDS[::2])])
        (tmp_path / "reference.csv").write_text(REFERENCE)
    else:
        official(tmp_path, capital=layout == "capital")
    stock = take_stock(tmp_path)
    assert statuses(stock) == dict.fromkeys(ALL_IDS, "found")
    assert stock.unexpected == ()
    used = stock.used
    assert [used[s].label for s in ("normal_001", "tumor_111")] == ["normal", "tumor"]
    assert [used[s].label for s in TEST_IDS[:2]] == ["normal", "tumor"]
    assert {used[s].split for s in TEST_IDS} == {"test"}
    assert {s for s, item in used.items() if item.outlines} == {
        *TUMOR_IDS,
        *TEST_IDS[::2],
    }
    report = stock.report()
    assert "training: 270 of 270 slides" in report
    assert "test: 129 of 129 slides (65 normal, 64 tumor)" in report
    assert "missing" not in report


def test_slides_the_organisers_removed_are_left_out_and_said(tmp_path):
    """normal_086 was renamed; test_049 is a duplicate, even if an old table has it."""
    official(tmp_path)
    touch(tmp_path / "training" / "normal", ["normal_086.tif"])
    touch(tmp_path / "testing" / "images", ["Test_049.tif"])
    table = tmp_path / "testing" / "reference.csv"
    table.write_text(REFERENCE + "test_049,Tumor,IDC,Macro\n")
    stock = take_stock(tmp_path)
    left_out = {item.slide_id: item.remark for item in stock.with_status("left out")}
    assert "renamed it tumor_111" in left_out["normal_086"]
    assert "a duplicate" in left_out["test_049"]
    assert len(stock.used) == 399
    assert "left out: test_049: a duplicate" in stock.report()


def test_missing_slides_are_named(tmp_path):
    """A download that is not over yet is no surprise an hour later."""
    official(tmp_path)
    for name in ("training/tumor/tumor_002.tif", "testing/images/test_130.tif"):
        (tmp_path / name).unlink()
    stock = take_stock(tmp_path)
    assert [i.slide_id for i in stock.with_status("missing")] == [
        "tumor_002",
        "test_130",
    ]
    assert "missing: 2 of 399: tumor_002, test_130" in stock.report()


def test_slides_with_a_catch_are_used_and_said(tmp_path):
    """Outlines that miss lesions concern lesion figures, not slide labels."""
    stock = take_stock(official(tmp_path))
    remarks = {slide_id: item.remark for slide_id, item in stock.used.items()}
    assert "not in the lesion figures" in remarks["test_114"]
    assert "not among the 127" in remarks["test_124"]
    assert {s for s, r in remarks.items() if "not exhaustive;" in r} == set(
        INCOMPLETE_OUTLINES
    )
    assert "not in the lesion figures: test_114" in stock.report()


def test_a_test_slide_without_reference_is_left_out(tmp_path):
    """Its name says nothing; nothing is guessed from whether it has outlines."""
    official(tmp_path)
    table = tmp_path / "testing" / "reference.csv"
    table.write_text(REFERENCE.replace("test_003,Normal,IDC,None\n", ""))
    stock = take_stock(tmp_path)
    assert statuses(stock)["test_003"] == "left out"
    assert "no row in reference.csv" in stock.report()
    table.unlink()
    bare = take_stock(tmp_path)
    assert bare.reference is None
    assert [i for i in bare.used.values() if i.split == "test"] == []
    assert "no reference.csv" in bare.report()


def test_two_files_of_one_slide_are_refused_but_a_link_is_none(tmp_path):
    """Which of two is the right one is not for us to say."""
    official(tmp_path)
    slide = tmp_path / "training" / "tumor" / "tumor_001.tif"
    link = tmp_path / "mine" / "Tumor_001.tif"
    link.parent.mkdir()
    link.symlink_to(slide)
    (tmp_path / "mine" / "all").symlink_to(tmp_path)
    assert len(take_stock(tmp_path).used) == 399
    link.unlink()
    link.touch()
    with pytest.raises(DuplicateSlideError, match="the same slide as"):
        take_stock(tmp_path)


def test_strange_images_are_named_and_hidden_ones_are_not(tmp_path):
    """A misnamed slide should not go missing in silence."""
    official(tmp_path)
    touch(tmp_path / "training", ["tumor_112.tif", "._tumor_001.tif"])
    stock = take_stock(tmp_path)
    assert [path.name for path in stock.unexpected] == ["tumor_112.tif"]
    assert "tumor_112.tif" in stock.report()


def test_a_folder_without_slides_is_refused(tmp_path):
    """So is one that is not there; the message says what is looked for."""
    touch(tmp_path, ["slide.tif"])
    with pytest.raises(DataError, match=r"normal_001\.tif"):
        take_stock(tmp_path)
    with pytest.raises(DataError, match="no such folder"):
        take_stock(tmp_path / "nowhere")


def test_a_damaged_zip_is_named(tmp_path):
    """Half a download is told of before any work."""
    official(tmp_path)
    path = tmp_path / "testing" / "lesion_annotations.zip"
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(CorruptFileError, match=r"testing.lesion_annotations\.zip"):
        take_stock(tmp_path)


def test_the_table_has_a_row_for_every_slide(tmp_path):
    """Those that are missing or left out, too."""
    official(tmp_path)
    (tmp_path / "training" / "normal" / "normal_001.tif").unlink()
    touch(tmp_path / "testing" / "images", ["test_049.tif"])
    take_stock(tmp_path).write(tmp_path / "inventory.csv")
    rows = {row["slide_id"]: row for row in read_csv(tmp_path / "inventory.csv")}
    assert list(rows) == [*ALL_IDS, "test_049"]
    assert tuple(rows["test_049"]) == COLUMNS
    assert rows["normal_001"]["status"] == "missing"
    assert rows["normal_001"]["path"] == ""
    assert rows["tumor_001"]["outlines"].endswith(
        "lesion_annotations.zip:tumor_001.xml"
    )


def test_the_real_reference_labels_the_129(real_data, tmp_path):
    """80 normal and 49 tumor; test_114 is one of the latter, whatever others say."""
    official(tmp_path)
    table = tmp_path / "testing" / "reference.csv"
    table.write_bytes((real_data / "camelyon16" / "reference.csv").read_bytes())
    stock = take_stock(tmp_path)
    assert "test: 129 of 129 slides (80 normal, 49 tumor)" in stock.report()
    assert stock.used["test_114"].label == "tumor"
    assert stock.used["test_124"].label == "normal"
