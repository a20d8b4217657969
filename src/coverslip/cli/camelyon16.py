"""The command `camelyon16`: the whole data set, from its folder to the figures."""

import os
from pathlib import Path
from typing import Any

import click

from coverslip.cli.engine import engine_from, engine_options
from coverslip.cli.learn import learn_options, model_option, options_from
from coverslip.cli.prepare import (
    OUT,
    feature_options,
    input_options,
    patch_options,
    preparation_from,
    report,
    tissue_options,
)
from coverslip.cli.telling import command_line
from coverslip.cohorts.camelyon16.layout import take_stock
from coverslip.cohorts.camelyon16.miniature import paint_miniature
from coverslip.pipeline import camelyon16 as pipeline
from coverslip.pipeline.verbs import TrainPlan

FIXED = {"folds", "repeats", "split", "split_seed", "test_share", "val_share"}
"""Options of `train` that make no sense where the split is given."""


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@OUT
@click.option(
    "--check", is_flag=True, help="Only say what is found, and write inventory.csv."
)
@click.option(
    "--miniature",
    is_flag=True,
    help="First paint a miniature of the data set into FOLDER, to try the command on.",
)
@model_option
@learn_options
@feature_options
@patch_options
@tissue_options
@engine_options
@input_options
def camelyon16(
    folder: Path,
    out: Path,
    check: bool,
    miniature: bool,
    **given: Any,  # noqa: ANN401 - click's
) -> None:
    """CAMELYON16 in FOLDER, in any layout: train, and judge on its test slides.

    Joins reference.csv, applies the organisers' notes on single slides, reports what is
    missing, uses the published split of the 270 training slides, and ends with slide
    AUC and lesion FROC. Stopped at any point, the same command goes on.
    """
    options = options_from(given)
    if miniature:
        paint_miniature(folder, workers=given["workers"] or os.cpu_count() or 1)
    stock = take_stock(folder)
    click.echo(stock.report())
    if check:
        inventory = out / pipeline.FOLDER / "inventory.csv"
        stock.write(inventory)
        click.echo(f"each slide: {inventory}")
        return
    plan = TrainPlan(
        name=given["name"],
        seeds=given["seeds"],
        tensorboard=given["tensorboard"],
        quiet=given["quiet"],
        engine=engine_from(out, given),
        command=command_line(),
    )
    result = pipeline.camelyon16(folder, preparation_from(out, given), options, plan)
    click.echo(result.story())
    report(result.table)


camelyon16.params = [p for p in camelyon16.params if p.name not in FIXED]
