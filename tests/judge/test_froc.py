"""Lesion FROC: the rules written out, and cases that were worked out by hand."""

import itertools
import json

import numpy as np
import pytest
import shapely

from coverslip.errors import DataError
from coverslip.judge.detections import Detections
from coverslip.judge.froc import RATES, judge_slide, lesion_froc, read_curve
from coverslip.judge.lesions import Lesion

RULES = (0.25, 0.5, 1, 2, 4, 8)


def lesion(place, *, itc=False):
    """Return a lesion of 10 x 10 pixels, the place-th from the left."""
    return Lesion(shapely.box(20 * place, 0, 20 * place + 10, 10), 300, itc)


def said(*pairs):
    """Return detections from (place of the lesion, or None for beside, score)."""
    points = [(5, 50) if place is None else (20 * place + 5, 5) for place, _ in pairs]
    return Detections(
        np.array(points, float).reshape(-1, 2), np.array([s for _, s in pairs], float)
    )


def judged(detections, lesions):
    """Return the FROC of slides given by place, with a short bootstrap."""
    names = [f"s{i}" for i in range(len(lesions))]
    found = dict(zip(names, detections, strict=True))
    return lesion_froc(found, dict(zip(names, lesions, strict=True)), repeats=20)


def test_the_rates_are_the_organisers():
    """A quarter to eight false positives a slide."""
    assert RATES == RULES


def test_a_small_case_by_hand():
    """Two lesions on one slide of two; the second is found after one false positive.

    Thresholds: 0.9 -> 1 of 2 at 0; 0.8 -> 1 of 2 at 1/2; 0.7 -> 2 of 2 at 1/2.
    So 0.5 at 1/4 (on the level stretch), and 1 from 1/2 on: (0.5 + 5) / 6.
    """
    froc = judged(
        [said((0, 0.9), (None, 0.8), (1, 0.7)), said()], [[lesion(0), lesion(1)], []]
    )
    assert froc.sensitivities == (0.5, 1, 1, 1, 1, 1)
    assert froc.score.value == pytest.approx(5.5 / 6)
    assert froc.alarms.tolist() == [0, 0, 0.5, 0.5]
    assert froc.sensitivity.tolist() == [0, 0.5, 0.5, 1]
    assert froc.thresholds.tolist() == [np.inf, 0.9, 0.8, 0.7]
    assert (froc.slides, froc.lesions, froc.hit, froc.false_positives) == (2, 2, 2, 1)


def test_normal_slides_count_in_the_denominator():
    """Eight more normal slides make the same false positive cheaper."""
    slides = [said((None, 0.8), (0, 0.7))]
    alone = judged(slides, [[lesion(0)]])
    among = judged(slides + [said()] * 9, [[lesion(0)]] + [[]] * 9)
    # alone: nothing at 0 false positives, all at 1: a level stretch up to it
    assert alone.sensitivities == (0, 0, 1, 1, 1, 1)
    assert among.sensitivities == (1,) * 6


def test_only_the_best_hit_counts_and_the_others_are_nothing():
    """Further hits of a lesion are neither found lesions nor false positives."""
    many = judged([said((0, 0.2), (0, 0.9), (0, 0.5), (None, 0.6))], [[lesion(0)]])
    assert (many.hit, many.false_positives) == (1, 1)
    assert many.sensitivities == (1,) * 6


def test_isolated_tumour_cells_are_nothing():
    """They are not to be found, and to hit them is no false positive."""
    froc = judged([said((0, 0.9), (1, 0.95))], [[lesion(0), lesion(1, itc=True)]])
    assert (froc.lesions, froc.itc, froc.hit, froc.false_positives) == (1, 1, 1, 0)
    assert froc.score.value == 1
    only = judged([said((0, 0.9))], [[lesion(0, itc=True)]])
    assert (only.lesions, only.false_positives) == (0, 0)
    assert np.isnan(only.score.value)
    assert (
        json.loads(json.dumps(only.facts(), allow_nan=False))["score"]["value"] is None
    )


def test_a_lesion_that_nobody_hits_is_missed_at_every_rate():
    """It stays in the denominator."""
    froc = judged([said((0, 0.9))], [[lesion(0), lesion(1)]])
    assert froc.sensitivities == (0.5,) * 6
    assert judged([said()], [[lesion(0)]]).sensitivities == (0,) * 6


def test_ties_are_taken_together_and_joined_by_a_straight_line():
    """A hit and two false positives of one score: no order among them is made up.

    One slide: (0, 0) then (2, 1). At 1/4, 1/2, 1 the line gives 1/8, 1/4, 1/2.
    """
    froc = judged([said((0, 0.5), (None, 0.5), (None, 0.5))], [[lesion(0)]])
    assert froc.sensitivities == (0.125, 0.25, 0.5, 1, 1, 1)


def test_every_lesion_hit_by_one_score_is_a_perfect_result():
    """Where the organisers' script drops the lowest score, and with it everything."""
    froc = judged([said((0, 0.9)), said((0, 0.9))], [[lesion(0)], [lesion(0)]])
    assert froc.score.value == 1


def test_any_finite_scores_will_do():
    """Only their order matters: logits give what probabilities give."""
    rng = np.random.default_rng(0)
    slides = [
        [(rng.choice([0, 1, None, None]), p) for p in rng.random(30).round(2)]
        for _ in range(5)
    ]
    lesions = [[lesion(0), lesion(1)]] * 3 + [[]] * 2
    plain = judged([said(*slide) for slide in slides], lesions)
    moved = judged(
        [said(*((k, 5 * p - 10) for k, p in slide)) for slide in slides], lesions
    )
    assert moved.sensitivities == plain.sensitivities
    for wrong in (np.nan, np.inf):
        with pytest.raises(DataError, match="not finite"):
            judge_slide(said((0, wrong)), [lesion(0)])


def by_the_rules(slides, lesions):
    """Return the score as the organisers' script has it, in plain Python."""
    best, false, count = [], [], 0
    for points, outlines in zip(slides, lesions, strict=True):
        hits = {}
        for (x, y), score in zip(*points, strict=True):
            places = [
                i
                for i, o in enumerate(outlines)
                if o.outline.contains(shapely.Point(x, y))
            ]
            if not places:
                false.append(score)
            elif not outlines[places[0]].is_itc:
                hits[places[0]] = max(score, hits.get(places[0], 0))
        count += sum(not o.is_itc for o in outlines)
        best += hits.values()
    curve = [(0.0, 0.0)]
    for threshold in sorted({*best, *false}, reverse=True):
        alarms = sum(score >= threshold for score in false) / len(slides)
        curve.append((alarms, sum(score >= threshold for score in best) / count))
    read = []
    for rate in RULES:
        before = max(p for p in curve if p[0] <= rate)
        after = [p for p in curve if p[0] > rate]
        if not after:
            read.append(before[1])
            continue
        first = min(after)
        part = (rate - before[0]) / (first[0] - before[0])
        read.append(before[1] + part * (first[1] - before[1]))
    return read


@pytest.mark.parametrize("seed", range(12))
def test_random_cases_agree_with_the_rules_written_out(seed):
    """Ties, duplicates, isolated tumour cells, normal slides and empty ones."""
    rng = np.random.default_rng(seed)
    digits = int(rng.integers(1, 4))
    lesions = [
        [lesion(place, itc=rng.random() < 0.2) for place in range(rng.integers(0, 4))]
        for _ in range(rng.integers(1, 8))
    ]
    lesions[0].append(lesion(8))
    slides = [
        said(
            *(
                (
                    rng.choice([0, 1, 2, 8, None, None, None]),
                    round(rng.random(), digits),
                )
                for _ in range(rng.integers(0, 40))
            )
        )
        for _ in lesions
    ]
    froc = judged(slides, lesions)
    assert froc.sensitivities == pytest.approx(by_the_rules(slides, lesions))
    assert froc.score.value == pytest.approx(np.mean(froc.sensitivities))


def test_reading_a_curve_takes_the_highest_of_equal_alarms():
    """Straight between points, level behind the last."""
    alarms, sensitivity = np.r_[0, 0, 1, 1, 3], np.r_[0, 0.2, 0.2, 0.4, 0.8]
    read = read_curve(alarms, sensitivity, [0, 0.5, 1, 2, 3, 9])
    assert read == pytest.approx([0.2, 0.2, 0.4, 0.6, 0.8, 0.8])


def cohort(seed, slides):
    """Return detections and lesions of slides, half of them normal."""
    rng = np.random.default_rng(seed)
    found, lesions = {}, {}
    for i in range(slides):
        outlines = (
            [lesion(place) for place in range(rng.integers(1, 4))] if i % 2 else []
        )
        pairs = [
            (p, rng.beta(3, 2)) for p in range(len(outlines)) if rng.random() < 0.8
        ]
        pairs += [(None, rng.beta(2, 4)) for _ in range(rng.integers(0, 12))]
        found[f"s{i:02d}"], lesions[f"s{i:02d}"] = said(*pairs), outlines
    return found, lesions


def test_the_interval_holds_the_score_and_narrows_with_slides():
    """A bootstrap of slides: the same seed gives the same ends."""
    small, large = (lesion_froc(*cohort(1, n), repeats=300).score for n in (12, 120))
    for interval in (small, large):
        assert interval.low < interval.value < interval.high
        assert interval.method == "bootstrap of slides, BCa"
    assert large.high - large.low < 0.6 * (small.high - small.low)
    assert lesion_froc(*cohort(1, 12), repeats=300).score == small


def test_slides_of_one_case_are_drawn_together():
    """Ten copies of a slide are one case, and tell no more than one."""
    found, lesions = cohort(2, 10)
    copies = list(itertools.product(found, "abcde"))
    many = {s + c: found[s] for s, c in copies}
    outlines = {s + c: lesions[s] for s, c in copies}
    cases = {s + c: s for s, c in copies}
    once = lesion_froc(found, lesions, repeats=400).score
    as_cases = lesion_froc(many, outlines, cases, repeats=400).score
    as_slides = lesion_froc(many, outlines, repeats=400).score
    assert as_cases.method == "bootstrap of cases, BCa"
    assert as_cases.value == pytest.approx(once.value)
    assert as_cases.high - as_cases.low > 1.4 * (as_slides.high - as_slides.low)


def test_looking_at_the_highest_scores_only_changes_nothing():
    """The bootstrap's short cut: as without it, when all false positives come early."""
    slides = [said(*[(None, 0.9 - i / 1e4) for i in range(500)], (0, 0.5))]
    froc = judged([*slides, said((0, 0.99))], [[lesion(0)]] * 2)
    assert froc.sensitivities == (0.5,) * 6
    assert froc.score.value == 0.5


def test_the_facts_are_the_curve_where_it_turns():
    """Thousands of false positives make a short file all the same."""
    found, lesions = cohort(3, 20)
    found["s00"] = said(*[(None, s) for s in np.linspace(0, 0.6, 3000)])
    facts = lesion_froc(found, lesions, repeats=20).facts()
    assert json.loads(json.dumps(facts, allow_nan=False)) == facts
    assert 2 < len(facts["curve"]) < 100
    assert facts["curve"][0] == {"alarms": 0, "sensitivity": 0, "threshold": None}
    assert list(facts["sensitivity_at"]) == ["0.25", "0.5", "1", "2", "4", "8"]
    curve = np.array([list(p.values())[:2] for p in facts["curve"]])
    assert read_curve(*curve.T, RATES) == pytest.approx(
        list(facts["sensitivity_at"].values())
    )


def test_slides_must_be_known():
    """Detections on a slide that does not count are a mistake, and so is no slide."""
    with pytest.raises(DataError, match="s1: detections on 1 slides"):
        lesion_froc({"s1": said((None, 0.5))}, {"s0": [lesion(0)]})
    with pytest.raises(DataError, match="no slide"):
        lesion_froc({}, {})
