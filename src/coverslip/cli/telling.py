"""How a command tells what came out: lines for people, or `--json` for programs."""

import json
import shlex
from collections.abc import Iterable, Mapping

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
        facts: The result; JSON-ready but for paths, which become text.
        lines: The same for people.
        as_json: Which of the two is wanted.
    """
    if as_json:
        click.echo(json.dumps(facts, default=str, ensure_ascii=False))
        return
    for line in lines:
        click.echo(line)
