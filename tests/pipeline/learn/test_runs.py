"""Runs of one split, of folds and of seeds: laid out, repeated, kept apart."""

import json

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, roc_auc_score

from coverslip.errors import OptionError, ParametersDifferError
from coverslip.learn.splits import SplitOptions
from coverslip.pipeline.learn import seeds
from coverslip.pipeline.learn.learn_options import LearnOptions
from coverslip.pipeline.learn.runs import TrainPlan, evaluate, train
from coverslip.tables import read_csv, write_csv
from coverslip.testing import toy_cohort
from studies import files

OPTIONS = LearnOptions(
    training={"epochs": 1, "partitions": 2, "device": "cpu"},
    model_options={"dim": 8},
)


def plan(**changes):
    """Return a quiet plan of two folds, with some things changed."""
    splits = SplitOptions(val_share=0.3, test_share=0.3)
    return TrainPlan(**{"folds": 2, "splits": splits, "quiet": True, **changes})


@pytest.fixture(scope="module", autouse=True)
def undrawn():
    """Draw no figures of the many small runs; other tests look at them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("coverslip.pipeline.judge.judging.draw_roc", lambda *_: None)
        patch.setattr(
            "coverslip.pipeline.judge.judging.draw_reliability", lambda *_: None
        )
        patch.setattr(
            "coverslip.pipeline.learn.learning.draw_training", lambda *_: None
        )
        yield


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    """Return a toy study, two slides a case."""
    made = toy_cohort(tmp_path_factory.mktemp("toy"), slides=28, patches=8, dim=4)
    labels = [
        {**row, "case_id": f"case_{number // 4}_{number % 2}"}
        for number, row in enumerate(read_csv(made.labels))
    ]
    write_csv(made.labels, ["slide_id", "case_id", "label"], labels)
    return made


def trained(toy, **changes):
    """Train on the toy study."""
    return train(toy.study, toy.labels, OPTIONS, plan(**changes))


@pytest.fixture(scope="module")
def repeated(toy):
    """Return a run of two folds, dealt twice."""
    return trained(toy, name="repeated", repeats=2)


def splits(folder):
    """Return subset by slide of a fold."""
    return {row["slide_id"]: row for row in read_csv(folder / "splits.csv")}


def test_every_slide_is_out_of_fold_once_a_repeat(toy, repeated):
    """The table has each slide's word from the model that did not see it."""
    rows = read_csv(repeated.folder / "predictions.csv")
    ids = [row["slide_id"] for row in read_csv(toy.labels)]
    for repeat in "01":
        own = [row["slide_id"] for row in rows if row["repeat"] == repeat]
        assert sorted(own) == sorted(ids)
    for row in rows:
        place = f"repeat_{row['repeat']}" if row["repeat"] != "0" else "."
        fold = repeated.folder / place / f"fold_{row['fold']}"
        assert splits(fold)[row["slide_id"]]["split"] == "test"
        said = {r["slide_id"]: r for r in read_csv(fold / "predictions.csv")}
        assert said[row["slide_id"]].items() <= row.items()
        card = json.loads((fold / "model.json").read_text())
        assert row["threshold"] == f"{card['threshold']:.6f}"


def test_no_case_is_on_two_sides_and_every_fold_validates(repeated):
    """In each fold of each repeat."""
    for model in repeated.models:
        rows = splits(model.parent).values()
        sides = {}
        for row in rows:
            sides.setdefault(row["case_id"], set()).add(row["split"])
        assert all(len(side) == 1 for side in sides.values())
        assert {row["split"] for row in rows} == {"train", "val", "test"}


def test_a_repeat_has_other_folds_and_another_seed(repeated):
    """Both are drawn anew."""
    folders = [model.parent for model in repeated.models]
    assert [str(f.relative_to(repeated.folder)) for f in folders] == [
        "fold_0",
        "fold_1",
        "repeat_1/fold_0",
        "repeat_1/fold_1",
    ]
    assert splits(folders[0]) != splits(folders[2])
    seeds = [
        json.loads((f / "model.json").read_text())["training"]["options"]["seed"]
        for f in folders
    ]
    assert seeds == [0, 0, 1, 1]


def test_anyone_can_count_the_figures_from_the_table(repeated):
    """Pooled and per-fold AUC and accuracy, by another library."""
    rows = read_csv(repeated.folder / "predictions.csv")
    metrics = json.loads((repeated.folder / "metrics.json").read_text())

    def figures(**chosen):
        own = [r for r in rows if all(r[k] == v for k, v in chosen.items())]
        labels = [r["label"] == "tumor" for r in own]
        said = [r["predicted"] == "tumor" for r in own]
        area = roc_auc_score(labels, [float(r["probability_tumor"]) for r in own])
        return area, accuracy_score(labels, said)

    pooled = [figures(repeat=r) for r in "01"]
    assert metrics["pooled"]["auc"] == pytest.approx(np.mean([a for a, _ in pooled]))
    assert metrics["pooled"]["accuracy"] == pytest.approx(
        np.mean([b for _, b in pooled])
    )
    each = [figures(repeat=r, fold=f) for r in "01" for f in "01"]
    for number, name in enumerate(("auc", "accuracy")):
        own = [values[number] for values in each]
        assert metrics["mean_of_folds"][name] == {
            "mean": pytest.approx(np.mean(own)),
            "sd": pytest.approx(np.std(own, ddof=1)),
            "n": 4,
        }


def test_the_summary_names_both_aucs(repeated):
    """The mean of folds and the pooled one; each fold before them."""
    lines = repeated.summary
    assert any(line.startswith("repeat 1 fold 0 test: AUC") for line in lines)
    assert lines[-2].startswith("mean of 4 folds, test: AUC ")
    assert lines[-1].startswith("pooled over folds, test: AUC ")
    assert "repeat 1 fold 1 test" in repeated.judged


def test_interrupted_it_goes_on_and_finished_folds_are_kept(toy, repeated, monkeypatch):
    """Stopped in the last fold: the others are as they were, the end is the same."""
    calls, real = [], seeds.train_model

    def stopping(cohort, split, place, *more, **named):
        calls.append(place)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(cohort, split, place, *more, **named)

    with monkeypatch.context() as patch:
        patch.setattr(seeds, "train_model", stopping)
        with pytest.raises(KeyboardInterrupt):
            trained(toy, name="stopped", repeats=2)
    before = files(toy.study / "runs/stopped")
    done = trained(toy, name="stopped", repeats=2)
    after = files(done.folder)
    assert {name: after[name] for name in before} == before
    for name in ("predictions.csv", "metrics.json"):
        assert (done.folder / name).read_bytes() == (
            repeated.folder / name
        ).read_bytes()


def test_more_repeats_can_be_added_and_none_taken_away(toy):
    """Folds that are done stay; a smaller number would leave folders that lie."""
    first = trained(toy, name="growing")
    before = files(first.folder)
    grown = trained(toy, name="growing", repeats=2)
    kept = [name for name in before if name.startswith("fold_")]
    after = files(grown.folder)
    assert {k: after[k] for k in kept} == {k: before[k] for k in kept}
    with pytest.raises(ParametersDifferError, match="layout.repeats was 2, now 1"):
        trained(toy, name="growing")


@pytest.mark.parametrize(
    ("was", "now", "named"),
    [
        ({"folds": 0}, {"folds": 2}, "layout.folds was 0, now 2"),
        ({"folds": 2}, {"folds": 0}, "layout.folds was 2, now 0"),
        ({"folds": 2}, {"folds": 3}, "layout.folds was 2, now 3"),
        ({"folds": 0}, {"folds": 0, "seeds": 2}, "layout.seeds was 1, now 2"),
    ],
)
def test_a_folder_holds_one_kind_of_run(toy, was, now, named):
    """Another layout under the same name is refused, and nothing is touched."""
    name = "_".join(f"{k}{v}" for k, v in [*was.items(), *now.items()])
    folder = trained(toy, name=name, **was).folder
    before = files(folder)
    with pytest.raises(ParametersDifferError, match=named):
        trained(toy, name=name, **now)
    assert files(folder) == before


def test_folds_of_seeds_average_within_each_fold(toy):
    """Each fold's word is its ensemble's."""
    done = trained(toy, name="both", seeds=2)
    for number, model in enumerate(done.models):
        assert model.parent.name == f"fold_{number}"
        tables = [
            {r["slide_id"]: float(r["probability_tumor"]) for r in read_csv(path)}
            for path in sorted(model.parent.glob("seed_*/predictions.csv"))
        ]
        assert len(tables) == 2
        for row in read_csv(done.folder / "predictions.csv"):
            if row["fold"] == str(number):
                mean = np.mean([table[row["slide_id"]] for table in tables])
                assert float(row["probability_tumor"]) == pytest.approx(mean, abs=2e-6)


def test_seeds_can_be_evaluated_like_any_model(toy, tmp_path):
    """A run folder of seeds, on its own study: its own split and its own words."""
    done = trained(toy, name="seeds", folds=0, seeds=2)
    evaluate(done.folder, toy.labels, toy.features, tmp_path)
    mine, again = (
        read_csv(place / "predictions.csv") for place in (done.folder, tmp_path)
    )
    assert mine == again
    assert {row["split"] for row in mine} == {"train", "val", "test"}


def test_a_run_is_named_after_its_model(toy):
    """Unless it is given a name."""
    plain = LearnOptions(model="mean", training={"epochs": 1, "device": "cpu"})
    done = train(toy.study, toy.labels, plain, plan(folds=0))
    assert done.folder == toy.study / "runs" / "mean"


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"repeats": 0}, "at least 1"),
        ({"seeds": 0}, "at least 1"),
        ({"folds": 0, "repeats": 2}, "only folds that are dealt here"),
        ({"name": "a/b"}, "name='a/b'"),
    ],
)
def test_a_plan_that_makes_no_sense_is_refused(changes, named):
    """Before anything is read."""
    with pytest.raises(OptionError, match=named):
        plan(**changes)
