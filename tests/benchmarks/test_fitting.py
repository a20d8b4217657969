"""Tests of training many models at once."""

import pytest
import torch
from benchmarks.accuracy.fitting import example, fit, fit_together, small, standardise

from coverslip.learn.models.zoo import MODELS
from coverslip.learn.train_options import TrainOptions

PLAN = TrainOptions(epochs=2, lr=1e-3, weight_decay=1e-2, clip=0.5)


def bags(count=6, features=5):
    """Return bags of 2 to 5 patches, their labels in turn."""
    chance = torch.Generator().manual_seed(0)
    return [
        example(torch.randn(2 + i % 4, features, generator=chance) + i % 2, i % 2)
        for i in range(count)
    ]


def member(name, seed, examples, part):
    """Return an untrained model that is standardised by its part of the bags."""
    model = small(name, 5, seed)
    standardise(model, [examples[i] for i in part])
    return model


@pytest.mark.filterwarnings("ignore:There is a performance drop")  # of a masking op
@pytest.mark.parametrize("name", MODELS)
def test_members_become_what_each_would_become_alone(name):
    """Other weights, other bags and other rates side by side: no one disturbs another.

    Alone means PyTorch's own Adam and clipping. Adam divides a gradient by its own size,
    so a weight whose gradient is nothing but rounding goes where rounding sends it: one
    in a thousand may, and none far.
    """
    examples = bags()
    parts, rates = [[0, 1, 2, 3], [1, 2, 4, 5]], [1e-3, 4e-3]
    together = [member(name, k, examples, part) for k, part in enumerate(parts)]
    mask = torch.zeros(2, len(examples), dtype=torch.bool)
    for k, part in enumerate(parts):
        mask[k, part] = True
    fit_together(together, rates, examples, mask, PLAN)
    for k, part in enumerate(parts):
        alone = member(name, k, examples, part)
        before = [p.clone() for p in alone.parameters()]
        fit(alone, examples, PLAN.replace(lr=rates[k]), part)
        for was, a, b in zip(
            before, alone.parameters(), together[k].parameters(), strict=True
        ):
            near = torch.isclose(a, b, rtol=1e-3, atol=1e-5)
            assert near.sum() >= 0.999 * near.numel()
            assert (a - b).abs().max() < 0.05 * (a - was).abs().max() + 1e-6


def test_bags_outside_a_part_change_nothing():
    """A test bag's features may be anything: the member that tests it is the same."""
    examples = bags()
    spoilt = [*examples[:4], example(torch.full((3, 5), 1e6), 0), examples[5]]
    mask = torch.tensor([[True] * 4 + [False, True], [True] * 6])
    ends = []
    for given in (examples, spoilt):
        models = [member("dmia", 0, examples, range(4)) for _ in range(2)]
        fit_together(models, [1e-3, 1e-3], given, mask, PLAN)
        ends.append([torch.cat([p.flatten() for p in m.parameters()]) for m in models])
    assert torch.equal(ends[0][0], ends[1][0])
    assert not torch.equal(ends[0][1], ends[1][1])
