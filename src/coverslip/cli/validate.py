"""The command `validate`: what a folder is, and what is wrong with it."""

import sys
from pathlib import Path

import click

from coverslip.cli.telling import JSON, tell
from coverslip.pipeline.exchange import validating


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--labels",
    type=click.Path(path_type=Path),
    help="CSV slide_id,label: slides in it without features, or that are not there, and "
    "those without a label are reported.",
)
@click.option(
    "--slides",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Slides, or folders of slides, that should have features; they say sizes and "
    "scales, too.",
)
@JSON
def validate(
    folder: Path, labels: Path | None, slides: tuple[Path, ...], as_json: bool
) -> None:
    """Say what FOLDER is and what is wrong with it; nothing in it is changed.

    Known are our study, folders of CLAM, TRIDENT, STAMP and torchmil, the seed's
    pickles, HDF5 files of features, and slides. Leaves with 1 when there is an error.
    """
    found = validating.validate(folder, labels=labels, slides=slides)
    tell(found.facts(), found.story(), as_json=as_json)
    if not found.sound:
        sys.exit(1)
