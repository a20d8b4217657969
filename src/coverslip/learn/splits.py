"""Which slides train, validate and test: by class, and never one case on two sides.

A split maps slide ids to `train`, `val` or `test`. Cases are dealt whole; the shares of
every class come close to the asked ones in each subset. The same rows and seed give the
same split, whatever the order of the rows.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, TypeVar

import numpy as np
import numpy.typing as npt
from pydantic import Field

from coverslip.errors import Complain, LabelError, OptionError, refuse
from coverslip.learn.labels import Row
from coverslip.options import Options

Subset = Literal["train", "val", "test"]
Split = dict[str, Subset]

SUBSETS: tuple[Subset, ...] = ("train", "val", "test")
VAL_SHARE = 0.2
"""What part of the slides that are not for testing validates, where nobody says."""


class SplitOptions(Options):
    """What part of the slides trains, validates and tests."""

    val_share: float = Field(
        0.15, gt=0, lt=1, description="share of the slides that validates"
    )
    test_share: float = Field(
        0.25, ge=0, lt=1, description="share of the slides kept for the test"
    )
    split_seed: int = Field(0, ge=0, description="draws the split")


_WORD = re.compile("(train|val|test)(ing|id|idation)?", re.IGNORECASE)
_Name = TypeVar("_Name", Subset, int)
_Cases = Mapping[str, Sequence[Row]]


def make_split(
    rows: Iterable[Row],
    fractions: tuple[float, float, float] = (0.6, 0.15, 0.25),
    seed: int = 0,
) -> Split:
    """Deal slides into train, val and test.

    Args:
        rows: The labelled slides.
        fractions: Shares of train, val and test; a share of 0 leaves a subset out.
        seed: Another number gives another split.

    Raises:
        OptionError: The fractions are negative or do not sum to 1.
        LabelError: Some class has too few cases for every subset to hold one.
    """
    if min(fractions) < 0 or abs(sum(fractions) - 1) > 1e-6:
        raise OptionError(f"fractions={fractions}: they must be >= 0 and sum to 1")
    named = zip(SUBSETS, fractions, strict=True)
    shares = {name: share for name, share in named if share}
    return _deal(_by_case(rows), shares, np.random.default_rng(seed))


def make_folds(
    rows: Iterable[Row], k: int, seed: int = 0, val_share: float = VAL_SHARE
) -> list[Split]:
    """Make k splits; each slide is tested in exactly one of them.

    Args:
        rows: The labelled slides.
        k: How many folds, at least two.
        seed: Another number gives other folds.
        val_share: What part of the slides outside a fold's test set validates.

    Raises:
        OptionError: `k` or `val_share` is out of range.
        LabelError: Some class has too few cases for every subset to hold one.
    """
    if k < 2 or not 0 < val_share < 1:
        raise OptionError(
            f"k={k}, val_share={val_share}: use k >= 2, 0 < val_share < 1"
        )
    cases = _by_case(rows)
    # outside each test set two cases of a class must be left: one trains, one validates
    _require_cases(cases, k if k > 2 else 4, f"{k} folds")
    shares = dict.fromkeys(range(k), 1 / k)
    fold_of = _deal(cases, shares, np.random.default_rng(seed))
    splits = []
    for fold in range(k):
        test = {slide_id for slide_id, where in fold_of.items() if where == fold}
        rest = {c: own for c, own in cases.items() if own[0].slide_id not in test}
        rng = np.random.default_rng([seed, fold])
        dealt = _deal(rest, _train_val(val_share), rng)
        splits.append(in_order(dealt | dict.fromkeys(test, SUBSETS[2])))
    return splits


def split_from_labels(
    rows: Iterable[Row],
    seed: int = 0,
    val_share: float = VAL_SHARE,
    complain: Complain = refuse,
) -> Split:
    """Follow the `split` column of the label table.

    Slides whose cell is empty are left out. Where nothing is for validation, a share of
    the training cases is taken for it.

    Raises:
        LabelError: Nothing is for training, or a class has too few training cases to
            validate on one; a cell is no subset, or a case is in two subsets, unless
            `complain` is told of it.
    """
    by_id = {row.slide_id: row for row in rows}
    split: Split = {}
    for slide_id, row in by_id.items():
        try:
            split |= {slide_id: subset_of(row.split, slide_id)} if row.split else {}
        except LabelError as error:
            complain(error)
    check_cases(split, by_id.values(), complain)
    if "train" not in split.values():
        raise LabelError(
            "the labels' column split: no slide is for training: write train, val or "
            "test in it, or leave the column out to have a split made"
        )
    if "val" not in split.values():
        train = [by_id[s] for s, subset in split.items() if subset == "train"]
        rng = np.random.default_rng(seed)
        split |= _deal(_by_case(train), _train_val(val_share), rng)
    return in_order(split)


def check_cases(
    split: Mapping[str, Subset], rows: Iterable[Row], complain: Complain = refuse
) -> None:
    """Refuse a split that puts one case into two subsets.

    Raises:
        LabelError: It does; the message names the case. `complain` is told of each
            slide that is apart from its case's first.
    """
    home: dict[str, str] = {}
    for row in rows:
        subset = split.get(row.slide_id)
        if subset and home.setdefault(row.case_id, subset) != subset:
            complain(
                LabelError(
                    f"case {row.case_id!r} is in both {home[row.case_id]} and {subset} "
                    f"(slide {row.slide_id!r}): keep all slides of a case in one subset"
                )
            )


def _train_val(val_share: float) -> dict[Subset, float]:
    return {"train": 1 - val_share, "val": val_share}


def subset_of(word: str, where: str) -> Subset:
    """Return the subset that a word such as `validation` names.

    Raises:
        LabelError: It names none.
    """
    found = _WORD.fullmatch(word.strip())
    if not found:
        raise LabelError(f"{where}: {word!r} is not train, val or test")
    return SUBSETS[SUBSETS.index(found[1].lower())]


def in_order(split: Mapping[str, Subset]) -> Split:
    """Return a split sorted by slide id."""
    return dict(sorted(split.items()))


def _by_case(rows: Iterable[Row]) -> dict[str, list[Row]]:
    """Group rows by case, in an order that does not depend on theirs."""
    cases: dict[str, list[Row]] = {}
    for row in sorted(rows, key=lambda row: (row.case_id, row.slide_id)):
        cases.setdefault(row.case_id, []).append(row)
    return cases


def _require_cases(cases: _Cases, needed: int, purpose: str) -> None:
    """Refuse when some class has fewer cases than needed, or there are none at all."""
    classes = sorted({row.label for rows in cases.values() for row in rows})
    counts = {
        c: sum(any(row.label == c for row in r) for r in cases.values())
        for c in classes
    }
    few = [f"{name} has {count}" for name, count in counts.items() if count < needed]
    if few or not classes:
        raise LabelError(
            f"{purpose} need at least {needed} cases of every class, but "
            f"{', '.join(few) or 'there are no slides'}: label more cases, or ask for "
            "fewer subsets"
        )


def _deal(
    cases: _Cases, shares: Mapping[_Name, float], rng: np.random.Generator
) -> dict[str, _Name]:
    """Deal whole cases to subsets so that each gets its share of every class.

    Cases go one by one, in random order but the large ones first, where the squared
    distance from the asked shares of every class, and of all slides, grows least.
    """
    names = list(shares)
    _require_cases(cases, len(names), "the subsets " + ", ".join(map(str, names)))
    classes = sorted({row.label for rows in cases.values() for row in rows})
    labels = [[row.label for row in rows] for rows in cases.values()]
    counts = np.array([[own.count(c) for c in classes] + [len(own)] for own in labels])
    parts = counts / counts.sum(axis=0)
    order = rng.permutation(len(counts))
    order = order[np.argsort(-counts[order, -1], kind="stable")]
    missing = np.tile(np.array(list(shares.values()))[:, None], parts.shape[1])
    home = np.empty(len(counts), dtype=np.intp)
    for case in order:
        growth = ((missing - parts[case]) ** 2 - missing**2).sum(axis=1)
        home[case] = growth.argmin()
        missing[home[case]] -= parts[case]
    _complete(home, counts[:, :-1] > 0, order, len(names))
    return {
        row.slide_id: names[where]
        for rows, where in zip(cases.values(), home, strict=True)
        for row in rows
    }


def _complete(
    home: npt.NDArray[np.intp],
    holds: npt.NDArray[np.bool_],
    order: npt.NDArray[np.intp],
    n_subsets: int,
) -> None:
    """Move cases, in place, until every subset holds every class.

    Args:
        home: (cases,) subset of each case.
        holds: (cases, classes) whether a case has a slide of the class.
        order: Cases, large ones first; the last that can move does.
        n_subsets: How many subsets there are.
    """
    held = np.array([holds[home == s].sum(axis=0) for s in range(n_subsets)])
    while not held.all():
        subset, name = np.argwhere(held == 0)[0]
        for case in order[::-1]:
            spare = (held[home[case]] - holds[case])[holds[case]] >= 1
            if holds[case, name] and spare.all():
                break
        else:
            raise LabelError(
                "no split gives every subset every class: too many cases have slides "
                "of several classes: use fewer subsets, or write the split by hand"
            )
        held[home[case]] -= holds[case]
        held[subset] += holds[case]
        home[case] = subset
