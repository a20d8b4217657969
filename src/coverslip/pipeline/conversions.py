"""What was converted already, so that the same call goes on where it stopped."""

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from coverslip import store
from coverslip.interop.exchange import Place

JOURNAL = "coverslip_convert.json"
"""In the folder that is written: what was converted from where."""

PATIENCE = 5.0
"""Seconds between two writings of the journal."""


@dataclass
class Journal:
    """What was converted into a folder, by set of features.

    Attributes:
        path: The file.
        name: The set that is written now.
        sets: Of each, how it was asked for, and its slides.
        tables: Tables that conversions wrote there.
    """

    path: Path
    name: str
    sets: dict[str, Any]
    tables: list[str] = field(default_factory=list)
    written: float = 0.0

    @classmethod
    def open(cls, out: Path, name: str, asked: store.Facts) -> "Journal":
        """Read the journal of a folder, or begin one.

        Raises:
            ParametersDifferError: The set was converted otherwise.
        """
        path = out / JOURNAL
        told = store.read_json(path) if path.exists() else {}
        sets = told.get("sets", {})
        if name in sets:
            store.check_same(path, sets[name]["made_with"], asked)
        sets.setdefault(name, {"made_with": asked, "slides": {}})
        return cls(path, name, sets, told.get("tables", []))

    @property
    def slides(self) -> dict[str, Any]:
        """What became of each slide of the set."""
        slides: dict[str, Any] = self.sets[self.name]["slides"]
        return slides

    def has(self, place: Place, l0_mpp: float | None) -> bool:
        """Say whether a slide is done, from the file and with the scale as they are."""
        told = self.slides.get(place.slide_id)
        if told is None or told["source"] != [*_stamp(place.path), l0_mpp]:
            return False
        return all((self.path.parent / one).is_file() for one in told["files"])

    def note(self, place: Place, l0_mpp: float | None, facts: store.Facts) -> None:
        """Say that a slide is done; the file follows within seconds."""
        told = {key: facts[key] for key in ("files", "notes")}
        source = [*_stamp(place.path), l0_mpp]
        self.slides[place.slide_id] = {"source": source, **told}
        if time.monotonic() - self.written > PATIENCE:
            self.write()

    def write(self) -> None:
        """Write the journal."""
        told = {"sets": self.sets, "tables": self.tables}
        store.write_json(self.path, told, dense=True)
        self.written = time.monotonic()

    def notes(self) -> list[str]:
        """Return what is worth knowing of the slides, each once."""
        every = (note for told in self.slides.values() for note in told["notes"])
        return list(dict.fromkeys(every))


def _stamp(path: Path) -> list[float | None]:
    told = path.stat()
    return [told.st_size, told.st_mtime_ns]
