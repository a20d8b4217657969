"""The parts that timm has not, beside plain loops over their formulas."""

import pytest
import torch
from torch import nn

from coverslip.prepare.encoders.networks import AttentionPool, ConvStem, Pooled
from small_networks import filled


class Tokens(nn.Module):
    """A transformer's stand-in: a class token, two registers, then the patches."""

    num_prefix_tokens = 3

    def forward_features(self, x):
        """Return tokens (B, 3 + N, 2) that tell what they are."""
        patches = x.flatten(2).mT[..., :2]
        return torch.cat([torch.full((len(x), 3, 2), 100.0), patches], dim=1)

    def forward(self, x):
        """Return something of its own."""
        return x.mean((2, 3))


def test_registers_take_no_part_in_the_mean():
    """Virchow2's feature: the class token, then the mean of the patches alone."""
    x = torch.arange(24.0).view(2, 3, 2, 2)
    feature = Pooled(Tokens(), "class+mean")(x)
    assert feature[:, :2].tolist() == [[100, 100], [100, 100]]
    assert torch.equal(feature[:, 2:], x[:, :2].mean((2, 3)))


def test_the_class_token_or_the_networks_own_pooling():
    """The other two ways."""
    x = torch.arange(24.0).view(2, 3, 2, 2)
    assert Pooled(Tokens(), "class")(x).tolist() == [[100, 100], [100, 100]]
    assert torch.equal(Pooled(Tokens(), "network")(x), x.mean((2, 3)))


def test_the_attentional_pooler_is_its_formula():
    """Head by head: softmax(q k / sqrt(d)) over the tokens, v summed, projected."""
    pool = AttentionPool(8, 6, heads=2).eval()
    pool.load_state_dict(filled(pool))
    tokens = torch.randn(3, 5, 6, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        got = pool(tokens)
        query = pool.to_q(pool.ln_q(pool.query))[0]
        for image in range(3):
            rows = pool.to_kv(pool.ln_k(tokens[image]))
            parts = []
            for head in (slice(0, 4), slice(4, 8)):
                key, value = rows[:, :8][:, head], rows[:, 8:][:, head]
                share = torch.softmax(key @ query[head] / 4**0.5, dim=0)
                parts.append(share @ value)
            expected = pool.to_out(torch.cat(parts))
            torch.testing.assert_close(got[image], expected)


@pytest.mark.parametrize("size", [64, (64, 64)])
def test_the_stem_quarters_the_side_and_ends_channels_last(size):
    """As many tokens as timm is told of; its norm is over the channels."""
    stem = ConvStem(size, 4, 3, 16, norm_layer=nn.LayerNorm, device=None).eval()
    tokens = stem(torch.randn(2, 3, 64, 64))
    assert tokens.shape == (2, *stem.grid_size, 16) == (2, 16, 16, 16)
    assert stem.num_patches == 256
    torch.testing.assert_close(
        tokens.mean(-1), torch.zeros(2, 16, 16), atol=1e-5, rtol=0
    )
