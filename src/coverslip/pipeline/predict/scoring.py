"""What a run says of a study's slides, patch by patch, for whatever shows it to people.

A slide is scored when it is asked for, from the study's features: seconds at most, and
nothing to keep in step on disk. Of a cross-validated run each slide gets the model that
did not learn from it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from coverslip import store
from coverslip.errors import DataError, MismatchError, SlideError
from coverslip.geometry import Mpp, Scale
from coverslip.learn.bags import check_belongs
from coverslip.learn.checkpoint import ModelCard
from coverslip.learn.models.model import MILModel
from coverslip.learn.prediction import Prediction, predict_bag
from coverslip.pipeline.learn.folds import fold_folder
from coverslip.pipeline.predict.predicting import Source, gather, open_model, slide_of
from coverslip.pipeline.prepare.preparation import Preparation
from coverslip.prepare.features import Features
from coverslip.slides.finding import open_slide
from coverslip.slides.slide import Slide
from coverslip.tables import read_csv


@dataclass(frozen=True)
class SlideScores:
    """What one model says of one slide, and where its patches lie.

    Attributes:
        slide_id: The slide.
        path: The slide's file.
        prediction: Of the slide and of each of its n patches.
        coords: (n, 2) int64, level-0 top-left corners.
        scale: How its patches were read; `scale.l0_size` is their side in level 0.
        card: The model's.
    """

    slide_id: str
    path: Path
    prediction: Prediction
    coords: npt.NDArray[np.int64]
    scale: Scale
    card: ModelCard

    def open(self) -> Slide:
        """Open the slide at the scale that its patches were laid with.

        Raises:
            UnreadableSlideError: It is gone or damaged.
        """
        return open_slide(self.path, Mpp(self.scale.l0_mpp))


@dataclass
class RunScores:
    """A run's word on the slides of its study.

    Attributes:
        study: The study folder.
        name: The run's name, as it stands in `runs/`.
        device: Where models are run.
    """

    study: Path
    name: str
    device: str = "auto"
    _models: dict[Path, tuple[MILModel, ModelCard]] = field(default_factory=dict)
    _sources: dict[Path, dict[str, Source]] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        """The run's folder."""
        return store.Study(self.study).run(self.name)

    @cached_property
    def rows(self) -> Mapping[str, Mapping[str, str]]:
        """Rows of the run's predictions by slide; of several repeats the first.

        Raises:
            DataError: The run has no table of predictions.
        """
        rows: dict[str, dict[str, str]] = {}
        for row in read_csv(self.folder / "predictions.csv", ("slide_id",)):
            rows.setdefault(row["slide_id"], row)
        return rows

    def model_folder(self, slide_id: str) -> Path:
        """Return the folder of the model that speaks for a slide.

        Raises:
            DataError: The run says nothing of that slide.
        """
        if slide_id not in self.rows:
            raise DataError(
                f"{self.folder / 'predictions.csv'}: says nothing of {slide_id}: choose "
                "one of its slides"
            )
        row = self.rows[slide_id]
        if not row.get("fold"):
            return self.folder
        return fold_folder(self.folder, int(row.get("repeat") or 0), int(row["fold"]))

    def of(self, slide_id: str) -> SlideScores:
        """Score the patches of one slide.

        Raises:
            DataError: The run does not know the slide, or its features are missing or
                not the model's.
            SlideError: The slide has no patch, or is not the one its patches were laid
                on.
        """
        place = self.model_folder(slide_id)
        if place not in self._models:
            self._models[place] = open_model(place, self.device)
        model, card = self._models[place]
        source = self._source(place, slide_id)
        if source.error or source.features is None:
            raise DataError(source.error or f"{slide_id}: its features are not known")
        bag = Features.load(source.features)
        if not len(bag) or bag.coords is None:
            raise SlideError(
                f"{slide_id}: {source.bare}: nothing to show of its patches"
            )
        try:
            check_belongs(bag, card.features, "the model")
        except MismatchError as error:
            raise DataError(f"{source.features}: {error}") from None
        path, scale = slide_of(source)
        prediction = predict_bag(model, bag, card.partitions)
        return SlideScores(slide_id, path, prediction, bag.coords, scale, card)

    def _source(self, place: Path, slide_id: str) -> Source:
        if place not in self._sources:
            _, card = self._models[place]
            preparation = Preparation(self.study, quiet=True)
            made = gather([self.study], card, preparation, tell=False)
            self._sources[place] = {source.slide_id: source for source in made}
        if slide_id not in self._sources[place]:
            raise DataError(
                f"{store.Study(self.study).slides_csv}: no slide {slide_id}: prepare it "
                "in this study"
            )
        return self._sources[place][slide_id]


def run_names(study: Path) -> list[str]:
    """Return the runs of a study that were judged, the latest last.

    Raises:
        DataError: It is not a study, or holds no run that came to its end.
    """
    runs = study / "runs"
    told = [path.parent for path in runs.glob("*/metrics.json")]
    done = [path for path in told if (path / "predictions.csv").is_file()]
    if not done:
        raise DataError(
            f"{runs}: no finished run there: give a study folder after `coverslip train`"
        )
    done.sort(key=lambda path: ((path / "metrics.json").stat().st_mtime_ns, path.name))
    return [path.name for path in done]


def open_run(study: Path, name: str | None = None, device: str = "auto") -> RunScores:
    """Open a run of a study, the latest when none is named.

    Raises:
        DataError: There is no such run; the message names those there are.
    """
    names = run_names(study)
    if name is not None and name not in names:
        raise DataError(
            f"{study / 'runs' / name}: no finished run: choose from {', '.join(names)}"
        )
    return RunScores(study, name or names[-1], device)
