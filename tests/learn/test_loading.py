"""Loaded bags are the slides' own features, whatever the way they took."""

import numpy as np
import pytest
import torch

from coverslip.learn.loading import BLOCK, Labelled, Loader
from coverslip.learn.models.layers import Standardise
from coverslip.learn.models.pseudobags import canonical_order
from coverslip.prepare.features import Features

D = 64
CPU = torch.device("cpu")


def bags(*, placed=True):
    """Return three labelled bags in float16, one of several blocks, in no order."""
    rng = np.random.default_rng(0)
    made = []
    for number, n in enumerate((7, BLOCK // D * 2 + 5, 40)):
        x = rng.normal(3, 2, (n, D)).astype(np.float16)
        places = np.stack([np.arange(n) % 20, np.arange(n) // 20], 1)
        coords = rng.permutation(places).astype(np.int64) if placed else None
        made.append(Labelled(Features(f"s{number}", x, coords, {}), number % 2))
    return made


def standard():
    """Return a standardisation that changes every value."""
    layer = Standardise(D)
    layer.set(torch.linspace(2, 4, D), torch.linspace(1, 3, D))
    return layer


@pytest.mark.parametrize("placed", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_bags_are_standardised_in_canonical_order(placed, dtype):
    """To the last bit what the whole bag gives at once, rounded once."""
    layer, items = standard(), bags(placed=placed)
    loaded = list(Loader(items, layer, CPU, dtype).batches([2, 0, 1], 1))
    assert [batch.items[0] for batch in loaded] == [items[2], items[0], items[1]]
    for batch in loaded:
        (item,) = batch.items
        x = torch.from_numpy(item.bag.features).float()
        coords = torch.from_numpy(item.bag.coords) if placed else None
        expected = layer(x[canonical_order(x, coords)]).to(dtype)
        assert torch.equal(batch.x, expected)


def test_several_bags_lie_end_to_end():
    """Sizes and labels say which is which; the last batch has what is left."""
    loader = Loader(bags(), standard(), CPU)
    alone = [batch.x for batch in loader.batches([0, 1, 2], 1)]
    first, last = loader.batches([1, 2, 0], 2)
    assert torch.equal(first.x, torch.cat([alone[1], alone[2]]))
    assert first.sizes == [len(alone[1]), len(alone[2])]
    assert first.labels == [1, 0]
    assert torch.equal(last.x, alone[0])


def test_what_fits_stays_and_what_does_not_is_read_again():
    """With room for the cohort its bags are prepared once, with too little each time."""
    items = bags()
    needed = sum(item.bag.features.size for item in items) * 4
    for room, read_again in ((needed, False), (needed - 1, True)):
        loader = Loader(items, standard(), CPU, room=room)
        assert loader.room_left == (room if read_again else 0)
        assert loader.keeps is not read_again
        once = [batch.x for batch in loader.batches([0, 1, 2], 1)]
        for item in items:
            item.bag.features[:] += 1
        twice = [batch.x for batch in loader.batches([0, 1, 2], 1)]
        changed = [not torch.equal(a, b) for a, b in zip(once, twice, strict=True)]
        assert changed == [read_again] * 3


def test_no_bags_are_no_batches():
    """An empty order ends at once."""
    assert list(Loader(bags(), standard(), CPU).batches([], 4)) == []


def test_a_damaged_bag_is_told_where_it_is_asked_for():
    """An error of the reading thread reaches the training."""
    items = bags()
    broken = Features("broken", items[0].bag.features[:, :9], None, {})
    loader = Loader([*items, Labelled(broken, 1)], standard(), CPU)
    with pytest.raises(RuntimeError, match="size"):
        list(loader.batches([0, 3], 1))
