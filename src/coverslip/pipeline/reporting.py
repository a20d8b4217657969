"""Report: a run of a study as one HTML file that can be mailed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field

from coverslip import store
from coverslip.errors import OptionError
from coverslip.options import Options
from coverslip.pipeline.folds import fold_folder
from coverslip.pipeline.provenance import read_provenance
from coverslip.pipeline.reporting_figures import judged_plots
from coverslip.pipeline.reporting_runs import comparison_plot, training_plot
from coverslip.pipeline.reporting_seen import Seen, headlines, seen_in
from coverslip.pipeline.reporting_slides import choose, evidence, with_pictures
from coverslip.pipeline.reporting_tables import (
    cohort_tables,
    model_card,
    provenance_tables,
    slide_rows,
)
from coverslip.pipeline.scoring import RunScores, open_run
from coverslip.show.report.facts import ReportFacts, SlideEvidence
from coverslip.show.report.page import page
from coverslip.tables import read_csv

REPORT = "report.html"
"""In the run's folder, when no other place is named."""


class ReportOptions(Options):
    """How much a report holds."""

    slides: int = Field(
        24, ge=0, description="test slides with pictures, the wrong ones first"
    )
    all: bool = Field(False, description="pictures of every test slide")
    patches: int = Field(
        6, ge=1, le=24, description="top patches, and bottom ones, of a slide"
    )


@dataclass(frozen=True)
class ReportResult:
    """What `report` made.

    Attributes:
        path: The file.
        run: The run's name.
        size: Of the file in bytes.
        slides: Slides listed.
        pictured: Those of them with pictures.
        without: Slides that should have pictures and have none, and why.
        figures: The folder of the figures as SVG and PNG.
    """

    path: Path
    run: str
    size: int
    slides: int
    pictured: int
    without: Mapping[str, str]
    figures: Path

    def facts(self) -> dict[str, Any]:
        """Return all of it JSON-ready but for paths."""
        return {
            "report": self.path,
            "run": self.run,
            "bytes": self.size,
            "slides": self.slides,
            "pictured": self.pictured,
            "without": dict(self.without),
            "figures": self.figures,
        }

    def lines(self) -> list[str]:
        """Say it in a few lines."""
        pictured = f"pictures of {self.pictured} of {self.slides} slides"
        told = [f"no pictures of {slide}: {why}" for slide, why in self.without.items()]
        return [
            *told,
            f"figures: {self.figures} (SVG, PNG)",
            f"report: {self.path} ({self.size / 1e6:.1f} MB, {pictured})",
        ]


def report(
    study: Path,
    run: str | None = None,
    out: Path | None = None,
    options: ReportOptions | None = None,
    *,
    device: str = "auto",
    command: str = "",
    quiet: bool = False,
) -> ReportResult:
    """Write a run of a study as one HTML file that loads nothing.

    Args:
        study: The study folder.
        run: The run's name; the latest when not given.
        out: The file; `report.html` in the run's folder when not given.
        options: How much it holds.
        device: Where slides are scored.
        command: The command line that asks for it, to be told in it.
        quiet: Show no progress.

    Raises:
        DataError: The study has no such run that came to its end.
        OutputError: The file cannot be written.
    """
    options = options or ReportOptions()
    if out is not None and out.is_dir():
        raise OptionError(f"{out}: a folder: name the file, such as {out / REPORT}")
    scores = open_run(study, run, device)
    place, card = model_card(scores.folder)
    figures = scores.folder / "figures"
    rows = _tested(scores)
    slides = slide_rows(study)
    listed = evidence(rows, card["classes"], slides)
    chosen = choose(listed, None if options.all else options.slides)
    told = with_pictures(scores, listed, chosen, shown=options.patches, quiet=quiet)
    seen = seen_in(scores.folder / "predictions.csv", card["classes"])
    made = read_provenance(scores.folder)
    facts = ReportFacts(
        study="/".join(study.resolve().parts[-2:]).lstrip("/"),
        run=scores.name,
        model=_model_line(card, scores.folder),
        score=_score(card["classes"]),
        headlines=headlines(seen) if seen else (),
        notes=_notes(seen, rows, card),
        cohort=cohort_tables(slides, _splits(scores.folder), _left_out(place)),
        judged=(
            *(judged_plots(seen, figures) if seen else ()),
            training_plot(_trainings(scores.folder), figures),
        ),
        comparison=(comparison_plot(study, scores.name, seen, figures),),
        slides=tuple(told),
        slides_note=_slides_note(told),
        provenance=provenance_tables(card, place, made),
        commands=_commands(made, command),
    )
    path = out or scores.folder / REPORT
    store.write_text(path, page(facts, card["classes"][-1]))
    without = {s.slide_id: s.missing for s in told if s.shown and not s.pictures}
    return ReportResult(
        path,
        scores.name,
        path.stat().st_size,
        len(told),
        sum(one.pictures is not None for one in told),
        without,
        figures,
    )


def _tested(scores: RunScores) -> list[Mapping[str, str]]:
    """Return the rows of the slides kept apart, one a slide, in the order of ids."""
    rows = [row for row in scores.rows.values() if row.get("split") == "test"]
    return sorted(rows, key=lambda row: row["slide_id"])


def _parts(folder: Path) -> dict[str, Path]:
    """Return the folders of a run's folds by name, or its own."""
    found = {}
    for repeat in range(len(list(folder.glob("repeat_*"))) + 1):
        for fold in range(
            len(list(fold_folder(folder, repeat, 0).parent.glob("fold_*")))
        ):
            name = f"repeat {repeat}, fold {fold}" if repeat else f"fold {fold}"
            found[name] = fold_folder(folder, repeat, fold)
    return found or {"": folder}


def _splits(folder: Path) -> dict[str, list[dict[str, str]]]:
    return {
        name: read_csv(place / "splits.csv", ("slide_id", "label", "split"))
        for name, place in _parts(folder).items()
        if (place / "splits.csv").is_file()
    }


def _trainings(folder: Path) -> dict[str, Path]:
    """Return the folders of a run's trainings by name: of its folds and seeds."""
    found = {}
    for name, place in _parts(folder).items():
        seeds = sorted(place.glob("seed_*"), key=lambda p: int(p.name.split("_")[1]))
        for seed in seeds:
            found[f"{name}, {seed.name}".strip(", ").replace("_", " ")] = seed
        if not seeds:
            found[name or "training"] = place
    return found


def _left_out(place: Path) -> dict[str, str]:
    metrics = place / "metrics.json"
    facts = store.read_json(metrics) if metrics.is_file() else {}
    return dict(facts.get("left_out") or {}) if isinstance(facts, dict) else {}


def _model_line(card: Mapping[str, Any], folder: Path) -> str:
    encoder = (card.get("features") or {}).get("encoder") or {}
    parts = [f"Model {card['model']}"]
    if (members := card.get("members", 1)) > 1:
        parts.append(f"mean of {members} seeds")
    if len(own := _parts(folder)) > 1:
        parts.append(f"cross-validated in {len(own)} parts")
    parts.append(f"on features of {encoder.get('name', 'an unnamed encoder')}")
    return ", ".join(parts) + f"; classes {', '.join(card['classes'])}"


def _score(classes: Sequence[str]) -> str:
    if len(classes) == 2:
        return f"the probability of {classes[1]}"
    return "the probability of the class decided for"


def _notes(
    seen: Seen | None, rows: Sequence[Mapping[str, str]], card: Mapping[str, Any]
) -> tuple[str, ...]:
    """Say what should be known before figures are believed."""
    notes = []
    if not rows:
        notes.append("No slide was kept apart for test: nothing here is judged.")
    elif seen is None:
        notes.append("No slide kept apart has a label and a patch: nothing is judged.")
    bare = [row["slide_id"] for row in rows if row.get("status") == "no tissue"]
    if bare:
        notes.append(
            f"{len(bare)} slides kept apart have no tissue and are counted in no figure "
            f"(first: {bare[0]})."
        )
    referral = card.get("referral") or {}
    if None in (referral.get("limits") or []):
        notes.append(
            'Every slide is flagged "refer": validation has too few slides of a class '
            f"to promise a coverage of {100 * (1 - referral['alpha']):g} %."
        )
    return tuple(notes)


def _slides_note(told: Sequence[SlideEvidence]) -> str:
    shown = sum(one.shown for one in told)
    if shown == len(told):
        return ""
    return (
        f"Pictures of {shown} of {len(told)} slides, those decided wrongly first, then "
        "those to be referred: ask for more with --slides N or --all."
    )


def _commands(made: Mapping[str, Any], command: str) -> tuple[tuple[str, str], ...]:
    known = made.get("commands") or []
    told = [("Command of the run", one) for one in known]
    if not told:
        told = [("Command of the run", "not recorded")]
    return (*told, *([("Command of this report", command)] if command else []))
