"""The command `camelyon16`: what it says before any work. The work: tests/pipeline."""

from pathlib import Path

import pytest

from coverslip.cli import camelyon16 as command
from studies import files


def test_check_runs_nothing(miniature, cli, tmp_path):
    """It says what is there and writes the inventory."""
    ran = cli("camelyon16", miniature, "--out", tmp_path / "study", "--check")
    assert ran.code == 0
    assert "training: 8 of 270 slides" in ran.out
    assert list(files(tmp_path)) == [str(Path("study", "camelyon16", "inventory.csv"))]


def test_a_wrong_option_is_told_before_any_work(miniature, cli, tmp_path):
    """An unknown model would otherwise show after days of features."""
    out = tmp_path / "study"
    ran = cli("camelyon16", miniature, "--out", out, "--model", "nothing")
    assert ran.code == 1
    assert "nothing" in ran.err
    assert files(tmp_path) == {}


def test_options_that_would_change_the_split_are_none_of_it(cli, tmp_path):
    """The split is published; whoever wants another uses `run`."""
    ran = cli("camelyon16", tmp_path, "--out", tmp_path, "--val-share", "0.5")
    assert ran.code == 2
    assert "--val-share" in ran.err


@pytest.mark.parametrize("flags", [(), ("--check",)])
def test_the_miniature_is_painted_before_it_is_looked_at(
    flags, cli, tmp_path, monkeypatch, miniature
):
    """Into the folder named, and only when asked for."""
    painted = []

    def paint(folder: Path, *, workers: int) -> None:
        painted.append((folder, workers))
        folder.symlink_to(miniature)

    monkeypatch.setattr(command, "paint_miniature", paint)
    asked = ("--miniature",) if flags else ()
    words = (tmp_path / "mini", "--out", tmp_path / "study", "--workers", "1")
    ran = cli("camelyon16", *words, *flags, *asked)
    assert painted == ([(tmp_path / "mini", 1)] if flags else [])
    assert ran.code == (0 if flags else 1)
    assert ("8 of 270" in ran.out) if flags else ("no such folder" in ran.err)
