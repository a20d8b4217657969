"""The published split of the 270 training slides."""

import hashlib
from collections import Counter

import pytest

from coverslip.cohorts.camelyon16.facts import TRAINING_IDS, label_of_name
from coverslip.cohorts.camelyon16.split import (
    SPLIT_CSV,
    deal,
    make_split_csv,
    published_split,
)
from coverslip.errors import DataError
from coverslip.tables import read_csv


def test_it_has_each_training_slide_once_with_the_label_of_its_name():
    """No test slide is in it, and no column beside the four."""
    rows = read_csv(SPLIT_CSV)
    assert [row["slide_id"] for row in rows] == sorted(TRAINING_IDS)
    assert [
        r["slide_id"] for r in rows if r["label"] != label_of_name(r["slide_id"])
    ] == []
    assert list(rows[0]) == ["slide_id", "label", "center", "split"]


def test_a_fifth_of_each_label_and_hospital_validates():
    """To the nearest slide: 54 of 270."""
    counts = Counter((p.label, p.center, p.split) for p in published_split().values())
    strata = {key[:2] for key in counts}
    assert len(strata) == 4
    for label, center in strata:
        val, train = counts[label, center, "val"], counts[label, center, "train"]
        assert abs(val - 0.2 * (val + train)) <= 0.5
    assert sum(n for key, n in counts.items() if key[2] == "val") == 54


def test_the_published_split_can_be_made_again(real_data, tmp_path):
    """The procedure and FLamby's table of hospitals give the file that is shipped."""
    table = real_data / "camelyon16" / "flamby_metadata.csv"
    make_split_csv(table, tmp_path / "split.csv")
    assert read_csv(tmp_path / "split.csv") == read_csv(SPLIT_CSV)


def test_dealing_is_the_order_of_hashes_whatever_the_order_of_slides():
    """Worked out here by hand for one stratum."""
    ids = [f"normal_{n:03d}" for n in range(1, 11)]

    def rank(slide_id: str) -> bytes:
        return hashlib.sha256(b"coverslip camelyon16 " + slide_id.encode()).digest()

    first = set(sorted(ids, key=rank)[:2])
    slides = [(slide_id, "normal", "0") for slide_id in ids]
    for order in (slides, slides[::-1]):
        assert {p.slide_id for p in deal(order) if p.split == "val"} == first


def test_a_table_that_lacks_a_hospital_is_refused(tmp_path):
    """A split of fewer slides would pass for the published one."""
    table = tmp_path / "metadata.csv"
    table.write_text("slide_name,hospital_corrected\nnormal_001.tif,0.0\n")
    with pytest.raises(DataError, match=r"normal_002 and 268 others"):
        make_split_csv(table, tmp_path / "split.csv")
