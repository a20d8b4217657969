"""Bags: what a model may be given, and the statistics of what it was trained on.

A bag is one slide's `Features`: the field's word, seen from the model.
"""

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt
import torch

from coverslip import store
from coverslip.errors import DataError, MismatchError
from coverslip.prepare.features import Features

Bag = Features
"""One slide's features: (n, D) and where they lie."""


def bag_tensor(bag: Bag) -> torch.Tensor:
    """Return a bag's features as a float32 tensor (n, D) of their own."""
    own = torch.from_numpy(np.array(bag.features))  # PyTorch widens faster than NumPy
    return own.to(torch.float32)


def bag_coords(bag: Bag) -> torch.Tensor | None:
    """Return where a bag's patches lie, level-0 (x, y) int64 (n, 2), if it is known."""
    return None if bag.coords is None else torch.from_numpy(bag.coords)


def bag_facts(bag: Bag) -> store.Facts:
    """Return what must agree between a model and the bags it is given.

    Of another program's file only the dimension is known. The precision that features
    were made in is left out: it moves them by less than patches differ.
    """
    encoder = bag.facts.get("encoder") or {"name": "unknown"}
    patching = bag.facts.get("patching") or {}
    known = {k: v for k, v in encoder.items() if k not in {"precision", "calibration"}}
    return {
        "encoder": {**known, "dim": int(bag.features.shape[1])},
        "patching": {k: patching[k] for k in ("mpp", "size") if k in patching},
    }


def check_belongs(bag: Bag, asked: store.Facts, asked_by: str) -> None:
    """Refuse features of another encoder, other weights, or another scale.

    Raises:
        MismatchError: Some fact differs; the message names each.
    """
    facts = bag_facts(bag)
    differing = [
        f"{group} {key} is {facts[group].get(key)!r}, not {value!r}"
        for group in ("encoder", "patching")
        for key, value in asked[group].items()
        if facts[group].get(key) != value
    ]
    if differing:
        raise MismatchError(
            f"features of {bag.slide_id} are not those of {asked_by} "
            f"({'; '.join(differing)}): make them with the same encoder and patches"
        )


def check_alike(bags: Sequence[Bag]) -> store.Facts:
    """Return the facts that all bags share.

    Raises:
        MismatchError: Two bags were made in different ways.
    """
    facts = bag_facts(bags[0])
    for bag in bags[1:]:
        check_belongs(bag, facts, bags[0].slide_id)
    return facts


def feature_statistics(
    bags: Iterable[Bag],
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Return the mean and standard deviation (D,) over all patches of some bags.

    Two passes, in float64. A dimension that never varies gets deviation 1.
    """
    bags = list(bags)
    count = sum(len(bag) for bag in bags)
    if count == 0:
        raise DataError("no training slide has a patch: check tissue and labels")
    total = [np.sum(bag.features, axis=0, dtype=np.float64) for bag in bags]
    mean = np.sum(total, axis=0) / count
    square = [np.sum((bag.features - mean) ** 2, axis=0) for bag in bags]
    deviation = np.sqrt(np.sum(square, axis=0) / count)
    deviation[deviation < 1e-6] = 1.0
    return mean.astype(np.float32), deviation.astype(np.float32)
