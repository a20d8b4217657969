"""Localise: from what a model says of patches to lesion FROC.

out/detections/<slide_id>.csv   prob,x,y: the organisers' format
out/froc.json                   the figures, and which slides were left out and why
out/froc.png                    the curve
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from coverslip import store
from coverslip.errors import DataError, MismatchError
from coverslip.geometry import Scale
from coverslip.judge.detections import (
    NO_DETECTIONS,
    Detections,
    FrocOptions,
    peaks,
    read_detections,
    regions,
    write_detections,
)
from coverslip.judge.froc import RATES, Froc, lesion_froc
from coverslip.judge.lesions import Lesion, find_lesions
from coverslip.learn.bags import Bag
from coverslip.learn.prediction import Prediction
from coverslip.pipeline.predict.predicting import gather, open_model, predict_sources
from coverslip.pipeline.predict.truth import Known, Truth, know
from coverslip.pipeline.prepare.preparation import Preparation
from coverslip.show.froc_figure import draw_froc
from coverslip.tables import read_csv


@dataclass(frozen=True)
class FrocResult:
    """What `froc` made.

    Attributes:
        froc: The figures.
        out: The folder.
        left_out: Slides that do not count, and why.
    """

    froc: Froc
    out: Path
    left_out: Mapping[str, str]

    def story(self) -> str:
        """Tell it in a few lines."""
        reasons = Counter(self.left_out.values())
        lines = [self.froc.sentence()]
        for reason, count in reasons.items():
            named = [k for k, why in self.left_out.items() if why == reason]
            more = f" and {count - 5} more" if count > 5 else ""
            lines.append(f"left out, {reason}: {', '.join(named[:5])}{more}")
        return "\n".join([*lines, f"figures: {self.out / 'froc.json'}"])


def froc(
    model: Path,
    inputs: Sequence[Path],
    truth: Truth,
    out: Path,
    preparation: Preparation,
    *,
    options: FrocOptions | None = None,
    only: Sequence[str] = (),
) -> FrocResult:
    """Judge how well a model's patch scores find lesions.

    Slides that the run trained or validated on are left out. A slide without tissue
    counts, with nothing detected.

    Args:
        model: A run folder or model file.
        inputs: Slides or folders of slides, a study, or features.
        truth: What is known of the lesions.
        out: Folder to write to.
        preparation: For raw slides: where and how fast they are prepared.
        options: How.
        only: Slide ids to take; all when empty.

    Raises:
        DataError: Model, inputs or annotations cannot be used at all.
        OutputError: A result cannot be written.
    """
    options = options or FrocOptions()
    network, card = open_model(model, preparation.options.features.device)
    sources = gather(inputs, card, preparation, only)
    left_out = learned_from(model, (source.slide_id for source in sources))
    fresh = [source for source in sources if source.slide_id not in left_out]
    found: dict[str, Detections] = {}
    scales: dict[str, float] = {}
    for source, bag, prediction in predict_sources(
        network, card, fresh, quiet=preparation.quiet
    ):
        if bag is None or prediction is None:
            left_out[source.slide_id] = source.error
            continue
        try:
            scale = _scale(bag, source.slide_id)
        except MismatchError as error:
            left_out[source.slide_id] = str(error)
            continue
        found[source.slide_id] = detect(prediction, bag, scale, options)
        scales[source.slide_id] = scale.l0_mpp
        write_detections(
            out / "detections" / f"{source.slide_id}.csv", found[source.slide_id]
        )
    facts = {"model": "/".join(model.parts[-2:]), **options.facts()}
    return _judge(_Found(found, scales, left_out, facts), truth, out, options)


def froc_of_detections(
    folder: Path,
    truth: Truth,
    out: Path,
    options: FrocOptions | None = None,
    *,
    only: Sequence[str] = (),
) -> FrocResult:
    """Judge detections made elsewhere: a file `SLIDE.csv` of `prob,x,y` for each slide.

    Args:
        folder: Of the files; a slide without detections has an empty one.
        truth: What is known of the lesions.
        out: Folder to write to.
        options: `lesion_mpp` must be given; the rest is not used.
        only: Slide ids to take; all when empty.

    Raises:
        DataError: A file cannot be read, there are none, or the scale is not given.
        OutputError: A result cannot be written.
    """
    options = options or FrocOptions()
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder: give a study or one of detections")
    if options.lesion_mpp is None:
        raise DataError(
            f"{folder}: detections do not say how large a pixel is: give --lesion-mpp "
            "(lesion_mpp), for CAMELYON16 0.243"
        )
    files = {store.slide_id_of(path): path for path in sorted(folder.glob("*.csv"))}
    if missing := sorted(set(only) - files.keys()):
        raise DataError(f"{folder}: no detections of {', '.join(missing)}")
    if not files:
        raise DataError(f"{folder}: no SLIDE.csv there: give a folder of detections")
    found = {k: read_detections(p) for k, p in files.items() if not only or k in only}
    facts = {"detections": folder.name, "lesion_mpp": options.lesion_mpp}
    return _judge(_Found(found, {}, {}, facts), truth, out, options)


@dataclass(frozen=True)
class _Found:
    """Detections by slide, level 0's scales, who was left out, and how it was done."""

    detections: Mapping[str, Detections]
    scales: Mapping[str, float]
    left_out: Mapping[str, str]
    facts: store.Facts


def _judge(found: _Found, truth: Truth, out: Path, options: FrocOptions) -> FrocResult:
    known = know(truth, found.detections)
    left_out = {**found.left_out, **known.left_out}
    if not known.regions:
        why = next(iter(left_out.items()), ("", "there is none"))
        raise DataError(
            f"{truth.annotations}: no slide can be judged: {': '.join(why)}"
        )
    result = lesion_froc(
        {k: v for k, v in found.detections.items() if k in known.regions},
        _lesions(known, found.scales, options),
        known.cases,
    )
    store.write_json(
        out / "froc.json",
        {"made_with": found.facts, **result.facts(), "left_out": left_out},
    )
    if result.lesions:
        caption = (
            f"{result.lesions} lesions on {result.slides} slides: FROC {result.score}"
        )
        points = list(zip(RATES, result.sensitivities, strict=True))
        draw_froc(out / "froc.png", result.alarms, result.sensitivity, points, caption)
    return FrocResult(result, out, left_out)


def _lesions(
    known: Known, scales: Mapping[str, float], options: FrocOptions
) -> dict[str, tuple[Lesion, ...]]:
    def mpp(slide_id: str) -> float:
        return options.lesion_mpp or scales[slide_id]

    return {
        slide_id: () if region is None else find_lesions(region, mpp(slide_id))
        for slide_id, region in known.regions.items()
    }


def detect(
    prediction: Prediction, bag: Bag, scale: Scale, options: FrocOptions
) -> Detections:
    """Return the detections on one slide; none where it has no patches."""
    if bag.coords is None or prediction.probabilities is None:
        return NO_DETECTIONS
    if options.score == "probability":
        scores = prediction.patch_probabilities[:, -1].astype("f8")
    else:
        share = prediction.attention / prediction.attention.max()
        scores = share.astype("f8") * prediction.probabilities[-1]
    if options.find == "regions":
        return regions(bag.coords, scores, scale.l0_size, options.threshold)
    return peaks(bag.coords, scores, scale.l0_size, options.radius / scale.l0_mpp)


def _scale(bag: Bag, slide_id: str) -> Scale:
    facts = bag.facts.get("scale")
    if facts is None or (len(bag) and bag.coords is None):
        raise MismatchError(
            f"features of {slide_id} do not say where their patches lie and how large "
            "they are: make them from the slide"
        )
    return Scale(**facts)


def learned_from(model: Path, slide_ids: Iterable[str]) -> dict[str, str]:
    """Return the slides that a run trained or validated on, and which it was."""
    table = (model if model.is_dir() else model.parent) / "splits.csv"
    if not table.exists():
        return {}
    rows = read_csv(table, ("slide_id", "split"))
    split = {row["slide_id"]: row["split"] for row in rows}
    return {
        slide_id: f"the run learned from it ({split[slide_id]})"
        for slide_id in slide_ids
        if split.get(slide_id) in {"train", "val"}
    }
