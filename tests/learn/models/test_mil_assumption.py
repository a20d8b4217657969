"""Does each model respect the MIL assumption? Its answer to Raff & Holt's SC, recorded.

The full table, three seeds and all three tests, is in docs/mil-unit-tests.md. Here a
short training on SC keeps it in sight: a "poison" patch marks negative bags in training
and lies in the positive ones in the test. A model that follows the poison ends near 0,
one that respects the assumption near 1. A figure outside its band says that the
model's behaviour has changed, for better or worse: measure anew and mend the record.
"""

import pytest
from benchmarks.accuracy.unit_tests import PLAN, measure

from coverslip.learn.models.zoo import MODELS

FOLLOWS_THE_POISON = (0.0, 0.2)
PASSES = (0.95, 1.0)

RECORDED = {
    "dmia": PASSES,
    "mean": FOLLOWS_THE_POISON,
    "max": FOLLOWS_THE_POISON,
    "instance_max": PASSES,
    "abmil": FOLLOWS_THE_POISON,
    "gated_abmil": FOLLOWS_THE_POISON,
    "clam_sb": FOLLOWS_THE_POISON,
    "clam_mb": FOLLOWS_THE_POISON,
    "dsmil": FOLLOWS_THE_POISON,
    "transmil": FOLLOWS_THE_POISON,
    "dtfd": FOLLOWS_THE_POISON,
    "loss_attention": FOLLOWS_THE_POISON,
    "acmil": FOLLOWS_THE_POISON,
    "monotone": PASSES,
}
"""Where each model's AUC on SC's unit test lies."""


def test_every_model_of_the_zoo_has_a_record():
    """A new model is measured before it is let in."""
    assert RECORDED.keys() == MODELS.keys()


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_answers_to_sc_are_as_recorded(name):
    """It has learnt its training bags, and its unit-test AUC lies in its band.

    The poison is learnt at once; what a positive patch is takes longer.
    """
    low, high = RECORDED[name]
    brief = RECORDED[name] == FOLLOWS_THE_POISON
    plan = PLAN.replace(epochs=3) if brief else PLAN
    alike, unit_test = measure(
        "SC", name, 0, plan, training_bags=80 if brief else 800, test_bags=100
    )
    assert alike > 0.95
    assert low <= unit_test <= high
