"""The tables of docs/speed.md are those that the results make."""

import re

import pytest
from benchmarks.accuracy.tables import renew
from benchmarks.speed import measure, tables

STAGES = re.findall(r"<!-- (speed_\w+): made by", tables.PAGE.read_text("utf-8"))


@pytest.mark.parametrize("name", STAGES)
def test_the_page_shows_what_was_measured(name):
    """Renewing a table from its JSON changes nothing, and the JSON says how it came."""
    measured = tables.stages()
    if name not in measured:
        pytest.skip(f"{name}.json: not measured yet")
    facts = measured[name]
    page = tables.PAGE.read_text("utf-8")
    assert renew(page, name, tables.table(facts), tables.MAKER) == page
    assert facts["command"].startswith("python -m benchmarks.speed")
    assert facts["seconds"] > 0


def test_every_result_has_a_place_on_the_page():
    """A stage that is measured is shown."""
    assert set(tables.stages()) <= set(STAGES)


def test_a_table_has_the_columns_that_its_rows_have():
    """Tasks are named once; what is asked is told with its verdict."""
    rows = [
        {"what": "a", "who": "ours", "per_cpu_second": 1234.5, "times_rival": 3.2},
        {"what": "a", "who": "theirs", "per_cpu_second": 2.0, "times_rival": 1.0},
    ]
    rows[0]["bar"] = {"times_rival": 3.0}
    rows.append({"what": "b", "who": "ours", "seconds": 0.9, "bar": {"seconds": 0.5}})
    rows.append({"what": "b", "who": "x", "bar": {"times_rival": 2.0}})
    found = tables.table({"rows": rows}).splitlines()
    assert found == [
        "| task | who | per CPU second | CPU seconds | times the rival, CPU | asked |",
        "|---|---|---|---|---|---|",
        "| a | ours | 1,234.5 |  | 3.2 | times the rival, CPU ≥ 3: met |",
        "|  | theirs | 2 |  | 1 |  |",
        "| b | ours |  | 0.9 |  | CPU seconds < 0.5: **missed** |",
        "|  | x |  |  |  | times the rival, CPU ≥ 2: not measured |",
    ]


def test_a_precision_that_the_cpu_has_not_is_not_judged(monkeypatch):
    """Its figures stand there; that they miss what is asked says nothing."""
    monkeypatch.setattr(measure, "cpu_has", lambda precision: precision != "bf16")
    assert measure.kinds() == ("fp32",)
    assert measure.lacking("dmia, fp32") == measure.lacking("coverslip int8") == {}
    row = {"what": "a", "who": "b", "times_rival": 1.0, "bar": {"times_rival": 3.0}}
    row |= measure.lacking("dmia, bf16")
    facts = {"rows": [row], "machine": "a loom", "seconds": 7}
    *_, told, _, where = tables.table(facts).splitlines()
    assert told.endswith("times the rival, CPU ≥ 3: this CPU has no bf16 |")
    assert where == "Measured in 7 s on: a loom."


def test_the_page_shows_what_was_measured_of_a_gpu():
    """Or says that nothing was, and how to."""
    page = tables.PAGE.read_text("utf-8")
    assert renew(page, "gpu", tables.of_gpu(tables.gpu()), tables.MAKER) == page
    assert "No GPU has been measured yet: `python -m benchmarks.gpu`" in tables.of_gpu(
        None
    )


def test_a_gpu_has_a_table_a_stage():
    """Rows of the same stage stand in one, a failure among them; the card is named."""
    rows = [
        {"stage": "encoder", "what": "a", "who": "b", "per_second": 9.0},
        {"stage": "learning", "what": "c", "who": "d", "within_noise": True},
        {
            "stage": "encoder",
            "what": "encoder",
            "who": "failed",
            "failed": "OSError: x",
        },
    ]
    facts = {"rows": rows, "gpu": {"card": "a loom", "driver": None, "cuda": "13"}}
    facts |= {"machine": "Linux", "seconds": 7, "versions": {"torch": "2"}}
    assert tables.of_gpu(facts).splitlines() == [
        "| task | who | per second | failed |",
        "|---|---|---|---|",
        "| a | b | 9 |  |",
        "| encoder | failed |  | OSError: x |",
        "",
        "| task | who | within noise |",
        "|---|---|---|",
        "| c | d | yes |",
        "",
        "Measured in 7 s on: card a loom, cuda 13, torch 2; Linux.",
    ]
