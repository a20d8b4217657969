"""Tables of the results, as Markdown between marks in the README and the docs.

    python -m benchmarks.accuracy.tables

Every figure in them comes from `benchmarks/results/*.json`; a test compares the pages
with the files.
"""

from collections.abc import Callable
from pathlib import Path

from benchmarks.accuracy import unit_tests
from benchmarks.accuracy.record import PROJECT, RESULTS
from benchmarks.accuracy.tissue_trials import RATES

from coverslip import store
from coverslip.show.judging_figures import draw_comparison


def real_tissue(facts: store.Facts) -> str:
    """Return benchmark 1: a row a model, the best first."""
    ranked = sorted(facts["rows"], key=lambda row: -row["auc"]["value"])
    lines = _head(
        "model",
        "slide AUC",
        "dmia is better by",
        "of the seeds' mean",
        "instance AUC",
        "dmia is better by",
        f"tumour found at {RATES[0]:g}, {RATES[2]:g}, {RATES[4]:g} FP",
    )
    for row in ranked:
        found = ", ".join(f"{row['found'][i]:.2f}" for i in (0, 2, 4))
        lines.append(
            _row(
                f"`{row['name']}`",
                _interval(row["auc"]),
                _gain(row.get("gain_auc")),
                f"{row['auc_of_mean']:.3f}",
                _interval(row["instance_auc"]),
                _gain(row.get("gain_instance_auc")),
                found,
            )
        )
    return "\n".join(lines)


def classic_sets(facts: store.Facts) -> str:
    """Return the classic sets: accuracy of each model, mean and deviation over folds."""
    sets = list(dict.fromkeys(result["set"] for result in facts["results"]))
    cells = {(result["model"], result["set"]): result for result in facts["results"]}
    models = list(dict.fromkeys(result["model"] for result in facts["results"]))

    def mean(model: str) -> float:
        return sum(cells[model, name]["accuracy"]["mean"] for name in sets) / len(sets)

    lines = _head("model", *sets, "mean")
    for model in sorted(models, key=lambda name: -mean(name)):
        each = [cells[model, name] for name in sets]
        lines.append(
            _row(
                f"`{model}`",
                *(_spread(c["accuracy"]) for c in each),
                f"{mean(model):.3f}",
            )
        )
    return "\n".join(lines)


def ablations(facts: store.Facts) -> str:
    """Return the ablations, the defaults first."""
    lines = _head(
        "change",
        "slide AUC",
        "instance AUC of attention",
        "of patch probability",
        "entropy",
        "top-10 mass",
    )
    for row in facts["rows"]:
        lines.append(
            _row(
                row["name"],
                f"{row['auc']:.3f}",
                f"{row['instance_auc']['attention']:.3f}",
                f"{row['instance_auc']['probability']:.3f}",
                f"{row['entropy']:.2f}",
                f"{row['top10']:.2f}",
            )
        )
    return "\n".join(lines)


PAGES: dict[str, tuple[str, Callable[[store.Facts], str]]] = {
    "real_tissue": ("README.md", real_tissue),
    "classic_sets": ("docs/benchmarks.md", classic_sets),
    "ablations": ("docs/benchmarks.md", ablations),
    "unit_tests": ("docs/mil-unit-tests.md", unit_tests.table),
}
"""By name of the result: the page, and the table."""


def marks(name: str, maker: str = "benchmarks.accuracy.tables") -> tuple[str, str]:
    """Return the comments between which a table stands."""
    return f"<!-- {name}: made by {maker} -->", f"<!-- end {name} -->"


def renew(
    page: str, name: str, table: str, maker: str = "benchmarks.accuracy.tables"
) -> str:
    """Return a page with the table between its marks."""
    begin, end = marks(name, maker)
    before, rest = page.split(begin)
    return f"{before}{begin}\n\n{table}\n\n{end}{rest.split(end)[1]}"


def figure_rows(facts: store.Facts, figure: str) -> list[dict[str, str | float]]:
    """Return benchmark 1 as `draw_comparison` wants it, the best first.

    Args:
        facts: The result.
        figure: "auc" or "instance_auc".
    """
    rows: list[dict[str, str | float]] = []
    for row in sorted(facts["rows"], key=lambda row: -row[figure]["value"]):
        own, gain = row[figure], row.get(f"gain_{figure}")
        shown: dict[str, str | float] = {
            "model": row["name"],
            "auc": own["value"],
            "auc_low": own["low"],
            "auc_high": own["high"],
        }
        if gain is not None:
            shown |= {
                "difference": -gain["value"],
                "difference_low": -gain["high"],
                "difference_high": -gain["low"],
                "p": gain["p"],
                "p_holm": gain["p_holm"],
            }
        rows.append(shown)
    return rows


def draw(facts: store.Facts) -> None:
    """Draw benchmark 1 into the docs."""
    what = {"auc": "slide AUC", "instance_auc": "instance AUC within positive bags"}
    for figure, name in what.items():
        draw_comparison(
            PROJECT / "docs" / "images" / f"benchmark_{figure}.png",
            figure_rows(facts, figure),
            "dmia",
            f"Tumour in real tissue: {name}, mean of {len(facts['protocol']['seeds'])} "
            "seeds",
        )


def write(results: Path = RESULTS) -> None:
    """Renew every table and figure whose result is there."""
    if (results / "real_tissue.json").exists():
        draw(store.read_json(results / "real_tissue.json"))
    for name, (where, table) in PAGES.items():
        source, page = results / f"{name}.json", PROJECT / where
        if source.exists():
            text = page.read_text(encoding="utf-8")
            store.write_text(page, renew(text, name, table(store.read_json(source))))


def _head(*names: str) -> list[str]:
    return [_row(*names), "|---" * len(names) + "|"]


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _spread(facts: store.Facts) -> str:
    return f"{facts['mean']:.3f} ± {facts['sd_folds']:.3f}"


def _interval(facts: store.Facts) -> str:
    return f"{facts['value']:.3f} ({facts['low']:.3f}–{facts['high']:.3f})"


def _gain(facts: store.Facts | None) -> str:
    if facts is None:
        return ""
    sure = " *" if facts["low"] > 0 and facts["p_holm"] < 0.05 else ""
    return f"{facts['value']:+.3f} ({facts['low']:+.3f} to {facts['high']:+.3f}){sure}"


if __name__ == "__main__":
    write()
