"""Convolutions of 3 x 3 in OpenVINO with half the products: Winograd's F(4, 3) by rows.

Four rows of a result need six of what is given, and by themselves 12 products with the
three rows of a filter. Sums of the six, multiplied with sums of the three, give the same
in 6 (Winograd 1980; Lavin and Gray 2016, arXiv:1509.09308). Columns stay as they are:
done to both, products are a quarter, but the passes over memory cost what that saves.

In fp32 features differ by some 1e-6 relative. In bf16 the sums would lose more than
that, and int8 has no room for them: such networks stay as traced.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

ROWS = 4
"""Rows that are made at once."""

FILTER = np.array(
    [
        [1 / 4, 0, 0],
        [-1 / 6, -1 / 6, -1 / 6],
        [-1 / 6, 1 / 6, -1 / 6],
        [1 / 24, 1 / 12, 1 / 6],
        [1 / 24, -1 / 12, 1 / 6],
        [0, 0, 1],
    ]
)
"""From the three rows of a filter to six sums, for the points 0, 1, -1, 2, -2, infinity."""

TWO, FOUR, FIVE, EIGHT = (np.array(value, np.float32) for value in (2, 4, 5, 8))
"""As arrays: of Python's numbers, and of NumPy's, OpenVINO makes other types."""

FEWEST = 32
"""Channels below which the sums take longer than the products they save."""

ONES = "strides", "dilations", "pads_begin", "pads_end"

Node = Any
"""Of OpenVINO's graph; it has no types."""


def halve_products(model: Node) -> int:
    """Rewrite a model's 3 x 3 convolutions of stride 1, and return how many they were.

    A bias and a ReLU that follow one at once are drawn into it. Others stay as they are:
    grouped, dilated or otherwise padded ones, those of few channels, of another type than
    f32, or of unknown size.
    """
    meant = [node for node in model.get_ordered_ops() if _is_meant(node)]
    for conv in meant:
        last, bias = conv, None
        if (add := _only_user(last, "Add")) and (bias := _constant(add)) is not None:
            last = add
        if relu := _only_user(last, "Relu"):
            last = relu
        last.output(0).replace(_by_rows(conv, bias, relu=relu is not None))
    return len(meant)


def _is_meant(node: Node) -> bool:
    if node.get_type_name() != "Convolution":
        return False
    filters, sides = node.input_value(1).get_node(), node.get_input_partial_shape(0)
    facts = node.get_attributes()
    return (
        filters.get_type_name() == "Constant"
        and filters.get_output_element_type(0).get_type_name() == "f32"
        and list(filters.shape[2:]) == [3, 3]
        and min(filters.shape[:2]) >= FEWEST
        and all(sides[axis].is_static for axis in (2, 3))
        and all(list(facts[name]) == [1, 1] for name in ONES)
        and facts["auto_pad"] == "explicit"
    )


def _only_user(node: Node, kind: str) -> Node | None:
    users = [user.get_node() for user in node.output(0).get_target_inputs()]
    return users[0] if len(users) == 1 and users[0].get_type_name() == kind else None


def _constant(add: Node) -> Node | None:
    """Return the one value a channel that is added, or None if something else is."""
    for value in add.input_values():
        node = value.get_node()
        shape = list(value.get_partial_shape().get_max_shape())
        if node.get_type_name() == "Constant" and shape == [1, max(shape), 1, 1]:
            return node
    return None


def sums_of_rows(d: Sequence[Any]) -> list[Any]:
    """Return six sums of the six rows that are given, for the points of `FILTER`.

    Args:
        d: Numbers, arrays or nodes of one shape, from the top.
    """
    d0, d1, d2, d3, d4, d5 = d
    even, odd = d4 - d2 * FOUR, d3 - d1 * FOUR
    even_2, odd_2 = d4 - d2, (d3 - d1) * TWO
    return [
        d0 * FOUR - d2 * FIVE + d4,
        even + odd,
        even - odd,
        even_2 + odd_2,
        even_2 - odd_2,
        d1 * FOUR - d3 * FIVE + d5,
    ]


def rows_of_products(m: Sequence[Any]) -> list[Any]:
    """Return the four rows that are made, from the top.

    Args:
        m: `sums_of_rows`, each multiplied with the sum of the filter's rows of its point.
    """
    m0, m1, m2, m3, m4, m5 = m
    even, odd, even_2, odd_2 = m1 + m2, m1 - m2, m3 + m4, m3 - m4
    return [
        m0 + even + even_2,
        odd + odd_2 * TWO,
        even + even_2 * FOUR,
        odd + odd_2 * EIGHT + m5,
    ]


def _by_rows(conv: Node, bias: Node | None, *, relu: bool) -> Node:
    """Return what takes the place of a convolution, as an output of the graph."""
    from openvino import opset13 as op

    given, filters = conv.input_value(0), conv.input_value(1).get_node().data
    height, width = (
        conv.get_input_partial_shape(0)[axis].get_length() for axis in (2, 3)
    )
    steps = -(-height // ROWS)  # the last may make rows that are cut off again
    below = steps * ROWS + 1 - height
    none = np.float32(0)
    padded = op.pad(given, [0, 0, 1, 0], [0, 0, below, 0], "constant", none)
    ends = (steps - 1) * ROWS + 1
    rows = [
        op.slice(padded, [top], [top + ends], [ROWS], [2]) for top in range(ROWS + 2)
    ]
    products = [
        op.convolution(sums, part, [1, 1], [0, 1], [0, 1], [1, 1])
        for sums, part in zip(sums_of_rows(rows), _parts(filters), strict=True)
    ]
    made = rows_of_products(products)
    if bias is not None:
        made = [op.add(one, bias) for one in made]
    if relu:
        made = [op.relu(one) for one in made]
    # side by side, channels last: in that layout rows are in their order already
    beside = op.transpose(op.concat(made, 3), [0, 2, 3, 1])
    high = op.reshape(beside, [0, steps * ROWS, width, len(filters)], True)
    result = op.transpose(high, [0, 3, 1, 2])
    if steps * ROWS > height:
        result = op.slice(result, [0], [height], [1], [2])
    return result.output(0)


def _parts(filters: npt.NDArray[np.float32]) -> list[npt.NDArray[np.float32]]:
    """Return the six sums of filters (O, I, 3, 3), each (O, I, 1, 3)."""
    sums = np.einsum("sr,oirc->soic", FILTER, filters.astype(np.float64))
    return list(sums[:, :, :, None].astype(np.float32))
