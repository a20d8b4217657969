"""Say what a folder is, and what is wrong with it; nothing in it is changed."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from coverslip import store
from coverslip.errors import CoverslipError, DataError, LabelError, SlideError
from coverslip.interop.clam import H5, PT
from coverslip.interop.exchange import (
    FeatureSet,
    Format,
    Known,
    Place,
)
from coverslip.interop.formats import recognise
from coverslip.interop.h5_files import named
from coverslip.interop.torchmil import COORDS, FEATURES, LABELS, PATCH_LABELS
from coverslip.learn.labels import join, read_labels
from coverslip.pipeline.exchange.converting import ConvertOptions, Scaled
from coverslip.pipeline.exchange.faults import (
    Checked,
    Finding,
    check_beside,
    check_item,
)
from coverslip.pipeline.prepare.table import FAILED
from coverslip.slides.finding import SLIDE_SUFFIXES, find_slides, open_slide
from coverslip.tables import read_csv

SLIDES = "slides"
"""What a folder of slides is called."""

_REMEDIES = {
    "features of ": "make them",
    "slide ": "add it, or take its row out",
}
_TEMPORARY = re.compile(r"tmp\w+")
_TRACES = {
    ".lock": "a TRIDENT works on this slide, or was killed: then it passes the slide over "
    "until it is run with --clear_dead_locks, or this file is deleted",
    ".part": "half-written by a killed coverslip: the next command there removes it",
}


@dataclass(frozen=True)
class Validation:
    """What a folder is, and what is wrong with it.

    Attributes:
        folder: The folder.
        kind: Name of its format, `slides`, or None where it is like nothing known.
        title: The same for people.
        sets: Of each set of features how many slides and patches, and how long a
            feature is.
        findings: What is wrong, errors first.
    """

    folder: Path
    kind: str | None
    title: str
    sets: Mapping[str, Mapping[str, Any]]
    findings: tuple[Finding, ...]

    @property
    def sound(self) -> bool:
        """Whether there is no error, and the folder is something at all."""
        return self.kind is not None and all(
            one.level != "error" for one in self.findings
        )

    def facts(self) -> dict[str, Any]:
        """Return it JSON-ready but for paths."""
        told = {**vars(self), "findings": [asdict(one) for one in self.findings]}
        return {**told, "sound": self.sound}

    def story(self) -> list[str]:
        """Say it in a line for each set and finding."""
        counts = Counter(one.level for one in self.findings)
        lines = [f"{self.folder}: {self.title}"]
        for name, told in self.sets.items():
            said = ", ".join(f"{key}: {value}" for key, value in told.items())
            lines.append(f"  {name}: {said}")
        lines += [one.line() for one in self.findings]
        word = "sound" if self.sound else "not sound"
        return [
            *lines,
            f"{word}; errors: {counts['error']}, warnings: {counts['warning']}",
        ]


def validate(
    folder: Path | str,
    *,
    labels: Path | str | None = None,
    slides: Sequence[Path | str] = (),
) -> Validation:
    """Say what a folder is and what is wrong with it.

    Args:
        folder: A study, another program's folder, or a folder of slides.
        labels: Table of labels: slides in it that have no features, or are not in the
            folder of slides, are reported, and those that it does not label.
        slides: Slides, or folders of slides, that should have features; their sizes
            and scales are used where the files do not say them.

    Raises:
        DataError: There is no such folder.
        LabelError: The table cannot be read.
    """
    folder, given = Path(folder), [Path(one) for one in slides]
    labels = None if labels is None else Path(labels)
    form = recognise(folder)
    if form is None:
        return _not_features(folder, labels)
    known = replace(Scaled(slides=given).known(ConvertOptions()), lenient=True)
    told: dict[str, dict[str, Any]] = {}
    findings: list[Finding] = []
    for chosen in form.sets(folder):
        checked = Checked()
        findings += _check_set(form, chosen, checked, known)
        place = folder / chosen.name
        findings += _unlabelled(place, checked.ids, labels, "features of ")
        findings += _missing(place, checked.ids, given)
        told[chosen.name] = checked.told()
    if not told:
        findings.append(Finding("warning", folder, "there are no features in it yet"))
    findings += _stages(folder, form)
    findings += _arrays(folder) if form.name == "torchmil" else ()
    findings += _traces(folder, form)
    ordered = sorted(findings, key=lambda one: (one.level != "error", str(one.path)))
    return Validation(folder, form.name, form.title, told, tuple(ordered))


def _check_set(
    form: Format, chosen: FeatureSet, checked: Checked, known: Known
) -> list[Finding]:
    known = replace(known, encoder=chosen.encoder)
    findings: list[Finding] = []
    seen: dict[str, Place] = {}
    for place in chosen.places:
        first = seen.setdefault(place.slide_id, place)
        if first is not place:
            text = f"a second file of {place.slide_id}, beside {first.path}: keep one"
            findings.append(Finding("error", place.path, text, place.slide_id))
        checked.ids.append(place.slide_id)
        try:
            item = form.read(place, known)
            problems = [*check_item(item), *check_beside(place, item)]
        except CoverslipError as error:
            reason = str(error).removeprefix(f"{place.path}: ")
            findings.append(Finding("error", place.path, reason, place.slide_id))
            continue
        checked.note(place, item)
        findings += [
            Finding(level, place.path, text, place.slide_id) for level, text in problems
        ]
    return [*findings, *checked.mixed()]


def _stages(folder: Path, form: Format) -> Iterator[Finding]:
    """Say which slides came through one stage and not through the next."""
    if form.name == "clam":
        pairs = [
            (folder / H5, ".h5", folder / PT, ".pt"),
            (folder / "patches", ".h5", folder / PT, ".pt"),
        ]
        pairs.append((folder / PT, ".pt", folder / H5, ".h5"))
    elif form.name in {"study", "trident"}:
        pairs = [
            (one.parent / "patches", "_patches.h5", one, ".h5")
            for one in folder.glob("*_overlap/*features_*")
            if not one.name.startswith("slide_")
        ]
    else:
        pairs = []
    for before, ending, after, suffix in pairs:
        done = {path.name.removesuffix(suffix) for path in named(after, suffix)}
        for path in named(before, ending):
            slide_id = path.name.removesuffix(ending)
            if slide_id not in done and after.is_dir():
                yield Finding(
                    "error",
                    path,
                    f"has no {after / slide_id}{suffix}: run that stage again",
                    slide_id,
                )
    if form.name == "study" and (folder / "slides.csv").is_file():
        for row in read_csv(folder / "slides.csv", ("slide_id", "status")):
            if row["status"] == FAILED:
                text = f"{row['slide_id']} failed: {row.get('error', '')}"
                yield Finding("warning", folder / "slides.csv", text, row["slide_id"])


def _arrays(folder: Path) -> Iterator[Finding]:
    """Say which of torchmil's arrays have no features, and which slides no label."""
    slides = {path.stem for path in named(folder / FEATURES, ".npy")}
    for name in (COORDS, LABELS, PATCH_LABELS):
        for path in named(folder / name, ".npy"):
            if path.stem not in slides:
                text = f"no features of {path.stem}: make them, or delete this file"
                yield Finding("error", path, text, path.stem)
    labelled = {path.stem for path in named(folder / LABELS, ".npy")}
    for slide_id in sorted(slides - labelled) if labelled else ():
        text = f"no label of {slide_id} in it: torchmil stops there"
        yield Finding("warning", folder / LABELS, text, slide_id)


def _traces(folder: Path, form: Format) -> Iterator[Finding]:
    """Say what killed programs left."""
    for path in sorted(folder.rglob("*")):
        if text := _TRACES.get(path.suffix):
            yield Finding("warning", path, text)
        elif (
            form.name == "stamp" and path.is_file() and _TEMPORARY.fullmatch(path.name)
        ):
            text = "left by a STAMP that was killed: delete it"
            yield Finding("warning", path, text)


def _unlabelled(
    place: Path, ids: Sequence[str], labels: Path | None, what: str
) -> Iterator[Finding]:
    """Say which labels are of nothing in a place, and what in it has no label."""
    if labels is None:
        return
    try:
        met = join(read_labels(labels), ids)
    except LabelError as error:
        yield Finding("error", labels, str(error).removeprefix(f"{labels}: "))
        return
    for slide_id in met.labels_without_slide:
        text = f"no {what}{slide_id}, which {labels} labels: {_REMEDIES[what]}"
        yield Finding("error", place, text, slide_id)
    for slide_id in met.slides_without_label:
        text = f"no label of {slide_id} in {labels}"
        yield Finding("warning", place, text, slide_id)


def _missing(
    place: Path, ids: Sequence[str], slides: Sequence[Path]
) -> Iterator[Finding]:
    """Say which slides have no features."""
    if slides:
        there = {slide_id.lower() for slide_id in ids}
        for path in find_slides(slides):
            slide_id = store.slide_id_of(path)
            if slide_id.lower() not in there:
                text = f"no features of {path}: make them"
                yield Finding("error", place, text, slide_id)


def _not_features(folder: Path, labels: Path | None) -> Validation:
    """Judge a folder that holds no features: of slides, or of nothing known."""
    meant = [p for p in folder.rglob("*") if p.suffix.lower() in SLIDE_SUFFIXES]
    found: list[Path] = []
    if meant:
        try:
            found = find_slides([folder])
        except (DataError, SlideError) as error:
            text = str(error)
            return Validation(
                folder,
                SLIDES,
                "a folder of slides",
                {},
                (Finding("error", folder, text),),
            )
    if not found:
        text = (
            "like no known format: give the folder that holds a program's own folders"
        )
        finding = Finding("error", folder, text)
        return Validation(folder, None, "nothing that is known", {}, (finding,))
    findings = [one for path in found for one in _of_slide(path)]
    ids = [store.slide_id_of(path) for path in found]
    findings += _unlabelled(folder, ids, labels, "slide ")
    findings.sort(key=lambda one: one.level != "error")
    told = {".": {"slides": len(found)}}
    return Validation(folder, SLIDES, "a folder of slides", told, tuple(findings))


def _of_slide(path: Path) -> Iterator[Finding]:
    slide_id = store.slide_id_of(path)
    try:
        with open_slide(path) as slide:
            if slide.l0_mpp is None:
                text = "does not say its scale: state it with --mpp or --mpp-csv"
                yield Finding("warning", path, text, slide_id)
    except SlideError as error:
        reason = str(error).removeprefix(f"{path}: ")
        yield Finding("error", path, reason, slide_id)
