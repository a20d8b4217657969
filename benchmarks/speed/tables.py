"""Tables of speed, as Markdown between marks in `docs/speed.md`.

    python -m benchmarks.speed.tables

Every figure in them comes from `benchmarks/results/speed_*.json`, and of a GPU from
`gpu.json` there; a test compares the page with the files.
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
    "limit_tflops": "matrix product, TFLOP/s",
    "per_second": "per second",
    "per_second_without_start": "per second without start",
    "per_cpu_second": "per CPU second",
    "seconds": "CPU seconds",
    "first_epoch_seconds": "first epoch, s",
    "wall_seconds": "seconds by the clock",
    "start_seconds": "of these its start",
    "minutes": "minutes in all",
    "peak_mb": "peak MB",
    "auc": "AUC",
    "sd_of_seeds": "sd of seeds",
    "difference": "difference",
    "standard_error": "standard error",
    "half_interval": "± (95 %)",
    "within_noise": "within noise",
    "times_rival": "times the rival, CPU",
    "wall_times_rival": "times the rival, wall",
    "of_limit": "of the limit",
    "share_of_start": "share of its start",
    "encoder_idle": "encoder idle",
    "readers_idle": "readers idle",
    "exponent": "exponent",
    "error": "error",
    "cosine": "least cosine",
    "limited_by": "limited by",
    "bags": "bags lie",
    "failed": "failed",
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
    on = facts["machine"]
    if "gpu" in facts:
        gpu = ", ".join(f"{name} {told}" for name, told in facts["gpu"].items() if told)
        on = f"{gpu}, torch {facts['versions']['torch']}; {on}"
    return [f"Measured in {facts['seconds']} s on: {on}."]


def of_gpu(facts: store.Facts | None) -> str:
    """Return the tables of a GPU, one a stage; or how to measure one."""
    if facts is None:
        return (
            "No GPU has been measured yet: `python -m benchmarks.gpu` does it where "
            "there is one, and puts its tables here."
        )
    parts: dict[str, list[store.Facts]] = {}
    for row in facts["rows"]:
        parts.setdefault(row["stage"], []).append(row)
    shown = [table({"rows": rows}).rstrip() for rows in parts.values()]
    return "\n\n".join([*shown, *_measured(facts)])


def gpu() -> store.Facts | None:
    """Return what was measured of a GPU, if anything was."""
    path = RESULTS / "gpu.json"
    return dict(store.read_json(path)) if path.exists() else None


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
    page = renew(page, "gpu", of_gpu(gpu()), MAKER)
    store.write_text(PAGE, page)


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
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
