"""Which class each slide belongs to, and how the label table meets the slides at hand.

The table is `slide_id,label` with, if wanted, `case_id`, `split` and any other column;
CLAM's `case_id,slide_id,label` is the same file. Everything is read as text: the id 001
stays 001. Two ids are the same slide when they agree but for upper and lower case and a
slide file's extension.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path

from coverslip.errors import DataError, LabelError
from coverslip.tables import read_csv

CASE_COLUMNS = ("case_id", "patient_id", "patient")
"""Columns that say which slides come from one person; the first one found is read."""

_NO_LABEL = {"", "na", "n/a", "nan", "null"}
_NEGATIVE = re.compile(
    r"-|no|false|normal|neg(ative)?|benign|healthy|control|absent|wt|wild-?type|mss|.+-"
)
_EXTENSION = re.compile(
    r"\.(svs|tiff?|ndpi|mrxs|scn|vmu|vms|bif|svslide|czi|dcm|isyntax|h5|pt|pkl|npy)$"
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
        near: Some slides without label, each with an unused id that looks like it.
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


def read_labels(path: Path, classes: Sequence[str] = ()) -> Labels:
    """Read a label table.

    Args:
        path: The CSV file.
        classes: Class names in order, such as a trained model's. Without them they are
            the table's, in `class_order`, and there must be at least two.

    Raises:
        LabelError: The file or a column is missing, a slide has no id, one slide is
            described in two ways, or the classes are not as they should be.
    """
    try:
        cells = [
            row for row in read_csv(path, ["slide_id", "label"]) if any(row.values())
        ]
    except DataError as error:
        raise LabelError(str(error)) from None
    if nameless := [row for row in cells if not row.get("slide_id")]:
        raise LabelError(
            f"{path}: {len(nameless)} rows have no slide_id, the first is "
            f"{','.join(nameless[0].values())!r}: fill in or delete them"
        )
    rows, repeated = _without_repeats(path, [_row(row) for row in cells])
    unlabelled = tuple(row.slide_id for row in rows if not row.label)
    labelled = [row for row in rows if row.label]
    return _labels(str(path), labelled, classes, unlabelled, repeated)


def labels_from_names(slide_ids: Iterable[str]) -> Labels:
    """Label slides by their names, `tumor...` and `normal...` (seed section 3.4).

    CAMELYON16's test slides (`test_001`) cannot be labelled so: they need a table.

    Raises:
        LabelError: A name begins with neither word, or all with the same one.
    """
    rows, others = [], []
    for slide_id in slide_ids:
        found = re.match("tumor|normal", slide_id, re.IGNORECASE)
        if found:
            rows.append(Row(slide_id, found[0].lower(), case_id=slide_id))
        else:
            others.append(slide_id)
    if others:
        raise LabelError(
            f"{_few(others)}: a name that begins with neither tumor nor normal says no "
            "label: give a CSV slide_id,label"
        )
    return _labels("slide names", rows)


def join(labels: Labels, slide_ids: Iterable[str]) -> Join:
    """Bring a label table and the slides at hand together.

    Raises:
        LabelError: Nothing matches, or two slides match the same label.
    """
    by_key = {join_key(slide_id): row for slide_id, row in labels.rows.items()}
    slides = sorted(set(slide_ids))
    keys = {slide_id: join_key(slide_id) for slide_id in slides}
    _refuse_equal_keys(keys)
    matched = {
        slide_id: replace(by_key[key], slide_id=slide_id)
        for slide_id, key in keys.items()
        if key in by_key
    }
    if not matched:
        raise LabelError(
            f"{labels.source}: none of its {len(labels.rows)} labels belongs to one of "
            f"the {len(slides)} slides (a label: {min(labels.rows)!r}, a slide: "
            f"{slides[0] if slides else None!r}): write slide_id as the slide's file name"
        )
    taken = {keys[slide_id] for slide_id in matched}
    bare = tuple(slide_id for slide_id in slides if slide_id not in matched)
    unused = tuple(row.slide_id for key, row in by_key.items() if key not in taken)
    return Join(labels, matched, bare, unused, _near_misses(bare, unused))


def join_key(slide_id: str) -> str:
    """Return what two spellings of one slide's id have in common."""
    text = unicodedata.normalize("NFC", slide_id.strip()).casefold()
    return _EXTENSION.sub("", text)


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
    path: Path, rows: Iterable[Row]
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
        raise LabelError(
            f"{path}: {_few(conflicts)} stands there twice with another label, case or "
            "split: keep the right row"
        )
    return list(first.values()), tuple(dict.fromkeys(repeated))


def _labels(
    source: str,
    rows: Sequence[Row],
    classes: Sequence[str] = (),
    unlabelled: tuple[str, ...] = (),
    repeated: tuple[str, ...] = (),
) -> Labels:
    """Check the classes and make the table."""
    found = class_order(row.label for row in rows)
    if classes and (unknown := set(found) - set(classes)):
        raise LabelError(
            f"{source}: {_few(sorted(unknown))} is none of the classes "
            f"{', '.join(classes)}: correct the label, or leave its cell empty"
        )
    if not classes and len(found) < 2:
        named = f"only the class {found[0]!r}" if found else "no label"
        raise LabelError(f"{source}: {named}: label slides of at least two classes")
    if len({name.casefold() for name in found}) < len(found):
        raise LabelError(
            f"{source}: classes {', '.join(found)}: some differ only in upper and lower "
            "case: write each in one way"
        )
    by_id = {row.slide_id: row for row in rows}
    return Labels(source, by_id, tuple(classes) or found, unlabelled, repeated)


def _refuse_equal_keys(keys: Mapping[str, str]) -> None:
    first: dict[str, str] = {}
    for slide_id, key in keys.items():
        if first.setdefault(key, slide_id) != slide_id:
            raise LabelError(
                f"slides {first[key]!r} and {slide_id!r} differ only in upper and lower "
                "case or extension: rename or remove one"
            )


def _near_misses(slides: Sequence[str], unused: Sequence[str]) -> dict[str, str]:
    """Find, for the first few slides, an unused label id that may be meant for it."""
    near = {}
    for slide_id in slides[:_SHOWN]:
        key = join_key(slide_id)
        alike = {
            join_key(other): other for other in unused if _alike(key, join_key(other))
        }
        if best := get_close_matches(key, alike, n=1, cutoff=0.4):
            near[slide_id] = alike[best[0]]
    return near


def _alike(one: str, other: str) -> bool:
    """Return whether one id continues the other, or both have the same numbers."""
    short, long = sorted((one, other), key=len)
    continues = long.startswith(short) and not long[len(short)].isalnum()
    ones, others = ([int(n) for n in re.findall("[0-9]+", id_)] for id_ in (one, other))
    return continues or ones == others != []


def _listed(title: str, names: Sequence[str]) -> str:
    return f"{title}: {len(names)} ({_few(names)})" if names else ""


def _few(names: Sequence[str]) -> str:
    rest = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {rest} more" if rest > 0 else "")
