"""Layers compute the formulas they state, and draw from nothing global."""

import pytest
import torch

from coverslip.learn.models.layers import (
    DimReduction,
    LinearClassifier,
    ResidualBlock,
    Standardise,
    dropped,
    initial_weights,
)


def test_standardise_gives_mean_zero_and_deviation_one():
    """Statistics of a sample bring that sample to mean 0 and deviation 1."""
    x = 5 + 3 * torch.randn(1000, 4, generator=torch.Generator().manual_seed(0))
    layer = Standardise(4)
    layer.set(x.mean(0), x.std(0))
    out = layer(x.half())
    assert out.dtype == torch.float32
    torch.testing.assert_close(out.mean(0), torch.zeros(4), atol=1e-2, rtol=0)
    torch.testing.assert_close(out.std(0), torch.ones(4), atol=1e-2, rtol=0)


def test_standardise_starts_as_the_identity():
    """Without statistics features pass unchanged."""
    x = torch.tensor([[1.0, -2.0], [3.0, 4.0]])
    assert torch.equal(Standardise(2)(x), x)


def test_a_constant_feature_is_centred_and_not_blown_up():
    """A deviation of zero does not divide."""
    layer = Standardise(2)
    layer.set(torch.tensor([7.0, 1.0]), torch.tensor([0.0, 2.0]))
    assert layer(torch.tensor([[7.0, 5.0]])).tolist() == [[0.0, 2.0]]


def test_statistics_are_in_the_state_and_not_trained():
    """The checkpoint carries them; the optimiser never sees them."""
    layer = Standardise(3)
    assert set(layer.state_dict()) == {"mean", "std"}
    assert not list(layer.parameters())


def test_statistics_of_another_length_are_refused():
    """A scalar must not spread silently over all features."""
    with pytest.raises(ValueError, match=r"not \(3,\)"):
        Standardise(3).set(torch.zeros(1), torch.ones(1))


def test_residual_block_is_the_identity_with_zero_weights():
    """The h + ... path is really there."""
    block = ResidualBlock(3)
    torch.nn.init.zeros_(block.second.weight)
    h = torch.tensor([[1.0, -2.0, 3.0]])
    assert torch.equal(block(h), h)
    assert all("bias" not in name for name, _ in block.named_parameters())


def test_reduction_is_relu_of_a_product_then_blocks():
    """It is h = ReLU(W x), then h + ReLU(W2 ReLU(W1 h))."""
    layer = DimReduction(5, 3, residual_blocks=1)
    x = torch.randn(4, 5, generator=torch.Generator().manual_seed(1))
    h = (x @ layer.linear.weight.T).clamp(min=0)
    block = layer.blocks[0]
    inner = (h @ block.first.weight.T).clamp(min=0)
    expected = h + (inner @ block.second.weight.T).clamp(min=0)
    torch.testing.assert_close(layer(x), expected)
    assert layer.linear.bias is None


def test_dropout_zeroes_the_share_and_keeps_the_mean():
    """A share `rate` is zero and the rest grows by 1 / (1 - rate)."""
    out = dropped(torch.ones(20_000), 0.25, torch.Generator().manual_seed(0))
    assert (out == 0).float().mean().item() == pytest.approx(0.25, abs=0.01)
    assert out.max().item() == pytest.approx(1 / 0.75)


def test_dropout_needs_a_generator_and_follows_it():
    """Without a generator nothing is random, in training mode or not."""
    layer = LinearClassifier(50, 2, dropout=0.5).train()
    f = torch.randn(3, 50, generator=torch.Generator().manual_seed(0))
    assert torch.equal(layer(f), layer.linear(f))
    first = layer(f, torch.Generator().manual_seed(1))
    again = layer(f, torch.Generator().manual_seed(1))
    other = layer(f, torch.Generator().manual_seed(2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_initial_weights_come_from_the_seed_and_leave_global_chance_alone():
    """The global random state neither decides nor notices."""
    weights = []
    for state in (1, 2):
        torch.manual_seed(state)
        before = torch.get_rng_state()
        with initial_weights(9):
            weights.append(torch.nn.Linear(4, 4).weight)
        assert torch.equal(before, torch.get_rng_state())
    assert torch.equal(*weights)
