"""One training on bags of real tissue: drawn, trained, and asked what it sees.

A trial's seed draws its training and validation bags, the first weights, the order and
the pseudo-bags. The test bags are the same for all. A trial that is in the folder of
trials already is read from there, so an interrupted benchmark goes on; it says which
commit it was trained at. After a change of a model's code remove its trials.
"""

import hashlib
import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from benchmarks.accuracy.record import circumstances
from benchmarks.accuracy.tissue_bags import BAGS, DRAW, Pool, TissueBag, draw_bags
from safetensors.torch import load, save

from coverslip import store
from coverslip.judge.metrics import auc
from coverslip.learn.bags import feature_statistics
from coverslip.learn.models.model import MILModel
from coverslip.learn.models.zoo import build, entry
from coverslip.learn.prediction import predict_bag
from coverslip.learn.train_options import TrainOptions
from coverslip.learn.training import Labelled, Trainer, attention_entropy

WIDTH = 128
"""Length of the reduced features, of every model alike."""

PLACES = "attention", "probability"
"""What may tell where a model sees tumour: attention, or each patch's probability."""

RATES = 1 / 4, 1 / 2, 1, 2, 4, 8
"""False positives a bag at which the share of tumour patches found is read."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Recipe:
    """A row of the table: a model of the zoo and some options."""

    name: str
    model: str
    options: dict[str, Any] = field(default_factory=dict)

    def build(self, in_dim: int, seed: int, width: int = WIDTH) -> MILModel:
        """Make the model, of the common width unless the recipe says otherwise."""
        kind = entry(self.model).options
        options = kind(**{"dim": width, **self.options})
        return build(self.model, in_dim, 2, options, seed)


@dataclass(frozen=True)
class Trial:
    """One training.

    Attributes:
        recipe: What is trained.
        lr: Learning rate.
        weight_decay: Weight decay.
        seed: Of everything that is drawn.
        epochs: Passes over the training bags; the best on validation is kept.
        bags: Number of bags a part.
    """

    recipe: Recipe
    lr: float
    weight_decay: float
    seed: int
    epochs: int
    bags: dict[str, int] = field(default_factory=lambda: dict(BAGS))

    @property
    def key(self) -> str:
        """Return a name of the trial that changes with anything in it."""
        kind = entry(self.recipe.model).options
        options = kind(**{"dim": WIDTH, **self.recipe.options}).facts()
        parts = [self.recipe.model, options, self.epochs, self.bags, DRAW]
        digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
        name = self.recipe.name.replace(", ", "_")
        rates = f"lr{self.lr:g}_wd{self.weight_decay:g}"
        return f"{name}_{rates}_s{self.seed}_{digest[:8]}"


def train_trial(pool: Pool, trial: Trial, folder: Path) -> store.Facts:
    """Train, unless it was done, and keep the model.

    Returns:
        `val` (see `look`), the best epoch, the commit, and seconds.
    """
    path = folder / f"{trial.key}.json"
    if path.exists():
        return dict(store.read_json(path))
    torch.set_num_threads(1)
    start = time.perf_counter()
    drawn = {
        part: draw_bags(pool, part, trial.bags[part], _chance(trial.seed, part))
        for part in ("train", "val")
    }
    train, val = (labelled(pool, drawn[part], part) for part in ("train", "val"))
    model = trial.recipe.build(pool.features.shape[1], trial.seed)
    mean, deviation = feature_statistics(item.bag for item in train)
    model.standardise.set(torch.from_numpy(mean), torch.from_numpy(deviation))
    options = TrainOptions(
        epochs=trial.epochs,
        lr=trial.lr,
        weight_decay=trial.weight_decay,
        seed=trial.seed,
        patience=None,
    )
    trainer = Trainer(model, train, val, options)
    for _ in trainer.epochs():
        pass
    model = trainer.finish()
    with store.writing(path.with_suffix(".safetensors")) as part_file:
        part_file.write_bytes(save(model.state_dict()))
    facts: store.Facts = {
        "commit": circumstances()["commit"],
        "epoch": trainer.progress.best[2] if trainer.progress.best else None,
        "val": look(model, val, drawn["val"]),
        "seconds": time.perf_counter() - start,
    }
    store.write_json(path, facts)
    return facts


def read_trial(pool: Pool, trial: Trial, folder: Path) -> store.Facts:
    """Train if need be, and read the test bags: what `train_trial` says, and `test`."""
    facts = train_trial(pool, trial, folder)
    path = folder / f"{trial.key}_test.json"
    if path.exists():
        return {**facts, "test": store.read_json(path)}
    bags = bags_of_test(pool, trial.bags["test"])
    seen = look(_trained(pool, trial, folder), labelled(pool, bags, "test"), bags)
    store.write_json(path, seen)
    return {**facts, "test": seen}


def look_again(pool: Pool, trial: Trial, folder: Path, partitions: int) -> store.Facts:
    """Return what a trained trial says of validation, averaged over other partitions."""
    bags = draw_bags(pool, "val", trial.bags["val"], _chance(trial.seed, "val"))
    model = _trained(pool, trial, folder)
    return look(model, labelled(pool, bags, "val"), bags, partitions)


def _trained(pool: Pool, trial: Trial, folder: Path) -> MILModel:
    torch.set_num_threads(1)
    model = trial.recipe.build(pool.features.shape[1], trial.seed)
    weights = (folder / f"{trial.key}.safetensors").read_bytes()
    model.load_state_dict(load(weights))
    return model.eval()


def bags_of_test(pool: Pool, n: int) -> list[TissueBag]:
    """Return the test bags, the same for every model and seed."""
    return draw_bags(pool, "test", n, _chance(0, "test"))


def labelled(pool: Pool, bags: list[TissueBag], part: str) -> list[Labelled]:
    """Return bags as a trainer wants them."""
    return [bag.labelled(pool, f"{part}_{i:03d}") for i, bag in enumerate(bags)]


def _chance(seed: int, part: str) -> np.random.Generator:
    return np.random.default_rng([seed, *part.encode()])


def _entropy(attention: npt.NDArray[np.float32]) -> float:
    return attention_entropy(torch.from_numpy(attention)).item()


def look(
    model: MILModel, items: list[Labelled], bags: list[TissueBag], partitions: int = 10
) -> store.Facts:
    """Ask a model about bags.

    Returns:
        `labels` and `scores` (probability) of each bag; how flat attention is and the
        mass of its ten greatest weights; and for each of `PLACES` `instance_auc`, of
        each positive bag, and `found`, the share of tumour patches at each of `RATES`.
    """
    said = [predict_bag(model, item.bag, range(partitions)) for item in items]
    scores = [
        float(one.probabilities[1]) for one in said if one.probabilities is not None
    ]
    facts: store.Facts = {
        "labels": [bag.label for bag in bags],
        "scores": [round(score, 6) for score in scores],
        "entropy": float(np.mean([_entropy(one.attention) for one in said])),
        "top10": float(np.mean([np.sort(one.attention)[-10:].sum() for one in said])),
    }
    for place in PLACES:
        seen = [
            np.asarray(
                one.attention
                if place == "attention"
                else one.patch_probabilities[:, 1],
                np.float64,
            )
            for one in said
        ]
        truth = [bag.tumour for bag in bags]
        facts[place] = {
            "instance_auc": [
                round(auc(t.astype(np.int64), s), 6)
                for t, s in zip(truth, seen, strict=True)
                if t.any()
            ],
            "found": found_at(truth, seen),
        }
    return facts


def found_at(truth: list[npt.NDArray[np.bool_]], seen: list[Floats]) -> list[float]:
    """Return the share of tumour patches found at each of `RATES`.

    As a lesion FROC with every tumour patch a lesion: the patches of all bags are held
    against one threshold; ties at the threshold are not found.
    """
    normal = np.sort(np.concatenate([s[~t] for t, s in zip(truth, seen, strict=True)]))
    tumour = np.concatenate([s[t] for t, s in zip(truth, seen, strict=True)])
    ranked = np.append(normal[::-1], -np.inf)  # where all normal ones may be false
    allowed = [min(int(rate * len(truth)), len(normal)) for rate in RATES]
    return [float((tumour > ranked[count]).mean()) for count in allowed]
