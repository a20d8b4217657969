"""Commands that use a model: `predict`, `heatmap`."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import coverslip
from coverslip.cli.options import Command, options_of
from coverslip.cli.prepare import (
    ANNOTATIONS,
    FEATURE_NAMES,
    input_options,
    preparation_from,
)
from coverslip.cli.telling import JSON, tell
from coverslip.prepare.feature_options import FeatureOptions

if TYPE_CHECKING:  # it loads torch
    from coverslip.pipeline.verbs import PredictResult

MODEL = click.argument("model", type=click.Path(path_type=Path))
INPUTS = click.argument(
    "inputs", nargs=-1, required=True, type=click.Path(path_type=Path)
)
STUDY = click.option(
    "--study",
    type=click.Path(path_type=Path),
    help="Study folder for the features of raw slides.  [default: beside --out]",
)


def running_options(command: Command) -> Command:
    """Give a command the options by which a model still knows the features."""
    decided = {"encoder", "resize", "crop", "reduce"}
    return options_of(FeatureOptions, skip=decided, rename=FEATURE_NAMES)(command)


@click.command()
@MODEL
@INPUTS
@click.option(
    "--out", required=True, type=click.Path(path_type=Path), help="CSV to write."
)
@STUDY
@running_options
@input_options
@JSON
def predict(
    model: Path,
    inputs: tuple[Path, ...],
    out: Path,
    study: Path | None,
    as_json: bool,
    **given: Any,  # noqa: ANN401 - click's
) -> None:
    """Predict INPUTS with MODEL (a run folder or model file).

    INPUTS are slides or folders of slides, a study, or features (.h5).
    """
    folder = study or out.with_name(f"{out.stem}_study")
    preparation = preparation_from(folder, given)
    result = coverslip.predict(model, inputs, out, preparation)
    _tell(result, {"predictions": result.out}, as_json, [f"predictions: {result.out}"])


@click.command()
@MODEL
@INPUTS
@click.option(
    "--out", required=True, type=click.Path(path_type=Path), help="Folder to write to."
)
@STUDY
@ANNOTATIONS
@click.option("--slide", "only", multiple=True, help="Draw only this slide id.")
@running_options
@input_options
@JSON
def heatmap(
    model: Path,
    inputs: tuple[Path, ...],
    out: Path,
    study: Path | None,
    only: tuple[str, ...],
    annotations: Path | None,
    as_json: bool,
    **given: Any,  # noqa: ANN401 - click's
) -> None:
    """Draw where MODEL looked on INPUTS (slides, or a study), one picture a slide.

    Beside each picture a CSV gives attention and score of every patch.
    """
    folder = study or out / "study"
    preparation = preparation_from(folder, given)
    result = coverslip.heatmap(
        model, inputs, out, preparation, only, annotations=annotations
    )
    facts = {"folder": result.out, "heatmaps": result.pictures}
    lines = [f"heatmap: {picture}" for picture in result.pictures]
    _tell(result, facts, as_json, lines)


def _tell(
    result: "PredictResult",
    made: Mapping[str, object],
    as_json: bool,
    lines: Sequence[str],
) -> None:
    """Say what was made and what became of the slides; leave with 1 when all failed."""
    total, failed, bare = len(result.rows), len(result.failed), len(result.bare)
    facts = {
        **made,
        "slides": total,
        "done": total - failed,
        "without_tissue": result.bare,
        "failed": {slide_id: result.rows[slide_id] for slide_id in result.failed},
    }
    line = (
        f"{total - failed} of {total} slides done"
        + (f", {bare} without tissue" if bare else "")
        + (f", {failed} failed" if failed else "")
    )
    tell(facts, [*lines, line], as_json=as_json)
    if failed == total:
        sys.exit(1)
