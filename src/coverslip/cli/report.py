"""The command that writes a report: `report`."""

from pathlib import Path
from typing import Any

import click

import coverslip
from coverslip.cli.options import options_of, pick
from coverslip.cli.prepare import QUIET
from coverslip.cli.telling import JSON, command_line, tell
from coverslip.pipeline.report.report_options import ReportOptions


@click.command()
@click.argument("study", type=click.Path(path_type=Path))
@click.option(
    "--run",
    help="Name of the run, or the folder of a run of another study, for slides that "
    "nobody has labelled.  [default: the latest]",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="The file to write.  [default: report.html in the run's folder]",
)
@options_of(ReportOptions)
@click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda"]),
    default="auto",
    show_default=True,
    help="Where slides are scored.",
)
@QUIET
@JSON
def report(
    study: Path,
    run: str | None,
    out: Path | None,
    device: str,
    quiet: bool,
    as_json: bool,
    **given: Any,  # noqa: ANN401 - click's
) -> None:
    """Write a run of STUDY as one HTML file that can be mailed.

    How good the run is, and why it says what it says of each slide. Needs no network to
    be looked at. Figures are written as SVG and PNG beside it, into `figures/`.
    """
    options = pick(ReportOptions, given)
    result = coverslip.report(
        study,
        run,
        out,
        options,
        device=device,
        command=command_line(),
        quiet=quiet or as_json,
    )
    tell(result.facts(), result.lines(), as_json=as_json)
