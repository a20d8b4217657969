"""Commands that do everything: `run`, `demo`."""

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import coverslip
from coverslip.cli.engine import engine_options
from coverslip.cli.learn import (
    label_options,
    labels_from,
    learn_options,
    model_option,
    options_from,
    plan_from,
    training_facts,
    training_lines,
)
from coverslip.cli.options import options_of, pick
from coverslip.cli.prepare import (
    ANNOTATIONS,
    OUT,
    PLACES,
    QUIET,
    feature_options,
    idle_lines,
    input_options,
    leave_if_all_failed,
    patch_options,
    preparation_from,
    table_facts,
    table_line,
    tissue_options,
)
from coverslip.cli.telling import JSON, command_line, tell
from coverslip.pipeline.demo_options import DemoOptions

if TYPE_CHECKING:  # it loads torch
    from coverslip.pipeline.verbs import RunResult


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
@JSON
def run(slides: tuple[Path, ...], out: Path, as_json: bool, **given: Any) -> None:  # noqa: ANN401 - click's
    """Slides and labels in; a judged model, heatmaps and a report out.

    Tissue, patches, features, training, evaluation, heatmaps of the test slides and an
    HTML report, into one study folder.
    Stopped at any point, the same command goes on.
    """
    labels, preparation = labels_from(given), preparation_from(out, given)
    options, plan = options_from(given), plan_from(out, given)
    result = coverslip.run(
        slides, labels, preparation, options, plan, annotations=given["annotations"]
    )
    lines = [
        *training_lines(result.trained),
        *(f"heatmap: {picture}" for picture in result.pictures),
        *(result.report.lines() if result.report is not None else ()),
        *idle_lines(result.table),
        table_line(result.table),
    ]
    tell(_facts(result), lines, as_json=as_json)
    leave_if_all_failed(result.table)


def _facts(result: "RunResult") -> dict[str, object]:
    return {
        "run": training_facts(result.trained),
        "heatmaps": result.pictures,
        "report": None if result.report is None else result.report.path,
        "preparation": table_facts(result.table),
    }


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
@JSON
def demo(out: Path, quiet: bool, as_json: bool, **given: Any) -> None:  # noqa: ANN401 - click's
    """Paint a cohort of slides with lesions and run everything on it.

    Needs no GPU, downloads nothing, and ends with the AUC on slides kept apart.
    """
    options = pick(DemoOptions, given)
    result = coverslip.demo(out, options, quiet=quiet, typed=command_line())
    facts = {**_facts(result.ran), "hot_patches": [asdict(one) for one in result.hot]}
    tell(facts, [result.story()], as_json=as_json)
    sys.exit(0)
