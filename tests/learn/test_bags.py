"""Bags know what they were made with, and what they look like on the whole."""

from dataclasses import replace

import numpy as np
import pytest

from coverslip.errors import DataError, MismatchError
from coverslip.learn.bags import (
    bag_facts,
    bag_tensor,
    check_alike,
    check_belongs,
    feature_statistics,
)
from coverslip.prepare.features import Features

ENCODER = {"name": "fake", "dim": 3, "weights_hash": "0a", "precision": "fp32"}
FACTS = {"encoder": ENCODER, "patching": {"mpp": 0.5, "size": 256, "threshold": 0.8}}


def bag(x, facts=FACTS, slide_id="s"):
    """Return a bag of these features."""
    return Features(slide_id, np.asarray(x, np.float16), None, facts)


def test_statistics_are_those_of_all_patches_together():
    """Mean and deviation weigh patches, not slides, and stay exact far from zero."""
    rng = np.random.default_rng(0)
    parts = [rng.normal(1000, 2, (n, 3)).astype(np.float16) for n in (5, 40)]
    mean, deviation = feature_statistics(map(bag, parts))
    whole = np.concatenate(parts).astype(np.float64)
    np.testing.assert_allclose(mean, whole.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(deviation, whole.std(axis=0), rtol=1e-6)


def test_a_constant_dimension_gets_deviation_one():
    """So that standardising never divides by zero."""
    x = np.zeros((4, 3))
    x[:, 1] = [1, 2, 3, 4]
    _, deviation = feature_statistics([bag(x)])
    assert deviation[[0, 2]].tolist() == [1, 1]
    assert deviation[1] == pytest.approx(np.std([1, 2, 3, 4]))


def test_statistics_of_no_patch_are_refused():
    """Empty slides alone cannot train anything."""
    with pytest.raises(DataError, match="no training slide has a patch"):
        feature_statistics([bag(np.empty((0, 3)))])


def test_a_bag_belongs_when_encoder_and_scale_agree():
    """Precision, stride and tissue threshold do not make features foreign."""
    plain = bag(np.ones((9, 3)))
    for made in ({"precision": "bf16"}, {"precision": "int8", "calibration": "a1"}):
        other = bag(np.ones((2, 3)), {**FACTS, "encoder": {**ENCODER, **made}})
        check_belongs(other, bag_facts(plain), "m")
        check_belongs(plain, bag_facts(other), "m")


@pytest.mark.parametrize(
    ("group", "change", "named"),
    [
        ("encoder", {"name": "other"}, "encoder name is 'other', not 'fake'"),
        ("encoder", {"weights_hash": "ff"}, "weights_hash is 'ff', not '0a'"),
        ("patching", {"mpp": 1.0}, "patching mpp is 1.0, not 0.5"),
        ("patching", {"size": 512}, "patching size is 512, not 256"),
    ],
)
def test_what_differs_is_named(group, change, named):
    """Another encoder, other weights, another scale: each is refused by name."""
    facts = {**FACTS, group: {**FACTS[group], **change}}
    good = bag(np.ones((2, 3)))
    with pytest.raises(MismatchError, match=named) as error:
        check_alike([good, bag(np.ones((2, 3)), facts, slide_id="odd")])
    assert "features of odd" in str(error.value)


def test_the_dimension_is_the_files_own():
    """Facts that a file does not carry are still checked against its numbers."""
    foreign = replace(bag(np.ones((2, 7))), facts={})
    assert bag_facts(foreign)["encoder"] == {"name": "unknown", "dim": 7}
    with pytest.raises(MismatchError, match="dim is 7, not 3"):
        check_belongs(foreign, bag_facts(bag(np.ones((2, 3)))), "the model")


def test_a_tensor_is_a_copy():
    """Training cannot write into the file that features are mapped from."""
    one = bag(np.ones((2, 3)))
    bag_tensor(one)[:] = 5
    assert (one.features == 1).all()
