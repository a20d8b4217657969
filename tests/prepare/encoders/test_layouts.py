"""Keys of published files, brought into those of timm."""

from types import SimpleNamespace

import numpy as np
import torch

from coverslip.prepare.encoders.layouts import arranged


def test_transformers_keys_of_dinov2_become_timms():
    """Query, key and value are stacked in this order; the mask token is left out."""
    attention = "encoder.layer.11.attention.attention"
    state = {
        "embeddings.cls_token": torch.zeros(1, 1, 2),
        "embeddings.mask_token": torch.zeros(1, 2),
        "embeddings.position_embeddings": torch.zeros(1, 5, 2),
        "embeddings.patch_embeddings.projection.weight": torch.zeros(2, 3, 4, 4),
        f"{attention}.key.weight": torch.full((2, 2), 2.0),
        f"{attention}.query.weight": torch.full((2, 2), 1.0),
        f"{attention}.value.weight": torch.full((2, 2), 3.0),
        "encoder.layer.11.attention.output.dense.bias": torch.zeros(2),
        "encoder.layer.11.layer_scale1.lambda1": torch.zeros(2),
        "encoder.layer.11.norm1.weight": torch.zeros(2),
        "encoder.layer.11.mlp.fc2.weight": torch.zeros(2),
        "layernorm.bias": torch.zeros(2),
    }
    found = arranged(state, "dinov2", torch.nn.Module())
    assert sorted(found) == [
        "blocks.11.attn.proj.bias",
        "blocks.11.attn.qkv.weight",
        "blocks.11.ls1.gamma",
        "blocks.11.mlp.fc2.weight",
        "blocks.11.norm1.weight",
        "cls_token",
        "norm.bias",
        "patch_embed.proj.weight",
        "pos_embed",
    ]
    assert found["blocks.11.attn.qkv.weight"][:, 0].tolist() == [1, 1, 2, 2, 3, 3]


def test_an_old_swin_moves_its_halving_to_the_next_stage():
    """What timm computes is dropped; a file in today's words stays as it is."""
    one = torch.ones(1)
    old = {
        "layers.0.downsample.norm.weight": one,
        "layers.0.blocks.1.attn_mask": one,
        "layers.0.blocks.0.attn.relative_position_index": one,
        "layers.1.downsample.reduction.weight": one,
        "layers.2.blocks.0.norm1.bias": one,
    }
    found = arranged(old, "swin", torch.nn.Module())
    assert sorted(found) == [
        "layers.1.downsample.norm.weight",
        "layers.2.blocks.0.norm1.bias",
        "layers.2.downsample.reduction.weight",
    ]
    assert arranged(found, "swin", torch.nn.Module()) == found


def cubic(row, place):
    """Return the value of a row at a place by Keys' cubic with a = -0.75."""
    first, total = int(np.floor(place)) - 1, 0.0
    for at in range(first, first + 4):
        d = abs(place - at)
        near = (1.25 * d - 2.25) * d * d + 1
        far = -0.75 * (((d - 5) * d + 8) * d - 4)
        total += (near if d <= 1 else far) * row[min(max(at, 0), len(row) - 1)]
    return total


def test_conchs_positions_are_stretched_as_its_authors_do():
    """Every value lies where 28.1 / 14 puts it; the class token's stays."""
    row = torch.randn(14, generator=torch.Generator().manual_seed(0))
    grid = row.view(1, 1, 14, 1).expand(1, 14, 14, 2)
    positions = torch.cat([torch.full((1, 1, 2), 7.0), grid.reshape(1, 196, 2)], dim=1)
    trunk = SimpleNamespace(pos_embed=torch.zeros(1, 785, 2))
    network = SimpleNamespace(trunk=trunk)
    found = arranged({"trunk.pos_embed": positions}, "conch", network)
    stretched = found["trunk.pos_embed"]
    assert stretched.shape == (1, 785, 2)
    assert stretched[0, 0].tolist() == [7, 7]
    expected = [cubic(row.tolist(), (i + 0.5) * 14 / 28.1 - 0.5) for i in range(28)]
    np.testing.assert_allclose(stretched[0, 1:29, 0], expected, atol=1e-5)
    np.testing.assert_allclose(stretched[0, -28:, 1], expected, atol=1e-5)
