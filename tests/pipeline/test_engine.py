"""One bad item never ends a batch, what concerns all does, and workers change nothing."""

import threading
import time

import pytest

from coverslip.errors import (
    CorruptFileError,
    EncoderError,
    MissingMppError,
    OutputError,
    ParametersDifferError,
)
from coverslip.pipeline.engine import LocalEngine
from coverslip.testing import FakeEngine

ENGINES = [LocalEngine(1), LocalEngine(4), FakeEngine()]


class Odd(Exception):  # noqa: N818 - a library's, which knows nothing of us
    """What a library may raise that derives from nothing we know."""


def task(item):
    """Double a number; some numbers are bad in various ways."""
    bad = {
        3: CorruptFileError("three.h5: damaged: delete it"),
        4: MissingMppError("four.svs: micrometres per pixel unknown: state them"),
        5: ZeroDivisionError("five\nlines"),
        6: Odd("odd"),
        7: OSError(5, "Input/output error"),
    }
    if item in bad:
        raise bad[item]
    return 2 * item


@pytest.mark.parametrize("engine", ENGINES)
def test_bad_items_become_outcomes_and_the_others_go_on(engine):
    """Each item comes back once, with a result or one line that says why not."""
    outcomes = {outcome.item: outcome for outcome in engine.run(task, range(10))}
    assert sorted(outcomes) == list(range(10))
    assert {i: o.result for i, o in outcomes.items() if o.error is None} == {
        i: 2 * i for i in (0, 1, 2, 8, 9)
    }
    assert outcomes[3].error == "three.h5: damaged: delete it"
    assert outcomes[4].trace is None
    for item, kind in ((5, "ZeroDivisionError"), (6, "Odd"), (7, "OSError")):
        assert outcomes[item].error.startswith(f"{item}: unexpected {kind} (")
        assert "\n" not in outcomes[item].error
        assert "in task" in outcomes[item].trace


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("kind", [OutputError, ParametersDifferError, EncoderError])
def test_what_concerns_all_ends_the_batch(engine, kind):
    """A full disk, other parameters or a broken encoder is raised, not noted."""

    def fail(item):
        if item == 2:
            raise kind("stop")
        return item

    with pytest.raises(kind, match="stop"):
        list(engine.run(fail, range(5)))


@pytest.mark.parametrize("engine", ENGINES)
def test_an_interruption_ends_the_batch(engine):
    """Ctrl-C is never taken for a bad item."""

    def interrupt(item):
        if item == 2:
            raise KeyboardInterrupt
        return item

    with pytest.raises(KeyboardInterrupt):
        list(engine.run(interrupt, range(5)))


def test_after_an_error_for_all_no_further_item_is_begun():
    """What waits in the queue is dropped, so that the command ends soon."""
    begun = []

    def fail(item):
        begun.append(item)
        time.sleep(0.01)
        raise OutputError("full")

    with pytest.raises(OutputError):
        list(LocalEngine(2).run(fail, range(200)))
    assert len(begun) < 100


def test_workers_work_at_once():
    """Four workers hold four items at the same time."""
    meeting = threading.Barrier(4, timeout=10)
    results = LocalEngine(4).run(lambda _: meeting.wait(), range(4))
    assert sorted(outcome.result for outcome in results) == [0, 1, 2, 3]


def test_one_worker_keeps_the_order_and_waits_to_be_asked():
    """Results come one by one, as they are taken."""
    begun = []
    results = LocalEngine(1).run(begun.append, "abc")
    next(results)
    assert begun == ["a"]


def test_the_fake_engine_remembers_its_items():
    """A test can see what an engine was asked to do."""
    engine = FakeEngine()
    list(engine.run(task, [8, 1]))
    assert engine.seen == [8, 1]
