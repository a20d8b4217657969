"""Report: a run of a study as one HTML file that can be mailed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from coverslip import store
from coverslip.errors import OptionError
from coverslip.pipeline.learn.provenance import read_provenance
from coverslip.pipeline.learn.run_parts import (
    left_out_of,
    model_card,
    parts_of,
    splits_of,
    trainings_of,
)
from coverslip.pipeline.predict.scoring import RunScores
from coverslip.pipeline.report.figures import judged_plots
from coverslip.pipeline.report.given import GivenModel, open_scores
from coverslip.pipeline.report.report_options import ReportOptions
from coverslip.pipeline.report.runs import comparison_plot, training_plot
from coverslip.pipeline.report.seen import Seen, headlines, seen_in
from coverslip.pipeline.report.slides import choose, evidence, with_pictures
from coverslip.pipeline.report.tables import (
    cohort_tables,
    provenance_tables,
    slide_rows,
)
from coverslip.show.report.facts import ReportFacts, SlideEvidence
from coverslip.show.report.page import page

REPORT = "report.html"
"""In the run's folder, when no other place is named."""
FIGURES = "figures"
"""In the run's folder: what the report draws, as SVG and PNG."""


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
        figures: The folder of the figures as SVG and PNG; None where none are drawn.
    """

    path: Path
    run: str
    size: int
    slides: int
    pictured: int
    without: Mapping[str, str]
    figures: Path | None

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
        reasons: dict[str, list[str]] = {}
        for slide, why in self.without.items():
            reasons.setdefault(why, []).append(slide)
        told = [
            f"no pictures of {_several(own)}: {why}" for why, own in reasons.items()
        ]
        if self.figures is not None:
            told.append(f"figures: {self.figures} (SVG, PNG)")
        pictured = f"pictures of {self.pictured} of {self.slides} slides"
        told.append(f"report: {self.path} ({self.size / 1e6:.1f} MB, {pictured})")
        return told


def _several(slides: Sequence[str]) -> str:
    if len(slides) == 1:
        return slides[0]
    return f"{len(slides)} slides (first: {slides[0]})"


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
        run: The run's name; the latest when not given. Or the folder of a run of
            another study, whose model then tells of these slides.
        out: The file; `report.html` in the run's folder when not given (in the study
            for a run of another).
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
    scores = open_scores(study, run, device)
    card = model_card(scores.folder)
    rows, slides = _told_of(scores), slide_rows(study)
    listed = evidence(rows, card["classes"], slides)
    chosen = choose(listed, None if options.all else options.slides)
    told = with_pictures(scores, listed, chosen, shown=options.patches, quiet=quiet)
    made = read_provenance(scores.folder)
    home = study if isinstance(scores, GivenModel) else scores.folder
    facts = ReportFacts(
        study="/".join(study.resolve().parts[-2:]).lstrip("/"),
        run=scores.name,
        model=_model_line(card, scores.folder),
        score=_score(card["classes"]),
        slides=tuple(told),
        slides_note=_slides_note(told),
        provenance=provenance_tables(card, parts_of(scores.folder), made),
        commands=_commands(made, command),
    )
    if isinstance(scores, GivenModel):
        facts = _unlabelled(facts, slides, card)
    else:
        facts = _judged(facts, scores, slides, card)
    path = out or home / REPORT
    store.write_text(path, page(facts))
    return ReportResult(
        path,
        scores.name,
        path.stat().st_size,
        len(told),
        sum(one.pictures is not None for one in told),
        {s.slide_id: s.missing for s in told if s.shown and not s.pictures},
        None if isinstance(scores, GivenModel) else scores.folder / FIGURES,
    )


def _judged(
    facts: ReportFacts,
    scores: RunScores,
    slides: Mapping[str, Mapping[str, str]],
    card: Mapping[str, Any],
) -> ReportFacts:
    """Add what there is to say of a run of this study."""
    folder, figures = scores.folder, scores.folder / FIGURES
    seen = seen_in(folder / "predictions.csv", card["classes"])
    left_out: dict[str, str] = {}
    for part in parts_of(folder).values():
        left_out |= left_out_of(part)
    return replace(
        facts,
        headlines=headlines(seen) if seen else (),
        notes=_notes(seen, facts.slides, card),
        cohort=cohort_tables(slides, splits_of(folder), left_out),
        judged=(
            *(judged_plots(seen, figures) if seen else ()),
            training_plot(trainings_of(folder), figures),
        ),
        comparison=(comparison_plot(scores.study, scores.name, seen, figures),),
    )


def _unlabelled(
    facts: ReportFacts,
    slides: Mapping[str, Mapping[str, str]],
    card: Mapping[str, Any],
) -> ReportFacts:
    """Add what there is to say of slides that a model of elsewhere was shown."""
    note = (
        "Nobody has said here what these slides are: the model's word on them is shown, "
        "and nothing is judged. How good it is stands in the report of its own study."
    )
    return replace(
        facts,
        notes=(note, *_referral_notes(card)),
        cohort=cohort_tables(slides, {}, {}),
        slides_caption="Slides of the study.",
    )


def _told_of(scores: RunScores) -> list[Mapping[str, str]]:
    """Return the rows of the slides kept apart, in the order of ids; or of all."""
    rows = list(scores.rows.values())
    if not isinstance(scores, GivenModel):
        rows = [row for row in rows if row.get("split") == "test"]
    return sorted(rows, key=lambda row: row["slide_id"])


def _model_line(card: Mapping[str, Any], folder: Path) -> str:
    encoder = (card.get("features") or {}).get("encoder") or {}
    parts = [f"Model {card['model']}"]
    if (members := card.get("members", 1)) > 1:
        parts.append(f"mean of {members} seeds")
    if len(own := parts_of(folder)) > 1:
        parts.append(f"cross-validated in {len(own)} parts")
    parts.append(f"on features of {encoder.get('name', 'an unnamed encoder')}")
    return ", ".join(parts) + f"; classes {', '.join(card['classes'])}"


def _score(classes: Sequence[str]) -> str:
    if len(classes) == 2:
        return f"the probability of {classes[1]}"
    return "the probability of the class decided for"


def _notes(
    seen: Seen | None, slides: Sequence[SlideEvidence], card: Mapping[str, Any]
) -> tuple[str, ...]:
    """Say what should be known before figures are believed."""
    notes = []
    if not slides:
        notes.append("No slide was kept apart for test: nothing is judged.")
    elif seen is None:
        notes.append("No slide kept apart has a label and a patch: nothing is judged.")
    if bare := [one.slide_id for one in slides if not one.probability]:
        notes.append(
            f"Slides kept apart without tissue, counted in no figure: {len(bare)} "
            f"(first: {bare[0]})."
        )
    return (*notes, *_referral_notes(card))


def _referral_notes(card: Mapping[str, Any]) -> tuple[str, ...]:
    referral = card.get("referral") or {}
    if None not in (referral.get("limits") or []):
        return ()
    few = 'Every slide is flagged "refer": validation has too few slides of a class'
    return (f"{few} to promise a coverage of {100 * (1 - referral['alpha']):g} %.",)


def _slides_note(told: Sequence[SlideEvidence]) -> str:
    """Say which slides have pictures, counting those that really have some."""
    shown = sum(one.shown for one in told)
    pictured = sum(one.pictures is not None for one in told)
    if pictured == len(told):
        return ""
    notes = [f"Pictures of {pictured} of {len(told)} slides."]
    if without := shown - pictured:
        notes.append(f"{without} chosen without pictures: why stands with each.")
    if 0 < shown < len(told):
        notes.append("Those decided wrongly come first, then those to be referred.")
    if shown < len(told):
        notes.append("Ask for more with --slides N or --all.")
    return " ".join(notes)


def _commands(made: Mapping[str, Any], command: str) -> tuple[tuple[str, str], ...]:
    known = made.get("commands") or []
    told = [("Command of the run", one) for one in known]
    if not told:
        told = [("Command of the run", "not recorded")]
    return (*told, *([("Command of this report", command)] if command else []))
