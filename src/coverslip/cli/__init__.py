"""The command line: a thin coat that parses, calls one public function, and prints.

A command's module is loaded when that command is asked for, so that `--help` is quick
and loads no torch.
"""

import importlib
import os
import sys
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn

import click

from coverslip.errors import CoverslipError, SlideWarning
from coverslip.version import __version__

COMMANDS = {
    "demo": ("coverslip.cli.whole", "Paint a cohort and run everything on it."),
    "plan": (
        "coverslip.cli.plan",
        "Look before a run: is all well, and what will it take.",
    ),
    "run": (
        "coverslip.cli.whole",
        "Slides and labels in; model, figures, heatmaps out.",
    ),
    "init": ("coverslip.cli.init", "Write a file of options, for --config."),
    "tissue": ("coverslip.cli.prepare", "Find the tissue on slides."),
    "patches": ("coverslip.cli.prepare", "Lay patches over the tissue of slides."),
    "features": ("coverslip.cli.features", "Turn the patches of slides into features."),
    "train": ("coverslip.cli.learn", "Train a model on a study's features."),
    "evaluate": ("coverslip.cli.learn", "Judge a model on labelled slides."),
    "compare": ("coverslip.cli.compare", "Compare runs on the slides they share."),
    "predict": ("coverslip.cli.predict", "Predict slides that nobody has labelled."),
    "heatmap": ("coverslip.cli.predict", "Draw where a model looked on slides."),
    "export": (
        "coverslip.cli.export",
        "Write a run's word for QuPath, ASAP and slide readers.",
    ),
    "report": (
        "coverslip.cli.report",
        "Write a run as one HTML file that can be mailed.",
    ),
    "view": ("coverslip.cli.view", "Show a study in the browser."),
    "froc": ("coverslip.cli.froc", "Judge how many lesions a model finds on slides."),
    "camelyon16": (
        "coverslip.cli.camelyon16",
        "CAMELYON16 from its folder to slide AUC and lesion FROC.",
    ),
    "convert": (
        "coverslip.cli.convert",
        "Features from and to CLAM, TRIDENT, STAMP, torchmil, pickles.",
    ),
    "validate": ("coverslip.cli.validate", "Say what a folder is and what is wrong."),
    "completion": ("coverslip.cli.completion", "Print a script for shell completion."),
    "encoders": (
        "coverslip.cli.encoders",
        "List the encoders, and what of each is installed.",
    ),
    "doctor": ("coverslip.cli.doctor", "Check this installation, and say what to do."),
}
"""Module and one line of help, in the order they are listed."""


class LazyGroup(click.Group):
    """A group whose commands are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the names of the commands."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        """Import one command."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(COMMANDS[cmd_name][0])
        command: click.Command = getattr(module, cmd_name)
        return command

    def format_commands(
        self,
        ctx: click.Context,  # noqa: ARG002 - click's signature
        formatter: click.HelpFormatter,
    ) -> None:
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="coverslip")
def cli() -> None:
    """Slides in, verdict out: DMIA-MIL on whole-slide images.

    The quickest look: `coverslip demo`. The main job: `coverslip run SLIDES --labels
    CSV --out STUDY`. Every command can be stopped and started again.
    """


TRACE = "COVERSLIP_TRACE"
"""Environment variable: when set, an unexpected error shows where it came from."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; errors become one line and a code that is not 0."""
    if "_COVERSLIP_COMPLETE" in os.environ:  # a shell asks what may come next
        from coverslip.cli.completion import complete

        sys.exit(complete())
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        with _warnings_in_one_line():
            left = cli.main(
                words, prog_name="coverslip", standalone_mode=False, obj=words
            )
        sys.exit(left or 0)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except click.Abort:
        _stopped()
    except CoverslipError as error:
        click.echo(f"coverslip: error: {error}", err=True)
        sys.exit(1)
    except Exception as error:  # noqa: BLE001 - nobody should have to read a traceback
        if isinstance(error.__cause__, KeyboardInterrupt):  # in a library being loaded
            _stopped()
        if os.environ.get(TRACE):
            traceback.print_exc()
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        click.echo(
            f"coverslip: unexpected error: {reason}: please report it, with what the "
            f"same command prints when {TRACE}=1 is set",
            err=True,
        )
        sys.exit(1)


@contextmanager
def _warnings_in_one_line() -> Iterator[None]:
    """Within this block ours are shown as errors are, others as ever."""
    with warnings.catch_warnings():
        usual = warnings.showwarning

        def show(message: Warning | str, category: type[Warning], *more: Any) -> None:  # noqa: ANN401 - Python's
            if issubclass(category, SlideWarning):
                click.echo(f"warning: {message}", err=True)
            else:
                usual(message, category, *more)

        warnings.showwarning = show  # type: ignore[assignment] # the rest is passed on
        yield


def _stopped() -> NoReturn:
    click.echo("coverslip: stopped: the same command goes on from here", err=True)
    sys.exit(130)
