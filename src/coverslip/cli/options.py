"""Command-line options made from a stage's options: one place says each default."""

import types
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

import click
from pydantic.fields import FieldInfo

from coverslip.options import Options
from coverslip.toml import NONE

Command = TypeVar("Command", bound=Callable[..., Any])
Chosen = TypeVar("Chosen", bound=Options)


class OrNone(click.ParamType):  # type: ignore[type-arg] # no generic before click 8.4
    """A value of another type, or `none` for an option that can be turned off."""

    def __init__(self, kind: Any) -> None:  # noqa: ANN401 - a type, or a click type
        self.kind = click.types.convert_type(kind)
        self.name = f"{self.kind.name}|{NONE}"

    def convert(
        self,
        value: object,
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> Any:  # noqa: ANN401 - click's
        """Return `none` as it is, and anything else converted."""
        return NONE if value == NONE else self.kind.convert(value, param, ctx)


def options_of(
    kind: type[Options],
    *,
    skip: Iterable[str] = (),
    rename: Mapping[str, str] | None = None,
) -> Callable[[Command], Command]:
    """Give a command one option for each field of an options class.

    Args:
        kind: The options class.
        skip: Fields that get no option.
        rename: Another name on the command line, by field.
    """
    renamed = rename or {}

    def decorate(command: Command) -> Command:
        for name, info in reversed(kind.model_fields.items()):
            if name not in set(skip):
                command = _option(renamed.get(name, name), info)(command)
        return command

    return decorate


def pick(
    kind: type[Chosen],
    given: Mapping[str, Any],
    *,
    rename: Mapping[str, str] | None = None,
) -> Chosen:
    """Make options from what was given on the command line; None means the default."""
    renamed = rename or {}
    chosen: dict[str, Any] = {}
    for name, info in kind.model_fields.items():
        value = given.get(renamed.get(name, name))
        if value == NONE and _may_be_none(info):
            chosen[name] = None
        elif value is not None:
            chosen[name] = value
    return kind(**chosen)


def _option(name: str, info: FieldInfo) -> Callable[[Command], Command]:
    flag = "--" + name.replace("_", "-")
    kind = _plain(info.annotation)
    default = info.default
    shown = "" if default is None else f"  [default: {_say(default)}]"
    text = f"{info.description or ''}{shown}"
    if kind is bool:
        return click.option(f"{flag}/--no-{flag[2:]}", name, default=None, help=text)
    taken = _click_type(kind)
    if _may_be_none(info):
        taken = OrNone(taken)
    return click.option(flag, name, type=taken, default=None, help=text)


def _may_be_none(info: FieldInfo) -> bool:
    """Say whether None is a choice, and not what holds when nothing is said."""
    return info.default is not None and type(None) in get_args(info.annotation)


def _say(value: object) -> str:
    return {True: "on", False: "off"}[value] if isinstance(value, bool) else str(value)


def _plain(annotation: Any) -> Any:  # noqa: ANN401 - a type
    """Return the type of an option without its `| None`."""
    if get_origin(annotation) in (Union, types.UnionType):
        return next(kind for kind in get_args(annotation) if kind is not type(None))
    return annotation


def _click_type(kind: Any) -> Any:  # noqa: ANN401 - a type, or a click type
    if get_origin(kind) is Literal:
        return click.Choice(get_args(kind))
    if kind is Path:
        return click.Path(path_type=Path)
    return kind
