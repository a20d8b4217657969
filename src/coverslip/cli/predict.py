"""Commands that use a model: `predict`, `heatmap`."""

import sys
from pathlib import Path
from typing import Any

import click

from coverslip.cli.options import Command, options_of
from coverslip.cli.prepare import (
    ANNOTATIONS,
    FEATURE_NAMES,
    input_options,
    preparation_from,
)
from coverslip.pipeline import verbs
from coverslip.prepare.features import FeatureOptions

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
def predict(
    model: Path,
    inputs: tuple[Path, ...],
    out: Path,
    study: Path | None,
    **given: Any,  # noqa: ANN401 - click's
) -> None:
    """Predict INPUTS with MODEL (a run folder or model file).

    INPUTS are slides or folders of slides, a study, or features (.h5).
    """
    folder = study or out.with_name(f"{out.stem}_study")
    result = verbs.predict(model, inputs, out, preparation_from(folder, given))
    click.echo(f"predictions: {result.out}")
    _report(result)


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
def heatmap(
    model: Path,
    inputs: tuple[Path, ...],
    out: Path,
    study: Path | None,
    only: tuple[str, ...],
    annotations: Path | None,
    **given: Any,  # noqa: ANN401 - click's
) -> None:
    """Draw where MODEL looked on INPUTS (slides, or a study), one picture a slide.

    Beside each picture a CSV gives attention and score of every patch.
    """
    folder = study or out / "study"
    preparation = preparation_from(folder, given)
    result = verbs.heatmap(
        model, inputs, out, preparation, only, annotations=annotations
    )
    for picture in result.pictures:
        click.echo(f"heatmap: {picture}")
    _report(result)


def _report(result: verbs.PredictResult) -> None:
    """Say what became of the slides; leave with 1 when all failed."""
    total, failed, bare = len(result.rows), len(result.failed), len(result.bare)
    click.echo(
        f"{total - failed} of {total} slides done"
        + (f", {bare} without tissue" if bare else "")
        + (f", {failed} failed" if failed else "")
    )
    if failed == total:
        sys.exit(1)
