"""The command `export`: what a run said, for QuPath, ASAP and slide readers."""

import sys
from pathlib import Path
from typing import Any

import click

import coverslip
from coverslip.cli.options import options_of, pick
from coverslip.cli.prepare import QUIET
from coverslip.cli.telling import JSON, tell
from coverslip.pipeline.show.export_options import FORMATS, ExportOptions


@click.command()
@click.argument("study", type=click.Path(path_type=Path))
@click.option("--run", help="Run of the study.  [default: the latest]")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder to write to.  [default: STUDY/export/RUN]",
)
@click.option(
    "--format",
    "formats",
    default=",".join(FORMATS[:3]),
    show_default=True,
    help=f"Some of {', '.join(FORMATS)}, parted by commas.",
)
@click.option("--slide", "only", multiple=True, help="Export only this slide id.")
@options_of(ExportOptions)
@QUIET
@JSON
def export(
    study: Path,
    run: str | None,
    out: Path | None,
    formats: str,
    only: tuple[str, ...],
    quiet: bool,
    as_json: bool,
    **given: Any,  # noqa: ANN401 - click's
) -> None:
    """Write what a run of STUDY says of its slides, for other programs.

    geojson: tissue, hot regions and patches, for QuPath. asap: hot regions, for ASAP.
    tiff: heatmaps that open as slides. likelihood: probabilities that ASAP lays over the
    slide.
    """
    names = [name.strip() for name in formats.split(",") if name.strip()]
    options = pick(ExportOptions, given)
    result = coverslip.export(
        study, run, out, names, only, options=options, quiet=quiet
    )
    count = sum(map(len, result.files.values()))
    asked = len(result.files) + len(result.bare) + len(result.failed)
    bare = f", {len(result.bare)} without tissue" if result.bare else ""
    failed = f", {len(result.failed)} failed" if result.failed else ""
    line = f"{len(result.files)} of {asked} slides exported{bare}{failed}"
    tell(result.facts(), [f"{count} files: {result.out}", line], as_json=as_json)
    if asked and len(result.failed) == asked:
        sys.exit(1)
