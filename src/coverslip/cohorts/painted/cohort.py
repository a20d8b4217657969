"""A cohort of painted slides with lesions, for the demo, the documentation and tests.

    folder/
      slides/painted_001.tif ...       tiled pyramids; the name does not tell the label
      annotations/painted_002.xml ...  lesions of the positive slides, as ASAP draws them
      labels.csv                       slide_id,case_id,label (normal or tumor)
      painted.json                     the options

A slide depends on the seed and its number alone, so a cohort can be enlarged.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from coverslip.cohorts.painted.slide import PaintedOptions, PaintedSlide, paint_slide
from coverslip.cohorts.pyramid import write_pyramid
from coverslip.prepare.annotations import write_asap_xml
from coverslip.store import Facts, check_same, read_json, write_json
from coverslip.tables import write_csv

__all__ = [
    "PaintedCohort",
    "PaintedOptions",
    "PaintedRow",
    "PaintedSlide",
    "paint_cohort",
    "paint_slide",
]

NEGATIVE, POSITIVE = "normal", "tumor"
"""The two labels."""

LESION_GROUP = "_0"
"""Group of the lesions in the annotations; CAMELYON16 names it so."""

CASES_OF_A_BLOCK = 4
"""Cases among which the labels are balanced; the last of them has two slides."""


@dataclass(frozen=True)
class PaintedRow:
    """One line of `labels.csv`."""

    slide_id: str
    case_id: str
    label: str


@dataclass(frozen=True)
class PaintedCohort:
    """A painted cohort on disk.

    Attributes:
        folder: Where it lies.
        rows: Its slides, in order.
    """

    folder: Path
    rows: tuple[PaintedRow, ...]

    @property
    def slides(self) -> Path:
        """Return the folder of the slides."""
        return self.folder / "slides"

    @property
    def annotations(self) -> Path:
        """Return the folder of the lesions."""
        return self.folder / "annotations"

    @property
    def labels_csv(self) -> Path:
        """Return the table of labels."""
        return self.folder / "labels.csv"

    def slide(self, slide_id: str) -> Path:
        """Return where a slide lies."""
        return self.slides / f"{slide_id}.tif"

    def lesions(self, slide_id: str) -> Path:
        """Return where a positive slide's lesions lie."""
        return self.annotations / f"{slide_id}.xml"


def paint_cohort(
    folder: Path, options: PaintedOptions | None = None, *, workers: int = 1
) -> PaintedCohort:
    """Paint a cohort, or what is missing of it.

    Args:
        folder: Where it goes; what is there of the same cohort is kept.
        options: How it is painted.
        workers: How many slides are painted at the same time.

    Raises:
        ParametersDifferError: The folder holds a cohort of other options.
        OutputError: The folder cannot be written.
        OptionError: The lesions asked for do not fit into the tissue.
    """
    options = options or PaintedOptions()
    rows = tuple(islice(_rows(options), options.n_slides))
    cohort = PaintedCohort(folder, rows)
    _keep_options(folder / "painted.json", options)
    with ThreadPoolExecutor(workers) as pool:
        jobs = [pool.submit(_paint, cohort, options, i) for i in range(len(rows))]
        try:
            for job in jobs:
                job.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    columns = ["slide_id", "case_id", "label"]
    write_csv(cohort.labels_csv, columns, (asdict(row) for row in rows))
    return cohort


def _rows(options: PaintedOptions) -> Iterator[PaintedRow]:
    """Give the slides one after the other, without end.

    Labels are drawn for a case; within each block of cases the share of positives is
    kept as closely as whole cases allow.
    """
    share, number, block = options.positive_share, 0, 0
    while True:
        first = CASES_OF_A_BLOCK * block
        last = first + CASES_OF_A_BLOCK
        positives = round(last * share) - round(first * share)
        drawn = np.random.default_rng([options.seed, block, 1])
        places = drawn.permutation(CASES_OF_A_BLOCK)
        for case, place in zip(range(first, last), places, strict=True):
            label = POSITIVE if place < positives else NEGATIVE
            for _ in range(2 if case == last - 1 else 1):
                number += 1
                name, case_name = f"painted_{number:03d}", f"case_{case + 1:03d}"
                yield PaintedRow(name, case_name, label)
        block += 1


def _keep_options(path: Path, options: PaintedOptions) -> None:
    """Write the options that shape a slide, or check that they are the same."""
    facts: Facts = options.facts()
    del facts["n_slides"]
    if path.exists():
        check_same(path, read_json(path), facts)
    else:
        write_json(path, facts)


def _paint(cohort: PaintedCohort, options: PaintedOptions, index: int) -> None:
    """Paint one slide and write it, unless it is there."""
    row = cohort.rows[index]
    positive = row.label == POSITIVE
    slide, lesions = cohort.slide(row.slide_id), cohort.lesions(row.slide_id)
    if slide.exists() and (lesions.exists() or not positive):
        return
    rng = np.random.default_rng([options.seed, index])
    painted = paint_slide(rng, options, lesions=positive)
    if positive:
        write_asap_xml(lesions, {LESION_GROUP: painted.lesions})
    write_pyramid(slide, painted.image, options.l0_mpp, description="painted slide")
