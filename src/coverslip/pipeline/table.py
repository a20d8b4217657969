"""The table of slides: what is known of each, and what became of it."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from coverslip import store

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
)
FAILED = "failed"
NO_TISSUE = "no tissue"
PATIENCE = 2.0
"""Seconds between two writings of the table while a batch runs."""


@dataclass
class SlideTable:
    """`slides.csv`: one row a slide. The files themselves say what is complete."""

    path: Path
    rows: dict[str, dict[str, object]] = field(default_factory=dict)
    _written: float = 0.0

    @classmethod
    def open(cls, path: Path) -> "SlideTable":
        """Read the table, or begin one."""
        rows: dict[str, dict[str, object]] = {}
        if path.exists():
            rows = {
                row["slide_id"]: {**row} for row in store.read_csv(path, COLUMNS[:1])
            }
        return cls(path, rows)

    def note(self, slide_id: str, facts: Mapping[str, object]) -> None:
        """Add facts to a slide's row; the file follows within seconds."""
        row = self.rows.setdefault(slide_id, {"slide_id": slide_id})
        row.update(facts)
        if time.monotonic() - self._written > PATIENCE:
            self.write()

    def write(self) -> None:
        """Write the table, sorted by slide."""
        store.write_csv(
            self.path, COLUMNS, (self.rows[key] for key in sorted(self.rows))
        )
        self._written = time.monotonic()

    def failed(self, slide_ids: list[str]) -> dict[str, str]:
        """Return the error of each of these slides that failed."""
        return {
            slide_id: str(self.rows[slide_id].get("error", ""))
            for slide_id in slide_ids
            if self.rows[slide_id].get("status") == FAILED
        }
