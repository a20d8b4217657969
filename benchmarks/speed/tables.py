"""Tables of speed, as Markdown between marks in `docs/speed.md`.

    python -m benchmarks.speed.tables

Every figure in them comes from `benchmarks/results/speed_*.json`; a test compares the
page with the files.
"""

from benchmarks.accuracy.record import PROJECT, RESULTS
from benchmarks.accuracy.tables import marks, renew
from benchmarks.speed.measure import AT_MOST, verdict

from coverslip import store

MAKER = "benchmarks.speed.tables"
PAGE = PROJECT / "docs" / "speed.md"

COLUMNS = {
    "what": "task",
    "who": "who",
    "per_cpu_second": "per CPU second",
    "seconds": "CPU seconds",
    "peak_mb": "peak MB",
    "auc": "AUC",
    "sd_of_seeds": "sd of seeds",
    "difference": "difference",
    "half_interval": "± (95 %)",
    "times_rival": "times the rival, CPU",
    "wall_times_rival": "times the rival, wall",
    "of_limit": "of the limit",
    "share_of_start": "share of its start",
    "encoder_idle": "encoder idle",
    "readers_idle": "readers idle",
    "exponent": "exponent",
    "error": "error",
    "cosine": "least cosine",
}
"""Figures that a row may have, in order, and how the page calls them."""


def table(facts: store.Facts) -> str:
    """Return the rows of a stage, with what is asked of them and whether it is met."""
    rows = facts["rows"]
    columns = [c for c in COLUMNS if any(row.get(c) is not None for row in rows)]
    asked = any(row.get("bar") for row in rows)
    head = [COLUMNS[c] for c in columns] + ["asked"] * asked
    lines = [_line(head), "|---" * len(head) + "|"]
    task = None
    for row in rows:
        cells = [_cell(row.get(c)) for c in columns]
        if row["what"] == task:
            cells[0] = ""
        task = row["what"]
        lines.append(_line(cells + [_bar(row)] * asked))
    return "\n".join([*lines, "", *_measured(facts)])


def _measured(facts: store.Facts) -> list[str]:
    """Return the line that says where and when a table was measured."""
    if "machine" not in facts:
        return []
    return [f"Measured in {facts['seconds']} s on: {facts['machine']}."]


def stages() -> dict[str, store.Facts]:
    """Return every stage that was measured, by name."""
    found = sorted(RESULTS.glob("speed_*.json"))
    return {path.stem: dict(store.read_json(path)) for path in found}


def write() -> None:
    """Renew every table that the page has marks for; another machine's may have none."""
    page = PAGE.read_text(encoding="utf-8")
    for name, facts in stages().items():
        if marks(name, MAKER)[0] in page:
            page = renew(page, name, table(facts), MAKER)
    store.write_text(PAGE, page)


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(value: object) -> str:
    if isinstance(value, float | int):
        return f"{value:,}" if abs(value) >= 1000 else f"{value:g}"
    return "" if value is None else str(value)


def _bar(row: store.Facts) -> str:
    asked = [
        f"{COLUMNS[figure]} {'<' if figure in AT_MOST else '≥'} {value:g}"
        for figure, value in (row.get("bar") or {}).items()
    ]
    if not asked:
        return ""
    return f"{', '.join(asked)}: {verdict(row)}"


if __name__ == "__main__":
    write()
