"""Tests of the classic sets' cross-validation: no fold ever sees what it is tested on."""

import numpy as np
import pytest
import torch
from benchmarks.accuracy import classic_sets
from benchmarks.accuracy.classic_data import ClassicSet
from benchmarks.accuracy.cross_validation import (
    FOLDS,
    PLAN,
    RATES,
    Judged,
    choose_rates,
    cross_validate,
    dealt,
    inner_validation,
    trained,
)
from benchmarks.accuracy.fitting import example

from coverslip.store import read_json

BRIEF = PLAN.replace(epochs=3, partitions=1)


def separable(bags=40, features=4, seed=0):
    """Return a set whose positive bags have one patch far off."""
    rng = np.random.default_rng(seed)
    labels = np.arange(bags) % 2
    drawn = [rng.normal(size=(int(rng.integers(2, 5)), features)) for _ in range(bags)]
    for x, label in zip(drawn, labels, strict=True):
        x[0] += 5 * label
    return ClassicSet("separable", tuple(drawn), labels)


def judged(model, accuracy, name="one"):
    """Return a result whose two figures are alike in all but one fold."""
    figures = np.full((1, FOLDS), accuracy)
    figures[0, 0] += 0.05
    return Judged(name, model, figures, figures / 2, np.ones((1, FOLDS)), 1.0)


def test_each_bag_is_tested_once_a_repeat_in_folds_of_like_labels():
    """Ten folds a repeat; two repeats are dealt differently."""
    labels = np.array([0] * 60 + [1] * 40)
    tests = dealt(labels, 2, seed=0)
    assert tests.shape == (20, 100)
    assert (tests[:10].sum(axis=0) == 1).all()
    assert (tests[10:].sum(axis=0) == 1).all()
    assert {(t.sum(), labels[t].sum()) for t in tests} == {(10, 4)}
    assert not np.array_equal(tests[:10], tests[10:])


def test_the_rate_is_chosen_on_training_bags_only():
    """Inner validation is a ninth of each fold's training bags, of both classes."""
    labels = np.arange(100) % 2
    tests = dealt(labels, 1, seed=0)
    validation = inner_validation(labels, tests, seed=0)
    assert not (tests & validation).any()
    assert set(validation.sum(axis=1)) == {10}
    assert all(labels[held].sum() == 5 for held in validation)


def test_labels_and_patches_of_a_test_fold_change_nothing_of_its_model():
    """Spoil a fold's test bags: its rate and its weights stay as they were."""
    classic = separable()
    tests = dealt(classic.labels, 1, seed=0)[:2]
    clean = [
        example(torch.from_numpy(x), int(y))
        for x, y in zip(classic.bags, classic.labels, strict=True)
    ]
    spoilt = [
        example(b.x * 100, 1 - b.label) if tests[0, i] else b
        for i, b in enumerate(clean)
    ]
    ends = []
    for bags in (clean, spoilt):
        rates = choose_rates("mean", bags, tests[:1], BRIEF)
        models = trained("mean", bags, ~tests, np.full(2, RATES[0]), BRIEF)
        weights = [
            torch.cat([p.flatten() for p in m.state_dict().values()]) for m in models
        ]
        ends.append((rates.tolist(), weights))
    assert torch.equal(ends[0][1][0], ends[1][1][0])
    assert not torch.equal(ends[0][1][1], ends[1][1][1])
    assert ends[0][0] == ends[1][0]


def test_the_chosen_rate_is_the_better_one_on_inner_validation(monkeypatch):
    """A rate too low to learn anything loses to one that learns."""
    monkeypatch.setattr("benchmarks.accuracy.cross_validation.RATES", (1e-9, 5e-3))
    classic = separable()
    bags = [
        example(torch.from_numpy(x), int(y))
        for x, y in zip(classic.bags, classic.labels, strict=True)
    ]
    rates = choose_rates("max", bags, dealt(classic.labels, 1, seed=0)[:3], BRIEF)
    assert rates.tolist() == [5e-3] * 3


def test_a_clear_set_is_learnt_and_shuffled_labels_are_not():
    """The figures are those of the test folds: near 1, and near one half."""
    clear = separable()
    found = cross_validate(clear, "max", 1, BRIEF)
    assert found.accuracy.shape == found.auc.shape == found.rates.shape == (1, FOLDS)
    assert found.auc.mean() > 0.95
    shuffled = np.random.default_rng(1).permutation(clear.labels)
    noise = ClassicSet("noise", clear.bags, shuffled)
    assert 0.2 < cross_validate(noise, "max", 1, BRIEF).auc.mean() < 0.8


def test_we_are_compared_with_each_rival_on_each_set_and_on_all():
    """Differences are ours minus theirs; Holm counts the rivals of a set."""
    results = [
        judged("dmia", 0.9),
        judged("mean", 0.8),
        judged("max", 0.9),
        judged("dmia", 0.7, "two"),
        judged("mean", 0.4, "two"),
        judged("max", 0.7, "two"),
    ]
    rows = classic_sets.compared([one.facts() for one in results], "accuracy")
    found = {(row["set"], row["rival"]): row for row in rows}
    assert found["one", "mean"]["mean"] == pytest.approx(0.1)
    assert found["two", "mean"]["mean"] == pytest.approx(0.3)
    assert found["all", "mean"]["mean"] == pytest.approx(0.2)
    assert found["all", "max"]["p_holm"] == 1
    assert len(rows) == 6


def test_the_quick_slice_writes_what_a_reader_needs(tmp_path, monkeypatch, real_data):
    """One set, one repeat, three models, with seeds, versions, command and counts."""
    monkeypatch.setenv("COVERSLIP_DATA", str(real_data))
    monkeypatch.setattr(classic_sets, "QUICK_PLAN", BRIEF.replace(epochs=1))
    out = tmp_path / "classic.json"
    classic_sets.main(out, quick=True, seed=3, processes=1)
    facts = read_json(out)
    assert facts["seed"] == 3
    assert {"command", "versions", "machine", "seconds", "rates"} <= facts.keys()
    assert facts["sets"]["musk1"]["instances"] == 476
    models = [row["model"] for row in facts["results"]]
    assert models == list(classic_sets.QUICK_MODELS)
    for row in facts["results"]:
        assert row["accuracy"]["mean"] == pytest.approx(
            np.mean(row["accuracy"]["folds"]), abs=1e-4
        )
        assert sum(row["rates"].values()) == FOLDS
