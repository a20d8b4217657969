"""CAMELYON16 from a folder of slides to the figures that papers quote.

    study/camelyon16/inventory.csv    every slide of the set: found, missing or left out
    study/camelyon16/labels.csv       the slides used: label, split, hospital
    study/camelyon16/outlines/        lesion outlines, named after the slides
    study/runs/<name>/camelyon16/
      lesions_128/                    detections on the test slides, FROC, its curve
      summary.json                    figures, and exactly which slides each is on
      summary.txt                     the same in a few lines

Test slides are labelled by `reference.csv`, training slides by their names; the split is
the published one. Nothing is chosen on the test slides.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from coverslip import store
from coverslip.cohorts.camelyon16.facts import (
    NORMAL,
    TUMOR,
    slide_name,
)
from coverslip.cohorts.camelyon16.layout import FOLDER, Stock, take_stock
from coverslip.cohorts.camelyon16.outlines import gather_outlines
from coverslip.errors import LabelError
from coverslip.pipeline import verbs
from coverslip.pipeline.camelyon16_figures import (
    SET_NAMES,
    LesionFigures,
    SlideFigures,
    judge_lesions,
    judge_slides,
)
from coverslip.pipeline.learn.configuration import resolved_preparation
from coverslip.pipeline.learn.learn_options import LearnOptions
from coverslip.pipeline.learn.trackers.hook import check_trackers
from coverslip.pipeline.predict.truth import Truth
from coverslip.pipeline.prepare.preparation import Preparation
from coverslip.pipeline.prepare.table import SlideTable
from coverslip.tables import write_csv

LABEL_COLUMNS = ("slide_id", "label", "split", "center")


@dataclass(frozen=True)
class Camelyon16Result:
    """What came out of a run on CAMELYON16.

    Attributes:
        folder: Of the summary.
        stock: What was found.
        table: How the slides were prepared.
        trained: The run.
        slides: Slide figures by set.
        lesions: Lesion figures by set.
        report: The HTML report; None where it could not be made, which was told.
    """

    folder: Path
    stock: Stock
    table: SlideTable
    trained: verbs.TrainResult
    slides: Mapping[str, SlideFigures]
    lesions: Mapping[str, LesionFigures]
    report: verbs.ReportResult | None = None

    def facts(self) -> store.Facts:
        """Return the figures JSON-ready."""
        return {
            "run": "/".join(self.trained.folder.parts[-2:]),
            "sets": SET_NAMES,
            "slides": {name: own.facts() for name, own in self.slides.items()},
            "lesions": {name: own.facts() for name, own in self.lesions.items()},
            **self.stock.facts(),
        }

    def story(self) -> str:
        """Tell it in a few lines."""
        lines = [line for line in self.trained.summary if not line.startswith("test:")]
        lines += [own.sentence(name) for name, own in self.slides.items()]
        lines += [own.sentence(name) for name, own in self.lesions.items()]
        lines.append(f"model: {self.trained.models[0]}")
        lines.append(f"figures: {self.folder / 'summary.json'}")
        return "\n".join(lines)


def camelyon16(
    folder: Path,
    preparation: Preparation,
    options: LearnOptions | None = None,
    plan: verbs.TrainPlan | None = None,
) -> Camelyon16Result:
    """Train on CAMELYON16's training slides and judge on its test slides.

    Every stage keeps what is complete, so the same call after an interruption goes on.

    Args:
        folder: Where the data set lies, in any layout.
        preparation: How slides are prepared, and the study for it all.
        options: Which model, and how it is trained.
        plan: Name of the run and number of seeds; the split is the published one.

    Raises:
        DataError: There are no such slides; or as `features` and `train`.
        LabelError: No test slide has a label, or a part of the split lacks a class.
        ParametersDifferError: The study was begun with other slides or options.
    """
    plan = plan or verbs.TrainPlan()
    check_trackers(plan.trackers)
    stock = take_stock(folder)
    own = preparation.study.root / FOLDER
    stock.write(own / "inventory.csv")
    labels = write_labels(stock, own / "labels.csv")
    files = {item.path: item for item in stock.used.values() if item.path}
    drawn = [(p.stem, i.outlines) for p, i in files.items() if i.outlines]
    gather_outlines(drawn, own / "outlines")
    table = verbs.features(list(files), preparation)
    plan = replace(
        plan,
        features=preparation.features_folder,
        split_file=None,
        folds=0,
        repeats=1,
        command="camelyon16",
        prepared={
            **resolved_preparation([], preparation),
            "slides": None,
            "camelyon16": {"folder": str(folder.resolve())},
        },
    )
    trained = verbs.train(preparation.out, labels, options, plan)
    reasons = _reasons(stock, table)
    slides = judge_slides(trained.folder / "predictions.csv", reasons)
    truth = Truth(own / "outlines", labels)
    out = trained.folder / FOLDER
    lesions = judge_lesions(trained.models[0], preparation, truth, out, reasons)
    result = Camelyon16Result(out, stock, table, trained, slides, lesions)
    store.write_json(out / "summary.json", result.facts())
    store.write_text(out / "summary.txt", result.story() + "\n")
    return replace(result, report=verbs.reported(preparation, trained))


def write_labels(stock: Stock, path: Path) -> Path:
    """Write label and split of the slides used, if they will do to train and test.

    Raises:
        LabelError: A part of the split lacks a class, or there is nothing to test on.
    """
    used = stock.used.values()
    for split in ("train", "val"):
        for label in (NORMAL, TUMOR):
            if not any((i.split, i.label) == (split, label) for i in used):
                raise LabelError(
                    f"{stock.folder}: no {label} slide of the part {split}: get more of "
                    "the 270 training slides"
                )
    if not any(item.split == "test" for item in used):
        raise LabelError(
            f"{stock.folder}: no test slide with a label: get the test slides and their "
            "reference.csv"
        )
    write_csv(
        path,
        LABEL_COLUMNS,
        ({name: getattr(item, name) for name in LABEL_COLUMNS} for item in used),
    )
    return path


def _reasons(stock: Stock, table: SlideTable) -> dict[str, str]:
    """Say why slides cannot be judged: missing, left out, or not to be prepared."""
    reasons = {item.slide_id: "missing" for item in stock.with_status("missing")}
    reasons |= {item.slide_id: item.remark for item in stock.with_status("left out")}
    for written, row in table.rows.items():
        slide_id = slide_name(written)
        if slide_id and row.get("error"):
            reasons[slide_id] = str(row["error"])
    return reasons
