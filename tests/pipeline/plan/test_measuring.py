"""How fast this machine is: measured on what a run would do."""

import pytest

from coverslip.errors import LabelError
from coverslip.pipeline.learn.learn_options import LearnOptions
from coverslip.pipeline.plan import measuring
from coverslip.pipeline.plan.findings import Findings
from coverslip.pipeline.plan.measuring import (
    encoder_here,
    patches_a_second,
    seconds_an_epoch,
)
from coverslip.pipeline.plan.surveying import survey
from coverslip.pipeline.prepare.preparation import Preparation, PrepareOptions
from coverslip.testing import fake_encoder


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(measuring, "SECOND", 0.01)


def test_patches_are_read_from_the_slide_and_encoded(cohort, tmp_path, monkeypatch):
    """More than there are, if need be; each call opens the slide as a run does."""
    monkeypatch.setattr(measuring, "SECOND", 0.2)
    options = PrepareOptions(features={"encoder": "fake"})
    preparation = Preparation(tmp_path, options, quiet=True)
    laid = survey([cohort.slides], preparation, Findings(), 1, 0).sample[0]
    encoder, seen = fake_encoder(), []
    embed = encoder.embed
    monkeypatch.setattr(encoder, "embed", lambda x: seen.append(len(x)) or embed(x))
    rate = patches_a_second(laid.look.path, laid.patches, encoder, preparation)
    assert rate > 0
    assert sum(seen) > len(laid.patches)


def test_a_bag_too_large_to_measure_on_is_scaled(monkeypatch):
    """A hundred times the patches take about a hundred times as long."""
    monkeypatch.setattr(measuring, "MOST_IN_BAG", 10)
    monkeypatch.setattr(measuring, "_measured", lambda work: work() and 1.0)
    small, _ = seconds_an_epoch(LearnOptions(model="mean"), 6, 10)
    large, _ = seconds_an_epoch(LearnOptions(model="mean"), 6, 1000)
    assert large == pytest.approx(100 * small)


def test_an_encoder_that_cannot_be_loaded_is_an_error(tmp_path):
    """With the reason that a run would give."""
    options = PrepareOptions(
        features={"encoder": "resnet50", "weights": tmp_path / "none.pth"}
    )
    found = Findings()
    assert encoder_here(Preparation(tmp_path, options), found) is None
    (told,) = found.found
    assert told.severity == "error"
    assert "none.pth" in told.text


def test_a_finding_is_listed_once():
    """Folds often have the same to say."""
    found = Findings()
    for _ in range(2):
        found.listing("split")(LabelError("twice"))
    assert len(found.found) == 1
