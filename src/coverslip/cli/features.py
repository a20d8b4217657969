"""The command that makes features: `features`."""

from pathlib import Path
from typing import Any

import click

from coverslip.cli.engine import engine_options
from coverslip.cli.prepare import (
    OUT,
    PLACES,
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
from coverslip.cli.telling import JSON, tell
from coverslip.pipeline.prepare.folders import prepare_folders
from coverslip.pipeline.prepare.importing import export_pickles, import_pickles
from coverslip.pipeline.prepare.preparing import prepare


@click.command()
@PLACES
@OUT
@feature_options
@patch_options
@click.option(
    "--from-patches",
    is_flag=True,
    help="SLIDES are folders of patch images, one folder a slide.",
)
@click.option("--pickle", is_flag=True, help="Write the seed's pickles, too.")
@tissue_options
@engine_options
@input_options
@JSON
def features(
    slides: tuple[Path, ...],
    out: Path,
    from_patches: bool,
    pickle: bool,
    as_json: bool,
    **given: Any,  # noqa: ANN401 - click's
) -> None:
    """Turn the patches of SLIDES into features, straight from the slides.

    Tissue and patches come first where they are missing. SLIDES may also be the seed's
    pickles (.pkl), which are imported; nothing in them is run.
    """
    preparation = preparation_from(out, given)
    made = preparation.features_folder
    if all(place.suffix in {".pkl", ".pickle"} for place in slides):
        table = import_pickles(slides, preparation)
    elif from_patches:
        table = prepare_folders(slides, preparation)
        made = preparation.imported(preparation.options.features.encoder)
    else:
        table = prepare(slides, preparation)
    pickles = export_pickles(made) if pickle else []
    tell(
        {**table_facts(table), "features": made, "pickles": pickles},
        [*map(str, pickles), *idle_lines(table), table_line(table)],
        as_json=as_json,
    )
    leave_if_all_failed(table)
