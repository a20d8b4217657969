"""Runs' tables of predictions, brought together on the slides that all of them judged.

Where a slide was predicted in several repeats of a cross-validation, its probabilities
are averaged, and so are the thresholds they are held against.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from coverslip.errors import DataError, LabelError, OptionError
from coverslip.learn.names import join_key
from coverslip.pipeline.judge.outcomes import Outcomes, outcomes_of
from coverslip.tables import read_csv


@dataclass(frozen=True)
class RunTable:
    """One run's table of predictions.

    Attributes:
        name: What the run is called.
        path: The table.
        outcomes: Of the subset that is compared, one row a slide.
        placed: Repeat and fold of each of these slides; nothing without folds.
        trained: Slides that trained or validated, where the table has them.
    """

    name: str
    path: Path
    outcomes: Outcomes
    placed: Mapping[str, frozenset[tuple[str, str]]]
    trained: Mapping[str, str]


def read_runs(runs: Sequence[Path], subset: str) -> list[RunTable]:
    """Read the tables of some runs.

    Args:
        runs: Run folders, or tables of predictions, two or more.
        subset: Which slides are compared: `test`, `val` or `train`.

    Raises:
        OptionError: Fewer than two different runs are given.
        DataError: A run has no such table, or none of its slides are in the subset.
    """
    paths = [_table_of(run) for run in runs]
    if len({path.resolve() for path in paths}) < max(2, len(paths)):
        raise OptionError("compare needs two or more runs, each given once")
    return [
        _read(name, path, subset)
        for name, path in zip(_names(paths), paths, strict=True)
    ]


def name_of(run: Path, tables: Sequence[RunTable]) -> str:
    """Return what a run among the tables is called.

    Raises:
        OptionError: It is none of them.
    """
    for one in tables:
        if one.path.resolve() == _table_of(run).resolve():
            return one.name
    known = ", ".join(str(one.path.parent) for one in tables)
    raise OptionError(f"reference {run} is none of the runs: choose from {known}")


def _table_of(run: Path) -> Path:
    return run / "predictions.csv" if run.is_dir() else run


def _names(paths: Sequence[Path]) -> list[str]:
    """Return what stands after `runs` in each place, or the shortest ends that differ."""
    places = [
        (path.parent if path.name == "predictions.csv" else path).resolve().parts
        for path in paths
    ]
    tails = [
        parts[len(parts) - parts[::-1].index("runs") :] if "runs" in parts else ()
        for parts in places
    ]
    lengths = [max(1, len(tail)) for tail in tails]
    names = ["/".join(p[-n:]) for p, n in zip(places, lengths, strict=True)]
    while len(set(names)) < len(names):
        lengths = [length + 1 for length in lengths]
        names = ["/".join(p[-n:]) for p, n in zip(places, lengths, strict=True)]
    return names


def _read(name: str, path: Path, subset: str) -> RunTable:
    rows = read_csv(path, ("slide_id",))
    chosen = [row for row in rows if row.get("split") == subset]
    said = outcomes_of(chosen or rows, path)
    if not chosen or not said.slides:
        there = sorted({row.get("split", "") for row in rows} - {""})
        raise DataError(
            f"{path}: no judged slides in {subset!r}: choose --subset among "
            f"{', '.join(there) or 'none'}, or compare other runs"
        )
    placed: dict[str, set[tuple[str, str]]] = {}
    for row in chosen:
        if row.get("fold"):
            where = (row.get("repeat", "0"), row["fold"])
            placed.setdefault(join_key(row["slide_id"]), set()).add(where)
    return RunTable(
        name,
        path,
        one_row_a_slide(said),
        {slide: frozenset(where) for slide, where in placed.items()},
        {
            join_key(row["slide_id"]): row["split"]
            for row in rows
            if row.get("split") in ("train", "val")
        },
    )


def one_row_a_slide(outcomes: Outcomes) -> Outcomes:
    """Average the rows of each slide: its probabilities, and their thresholds.

    Slides come out in the order of their ids, spelled as labels are joined.
    """
    rows: dict[str, list[int]] = {}
    for place, slide in enumerate(outcomes.slides):
        rows.setdefault(join_key(slide), []).append(place)
    slides = sorted(rows)
    first = outcomes.take([rows[slide][0] for slide in slides])
    chances = np.array([outcomes.probabilities[rows[s]].mean(axis=0) for s in slides])
    limits = np.array([outcomes.thresholds[rows[s]].mean() for s in slides])
    two = len(outcomes.classes) == 2
    averaged = chances[:, 1] >= limits if two else chances.argmax(axis=1)
    several = np.array([len(rows[slide]) > 1 for slide in slides])
    return replace(
        first,
        slides=tuple(slides),
        probabilities=chances,
        thresholds=limits,
        decided=np.where(several, averaged, first.decided),
    )


def in_common(tables: Sequence[RunTable]) -> tuple[list[RunTable], list[str]]:
    """Keep the slides that every run has, and say what should be known of the rest.

    Raises:
        DataError: No slide is in every run, or the runs have other classes.
        LabelError: Two runs label a slide differently.
    """
    first = tables[0]
    common = set(first.outcomes.slides)
    for other in tables[1:]:
        _same_labels(first, other)
        common &= set(other.outcomes.slides)
    if not common:
        raise DataError(
            f"{', '.join(one.name for one in tables)}: no slide is in all of them: "
            "compare runs that are judged on the same slides"
        )
    notes = []
    kept = []
    for one in tables:
        left = [slide for slide in one.outcomes.slides if slide not in common]
        if left:
            notes.append(
                f"{one.name}: {len(left)} slides are not in every run and not compared "
                f"(first: {left[0]})"
            )
        chosen = [i for i, slide in enumerate(one.outcomes.slides) if slide in common]
        kept.append(replace(one, outcomes=one.outcomes.take(chosen)))
    return kept, notes + _unlike(kept)


def _same_labels(one: RunTable, other: RunTable) -> None:
    if one.outcomes.classes != other.outcomes.classes:
        raise DataError(
            f"{other.path}: its classes ({', '.join(other.outcomes.classes)}) are not "
            f"those of {one.path} ({', '.join(one.outcomes.classes)}): compare runs "
            "with the same labels"
        )
    classes = one.outcomes.classes
    known = dict(zip(one.outcomes.slides, one.outcomes.labels, strict=True))
    for slide, label in zip(other.outcomes.slides, other.outcomes.labels, strict=True):
        if known.get(slide, label) != label:
            raise LabelError(
                f"{other.path}: slide {slide!r} is {classes[label]}, but "
                f"{classes[known[slide]]} in {one.path}: compare runs with the same "
                "labels"
            )


def _unlike(tables: Sequence[RunTable]) -> list[str]:
    """Warn where runs were not trained on the same slides."""
    first, notes = tables[0], []
    for other in tables[1:]:
        folds = bool(first.placed) + bool(other.placed)
        alike = (
            all(first.placed[s] == other.placed[s] for s in first.outcomes.slides)
            if folds == 2
            else first.trained == other.trained
        )
        if folds == 1:
            notes.append(
                f"{first.name}, {other.name}: one is cross-validated and the other is "
                "not: they were trained on different slides"
            )
        elif not alike:
            what = "folds" if folds else "training or validation slides"
            notes.append(
                f"{first.name}, {other.name}: not the same {what}: the difference is "
                "not that of the models alone"
            )
        if first.outcomes.cases != other.outcomes.cases:
            notes.append(
                f"{first.name}, {other.name}: not the same cases: intervals of "
                f"differences count those of {first.name}"
            )
    return notes
