"""Shell completion: what is offered, and that it loads nothing heavy."""

import json
import os
import subprocess
import sys

import pytest
from click.shell_completion import ShellComplete

from coverslip.cli import COMMANDS
from coverslip.cli.completion import SHELLS, VARIABLE, menu
from coverslip.learn.models.zoo import MODELS
from coverslip.prepare.encoders.registry import encoder_names


def offered(*words):
    """Return what may come in place of the last word."""
    completer = ShellComplete(menu(), {}, "coverslip", VARIABLE)
    return [
        item.value
        for item in completer.get_completions([str(w) for w in words[:-1]], words[-1])
        if item.type == "plain"
    ]


def test_commands_are_offered_with_their_line():
    """All of them, or those that begin like what is typed."""
    assert offered("") == sorted(COMMANDS)
    assert offered("feat") == ["features"]


def test_options_are_offered_once_and_again_where_they_may_be():
    """One that was given is not offered again, but for those that may be several."""
    assert offered("train", "--ep") == ["--epochs"]
    assert offered("train", "study", "--epochs", "3", "--ep") == []
    assert offered("train", "study", "--model", "abmil", "--mod") == ["--model"]
    assert {"--upsample", "--no-upsample"} <= set(offered("patches", "--"))


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("train", "s", "--model", ""), list(MODELS)),
        (("run", "s", "--model", "clam"), ["clam_sb", "clam_mb"]),
        (("features", "s", "--encoder", ""), list(encoder_names())),
        (("run", "s", "--engine", ""), ["local", "ray"]),
        (("run", "s", "--tracker", "m"), ["mlflow"]),
        (("completion", ""), list(SHELLS)),
    ],
)
def test_values_that_are_known_are_offered(words, expected):
    """Models, encoders, and whatever is one of a few."""
    assert offered(*words) == expected


def test_runs_of_a_study_are_offered(tmp_path, monkeypatch):
    """As a path where a run is wanted, as a name where a name is."""
    monkeypatch.chdir(tmp_path)
    for name in ("dmia", "abmil", "comparison"):
        (tmp_path / "study" / "runs" / name).mkdir(parents=True)
    for name in ("dmia", "abmil"):
        (tmp_path / "study" / "runs" / name / "config.json").write_text("{}")
    both = ["study/runs/abmil", "study/runs/dmia"]
    assert offered("predict", "stu") == both
    assert offered("predict", "study") == both
    assert offered("predict", "study/runs/d") == ["study/runs/dmia"]
    assert offered("compare", "study/runs/dmia", "study/runs/a") == both[:1]
    assert offered("train", "study", "--name", "d") == ["dmia"]
    assert offered("run", "x", "--out", "study", "--name", "") == ["abmil", "dmia"]
    assert offered("predict", "") == []


@pytest.mark.parametrize("shell", SHELLS)
def test_the_script_of_each_shell_asks_this_program(cli, shell):
    """It names the variable by which the program is asked."""
    ran = cli("completion", shell)
    assert ran.code == 0
    assert f"{VARIABLE}={shell}_complete" in ran.out


def test_a_shell_is_answered_without_loading_torch_or_numpy():
    """Not even the command whose options are asked for is loaded."""
    code = (
        "import sys\n"
        "from coverslip.cli import main\n"
        "try:\n    main()\n"
        "except SystemExit:\n"
        "    assert not {'torch', 'numpy', 'coverslip.cli.learn'} & sys.modules.keys()\n"
    )
    asked = {
        VARIABLE: "zsh_complete",
        "COMP_WORDS": "coverslip train --",
        "COMP_CWORD": "2",
    }
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **asked},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    assert "--epochs\nmost passes over the training slides" in done.stdout


def test_the_menu_is_small_enough_to_read_in_no_time():
    """One line a parameter, and nothing that is not needed."""
    from coverslip.cli.completion import MENU

    assert json.loads(MENU.read_text()).keys() == COMMANDS.keys()
