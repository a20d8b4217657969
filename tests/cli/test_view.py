"""The command `view`: it serves, says where, and ends with Ctrl-C."""

import json
import os
import signal
import subprocess
import sys
from urllib.request import urlopen

import pytest


@pytest.fixture
def script(tmp_path):
    """Return something that passes for OpenSeadragon."""
    path = tmp_path / "openseadragon.min.js"
    path.write_text("// openseadragon, in name only\n")
    return path


HEEDING = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from coverslip.cli import main
main(sys.argv[1:])
"""
"""The command, heeding Ctrl-C also where a shell runs these tests in the background."""


@pytest.mark.skipif(os.name == "nt", reason="signals differ")
def test_it_serves_until_ctrl_c(finished, script):
    """The address is told at once, and the end is silent and no error."""
    words = ["view", finished, "--no-browser", "--json", "--port", 0]
    command = [*map(str, words), "--openseadragon", str(script)]
    with subprocess.Popen(
        [sys.executable, "-c", HEEDING, *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        try:
            assert running.stdout is not None
            told = json.loads(running.stdout.readline())
            with urlopen(f"{told['url']}api/study", timeout=60) as answer:
                assert json.load(answer)["runs"] == ["dmia"]
            running.send_signal(signal.SIGINT)
            out, err = running.communicate(timeout=60)
        finally:
            running.kill()
    assert (running.returncode, out, err) == (0, "", "")


def test_a_browser_is_opened_unless_told_not_to(cli, finished, script, monkeypatch):
    """At the address that is printed."""
    opened = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    monkeypatch.setattr("coverslip.viewer.viewing.Viewing.serve", _close)
    words = ["view", finished, "--openseadragon", script, "--port", 0]
    ran = cli(*words)
    assert len(opened) == 1
    assert opened[0] in ran.out
    cli(*words, "--no-browser")
    assert len(opened) == 1


def _close(viewing):
    viewing.server.server_close()


@pytest.mark.parametrize(
    ("more", "complaint"),
    [
        (["--run", "other"], "choose from dmia"),
        (["--annotations", "nowhere"], "no such folder"),
        (["--openseadragon", "nothing.js"], "not OpenSeadragon"),
        (["--port", 99999], "port=99999"),
        (["--host", "no.such.host.invalid"], "cannot listen at"),
    ],
)
def test_what_cannot_be_is_told_in_one_line(cli, finished, script, more, complaint):
    """And nothing is served."""
    ran = cli("view", finished, "--openseadragon", script, *more, "--no-browser")
    assert ran.code == 1
    assert len(ran.complaints) == 1
    assert complaint in ran.err


def test_what_is_no_study_is_told_so(cli, tmp_path, script):
    """With the commands that make one."""
    ran = cli("view", tmp_path, "--openseadragon", script)
    assert ran.code == 1
    assert "no study: give a folder" in ran.err


def test_without_openseadragon_one_line_says_what_to_install(
    cli, finished, monkeypatch
):
    """The extra, or a file."""
    monkeypatch.delenv("COVERSLIP_OPENSEADRAGON", raising=False)
    monkeypatch.setattr("coverslip.viewer.assets.CARRIER", "no-such-package-anywhere")
    ran = cli("view", finished, "--no-browser")
    assert ran.code == 1
    (line,) = ran.complaints
    assert "pip install 'coverslip[view]', or name its openseadragon.min.js" in line
