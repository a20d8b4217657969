"""A trial is kept, read again, and says what the model saw."""

import numpy as np
import pytest
import torch
from benchmarks.accuracy import real_tissue
from benchmarks.accuracy.tissue_bags import Pool
from benchmarks.accuracy.tissue_judging import Drawn, compare_with, interval, summarise
from benchmarks.accuracy.tissue_trials import (
    RATES,
    Recipe,
    Trial,
    bags_of_test,
    found_at,
    look_again,
    read_trial,
    train_trial,
)

from coverslip.judge.metrics import auc
from coverslip.pipeline.judge.comparing import compare
from coverslip.tables import read_csv

BAGS = {"train": 4, "val": 4, "test": 6}


@pytest.fixture
def pool():
    """Return patches whose first feature tells tumour."""
    rng = np.random.default_rng(0)
    n = 900
    tumour = rng.random(n) < 0.5
    features = rng.normal(size=(n, 6))
    features[:, 0] += 4 * tumour
    return Pool(
        features=features.astype(np.float16),
        stain=rng.uniform(size=(n, 2)),
        tumour=tumour,
        part=np.array(["train", "val", "test"])[np.arange(n) % 3],
    )


def trial(seed: int = 0, name: str = "dmia") -> Trial:
    """Return a small trial."""
    return Trial(Recipe(name, name, {"dim": 8}), 1e-3, 0.0, seed, 1, BAGS)


def test_a_trial_that_was_done_is_not_done_again(pool, tmp_path):
    """Its figures are read from its file, whatever the pool is by then."""
    first = train_trial(pool, trial(), tmp_path)
    again = train_trial(None, trial(), tmp_path)
    assert first == again
    assert "test" not in first
    assert len(list(tmp_path.glob("*.json"))) == 1


def test_the_test_bags_are_read_with_the_model_that_was_kept(pool, tmp_path):
    """Training again from nothing gives the same word on the test bags."""
    kept = read_trial(pool, trial(), tmp_path / "a")
    fresh = read_trial(pool, trial(), tmp_path / "b")
    assert kept["test"] == fresh["test"]
    assert kept["test"]["labels"] == [0, 1] * 3
    other = read_trial(pool, trial(1), tmp_path / "a")
    assert other["test"]["labels"] == kept["test"]["labels"]
    assert other["test"]["scores"] != kept["test"]["scores"]
    ten = look_again(pool, trial(), tmp_path / "a", 10)
    assert ten == kept["val"]


def test_anything_that_matters_is_in_a_trials_name():
    """Another option, rate, seed or number of bags is another trial."""
    one = trial()
    others = [
        trial(1),
        trial(name="instance_max"),
        Trial(one.recipe, 2e-3, 0.0, 0, 1, BAGS),
        Trial(one.recipe, 1e-3, 0.1, 0, 1, BAGS),
        Trial(one.recipe, 1e-3, 0.0, 0, 2, BAGS),
        Trial(one.recipe, 1e-3, 0.0, 0, 1, {**BAGS, "train": 5}),
        Trial(Recipe("dmia", "dmia", {"dim": 8, "k": 2}), 1e-3, 0.0, 0, 1, BAGS),
    ]
    assert len({t.key for t in [one, *others]}) == len(others) + 1


def test_found_at_counts_by_hand():
    """With two bags a rate of 1/2 allows one false positive: the second one stops it."""
    truth = [np.array([True, True, False]), np.array([False, True])]
    seen = [np.array([0.9, 0.3, 0.8]), np.array([0.5, 0.6])]
    found = dict(zip(RATES, found_at(truth, seen), strict=True))
    assert found[1 / 4] == pytest.approx(1 / 3)  # above 0.8: one of three
    assert found[1 / 2] == pytest.approx(2 / 3)  # above 0.5: two of three
    assert found[8] == 1.0  # more than there are normal patches


def fake_trial(rng: np.random.Generator, skill: float) -> dict:
    """Return what a trial of some skill would say."""
    labels = np.arange(60) % 2
    part = {
        "labels": labels.tolist(),
        "scores": (skill * labels + rng.normal(size=60)).tolist(),
        "entropy": 0.5,
        "top10": 0.5,
    }
    for place, gain in (("attention", 0.0), ("probability", 0.2)):
        inside = np.clip(0.6 + gain + 0.02 * rng.normal(size=30), 0, 1)
        part[place] = {"instance_auc": inside.tolist(), "found": [0.1] * len(RATES)}
    return {"val": part, "test": part, "seconds": 1.0, "epoch": 1, "commit": "abc"}


def test_a_row_is_the_mean_over_seeds_and_rivals_are_compared_in_pairs():
    """The better model is better by the difference of the means."""
    rng = np.random.default_rng(1)
    rows = [
        summarise(
            Recipe(name, "dmia"), (1e-3, 0), [fake_trial(rng, s) for _ in range(3)]
        )
        for name, s in (("dmia", 3.0), ("weak", 0.5), ("same", 3.0))
    ]
    compare_with("dmia", rows)
    assert rows[0]["place"] == "probability"
    assert rows[0]["auc"]["value"] == pytest.approx(np.mean(rows[0]["auc_of_seeds"]))
    gain = rows[1]["gain_auc"]
    assert gain["value"] == pytest.approx(
        rows[0]["auc"]["value"] - rows[1]["auc"]["value"]
    )
    assert gain["low"] > 0
    assert gain["p_holm"] < 0.05
    assert rows[2]["gain_auc"]["p_holm"] > 0.05
    assert "gain_auc" not in rows[0]


@pytest.mark.slow
@pytest.mark.parametrize("of_seed", [0.0, 0.02, 0.05])
def test_an_interval_holds_the_truth_as_often_as_it_says(of_seed):
    """Of 400 studies with five seeds and 150 bags 93 % or more: it errs on the safe side."""
    rng = np.random.default_rng(5)
    held = 0
    for _ in range(400):
        bags = 0.08 * rng.normal(size=(150, 1))
        seeds = of_seed * rng.normal(size=(1, 5))
        values = bags + seeds + 0.08 * rng.normal(size=(150, 5))  # of mean 0
        draws = Drawn(np.ones(150), repeats=200).means(values)
        found = interval(values.mean(axis=0), draws)
        assert (found["p"] < 0.05) == (not found["low"] <= 0 <= found["high"])
        held += found["low"] <= 0 <= found["high"]
    assert 0.93 <= held / 400


def test_validation_alone_chooses_rates(pool, tmp_path, monkeypatch):
    """Of two pairs the one with the better validation is taken; no test is read."""
    monkeypatch.setattr(real_tissue, "run_all", lambda *_: [bad, good])
    bad, good = (
        fake_trial(np.random.default_rng(2), 0),
        fake_trial(np.random.default_rng(3), 4),
    )
    for one in (bad, good):
        del one["test"]
    plan = {"search": ((1e-4, 0.0), (1e-3, 0.0)), "epochs": 1, "bags": BAGS}
    recipes = [Recipe("dmia", "dmia")]
    assert real_tissue.choose(pool, recipes, plan, tmp_path) == {"dmia": (1e-3, 0.0)}


def test_coverslip_compare_reads_the_runs_that_are_written(pool, tmp_path):
    """The seeds' mean predictions come out as they went in, with the bags' labels."""
    labels = np.array([bag.label for bag in bags_of_test(pool, 40)])
    rng = np.random.default_rng(4)
    rows = [
        {
            "name": name,
            "threshold": 0.5,
            "_scores": 1
            / (1 + np.exp(-gain * labels[:, None] - rng.normal(size=(40, 2)))),
        }
        for name, gain in (("dmia, one member", 2.0), ("mean", 0.0))
    ]
    real_tissue.write_runs(tmp_path, pool, rows, 40)
    runs = [tmp_path / "dmia_one_member", tmp_path / "mean"]
    compare(runs, tmp_path / "out")
    for row, said in zip(
        rows, read_csv(tmp_path / "out" / "comparison.csv"), strict=True
    ):
        expected = auc(labels, row["_scores"].mean(axis=1))
        assert float(said["auc"]) == pytest.approx(expected, abs=1e-3)


def test_the_common_width_is_every_models():
    """A recipe that does not say otherwise has it."""
    for recipe in real_tissue.RECIPES:
        model = recipe.build(8, 0, width=16)
        widths = {w.numel() // 8 for w in model.parameters() if w.shape[-1] == 8}
        assert widths == {16}, recipe.name
        assert isinstance(model, torch.nn.Module)
