"""Tests of the classic sets' reader and of its guard against a leaked label."""

import gzip

import numpy as np
import pytest
from benchmarks.accuracy.classic_data import (
    FEATURES,
    ClassicSet,
    guard,
    load,
    read,
    stump,
)
from scipy.io import savemat

from coverslip.errors import DataError

COUNTS = {
    "musk1": (92, 47, 476, 166),
    "musk2": (102, 39, 6598, 166),
    "elephant": (200, 100, 1391, 230),
    "fox": (200, 100, 1320, 230),
    "tiger": (200, 100, 1220, 230),
}


def noise(features=3, bags=40, seed=0):
    """Return a set whose features say nothing."""
    rng = np.random.default_rng(seed)
    labels = np.arange(bags) % 2
    drawn = [rng.normal(size=(int(rng.integers(1, 6)), features)) for _ in range(bags)]
    return ClassicSet("noise", tuple(drawn), labels)


def save_matrix(path, classic, *, with_label):
    """Write a set as the .mat files are: cells of features and of labels 1 and -1."""
    cells = np.empty((len(classic.bags), 2), dtype=object)
    for i, (x, label) in enumerate(zip(classic.bags, classic.labels, strict=True)):
        column = np.full((len(x), 1), label)
        cells[i, 0] = np.hstack([x, column]) if with_label else x
        cells[i, 1] = np.array([[1 if label else -1]], dtype=np.int16)
    savemat(path, {"data": cells})


@pytest.mark.parametrize("name", FEATURES)
def test_each_set_has_its_documented_counts_and_passes_the_guard(real_data, name):
    """Bags, positive bags, instances, features; no column tells the label."""
    classic = load(real_data / "mil", name)
    assert tuple(classic.counts.values()) == COUNTS[name]
    assert all(np.isfinite(x).all() for x in classic.bags)
    assert 0.6 < guard(classic).accuracy < 0.8


@pytest.mark.parametrize("name", ["fox", "tiger"])
def test_the_undropped_files_of_fox_and_tiger_are_refused(real_data, name):
    """Their last column is the bag's label, and the error says so."""
    raw = read(real_data / "mil", name)
    assert raw.counts["features"] == 231
    with pytest.raises(DataError, match=rf"{name}: .* column 230 .* drop that column"):
        guard(raw)


@pytest.mark.parametrize("with_label", [True, False])
def test_the_labels_column_is_dropped_where_there_is_one(tmp_path, with_label):
    """A file of 231 columns and one of 230 give the same set."""
    classic = noise(features=230, bags=400)
    save_matrix(tmp_path / "fox.mat", classic, with_label=with_label)
    loaded = load(tmp_path, "fox")
    assert loaded.labels.tolist() == classic.labels.tolist()
    pairs = zip(loaded.bags, classic.bags, strict=True)
    assert all(np.array_equal(*pair) for pair in pairs)


@pytest.mark.parametrize(
    "leak",
    [
        lambda label, n, _: np.full(n, label),
        lambda label, n, _: np.full(n, -label),
        lambda label, n, _: np.where(np.arange(n) == 0, label, 0),
        lambda label, n, _: np.where(np.arange(n) == 0, -label, 0),
        lambda label, n, rng: label + rng.normal(0, 1e-3, n),
        lambda label, n, rng: (s := rng.normal(size=n)) - s.mean() + label,
    ],
    ids=["label", "negated", "in one patch", "negated, one patch", "noisy", "mean"],
)
def test_a_label_in_disguise_is_refused(leak):
    """Whatever its sign, and whether every patch has it, one, or only their mean."""
    classic, rng = noise(), np.random.default_rng(1)
    guard(classic)
    leaking = tuple(
        np.hstack([x, leak(label, len(x), rng)[:, None]])
        for x, label in zip(classic.bags, classic.labels, strict=True)
    )
    with pytest.raises(DataError, match="column 3 .* label in disguise"):
        guard(ClassicSet("leaking", leaking, classic.labels))


@pytest.mark.parametrize("pool", ["max", "min", "mean"])
def test_the_best_stump_is_the_best_of_all_thresholds(pool):
    """Against every threshold between values tried one by one, ties among them."""
    classic = noise(bags=15, seed=3)
    coarse = ClassicSet("c", tuple(x.round() for x in classic.bags), classic.labels)
    values = np.stack([getattr(x, pool)(axis=0) for x in coarse.bags])
    y = coarse.labels
    by_hand = max(
        max(float(((v > t) == y).mean()), float(((v <= t) == y).mean()))
        for v in values.T
        for t in [-np.inf, *v]
    )
    assert stump(coarse, pool).accuracy == pytest.approx(by_hand)


def test_what_cannot_be_read_is_refused(tmp_path):
    """An unknown set, a missing file, another width, a bag of two labels."""
    with pytest.raises(DataError, match="set 'zebra' is unknown: choose from musk1"):
        load(tmp_path, "zebra")
    with pytest.raises(DataError, match=r"neither fox\.csv\.gz nor fox\.mat"):
        load(tmp_path, "fox")
    save_matrix(tmp_path / "tiger.mat", noise(features=229), with_label=False)
    with pytest.raises(DataError, match="tiger has 229 columns, not 230"):
        load(tmp_path, "tiger")
    with gzip.open(tmp_path / "musk1.csv.gz", "wt") as file:
        file.write("1,7,0.5\n0,7,0.5\n")
    with pytest.raises(DataError, match="bag 7 has two labels"):
        load(tmp_path, "musk1")
