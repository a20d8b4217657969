"""Commands that do everything: `run`, `demo`."""

import sys
from pathlib import Path
from typing import Any

import click

from coverslip.cli.engine import engine_options
from coverslip.cli.learn import (
    label_options,
    labels_from,
    learn_options,
    model_option,
    options_from,
    plan_from,
    tell,
)
from coverslip.cli.options import options_of, pick
from coverslip.cli.prepare import (
    ANNOTATIONS,
    OUT,
    PLACES,
    QUIET,
    feature_options,
    input_options,
    patch_options,
    preparation_from,
    report,
    tell_idle,
    tissue_options,
)
from coverslip.cli.telling import command_line
from coverslip.pipeline import verbs
from coverslip.pipeline.demo import DemoOptions
from coverslip.pipeline.demo import demo as run_demo


@click.command()
@PLACES
@label_options
@OUT
@ANNOTATIONS
@model_option
@learn_options
@feature_options
@patch_options
@tissue_options
@engine_options
@input_options
def run(slides: tuple[Path, ...], out: Path, **given: Any) -> None:  # noqa: ANN401 - click's
    """Slides and labels in; a judged model, heatmaps and a report out.

    Tissue, patches, features, training, evaluation, heatmaps of the test slides and an
    HTML report, into one study folder.
    Stopped at any point, the same command goes on.
    """
    result = verbs.run(
        slides,
        labels_from(given),
        preparation_from(out, given),
        options_from(given),
        plan_from(out, given),
        annotations=given["annotations"],
    )
    tell(result.trained)
    for picture in result.pictures:
        click.echo(f"heatmap: {picture}")
    for line in result.report.lines() if result.report is not None else ():
        click.echo(line)
    tell_idle(result.table)
    report(result.table)


@click.command()
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("demo"),
    show_default=True,
    help="Folder for slides and study.",
)
@options_of(DemoOptions)
@QUIET
def demo(out: Path, quiet: bool, **given: Any) -> None:  # noqa: ANN401 - click's
    """Paint a cohort of slides with lesions and run everything on it.

    Needs no GPU, downloads nothing, and ends with the AUC on slides kept apart.
    """
    options = pick(DemoOptions, given)
    result = run_demo(out, options, quiet=quiet, command=command_line())
    click.echo(result.story())
    sys.exit(0)
