"""Convolutions rewritten to take half the products, beside themselves."""

import numpy as np
import pytest

from coverslip.prepare.encoders import winograd

ov = pytest.importorskip("openvino", reason="the extra openvino is not installed")

CHANNELS = 32


def model_of(height=12, width=9, channels=CHANNELS, bias=True, relu=True, **other):
    """Return a graph of one convolution with filters of noise, and what follows it."""
    from openvino import opset13 as op

    rng = np.random.default_rng(0)
    facts = {"strides": [1, 1], "pads": [1, 1], "dilations": [1, 1], **other}
    given = op.parameter([-1, channels, height, width], np.float32)
    filters = rng.standard_normal((48, channels, 3, 3), np.float32)
    pads = facts["pads"]
    node = op.convolution(
        given, op.constant(filters), facts["strides"], pads, pads, facts["dilations"]
    )
    if bias:
        node = op.add(node, op.constant(rng.standard_normal((1, 48, 1, 1), np.float32)))
    if relu:
        node = op.relu(node)
    return ov.Model([op.multiply(node, op.constant(np.float32(2)))], [given])


def made_by(model, images):
    """Return what a graph makes of images, in fp32."""
    how = {"INFERENCE_PRECISION_HINT": "f32"}
    return ov.Core().compile_model(model, "CPU", how)(images)[0]


def images_for(model, count=3):
    """Return images of noise."""
    _, *rest = model.input(0).get_partial_shape().get_max_shape()
    return np.random.default_rng(1).standard_normal((count, *rest), np.float32)


@pytest.mark.parametrize("height", [1, 2, 3, 4, 5, 8, 14, 15])
@pytest.mark.parametrize(("bias", "relu"), [(True, True), (True, False), (False, True)])
def test_the_same_comes_out(height, bias, relu):
    """Whether rows come out in fours or not, and whatever follows."""
    model = model_of(height, bias=bias, relu=relu)
    images = images_for(model)
    before = made_by(model, images)
    assert winograd.halve_products(model) == 1
    after = made_by(model, images)
    assert after.shape == before.shape
    assert np.linalg.norm(after - before) < 3e-6 * np.linalg.norm(before)


def test_products_are_half():
    """Six filters of one row on a quarter of the rows, for one of three on all."""

    def products(model):
        return sum(
            np.prod(node.get_output_partial_shape(0).get_max_shape()[1:])
            * np.prod(node.input_value(1).get_node().shape[1:])
            for node in model.get_ordered_ops()
            if node.get_type_name() == "Convolution"
        )

    model = model_of(height=12)
    before = products(model)
    winograd.halve_products(model)
    assert products(model) == before / 2


def test_sums_are_winograds():
    """Four results of a filter of three, from six numbers: exact for whole ones."""
    given, taps = [3.0, -1.0, 4.0, 1.0, -5.0, 9.0], np.array([12, -24, 48])
    products = np.array(winograd.sums_of_rows(given)) * (winograd.FILTER @ taps)
    made = winograd.rows_of_products(products)
    assert made == pytest.approx([taps @ given[at : at + 3] for at in range(4)])


@pytest.mark.parametrize(
    "other",
    [
        {"strides": [2, 2]},
        {"pads": [0, 0]},
        {"dilations": [2, 2]},
        {"channels": CHANNELS // 2},
        {"height": -1},
    ],
)
def test_others_stay(other):
    """Those that are laid out otherwise, too small to gain, or of unknown size."""
    model = model_of(**other)
    before = [node.get_type_name() for node in model.get_ordered_ops()]
    assert winograd.halve_products(model) == 0
    assert [node.get_type_name() for node in model.get_ordered_ops()] == before


def test_what_others_need_stays():
    """A sum that is used twice, or of two images, is not drawn in."""
    from openvino import opset13 as op

    given = op.parameter([-1, CHANNELS, 8, 8], np.float32)
    filters = np.random.default_rng(0).standard_normal((CHANNELS, CHANNELS, 3, 3))
    by_one = [1, 1]
    conv = op.convolution(
        given, op.constant(filters.astype(np.float32)), by_one, by_one, by_one, by_one
    )
    both = op.add(conv, given)
    model = ov.Model([op.add(op.relu(both), op.sigmoid(both))], [given])
    images = images_for(model)
    before = made_by(model, images)
    assert winograd.halve_products(model) == 1
    after = made_by(model, images)
    assert np.linalg.norm(after - before) < 3e-6 * np.linalg.norm(before)
