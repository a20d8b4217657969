"""A model of another study, and what it says of the slides of this one.

Nobody has labelled these slides: a report of them judges nothing, but shows as much.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from coverslip import store
from coverslip.errors import DataError
from coverslip.learn.checkpoint import model_file
from coverslip.pipeline.predict.predicting import (
    gather,
    open_model,
    predict_sources,
    prediction_rows,
)
from coverslip.pipeline.predict.scoring import RunScores, open_run
from coverslip.pipeline.prepare.preparation import Preparation


@dataclass
class GivenModel(RunScores):
    """A run of elsewhere on the slides of a study.

    Attributes:
        place: The run's folder.
    """

    place: Path = Path()

    @property
    def folder(self) -> Path:
        """The run's folder."""
        return self.place

    @cached_property
    def rows(self) -> Mapping[str, Mapping[str, str]]:
        """What the model says of each slide, as rows of a table of predictions."""
        model, card = open_model(self.place, self.device)
        preparation = Preparation(self.study, quiet=True)
        sources = gather([self.study], card, preparation, tell=False)
        predicted = predict_sources(model, card, sources, quiet=True)
        made = prediction_rows(card, [(source, said) for source, _, said in predicted])
        texts = ({k.lower(): _text(v) for k, v in row.items()} for row in made)
        return {row["slide_id"]: row for row in texts}


def _text(value: object) -> str:
    return "" if value is None else str(value)


def open_scores(study: Path, run: str | None, device: str) -> RunScores:
    """Open a run of a study by its name, or one of elsewhere by its folder.

    Raises:
        DataError: There is no such run.
    """
    place = Path(run or "")
    named = run is None or (place.name == run and (study / "runs" / run).is_dir())
    if named or not place.is_dir():
        return open_run(study, run, device)  # or says which runs there are
    if not store.Study(study).slides_csv.is_file():
        raise DataError(f"{study}: no slides.csv in it: give a study folder")
    model_file(place)  # says what to give in place of a folder of folds
    return GivenModel(study, place.resolve().name, device, place=place)
