"""The command `init`: a file of options to begin with, every key with its default."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal, get_args, get_origin

import click

from coverslip import store
from coverslip.cli.camelyon16 import camelyon16
from coverslip.cli.features import features
from coverslip.cli.froc import froc
from coverslip.cli.keys import SECTIONS, keys_of, params_of
from coverslip.cli.learn import train
from coverslip.cli.predict import heatmap, predict
from coverslip.cli.prepare import patches
from coverslip.cli.whole import run
from coverslip.errors import OutputError
from coverslip.learn.models.zoo import entry
from coverslip.options import Options
from coverslip.pipeline.learn.configuration import SECTIONS as KINDS
from coverslip.toml import toml_value
from coverslip.version import __version__

TO_FILL_IN = {"slides": ["slides"], "labels": "labels.csv", "out": "study"}
"""Keys that have no default and that `run` needs: written as examples."""

MODEL = "dmia"
"""The model whose options are written: the default."""

HEAD = f"""\
# Options of coverslip {__version__}:
#
#   coverslip run --config THIS_FILE
#
# Every key is here with its default. Take the # off a line to change it; "none" means
# not given. What stands on the command line goes before this file. Paths are relative
# to this file. Sections that a command does not use are passed over, so one file serves
# all commands of a study.
"""


@click.command()
@click.argument("file", default=Path("coverslip.toml"), type=click.Path(path_type=Path))
def init(file: Path) -> None:
    """Write FILE (coverslip.toml when not given): every option, with its default.

    `coverslip run --config FILE` and other commands take it. A file that exists is left
    as it is.
    """
    if file.exists():
        raise OutputError(f"{file}: exists already: name another, or delete it first")
    store.write_text(file, template())
    click.echo(f"{file}: fill in slides, labels and out")
    click.echo(f"then: coverslip run --config {file}")


def template() -> str:
    """Return the file of options, made from the commands and the options classes."""
    taking = (run, train, patches, features, predict, heatmap, froc, camelyon16)
    params = [params_of(command) for command in taking]
    lines = [HEAD]
    for section, own in SECTIONS.items():
        lines += [f"\n# {own.about}."] + ([f"[{section}]"] if section else [])
        for key in keys_of(section):
            param = next(one[section, key] for one in params if (section, key) in one)
            lines += ["", *_entry(section, key, param)]
            if (section, key) == ("model", "preset"):
                break  # its options are a section of their own
        if section == "model":
            lines += _model()
    return "\n".join(lines) + "\n"


def _entry(section: str, key: str, param: click.Parameter) -> Iterator[str]:
    kind = KINDS.get(section)
    if kind is not None and key in kind.model_fields:
        yield from _field(kind, key)
        return
    if isinstance(param, click.Option):
        about = (param.help or "").partition("  [")[0]
    else:
        about = "Files or folders, as on the command line."
    yield f"# {about}{_choices(param)}"
    if not section and key in TO_FILL_IN:
        yield f"{key} = {toml_value(TO_FILL_IN[key])}"
        return
    default = param.get_default(click.Context(click.Command("none")))
    several = bool(getattr(param, "multiple", False)) or param.nargs == -1
    if several:
        default = list(default) if isinstance(default, (list, tuple)) else []
    elif not isinstance(default, (str, int, float)):
        default = None
    yield f"#{key} = {toml_value(default)}"


def _field(kind: type[Options], key: str) -> Iterator[str]:
    info = kind.model_fields[key]
    choices = ""
    if get_origin(info.annotation) is Literal:
        choices = _one_of(get_args(info.annotation))
    yield f"# {info.description}{choices}"
    yield f"#{key} = {toml_value(info.default)}"


def _choices(param: click.Parameter) -> str:
    return _one_of(param.type.choices) if isinstance(param.type, click.Choice) else ""


def _one_of(choices: Iterable[object]) -> str:
    return f": {', '.join(map(str, choices))}"


def _model() -> Iterator[str]:
    yield f"\n# Of {MODEL}; other models take others (docs/models.md).\n[model.options]"
    kind = entry(MODEL).options
    for key in kind.model_fields:
        yield ""
        yield from _field(kind, key)
