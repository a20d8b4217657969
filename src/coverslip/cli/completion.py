"""Shell completion: what may come next on the command line, told without loading torch.

Loading a command to see its options takes seconds. So they are kept in
`completions.json`, which `python tests/test_docs.py` writes anew, and a command line of
empty commands is made from that. Names of runs are looked up on disk.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from click.shell_completion import (
    CompletionItem,
    get_completion_class,
    shell_complete,
)

from coverslip.version import __version__

VARIABLE = "_COVERSLIP_COMPLETE"
"""By this environment variable a shell asks the program what may come next."""

MENU = Path(__file__).with_name("completions.json")
SHELLS = ("bash", "zsh", "fish")

RUNS = {"model", "run", "runs"}
"""Parameters that take the folder of a run, where they take a path."""


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
def completion(shell: str) -> None:
    """Print a script that makes SHELL complete commands, options and names of runs.

    For bash, in ~/.bashrc: eval "$(coverslip completion bash)"; for zsh the same in
    ~/.zshrc; for fish: coverslip completion fish >
    ~/.config/fish/completions/coverslip.fish.
    """
    maker = get_completion_class(shell)
    assert maker is not None
    click.echo(maker(menu(), {}, "coverslip", VARIABLE).source())


def complete() -> int:
    """Answer a shell that asks what may come next; return the exit status."""
    return shell_complete(menu(), {}, "coverslip", VARIABLE, os.environ[VARIABLE])


class Run(click.Path):
    """The folder of a run, or any other path."""

    def shell_complete(
        self,
        ctx: click.Context,  # noqa: ARG002 - click's signature
        param: click.Parameter,  # noqa: ARG002 - click's signature
        incomplete: str,
    ) -> list[CompletionItem]:
        """Offer paths, and the runs of studies that begin like what is typed."""
        offered = [CompletionItem(incomplete, type="file")]
        root, _, named = incomplete.partition("/runs/")
        study = Path(root)
        beside = sorted(study.parent.glob(f"{study.name}*")) if study.name else []
        for folder in dict.fromkeys([study, *beside]):
            runs = (folder / "runs").glob(f"{named}*")
            offered += [CompletionItem(run.as_posix()) for run in _runs(runs)]
        return offered


class RunName(click.ParamType):  # type: ignore[type-arg] # no generic before click 8.4
    """The name of a run in the study that the words before name."""

    name = "text"

    def shell_complete(
        self,
        ctx: click.Context,
        param: click.Parameter,  # noqa: ARG002 - click's signature
        incomplete: str,
    ) -> list[CompletionItem]:
        """Offer the runs that are there."""
        # click leaves arguments unread when the last word is still to come
        words = [ctx.params.get("out"), ctx.params.get("study"), *ctx.args]
        study = next((word for word in words if word), None)
        if study is None:
            return []
        runs = (Path(str(study)) / "runs").glob(f"{incomplete}*")
        return [CompletionItem(run.name) for run in _runs(runs)]


def _runs(folders: Iterator[Path]) -> list[Path]:
    return sorted(f for f in folders if (f / "config.json").is_file())


def menu() -> click.Group:
    """Return a command line that does nothing and has every command and option."""
    facts = json.loads(MENU.read_text(encoding="utf-8"))
    group = click.Group(
        "coverslip", context_settings={"help_option_names": ["-h", "--help"]}
    )
    click.version_option(__version__)(group)
    for name, command in facts.items():
        params = [_param(**param) for param in command["params"]]
        group.add_command(click.Command(name, help=command["help"], params=params))
    return group


def _param(
    kind: str,
    name: str,
    opts: list[str],
    takes: Any,  # noqa: ANN401 - JSON
    several: bool,
    help: str,
) -> click.Parameter:
    """Make a parameter of what the menu says."""
    types: dict[str, Any] = {
        "run": Run(),
        "run name": RunName(),
        "path": click.Path(),
        "folder": click.Path(file_okay=False),
    }
    accepts = click.Choice(takes) if isinstance(takes, list) else types.get(takes)
    if kind == "argument":
        nargs = -1 if several else 1
        return click.Argument([name], type=accepts, nargs=nargs, required=False)
    if takes == "nothing":
        return click.Option([name, "/".join(opts)], is_flag=True, help=help)
    return click.Option([name, *opts], type=accepts, multiple=several, help=help)


def menu_facts() -> dict[str, Any]:
    """Return what the menu should say, from the commands themselves."""
    from coverslip.cli import COMMANDS, LazyGroup

    group = LazyGroup()
    facts: dict[str, Any] = {}
    for name, (_, line) in COMMANDS.items():
        command = group.get_command(click.Context(group), name)
        params = [] if command is None else command.params
        facts[name] = {"help": line, "params": [_facts(param) for param in params]}
    return facts


def _facts(param: click.Parameter) -> dict[str, Any]:
    option = param if isinstance(param, click.Option) else None
    return {
        "kind": "argument" if option is None else "option",
        "name": param.name,
        "opts": [*param.opts, *param.secondary_opts] if option else [],
        "takes": _takes(param, option),
        "several": param.nargs == -1 or bool(option and option.multiple),
        "help": (option.help or "").partition("  [")[0] if option else "",
    }


def _takes(param: click.Parameter, option: click.Option | None) -> object:
    """Return what a parameter takes: a list of words, or a word for what they are."""
    from coverslip.learn.models.zoo import MODELS
    from coverslip.prepare.encoders.registry import encoder_names

    if option is not None and option.is_flag:
        return "nothing"
    if isinstance(param.type, click.Choice):
        return [str(choice) for choice in param.type.choices]
    if isinstance(param.type, click.Path):
        if param.name in RUNS:
            return "run"
        return "path" if param.type.file_okay else "folder"
    known = {"model": list(MODELS), "models": list(MODELS), "name": "run name"}
    return {**known, "encoder": list(encoder_names())}.get(str(param.name), "text")
