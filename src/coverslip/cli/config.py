"""`--config`: options from a TOML file, checked as those of the command line are.

What stands on the command line goes before the file, the file before the defaults.
Sections that a command does not use are checked and passed over, so that one file
serves all commands of a study. Paths in the file are relative to the file.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

import click

from coverslip.cli.options import OrNone
from coverslip.errors import OptionError
from coverslip.toml import NONE, Table

Decorated = TypeVar("Decorated")

META = "coverslip.config.model"
"""Where a context keeps what the file says of the model."""

FILE = "coverslip.config.file"
"""Where it keeps which file that is."""

_MODEL = {("model", "preset"), ("model", "options")}
"""Keys that are no parameter of their own: `model_settings` hands them out."""


def _take(ctx: click.Context, _: click.Parameter, path: Path | None) -> None:
    if path is None or ctx.resilient_parsing:
        return
    from coverslip.cli.keys import read_config

    table = read_config(path)
    ctx.default_map = dict(_defaults(path, table, ctx))
    ctx.meta[FILE] = path
    ctx.meta[META] = table.get("model", {})


CONFIG = click.option(
    "--config",
    type=click.Path(path_type=Path),
    is_eager=True,
    expose_value=False,
    callback=_take,
    help="TOML file of options (`coverslip init` writes one); what stands here goes "
    "before it.",
)


def model_settings(model: str) -> tuple[dict[str, Any], str | None]:
    """Return the options and the preset that this call's file has for a model.

    They count for the model that the file names, or for the default where it names none.
    """
    ctx = click.get_current_context(silent=True)
    said: Table = {} if ctx is None else ctx.meta.get(META, {})
    named = said.get("name", "dmia")
    if model not in (named if isinstance(named, list) else [named]):
        return {}, None
    options = {
        key: None if value == NONE and _turned_off(model, key) else value
        for key, value in said.get("options", {}).items()
    }
    preset = said.get("preset", NONE)
    return options, None if preset == NONE else str(preset)


def _turned_off(model: str, key: str) -> bool:
    from coverslip.learn.models.zoo import entry

    return entry(model).options.model_fields[key].default is None


def _defaults(
    path: Path, table: Table, ctx: click.Context
) -> Iterator[tuple[str, object]]:
    """Yield the value of each parameter that a file has."""
    from coverslip.cli.keys import params_of, place

    for (section, key), param in params_of(ctx.command).items():
        part = table.get(section, {}) if section else table
        if key not in part or (section, key) in _MODEL:
            continue
        value = part[key]
        if value == NONE and not _says_none(param):
            continue
        yield str(param.name), _checked(path, place(section, key), value, param, ctx)


def _says_none(param: click.Parameter) -> bool:
    """Say whether `none` is a value of a parameter, not the lack of one."""
    choices = param.type.choices if isinstance(param.type, click.Choice) else ()
    return isinstance(param.type, OrNone) or NONE in choices


def _checked(
    path: Path, where: str, value: object, param: click.Parameter, ctx: click.Context
) -> object:
    """Return a value as click takes it.

    Raises:
        OptionError: It is of another kind than the parameter, or not allowed.
    """
    several = bool(getattr(param, "multiple", False)) or param.nargs == -1
    each = value if isinstance(value, list) else [value]
    if isinstance(value, list) and not several:
        raise OptionError(f"{path}: {where}={value!r}: write one value, not a list")
    taken = []
    for one in each:
        kind, right = _kind(param.type)
        if not isinstance(one, right) or (isinstance(one, bool) and right is not bool):
            raise OptionError(f"{path}: {where}={one!r}: write {kind}")
        if isinstance(param.type, click.Path):
            one = os.path.normpath(path.parent.absolute() / Path(str(one)).expanduser())
        try:
            param.type.convert(one, param, ctx)
        except click.BadParameter as error:
            raise OptionError(
                f"{path}: {where}={one!r}: {error.message.rstrip('.')}"
            ) from None
        taken.append(one)
    return taken if several else taken[0]


def _kind(kind: object) -> tuple[str, Any]:
    """Return what a value must be, in words and as a type."""
    if isinstance(kind, OrNone):
        word, right = _kind(kind.kind)
        return f'{word}, or "{NONE}"', (right, str)
    if isinstance(kind, click.types.BoolParamType):
        return "true or false", bool
    if isinstance(kind, click.types.FloatParamType):
        return "a number", (int, float)
    if isinstance(kind, click.types.IntParamType):
        return "a whole number", int
    return "a text in quotes", str
