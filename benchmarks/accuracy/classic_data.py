"""The five classic sets of multiple-instance learning, read and guarded against leaks.

MUSK1 and MUSK2 (Dietterich et al. 1997): molecules, their shapes as instances.
Elephant, Fox and Tiger (Andrews et al. 2002): pictures, their segments as instances.

Some copies of them carry the bag's label as a further, last column: a model that sees
it is right every time. It is dropped here, and `guard` refuses any set in which one
column alone tells the label: on the clean sets the best column is right for 78 % of
the bags at most.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.io import loadmat

from coverslip.errors import DataError

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

FEATURES = {"musk1": 166, "musk2": 166, "elephant": 230, "fox": 230, "tiger": 230}
"""The sets by name, and how many features an instance has."""

TOO_GOOD = 0.9
"""A column that is right more often than this is taken for the label."""

POOLS: dict[str, Callable[[Floats], Floats]] = {
    "max": lambda x: x.max(axis=0),
    "min": lambda x: x.min(axis=0),  # the max of the negated column
    "mean": lambda x: x.mean(axis=0),
}


@dataclass(frozen=True, eq=False)
class ClassicSet:
    """Labelled bags.

    Attributes:
        name: What it is called.
        bags: Features (n, D) of each bag.
        labels: Class of each bag (N,), 0 or 1.
    """

    name: str
    bags: tuple[Floats, ...]
    labels: Ints

    @property
    def counts(self) -> dict[str, int]:
        """Return how many bags, positive bags, instances and features there are."""
        return {
            "bags": len(self.bags),
            "positive": int(self.labels.sum()),
            "instances": sum(map(len, self.bags)),
            "features": self.bags[0].shape[1],
        }


@dataclass(frozen=True)
class Stump:
    """One column's best rule "pooled value above (or below) a threshold".

    Attributes:
        accuracy: Share of bags for which it gives the label.
        column: The column, counted from 0.
        pool: How a bag's instances become one value: max, min or mean.
    """

    accuracy: float
    column: int
    pool: str


def load(folder: Path, name: str) -> ClassicSet:
    """Read a set, without the label's column, and guard it.

    Args:
        folder: Where `musk1.csv.gz` ... `tiger.mat` lie.
        name: A key of `FEATURES`.

    Raises:
        DataError: A file is missing or not of the known width, or a column leaks.
    """
    if name not in FEATURES:
        raise DataError(f"set {name!r} is unknown: choose from {', '.join(FEATURES)}")
    raw = read(folder, name)
    wanted, width = FEATURES[name], raw.counts["features"]
    if width not in (wanted, wanted + 1):
        raise DataError(f"{folder}: {name} has {width} columns, not {wanted}")
    clean = ClassicSet(name, tuple(x[:, :wanted] for x in raw.bags), raw.labels)
    guard(clean)
    return clean


def read(folder: Path, name: str) -> ClassicSet:
    """Read a set as its file has it, every column of features: `load` cleans it.

    Raises:
        DataError: There is no file of that name, or a bag has two labels.
    """
    table, matrix = folder / f"{name}.csv.gz", folder / f"{name}.mat"
    if table.is_file():
        return _from_table(name, table)
    if matrix.is_file():
        return _from_matrix(name, matrix)
    raise DataError(f"{folder}: neither {table.name} nor {matrix.name} is there")


def _from_table(name: str, path: Path) -> ClassicSet:
    """Read rows of label, bag's number, features."""
    rows = np.loadtxt(path, delimiter=",")
    bags, labels = [], []
    for number in np.unique(rows[:, 1]):
        bag = rows[rows[:, 1] == number]
        if len(np.unique(bag[:, 0])) != 1:
            raise DataError(f"{path}: bag {number:g} has two labels: mend the file")
        bags.append(bag[:, 2:])
        labels.append(bag[0, 0] > 0)
    return ClassicSet(name, tuple(bags), np.array(labels, dtype=np.int64))


def _from_matrix(name: str, path: Path) -> ClassicSet:
    """Read MATLAB cells of (features, label), the label 1 or -1."""
    cells = loadmat(path)["data"]
    labels = [cell.item() > 0 for cell in cells[:, 1]]
    bags = tuple(np.asarray(cell, dtype=np.float64) for cell in cells[:, 0])
    return ClassicSet(name, bags, np.array(labels, dtype=np.int64))


def guard(classic: ClassicSet) -> Stump:
    """Return the best single column, unless it is too good to be a feature.

    Raises:
        DataError: It is right for more than `TOO_GOOD` of the bags.
    """
    best = max(
        (stump(classic, pool) for pool in POOLS), key=lambda found: found.accuracy
    )
    if best.accuracy > TOO_GOOD:
        raise DataError(
            f"{classic.name}: the bag {best.pool} of column {best.column} alone gives "
            f"the label of {best.accuracy:.1%} of the bags: it is the label in "
            "disguise: drop that column"
        )
    return best


def stump(classic: ClassicSet, pool: str) -> Stump:
    """Return the best column, pooled over each bag, with either sign."""
    values = np.stack([POOLS[pool](x) for x in classic.bags])  # (N, D)
    ranked = values.argsort(axis=0, kind="stable")  # (N, D)
    ordered = np.take_along_axis(values, ranked, axis=0)  # (N, D)
    positive_below = classic.labels[ranked].cumsum(axis=0)  # (N, D), of the first i + 1
    below = np.arange(1, len(values) + 1)[:, None]  # (N, 1)
    right = (below - positive_below) + (classic.labels.sum() - positive_below)
    share = np.maximum(right, len(values) - right) / len(values)  # (N, D): either sign
    ties = ordered[:-1] == ordered[1:]  # (N - 1, D): no threshold lies between equals
    share[:-1][ties] = 0.0
    column = int(share.max(axis=0).argmax())
    return Stump(float(share[:, column].max()), column, pool)
