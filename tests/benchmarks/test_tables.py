"""The tables in the pages are those that the results make."""

import pytest
from benchmarks.accuracy import tables
from benchmarks.accuracy.record import PROJECT, RESULTS

from coverslip import store


def measured(name):
    """Return a result, or skip: a long benchmark may not have been run yet."""
    path = RESULTS / f"{name}.json"
    if not path.exists():
        pytest.skip(f"{path.name}: not measured yet")
    return store.read_json(path)


@pytest.mark.parametrize("name", list(tables.PAGES))
def test_a_page_shows_what_was_measured(name):
    """Renewing the table from its JSON changes nothing."""
    where, table = tables.PAGES[name]
    page = (PROJECT / where).read_text(encoding="utf-8")
    facts = measured(name)
    assert tables.renew(page, name, table(facts)) == page


@pytest.mark.parametrize("name", list(tables.PAGES))
def test_a_result_says_how_it_came_about(name):
    """Each JSON names its command, versions and seconds."""
    facts = measured(name)
    assert facts["command"].startswith("python ")
    assert {"coverslip", "torch", "python"} <= set(facts["versions"])
    assert facts["seconds"] > 0


def test_the_rest_of_a_page_stays():
    """Only what stands between the marks is replaced."""
    begin, end = tables.marks("x")
    page = f"before\n{begin}\nold\n{end}\nafter\n"
    assert tables.renew(page, "x", "| new |") == (
        f"before\n{begin}\n\n| new |\n\n{end}\nafter\n"
    )
