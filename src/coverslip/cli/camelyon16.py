"""The command `camelyon16`: the whole data set, from its folder to the figures."""

import os
from pathlib import Path
from typing import Any

import click

import coverslip
from coverslip.cli.engine import engine_from, engine_options
from coverslip.cli.learn import learn_options, model_option, options_from
from coverslip.cli.prepare import (
    OUT,
    feature_options,
    input_options,
    leave_if_all_failed,
    patch_options,
    preparation_from,
    table_facts,
    table_line,
    tissue_options,
)
from coverslip.cli.telling import JSON, command_line, tell
from coverslip.cohorts.camelyon16.layout import FOLDER, take_stock
from coverslip.cohorts.camelyon16.miniature import paint_miniature
from coverslip.pipeline.learn.train_plan import TrainPlan

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
@JSON
def camelyon16(
    folder: Path,
    out: Path,
    check: bool,
    miniature: bool,
    as_json: bool,
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
    inventory = out / FOLDER / "inventory.csv"
    if check:
        stock.write(inventory)
        lines = [stock.report(), f"each slide: {inventory}"]
        tell({"inventory": inventory, **stock.facts()}, lines, as_json=as_json)
        return
    click.echo(stock.report(), err=as_json)
    preparation = preparation_from(out, given)
    plan = TrainPlan(
        name=given["name"],
        seeds=given["seeds"],
        trackers=given["trackers"],
        quiet=given["quiet"],
        engine=engine_from(out, given),
        typed=command_line(),
    )
    result = coverslip.camelyon16(folder, preparation, options, plan)
    tell(
        {
            **result.facts(),
            "inventory": inventory,
            "summary": result.folder / "summary.json",
            "models": result.trained.models,
            "report": None if result.report is None else result.report.path,
            "preparation": table_facts(result.table),
        },
        [
            result.story(),
            *(result.report.lines() if result.report is not None else ()),
            table_line(result.table),
        ],
        as_json=as_json,
    )
    leave_if_all_failed(result.table)


camelyon16.params = [p for p in camelyon16.params if p.name not in FIXED]
