"""The command `froc`: how well lesions are found."""

from pathlib import Path
from typing import Any

import click

import coverslip
from coverslip.cli.options import options_of, pick
from coverslip.cli.predict import INPUTS, STUDY, running_options
from coverslip.cli.prepare import input_options, preparation_from
from coverslip.cli.telling import JSON, tell
from coverslip.errors import OptionError
from coverslip.judge.detections import FrocOptions

FOLDER = click.Path(path_type=Path, file_okay=False)
FROC_NAMES = {"score": "score_by"}


@click.command()
@INPUTS
@click.option(
    "--model",
    type=click.Path(path_type=Path),
    help="Run folder or model file. Without it INPUTS is a folder of detections.",
)
@click.option(
    "--annotations",
    required=True,
    type=FOLDER,
    help="Folder of annotations (ASAP XML, GeoJSON, masks) named after the slides.",
)
@click.option(
    "--labels",
    type=click.Path(path_type=Path),
    help="CSV slide_id,label: a slide without annotation counts if it is negative there.",
)
@click.option("--out", required=True, type=FOLDER, help="Folder to write to.")
@click.option("--slide", "only", multiple=True, help="Judge only this slide id.")
@options_of(FrocOptions, rename=FROC_NAMES)
@STUDY
@running_options
@input_options
@JSON
def froc(
    inputs: tuple[Path, ...],
    model: Path | None,
    annotations: Path,
    labels: Path | None,
    out: Path,
    only: tuple[str, ...],
    study: Path | None,
    as_json: bool,
    **given: Any,  # noqa: ANN401 - click's
) -> None:
    """Judge how many lesions a model finds on INPUTS, by the rules of CAMELYON16.

    INPUTS are slides, a study, or features (.h5); or, without --model, one folder of
    detections made elsewhere: SLIDE.csv with rows prob,x,y in level-0 pixels. Slides
    that the run learned from are left out.
    """
    options = pick(FrocOptions, given, rename=FROC_NAMES)
    truth = coverslip.Truth(annotations, labels)
    if model is not None:
        preparation = preparation_from(study or out / "study", given)
        result = coverslip.froc(
            model, inputs, truth, out, preparation, options=options, only=only
        )
    elif len(inputs) == 1:
        from coverslip.pipeline.predict.localising import (  # it loads torch
            froc_of_detections,
        )

        result = froc_of_detections(inputs[0], truth, out, options, only=only)
    else:
        raise OptionError("without --model give one folder of detections as INPUTS")
    facts = {
        "out": result.out,
        **result.froc.facts(),
        "left_out": result.left_out,
    }
    tell(facts, [result.story()], as_json=as_json)
