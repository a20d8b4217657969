"""Convert many slides from one format into another: each whole, one after the other."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field
from tqdm import tqdm

from coverslip import store
from coverslip.errors import DataError, OptionError, SlideError
from coverslip.interop.exchange import FeatureSet, Format, Item, Known, Laid, Place
from coverslip.interop.formats import FORMATS, WRITTEN, choose_set, format_of
from coverslip.interop.study import row_of
from coverslip.interop.trident import patching_named
from coverslip.interop.widths import Widths
from coverslip.options import Options
from coverslip.pipeline.engine import LocalEngine
from coverslip.pipeline.exchange.conversions import Journal
from coverslip.pipeline.exchange.exchanged_tables import (
    Tables,
    bring_tables,
    gather_tables,
)
from coverslip.pipeline.prepare.table import SlideTable, tell_failure
from coverslip.prepare.features import check_finite
from coverslip.slides.finding import Scales, find_slides, open_slide

_FLOAT32 = {"clam", "pickles"}
"""Formats whose features are never wider."""

_MANY = {"study", "trident", "stamp"}
"""Formats whose folders hold several sets of features."""

_RENAMED = "some files name another encoder than ours in them: see `coverslip validate`"


class ConvertOptions(Options):
    """What to take, and what the files do not say."""

    from_format: str | None = Field(
        None, description="format of SOURCE; recognised when not given"
    )
    features: str | None = Field(
        None,
        description="which features of SOURCE, such as "
        "20x_256px_0px_overlap/features_resnet50, where it has several",
    )
    encoder: str | None = Field(
        None, description="name of the encoder, where SOURCE does not say it"
    )
    patching: str | None = Field(
        None,
        description="how patches were laid, where SOURCE does not say it, such as "
        "20x_256px_0px_overlap",
    )
    dtype: Literal["keep", "float16"] = Field(
        "keep", description="float16 halves wider features, and rounds them"
    )


@dataclass(frozen=True)
class Scaled:
    """Where the scales of slides come from: stated, or read from the slides."""

    scales: Scales = field(default_factory=Scales)
    slides: Sequence[Path] = ()

    def known(self, options: ConvertOptions) -> Known:
        """Return what is known beside the files.

        Raises:
            OptionError: The patching is written otherwise.
            DataError: There are no slides in the folder.
        """
        laid = Laid(l0_mpp=self.scales.missing)
        if options.patching is not None:
            said = patching_named(options.patching)
            if said.size is None:
                raise OptionError(
                    f"--patching {options.patching}: write it as 20x_256px_0px_overlap"
                )
            laid = laid.completed(said)
        known = self._read()
        stated = {name: float(mpp) for name, mpp in self.scales.by_slide.items()}
        return replace(
            known,
            laid=laid,
            l0_mpp={**known.l0_mpp, **stated},
            encoder=options.encoder,
        )

    def _read(self) -> Known:
        """Return where slides lie, and the scales and sizes that they say."""
        found: dict[str, float] = {}
        extents: dict[str, tuple[int, int]] = {}
        slides: dict[str, Path] = {}
        for path in find_slides(self.slides) if self.slides else ():
            try:
                with open_slide(path) as slide:
                    slide_id = store.slide_id_of(path).lower()
                    extents[slide_id] = slide.l0_size
                    slides[slide_id] = path.absolute()
                    if slide.l0_mpp is not None:
                        found[slide_id] = float(slide.l0_mpp)
            except SlideError as error:
                tell_failure(str(error))
        return Known(l0_mpp=found, l0_extents=extents, slides=slides)


@dataclass(frozen=True)
class Converted:
    """What became of a folder.

    Attributes:
        source: The folder.
        source_format: What it was.
        out: The folder that was written.
        to: Its format.
        rows: By slide id: `ok`, `kept` where it was done before, or the error.
        tables: Tables of labels and splits that were written.
        notes: What is worth knowing, such as what was rounded.
    """

    source: Path
    source_format: str
    out: Path
    to: str
    rows: Mapping[str, str]
    tables: tuple[Path, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def failed(self) -> dict[str, str]:
        """The slides that failed, and why."""
        return {k: why for k, why in self.rows.items() if why not in {"ok", "kept"}}

    def facts(self) -> dict[str, Any]:
        """Return it JSON-ready but for paths."""
        return {**vars(self), "failed": self.failed}

    def story(self) -> list[str]:
        """Say it in a few lines."""
        kept = list(self.rows.values()).count("kept")
        head = (
            f"{len(self.rows) - len(self.failed)} of {len(self.rows)} slides from "
            f"{FORMATS[self.source_format].title} to {FORMATS[self.to].title}: {self.out}"
        )
        told = [f"{kept} of them were there already"] if kept else []
        told += [f"{len(self.failed)} failed"] if self.failed else []
        return [
            "; ".join([head, *told]),
            *(f"table: {path}" for path in self.tables),
            *(f"note: {note}" for note in self.notes),
        ]


def convert(
    source: Path | str,
    out: Path | str,
    to: str,
    options: ConvertOptions | None = None,
    *,
    tables: Tables | None = None,
    scaled: Scaled | None = None,
    quiet: bool = True,
) -> Converted:
    """Convert a folder of features from one format to another.

    What is there already and was made from the same files is kept. Coming back, slides
    are as they were.

    Args:
        source: A study, or a folder of CLAM, TRIDENT, STAMP, torchmil or pickles.
        out: The folder to write.
        to: Its format.
        options: What to take.
        tables: Labels and splits that go along.
        scaled: Scales of slides, which STAMP's files lack.
        quiet: Show no progress.

    Raises:
        DataError: The source is like no known format, or holds no features.
        LabelError: A table that was named cannot be read, or labels none of the slides.
        OptionError: A format or a set of features must be named.
        ParametersDifferError: `out` holds another conversion.
        OutputError: `out` cannot be written.
    """
    source, out, options = Path(source), Path(out), options or ConvertOptions()
    if to not in WRITTEN:
        raise OptionError(f"--to {to}: choose from {', '.join(WRITTEN)}")
    if source.resolve() == out.resolve():
        raise OptionError(f"{out}: is the source itself: choose another --out folder")
    form = format_of(source, options.from_format)
    chosen = choose_set(source, form, options.features)
    known = (scaled or Scaled()).known(options)
    known = replace(known, encoder=known.encoder or chosen.encoder)
    found = gather_tables(source, form.name, tables or Tables())
    widths = Widths.read(form, chosen.places)
    job = _Job(form, FORMATS[to], chosen, out, known, options.dtype, widths)
    asked = {"source": str(source.absolute()), "from": form.name, **options.facts()}
    journal = Journal.open(out, chosen.name if to in _MANY else ".", asked)
    rows = _run(job, journal, quiet=quiet)
    done = [slide_id for slide_id, said in rows.items() if said in {"ok", "kept"}]
    if not done:
        return Converted(source, form.name, out, to, rows)
    written, notes = bring_tables(found, out, to, done, journal.tables)
    names = {str(one.relative_to(out)) for one in written}
    journal.tables = sorted(names.union(journal.tables))
    journal.write()
    told = (*journal.notes(), *notes)
    return Converted(source, form.name, out, to, rows, tuple(written), told)


def _run(job: "_Job", journal: "Journal", *, quiet: bool) -> dict[str, str]:
    rows: dict[str, str] = {}
    todo: dict[str, Place] = {}
    table = (
        SlideTable.open(job.out / "slides.csv") if job.target.name == "study" else None
    )
    for place in job.chosen.places:
        if place.slide_id in todo or place.slide_id in rows:
            rows[f"{place.slide_id} ({place.path})"] = (
                f"{place.path}: a second file of {place.slide_id}: rename one of them"
            )
        elif not job.widths.odd(place) and journal.has(
            place, job.known.of(place.slide_id).l0_mpp
        ):
            rows[place.slide_id] = "kept"
            row = row_of(job.known, place.slide_id)
            if table is not None and row:
                table.note(place.slide_id, row)
        else:
            todo[place.slide_id] = place
    job.known_before |= set(journal.slides)
    bar = tqdm(total=len(todo), desc="convert", unit="slide", disable=quiet)
    try:
        for outcome in LocalEngine().run(job, list(todo.values())):
            place, facts = outcome.item, outcome.result
            if facts is None:
                rows[place.slide_id] = outcome.error or "failed"
                tell_failure(rows[place.slide_id])
            else:
                rows[place.slide_id] = "ok"
                journal.note(place, job.known.of(place.slide_id).l0_mpp, facts)
                if table is not None:
                    table.note(place.slide_id, facts["row"])
            bar.update()
    finally:
        bar.close()
        journal.write()
        if table is not None and table.asked:
            table.write()
    return dict(sorted(rows.items()))


@dataclass
class _Job:
    """Converts one slide."""

    form: Format
    target: Format
    chosen: FeatureSet
    out: Path
    known: Known
    dtype: str
    widths: Widths
    known_before: set[str] = field(default_factory=set)

    def __call__(self, place: Place) -> store.Facts:
        item = self.form.read(place, self.known)
        check_finite(item.features, f"{place.path}")
        self._check_width(place, item)
        notes = [_RENAMED] if item.remembered else []
        if self.dtype == "float16" and item.features.itemsize > 2:
            item, rounded = _narrow(item, place)
            notes += ["features were rounded to float16"] if rounded else []
        if self.target.name in _FLOAT32 and item.features.itemsize > 4:
            notes.append(f"{self.target.title} are float32: wider ones were rounded")
        path = self.target.path(self.out, item)
        if path.exists() and place.slide_id not in self.known_before:
            raise DataError(
                f"{path}: there already, and not from such a conversion: choose another "
                "--out folder"
            )
        if not len(item.features):
            notes.append("some slides have no patch; others' programs may stop at them")
        files = [
            str(one.relative_to(self.out)) for one in self.target.write(self.out, item)
        ]
        row = {"path": str(place.path.absolute()), **item.memo.get("row", {})}
        row |= row_of(self.known, place.slide_id)
        told = {"status": "features", "patches": len(item.features)}
        return {"files": files, "notes": notes, "row": {**told, **row}}

    def _check_width(self, place: Place, item: Item) -> None:
        if not self.widths.odd(place):
            return
        before = place.slide_id in self.known_before
        too = f", and delete {self.target.path(self.out, item)}" if before else ""
        raise DataError(
            f"{place.path}: features of {item.features.shape[1]} numbers, and "
            f"{self.widths.usual} in most files: leave out those of another encoder{too}"
        )


def _narrow(item: Item, place: Place) -> tuple[Item, bool]:
    with np.errstate(over="ignore"):  # what is too large becomes infinite
        features = item.features.astype(np.float16)
    check_finite(features, f"{place.path}")
    memo = {**item.memo, "dtypes": {**item.memo.get("dtypes", {}), "features": "<f2"}}
    rounded = not np.array_equal(features, item.features)
    return Item(**{**vars(item), "features": features, "memo": memo}), rounded
