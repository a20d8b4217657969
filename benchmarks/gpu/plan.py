"""How much is measured, and where."""

from dataclasses import dataclass
from pathlib import Path

from benchmarks.accuracy.tissue_bags import BAGS
from benchmarks.speed import embedding, start
from benchmarks.speed.training_auc import Device


@dataclass(frozen=True)
class Plan:
    """Sizes; those that are not given are a GPU's.

    Attributes:
        device: Where it runs.
        weights: Of the ResNet-50; random ones take as long.
        dtfd: A checkout of DTFD-MIL.
        slide: What features are made of, in place of the slides that are known.
        rounds: Rounds that count; whole programs run `runs` times.
        side: Of the matrices whose product is the limit.
        batch: Patches of a batch, of which `batches` make a round.
        real: The slide in the folder of real data.
        mosaic: Side of the mosaic in pixels.
        slides: Bags of an epoch, each of so many `patches`.
        rivals: Bags on which DTFD-MIL is timed.
        cohort: Training slides that 5 folds are cut from.
        later: Epochs of a fold that are timed after its first.
        seeds: Of the comparison of what is learnt.
        bags: Its bags a part.
    """

    device: Device = "cuda"
    weights: Path | None = None
    dtfd: Path | None = None
    slide: Path | None = None
    rounds: int = 5
    runs: int = 2
    side: int = 8192
    batch: int = 256
    batches: int = 20
    real: str = embedding.SLIDE
    mosaic: int = 80_000
    slides: int = 400
    patches: int = 10_000
    rivals: int = 20
    cohort: int = 270
    later: int = 5
    seeds: int = 5
    bags: tuple[tuple[str, int], ...] = tuple(BAGS.items())


TRIAL = Plan(
    device="cpu",
    rounds=1,
    runs=1,
    side=512,
    batch=2,
    batches=1,
    real=start.SLIDE,
    mosaic=4096,
    slides=8,
    patches=300,
    rivals=2,
    cohort=10,
    later=1,
    seeds=2,
    bags=(("train", 8), ("val", 8)),
)
"""A look whether everything runs; its figures say nothing."""
