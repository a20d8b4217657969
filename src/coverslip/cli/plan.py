"""The command `plan`."""

import shlex
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

import coverslip
from coverslip import store
from coverslip.cli.config import FILE
from coverslip.cli.engine import engine_options
from coverslip.cli.learn import (
    label_options,
    labels_from,
    learn_options,
    model_option,
    options_from,
    plan_from,
)
from coverslip.cli.prepare import (
    ANNOTATIONS,
    PLACES,
    feature_options,
    input_options,
    patch_options,
    preparation_from,
    tissue_options,
)
from coverslip.cli.telling import JSON, tell
from coverslip.cli.whole import run
from coverslip.errors import OptionError
from coverslip.pipeline.plan.leftovers import write_mended
from coverslip.pipeline.plan.surveying import SAMPLE


@click.command()
@PLACES
@label_options
@click.option(
    "--study",
    type=click.Path(path_type=Path),
    default=Path("study"),
    show_default=True,
    help="Study folder that `run` would be given with --out.",
)
@click.option(
    "--sample",
    type=click.IntRange(1),
    default=SAMPLE,
    show_default=True,
    help="Slides on which tissue is found, to estimate the patches of all.",
)
@click.option(
    "--sample-seed",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="Draws those slides.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write what --json prints to this .json file, too.",
)
@click.option(
    "--labels-out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write the labels under the slides' names to this .csv file, to be looked at.",
)
@JSON
@ANNOTATIONS
@model_option
@learn_options
@feature_options
@patch_options
@tissue_options
@engine_options
@input_options
def plan(
    slides: tuple[Path, ...],
    study: Path,
    out: Path | None,
    labels_out: Path | None,
    as_json: bool,
    **given: Any,  # noqa: ANN401 - click's
) -> None:
    """Look before a `run`: is all well with SLIDES and labels, and what will it take.

    Takes the options of `run`, and prints the command. In a file of options `out` is
    the study. Nothing is written or downloaded without --out or --labels-out. The exit
    code is 0 when all is ready, 1 when something has to be mended, 2 when an option is
    wrong.
    """
    _require_suffix("--out", out, ".json")
    _require_suffix("--labels-out", labels_out, ".csv")
    try:
        labels, preparation = labels_from(given), preparation_from(study, given)
        options, training = options_from(given), plan_from(study, given)
        made = coverslip.plan(
            slides,
            labels,
            preparation,
            options,
            training,
            sample=given["sample"],
            seed=given["sample_seed"],
        )
    except OptionError as error:
        raise click.UsageError(str(error)) from None
    changed = {"out": study}
    if labels_out is not None and made.joined is not None:
        write_mended(labels_out, made.joined)
        if given["labels"] is not None:
            changed["labels"] = labels_out
    words = _words(click.get_current_context(), changed)
    command = shlex.join(["coverslip", "run", *words])
    facts = {**made.facts(), "command": command}
    from coverslip.pipeline.plan.plan_text import plan_lines  # it loads torch

    if out is not None:
        store.write_json(out, facts)
    tell(facts, plan_lines(made, command), as_json=as_json)
    sys.exit(0 if made.ready else 1)


def _require_suffix(flag: str, path: Path | None, suffix: str) -> None:
    if path is not None and path.suffix.lower() != suffix:
        raise click.UsageError(
            f"{flag} {path}: name a {suffix} file (the study folder is --study)"
        )


def _words(ctx: click.Context, changed: Mapping[str, Path]) -> Iterator[str]:
    """Give the words of the `run` that the options of this command stand for.

    Args:
        ctx: This command's; what its file of options says is left to that file.
        changed: Parameters of `run` that are not as they were given here.
    """
    given = {**ctx.params, "config": ctx.meta.get(FILE), **changed}
    for param in sorted(run.params, key=lambda p: isinstance(p, click.Option)):
        name = str(param.name)
        typed = ctx.get_parameter_source(name) == ParameterSource.COMMANDLINE
        if name == "as_json" or not (typed or name in changed):
            continue
        value = given[name]
        if not isinstance(param, click.Option):
            yield from map(str, value)
        elif param.is_flag:
            yield param.opts[0] if value else param.secondary_opts[0]
        else:
            for one in value if param.multiple else [value]:
                yield from (param.opts[0], str(one))
