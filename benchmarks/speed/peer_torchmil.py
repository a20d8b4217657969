"""torchmil's own networks and trainer, on our bags; run where torchmil is installed.

Started by `benchmarks.speed.training_peers`; nothing of coverslip is imported. Its
networks take features as they are, so the reduction that all others begin with is put
in as its feature extractor.
"""

from collections.abc import Callable
from pathlib import Path

import h5py
import torch
from tensordict import TensorDict
from torch import nn
from torchmil.models import ABMIL, DTFDMIL
from torchmil.utils.trainer import Trainer


def prepare(folder: str, model: str, width: int, groups: int) -> Callable[[], object]:
    """Return what trains one epoch on each bag of a folder.

    Args:
        folder: Where the bags `slide_N.h5` lie; they are held in memory in float32.
        model: `abmil` (gated) or `dtfd` (AFS, which keeps one vector a pseudo-bag).
        width: Of the reduction.
        groups: Pseudo-bags.
    """
    bags = [_read(path) for path in sorted(Path(folder).glob("slide_*.h5"))]
    dim = bags[0]["X"].shape[-1]
    shared = {
        "in_shape": (dim,),
        "feat_ext": nn.Sequential(nn.Linear(dim, width), nn.ReLU()),
    }
    network = (
        DTFDMIL(n_groups=groups, distill_mode="afs", **shared)
        if model == "dtfd"
        else ABMIL(gated=True, **shared)
    )
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-4, weight_decay=1e-4)
    trainer = Trainer(
        network, optimiser, device="cpu", disable_pbar=True, verbose=False
    )
    # its trainer insists on validating: on one bag of a few patches
    first = bags[0]
    few = TensorDict({"X": first["X"][:, :16], "Y": first["Y"]}, batch_size=[1])
    return lambda: trainer.train(1, bags, [few])


def _read(path: Path) -> TensorDict:
    with h5py.File(path) as file:
        x = torch.from_numpy(file["features"][:].astype("float32"))
    label = int(path.stem.rpartition("_")[2]) % 2
    return TensorDict({"X": x[None], "Y": torch.tensor([label])}, batch_size=[1])
