"""A labelled cohort: bags of one folder of features, joined with labels, and split."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from coverslip import store
from coverslip.errors import Complain, DataError, MismatchError, refuse
from coverslip.learn.bags import Bag, bag_facts, check_belongs
from coverslip.learn.labels import Join, Labels, Row, join
from coverslip.learn.loading import Labelled
from coverslip.learn.splits import (
    Split,
    SplitOptions,
    make_folds,
    make_split,
    split_from_labels,
)
from coverslip.prepare.features import Features


@dataclass(frozen=True)
class Cohort:
    """Labelled bags, all made alike, and what was left out.

    Attributes:
        bags: By slide id.
        join: How labels and slides met.
        facts: Encoder and patching that all bags share.
        left_out: Slides whose features cannot be used, and why.
    """

    bags: Mapping[str, Bag]
    join: Join
    facts: store.Facts
    left_out: Mapping[str, str] = field(default_factory=dict)

    @property
    def rows(self) -> list[Row]:
        """Labels of the slides whose features can be used."""
        return [row for key, row in self.join.matched.items() if key in self.bags]

    def part(self, split: Split, subset: str) -> list[Labelled]:
        """Return the labelled bags of one subset, in order of slide id."""
        labels = self.join.labels
        return [
            Labelled(bag, labels.classes.index(self.join.matched[slide_id].label))
            for slide_id, bag in sorted(self.bags.items())
            if split.get(slide_id) == subset
        ]


def features_in(folder: Path) -> list[Path]:
    """Return the files of features in a folder.

    Raises:
        DataError: There are none.
    """
    paths = sorted(folder.glob("*.h5"))
    if not paths:
        raise DataError(f"{folder}: no features there: run `coverslip features` first")
    return paths


def open_cohort(features: Path, labels: Labels) -> Cohort:
    """Open a folder of features and join it with labels.

    A slide whose file is damaged, holds NaN, or was made with another encoder than
    most, is left out and reported; the others go on.

    Raises:
        DataError: There are no features, or none can be used.
        LabelError: No label belongs to any slide.
    """
    paths = {path.stem: path for path in features_in(features)}
    joined = join(labels, paths)
    bags: dict[str, Bag] = {}
    left_out: dict[str, str] = {}
    for slide_id in joined.matched:
        try:
            bags[slide_id] = Features.load(paths[slide_id])
        except DataError as error:
            left_out[slide_id] = str(error)
    if not bags:
        raise DataError(
            f"{features}: none can be used: {next(iter(left_out.values()))}"
        )
    facts = _usual_facts(list(bags.values()))
    for slide_id, bag in list(bags.items()):
        try:
            check_belongs(bag, facts, "most slides")
        except MismatchError as error:
            left_out[slide_id] = f"{paths[slide_id]}: {error}"
            del bags[slide_id]
    return Cohort(bags, joined, facts, left_out)


def _usual_facts(bags: Sequence[Bag]) -> store.Facts:
    counted = Counter(json.dumps(bag_facts(bag), sort_keys=True) for bag in bags)
    return dict(json.loads(counted.most_common(1)[0][0]))


def choose_split(
    rows: Sequence[Row], options: SplitOptions, complain: Complain = refuse
) -> Split:
    """Return the split of labelled slides to use: the label table's, or a new one.

    Args:
        rows: The slides.
        options: How a new one is dealt.
        complain: Told of what is wrong with the table's.

    Raises:
        LabelError: It cannot be made; and what nobody is told of.
    """
    if any(row.split for row in rows):
        return split_from_labels(rows, options.split_seed, options.val_share, complain)
    shares = (
        1 - options.val_share - options.test_share,
        options.val_share,
        options.test_share,
    )
    return make_split(rows, shares, options.split_seed)


def choose_folds(rows: Sequence[Row], options: SplitOptions, folds: int) -> list[Split]:
    """Return k splits; each slide is tested in exactly one of them."""
    return make_folds(rows, folds, options.split_seed, options.val_share)
