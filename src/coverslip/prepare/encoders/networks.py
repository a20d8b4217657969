"""Parts of foundation models that timm has not: pooling, CTransPath's stem, CONCH's head.

Written from the papers, in the key names of the published weights.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from coverslip.prepare.encoders.foundation import Pooling


class Pooled(nn.Module):
    """A transformer of timm and what of its output is the feature.

    Args:
        network: Gives one token a row; the class token first, then registers.
        pooling: "class", "class+mean" (registers take no part in the mean), or
            "network" for one that pools by itself.
    """

    def __init__(self, network: nn.Module, pooling: Pooling) -> None:
        super().__init__()
        self.network, self.pooling = network, pooling
        self.prefix = int(getattr(network, "num_prefix_tokens", 0))

    def forward(self, x: Tensor) -> Tensor:
        """Map images (B, 3, H, W) to features (B, dim)."""
        if self.pooling == "network":
            feature: Tensor = self.network(x)
            return feature
        # timm's networks have it; nn.Module says a Tensor or a Module
        tokens: Tensor = self.network.forward_features(x)  # type: ignore[operator]
        if self.pooling == "class":
            return tokens[:, 0]
        return torch.cat([tokens[:, 0], tokens[:, self.prefix :].mean(dim=1)], dim=1)


class ConvStem(nn.Module):
    """CTransPath's stem: two convolutions of stride 2, then one of 1x1.

    Wang et al. 2022 (doi 10.1016/j.media.2022.102559); takes the place of a Swin
    transformer's patch embedding, as timm calls it.

    Args:
        img_size: Side of the images, or height and width.
        patch_size: Side of a token; 4.
        in_chans: Channels that come in.
        embed_dim: Channels that go out; a multiple of 8.
        norm_layer: Makes the norm at the end.
        _others: What timm gives besides.
    """

    def __init__(
        self,
        img_size: int | tuple[int, int] = 224,
        patch_size: int = 4,
        in_chans: int = 3,
        embed_dim: int = 96,
        norm_layer: Any = None,  # noqa: ANN401 - timm's
        **_others: Any,  # noqa: ANN401 - timm's
    ) -> None:
        super().__init__()
        height, width = (img_size,) * 2 if isinstance(img_size, int) else img_size
        self.img_size, self.patch_size = (height, width), (patch_size,) * 2
        self.grid_size = (height // patch_size, width // patch_size)
        self.num_patches = self.grid_size[0] * self.grid_size[1]
        self.proj = nn.Sequential(
            *_halving(in_chans, embed_dim // 8),
            *_halving(embed_dim // 8, embed_dim // 4),
            nn.Conv2d(embed_dim // 4, embed_dim, 1),
        )
        self.norm = nn.Identity() if norm_layer is None else norm_layer(embed_dim)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, in_chans, H, W) to (B, H / 4, W / 4, embed_dim)."""
        tokens: Tensor = self.norm(self.proj(x).permute(0, 2, 3, 1))
        return tokens


def _halving(channels: int, out: int) -> tuple[nn.Module, ...]:
    convolution = nn.Conv2d(channels, out, 3, 2, padding=1, bias=False)
    return convolution, nn.BatchNorm2d(out), nn.ReLU(inplace=True)


class AttentionPool(nn.Module):
    """One learnt query looks at all tokens: the attentional pooler of CoCa.

    Yu et al. 2022 (arXiv:2205.01917).

    Args:
        dim: Length of what comes out.
        token_dim: Length of a token.
        heads: Heads of the attention.
    """

    def __init__(self, dim: int, token_dim: int, heads: int = 8) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Parameter(torch.zeros(1, dim))
        self.ln_k, self.ln_q = nn.LayerNorm(token_dim), nn.LayerNorm(dim)
        self.to_q = nn.Linear(dim, dim, bias=False)
        self.to_kv = nn.Linear(token_dim, 2 * dim, bias=False)
        self.to_out = nn.Linear(dim, dim, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map tokens (B, N, token_dim) to (B, dim)."""
        # the batch stays a part of the tensors: a traced network takes any
        query = self.to_q(self.ln_q(self.query)).expand(tokens.shape[0], 1, -1)
        key, value = self.to_kv(self.ln_k(tokens)).chunk(2, dim=-1)
        query, key, value = (
            part.unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for part in (query, key, value)
        )
        seen = F.scaled_dot_product_attention(query, key, value)  # (B, heads, 1, part)
        pooled: Tensor = self.to_out(seen.squeeze(2).flatten(1))
        return pooled


class ConchTower(nn.Module):
    """CONCH v1.5: a vision transformer, the attentional pooler, a norm.

    Lu et al. 2024 (doi 10.1038/s41591-024-02856-4), Ding et al. 2025 (TITAN).

    Args:
        trunk: timm's vision transformer.
        dim: Length of a feature.
    """

    def __init__(self, trunk: nn.Module, dim: int) -> None:
        super().__init__()
        self.trunk = trunk
        # timm's networks have it; nn.Module says a Tensor or a Module
        width: int = trunk.embed_dim  # type: ignore[assignment]
        self.attn_pool_contrast = AttentionPool(dim, width)
        self.ln_contrast = nn.LayerNorm(dim)

    def forward(self, x: Tensor) -> Tensor:
        """Map images (B, 3, H, W) to features (B, dim)."""
        tokens = self.trunk.forward_features(x)  # type: ignore[operator] # as above
        feature: Tensor = self.ln_contrast(self.attn_pool_contrast(tokens))
        return feature
