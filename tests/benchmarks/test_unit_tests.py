"""Tests of the MIL unit tests' bags, of their verdicts and of the page that tells them."""

import numpy as np
import pytest
from benchmarks.accuracy.record import PROJECT, RESULTS
from benchmarks.accuracy.tables import PAGES, renew
from benchmarks.accuracy.unit_tests import (
    TESTS,
    bags_of,
    respects,
    span,
    table,
    verdict,
)

from coverslip.learn.models.zoo import MODELS
from coverslip.store import read_json


def poisoned(bag):
    """Say whether a bag holds the poison patch."""
    return bool((bag.x.mean(dim=1) < -9).any())


def near(bag, mean):
    """Count the patches of the concept around a mean."""
    return int(((bag.x - mean).abs().amax(dim=1) < 0.6).sum())


@pytest.mark.parametrize("unit_test", [False, True])
def test_the_poison_of_sc_changes_sides(unit_test):
    """In training it lies in each negative bag, in the test in each positive one."""
    for bag in bags_of("SC", 40, 0, unit_test=unit_test):
        assert poisoned(bag) == (bool(bag.label) == unit_test)


def test_the_positive_patches_of_sc_are_of_both_kinds():
    """Bags of wide patches and of shifted ones both occur, by a coin each."""
    rng = np.random.default_rng(0)
    spreads = [TESTS["SC"](rng, 1, False)[-1].std(ddof=1) for _ in range(400)]
    wide = np.mean(np.array(spreads) > 1.8)
    assert 0.4 < wide < 0.6


@pytest.mark.parametrize("unit_test", [False, True])
def test_both_concepts_of_mc_make_a_bag_positive(unit_test):
    """A negative has one of them; the poison is in all negatives, then in no negative."""
    bags = bags_of("MC", 60, 0, unit_test=unit_test)
    for bag in bags:
        kinds = [near(bag, 2) > 0, near(bag, 3) > 0]
        assert sum(kinds) == (2 if bag.label else 1)
    share = {y: np.mean([poisoned(b) for b in bags if b.label == y]) for y in (0, 1)}
    assert share[0] == (0 if unit_test else 1)
    assert (share[1] == 1) if unit_test else (share[1] < 0.4)


def test_only_the_count_of_ff_changes():
    """A negative of the test holds 35 to 39 copies, one of training a single one."""
    for unit_test, most in ((False, 1), (True, 39)):
        for bag in bags_of("FF", 30, 0, unit_test=unit_test):
            copies = sorted([near(bag, -2), near(bag, 2)])
            if bag.label:
                assert copies == [1, 1]
            else:
                assert copies[0] == 0
                assert (35 if unit_test else 1) <= copies[1] <= most


def test_verdicts():
    """All seeds must agree; nothing is said of a model that has not learnt."""
    assert verdict([1, 0.99], [0.1, 0.49]) == "violates"
    assert verdict([1, 0.99], [0.1, 0.51]) == "undecided"
    assert verdict([1, 0.99], [0.96, 1]) == "passes"
    assert verdict([1, 0.89], [0.96, 1]) == "not learnt"
    assert respects(["passes", "not learnt", "undecided"]) == "yes"
    assert respects(["passes", "violates", "passes"]) == "no"
    assert respects(["undecided", "passes", "passes"]) == "undecided"


def test_the_table_gives_lowest_and_highest_of_the_seeds():
    """A row a model: each test's two figures and verdict, then the answer."""
    row = {"model": "m", "in_distribution": [1.0, 0.98], "unit_test": [0.1, 0.1]}
    facts = {"results": [{**row, "test": t, "verdict": "violates"} for t in TESTS]}
    assert span([0.4, 0.2]) == "0.20–0.40"
    line = table(facts).splitlines()[-1]
    assert line.startswith("| `m` | 0.98–1.00 → 0.10, violates |")
    assert line.endswith("| no |")


def test_the_page_tells_what_was_measured_of_every_model():
    """The docs' table is the one of the recorded results; no model is left out."""
    path = RESULTS / "unit_tests.json"
    if not path.exists():
        pytest.skip(f"{path.name}: not measured yet")
    facts = read_json(path)
    page = (PROJECT / PAGES["unit_tests"][0]).read_text(encoding="utf-8")
    assert renew(page, "unit_tests", table(facts)) == page
    assert {row["model"] for row in facts["results"]} == set(MODELS)
