"""Killed at any instant, the same command completes, and redoes one slide at most."""

import json
import shutil
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from coverslip.testing import slide_cohort
from studies import files, rows, run_arguments, same

DRIVER = Path(__file__).with_name("killing.py")
SLIDES, EPOCHS = 6, 3


class Killer:
    """A process that runs commands and kills them."""

    def __init__(self, folder, cohort):
        self.folder, self.cohort = folder, cohort
        self.process = subprocess.Popen(
            [sys.executable, str(DRIVER)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, study, **death):
        """Run the command on a study; return its code, and what it did by name."""
        places = ["run", self.cohort.slides, "--labels", self.cohort.labels]
        how = ["--out", study, "--encoder", "fake", "--workers", 1, "--quiet"]
        learn = ["--epochs", EPOCHS, "--val-share", 0.34, "--test-share", 0]
        return self.call([*places, *how, *learn], study.name, **death)

    def call(self, arguments, name, **death):
        """Run any command; what it does adds up under the name."""
        acts, errors = self.folder / f"{name}.acts", self.folder / "errors"
        request = {"arguments": [str(word) for word in arguments]}
        request |= {"acts": str(acts), "errors": str(errors), **death}
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        code = int(self.process.stdout.readline())
        self.errors = errors.read_text()
        return code, Counter(acts.read_text().split() if acts.exists() else [])


@pytest.fixture(scope="module")
def killer(tmp_path_factory):
    """Start the process, with a small cohort of its own."""
    folder = tmp_path_factory.mktemp("killed")
    made = Killer(folder, slide_cohort(folder, slides=SLIDES, size=1024))
    yield made
    made.process.communicate(timeout=20)


@pytest.fixture(scope="module")
def whole(killer):
    """Return the study of a run that nobody killed."""
    study = killer.folder / "whole"
    code, acts = killer.run(study)
    assert (code, killer.errors) == (0, "")
    assert set(acts.values()) == {SLIDES, EPOCHS}
    return study


CHANGING = {"slides.csv", "runs/dmia/log.csv", "runs/dmia/state.safetensors"}


def completes(killer, study, whole):
    """Run the killed command again and compare with the run that nobody killed."""
    before = files(study) if study.exists() else {}
    parts = {name for name in before if name.endswith(".part")}
    code, acts = killer.run(study)
    assert (code, killer.errors) == (0, "")
    after = files(study)
    for name in before.keys() - CHANGING - parts:
        assert after[name] == before[name], f"{name} was written again"
    assert after.keys() == files(whole).keys()
    for name in after:
        assert same(study / name, whole / name), name
    for act in ("find_tissue", "lay_patches", "extract_features"):
        assert acts[act] <= SLIDES + 1
    assert acts["_epoch"] <= EPOCHS + 1
    return acts


BEFORE = [1, 3, 13, 22, 28, 31, 37, 38, 41, 42, 44]
AFTER = [19, 31, 38]
"""Moves: of slides.csv; thumbnail, outlines and patches of 6 slides; features of 6,
prepare.json, slides.csv; split, config; log and state of 3 epochs; figure, card, model;
figure, predictions, metrics; the resolved configuration; provenance. 43 in all; then the report's
figures and page."""


@pytest.mark.parametrize(
    ("moment", "moved"), [*((k, False) for k in BEFORE), *((k, True) for k in AFTER)]
)
def test_killed_at_any_file(killer, whole, moment, moved):
    """Before or after a file is in its place: the end is the same, byte for byte."""
    study = killer.folder / f"killed_{moment}_{moved}"
    code, _ = killer.run(study, replace=moment, moved=moved)
    assert code == -signal.SIGKILL
    completes(killer, study, whole)


def test_killed_again_and_again(killer, whole):
    """A run that dies after every seventh file still comes to the same end."""
    study, deaths, code = killer.folder / "often", 0, -signal.SIGKILL
    while code == -signal.SIGKILL:
        code, _ = killer.run(study, replace=7, moved=deaths % 2 == 0)
        deaths += code == -signal.SIGKILL
    assert code == 0
    assert deaths >= 5
    assert all(same(study / name, whole / name) for name in files(whole))
    assert files(study).keys() == files(whole).keys()


@pytest.mark.parametrize("seconds", [0.1, 0.3])
@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGINT])
def test_killed_or_interrupted_at_any_time(killer, whole, seconds, sent):
    """Wherever the clock finds it; Ctrl-C says in one line that it can go on."""
    study = killer.folder / f"{sent.name}_{seconds}"
    code, _ = killer.run(study, seconds=seconds, signal=sent)
    assert code in {-sent, 130, 0}, killer.errors
    if sent == signal.SIGINT and code:
        last = killer.errors.splitlines()[-1]
        assert last == "coverslip: stopped: the same command goes on from here"
    completes(killer, study, whole)


def test_killed_while_heatmaps_are_drawn(killer, cohort, finished, tmp_path):
    """A slide whose pictures were not finished is drawn again; a finished one is not."""
    place = tmp_path / finished.parent.name / "study"  # which the report names
    study = shutil.copytree(finished, place)
    shutil.rmtree(study / "heatmaps")
    again = run_arguments(cohort, study, "--quiet", "--workers", 1)
    code, _ = killer.call(again, "maps", replace=4, moved=True)
    assert code == -signal.SIGKILL
    before = files(study)
    assert set(files(study / "heatmaps")) == {
        *(f"slide_08{end}" for end in (".csv", ".png", "_patches.png")),
        "slide_09.png",
    }
    assert killer.call(again, "maps")[0] == 0
    after = files(study)
    assert all(after[name] == before[name] for name in before)
    assert after.keys() == files(finished).keys()
    assert all(same(study / name, finished / name) for name in after)


def test_a_dead_process_leaves_no_litter(killer, whole):
    """The half-written file of a killed run is swept when its folder is next used."""
    study = killer.folder / "litter"
    killer.run(study, replace=21, moved=False)
    assert [path.suffix for path in study.rglob(".*")] == [".part"]
    completes(killer, study, whole)
    assert not list(study.rglob(".*"))
    assert {row["status"] for row in rows(study / "slides.csv").values()} == {
        "features"
    }
