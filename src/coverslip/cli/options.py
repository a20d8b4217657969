"""Command-line options made from a stage's options: one place says each default."""

import types
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

import click
from pydantic.fields import FieldInfo

from coverslip.options import Options

Command = TypeVar("Command", bound=Callable[..., Any])
Chosen = TypeVar("Chosen", bound=Options)


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
    named = {name: given.get(renamed.get(name, name)) for name in kind.model_fields}
    return kind(**{name: value for name, value in named.items() if value is not None})


def _option(name: str, info: FieldInfo) -> Callable[[Command], Command]:
    flag = "--" + name.replace("_", "-")
    kind = _plain(info.annotation)
    default = info.default
    shown = "" if default is None else f"  [default: {_say(default)}]"
    text = f"{info.description or ''}{shown}"
    if kind is bool:
        return click.option(f"{flag}/--no-{flag[2:]}", name, default=None, help=text)
    return click.option(flag, name, type=_click_type(kind), default=None, help=text)


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
