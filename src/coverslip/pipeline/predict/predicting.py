"""Predict slides nobody has labelled, from raw files or a study, and draw heatmaps."""

import glob
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from shapely.geometry import Polygon
from tqdm import tqdm

from coverslip import store
from coverslip.errors import DataError, DuplicateSlideError, MismatchError, SlideError
from coverslip.geometry import Mpp, Scale
from coverslip.learn.bags import Bag, check_belongs
from coverslip.learn.checkpoint import ModelCard, load_model
from coverslip.learn.models.model import MILModel
from coverslip.learn.prediction import Prediction, predict_bag
from coverslip.pipeline.judge.judging import prediction_columns, prediction_row
from coverslip.pipeline.prepare.preparation import Preparation, PrepareOptions
from coverslip.pipeline.prepare.preparing import prepare
from coverslip.pipeline.prepare.table import (
    FAILED,
    NO_PATCH,
    NO_TISSUE,
    SlideTable,
    tell_failure,
)
from coverslip.prepare.annotations import read_annotations
from coverslip.prepare.features import Features
from coverslip.prepare.patches import Patches
from coverslip.show.figures import draw_patches
from coverslip.show.heatmap import PatchShape, draw_heatmap, patch_scores
from coverslip.slides.finding import find_slides, open_slide
from coverslip.slides.fingerprint import fingerprint
from coverslip.tables import write_csv


@dataclass(frozen=True)
class Source:
    """Where one slide to predict comes from.

    Attributes:
        slide_id: The slide.
        features: Its file of features, when they were made.
        patches: Its file of coordinates, when there is one.
        slide: The slide itself, when it is known.
        error: Why it cannot be predicted.
        bare: What is said of it where it has no patches.
    """

    slide_id: str
    features: Path | None = None
    patches: Path | None = None
    slide: Path | None = None
    error: str = ""
    bare: str = NO_TISSUE


def preparation_for(
    card: ModelCard, out: Path, preparation: Preparation
) -> Preparation:
    """Return how slides must be prepared for a model.

    What decides the features is the model's; where and how fast they are made
    (device, workers, weights file, scales, engine) is the caller's.

    Raises:
        DataError: The model does not say (its features came from another program).
    """
    if not card.prepare:
        raise DataError(
            "the model was trained on features of another program: give features "
            "(.h5 files), not slides"
        )
    wanted = PrepareOptions(**card.prepare)
    given = preparation.options.features
    running = {
        key: getattr(given, key)
        for key in ("batch_size", "workers", "device", "precision", "runtime")
    }
    if given.weights is not None:
        running["weights"] = given.weights
    features = wanted.features.replace(**running)
    return replace(
        preparation, out=out, options=wanted.replace(features=features.facts())
    )


def gather(
    inputs: Sequence[Path],
    card: ModelCard,
    preparation: Preparation,
    only: Sequence[str] = (),
    *,
    tell: bool = True,
) -> list[Source]:
    """Find, and where needed make, the features of the slides that are to be predicted.

    Args:
        inputs: Slides or folders of slides, a study, or features (`.h5` files or a
            folder of them).
        card: The model's.
        preparation: For raw slides: how they are prepared, and the study for that.
        only: Slide ids to take; all when empty.
        tell: Print what cannot be predicted.

    Raises:
        DataError: Nothing was found, or an id is not among it.
    """
    made, raw = _made_before(inputs, card)
    slides = {store.slide_id_of(path): path for path in find_slides(raw)} if raw else {}
    if only:
        known = {source.slide_id for source in made} | slides.keys()
        if missing := sorted(set(only) - known):
            raise DataError(f"{', '.join(missing)}: no such slide among the inputs")
        made = [source for source in made if source.slide_id in only]
        slides = {k: path for k, path in slides.items() if k in only}
    for source in made:
        if source.error and tell:
            tell_failure(source.error)
    if slides:
        ready = preparation_for(card, preparation.out, preparation)
        table = prepare(list(slides.values()), ready)
        made += [s for s in _sources(table, ready) if s.slide_id in slides]
    return made


def _made_before(
    inputs: Sequence[Path], card: ModelCard
) -> tuple[list[Source], list[Path]]:
    """Return what has features already, and the places of raw slides."""
    sources: list[Source] = []
    raw: list[Path] = []
    for place in inputs:
        if place.suffix == ".h5" and place.is_file():
            sources.append(Source(place.stem, features=place))
        elif (place / "slides.csv").is_file():
            sources += _from_study(place, card)
        elif place.is_dir() and any(place.glob("*.h5")):
            sources += [Source(p.stem, features=p) for p in sorted(place.glob("*.h5"))]
        else:
            raw.append(place)
    return sources, raw


def _from_study(folder: Path, card: ModelCard) -> list[Source]:
    if not card.prepare:
        raise DataError(
            f"{folder}: the model was trained on features of another program: give "
            "its folder of features instead of the study"
        )
    preparation = Preparation(folder, PrepareOptions(**card.prepare))
    return _sources(SlideTable.open(preparation.study.slides_csv), preparation)


def _sources(table: SlideTable, preparation: Preparation) -> list[Source]:
    encoder = preparation.options.features.encoder
    sources = []
    for slide_id, row in sorted(table.rows.items()):
        slide = Path(str(row["path"])) if row.get("path") else None
        features = preparation.patching.features(encoder, slide_id)
        patches = preparation.patching.patches(slide_id)
        error = str(row.get("error") or "")
        if row.get("status") != FAILED and not features.exists():
            error = f"{features}: no such file: run `coverslip features` first"
        bare = NO_PATCH if row.get("status") == NO_PATCH else NO_TISSUE
        sources.append(Source(slide_id, features, patches, slide, error, bare))
    return sources


def predict_sources(
    model: MILModel, card: ModelCard, sources: Sequence[Source], *, quiet: bool = False
) -> Iterator[tuple[Source, Bag | None, Prediction | None]]:
    """Predict one slide after another; one that fails comes with its error."""
    for source in tqdm(sources, desc="predict", unit="slide", disable=quiet):
        if source.error or source.features is None:
            yield source, None, None
            continue
        try:
            bag = Features.load(source.features)
            if len(bag):
                check_belongs(bag, card.features, "the model")
            yield source, bag, predict_bag(model, bag, card.partitions)
        except (DataError, MismatchError) as error:
            named = isinstance(error, DataError)
            message = str(error) if named else f"{source.features}: {error}"
            tell_failure(message)
            yield replace(source, error=message), None, None


def write_predictions(
    path: Path,
    card: ModelCard,
    said: Sequence[tuple[Source, Prediction | None]],
) -> None:
    """Write one row a slide; a slide that failed says why."""
    skipped = {"case_id", "split", "label"}
    columns = [name for name in prediction_columns(card) if name not in skipped]
    write_csv(path, columns, prediction_rows(card, said))


def prediction_rows(
    card: ModelCard, said: Iterable[tuple[Source, Prediction | None]]
) -> list[dict[str, object]]:
    """Return one row a slide, by slide id; a slide that failed says why."""
    rows: list[dict[str, object]] = []
    for source, prediction in said:
        if prediction is None:
            rows.append(
                {"slide_id": source.slide_id, "status": FAILED, "error": source.error}
            )
        else:
            row = prediction_row(replace(prediction, slide_id=source.slide_id), card)
            if prediction.probabilities is None:
                row |= {"status": source.bare, "predicted": source.bare}
            rows.append(row)
    return sorted(rows, key=lambda row: str(row["slide_id"]))


def slide_of(source: Source) -> tuple[Path, Scale]:
    """Return a slide's file and the scale of its patches.

    Raises:
        SlideError: Slide or patches are not known, or it is another slide than they
            were laid on.
    """
    if source.slide is None or source.patches is None:
        raise SlideError(
            f"{source.slide_id}: its slide is not known: give the slide or the study"
        )
    laid = Patches.load(source.patches)
    mark = laid.facts.get("tissue", {}).get("slide")
    if mark is not None and mark != fingerprint(source.slide):
        raise DuplicateSlideError(
            f"{source.slide}: not the slide that its patches were laid on: prepare it "
            "in another study folder"
        )
    return source.slide, laid.scale


def draw_source(
    source: Source,
    bag: Bag,
    prediction: Prediction,
    card: ModelCard,
    folder: Path,
    *,
    annotations: Path | None = None,
) -> Path | None:
    """Draw one slide's heatmap and write its patch scores, unless they are there.

    The table of scores is written last: where it is there and says the same, the
    pictures beside it are whole and up to date. With annotations (a folder of files
    named after the slides) they are drawn anew, and what was annotated is outlined.

    Returns:
        The picture; None for a slide without patches.

    Raises:
        SlideError: The slide cannot be read, or is not known.
        DataError: Its patches are not known.
    """
    if prediction.probabilities is None or bag.coords is None:
        return None
    table, picture, patches = (
        folder / f"{source.slide_id}{end}" for end in (".csv", ".png", "_patches.png")
    )
    said = replace(prediction, slide_id=source.slide_id)
    scores = patch_scores(said, bag.coords, card.classes)
    outlines = _outlines(source.slide_id, annotations)
    complete = not outlines and all(p.exists() for p in (table, picture, patches))
    if complete and table.read_text("utf-8", "replace") == scores:
        return picture
    if table.exists():
        table.unlink()
    try:
        path, scale = slide_of(source)
    except SlideError:
        store.write_text(table, scores)
        raise
    title = (
        f"{source.slide_id}: predicted {prediction.decide(card.classes, card.threshold)}"
        f", probability of {card.classes[-1]} {prediction.probabilities[-1]:.3f}"
    )
    shape = PatchShape(bag.coords, scale.l0_size, card.classes[-1], outlines)
    with open_slide(path, Mpp(scale.l0_mpp)) as slide:
        draw_heatmap(picture, slide, prediction, shape, title)
        draw_patches(patches, slide, scale, said, coords=bag.coords)
    store.write_text(table, scores)
    return picture


def _outlines(slide_id: str, annotations: Path | None) -> tuple[Polygon, ...]:
    """Return what was annotated on a slide, when there is a file named after it."""
    if annotations is None:
        return ()
    for path in sorted(annotations.glob(f"{glob.escape(slide_id)}.*")):
        return read_annotations(path).lesions
    return ()


def open_model(path: Path, device: str) -> tuple[MILModel, ModelCard]:
    """Read a model onto the device that is asked for."""
    from coverslip.prepare.encoders.devices import choose_device

    return load_model(path, choose_device(device))  # type: ignore[arg-type] # checked there
