"""Cross-validation's figures: each names what it is, and all follow from one table."""

from pathlib import Path
from statistics import fmean

import pytest

from coverslip import store
from coverslip.pipeline.learn.folds import Part, fold_folder, gather_folds, mean_figures
from coverslip.tables import read_csv, write_csv


def fold(folder, slides, threshold=0.5, repeat=0, number=0):
    """Write what a judged fold leaves: `slides` are (id, case, label, probability)."""
    place = fold_folder(folder, repeat, number)
    rows = [
        {
            "slide_id": slide_id,
            "case_id": case,
            "split": "test",
            "label": "pos" if label else "neg",
            "predicted": "pos" if chance >= threshold else "neg",
            "probability_neg": 1 - chance,
            "probability_pos": chance,
            "threshold": threshold,
        }
        for slide_id, case, label, chance in slides
    ]
    write_csv(
        place / "predictions.csv",
        list(rows[0]),
        [*rows, {**rows[0], "slide_id": "trained", "split": "train"}],
    )
    auc = fmean(
        float(p > n) for _, _, y, p in slides if y for _, _, x, n in slides if not x
    )
    right = fmean(float(row["predicted"] == row["label"]) for row in rows)
    facts = {"auc": auc, "accuracy": right, "n": len(rows), "threshold": threshold}
    store.write_json(place / "metrics.json", {"test": facts, "left_out": {}})
    split = {row["slide_id"]: row["split"] for row in rows}
    return Part(place, split, repeat, number)


def graded(first, chances):
    """Return slides a case each, negatives and positives in turn."""
    return [
        (f"s{first + i}", f"c{first + i}", i % 2, chance)
        for i, chance in enumerate(chances)
    ]


def read(folder):
    """Return the figures of a run."""
    return store.read_json(folder / "metrics.json")


def test_the_pooled_auc_mixes_scales_and_the_mean_of_folds_does_not(tmp_path):
    """Two perfect folds on different scales: mean 1, pooled less, both decided well."""
    low = fold(tmp_path, graded(0, [0.1, 0.3, 0.15, 0.35]), 0.2, number=0)
    high = fold(tmp_path, graded(4, [0.6, 0.8, 0.65, 0.85]), 0.7, number=1)
    lines = gather_folds(tmp_path, [low, high])
    metrics = read(tmp_path)
    assert metrics["mean_of_folds"]["auc"] == {"mean": 1.0, "sd": 0.0, "n": 2}
    assert metrics["pooled"]["auc"] == 0.75  # 12 of 16 pairs
    assert metrics["pooled"]["accuracy"] == 1.0
    assert metrics["pooled"]["sensitivity"] == metrics["pooled"]["f1"] == 1.0
    ends = metrics["pooled"]["intervals"]["auc"]
    assert ends["low"] < 0.75 < ends["high"]
    assert lines[0].startswith("mean of 2 folds, test: AUC 1.000 (sd 0.000), accuracy")
    assert lines[1].startswith("pooled over folds, test: AUC 0.750 (95 % interval ")
    assert lines[1].endswith("on 8 slides")


def test_the_table_has_the_test_slides_only_with_fold_and_threshold(tmp_path):
    """What a fold says of its training slides is not out of fold."""
    parts = [
        fold(tmp_path, graded(0, [0.1, 0.3, 0.2, 0.4]), 0.25, number=0),
        fold(tmp_path, graded(4, [0.6, 0.8, 0.7, 0.9]), 0.75, number=1),
    ]
    gather_folds(tmp_path, parts)
    rows = read_csv(tmp_path / "predictions.csv")
    assert [row["slide_id"] for row in rows] == [f"s{i}" for i in range(8)]
    assert {(row["fold"], row["threshold"]) for row in rows} == {
        ("0", "0.25"),
        ("1", "0.75"),
    }
    assert {row["repeat"] for row in rows} == {"0"}
    assert set(read(tmp_path)["folds"]) == {"fold_0", "fold_1"}


def test_of_repeats_the_pooled_figures_are_means(tmp_path):
    """A slide counts once however often it was predicted."""
    good = graded(0, [0.1, 0.9, 0.2, 0.8, 0.3, 0.7])
    bad = graded(0, [0.1, 0.9, 0.8, 0.2, 0.3, 0.7])
    parts = [
        fold(tmp_path, good, repeat=0),
        fold(tmp_path, bad, repeat=1),
    ]
    gather_folds(tmp_path, parts)
    pooled = read(tmp_path)["pooled"]
    each = [own["auc"] for own in pooled["by_repeat"]]
    assert each == [1.0, pytest.approx(6 / 9)]
    assert pooled["auc"] == pytest.approx(fmean(each))
    assert pooled["n"] == 6
    ends = pooled["intervals"]["auc"]
    assert ends["value"] == pytest.approx(pooled["auc"])
    assert ends["low"] < pooled["auc"] < ends["high"]
    rows = read_csv(tmp_path / "predictions.csv")
    assert [row["repeat"] for row in rows] == ["0", "1"] * 6
    assert set(read(tmp_path)["folds"]) == {"fold_0", "repeat_1/fold_0"}


@pytest.mark.parametrize("repeats", [1, 2])
def test_the_interval_counts_cases_not_slides(tmp_path, repeats):
    """The same slides, each four times in one case: no narrower than once."""
    chances = [0.1, 0.4, 0.35, 0.8, 0.5, 0.45, 0.2, 0.9, 0.3, 0.6]
    once = graded(0, chances)
    often = [(f"{s}_{i}", c, y, p) for s, c, y, p in once for i in range(4)]
    widths = []
    for name, slides in (("once", once), ("often", often)):
        folder = tmp_path / name
        parts = [fold(folder, slides, repeat=r) for r in range(repeats)]
        gather_folds(folder, parts)
        ends = read(folder)["pooled"]["intervals"]["auc"]
        widths.append(ends["high"] - ends["low"])
    assert widths[1] > 0.9 * widths[0]


def test_figures_that_are_unknown_do_not_count():
    """A fold of one class has no AUC; the others' mean says of how many it is."""
    figures = mean_figures(
        [{"auc": 0.5, "n": 4}, {"auc": None, "n": 5}, {"auc": 0.7, "n": 6}]
    )
    assert figures == {"auc": {"mean": 0.6, "sd": pytest.approx(0.02**0.5), "n": 2}}
    assert mean_figures([{"auc": 0.5}])["auc"]["sd"] is None
    assert mean_figures([]) == {}


def test_the_first_dealing_needs_no_folder():
    """So that more repeats can be added to folds that are done."""
    run = Path("run")
    assert fold_folder(run, 0, 3) == run / "fold_3"
    assert fold_folder(run, 2, 3) == run / "repeat_2" / "fold_3"
