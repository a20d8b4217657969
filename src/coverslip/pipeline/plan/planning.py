"""Preflight: all that would stop or spoil a run, and what it would take, before it begins.

Nothing is written and nothing downloaded. The checks are those of the run itself.
"""

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

from coverslip import store
from coverslip.errors import CoverslipError
from coverslip.learn.labels import Join, Row
from coverslip.pipeline.learn.folds import Part
from coverslip.pipeline.learn.learn_options import LearnOptions
from coverslip.pipeline.learn.seeds import seeded
from coverslip.pipeline.learn.train_plan import TrainPlan
from coverslip.pipeline.plan.checking import (
    check_labels,
    check_leakage,
    check_split,
    subsets_of,
)
from coverslip.pipeline.plan.estimating import Estimate, estimate, standing
from coverslip.pipeline.plan.findings import SEVERITIES, Finding, Findings
from coverslip.pipeline.plan.leftovers import leftovers
from coverslip.pipeline.plan.surveying import SAMPLE, Survey, survey
from coverslip.pipeline.prepare.preparation import Preparation

BUSY = 1.25
"""Load of a core above which other work must be slowing this machine down."""

FULL = 0.8
"""Share of the free disk above which a run is warned of."""


@dataclass(frozen=True)
class Plan:
    """What was found out about a run.

    Attributes:
        findings: What is wrong, the worst first.
        survey: The slides.
        joined: How labels and slides meet; None where they do not.
        rows: Labels of the slides that can be used.
        parts: The splits.
        estimate: What it would take.
    """

    findings: tuple[Finding, ...]
    survey: Survey
    joined: Join | None
    rows: tuple[Row, ...]
    parts: tuple[Part, ...]
    estimate: Estimate

    @property
    def ready(self) -> bool:
        """Whether nothing has to be mended."""
        return all(finding.severity != "error" for finding in self.findings)

    def count(self, severity: str) -> int:
        """Return how many findings are of one severity."""
        return sum(finding.severity == severity for finding in self.findings)

    def facts(self) -> dict[str, Any]:
        """Return all of it, JSON-ready."""
        joined, seconds = self.joined, self.estimate.seconds
        left = None if joined is None else leftovers(joined)
        cases = len({row.case_id for row in self.rows})
        return {
            "ready": self.ready,
            "counts": {severity: self.count(severity) for severity in SEVERITIES},
            "findings": [asdict(finding) for finding in self.findings],
            "slides": {
                "found": len(self.survey.paths),
                "usable": len(self.survey.looks),
                "labelled": len(self.rows),
                "cases": cases,
                "sampled": len(self.survey.sample),
                "done": len(self.survey.kept),
            },
            "labels": {
                "classes": [] if joined is None else list(joined.labels.classes),
                "near": [] if left is None else [asdict(pair) for pair in left.pairs],
                "shared": {} if left is None else dict(left.shared),
                "slides_without_label": [] if left is None else list(left.slides),
                "labels_without_slide": [] if left is None else list(left.labels),
            },
            "split": [
                {"name": part.name.strip(), **subsets_of(self.rows, part.split)}
                for part in self.parts
            ],
            "estimate": {
                **asdict(self.estimate),
                "seconds": None if seconds is None else asdict(seconds),
            },
        }


def plan(
    slides: Sequence[Path],
    labels: Path | None,
    preparation: Preparation,
    options: LearnOptions | None = None,
    train_plan: TrainPlan | None = None,
    *,
    sample: int = SAMPLE,
    seed: int = 0,
) -> Plan:
    """Look before a `run` with the same arguments: is all well, what will it take.

    Args:
        slides: Slides, or folders of slides.
        labels: CSV `slide_id,label`; None takes labels from names.
        preparation: How slides would be prepared, and the study for it all.
        options: Which model, and how.
        train_plan: On which split.
        sample: Slides on which tissue is found, at most.
        seed: Draws them.
    """
    options, train_plan = options or LearnOptions(), train_plan or TrainPlan()
    found = Findings()
    _tell_load(found)
    seen = survey(slides, preparation, found, sample, seed)
    ids = [store.slide_id_of(path) for path in seen.paths]
    joined = check_labels(labels, ids, found, seen.looks)
    matched = joined.matched.items() if joined is not None else ()
    rows = [row for key, row in matched if key in seen.looks]
    folder = preparation.study.run(train_plan.name or options.model)
    parts: list[Part] = []
    if rows:
        parts = check_split(rows, train_plan, folder, found)
        marks = {look.slide_id: look.mark for look in seen.looks.values()}
        check_leakage(rows, parts, marks, found)
    if joined is not None:
        _check_run(parts, options, joined, found)
    took = estimate(seen, parts, preparation, (options, train_plan.seeds), found)
    _check_disk(preparation.out, took, found)
    return Plan(found.ordered(), seen, joined, tuple(rows), tuple(parts), took)


def _check_run(
    parts: Sequence[Part], options: LearnOptions, joined: Join, found: Findings
) -> None:
    """Tell of runs that the study holds and that were begun otherwise."""
    for part in parts:
        config = part.folder / "config.json"
        asked = {
            "options": seeded(options, part.repeat).facts(),
            "classes": list(joined.labels.classes),
            "split": dict(sorted(part.split.items())),
        }
        try:
            known = store.read_json(config) if config.exists() else {}
            if "made_with" in known:
                store.check_same(config, known["made_with"], asked)
        except CoverslipError as error:
            found.add("error", "study", str(error))


def _tell_load(found: Findings) -> None:
    """Tell of a machine that does other work: what is measured now is slower for it."""
    load, cores = psutil.getloadavg()[0], os.cpu_count() or 1
    if load > BUSY * cores:
        found.add(
            "note",
            "time",
            f"this machine is busy (load {load:.1f} on {cores} cores): times are "
            "those of a run beside that work; idle, it would be quicker",
        )


def _check_disk(study: Path, took: Estimate, found: Findings) -> None:
    """Tell of a study that cannot be written, or will not fit."""
    folder = standing(study)
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        text = f"{folder}: cannot be written: choose another --study"
        found.add("error", "disk", text)
    if took.bytes is None or took.free is None:
        return
    coming = took.bytes.likely - took.there
    if coming > FULL * took.free:
        text = (
            f"{folder}: {took.free / 1e9:.1f} GB are free, and the run will write about "
            f"{coming / 1e9:.1f}: make room, or choose another --study"
        )
        found.add("error" if coming > took.free else "warning", "disk", text)
