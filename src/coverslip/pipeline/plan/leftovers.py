"""What is left when labels and slides have met: what probably belongs together after all.

Nothing is joined because names are alike: pairs are told, and a mended table can be
written, for a person to look at.
"""

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from coverslip.learn.labels import Join, Labels, Row
from coverslip.learn.names import Near, join_key, near_names, shared_names
from coverslip.pipeline.plan.findings import Findings, Severity, few
from coverslip.tables import write_csv


@dataclass(frozen=True)
class Leftovers:
    """Slides without label and labels without slide; each is at one place only.

    Attributes:
        pairs: One to one, those whose names are alike.
        shared: Labels that begin the names of several slides.
        slides: Slides that are like nothing.
        labels: Labels that are like nothing.
    """

    pairs: tuple[Near, ...]
    shared: Mapping[str, tuple[str, ...]]
    slides: tuple[str, ...]
    labels: tuple[str, ...]

    def tell(
        self, labels: Labels, found: Findings, usable: Container[str] | None = None
    ) -> None:
        """List them, and what a table leaves unsaid.

        Args:
            labels: The table.
            found: Takes what is wrong.
            usable: Slides that a label would be of use to; all, when not given.
        """
        bare = [s for s in self.slides if usable is None or s in usable]
        self._tell_pairs(labels.source, found)
        leftover: tuple[tuple[Severity, str, Sequence[str], str], ...] = (
            (
                "warning",
                "slides without label",
                bare,
                "they are prepared, and not used: label them, or leave them out",
            ),
            (
                "warning",
                "labels without slide",
                self.labels,
                "add the slides, or leave them out",
            ),
            ("note", "rows with an empty label", labels.unlabelled, "not used"),
            ("note", "rows repeated", labels.repeated, "counted once"),
        )
        for severity, what, names, remedy in leftover:
            if names:
                told = f"{what}: {len(names)} ({few(names)}): {remedy}"
                found.add(severity, "labels", f"{labels.source}: {told}", names)

    def _tell_pairs(self, source: str, found: Findings) -> None:
        for sure in (True, False):
            if chosen := [pair for pair in self.pairs if pair.sure == sure]:
                told = few(f"{p.label!r} for {p.slide!r} ({p.why})" for p in chosen)
                found.add(
                    "error" if sure else "warning",
                    "labels",
                    f"{source}: labels written otherwise than their slides"
                    + ("" if sure else ", perhaps")
                    + f": {len(chosen)}: {told}: write slide_id as the file's name"
                    + (" (--labels-out FILE does)" if sure else ""),
                    [pair.label for pair in chosen],
                )
        if self.shared:
            label, own = next(iter(self.shared.items()))
            found.add(
                "error",
                "labels",
                f"{source}: labels that begin the names of several slides: "
                f"{len(self.shared)} ({label!r}: {few(own)}): write a row for each slide, "
                "with that id as case_id (--labels-out FILE does)",
                list(self.shared),
            )


def leftovers(joined: Join) -> Leftovers:
    """Return what is left of slides and labels; not what the table names without label."""
    known = {join_key(name) for name in joined.labels.unlabelled}
    slides = [s for s in joined.slides_without_label if join_key(s) not in known]
    pairs = near_names(slides, joined.labels_without_slide)
    slides = _without(slides, [pair.slide for pair in pairs])
    labels = _without(joined.labels_without_slide, [pair.label for pair in pairs])
    shared = shared_names(slides, labels)
    taken = [slide for own in shared.values() for slide in own]
    return Leftovers(
        tuple(pairs),
        shared,
        tuple(_without(slides, taken)),
        tuple(_without(labels, list(shared))),
    )


def _without(names: Sequence[str], taken: Sequence[str]) -> list[str]:
    gone = set(taken)
    return [name for name in names if name not in gone]


def mended(joined: Join) -> list[Row]:
    """Return the rows of a table, each label under its slide's name.

    Pairs that are sure are renamed, and what begins the names of several slides becomes
    their case; what is left stays as it was written.
    """
    left = leftovers(joined)
    slides_of: dict[str, tuple[str, ...]] = dict(left.shared)
    slides_of |= {pair.label: (pair.slide,) for pair in left.pairs if pair.sure}
    written = {join_key(slide): slide for slide in joined.matched}
    rows = []
    for label, row in joined.labels.rows.items():
        same = written.get(join_key(label), label)
        slides = slides_of.get(label, (same,))
        own_case = row.case_id != label or len(slides) > 1
        rows += [
            Row(s, row.label, row.case_id if own_case else s, row.split, row.extra)
            for s in slides
        ]
    return rows


def write_mended(path: Path, joined: Join) -> None:
    """Write `mended` as a label table; the label table that was read stays as it is.

    Raises:
        OutputError: It cannot be written.
    """
    rows = mended(joined)
    more = list(dict.fromkeys(name for row in rows for name in row.extra))
    split = ["split"] if any(row.split for row in rows) else []
    write_csv(
        path,
        ["slide_id", "label", "case_id", *split, *more],
        (
            {
                **row.extra,
                "slide_id": row.slide_id,
                "label": row.label,
                "case_id": row.case_id,
                "split": row.split,
            }
            for row in rows
        ),
    )
