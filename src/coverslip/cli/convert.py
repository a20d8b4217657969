"""The command `convert`: features, labels and splits from one program to another."""

import sys
from pathlib import Path
from typing import Any

import click

from coverslip.cli.options import options_of, pick
from coverslip.cli.prepare import QUIET
from coverslip.cli.telling import JSON, tell
from coverslip.geometry import Mpp
from coverslip.interop.formats import WRITTEN
from coverslip.pipeline.exchange import converting
from coverslip.pipeline.exchange.converting import ConvertOptions, Scaled
from coverslip.pipeline.exchange.exchanged_tables import Tables
from coverslip.slides.finding import Scales, read_scales

CONVERT_NAMES = {"from_format": "from"}
FOLDER = click.Path(path_type=Path, file_okay=False)
ANY = click.Path(path_type=Path)


@click.command()
@click.argument("source", type=FOLDER)
@click.option(
    "--to", required=True, type=click.Choice(WRITTEN), help="Format to write."
)
@click.option("--out", required=True, type=FOLDER, help="Folder to write to.")
@options_of(ConvertOptions, rename=CONVERT_NAMES)
@click.option(
    "--slides",
    multiple=True,
    type=ANY,
    help="Slides or folders of slides: they say scales, which STAMP's files lack, and "
    "a study then knows where they lie.",
)
@click.option(
    "--mpp",
    "slide_mpp",
    type=click.FloatRange(0, 1000, min_open=True),
    help="um per pixel of level 0, of slides of which nothing else says it.",
)
@click.option("--mpp-csv", type=ANY, help="CSV wsi,mpp: um per pixel of level 0.")
@click.option(
    "--labels",
    type=ANY,
    help="Table of labels that goes along (slide_id,label); of STAMP its clini table.",
)
@click.option("--slide-table", type=ANY, help="STAMP's table PATIENT,FILENAME.")
@click.option("--target", help="Column of the label in STAMP's clini table.")
@click.option("--splits", type=ANY, help="Splits: a file, or CLAM's folder of them.")
@click.option("--run", "run_name", help="Run of a study whose splits go along.")
@QUIET
@JSON
def convert(
    source: Path,
    to: str,
    out: Path,
    slides: tuple[Path, ...],
    slide_mpp: float | None,
    mpp_csv: Path | None,
    labels: Path | None,
    slide_table: Path | None,
    target: str | None,
    splits: Path | None,
    run_name: str | None,
    quiet: bool,
    as_json: bool,
    **given: Any,  # noqa: ANN401 - click's
) -> None:
    """Convert SOURCE, a study or another program's folder, into another format.

    Known are our study, CLAM, TRIDENT, STAMP, torchmil and the seed's pickles. What a
    format has no room for goes along, so that a conversion back gives the same files.
    """
    stated = None if slide_mpp is None else Mpp(slide_mpp)
    scales = Scales(stated) if mpp_csv is None else read_scales(mpp_csv, stated)
    result = converting.convert(
        source,
        out,
        to,
        pick(ConvertOptions, given, rename=CONVERT_NAMES),
        tables=Tables(labels, slide_table, target, splits, run_name),
        scaled=Scaled(scales, slides),
        quiet=quiet or as_json,
    )
    tell(result.facts(), result.story(), as_json=as_json)
    if len(result.failed) == len(result.rows):
        sys.exit(1)
