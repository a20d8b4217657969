"""The pages of the documentation that are written from the code."""

import click

import coverslip
from coverslip.cli import COMMANDS, cli

WIDTH = 88
GROUPS = {
    "pipeline": ("Many slides", "The verbs of the command line, and what they take."),
    "slides": ("One slide", "Finding and opening."),
    "prepare": ("From a slide to features", "Stages, each on one slide."),
    "learn": ("Bags and models", "Labels, training and prediction."),
    "judge": ("Judging", "Figures from predictions."),
    "show": ("Showing", "Pictures and pages for people."),
    "interop": ("Other programs", "Their files, read and written."),
    "cohorts": ("Cohorts", "Known by name, or painted."),
}


def cli_page() -> str:
    """Return docs/cli.md as the commands would have it."""
    top = click.Context(
        cli, info_name="coverslip", terminal_width=WIDTH, **cli.context_settings
    )
    intro = (
        "Written by `python tests/test_docs.py` from the commands' own help. How to use "
        "them: [index.md](index.md#how-to). What the options mean: [method.md](method.md) "
        "for the model and its training, [tissue.md](tissue.md) for tissue and patches, "
        "[usage.md](usage.md) for encoders, [cross-validate.md](cross-validate.md) for "
        "splits."
    )
    parts = ["# Commands", intro, f"```text\n{cli.get_help(top)}\n```"]
    for name in COMMANDS:
        command = cli.get_command(top, name)
        assert command is not None
        context = click.Context(
            command, parent=top, info_name=name, terminal_width=WIDTH
        )
        parts += [f"## {name}", f"```text\n{command.get_help(context)}\n```"]
    return "\n\n".join(parts) + "\n"


def api_page() -> str:
    """Return docs/api.md as the docstrings of the public names would have it."""
    intro = (
        "Written by `python tests/test_docs.py` from the docstrings. These names are "
        "promised: `import coverslip` has them, and loads each when it is first used. The "
        "site built by `make docs` tells arguments, results and errors of each, and of "
        "the modules behind them. To be learnt from: the [tutorial](tutorial.ipynb)."
    )
    parts = ["# Python", intro]
    rows: dict[str, list[str]] = {}
    for name in coverslip.__all__:
        if name == "__version__":
            continue
        thing = getattr(coverslip, name)
        folder = thing.__module__.split(".")[1]
        path = thing.__module__.replace(".", "/")
        told = thing.__doc__.partition("\n\n")[0].replace("\n", " ").replace("|", "\\|")
        source = f"[{path.removeprefix('coverslip/')}.py](../src/{path}.py)"
        rows.setdefault(folder, []).append(
            f"| `coverslip.{name}` | {' '.join(told.split())} | {source} |"
        )
    for folder in [*GROUPS, *sorted(set(rows) - set(GROUPS))]:
        if folder in rows:
            title, about = GROUPS.get(folder, (folder.capitalize(), "More."))
            table = ["| name | what it is | where |", "|---|---|---|", *rows[folder]]
            parts += [f"## {title}", about, "\n".join(table)]
    return "\n\n".join(parts) + "\n"
