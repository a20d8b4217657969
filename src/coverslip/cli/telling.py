"""How a command tells what came out: lines for people, or `--json` for programs."""

import json
import math
import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import click

JSON = click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Print the result as one JSON object, and nothing else on standard output.",
)


def command_line() -> str:
    """Return the command line at work, as it could be typed; empty outside of one."""
    context = click.get_current_context(silent=True)
    words = context.find_root().obj if context is not None else None
    return shlex.join(["coverslip", *words]) if words else ""


def tell(
    facts: Mapping[str, object], lines: Iterable[str], *, as_json: bool = False
) -> None:
    """Print a result.

    Args:
        facts: The result: numbers, texts, truths, None, paths, and lists and mappings of
            such. Paths become text, and what is no number (NaN, infinity) null.
        lines: The same for people.
        as_json: Which of the two is wanted.

    Raises:
        TypeError: The facts hold something else.
    """
    if as_json:
        click.echo(json.dumps(_plain(facts), ensure_ascii=False, allow_nan=False))
        return
    for line in lines:
        click.echo(line)


def _plain(value: Any) -> Any:  # noqa: ANN401 - JSON is anything
    """Return a value as JSON can hold it."""
    if hasattr(value, "tolist"):  # NumPy's numbers and arrays
        value = value.tolist()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, (str, int)):
        return value
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    raise TypeError(f"{type(value).__name__} is nothing that JSON can hold")
