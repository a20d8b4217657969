"""What names of slides tell: which two mean one slide, and whose slides they are.

Only for people to look at: nothing is joined because names are alike.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import TypeVar

Key = TypeVar("Key", bound=Hashable)

_EXTENSION = re.compile(
    r"\.(svs|tiff?|ndpi|mrxs|scn|vmu|vms|bif|svslide|czi|dcm|isyntax|h5|pt|pkl|npy)$"
)
_CASES = re.compile(
    r"(tcga-\w{2}-\w{4}|gtex-\w{4,5}|c3[ln]-\d{5}"
    r"|(?:patient|pat|pid|case|subject|subj|donor|p)[ _-]?\d+"
    r"|[a-z]{1,3}\d{2}[-_]\d{3,})(?=[ _.-])",
    re.IGNORECASE,
)
"""How names of slides often begin with a person's or an accession's number."""

ALIKE = 0.8
"""Share of letters that agree in two spellings of one word."""

MOST = 40_000
"""Pairs that are compared letter by letter, at most."""


@dataclass(frozen=True)
class Near:
    """A slide without label, and an unused label that is probably meant for it.

    Attributes:
        slide: The slide's id.
        label: The label's.
        why: What sets them apart.
        sure: Whether it can hardly be another; a mere spelling is not sure.
    """

    slide: str
    label: str
    why: str
    sure: bool = True


def join_key(slide_id: str) -> str:
    """Return what two spellings of one slide's id have in common."""
    text = unicodedata.normalize("NFC", slide_id.strip()).casefold()
    return _EXTENSION.sub("", text)


def near_names(slides: Iterable[str], labels: Iterable[str]) -> list[Near]:
    """Pair slides without label and labels without slide, one to one, by their names.

    Another number is another slide: `slide_1` and `slide_10` are never paired. Where
    two would do for one, none is paired.

    Args:
        slides: Ids of slides that have no label.
        labels: Ids of labels that have no slide.

    Returns:
        Pairs, the surest first.
    """
    free = _Free(dict.fromkeys(slides), dict.fromkeys(labels))
    free.pair("spaces or separators", _words)
    free.pair("leading zeros", _numbered)
    free.pair("letters like digits", lambda name: _numbered(_as_digits(name)))
    free.pair_continued()
    free.pair_spelt()
    return free.pairs


def shared_names(
    slides: Iterable[str], labels: Iterable[str]
) -> dict[str, tuple[str, ...]]:
    """Return labels whose id begins the names of several slides: a person's, perhaps."""
    known = {join_key(label): label for label in labels}
    found: dict[str, list[str]] = {}
    for slide in slides:
        for begun in _beginnings(join_key(slide)):
            if begun in known:
                found.setdefault(known[begun], []).append(slide)
    return {label: tuple(own) for label, own in found.items() if len(own) > 1}


def likely_case(slide_id: str) -> str | None:
    """Return the case that a slide's name seems to begin with, such as `patient_012`.

    Known are the barcodes of TCGA, GTEx and CPTAC, numbered words such as `patient` and
    `case`, and accession numbers such as S12-3456.
    """
    found = _CASES.match(slide_id.strip())
    return found[1].casefold() if found else None


class _Free:
    """Slides and labels that are not paired yet, and the pairs found."""

    def __init__(self, slides: dict[str, None], labels: dict[str, None]) -> None:
        self.slides, self.labels = slides, labels
        self.pairs: list[Near] = []

    def take(self, slide: str, label: str, why: str, *, sure: bool = True) -> None:
        del self.slides[slide], self.labels[label]
        self.pairs.append(Near(slide, label, why, sure))

    def pair(self, why: str, key: Callable[[str], Hashable]) -> None:
        """Pair what has a key that no other has."""
        labels = _grouped(self.labels, key)
        for known, slides in _grouped(self.slides, key).items():
            if len(slides) == len(labels.get(known, ())) == 1:
                self.take(slides[0], labels[known][0], why)

    def pair_continued(self) -> None:
        """Pair a name and the only one that goes on from it."""
        slides, labels = (_grouped(x, join_key) for x in (self.slides, self.labels))
        found: list[tuple[str, str]] = []
        for one, others, swap in ((slides, labels, False), (labels, slides, True)):
            for key, names in one.items():
                for begun in _beginnings(key):
                    for other in others.get(begun, ()):
                        pair = (names[0], other)
                        found.append(pair[::-1] if swap else pair)
        counts = [Counter(pair[side] for pair in found) for side in (0, 1)]
        for slide, label in found:
            if counts[0][slide] == counts[1][label] == 1:
                self.take(slide, label, "one goes on")

    def pair_spelt(self) -> None:
        """Pair what has the same numbers and nearly the same letters."""
        labels = _grouped(self.labels, _numbers)
        likeness = []
        for known, slides in _grouped(self.slides, _numbers).items():
            others = labels.get(known, [])
            if len(slides) * len(others) <= MOST:
                likeness += [(_alike(s, o), s, o) for s in slides for o in others]
        for ratio, slide, label in sorted(likeness, reverse=True):
            if ratio < ALIKE:
                break
            if slide in self.slides and label in self.labels:
                self.take(slide, label, "spelling", sure=False)


def _grouped(names: Iterable[str], key: Callable[[str], Key]) -> dict[Key, list[str]]:
    groups: dict[Key, list[str]] = {}
    for name in names:
        groups.setdefault(key(name), []).append(name)
    return groups


def _words(name: str) -> tuple[str, ...]:
    """Return runs of letters and runs of digits, without accents."""
    plain = unicodedata.normalize("NFKD", join_key(name))
    kept = "".join(c for c in plain if not unicodedata.combining(c))
    return tuple(re.findall(r"[^\W\d_]+|\d+", kept))


def _numbered(name: str) -> tuple[str, ...]:
    return tuple(w.lstrip("0") or "0" if w.isdigit() else w for w in _words(name))


def _numbers(name: str) -> tuple[str, ...]:
    return tuple(word for word in _numbered(name) if word.isdigit())


def _as_digits(name: str) -> str:
    return join_key(name).translate(str.maketrans("oil", "011"))


def _beginnings(key: str) -> list[str]:
    """Return what a name goes on from: it, cut before each mark."""
    return [key[: found.start()] for found in re.finditer(r"[\W_]", key)][::-1]


def _alike(one: str, other: str) -> float:
    matcher = SequenceMatcher(None, join_key(one), join_key(other), autojunk=False)
    if matcher.quick_ratio() < ALIKE:
        return 0.0
    return matcher.ratio()
