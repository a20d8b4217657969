"""Prediction forgets order, mode and global chance, for any model of the protocol."""

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn

from coverslip.errors import DataError, MismatchError
from coverslip.learn.models.model import BagOutput, MILModel


class FirstPatch(MILModel):
    """A model that depends on order, mode and global chance as much as it can."""

    def __init__(self) -> None:
        super().__init__(2, 2)
        self.drop = nn.Dropout(0.5)

    def bag_losses(self, x, label, generator):  # noqa: ARG002 - the protocol gives them
        """Return the sum of the first patch, which shows what was seen, and first."""
        return {"first": x[0].sum() + len(x)}

    def optimised(self):
        """Return nothing: only prediction is tested here."""
        return {}

    def assess(self, x: Tensor, partitions: Sequence[int]) -> BagOutput:
        """Say what the first patch says; number the patches in `attention`."""
        first = self.drop(x[0])
        numbers = torch.arange(len(x), dtype=torch.float32)
        return BagOutput(first.expand(len(partitions), 2), numbers, x)


@pytest.mark.parametrize("located", [True, False])
def test_predict_sees_one_order_and_answers_in_the_callers(located):
    """The listing changes nothing but the order of what is said of each patch."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(9, 2, generator=generator)
    coords = torch.stack([torch.arange(9), torch.zeros(9)], 1) if located else None
    shuffled = torch.randperm(9, generator=generator)
    model = FirstPatch()
    one = model.predict(x, [0, 1], coords)
    two = model.predict(x[shuffled], [0, 1], coords[shuffled] if located else None)
    assert torch.equal(one.probabilities, two.probabilities)
    assert torch.equal(one.attention[shuffled], two.attention)
    assert torch.equal(one.patch_probabilities, x)
    assert torch.equal(two.patch_probabilities, x[shuffled])
    if located:
        assert one.attention.tolist() == list(range(9))


def test_predict_is_in_evaluation_mode_and_gives_the_mode_back():
    """Dropout is off while predicting; a training model goes on training."""
    model = FirstPatch().train()
    x = torch.ones(4, 2)
    assert model.predict(x, [0]).probability.tolist() == [0.5, 0.5]
    assert model.training
    assert not model.eval().predict(x, [0]).probability.requires_grad
    assert not model.training


def test_masked_patches_are_not_seen():
    """They change nothing, and what is said of them is that nothing is known."""
    x = torch.arange(10.0).reshape(5, 2)
    mask = torch.tensor([False, True, True, False, True])
    coords = torch.stack([torch.arange(5), torch.zeros(5)], 1)
    model, chance = FirstPatch(), torch.Generator()
    seen = model.predict(x, [0], coords, mask)
    alone = model.predict(x[mask], [0], coords[mask])
    assert torch.equal(seen.probability, alone.probability)
    assert seen.attention.tolist() == [0, 0, 1, 0, 2]
    assert seen.patch_probabilities.isnan().all(dim=1).tolist() == (~mask).tolist()
    assert model.losses(x, 1, chance, coords, mask) == {"first": 2 + 3 + 3}
    with pytest.raises(DataError, match="no patches"):
        model.predict(x, [0], coords, torch.zeros(5, dtype=torch.bool))


def test_a_bag_without_patches_is_refused():
    """The message says what is missing."""
    with pytest.raises(DataError, match="no patches"):
        FirstPatch().predict(torch.zeros(0, 2), [0])


def test_features_of_another_encoder_are_refused():
    """The message gives both lengths."""
    with pytest.raises(MismatchError, match="3 long and the model reads 2"):
        FirstPatch().predict(torch.zeros(5, 3), [0])


def test_no_partition_is_a_programming_mistake():
    """A mean over nothing would be NaN."""
    with pytest.raises(ValueError, match="at least one partition"):
        FirstPatch().predict(torch.zeros(5, 2), [])


def test_probability_is_the_mean_over_partitions():
    """Softmax outputs are averaged, not logits."""
    rows = torch.tensor([[0.2, 0.8], [0.6, 0.4]])
    output = BagOutput(rows.log(), torch.ones(1), torch.ones(1, 2))
    torch.testing.assert_close(output.probability, torch.tensor([0.4, 0.6]))
