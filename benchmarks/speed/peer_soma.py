"""SOMA's own networks, learner and trainer, on our bags; run where SOMA is installed.

Started by `benchmarks.speed.training_peers`; nothing of coverslip is imported. Its
DTFD-MIL has a reduction of its own; its ABMIL has none, and gets that of the others as
its feature adaptor.
"""

from collections.abc import Callable
from pathlib import Path

import h5py
import torch
from soma.learn import MILLearner, Trainer
from soma.learn.collate import BagBatch
from soma.models import ABMIL, DTFDMIL, BinaryClassificationHead, MILModel
from torch import nn


def prepare(folder: str, model: str, width: int, groups: int) -> Callable[[], object]:
    """Return what trains one epoch on each bag of a folder.

    Args:
        folder: Where the bags `slide_N.h5` lie; they are held in memory in float32.
        model: `abmil` (gated) or `dtfd` (AFS, which keeps one vector a pseudo-bag).
        width: Of the reduction.
        groups: Pseudo-bags.
    """
    bags = [_read(path) for path in sorted(Path(folder).glob("slide_*.h5"))]
    dim = bags[0].features.shape[-1]
    if model == "dtfd":
        first = None
        pool = DTFDMIL(
            dim, embed_dim=width, n_groups=groups, distill_mode="afs", dropout=0.0
        )
    else:
        first = nn.Sequential(nn.Linear(dim, width), nn.ReLU())
        pool = ABMIL(width, dropout=0.0)
    head = BinaryClassificationHead(pool.output_dim, num_classes=2)
    network = MILModel(pool, head, feature_adaptor=first)
    learner = MILLearner(network)
    return lambda: Trainer(max_epochs=1, device="cpu").fit(learner, bags)


def _read(path: Path) -> BagBatch:
    with h5py.File(path) as file:
        x = torch.from_numpy(file["features"][:].astype("float32"))[None]
    label = int(path.stem.rpartition("_")[2]) % 2
    mask = torch.ones(x.shape[:2], dtype=torch.bool)
    return BagBatch(x, mask, {"label": torch.tensor([label])}, (path.stem,))
