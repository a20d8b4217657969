"""The command line: help for everything, one line for every error, a telling code."""

import subprocess
import sys
import warnings

import click
import pytest

from coverslip import cli as package
from coverslip.cli import COMMANDS, TRACE, main
from coverslip.errors import CoverslipError, OutputError, SlideWarning


def command_that(monkeypatch, action):
    """Let the command `doctor` do something else."""
    command = click.Command("doctor", callback=action)
    monkeypatch.setattr(package.LazyGroup, "get_command", lambda *_: command)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(cli, name):
    """Each has its usage, a text of its own, and help for every option."""
    ran = cli(name, "--help")
    assert ran.code == 0
    assert ran.out.startswith(f"Usage: coverslip {name}")
    assert len(ran.out.split("Options:")[0].split("\n\n")[1]) > 20
    command = package.LazyGroup().get_command(None, name)
    for option in command.params:
        assert isinstance(option, click.Argument) or option.help, option.name


def test_the_overview_lists_every_command_with_its_line(cli):
    """`coverslip --help` is a table of contents."""
    ran = cli("--help")
    for name, (_, line) in COMMANDS.items():
        assert f"  {name} " in ran.out
        assert line in ran.out


def test_the_version_is_told(cli):
    """`coverslip --version` names the program and its version."""
    assert cli("--version").out.startswith("coverslip, version ")


@pytest.mark.filterwarnings("default")
def test_a_warning_about_a_slide_is_one_line(cli, monkeypatch, recwarn):
    """Without the place in the code; another library's is shown as Python does."""

    def act():
        warnings.warn("a.svs: read with OpenSlide", SlideWarning, stacklevel=1)
        warnings.warn("of a library", stacklevel=1)

    command_that(monkeypatch, act)
    ran = cli("doctor")
    assert ran.code == 0
    assert ran.err == "warning: a.svs: read with OpenSlide\n"
    assert [str(one.message) for one in recwarn] == ["of a library"]


def test_the_module_is_the_command():
    """`python -m coverslip` is the same program."""
    done = subprocess.run(
        [sys.executable, "-m", "coverslip", "nonsense"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "No such command 'nonsense'" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["tissue"],
        ["tissue", "a.svs"],
        ["tissue", "a.svs", "--out", "o", "--workers", "0"],
        ["predict", "m"],
        ["features", "a", "--out", "o", "--device", "abacus"],
        ["train", "s", "--labels", "l.csv", "--preset", "unknown"],
    ],
)
def test_a_wrong_call_is_told_with_code_2(cli, arguments):
    """What click can see is wrong ends with usage, not with a traceback."""
    ran = cli(*arguments)
    assert ran.code == 2
    assert ran.complaints[-1].startswith("Error: ")


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["patches", "a.svs", "--size", "4"], "size=4"),
        (["patches", "a.svs", "--threshold", "2"], "threshold=2"),
        (["patches", "a.svs", "--target-mpp", "nan"], "mpp=nan"),
        (["patches", "a.svs", "--target-mpp", "1e-9"], "mpp=1e-09"),
        (["patches", "a.svs", "--mpp", "nan"], "--mpp nan"),
        (["features", "a.svs", "--encoder", "abacus"], "abacus: no such encoder"),
        (["features", "a.svs", "--precision", "fp16", "--device", "cpu"], "fp16"),
    ],
)
def test_a_wrong_option_is_one_line_with_code_1(cli, tmp_path, arguments, named):
    """What only the stage can see is wrong is named in one line."""
    path = tmp_path / "a.svs"
    path.write_bytes(b"nothing")
    given = [path if word == "a.svs" else word for word in arguments]
    ran = cli(*given, "--out", tmp_path / "study")
    assert ran.code == 1
    assert len(ran.complaints) == 1
    assert ran.complaints[0].startswith("coverslip: error: ")
    assert named in ran.complaints[0]


@pytest.mark.parametrize(
    ("given", "named"),
    [
        (["--set", "attention"], "write it as key=value"),
        (["--set", "colour=red"], "colour is not an option"),
        (["--set", "attention=loud"], "attention='loud'"),
        (["--model", "oracle"], "model 'oracle' is unknown"),
        (["--epochs", "0"], "epochs=0"),
        (["--lr", "inf"], "lr=inf"),
        (["--name", "../elsewhere"], "name='../elsewhere'"),
        (["--name", ""], "name=''"),
        (["--labels-from-names"], "give either --labels CSV or --labels-from-names"),
    ],
)
def test_a_wrong_learning_option_is_one_line(cli, finished, cohort, given, named):
    """Options of the model and of the training are checked before any work."""
    ran = cli("train", finished, "--labels", cohort.labels, "--name", "no", *given)
    assert ran.code == 1
    assert len(ran.complaints) == 1
    assert named in ran.complaints[0]
    assert not (finished / "runs" / "no").exists()


def test_an_error_of_ours_is_one_line(monkeypatch, cli):
    """Whatever coverslip raises on purpose is its message, and code 1."""

    def fail():
        raise OutputError("x: cannot write (full): free some space")

    command_that(monkeypatch, fail)
    ran = cli("doctor")
    assert (ran.code, ran.out) == (1, "")
    assert ran.err == "coverslip: error: x: cannot write (full): free some space\n"
    assert issubclass(OutputError, CoverslipError)


def test_an_error_that_nobody_foresaw_is_one_line_too(monkeypatch, cli):
    """A bug shows no traceback, unless it is asked for."""

    def fail():
        raise ZeroDivisionError("two\nlines")

    command_that(monkeypatch, fail)
    ran = cli("doctor")
    assert ran.code == 1
    assert len(ran.complaints) == 1
    assert "ZeroDivisionError: two lines" in ran.err
    assert TRACE in ran.err


def test_the_traceback_can_be_had(monkeypatch, capsys):
    """With COVERSLIP_TRACE set, an unexpected error says where it came from."""

    def fail():
        raise ZeroDivisionError("told")

    command_that(monkeypatch, fail)
    monkeypatch.setenv(TRACE, "1")
    with pytest.raises(SystemExit):
        main(["doctor"])
    assert "in fail" in capsys.readouterr().err


def test_ctrl_c_is_one_line_and_130(monkeypatch, cli):
    """An interruption is no error, and says how to go on."""

    def interrupt():
        raise KeyboardInterrupt

    command_that(monkeypatch, interrupt)
    ran = cli("doctor")
    assert ran.code == 130
    told = [line for line in ran.complaints if line]
    assert told == ["coverslip: stopped: the same command goes on from here"]


def test_ctrl_c_while_a_library_is_loaded_is_that_too(monkeypatch, cli):
    """Some libraries make another error of it."""

    def interrupt():
        raise ImportError("initialization failed") from KeyboardInterrupt()

    command_that(monkeypatch, interrupt)
    ran = cli("doctor")
    assert ran.code == 130
    assert ran.complaints == ["coverslip: stopped: the same command goes on from here"]


def test_the_doctor_finds_this_installation_sound(cli):
    """Every check says what it found; nothing is bad where the tests run."""
    ran = cli("doctor")
    assert ran.code == 0
    assert "[  ok] slide to patches" in ran.out
    assert "[ bad]" not in ran.out
