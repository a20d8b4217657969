"""Labels and splits of a cohort, checked before it is prepared: all that is wrong.

The checks are those of a training; here they are listed, not raised.
"""

from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence
from pathlib import Path

from coverslip.errors import CoverslipError, LabelError
from coverslip.learn.labels import (
    Join,
    Row,
    join,
    labels_from_names,
    read_labels,
)
from coverslip.learn.names import likely_case
from coverslip.learn.splits import SUBSETS, Split
from coverslip.learn.training import require_two_classes
from coverslip.pipeline.learn.folds import Part
from coverslip.pipeline.learn.runs import check_layout, parts_of
from coverslip.pipeline.learn.train_plan import TrainPlan
from coverslip.pipeline.plan.findings import Findings, few
from coverslip.pipeline.plan.leftovers import leftovers

SCARCE = 5
"""Slides of a class below which a figure says little."""

UNEVEN = 0.1
"""Share of the largest class below which another counts as rare."""


def check_labels(
    table: Path | None,
    slide_ids: Iterable[str],
    found: Findings,
    usable: Container[str] | None = None,
) -> Join | None:
    """Join a label table and slides, and list what is wrong with it.

    Args:
        table: CSV `slide_id,label`; None takes labels from names.
        slide_ids: All slides there are.
        found: Takes what is wrong.
        usable: Which of the slides can be used; all, when not given. Of the others it
            is not told that they lack a label.

    Returns:
        How they meet; None where there is no slide, or the table cannot be read at all.
    """
    slide_ids, complain = list(slide_ids), found.listing("labels")
    if table is None and not slide_ids:
        return None
    try:
        if table is None:
            labels = labels_from_names(slide_ids, complain)
        else:
            labels = read_labels(table, complain=complain)
    except LabelError as error:
        complain(error)
        return None
    if not slide_ids or not labels.rows:
        return None
    joined = join(labels, slide_ids, complain)
    leftovers(joined).tell(joined.labels, found, usable)
    return joined


def check_split(
    rows: Sequence[Row], plan: TrainPlan, folder: Path, found: Findings
) -> list[Part]:
    """Deal labelled slides as planned, and list what is wrong with that.

    Args:
        rows: The slides that can be used.
        plan: On which split, or splits.
        folder: Of the run.
        found: Takes what is wrong.
    """
    complain = found.listing("split")
    try:
        parts, notes = parts_of(rows, plan, folder, complain)
        check_layout(folder, plan, parts)
    except CoverslipError as error:
        complain(error)
        return []
    for note in notes:
        found.add("warning", "split", note)
    for part in parts:
        for subset, title in (("train", "training"), ("val", "validation")):
            try:
                require_two_classes(title, _labels_in(rows, part.split, subset))
            except LabelError as error:
                found.add("error", "split", f"{part.name}{error}")
    _tell_scarce(rows, parts, plan, found)
    return parts


def _labels_in(rows: Iterable[Row], split: Split, subset: str) -> list[str]:
    return [row.label for row in rows if split.get(row.slide_id) == subset]


def _tell_scarce(
    rows: Sequence[Row], parts: Sequence[Part], plan: TrainPlan, found: Findings
) -> None:
    """Tell of classes of which a subset has few slides, or one class far fewer."""
    whole = Counter(row.label for row in rows)
    for subset in ("val", "test"):
        least: Counter[str] = Counter()
        for name in whole:
            least[name] = min(
                _labels_in(rows, part.split, subset).count(name) for part in parts
            )
        scarce = {name: n for name, n in least.items() if n < SCARCE}
        if scarce and sum(least.values()):
            told = ", ".join(f"{n} {name}" for name, n in scarce.items())
            what = "its threshold" if subset == "val" else "its figures"
            found.add(
                "warning" if 0 in scarce.values() else "note",
                "split",
                f"{subset} has {told}: {what} will say little: label more slides, or "
                + _other_dealing(rows, plan, subset),
            )
    name, count = min(whole.items(), key=lambda item: item[1], default=("", 0))
    if whole and count < UNEVEN * max(whole.values()):
        told = f"{count} slides of {name!r}, {max(whole.values())} of the largest class"
        found.add(
            "note", "labels", f"{told}: accuracy will flatter; look at AUC and at each"
        )


def _other_dealing(rows: Sequence[Row], plan: TrainPlan, subset: str) -> str:
    """Say how a subset comes to more slides; options do nothing to a split that is given.

    Where a column `split` gives nothing to val, a share of train is dealt to it.
    """
    if plan.split_file is not None:
        return f"move some to {subset} in {plan.split_file}"
    if plan.folds:  # a fold's test is 1/k of all
        return "raise --val-share" if subset == "val" else "ask for fewer --folds"
    if any(row.split for row in rows):
        written = any(row.split.startswith("val") for row in rows)
        in_column = f"move some to {subset} in the labels' column split"
        return in_column if written or subset != "val" else "raise --val-share"
    return f"raise --{subset}-share, or use --folds"


def check_leakage(
    rows: Sequence[Row],
    parts: Sequence[Part],
    marks: Mapping[str, str],
    found: Findings,
) -> None:
    """Tell of what may stand on two sides of a split though no case does.

    Args:
        rows: The labelled slides that can be used.
        parts: The splits.
        marks: Digest of each slide's content, by slide id.
        found: Takes what is wrong.
    """
    label_of = {row.slide_id: row.label for row in rows}
    for own in _groups(marks).values():
        labels = {label_of[s] for s in own if s in label_of}
        apart = _apart([s for s in own if s in label_of], parts)
        what = f"{', '.join(own)}: the same file under {len(own)} names"
        if len(labels) > 1:
            told = f"{what}, labelled {' and '.join(sorted(labels))}"
            found.add("error", "labels", f"{told}: keep one", own)
        elif apart:
            told = f"{what}, on both sides of a split"
            found.add(
                "error", "split", f"{told}: keep one, or give them one case_id", own
            )
        else:
            found.add("warning", "slides", f"{what}: keep one", own)
    if all(row.case_id == row.slide_id for row in rows):
        _tell_likely_cases(rows, parts, found)


def _tell_likely_cases(
    rows: Sequence[Row], parts: Sequence[Part], found: Findings
) -> None:
    guessed = {row.slide_id: likely_case(row.slide_id) for row in rows}
    groups = _groups({slide: case for slide, case in guessed.items() if case})
    if not groups:
        return
    apart = [case for case, own in groups.items() if _apart(own, parts)]
    text = (
        f"no column case_id, but names look like {len(groups)} cases of several slides "
        f"({few(groups)})"
        + (f"; {len(apart)} would be on both sides of a split" if apart else "")
        + ": add case_id to the labels to keep each on one side"
    )
    found.add("warning" if apart else "note", "split", text, apart or list(groups))


def _groups(of: Mapping[str, str]) -> dict[str, list[str]]:
    """Return the keys that share a value, by that value."""
    groups: dict[str, list[str]] = {}
    for key, value in of.items():
        groups.setdefault(value, []).append(key)
    return {value: own for value, own in groups.items() if len(own) > 1}


def _apart(slides: Sequence[str], parts: Sequence[Part]) -> bool:
    """Say whether some split puts slides into different subsets."""
    placed = ({part.split.get(s) for s in slides} - {None} for part in parts)
    return any(len(subsets) > 1 for subsets in placed)


def subsets_of(rows: Sequence[Row], split: Split) -> dict[str, dict[str, int]]:
    """Return the numbers of slides by subset and class."""
    return {
        subset: dict(sorted(Counter(_labels_in(rows, split, subset)).items()))
        for subset in SUBSETS
    }
