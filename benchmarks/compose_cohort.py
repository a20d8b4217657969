"""Compose slides of real texture from PatchCamelyon patches, with known tumour.

    python benchmarks/compose_cohort.py DATA OUT

DATA is the folder with `patches/pcam_train_valid.zip`. OUT gets slides/*.tif (0.97 mpp,
96-px patches on a grid), labels.csv with a fixed split, and truth/*.csv, which says of
each patch whether it is tumour. Training and validation slides are made of the
archive's train patches, of disjoint parts of them; test slides of its valid patches,
which come from other patients' slides. Then:

    coverslip run OUT/slides --labels OUT/labels.csv --out OUT/study \
        --target-mpp 0.97 --size 96 --threshold 0.5 --encoder resnet50 --weights FILE
    python benchmarks/score_cohort.py OUT
"""

import argparse
import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from coverslip.cohorts.pyramid import write_pyramid
from coverslip.tables import write_csv

SIDE = 96
MPP = 0.97
GRID = 25
PATCHES = 450
SLIDES = {"train": 30, "val": 12, "test": 30}
TUMOUR_SHARE = (0.01, 0.10)
GLASS = 243

Bytes = list[bytes]


def read_pools(archive: Path, rng: np.random.Generator) -> dict[str, dict[int, Bytes]]:
    """Return the JPEGs by subset and class; train and val share no patch."""
    pools: dict[str, dict[int, Bytes]] = {s: {0: [], 1: []} for s in SLIDES}
    with zipfile.ZipFile(archive) as file:
        for label in (0, 1):
            for folder in ("train", "valid"):
                prefix = f"{folder}/{label}/"
                names = sorted(n for n in file.namelist() if n.startswith(prefix))
                names = [n for n in names if not n.endswith("/")]
                jpegs = [file.read(names[i]) for i in rng.permutation(len(names))]
                if folder == "valid":
                    pools["test"][label] = jpegs
                else:
                    cut = len(jpegs) * 3 // 4
                    pools["train"][label] = jpegs[:cut]
                    pools["val"][label] = jpegs[cut:]
    return pools


def tissue_cells(rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Return the grid cells (N, 2) of one piece of tissue, those near the centre."""
    y, x = np.mgrid[:GRID, :GRID]
    tilt, flat = rng.uniform(0, np.pi), rng.uniform(0.75, 1.0)
    across, down = x - (GRID - 1) / 2, y - (GRID - 1) / 2
    u = across * np.cos(tilt) + down * np.sin(tilt)
    v = (down * np.cos(tilt) - across * np.sin(tilt)) / flat
    nearest = np.argsort((u**2 + v**2).ravel(), kind="stable")[:PATCHES]
    return np.stack([x.ravel()[nearest], y.ravel()[nearest]], axis=1)


def tumour_cells(
    rng: np.random.Generator, cells: npt.NDArray[np.int64]
) -> npt.NDArray[np.bool_]:
    """Choose a cluster of cells, log-uniform in size, as a metastasis would lie."""
    share = np.exp(rng.uniform(*np.log(TUMOUR_SHARE)))
    count = max(1, round(share * len(cells)))
    centre = cells[rng.integers(len(cells))]
    distance = ((cells - centre) ** 2).sum(axis=1) + rng.uniform(0, 2, len(cells))
    chosen = np.zeros(len(cells), bool)
    chosen[np.argsort(distance)[:count]] = True
    return chosen


def compose(
    rng: np.random.Generator, pool: dict[int, Bytes], *, positive: bool
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Lay patches on a grid; return the picture, the cells and which are tumour."""
    cells = tissue_cells(rng)
    tumour = tumour_cells(rng, cells) if positive else np.zeros(len(cells), bool)
    picture = np.full((GRID * SIDE, GRID * SIDE, 3), GLASS, np.uint8)
    for label in (0, 1):
        wanted = cells[tumour == bool(label)]
        picks = rng.choice(len(pool[label]), len(wanted), replace=False)
        for (x, y), pick in zip(wanted, picks, strict=True):
            with Image.open(io.BytesIO(pool[label][pick])) as patch:
                pixels = np.asarray(patch.convert("RGB"))
            picture[y * SIDE : (y + 1) * SIDE, x * SIDE : (x + 1) * SIDE] = pixels
    return picture, cells, tumour


def cohort(seed: int) -> Iterator[tuple[str, str, bool]]:
    """Yield subset, slide id and whether the slide is positive; half are."""
    number = 0
    order = np.random.default_rng(seed)
    for subset, count in SLIDES.items():
        for positive in order.permutation(np.arange(count) % 2).astype(bool):
            number += 1
            yield subset, f"composed_{number:03d}", bool(positive)


def main() -> None:
    """Compose the cohort."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    rng = np.random.default_rng(given.seed)
    pools = read_pools(given.data / "patches" / "pcam_train_valid.zip", rng)
    rows = []
    for subset, slide_id, positive in cohort(given.seed):
        picture, cells, tumour = compose(rng, pools[subset], positive=positive)
        write_pyramid(
            given.out / "slides" / f"{slide_id}.tif", picture, MPP, quality=90
        )
        label = "tumor" if positive else "normal"
        rows.append({"slide_id": slide_id, "label": label, "split": subset})
        write_csv(
            given.out / "truth" / f"{slide_id}.csv",
            ["x", "y", "tumor"],
            (
                {"x": int(x) * SIDE, "y": int(y) * SIDE, "tumor": int(t)}
                for (x, y), t in zip(cells, tumour, strict=True)
            ),
        )
    write_csv(given.out / "labels.csv", ["slide_id", "label", "split"], rows)
    print(f"{len(rows)} slides of {PATCHES} patches: {given.out}")


if __name__ == "__main__":
    main()
