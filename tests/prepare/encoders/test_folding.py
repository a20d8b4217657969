"""Batch norms folded away: the same features."""

import torch
from torch import nn

from coverslip.prepare.encoders.folding import fold_batch_norm
from coverslip.prepare.encoders.resnet import ResNetTrunk


def test_folding_batch_norm_leaves_the_features_and_no_batch_norm(trained):
    """Folded and plain trunk agree to 1e-5 relative, on every patch."""
    x = torch.randn(3, 3, 64, 64, generator=torch.Generator().manual_seed(5))
    with torch.inference_mode():
        before = trained(x)
    folded = ResNetTrunk().eval()
    folded.load_state_dict(trained.state_dict())
    fold_batch_norm(folded)
    with torch.inference_mode():
        after = folded(x)
    assert not any(isinstance(part, nn.BatchNorm2d) for part in folded.modules())
    assert ((after - before).norm(dim=1) / before.norm(dim=1)).max() < 1e-5
