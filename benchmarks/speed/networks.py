"""The encoder alone: ResNet-50 on real patches with real weights, in each precision.

    python -m benchmarks.speed.networks

Beside PyTorch as everybody runs it: in fp32, planes first, batch norm unfolded, one
operation after the other, at the batch size that suits it best. Both begin with the
bytes of the patches in memory. The limit is a matrix product, in fp32 and in bf16. int8 is calibrated
on other patches than those that are scored.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from benchmarks.accuracy.record import data_folder
from benchmarks.speed.measure import (
    Clock,
    Contestants,
    kinds,
    rows_of,
    show,
    take_turns,
)
from torch import nn

from coverslip import store
from coverslip.prepare.encoders.card import RESNET50, Card
from coverslip.prepare.encoders.encoder import Encoder
from coverslip.prepare.encoders.pixels import cropped
from coverslip.prepare.encoders.registry import load_encoder
from coverslip.prepare.encoders.resnet import resnet50_trunk
from coverslip.prepare.patches import lay_patches
from coverslip.prepare.tissue import find_tissue
from coverslip.slides.finding import open_slide
from coverslip.slides.reading import read_patch

SLIDE = "slides/ln_metastasis_HE_20x.tif"
WEIGHTS = "weights/resnet50_v1_imagenet_trunk.safetensors"
TIMED, SCORED, CALIBRATING = 32, 128, 64
BATCHES = 2, 4, 8, 16
SIDE = 2048
"""Side of the matrices whose product is the limit."""

BARS: dict[str, store.Facts] = {
    "coverslip fp32": {"times_rival": 1.9, "error": 1e-5},
    "coverslip bf16": {"times_rival": 3.6, "cosine": 0.999},
    "coverslip int8": {"times_rival": 6.5, "cosine": 0.999},
}
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
EAGER = "eager PyTorch fp32"

Pixels = npt.NDArray[np.uint8]
Vectors = npt.NDArray[np.float64]


def main() -> store.Facts:
    """Time all precisions and return the rows of the table."""
    scored, calibrating = real_patches(SCORED, CALIBRATING)
    weights = data_folder() / WEIGHTS
    eager, batch = eager_at_its_best(scored, weights)
    ways: Contestants = {EAGER: (lambda: eager(scored[:TIMED]), TIMED)}
    judged = {}
    exact = eager(scored)
    for precision in ("fp32", "bf16", "int8"):
        encoder = load_encoder("resnet50", weights=weights, precision=precision)
        encoder.calibrate(calibrating)
        ways[f"coverslip {precision}"] = (embedding(encoder, scored[:TIMED]), TIMED)
        judged[f"coverslip {precision}"] = compared(encoder.embed(scored), exact)
    timed = take_turns(ways)
    flops = operations(resnet50_trunk(weights), RESNET50.input_size)
    ceilings = {kind: ceiling(DTYPES[kind]) for kind in kinds()}
    rows = rows_of("ResNet-50, 224 px", timed, rival=EAGER, bars=BARS)
    for row in rows:
        row |= judged.get(row["who"], {})
        if (most := ceilings.get(row["who"][-4:])) is not None:
            share = timed[row["who"]].rate * flops / most
            row["of_limit"] = float(f"{share:.2g}")
    return {
        "stage": "networks",
        "slide": f"{Path(SLIDE).name}, {TIMED} patches timed, {SCORED} scored",
        "eager_batch": batch,
        "flop_per_patch": flops,
        "matrix_flop_per_cpu_second": ceilings,
        "threads": torch.get_num_threads(),
        "rows": rows,
    }


def real_patches(*counts: int) -> list[Pixels]:
    """Return sets of patches (N, 256, 256, 3) of tissue; none is in two sets."""
    with open_slide(data_folder() / SLIDE) as slide:
        patches = lay_patches(slide, find_tissue(slide))
        drawn = np.random.default_rng(0).permutation(len(patches))[: sum(counts)]
        pixels = [
            read_patch(slide, (int(x), int(y)), patches.scale)
            for x, y in patches.coords[drawn]
        ]
    return np.split(np.stack(pixels), np.cumsum(counts)[:-1])


def eager_at_its_best(
    patches: Pixels, weights: Path
) -> tuple[Callable[[Pixels], Vectors], int]:
    """Return plain PyTorch with the batch size at which it is fastest, and that size."""
    module = resnet50_trunk(weights).eval()
    ways = {size: plain(module, RESNET50, size) for size in BATCHES}
    few = patches[: max(BATCHES)]
    contestants: Contestants = {
        str(size): (lambda way=way: way(few), len(few)) for size, way in ways.items()
    }
    timed = take_turns(contestants, 2)
    best = max(BATCHES, key=lambda size: timed[str(size)].rate)
    return ways[best], best


def plain(module: nn.Module, card: Card, batch: int) -> Callable[[Pixels], Vectors]:
    """Return a function from patches to features by plain PyTorch."""
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (card.mean, card.std))

    def embed(patches: Pixels) -> Vectors:
        with torch.inference_mode():
            parts = [
                module((cropped(pixels, card) / 255 - mean) / std)
                for pixels in torch.from_numpy(patches).split(batch)
            ]
        return torch.cat(parts).double().numpy()

    return embed


def embedding(encoder: Encoder, patches: Pixels) -> Callable[[], object]:
    """Return what is timed of us."""
    return lambda: encoder.embed(patches)


def compared(
    features: npt.NDArray[np.floating], exact: npt.NDArray[np.floating]
) -> store.Facts:
    """Return the largest relative error of a patch's features and the least cosine.

    Args:
        features: (N, D).
        exact: (N, D), none of them zero.
    """
    ours, true = features.astype(np.float64), exact.astype(np.float64)
    length = np.linalg.norm(true, axis=1)
    error = np.linalg.norm(ours - true, axis=1) / length
    cosine = (ours * true).sum(axis=1) / (np.linalg.norm(ours, axis=1) * length)
    return {
        "error": float(f"{error.max():.2g}"),
        "cosine": float(f"{cosine.min():.6f}"),
    }


def operations(module: nn.Module, side: int) -> int:
    """Return the multiplications and additions of the convolutions for one image."""
    total = 0

    def count(conv: nn.Module, _given: object, made: torch.Tensor) -> None:
        nonlocal total
        if isinstance(conv, nn.Conv2d):
            total += 2 * made[0].numel() * conv.weight[0].numel()

    hooks = [m.register_forward_hook(count) for m in module.modules()]
    with torch.inference_mode():
        module.eval()(torch.zeros(1, 3, side, side))
    for hook in hooks:
        hook.remove()
    return total


def ceiling(dtype: torch.dtype) -> float:
    """Return the operations of a large matrix product in a CPU second, the best of 5."""
    a, b = (torch.randn(SIDE, SIDE).to(dtype) for _ in range(2))
    spent = []
    for _ in range(6):
        clock = Clock()
        for _ in range(3):
            a @ b
        spent.append(clock.spent().cpu)
    return 3 * 2 * SIDE**3 / min(spent[1:])


if __name__ == "__main__":
    facts = main()
    show(facts)
    print({key: value for key, value in facts.items() if key != "rows"})
