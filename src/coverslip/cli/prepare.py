"""Commands that find tissue and lay patches: `tissue`, `patches`."""

import os
import sys
from math import isfinite
from pathlib import Path
from typing import Any

import click

from coverslip.cli.config import CONFIG
from coverslip.cli.engine import engine_from, engine_options
from coverslip.cli.options import Command, options_of, pick
from coverslip.cli.telling import JSON, tell
from coverslip.errors import OptionError
from coverslip.geometry import Mpp
from coverslip.pipeline.prepare.laying import lay
from coverslip.pipeline.prepare.preparation import Preparation, PrepareOptions
from coverslip.pipeline.prepare.table import FAILED, NO_PATCH, NO_TISSUE, SlideTable
from coverslip.prepare.feature_options import FeatureOptions
from coverslip.prepare.patches import PatchOptions
from coverslip.prepare.segmentation import TissueOptions
from coverslip.slides.finding import Scales, read_scales

PLACES = click.argument(
    "slides", nargs=-1, required=True, type=click.Path(path_type=Path)
)
OUT = click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    help="Study folder; made when it is not there.",
)
QUIET = click.option("--quiet", is_flag=True, help="Show no progress.")
ANNOTATIONS = click.option(
    "--annotations",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of annotations (ASAP XML, GeoJSON) named after the slides: outlined "
    "in the heatmaps.",
)
FEATURE_NAMES = {"workers": "readers"}
PATCH_NAMES = {"mpp": "target_mpp"}
tissue_options = options_of(TissueOptions)
patch_options = options_of(PatchOptions, rename=PATCH_NAMES)
feature_options = options_of(FeatureOptions, rename=FEATURE_NAMES)


def input_options(command: Command) -> Command:
    """Give a command the options that say how raw slides are to be taken."""
    for option in reversed(
        (
            click.option(
                "--mpp",
                "slide_mpp",
                type=click.FloatRange(0, min_open=True),
                help="um per pixel of level 0, for slides that do not say it.",
            ),
            click.option(
                "--mpp-csv",
                type=click.Path(path_type=Path),
                help="CSV wsi,mpp: um per pixel of level 0, whatever the slide says.",
            ),
            click.option(
                "--mask",
                type=click.Path(path_type=Path, exists=True),
                help="Own tissue mask (GeoJSON or image), or a folder of masks named "
                "after the slides.",
            ),
            click.option(
                "--workers",
                type=click.IntRange(1),
                default=os.cpu_count(),
                help="Slides at once while tissue is found.",
            ),
            QUIET,
            CONFIG,
        )
    ):
        command = option(command)
    return command


def preparation_from(out: Path, given: dict[str, Any]) -> Preparation:
    """Make a preparation from what was given on the command line."""
    missing = given.get("slide_mpp")
    if missing is not None and not isfinite(missing):
        raise OptionError(
            f"--mpp {missing:g}: write micrometres per pixel, such as 0.25"
        )
    stated = None if missing is None else Mpp(missing)
    table = given.get("mpp_csv")
    scales = Scales(stated) if table is None else read_scales(table, stated)
    options = PrepareOptions(
        tissue=pick(TissueOptions, given).facts(),
        patches=pick(PatchOptions, given, rename=PATCH_NAMES).facts(),
        features=pick(FeatureOptions, given, rename=FEATURE_NAMES).facts(),
    )
    engine = engine_from(out, given)
    return Preparation(
        out,
        options,
        scales,
        given.get("mask"),
        engine,
        jpeg=bool(given.get("jpeg")),
        quiet=bool(given.get("quiet")),
    )


@click.command()
@PLACES
@OUT
@tissue_options
@engine_options
@input_options
@JSON
def tissue(slides: tuple[Path, ...], out: Path, as_json: bool, **given: Any) -> None:  # noqa: ANN401 - click's
    """Find the tissue on SLIDES (files, or folders of slides).

    Writes outlines (tissue/SLIDE.geojson), thumbnails with the outlines drawn, and the
    table slides.csv into the study folder.
    """
    tell_table(lay(slides, preparation_from(out, given), patches=False), as_json)


@click.command()
@PLACES
@OUT
@patch_options
@click.option("--jpeg", is_flag=True, help="Write each patch as a JPEG file, too.")
@tissue_options
@engine_options
@input_options
@JSON
def patches(slides: tuple[Path, ...], out: Path, as_json: bool, **given: Any) -> None:  # noqa: ANN401 - click's
    """Lay patches over the tissue of SLIDES, finding the tissue first where needed.

    Writes coordinates that CLAM's and TRIDENT's users can read as they are.
    """
    tell_table(lay(slides, preparation_from(out, given)), as_json)


def tell_table(table: SlideTable, as_json: bool) -> None:
    """Say what became of the slides asked for; leave with 1 when all failed."""
    tell(table_facts(table), [table_line(table)], as_json=as_json)
    leave_if_all_failed(table)


def table_facts(table: SlideTable) -> dict[str, object]:
    """Return what became of the slides asked for, and what features waited for."""
    failed = table.with_status(FAILED)
    idle = table.idle()
    return {
        "table": table.path,
        "slides": len(table.asked),
        "done": len(table.asked) - len(failed),
        "without_tissue": table.with_status(NO_TISSUE),
        "without_patch": table.with_status(NO_PATCH),
        "failed": {slide_id: table.rows[slide_id].get("error") for slide_id in failed},
        "encoder_idle": None if idle is None else idle[0],
        "readers_idle": None if idle is None else idle[1],
    }


def table_line(table: SlideTable) -> str:
    """Say what became of the slides asked for."""
    failed, bare = table.with_status(FAILED), table.with_status(NO_TISSUE)
    scant = table.with_status(NO_PATCH)
    total = len(table.asked)
    return (
        f"{total - len(failed)} of {total} slides done"
        + (f", {len(bare)} without tissue" if bare else "")
        + (f", {len(scant)} with too little for a patch" if scant else "")
        + (f", {len(failed)} failed" if failed else "")
        + f": {table.path}"
    )


def idle_lines(table: SlideTable) -> list[str]:
    """Say what features waited for, if any were made: the fuller one sets the pace."""
    if (idle := table.idle()) is None:
        return []
    line = (
        f"features: the encoder waited {idle[0]:.0%} of the time, the threads that "
        f"read patches {idle[1]:.0%}"
    )
    return [line]


def leave_if_all_failed(table: SlideTable) -> None:
    """Leave with 1 when no slide came through."""
    if len(table.with_status(FAILED)) == len(table.asked):
        sys.exit(1)
