"""Runs meet on the slides they share, and what sets them apart is said."""

import pytest

from coverslip.errors import DataError, LabelError, OptionError
from coverslip.pipeline.judge.run_tables import in_common, name_of, read_runs
from coverslip.tables import write_csv

CLASSES = ("normal", "tumor")


def row(slide_id, label, chance, **more):
    """Return a row of a table; the threshold is 0.5 unless it is given."""
    limit = more.pop("threshold", 0.5)
    return {
        "slide_id": slide_id,
        "case_id": f"case of {slide_id}",
        "split": "test",
        "label": CLASSES[label],
        "predicted": CLASSES[chance >= limit],
        "probability_normal": 1 - chance,
        "probability_tumor": chance,
        "threshold": limit,
        **more,
    }


def run(folder, rows):
    """Write a run of these rows."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    write_csv(folder / "predictions.csv", columns, rows)
    return folder


def plain(folder, slides="abcd", **more):
    """Write a run of one split; its slides are normal and tumor in turn."""
    chances = [0.2, 0.7, 0.4, 0.6, 0.3, 0.9]
    return run(
        folder,
        [
            row(s, "abcdef".index(s) % 2, chances["abcdef".index(s)], **more)
            for s in slides
        ],
    )


def cross(folder, fold_of, repeats=1):
    """Write a cross-validated run; `fold_of` gives each slide's fold in repeat 0."""
    return run(
        folder,
        [
            row(s, i % 2, 0.4 + 0.1 * i, fold=(fold + r) % 2, repeat=r)
            for i, (s, fold) in enumerate(sorted(fold_of.items()))
            for r in range(repeats)
        ],
    )


def joined(*runs):
    """Read runs and bring them together."""
    return in_common(read_runs(runs, "test"))


def test_only_slides_that_all_runs_judged_are_kept(tmp_path):
    """In one order, whatever the order and the spelling; the rest is told."""
    one = plain(tmp_path / "one", "dbca")
    two = run(
        tmp_path / "two", [row("B.svs", 1, 0.9), row("A", 0, 0.1), row("e", 0, 0.5)]
    )
    tables, notes = joined(one, two)
    assert [table.outcomes.slides for table in tables] == [("a", "b")] * 2
    assert [t.outcomes.scores.tolist() for t in tables] == [[0.2, 0.7], [0.1, 0.9]]
    assert notes[:2] == [
        "one: 2 slides are not in every run and not compared (first: c)",
        "two: 1 slides are not in every run and not compared (first: e)",
    ]


def test_runs_on_one_split_have_nothing_to_be_noted(tmp_path):
    """Same slides, same cases, same training."""
    assert joined(plain(tmp_path / "one"), plain(tmp_path / "two"))[1] == []


def test_another_training_set_is_noted(tmp_path):
    """The comparison goes on, with a word of warning."""
    tested = [row("a", 0, 0.2), row("b", 1, 0.8)]
    one = run(tmp_path / "one", [*tested, row("x", 1, 0.9, split="train")])
    two = run(tmp_path / "two", [*tested, row("y", 1, 0.9, split="train")])
    (note,) = joined(one, two)[1]
    assert note.startswith("one, two: not the same training or validation slides")


def test_folds_must_be_the_same_or_it_is_noted(tmp_path):
    """Cross-validated runs are compared fairly only fold by fold."""
    folds = {"a": 0, "b": 0, "c": 1, "d": 1}
    one = cross(tmp_path / "one", folds)
    assert joined(one, cross(tmp_path / "same", folds))[1] == []
    for name, other in (
        ("other", cross(tmp_path / "other", folds | {"a": 1})),
        ("more", cross(tmp_path / "more", folds, repeats=2)),
    ):
        (note,) = joined(one, other)[1]
        assert note.startswith(f"one, {name}: not the same folds")
    (note,) = joined(one, plain(tmp_path / "plain"))[1]
    assert "one is cross-validated and the other is not" in note


def test_other_cases_are_noted(tmp_path):
    """Intervals of differences can count the cases of one table only."""
    (note,) = joined(plain(tmp_path / "one"), plain(tmp_path / "two", case_id="x"))[1]
    assert note.startswith("one, two: not the same cases")


def test_repeats_are_averaged_with_their_thresholds(tmp_path):
    """A slide predicted twice has one row: mean probability, mean threshold."""
    rows = [
        row("a", 1, 0.9, threshold=0.95, fold=0, repeat=0),
        row("a", 1, 0.5, threshold=0.35, fold=1, repeat=1),
        row("b", 0, 0.6, threshold=0.9, fold=0, repeat=0),
        row("b", 0, 0.7, threshold=0.9, fold=0, repeat=1),
    ]
    table = read_runs([run(tmp_path / "cv", rows), plain(tmp_path / "x")], "test")[0]
    assert table.outcomes.slides == ("a", "b")
    assert table.outcomes.scores.tolist() == pytest.approx([0.7, 0.65])
    assert table.outcomes.thresholds.tolist() == pytest.approx([0.65, 0.9])
    assert table.outcomes.decided.tolist() == [1, 0]


def test_labels_that_disagree_are_refused(tmp_path):
    """The slide and both labels are named."""
    one, two = plain(tmp_path / "one"), run(tmp_path / "two", [row("b", 0, 0.5)])
    with pytest.raises(LabelError, match="slide 'b' is normal, but tumor in .*one"):
        joined(one, two)


def test_other_classes_are_refused(tmp_path):
    """Two questions cannot be compared."""
    other = [
        {
            key.replace("tumor", "cancer"): "cancer" if value == "tumor" else value
            for key, value in row("a", 1, 0.5).items()
        }
    ]
    with pytest.raises(DataError, match=r"\(normal, cancer\) are not those of"):
        joined(plain(tmp_path / "one"), run(tmp_path / "two", other))


def test_runs_without_a_slide_in_common_are_refused(tmp_path):
    """There is nothing to compare."""
    with pytest.raises(DataError, match="one, two: no slide is in all of them"):
        joined(plain(tmp_path / "one", "ab"), plain(tmp_path / "two", "cd"))


def test_a_subset_that_is_not_there_is_refused(tmp_path):
    """The message says which subsets are."""
    runs = [plain(tmp_path / name) for name in ("one", "two")]
    with pytest.raises(DataError, match="no judged slides in 'val': .* test"):
        read_runs(runs, "val")


def test_a_subset_is_that_of_each_table(tmp_path):
    """A slide that trained one of the runs is never among the compared test slides."""
    one = run(
        tmp_path / "one",
        [row("a", 0, 0.1), row("b", 1, 0.9), row("c", 1, 0.9, split="train")],
    )
    tables, _ = joined(one, plain(tmp_path / "two", "abc"))
    assert tables[1].outcomes.slides == ("a", "b")


def test_fewer_than_two_runs_are_refused(tmp_path):
    """The same run by folder and by file counts once."""
    one = plain(tmp_path / "one")
    for runs in ([one], [one, one], [one, one / "predictions.csv"]):
        with pytest.raises(OptionError, match="two or more runs, each given once"):
            read_runs(runs, "test")


@pytest.mark.parametrize(
    ("places", "names"),
    [
        (["s/runs/one", "s/runs/two"], ["one", "two"]),
        (["s/runs/cv/fold_0", "s/runs/cv"], ["cv/fold_0", "cv"]),
        (["s/runs/dmia", "t/runs/dmia"], ["s/runs/dmia", "t/runs/dmia"]),
        (["elsewhere/one", "two"], ["one", "two"]),
    ],
)
def test_runs_are_called_by_the_shortest_names_that_differ(tmp_path, places, names):
    """What stands after `runs`, or more where that is the same."""
    runs = [plain(tmp_path / place) for place in places]
    tables = read_runs(runs, "test")
    assert [table.name for table in tables] == names
    assert [name_of(run, tables) for run in runs] == names
    with pytest.raises(OptionError, match="is none of the runs"):
        name_of(tmp_path, tables)
