"""What a report shows of single slides: pictures where they can be made, or why not."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from shapely.geometry import Polygon
from tqdm import tqdm

from coverslip import store
from coverslip.errors import CoverslipError
from coverslip.pipeline.judge.outcomes import COLUMN
from coverslip.pipeline.predict.scoring import RunScores, SlideScores
from coverslip.prepare.tissue import Tissue
from coverslip.show.report.facts import SlideEvidence
from coverslip.show.report.pictures import picture_slide

Row = Mapping[str, str]


def evidence(
    rows: Sequence[Row], classes: Sequence[str], slides: Mapping[str, Row]
) -> list[SlideEvidence]:
    """Return what a run's table says of slides, without pictures.

    Args:
        rows: Of the table of predictions, one a slide.
        classes: In the order of the probabilities.
        slides: The study's table of slides, for the scale audit.
    """
    return [_of_row(row, classes, slides.get(row["slide_id"], {})) for row in rows]


def _of_row(row: Row, classes: Sequence[str], slide: Row) -> SlideEvidence:
    decided, label = row.get("predicted", ""), row.get("label", "")
    spoken = bool(row.get(COLUMN + classes[0].lower()))
    told = (classes[-1] if len(classes) == 2 else decided).lower()
    verdict = ("right" if decided == label else "wrong") if label and spoken else ""
    status = row.get("status", "")
    return SlideEvidence(
        slide_id=row["slide_id"],
        case_id=row.get("case_id", ""),
        label=label,
        decided=decided or status,
        verdict=verdict,
        probability=_rounded(row.get(COLUMN + told, "")),
        calibrated=_rounded(row.get(f"calibrated_{told}", "")),
        threshold=_rounded(row.get("threshold", "")),
        refer=row.get("refer", ""),
        patches=row.get("patches", ""),
        facts=_facts(row, slide),
        audit=_audit(slide),
        missing=row.get("error") or slide.get("error") or status or "not predicted",
    )


def _facts(row: Row, slide: Row) -> dict[str, str]:
    """Return more about a slide, where it is known."""
    size = f"{slide['width']} × {slide['height']} px" if slide.get("width") else ""
    told = {
        "case": row.get("case_id", ""),
        "fold": row.get("fold", ""),
        "spread over partitions": row.get("spread", ""),
        "patches": row.get("patches", ""),
        "tissue": f"{slide['tissue_mm2']} mm²" if slide.get("tissue_mm2") else "",
        "size of level 0": size,
    }
    return {name: text for name, text in told.items() if text}


def _audit(slide: Row) -> dict[str, str]:
    """Return how the scale was met, from the table of slides, where it is known."""
    columns = {
        "level 0": "mpp",
        "asked": "mpp_asked",
        "read": "mpp_read",
        "achieved": "mpp_achieved",
    }
    told = {name: _um(slide.get(column, "")) for name, column in columns.items()}
    told["resampled by"] = slide.get("resample", "")
    return {name: text for name, text in told.items() if text}


def _um(mpp: str) -> str:
    return f"{mpp} µm/px" if mpp else ""


def _rounded(text: str) -> str:
    return f"{float(text):.3f}" if text else ""


def choose(found: Sequence[SlideEvidence], most: int | None) -> set[str]:
    """Return the slides that get pictures: the wrong ones first, then those referred.

    What a person should look at comes first; then in the order of the table.

    Args:
        found: All slides.
        most: How many, at most; None takes all.
    """

    def weight(one: SlideEvidence) -> tuple[bool, bool]:
        return one.verdict != "wrong", one.refer != "yes"

    ordered = sorted(found, key=weight)
    return {one.slide_id for one in ordered[:most]}


def with_pictures(
    run: RunScores,
    found: Sequence[SlideEvidence],
    chosen: set[str],
    *,
    shown: int,
    quiet: bool = False,
) -> list[SlideEvidence]:
    """Return the slides, the chosen ones with pictures, or with why there are none.

    Args:
        run: The run.
        found: All slides.
        chosen: Which get pictures.
        shown: Top patches, and bottom ones, of a slide.
        quiet: Show no progress.
    """
    if not chosen:
        return list(found)
    known = store.Study(run.study).slides_csv.is_file()
    if not known:
        why = "the study has no table of slides: its features came from elsewhere"
        return [_without(one, why) if one.slide_id in chosen else one for one in found]
    bar = tqdm(total=len(chosen), desc="report", unit="slide", disable=quiet)
    told = []
    with bar:
        for one in found:
            if one.slide_id in chosen:
                told.append(_pictured(run, one, shown))
                bar.update()
            else:
                told.append(one)
    return told


def _without(one: SlideEvidence, why: str) -> SlideEvidence:
    return replace(one, shown=True, missing=why if one.probability else one.missing)


def _pictured(run: RunScores, one: SlideEvidence, shown: int) -> SlideEvidence:
    one = replace(one, shown=True)
    if not one.probability:
        return one
    try:
        scores = run.of(one.slide_id)
        outlines = _outlines(run.study, one.slide_id)
        with scores.open() as slide:
            pictures = picture_slide(
                slide,
                scores.prediction,
                scores.coords,
                scores.scale,
                outlines,
                of_class=_shown_class(one, scores.card.classes),
                shown=shown,
            )
    except (CoverslipError, OSError) as error:
        return replace(one, missing=" ".join(str(error).split()))
    return replace(one, pictures=pictures, audit=_audit_of(scores))


def _shown_class(one: SlideEvidence, classes: Sequence[str]) -> tuple[int, str]:
    """Return the class whose patches are shown: of two the last, of more the decided."""
    lower = [name.lower() for name in classes]
    last = len(classes) == 2 or one.decided.lower() not in lower
    number = len(classes) - 1 if last else lower.index(one.decided.lower())
    return number, classes[number]


def _outlines(study: Path, slide_id: str) -> tuple[Polygon, ...]:
    """Return a slide's tissue; none where its file is missing."""
    path = store.Study(study).tissue(slide_id)
    return Tissue.load(path).outlines if path.is_file() else ()


def _audit_of(scores: SlideScores) -> dict[str, str]:
    """Return how the scale was met, as the patches themselves say."""
    scale = scores.scale
    return {
        "level 0": _um(f"{scale.l0_mpp:g}"),
        "asked": _um(f"{scale.asked_mpp:g}"),
        "read": f"{_um(f'{scale.level_mpp:g}')}, level {scale.level}",
        "achieved": _um(f"{scale.achieved_mpp:g}"),
        "resampled by": f"{scale.resample:.4g}",
        "side of a patch": f"{scale.size} px ({scale.l0_size:.6g} of level 0)",
    }
