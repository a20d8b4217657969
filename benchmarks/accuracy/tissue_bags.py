"""Bags of real lymph-node patches: whole-slide images in miniature, with known tumour.

The patches are PatchCamelyon's (from CAMELYON16, CC0), as ResNet-50 features; its train
and valid parts come from different slides. A bag stands for one slide:

- 300 to 1,000 patches; of a positive bag 0.6 to 5 % show tumour, both log-uniform.
- One stain: a bag has an anchor, and takes its patches from those nearest to it in
  stain (250 normal ones and 100 of tumour, out of a random half of the pool), because
  the patches of a slide were stained and scanned together.
- Training and validation bags come from train patches, and from other groups of stain,
  the nearest thing to other slides where slide ids are not known. Test bags come from
  valid patches alone.

Share and stain were fixed once, on validation, such that gated ABMIL reaches an AUC
between 0.90 and 0.97 there.
"""

import io
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image
from sklearn.cluster import KMeans

from coverslip.errors import DataError
from coverslip.learn.training import Labelled
from coverslip.prepare.features import Features

FEATURES = "patches/pcam_train_valid_resnet50.npz"
IMAGES = "patches/pcam_train_valid.zip"

PATCHES = 300, 1000
"""Fewest and most patches of a bag."""

SHARE = 0.006, 0.05
"""Least and greatest part of a positive bag's patches that show tumour."""

NEIGHBOURS = 250, 100
"""How many normal and tumour patches, nearest in stain, a bag draws from."""

STAIN_GROUPS = 25
HELD_BACK = 5
"""One in so many groups of stain is kept apart for validation."""

DRAW = PATCHES, SHARE, NEIGHBOURS, STAIN_GROUPS, HELD_BACK
"""All that decides what a bag is like."""

BAGS = {"train": 200, "val": 200, "test": 300}

Ints = npt.NDArray[np.intp]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Pool:
    """All patches.

    Attributes:
        features: (N, 1024) float16.
        stain: (N, 2) ratios of mean optical density, red and blue to green.
        tumour: (N,) bool.
        part: (N,) "train", "val" or "test".
    """

    features: npt.NDArray[np.float16]
    stain: Floats
    tumour: npt.NDArray[np.bool_]
    part: npt.NDArray[np.str_]


@dataclass(frozen=True, eq=False)
class TissueBag:
    """One bag.

    Attributes:
        patches: (n,) numbers of its patches in the pool; some occur more than once.
        tumour: (n,) which of them show tumour.
        label: 1 if any does.
    """

    patches: Ints
    tumour: npt.NDArray[np.bool_]
    label: int

    def labelled(self, pool: Pool, name: str) -> Labelled:
        """Return it as a trainer wants it; places are made up, in rows of 32."""
        n = len(self.patches)
        coords = np.column_stack([np.arange(n) % 32, np.arange(n) // 32]) * 256
        bag = Features(name, pool.features[self.patches], coords, {})
        return Labelled(bag, self.label)


def read_pool(data: Path) -> Pool:
    """Read features, and measure the stain of each patch.

    Raises:
        DataError: The files are not there.
    """
    table, images = data / FEATURES, data / IMAGES
    for path in (table, images):
        if not path.is_file():
            raise DataError(f"{path}: not there: set COVERSLIP_DATA to the data folder")
    with np.load(table) as file:
        features, names = file["features"], file["names"].astype(str)
    with zipfile.ZipFile(images) as archive:
        stain = np.array([_stain(archive.read(name)) for name in names])
    official = np.array([name.split("/")[0] for name in names])
    tumour = np.array([name.split("/")[1] == "1" for name in names])
    return Pool(features, stain, tumour, _parts(official, stain))


def _stain(jpeg: bytes) -> tuple[float, float]:
    """Return the ratios of optical density of the tissue, red and blue to green."""
    with Image.open(io.BytesIO(jpeg)) as image:
        rgb = np.asarray(image.convert("RGB"), np.float64).reshape(-1, 3)
    density = -np.log10((rgb + 1) / 256)
    tissue = density.sum(axis=1) > 0.3
    red, green, blue = density[tissue if tissue.sum() >= 50 else ...].mean(axis=0)
    return red / green, blue / green


def _parts(official: npt.NDArray[np.str_], stain: Floats) -> npt.NDArray[np.str_]:
    """Keep every fifth group of stain, from reddish to bluish, for validation."""
    train = official == "train"
    groups = KMeans(STAIN_GROUPS, n_init=4, random_state=0).fit(stain[train])
    held = np.argsort(groups.cluster_centers_[:, 1])[HELD_BACK // 2 :: HELD_BACK]
    part = np.where(train, "train", "test").astype("U5")
    part[np.flatnonzero(train)[np.isin(groups.labels_, held)]] = "val"
    return part


def draw_bags(
    pool: Pool, part: str, n: int, rng: np.random.Generator
) -> list[TissueBag]:
    """Draw bags from a part of the pool, every second one positive."""
    return [_draw(pool, part, number % 2, rng) for number in range(n)]


def _draw(pool: Pool, part: str, label: int, rng: np.random.Generator) -> TissueBag:
    n = round(_log_uniform(rng, PATCHES))
    normal, tumour = (
        np.flatnonzero((pool.part == part) & (pool.tumour == c)) for c in (False, True)
    )
    anchor = pool.stain[rng.choice(normal), 1]
    k = max(1, round(n * _log_uniform(rng, SHARE))) if label else 0
    drawn = [
        rng.choice(_near(pool, of, anchor, nearest, rng), count)
        for of, nearest, count in zip(
            (normal, tumour), NEIGHBOURS, (n - k, k), strict=True
        )
    ]
    order = rng.permutation(n)
    truth = np.repeat([False, True], [n - k, k])
    return TissueBag(np.concatenate(drawn)[order], truth[order], label)


def _near(
    pool: Pool, of: Ints, anchor: float, nearest: int, rng: np.random.Generator
) -> Ints:
    half = rng.choice(of, len(of) // 2, replace=False)
    return half[np.argsort(np.abs(pool.stain[half, 1] - anchor))[:nearest]]


def _log_uniform(rng: np.random.Generator, ends: tuple[float, float]) -> float:
    return float(np.exp(rng.uniform(*np.log(ends))))
