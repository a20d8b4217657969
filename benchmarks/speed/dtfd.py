"""DTFD-MIL's published networks, trained as its program trains them.

They are imported from a checkout (`--dtfd DIR`) and taken through each bag pseudo-bag by
pseudo-bag, with one change: both backward passes come before both updates, because
today's PyTorch refuses the published order (an update between them changes weights that
the second still needs).
"""

import importlib
import random
import sys
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from coverslip.learn.loading import Labelled

WIDTH, GROUPS, CLIP = 512, 4, 5.0
CPU = torch.device("cpu")


def require_checkout(folder: Path) -> None:
    """Refuse a folder that is no checkout of the published code.

    Raises:
        SystemExit: It is not.
    """
    if not (folder / "Model" / "network.py").is_file():
        raise SystemExit(f"{folder}: no checkout of DTFD-MIL: no Model/network.py")


class Published:
    """A training of them with distillation AFS.

    Args:
        checkout: The published code.
        items: Bags; they lie in memory in float32, as its program holds them.
        detach: Keep tier 2's loss from going through tier 1, which never learns by it.
        device: Where it runs.

    Raises:
        SystemExit: The folder is not that checkout.
    """

    def __init__(
        self,
        checkout: Path,
        items: list[Labelled],
        *,
        detach: bool = False,
        device: torch.device = CPU,
    ) -> None:
        require_checkout(checkout)
        sys.path.insert(0, str(checkout))
        attention = importlib.import_module("Model.Attention")
        network = importlib.import_module("Model.network")
        dim = items[0].bag.features.shape[1]
        self.classifier = network.Classifier_1fc(WIDTH, 2, 0.0).to(device)
        self.gate = attention.Attention_Gated(WIDTH).to(device)
        self.reduction = network.DimReduction(dim, WIDTH).to(device)
        self.second = attention.Attention_with_Classifier(L=WIDTH, num_cls=2).to(device)
        self.first: list[nn.Module] = [self.classifier, self.gate, self.reduction]
        self.weights = [p for part in self.first for p in part.parameters()]
        self.optimisers = [
            torch.optim.Adam(weights, lr=1e-4, weight_decay=1e-4)
            for weights in (self.weights, list(self.second.parameters()))
        ]
        self.detach, self.device = detach, device
        self.bags = [
            (
                torch.from_numpy(np.float32(item.bag.features)),
                torch.tensor([item.label]),
            )
            for item in items
        ]

    def epoch(self) -> None:
        """Train on each bag once."""
        for x, label in self.bags:
            self.step(x.to(self.device), label.to(self.device))

    def step(self, x: Tensor, label: Tensor) -> None:
        """Train on one bag (n, D)."""
        one, two = self.losses(x, label)
        for optimiser in self.optimisers:
            optimiser.zero_grad()
        one.backward(retain_graph=not self.detach)  # type: ignore[no-untyped-call]
        for part in self.first:
            nn.utils.clip_grad_norm_(part.parameters(), CLIP)
        # what the second pass adds to tier 1 is thrown away in the published program
        own = [None if p.grad is None else p.grad.clone() for p in self.weights]
        two.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.second.parameters(), CLIP)
        for p, slope in zip(self.weights, own, strict=True):
            p.grad = slope
        for optimiser in self.optimisers:
            optimiser.step()

    def losses(self, x: Tensor, label: Tensor) -> tuple[Tensor, Tensor]:
        """Return both tiers' losses of one bag."""
        places = list(range(len(x)))
        random.shuffle(places)
        said, pooled = [], []
        for part in np.array_split(np.array(places), GROUPS):
            chosen = torch.LongTensor(part.tolist()).to(self.device)
            h = self.reduction(x.index_select(0, chosen))
            weighted = torch.einsum("ns,n->ns", h, self.gate(h).squeeze(0))
            f = weighted.sum(0, keepdim=True)
            said.append(self.classifier(f))
            scores = (weighted @ self.classifier.fc.weight.T).softmax(1)[:, -1]
            scores.sort(descending=True)  # it sorts for AFS too
            pooled.append(f)
        tokens = torch.cat(pooled)
        slide = self.second(tokens.detach() if self.detach else tokens)
        first = F.cross_entropy(torch.cat(said), label.expand(GROUPS))
        return first, F.cross_entropy(slide, label)
