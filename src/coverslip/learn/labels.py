"""Which class each slide belongs to, and how the label table meets the slides at hand.

The table is `slide_id,label` with, if wanted, `case_id`, `split` and any other column;
CLAM's `case_id,slide_id,label` is the same file. Everything is read as text: the id 001
stays 001. Two ids are the same slide when they agree but for upper and lower case and a
slide file's extension.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from coverslip.errors import Complain, DataError, LabelError, refuse
from coverslip.learn.names import join_key, near_names
from coverslip.tables import read_csv

CASE_COLUMNS = ("case_id", "patient_id", "patient")
"""Columns that say which slides come from one person; the first one found is read."""

_NO_LABEL = {"", "na", "n/a", "nan", "null"}
_NEGATIVE = re.compile(
    r"-|no|false|normal|neg(ative)?|benign|healthy|control|absent|wt|wild-?type|mss|.+-"
)
_SHOWN = 5


@dataclass(frozen=True)
class Row:
    """One labelled slide; `case_id` is the slide's own id when the table has none."""

    slide_id: str
    label: str
    case_id: str
    split: str = ""
    extra: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Labels:
    """A label table that was found sound.

    Attributes:
        source: Where it came from, for messages.
        rows: Labelled slides by the id as it was written.
        classes: Class names in order; of two, the positive one is the last.
        unlabelled: Ids whose label cell is empty.
        repeated: Ids that stand in the table more than once, saying the same.
    """

    source: str
    rows: Mapping[str, Row]
    classes: tuple[str, ...]
    unlabelled: tuple[str, ...] = ()
    repeated: tuple[str, ...] = ()

    def class_index(self, slide_id: str) -> int:
        """Return the number of a slide's class, from 0."""
        return self.classes.index(self.rows[slide_id].label)


@dataclass(frozen=True)
class Join:
    """How a label table and the slides at hand meet; every id is on one list.

    Attributes:
        labels: The table.
        matched: Rows by slide id; ids are written as the slides write them.
        slides_without_label: Slides that the table does not label.
        labels_without_slide: Ids of labels whose slide is not at hand.
        near: Slides without label, each with an unused id that is probably meant.
    """

    labels: Labels
    matched: Mapping[str, Row]
    slides_without_label: tuple[str, ...]
    labels_without_slide: tuple[str, ...]
    near: Mapping[str, str]

    def report(self) -> str:
        """Say in one to five lines what matched and what did not."""
        counts = Counter(row.label for row in self.matched.values())
        shares = ", ".join(f"{counts[name]} {name}" for name in self.labels.classes)
        total = len(self.matched) + len(self.slides_without_label)
        cases = len({row.case_id for row in self.matched.values()})
        head = (
            f"{self.labels.source}: {len(self.matched)} of {total} slides have a label "
            f"({shares}; cases: {cases})"
        )
        pairs = [
            f"slide {slide!r}, label {label!r}" for slide, label in self.near.items()
        ]
        lines = [
            head,
            _listed("slides without label", self.slides_without_label),
            _listed("labels without slide", self.labels_without_slide),
            _listed("alike but not the same", pairs),
            _listed("rows repeated, counted once", self.labels.repeated),
        ]
        return "\n".join(line for line in lines if line)


def read_labels(
    path: Path, classes: Sequence[str] = (), complain: Complain = refuse
) -> Labels:
    """Read a label table.

    Args:
        path: The CSV file.
        classes: Class names in order, such as a trained model's. Without them they are
            the table's, in `class_order`, and there must be at least two.
        complain: Told of a slide without id, of one that is described in two ways, and
            of classes that are not as they should be; what is left is returned.

    Raises:
        LabelError: The file or a column is missing; and what nobody is told of.
    """
    try:
        cells = [
            row for row in read_csv(path, ["slide_id", "label"]) if any(row.values())
        ]
    except DataError as error:
        raise LabelError(str(error)) from None
    if nameless := [row for row in cells if not row.get("slide_id")]:
        complain(
            LabelError(
                f"{path}: {len(nameless)} rows have no slide_id, the first is "
                f"{','.join(nameless[0].values())!r}: fill in or delete them"
            )
        )
    named = [_row(row) for row in cells if row.get("slide_id")]
    rows, repeated = _without_repeats(path, named, complain)
    unlabelled = tuple(row.slide_id for row in rows if not row.label)
    labelled = [row for row in rows if row.label]
    labels = Labels(str(path), {}, tuple(classes), unlabelled, repeated)
    return _labelled(labels, labelled, complain)


def labels_from_names(slide_ids: Iterable[str], complain: Complain = refuse) -> Labels:
    """Label slides by their names, `tumor...` and `normal...` (seed section 3.4).

    CAMELYON16's test slides (`test_001`) cannot be labelled so: they need a table.

    Raises:
        LabelError: A name begins with neither word, or all with the same one; unless
            `complain` is told of it.
    """
    rows, others = [], []
    for slide_id in slide_ids:
        found = re.match("tumor|normal", slide_id, re.IGNORECASE)
        if found:
            rows.append(Row(slide_id, found[0].lower(), case_id=slide_id))
        else:
            others.append(slide_id)
    if others:
        complain(
            LabelError(
                f"{_few(others)}: a name that begins with neither tumor nor normal says "
                "no label: give a CSV slide_id,label"
            )
        )
    return _labelled(Labels("slide names", {}, ()), rows, complain)


def join(labels: Labels, slide_ids: Iterable[str], complain: Complain = refuse) -> Join:
    """Bring a label table and the slides at hand together.

    Raises:
        LabelError: Nothing matches, or two slides match the same label; unless
            `complain` is told of it.
    """
    by_key = {join_key(slide_id): row for slide_id, row in labels.rows.items()}
    slides = sorted(set(slide_ids))
    keys = {slide_id: join_key(slide_id) for slide_id in slides}
    _refuse_equal_keys(keys, complain)
    matched = {
        slide_id: replace(by_key[key], slide_id=slide_id)
        for slide_id, key in keys.items()
        if key in by_key
    }
    if not matched:
        label, slide = min(labels.rows, default=None), min(slides, default=None)
        complain(
            LabelError(
                f"{labels.source}: none of its {len(labels.rows)} labels belongs to one "
                f"of the {len(slides)} slides (a label: {label!r}, a slide: {slide!r}): "
                "write slide_id as the slide's file name"
            )
        )
    taken = {keys[slide_id] for slide_id in matched}
    bare = tuple(slide_id for slide_id in slides if slide_id not in matched)
    unused = tuple(row.slide_id for key, row in by_key.items() if key not in taken)
    near = {pair.slide: pair.label for pair in near_names(bare, unused)}
    return Join(labels, matched, bare, unused, near)


def class_order(names: Iterable[str]) -> tuple[str, ...]:
    """Sort class names: what sounds negative first, then numbers, then the alphabet.

    So of two classes the positive one is the last: normal, tumor; 0, 1; ER-, ER+.
    """
    return tuple(sorted(set(names), key=_class_rank))


def _class_rank(name: str) -> tuple[bool, float, str]:
    text = name.casefold()
    negative = _NEGATIVE.fullmatch(text) is not None
    number = float(text) if re.fullmatch(r"\d+(\.\d+)?", text) else float("inf")
    return (not negative, number, name)


def _row(cells: Mapping[str, str]) -> Row:
    case_column = next((name for name in CASE_COLUMNS if name in cells), "case_id")
    named = {"slide_id", "label", "split", case_column}
    label = cells.get("label", "")
    return Row(
        slide_id=cells["slide_id"],
        label="" if label.casefold() in _NO_LABEL else label,
        case_id=cells.get(case_column) or cells["slide_id"],
        split=cells.get("split", "").lower(),
        extra={
            name: cell for name, cell in cells.items() if name and name not in named
        },
    )


def _without_repeats(
    path: Path, rows: Iterable[Row], complain: Complain
) -> tuple[list[Row], tuple[str, ...]]:
    first: dict[str, Row] = {}
    repeated: list[str] = []
    conflicts: list[str] = []
    for row in rows:
        known = first.setdefault(join_key(row.slide_id), row)
        if known is row:
            continue
        case = join_key(known.case_id) == join_key(row.case_id)
        same = case and (known.label, known.split) == (row.label, row.split)
        (repeated if same else conflicts).append(row.slide_id)
    if conflicts:
        complain(
            LabelError(
                f"{path}: {_few(conflicts)} stands there twice with another label, case "
                "or split: keep the right row"
            )
        )
    return list(first.values()), tuple(dict.fromkeys(repeated))


def _labelled(labels: Labels, rows: Sequence[Row], complain: Complain) -> Labels:
    """Check the classes of rows and put them into a table; its own classes, if any."""
    source, classes = labels.source, labels.classes
    found = class_order(row.label for row in rows)
    if classes and (unknown := set(found) - set(classes)):
        complain(
            LabelError(
                f"{source}: {_few(sorted(unknown))} is none of the classes "
                f"{', '.join(classes)}: correct the label, or leave its cell empty"
            )
        )
    if not classes and len(found) < 2:
        named = f"only the class {found[0]!r}" if found else "no label"
        complain(LabelError(f"{source}: {named}: label slides of at least two classes"))
    if len({name.casefold() for name in found}) < len(found):
        complain(
            LabelError(
                f"{source}: classes {', '.join(found)}: some differ only in upper and "
                "lower case: write each in one way"
            )
        )
    by_id = {row.slide_id: row for row in rows}
    return replace(labels, rows=by_id, classes=classes or found)


def _refuse_equal_keys(keys: Mapping[str, str], complain: Complain) -> None:
    first: dict[str, str] = {}
    for slide_id, key in keys.items():
        if first.setdefault(key, slide_id) != slide_id:
            complain(
                LabelError(
                    f"slides {first[key]!r} and {slide_id!r} differ only in upper and "
                    "lower case or extension: rename or remove one"
                )
            )


def _listed(title: str, names: Sequence[str]) -> str:
    return f"{title}: {len(names)} ({_few(names)})" if names else ""


def _few(names: Sequence[str]) -> str:
    rest = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {rest} more" if rest > 0 else "")
