"""What a study says of its slides, ready for the page: JSON, and open slides.

Slides are known by the ids in `slides.csv`. Nothing here turns a text of the page into
the name of a file: an id, or the name of a run, is looked up among those that are there.
"""

import math
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from shapely.geometry import Polygon

from coverslip import store
from coverslip.errors import CoverslipError, DataError, MissingMppError
from coverslip.geometry import Mpp
from coverslip.learn.names import join_key
from coverslip.pipeline.predict.scoring import (
    RunScores,
    SlideScores,
    open_run,
    run_names,
)
from coverslip.pipeline.predict.truth import annotation_files
from coverslip.prepare.annotations import read_annotations
from coverslip.prepare.tissue import Tissue
from coverslip.show.heatmap import rank
from coverslip.slides.finding import open_slide
from coverslip.slides.shelf import Shelf
from coverslip.slides.slide import Slide
from coverslip.tables import read_csv
from coverslip.viewer.cabinet import Cabinet
from coverslip.viewer.pyramid import OVERLAP, SIDE, Place, Pyramid

Json = dict[str, Any]

KEPT_SCORES = 4 << 20
"""Patches whose scores are kept: some hundred slides."""

KEPT_TILES = 64 << 20
"""Bytes of encoded tiles that are kept."""

KEPT_OUTLINES = 32
"""Slides whose outlines are kept."""

CHANCE = "probability_"
"""What the columns of probabilities begin with."""


class UnknownError(DataError):
    """The page asked for what is not in the study."""


@dataclass
class Evidence:
    """A study, for the page.

    Attributes:
        study: Its folder.
        annotations: Folder of annotations named after the slides, if there is one.
        run: The run to begin with; the latest when none is named.
        device: Where models are run.

    Raises:
        DataError: It is not a study, there is no such run, or the annotations are no
            folder.
    """

    study: Path
    annotations: Path | None = None
    run: str | None = None
    device: str = "auto"
    _runs: dict[str, RunScores] = field(default_factory=dict)
    _scoring: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.slides()
        if self.run is not None:
            open_run(self.study, self.run)
        if self.annotations is not None:
            annotation_files(self.annotations)
        self._cabinet = Cabinet(self._open)
        self._scores: Shelf[Json] = Shelf(KEPT_SCORES, lambda told: len(told["x"]) + 1)
        self._tiles: Shelf[bytes] = Shelf(KEPT_TILES, len)
        self._outlines: Shelf[Json] = Shelf(KEPT_OUTLINES, lambda _: 1)

    def close(self) -> None:
        """Close the slides."""
        self._cabinet.close()

    def slides(self) -> dict[str, dict[str, str]]:
        """Return the rows of `slides.csv` by slide, as they are now."""
        path = store.Study(self.study).slides_csv
        if not path.is_file():
            raise DataError(
                f"{self.study}: no study: give a folder that `coverslip run`, "
                "`tissue` or `features` has made"
            )
        return {row["slide_id"]: row for row in read_csv(path, ("slide_id",))}

    def runs(self) -> list[str]:
        """Return the names of the runs that came to their end, the latest last."""
        with suppress(DataError):
            return run_names(self.study)
        return []

    def about(self) -> Json:
        """Return the study's name, its runs, the one to begin with, and annotations."""
        runs = self.runs()
        return {
            "study": "/".join(self.study.resolve().parts[-2:]),
            "runs": runs,
            "run": self.run or (runs[-1] if runs else None),
            "annotations": self.annotations is not None,
        }

    def listed(self, run: str | None) -> Json:
        """Return what is known of every slide, and what a run says of it as a whole.

        Raises:
            UnknownError: There is no such run.
        """
        said = self._run(run).rows if run else {}
        names = next(iter(said.values()), {})
        classes = [
            name.removeprefix(CHANCE) for name in names if name.startswith(CHANCE)
        ]
        rows = self.slides()
        listed = [
            _listed(slide_id, rows.get(slide_id, {}), said.get(slide_id, {}), classes)
            for slide_id in sorted(rows)
        ]
        return {"classes": classes, "slides": listed}

    def slide(self, slide_id: str) -> Json:
        """Return the size and scale of a slide.

        Raises:
            UnknownError: There is no such slide in the study.
            SlideError: It cannot be opened.
        """
        with self.pyramid(slide_id) as pyramid:
            slide, mpp = pyramid.slide, None
            with suppress(MissingMppError):  # unequal sides have no one scale
                mpp = slide.l0_mpp
            return {
                "id": slide_id,
                "width": slide.l0_size[0],
                "height": slide.l0_size[1],
                "mpp": mpp,
                "bounds": slide.bounds.as_list(),
                "tile": SIDE,
                "overlap": OVERLAP,
                "top": pyramid.top,
            }

    def tile(self, slide_id: str, place: Place) -> bytes:
        """Return a tile of a slide as JPEG.

        Raises:
            UnknownError: There is no such slide, or no such tile of it.
            SlideError: It cannot be read.
        """
        with self.pyramid(slide_id) as pyramid:
            if not pyramid.holds(place):
                raise UnknownError(f"{slide_id}: no such tile")
            return self._tiles.get((slide_id, place), lambda: pyramid.jpeg(place))

    def outlines(self, slide_id: str) -> Json:
        """Return tissue and lesions as lists of rings, and what is wrong with either.

        Raises:
            UnknownError: There is no such slide in the study.
            SlideError: It cannot be opened.
        """
        return self._outlines.get(slide_id, lambda: self._draw(slide_id))

    def scores(self, run: str, slide_id: str) -> Json:
        """Return what a run says of the patches of a slide, in columns.

        Raises:
            UnknownError: There is no such run or slide.
            DataError: Its features are gone, or not the model's.
            SlideError: The slide has no patch, or is not the one that was prepared.
        """
        judge = self._run(run)
        self._row(slide_id)

        def score() -> Json:
            with self._scoring:  # a model is read, and run, once at a time
                return _columns(judge.of(slide_id))

        return self._scores.get((run, slide_id), score)

    @contextmanager
    def pyramid(self, slide_id: str) -> Iterator[Pyramid]:
        """Give the tiles of a slide.

        Raises:
            UnknownError: There is no such slide in the study.
            SlideError: It cannot be opened.
        """
        with self._cabinet.pyramid(slide_id) as pyramid:
            yield pyramid

    def _row(self, slide_id: str) -> dict[str, str]:
        row = self.slides().get(slide_id)
        if row is None:
            raise UnknownError(f"{slide_id}: no such slide in this study")
        return row

    def _open(self, slide_id: str) -> Slide:
        row = self._row(slide_id)
        if not row.get("path"):
            raise DataError(f"{slide_id}: slides.csv does not say where it lies")
        mpp = float(row["mpp"]) if row.get("mpp") else None
        return open_slide(Path(row["path"]), None if mpp is None else Mpp(mpp))

    def _run(self, name: str) -> RunScores:
        if name not in self._runs:
            if name not in self.runs():
                raise UnknownError(f"{name}: no such run in this study")
            self._runs[name] = open_run(self.study, name, self.device)
        return self._runs[name]

    def _draw(self, slide_id: str) -> Json:
        self._row(slide_id)
        told: Json = {"faults": []}
        for name, draw in (("tissue", self._tissue), ("lesions", self._lesions)):
            try:
                told[name] = _rings(draw(slide_id))
            except CoverslipError as error:
                told[name] = []
                told["faults"].append(str(error))
        return told

    def _tissue(self, slide_id: str) -> tuple[Polygon, ...]:
        path = store.Study(self.study).tissue(slide_id)
        return Tissue.load(path).outlines if path.is_file() else ()

    def _lesions(self, slide_id: str) -> tuple[Polygon, ...]:
        if self.annotations is None:
            return ()
        path = annotation_files(self.annotations).get(join_key(slide_id))
        if path is None:
            return ()
        with self.pyramid(slide_id) as pyramid:
            return read_annotations(path, pyramid.slide.l0_size).lesions


def _listed(
    slide_id: str,
    row: Mapping[str, str],
    said: Mapping[str, str],
    classes: list[str],
) -> Json:
    """Return a line of the list; `error` is 1 less the probability of the true class."""
    chances = [_number(said.get(f"{CHANCE}{name}")) for name in classes]
    label = said.get("label", "")
    error = None
    if label.lower() in classes:
        chance = chances[classes.index(label.lower())]
        error = None if chance is None else 1 - chance
    return {
        "id": slide_id,
        "label": label,
        "predicted": said.get("predicted", ""),
        "split": said.get("split", ""),
        "case": said.get("case_id", ""),
        "status": said.get("status") or row.get("status", ""),
        "fault": said.get("error") or row.get("error", ""),
        "patches": _number(row.get("patches")),
        "probability": chances[-1] if chances else None,
        "error": error,
    }


def _number(text: str | None) -> float | None:
    return float(text) if text else None


def _rings(polygons: tuple[Polygon, ...]) -> list[list[list[list[float]]]]:
    """Return polygons as rings of points, the outer one first."""
    return [
        [
            [[round(x, 1), round(y, 1)] for x, y in ring.coords]
            for ring in (polygon.exterior, *polygon.interiors)
        ]
        for polygon in polygons
    ]


def _columns(scores: SlideScores) -> Json:
    """Return the scores of n patches, each column a list of n.

    A patch reaches to the end of the level-0 pixel it ends in, as in the pictures of
    `show.heatmap`, so that neighbours leave no gap.
    """
    said = scores.prediction
    return {
        "side": math.ceil(scores.scale.l0_size),
        "classes": list(scores.card.classes),
        "x": scores.coords[:, 0].tolist(),
        "y": scores.coords[:, 1].tolist(),
        "attention": [float(f"{value:.4g}") for value in said.attention],
        "rank": rank(said.attention).round(5).tolist(),
        "chances": said.patch_probabilities.T.astype(float).round(5).tolist(),
    }
