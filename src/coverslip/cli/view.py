"""The command `view`: a study in the browser."""

import webbrowser
from pathlib import Path
from typing import Any

import click

import coverslip
from coverslip.cli.options import options_of, pick
from coverslip.cli.telling import JSON, tell
from coverslip.viewer.view_options import ViewOptions


@click.command()
@click.argument("study", type=click.Path(path_type=Path))
@click.option("--run", help="The run to begin with.  [default: the latest]")
@click.option(
    "--annotations",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of annotations (ASAP XML, GeoJSON, masks) named after the slides.",
)
@options_of(ViewOptions)
@click.option(
    "--openseadragon",
    type=click.Path(path_type=Path, dir_okay=False),
    help="OpenSeadragon's script, in place of the one that the extra `view` installs "
    "(or name it in COVERSLIP_OPENSEADRAGON).",
)
@click.option("--no-browser", is_flag=True, help="Print the address, and open nothing.")
@JSON
def view(
    study: Path,
    run: str | None,
    annotations: Path | None,
    openseadragon: Path | None,
    no_browser: bool,
    as_json: bool,
    **given: Any,  # noqa: ANN401 - click's
) -> None:
    """Show STUDY in the browser: slides, heatmaps, outlines, patches.

    Everything is served from this machine, to this machine only unless --host says
    otherwise. Nothing is written. Ctrl-C ends it.
    """
    options = pick(ViewOptions, given)
    viewing = coverslip.view(
        study, options, run=run, annotations=annotations, openseadragon=openseadragon
    )
    lines = [f"{study} at {viewing.url}", "Ctrl-C ends it"]
    tell({"study": study, "url": viewing.url}, lines, as_json=as_json)
    if not no_browser:
        webbrowser.open(viewing.url)
    viewing.serve()
