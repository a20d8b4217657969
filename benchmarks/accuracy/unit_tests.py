"""Does a model respect the multiple-instance assumption? Raff & Holt's unit tests.

    python -m benchmarks.accuracy.unit_tests --out FILE [--quick]

Raff & Holt (NeurIPS 2023) train on bags that can be told apart by a rule which the
assumption forbids, then test on bags where only the permitted rule holds:

    SC  single concept: positive patches make a bag positive. In training a "poison"
        patch lies in each negative bag, in the test in each positive one.
    MC  multiple concepts: positive means A and B. The poison changes sides likewise.
    FF  false frequency: positive means A and B. In the test a negative bag holds 35 to
        39 copies of one of them, in training one.

A model that has learnt its training bags and orders the test's the wrong way (AUC below
0.5) follows the forbidden rule. A positive patch of SC is N(0, 3) or N(1, 1) by a coin,
as the paper has it; the deviations of N are given, patches are 16 long.
"""

import argparse
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import product
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from benchmarks.accuracy.fitting import (
    NARROW,
    Example,
    example,
    fit,
    small,
    standardise,
)
from benchmarks.accuracy.record import circumstances, earlier_rows, merged

from coverslip import store
from coverslip.judge.metrics import auc
from coverslip.learn.models.model import MILModel
from coverslip.learn.models.zoo import MODELS
from coverslip.learn.train_options import TrainOptions

Patches = npt.NDArray[np.float64]
Draw = Callable[[np.random.Generator, int, bool], Patches]
"""Makes one bag's patches (n, D) from (chance, label, whether it is the unit test's)."""

D = 16
PLAN = TrainOptions(epochs=6, lr=5e-3, weight_decay=1e-4, partitions=3)
TRAINING_BAGS, TEST_BAGS, QUICK_BAGS = 800, 200, 200
SEEDS = (0, 1, 2)


def patches(rng: np.random.Generator, n: int, mean: float, std: float) -> Patches:
    """Return n patches around a mean, (n, D)."""
    return rng.normal(mean, std, (n, D))


def background(rng: np.random.Generator, most: int) -> Patches:
    """Return 1 to `most` patches that say nothing."""
    return patches(rng, int(rng.integers(1, most + 1)), 0, 1)


def poison(rng: np.random.Generator) -> Patches:
    """Return the patch that marks negative bags in training."""
    return patches(rng, 1, -10, 0.1)


def single_concept(rng: np.random.Generator, label: int, unit_test: bool) -> Patches:
    """Make a bag of SC."""
    parts = [background(rng, 4 if label else 9)]
    if label:
        kinds = rng.choice(2, int(rng.integers(1, 4)))
        parts += [patches(rng, 1, *((0, 3), (1, 1))[kind]) for kind in kinds]
    if bool(label) == unit_test:
        parts.append(poison(rng))
    return np.concatenate(parts)


def multi_concept(rng: np.random.Generator, label: int, unit_test: bool) -> Patches:
    """Make a bag of MC: A is N(2, .1), B is N(3, .1)."""
    parts = [background(rng, 4)]
    if label:
        parts += [patches(rng, int(rng.integers(1, 5)), mean, 0.1) for mean in (2, 3)]
    else:
        parts.append(patches(rng, 1, rng.choice([2, 3]), 0.1))
    poisoned_in_training = not label or rng.random() < 0.1
    if bool(label) if unit_test else poisoned_in_training:
        parts.append(poison(rng))
    return np.concatenate(parts)


def false_frequency(rng: np.random.Generator, label: int, unit_test: bool) -> Patches:
    """Make a bag of FF: A is N(-2, .1), B is N(2, .1)."""
    parts = [background(rng, 9)]
    if label:
        parts += [patches(rng, 1, mean, 0.1) for mean in (-2, 2)]
    else:
        copies = int(rng.integers(35, 40)) if unit_test else 1
        parts.append(patches(rng, copies, rng.choice([-2, 2]), 0.1))
    return np.concatenate(parts)


TESTS: dict[str, Draw] = {
    "SC": single_concept,
    "MC": multi_concept,
    "FF": false_frequency,
}


def bags_of(test: str, count: int, seed: int, *, unit_test: bool) -> list[Example]:
    """Return bags, every second one positive."""
    rng = np.random.default_rng(seed)
    drawn = [TESTS[test](rng, i % 2, unit_test) for i in range(count)]
    return [example(torch.from_numpy(x), i % 2) for i, x in enumerate(drawn)]


def measure(
    test: str,
    model: str,
    seed: int,
    plan: TrainOptions = PLAN,
    *,
    training_bags: int = TRAINING_BAGS,
    test_bags: int = TEST_BAGS,
) -> tuple[float, float]:
    """Return a model's AUC on bags like the training's and on the unit test's.

    Args:
        test: A key of `TESTS`.
        model: A key of `MODELS`.
        seed: Draws the bags, the weights and all else.
        plan: How it is trained.
        training_bags: How many.
        test_bags: Of each of the two tests.
    """
    torch.set_num_threads(1)
    bags = bags_of(test, training_bags, 100 + seed, unit_test=False)
    trained = small(model, D, seed)
    standardise(trained, bags)
    fit(trained, bags, plan.replace(seed=seed))
    alike = bags_of(test, test_bags, 200 + seed, unit_test=False)
    unlike = bags_of(test, test_bags, 300 + seed, unit_test=True)
    seeds = range(plan.partitions)
    return area(trained, alike, seeds), area(trained, unlike, seeds)


def area(model: MILModel, bags: Sequence[Example], partitions: Sequence[int]) -> float:
    """Return the area under the ROC curve of the bags' probability."""
    scores = [model.predict(bag.x, partitions).probability[1].item() for bag in bags]
    return auc([bag.label for bag in bags], scores)


def verdict(alike: Sequence[float], unit_test: Sequence[float]) -> str:
    """Say what the AUC of all seeds mean: violates, passes, undecided or not learnt."""
    if min(alike) < 0.9:
        return "not learnt"
    if max(unit_test) < 0.5:
        return "violates"
    return "passes" if min(unit_test) > 0.95 else "undecided"


def respects(verdicts: Sequence[str]) -> str:
    """Say whether a model respects the assumption, from its verdicts, SC's first."""
    if "violates" in verdicts:
        return "no"
    return "yes" if verdicts[0] == "passes" else "undecided"


def run(
    models: Sequence[str],
    seeds: Sequence[int],
    plan: TrainOptions = PLAN,
    training_bags: int = TRAINING_BAGS,
    processes: int = 2,
) -> list[store.Facts]:
    """Measure each model on each test, several at once; return a row for each."""
    todo = list(product(TESTS, models, seeds))
    with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
        waiting = [
            pool.submit(measure, *each, plan, training_bags=training_bags)
            for each in todo
        ]
        found = {
            each: future.result() for each, future in zip(todo, waiting, strict=True)
        }
    rows = []
    for test, model in product(TESTS, models):
        pairs = [found[test, model, seed] for seed in seeds]
        alike, unlike = zip(*pairs, strict=True)
        rows.append(
            {
                "test": test,
                "model": model,
                "in_distribution": [round(area, 4) for area in alike],
                "unit_test": [round(area, 4) for area in unlike],
                "verdict": verdict(alike, unlike),
            }
        )
    return rows


def table(facts: store.Facts) -> str:
    """Return the results as a Markdown table, a row a model."""
    lines = [
        f"| model | {' | '.join(TESTS)} | respects the assumption? |",
        f"|---|{'---|' * len(TESTS)}---|",
    ]
    rows = {(row["model"], row["test"]): row for row in facts["results"]}
    for model in dict.fromkeys(row["model"] for row in facts["results"]):
        own = [rows[model, test] for test in TESTS]
        cells = [
            f"{span(row['in_distribution'])} → {span(row['unit_test'])}, "
            f"{row['verdict']}"
            for row in own
        ]
        answer = respects([row["verdict"] for row in own])
        lines.append(f"| `{model}` | {' | '.join(cells)} | {answer} |")
    return "\n".join(lines)


def span(areas: Sequence[float]) -> str:
    """Return lowest-highest, or one figure where they agree."""
    low, high = f"{min(areas):.2f}", f"{max(areas):.2f}"
    return low if low == high else f"{low}–{high}"


def main(
    out: Path,
    *,
    quick: bool = False,
    processes: int = 2,
    models: Sequence[str] | None = None,
) -> store.Facts:
    """Run the unit tests on every model, write the JSON and return it.

    Args:
        out: The file.
        quick: One seed, few bags and half the epochs.
        processes: How many work at once.
        models: Only these; the others' rows stay as they are in the file.
    """
    began = time.perf_counter()
    seeds = SEEDS[:1] if quick else SEEDS
    plan = PLAN.replace(epochs=PLAN.epochs // 2) if quick else PLAN
    bags = QUICK_BAGS if quick else TRAINING_BAGS
    facts: store.Facts = {
        "benchmark": "MIL unit tests",
        **circumstances(),
        "seeds": list(seeds),
        "bags": {"training": bags, "test": TEST_BAGS},
        "training": {
            key: getattr(plan, key)
            for key in ("epochs", "lr", "weight_decay", "drop_at", "drop_by", "clip")
        },
        "widths": NARROW,
        "partitions": plan.partitions,
    }
    earlier = earlier_rows(out, facts) if models else []
    rows = run(models or tuple(MODELS), seeds, plan, bags, processes)
    facts["seconds"] = round(time.perf_counter() - began)
    facts["results"] = merged(
        earlier, [{"commit": facts["commit"], **row} for row in rows]
    )
    store.write_json(out, facts)
    return facts


def command() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    parser.add_argument("--quick", action="store_true", help="one seed, fewer epochs")
    parser.add_argument("--processes", type=int, default=2)
    given = parser.parse_args()
    facts = main(given.out, quick=given.quick, processes=given.processes)
    print(table(facts))


if __name__ == "__main__":
    command()
