"""The command that compares runs: `compare`."""

from pathlib import Path

import click

import coverslip
from coverslip.cli.telling import JSON, tell


@click.command()
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Folder to write to.  [default: comparison, beside the first run]",
)
@click.option(
    "--subset",
    type=click.Choice(["test", "val", "train"]),
    default="test",
    show_default=True,
    help="Which slides are compared.",
)
@click.option(
    "--reference",
    type=click.Path(path_type=Path),
    help="The run that the others are compared with.  [default: the first]",
)
@JSON
def compare(
    runs: tuple[Path, ...],
    out: Path | None,
    subset: str,
    reference: Path | None,
    as_json: bool,
) -> None:
    """Compare RUNS (folders of runs, or tables of predictions) slide by slide.

    Only slides that all runs judged count. Prints a table, and writes it with a figure:
    every AUC with its interval, and its difference to the reference with p values.
    """
    result = coverslip.compare(runs, out, subset, reference)
    for note in result.notes:
        click.echo(f"note: {note}", err=True)
    tell(
        {
            "folder": result.folder,
            "subset": result.subset,
            "reference": result.aucs.reference,
            "runs": result.rows,
            "notes": result.notes,
        },
        [
            result.markdown(),
            f"written: {result.folder}/comparison.csv, .json, .png",
        ],
        as_json=as_json,
    )
