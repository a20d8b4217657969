"""What is left when labels and slides have met."""

from coverslip.learn.labels import join, read_labels
from coverslip.pipeline.plan.findings import Findings
from coverslip.pipeline.plan.leftovers import leftovers, mended, write_mended


def met(tmp_path, rows, slides):
    """Return how a table of these rows meets slides."""
    path = tmp_path / "labels.csv"
    path.write_text("\n".join(rows) + "\n")
    return join(read_labels(path), slides)


ROWS = [
    "slide_id,label,stain",
    "a_1.svs,no,HE",
    "B-02,yes,HE",
    "P-1,yes,IHC",
    "spekling_9,no,HE",
    "far,no,HE",
    "c_1,,HE",
]
SLIDES = ["A_1", "b_2", "p-1-x", "p-1-y", "speckling_9", "other", "c_1"]


def test_each_leftover_is_at_one_place(tmp_path):
    """Pairs, ids of several slides, and what is like nothing; empty labels are known."""
    left = leftovers(met(tmp_path, ROWS, SLIDES))
    assert {(p.slide, p.label, p.sure) for p in left.pairs} == {
        ("b_2", "B-02", True),
        ("speckling_9", "spekling_9", False),
    }
    assert left.shared == {"P-1": ("p-1-x", "p-1-y")}
    assert (left.slides, left.labels) == (("other",), ("far",))


def test_what_can_be_mended_is_an_error_and_the_rest_a_warning(tmp_path):
    """A person can act on each line."""
    joined, found = met(tmp_path, ROWS, SLIDES), Findings()
    leftovers(joined).tell(joined.labels, found)
    told = {(f.severity, f.names) for f in found.ordered()}
    assert told == {
        ("error", ("B-02",)),
        ("error", ("P-1",)),
        ("warning", ("spekling_9",)),
        ("warning", ("other",)),
        ("warning", ("far",)),
        ("note", ("c_1",)),
    }
    severities = [f.severity for f in found.ordered()]
    assert severities == ["error"] * 2 + ["warning"] * 3 + ["note"]


def test_the_mended_table_matches_and_keeps_its_columns(tmp_path):
    """Sure pairs are renamed, an id of several slides becomes their case."""
    joined = met(tmp_path, ROWS, SLIDES)
    assert {row.slide_id: row.case_id for row in mended(joined)} == {
        "A_1": "A_1",
        "b_2": "b_2",
        "p-1-x": "P-1",
        "p-1-y": "P-1",
        "spekling_9": "spekling_9",
        "far": "far",
    }
    out = tmp_path / "mended.csv"
    write_mended(out, joined)
    again = join(read_labels(out), SLIDES)
    assert set(again.matched) == {"A_1", "b_2", "p-1-x", "p-1-y"}
    assert again.matched["p-1-x"].extra == {"stain": "IHC"}
