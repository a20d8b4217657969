"""A miniature CAMELYON16, painted: the real names, folders, files and catches, small.

    training/normal/Normal_001.tif ...     capitalised, as in older copies
    training/tumor/tumor_002.tif ...       tumor_111 is there, normal_086 is not
    training/lesion_annotations.zip        Tumor_002.xml ...: groups _0, _1, _2
    testing/images/test_001.tif ...        test_049 (a duplicate) and test_114 are there,
                                           test_013 of the reference is missing
    testing/lesion_annotations.zip         Test_001.xml ...: groups Tumor, Exclusion
    testing/reference.csv                  no header
    .outlines, miniature.json              what painting keeps for itself

Slides of the one hospital have 0.243 um per pixel, of the other 0.226. One lesion of
test_001 is no larger than isolated tumour cells. A slide and its outlines depend on the
seed and its name alone. None of this says how good a model is on real tissue.
"""

import zipfile
import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import cycle, islice
from pathlib import Path

import cv2
import numpy as np
from pydantic import Field
from shapely import affinity

from coverslip.cohorts.camelyon16.catches import PAINTED_MPP, add_catches
from coverslip.cohorts.camelyon16.facts import (
    CENTER_MPP,
    NORMAL,
    TUMOR,
    label_of_name,
)
from coverslip.cohorts.camelyon16.split import published_split
from coverslip.cohorts.painted.slide import PaintedOptions, paint_slide
from coverslip.cohorts.pyramid import write_pyramid
from coverslip.errors import DataError
from coverslip.options import Options
from coverslip.prepare.annotations import write_asap_xml
from coverslip.store import (
    Facts,
    check_same,
    read_json,
    write_json,
    write_text,
    writing,
)

TEST = {
    "test_001": "Tumor,IDC,Macro",
    "test_114": "Tumor,ILC,Macro",
    "test_003": "Normal,DCIS,None",
    "test_124": "Normal,ILC,None",
    "test_002": "Tumor,ILC,Macro",
    "test_005": "Normal,DCIS,None",
    "test_004": "Tumor,IDC,Micro",
    "test_006": "Normal,IDC,None",
    "test_008": "Tumor,Ductulolobular,Micro",
    "test_007": "Normal,DCIS,None",
    "test_010": "Tumor,IDC,Micro",
    "test_009": "Normal,IDC,None",
}
"""Rows of the real reference, in the order in which the miniature takes them."""

MISSING = {"test_013": "Tumor,IDC,Micro"}
"""In the reference, but without a slide."""

DUPLICATE = "test_049"
SURE = ("tumor_111", "tumor_010")
"""In every miniature: the renamed slide, and one with outlines that miss lesions."""

FACTS = "miniature.json"


class MiniatureOptions(Options):
    """How large the miniature is."""

    normal: int = Field(24, ge=4, le=48, description="normal training slides")
    tumor: int = Field(16, ge=4, le=48, description="tumor training slides")
    test: int = Field(12, ge=4, le=len(TEST), description="test slides that count")
    size: int = Field(1536, ge=1024, description="side of a slide, px of 0.5 um")
    seed: int = Field(0, ge=0, description="draws the slides")


@dataclass(frozen=True)
class Subject:
    """One slide to paint: its name, its label, and the scanner."""

    slide_id: str
    label: str
    l0_mpp: float


def paint_miniature(
    folder: Path, options: MiniatureOptions | None = None, *, workers: int = 1
) -> Path:
    """Paint a miniature CAMELYON16, or what is missing of it.

    Args:
        folder: Where it goes.
        options: How large it is.
        workers: How many slides are painted at the same time.

    Returns:
        The folder.

    Raises:
        DataError: The folder holds something else.
        ParametersDifferError: The folder holds a miniature of other options.
        OutputError: The folder cannot be written.
    """
    options = options or MiniatureOptions()
    if folder.exists() and any(folder.iterdir()) and not (folder / FACTS).exists():
        raise DataError(
            f"{folder}: holds something else than a miniature: give a new folder"
        )
    _keep_options(folder / FACTS, options)
    training, tests = training_subjects(options), test_subjects(options)
    outlines = folder / ".outlines"
    with ThreadPoolExecutor(workers) as pool:
        task = partial(_paint, folder, outlines, options)
        jobs = [pool.submit(task, subject) for subject in (*training, *tests)]
        try:
            for job in jobs:
                job.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    for part, subjects in (("training", training), ("testing", tests)):
        names = [s.slide_id for s in subjects if s.label == TUMOR]
        _zip_outlines(folder / part / "lesion_annotations.zip", outlines, names)
    rows = {**dict(islice(TEST.items(), options.test)), **MISSING}
    lines = [f"{slide_id},{said}\n" for slide_id, said in sorted(rows.items())]
    write_text(folder / "testing" / "reference.csv", "".join(lines))
    return folder


def training_subjects(options: MiniatureOptions) -> list[Subject]:
    """Choose training slides so that label, hospital and split all occur."""
    queues: dict[tuple[str, str, str], list[str]] = {}
    for place in published_split().values():
        key = (place.label, place.split, place.center)
        # `SURE` comes first of its queue, and four slides of a label empty four queues
        queue = queues.setdefault(key, [])
        queue.insert(0 if place.slide_id in SURE else len(queue), place.slide_id)
    every = [("train", "0"), ("val", "1"), ("train", "1"), ("val", "0")]
    chosen = []
    for label, count in ((NORMAL, options.normal), (TUMOR, options.tumor)):
        turns = cycle([*every, ("train", "0"), ("train", "1")])
        taken = [
            Subject(queues[label, split, center].pop(0), label, CENTER_MPP[center])
            for split, center in islice(turns, count)
        ]
        chosen += sorted(taken, key=lambda subject: subject.slide_id)
    return chosen


def test_subjects(options: MiniatureOptions) -> list[Subject]:
    """Choose test slides, the hospitals in turn, and the duplicate."""
    names = [*islice(TEST, options.test), DUPLICATE]
    labels = [*(TEST[name].partition(",")[0].lower() for name in names[:-1]), TUMOR]
    scales = cycle(CENTER_MPP.values())
    return [Subject(*facts) for facts in zip(names, labels, scales, strict=False)]


def _keep_options(path: Path, options: MiniatureOptions) -> None:
    """Write the options that shape a slide, or check that they are the same."""
    facts: Facts = {"size": options.size, "seed": options.seed}
    if path.exists():
        check_same(path, read_json(path), facts)
    else:
        write_json(path, facts)


def _paint(
    folder: Path, outlines: Path, options: MiniatureOptions, subject: Subject
) -> None:
    """Paint one slide and write it, unless it is there."""
    slide, xml = _slide_file(folder, subject), outlines / f"{subject.slide_id}.xml"
    positive = subject.label == TUMOR
    if slide.exists() and (xml.exists() or not positive):
        return
    rng = np.random.default_rng([options.seed, zlib.crc32(subject.slide_id.encode())])
    micro = "Micro" in TEST.get(subject.slide_id, "")
    painting = PaintedOptions(
        size=options.size, lesion_share=(0.08, 0.12) if micro else (0.2, 0.3)
    )
    painted = paint_slide(rng, painting, lesions=positive)
    enlarged = PAINTED_MPP / subject.l0_mpp
    if positive:
        groups = add_catches(rng, subject.slide_id, painted)
        write_asap_xml(
            xml,
            {
                group: [
                    affinity.scale(p, enlarged, enlarged, origin=(0, 0)) for p in drawn
                ]
                for group, drawn in groups.items()
            },
        )
    side = round(options.size * enlarged)
    image = cv2.resize(painted.image, (side, side), interpolation=cv2.INTER_CUBIC)
    write_pyramid(
        slide,
        np.asarray(image, np.uint8),
        subject.l0_mpp,
        quality=60,
        description="painted miniature of CAMELYON16",
    )


def _slide_file(folder: Path, subject: Subject) -> Path:
    if label_of_name(subject.slide_id):
        name = subject.slide_id
        if subject.label == NORMAL:
            name = name.capitalize()
        return folder / "training" / subject.label / f"{name}.tif"
    return folder / "testing" / "images" / f"{subject.slide_id}.tif"


def _zip_outlines(path: Path, outlines: Path, slide_ids: Sequence[str]) -> None:
    """Zip the outlines of slides, named in capitals; the same files, the same bytes."""
    with writing(path) as part, zipfile.ZipFile(part, "w") as archive:
        for slide_id in slide_ids:
            entry = zipfile.ZipInfo(f"{slide_id.capitalize()}.xml")
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, (outlines / f"{slide_id}.xml").read_bytes())
