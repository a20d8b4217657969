"""What a report says of the slides of a study, and of how its run was made."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from coverslip import store
from coverslip.learn.checkpoint import MODEL_FILE
from coverslip.pipeline.learn.provenance import versions_now
from coverslip.show.report.facts import Table
from coverslip.tables import read_csv

SUBSETS = ("train", "val", "test")
MOST_ROWS = 60
"""Rows of a list of slides left out, at most."""

Row = Mapping[str, str]


def slide_rows(study: Path) -> dict[str, Row]:
    """Return the rows of a study's table of slides by slide id; none without one."""
    table = store.Study(study).slides_csv
    if not table.is_file():
        return {}
    return {row["slide_id"]: row for row in read_csv(table, ("slide_id",))}


def cohort_tables(
    slides: Mapping[str, Row],
    splits: Mapping[str, Sequence[Row]],
    left_out: Mapping[str, str],
) -> tuple[Table, ...]:
    """Return tables of slides, of labels by subset, and of what was left out.

    Args:
        slides: The study's table of slides.
        splits: Rows of `splits.csv` by the name of the part; one part without folds.
        left_out: Slides whose features could not be used, and why.
    """
    made = [_slides_table(slides)] if slides else []
    if len(splits) == 1:
        made.append(_split_table(next(iter(splits.values()))))
    elif splits:
        made.append(_folds_table(splits))
    if missing := _left_out(slides, splits, left_out):
        made.append(_left_out_table(missing))
    return tuple(made)


def _slides_table(slides: Mapping[str, Row]) -> Table:
    rows: list[tuple[str, ...]] = [("slides", str(len(slides)))]
    statuses = Counter(row.get("status") or "not prepared" for row in slides.values())
    rows += [
        (f"status: {_STATUS.get(status, status)}", str(count))
        for status, count in statuses.most_common()
    ]
    measured = {
        "micrometres per pixel of level 0": "mpp",
        "patches of a slide": "patches",
        "tissue of a slide, mm²": "tissue_mm2",
        "mpp asked": "mpp_asked",
        "mpp read": "mpp_read",
        "mpp achieved": "mpp_achieved",
    }
    for name, column in measured.items():
        if values := _numbers(row.get(column, "") for row in slides.values()):
            rows.append((name, figures_of(values)))
    if total := sum(_numbers(row.get("patches", "") for row in slides.values())):
        rows.append(("patches of all slides", f"{total:.0f}"))
    return Table("Slides of the study", ("", "value"), tuple(rows), frozenset({1}))


_STATUS = {
    "tissue": "tissue found",
    "patches": "patches laid",
    "features": "features made",
}


def figures_of(values: Sequence[float]) -> str:
    """Return the least and the greatest of some numbers, once where they agree."""
    low, high = min(values), max(values)
    return f"{low:g}" if low == high else f"{low:g} to {high:g}"


def _numbers(texts: Iterable[str]) -> list[float]:
    found = []
    for text in texts:
        try:
            found.append(float(text))
        except ValueError:
            continue
    return found


def _split_table(rows: Sequence[Row]) -> Table:
    classes = sorted({row["label"] for row in rows})
    subsets = [s for s in SUBSETS if any(row["split"] == s for row in rows)]
    lines = [
        (name, *(_counted(rows, name, subset) for subset in [*subsets, None]))
        for name in classes
    ]
    lines.append(
        ("all", *(_counted(rows, None, subset) for subset in [*subsets, None]))
    )
    columns = ("class", *subsets, "all")
    return Table(
        f"Slides (cases) by class and subset. {_shared(rows)}",
        columns,
        tuple(lines),
        frozenset(range(1, len(columns))),
    )


def _counted(rows: Sequence[Row], label: str | None, subset: str | None) -> str:
    """Return slides and, where some have several slides, cases."""
    own = [
        row
        for row in rows
        if label in {None, row["label"]} and subset in {None, row["split"]}
    ]
    cases = {_case(row) for row in own}
    return f"{len(own)} ({len(cases)})" if len(cases) < len(own) else str(len(own))


def _case(row: Row) -> str:
    return row.get("case_id") or row["slide_id"]


def _shared(rows: Sequence[Row]) -> str:
    """Say whether a case has slides in more than one subset."""
    subsets: dict[str, set[str]] = {}
    for row in rows:
        subsets.setdefault(_case(row), set()).add(row["split"])
    shared = [case for case, where in sorted(subsets.items()) if len(where) > 1]
    if not shared:
        return "No case is in two subsets."
    return f"{len(shared)} cases are in two subsets or more (first: {shared[0]})!"


def _folds_table(splits: Mapping[str, Sequence[Row]]) -> Table:
    classes = sorted({row["label"] for rows in splits.values() for row in rows})
    lines = [
        (
            name,
            *(f"{sum(row['split'] == subset for row in rows)}" for subset in SUBSETS),
            *(
                f"{sum(row['split'] == 'test' and row['label'] == c for row in rows)}"
                for c in classes
            ),
        )
        for name, rows in splits.items()
    ]
    shared = {_shared(rows) for rows in splits.values()}
    told = shared.pop() if len(shared) == 1 else "In a fold cases are in two subsets!"
    columns = ("part", *SUBSETS, *(f"test: {c}" for c in classes))
    return Table(
        f"Slides by fold and subset. {told}",
        columns,
        tuple(lines),
        frozenset(range(1, len(columns))),
    )


def _left_out(
    slides: Mapping[str, Row],
    splits: Mapping[str, Sequence[Row]],
    left_out: Mapping[str, str],
) -> dict[str, str]:
    """Return the slides that no split has, and why."""
    placed = {row["slide_id"].casefold() for rows in splits.values() for row in rows}
    why = dict(left_out)
    for slide_id, row in slides.items():
        status = row.get("status", "")
        if status in {"failed", "no tissue", "no patch"}:
            why.setdefault(slide_id, row.get("error") or status)
        elif slide_id.casefold() not in placed and splits:
            why.setdefault(slide_id, "without a label, or in no subset")
    return why


def _left_out_table(missing: Mapping[str, str]) -> Table:
    rows = sorted(missing.items())
    told = rows[:MOST_ROWS]
    if len(rows) > len(told):
        told.append((f"and {len(rows) - len(told)} more", "see slides.csv"))
    return Table(
        f"Left out, or without patches: {len(rows)}", ("slide", "why"), tuple(told)
    )


def provenance_tables(
    card: Mapping[str, Any], models: Mapping[str, Path], made: Mapping[str, Any]
) -> tuple[Table, ...]:
    """Return tables of versions, weights, seeds and parameters.

    Args:
        card: `model.json` of the run.
        models: Folders of the run's models, by name of the part.
        made: `provenance.json` of the run; empty where there is none.
    """
    return (
        _versions(card, made),
        _weights(card, models),
        _seeds(card, made),
        _parameters("Parameters of training", _trained(card)),
        _parameters(
            "Parameters of tissue, patches and features", card.get("prepare") or {}
        ),
    )


def _versions(card: Mapping[str, Any], made: Mapping[str, Any]) -> Table:
    trained = {**(made.get("versions") or {}), **(card.get("versions") or {})}
    now = versions_now()
    names = list(dict.fromkeys([*now, *trained]))
    rows = tuple(
        (name, str(trained.get(name, "–")), now.get(name, "–")) for name in names
    )
    return Table("Versions", ("of", "when trained", "of this report"), rows)


def _weights(card: Mapping[str, Any], models: Mapping[str, Path]) -> Table:
    features = card.get("features") or {}
    encoder = features.get("encoder") or {}
    rows = [
        (f"encoder: {name}", in_words(value)) for name, value in sorted(encoder.items())
    ]
    rows += [
        (f"patching: {name}", in_words(value))
        for name, value in sorted((features.get("patching") or {}).items())
    ]
    rows += [
        (f"sha256 of the model {name}".rstrip(), sha256(place / MODEL_FILE))
        for name, place in models.items()
        if (place / MODEL_FILE).is_file()
    ]
    return Table("Weights", ("of", "value"), tuple(rows))


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _seeds(card: Mapping[str, Any], made: Mapping[str, Any]) -> Table:
    training = card.get("training") or {}
    own = [training] + list(training.get("members") or [])
    seeds = [(one.get("options") or {}).get("seed") for one in own]
    known = [str(seed) for seed in dict.fromkeys(seeds) if seed is not None]
    rows = [
        ("of weights, order and pseudo-bags", ", ".join(known) or "–"),
        ("of the partitions that a prediction averages", _joined(card["partitions"])),
    ]
    split = (made.get("splits") or {}).get("split_seed")
    rows.append(("of the split", "not recorded" if split is None else str(split)))
    rows.append(("of the bootstrap in this report", "0"))
    return Table("Seeds", ("seed", "value"), tuple(rows))


def _joined(values: Iterable[object]) -> str:
    return ", ".join(str(value) for value in values)


def _trained(card: Mapping[str, Any]) -> dict[str, Any]:
    training = card.get("training") or {}
    return {
        "model": card["model"],
        "options": card.get("options") or {},
        "training": training.get("options") or {},
        "slides": training.get("slides") or {},
        "best_epoch": training.get("best_epoch"),
        "threshold": card.get("threshold") if len(card["classes"]) == 2 else None,
        "temperature": card.get("temperature"),
        "referral": card.get("referral") or {},
        "members": card.get("members", 1),
    }


def _parameters(caption: str, tree: Mapping[str, Any]) -> Table:
    rows = tuple((name, value) for name, value in _leaves(tree))
    if not rows:
        rows = (("features came from another program", "–"),)
    return Table(caption, ("parameter", "value"), rows)


def _leaves(tree: Mapping[str, Any], before: str = "") -> list[tuple[str, str]]:
    """Return the values of nested mappings with the way to each."""
    found: list[tuple[str, str]] = []
    for name, value in tree.items():
        if isinstance(value, dict):
            found += _leaves(value, f"{before}{name}.")
        elif value is not None:
            found.append((f"{before}{name}", in_words(value)))
    return found


def in_words(value: object) -> str:
    """Return a value of a parameter as people write it.

    Fractions have four decimals, smaller ones four digits.
    """
    if isinstance(value, list | tuple):
        return ", ".join(in_words(one) for one in value)
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "on" if value else "off"
    if not isinstance(value, float):
        return str(value)
    if value.is_integer() and abs(value) < 1e15:
        return f"{value:.0f}"
    return f"{round(value, 4):.15g}" if abs(value) >= 0.001 else f"{value:.4g}"
