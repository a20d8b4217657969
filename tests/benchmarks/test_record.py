"""A result can be measured anew for one model, and says which commit each row is of."""

import pytest
from benchmarks.accuracy.record import circumstances, earlier_rows, merged

from coverslip.errors import DataError
from coverslip.store import write_json


def row(model, value, **more):
    """Return a row of a result."""
    return {"set": "one", "model": model, "value": value, **more}


def test_new_rows_take_the_place_of_the_old_ones(tmp_path):
    """Other models' rows stay, with the commit they were measured at; new ones join."""
    out, plan = tmp_path / "result.json", {"seeds": [0, 1]}
    old = {**circumstances(), "commit": "first", **plan, "seconds": 9}
    write_json(out, {**old, "results": [row("dmia", 1), row("mean", 2)]})
    earlier = earlier_rows(out, {**circumstances(), **plan})
    new = [row("dmia", 3, commit="now"), row("new", 4, commit="now")]
    assert merged(earlier, new) == [
        row("dmia", 3, commit="now"),
        {"commit": "first", **row("mean", 2)},
        row("new", 4, commit="now"),
    ]


def test_rows_of_another_plan_do_not_mix(tmp_path):
    """Other seeds, other epochs: then every model has to be measured again."""
    out = tmp_path / "result.json"
    assert earlier_rows(out, {"seeds": [0]}) == []
    write_json(out, {"commit": "a", "seeds": [0], "results": []})
    with pytest.raises(DataError, match="made with other seeds"):
        earlier_rows(out, {"seeds": [0, 1]})
