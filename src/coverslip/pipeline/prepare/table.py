"""The table of slides: what is known of each, and what became of it."""

import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tqdm import tqdm

from coverslip import store
from coverslip.pipeline.engine import Outcome
from coverslip.tables import read_csv, write_csv

COLUMNS = (
    "slide_id",
    "path",
    "width",
    "height",
    "mpp",
    "status",
    "error",
    "tissue_mm2",
    "patches",
    "mpp_asked",
    "mpp_read",
    "mpp_achieved",
    "resample",
    "seconds_tissue",
    "seconds_patches",
    "seconds_features",
    "encoder_idle",
    "readers_idle",
)
FAILED = "failed"
NO_TISSUE = "no tissue"
NO_PATCH = "no patch"
"""There is tissue, but no patch with enough of it: a smaller --size or --threshold."""
STAGES = ("tissue", "patches", "features")
"""What a slide's status says: the last stage that was done, in this order."""
_WAITED = ("seconds_features", "encoder_idle", "readers_idle")
PATIENCE = 2.0
"""Seconds between two writings of the table while a batch runs."""


@dataclass
class SlideTable:
    """`slides.csv`: one row a slide. The files themselves say what is complete.

    Attributes:
        path: The file.
        rows: By slide id.
        asked: Slides that were worked on since the table was opened.
        embedded: Those of them whose features were made.
    """

    path: Path
    rows: dict[str, dict[str, object]] = field(default_factory=dict)
    asked: set[str] = field(default_factory=set)
    embedded: set[str] = field(default_factory=set)
    _written: float = 0.0

    @classmethod
    def open(cls, path: Path) -> "SlideTable":
        """Read the table, or begin one."""
        rows: dict[str, dict[str, object]] = {}
        if path.exists():
            rows = {row["slide_id"]: {**row} for row in read_csv(path, COLUMNS[:1])}
        return cls(path, rows)

    def note(self, slide_id: str, facts: Mapping[str, object]) -> None:
        """Add facts to a slide's row; the file follows within seconds.

        A stage that was found done does not take the status back to it.
        """
        row = self.rows.setdefault(slide_id, {"slide_id": slide_id})
        before = str(row.get("status"))
        row.update({"error": "", **facts})
        if {before, now := str(row.get("status"))} <= set(STAGES):
            row["status"] = max(before, now, key=STAGES.index)
        self.asked.add(slide_id)
        if "encoder_idle" in facts:
            self.embedded.add(slide_id)
        if time.monotonic() - self._written > PATIENCE:
            self.write()

    def note_failure(
        self, slide_id: str, path: Path, error: str, trace: str | None = None
    ) -> None:
        """Say in the table, and to the person who waits, why a slide failed.

        The trace of an error that nobody foresaw goes into a file of its own.
        """
        if trace is not None:
            told = self.path.with_name(f"error_{slide_id}.txt")
            store.write_text(told, trace)
            error = f"{error} with {told}"
        where = str(path.absolute())
        self.note(slide_id, {"path": where, "status": FAILED, "error": error})
        tell_failure(error)

    def note_outcome(self, outcome: Outcome[Path, store.Facts]) -> bool:
        """Write down what became of a slide; say whether it went well."""
        path, slide_id = outcome.item, store.slide_id_of(outcome.item)
        if outcome.error is not None:
            self.note_failure(slide_id, path, outcome.error, outcome.trace)
            return False
        self.note(slide_id, outcome.result or {})
        return True

    def write(self) -> None:
        """Write the table, sorted by slide."""
        write_csv(self.path, COLUMNS, (self.rows[key] for key in sorted(self.rows)))
        self._written = time.monotonic()

    def with_status(self, status: str) -> list[str]:
        """Return which of the slides that were worked on have this status."""
        return sorted(k for k in self.asked if self.rows[k].get("status") == status)

    def idle(self) -> tuple[float, float] | None:
        """Return the shares of the time of features in which encoder and readers waited.

        Over the slides that were worked on; None where no features were made.
        """
        rows = [self.rows[key] for key in self.embedded]
        timed = [
            tuple(float(str(row[name])) for name in _WAITED)
            for row in rows
            if all(row.get(name) not in {None, ""} for name in _WAITED)
        ]
        seconds = sum(row[0] for row in timed)
        if not seconds:
            return None
        return (
            sum(row[0] * row[1] for row in timed) / seconds,
            sum(row[0] * row[2] for row in timed) / seconds,
        )


def tell_failure(error: str) -> None:
    """Print why a slide failed, above the progress bars."""
    tqdm.write(f"failed: {error}", file=sys.stderr)
