"""Fixtures shared by all tests: the real data, and one small cohort run end to end."""

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[1]
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Return the folder of real slides, patches and weights, or skip."""
    named = os.environ.get("COVERSLIP_DATA")
    folder = Path(named) if named else PROJECT.parent / "shared" / "data"
    if not (folder / "MANIFEST.md").is_file():
        pytest.skip(f"no real data at {folder}: set COVERSLIP_DATA to its folder")
    return folder


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory):
    """Keep what tests download or trace out of the user's folders."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TORCH_HOME", str(tmp_path_factory.mktemp("torch")))
        yield


@pytest.fixture(scope="session")
def cohort(tmp_path_factory):
    """Ten tiny slides of two colours with labels; do not write there."""
    from coverslip.testing import slide_cohort

    return slide_cohort(tmp_path_factory.mktemp("cohort"))


@pytest.fixture(scope="session")
def finished(cohort, tmp_path_factory) -> Path:
    """Return the study of a finished `coverslip run` on `cohort`; do not write there."""
    from coverslip.cli import main
    from coverslip.testing import fake_encoder_known
    from studies import run_arguments

    study = tmp_path_factory.mktemp("finished") / "study"
    with fake_encoder_known(), pytest.raises(SystemExit) as left:
        main(run_arguments(cohort, study, "--quiet"))
    assert left.value.code == 0
    return study


@pytest.fixture(scope="session")
def miniature(tmp_path_factory) -> Path:
    """Return the smallest miniature of CAMELYON16; do not write there."""
    from coverslip.cohorts.camelyon16.miniature import MiniatureOptions, paint_miniature

    options = MiniatureOptions(normal=4, tumor=4, test=4, size=1024)
    folder = tmp_path_factory.mktemp("miniature") / "CAMELYON16"
    return paint_miniature(folder, options, workers=2)


@dataclass(frozen=True)
class Ran:
    """What a command came to."""

    code: int
    out: str
    err: str

    @property
    def complaints(self) -> list[str]:
        """The lines that tell of something wrong."""
        return self.err.splitlines()


@pytest.fixture
def cli(capsys) -> Iterator[Callable[..., Ran]]:
    """Return the command line, in this process, with the encoder `fake` known to it."""
    from coverslip.cli import main
    from coverslip.testing import fake_encoder_known

    def call(*arguments: object) -> Ran:
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            main([str(argument) for argument in arguments])
        said = capsys.readouterr()
        assert "Traceback" not in said.out + said.err
        return Ran(int(left.value.code or 0), said.out, said.err)

    with fake_encoder_known():
        yield call


@pytest.fixture(scope="module")
def chromium() -> Iterator[object]:
    """Return a running Chromium, or skip and say what is missing."""
    playwright = pytest.importorskip("playwright.sync_api")
    named = os.environ.get("COVERSLIP_CHROMIUM")
    found = named or next(filter(None, map(shutil.which, CHROMIUM)), None)
    if found is None:
        pytest.skip(
            "no Chromium on this machine: install it, or set COVERSLIP_CHROMIUM"
        )
    flags = ["--no-sandbox", "--force-color-profile=srgb", "--disable-lcd-text"]
    flags.append("--host-resolver-rules=MAP box.lan 127.0.0.1")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=found, args=flags)
        yield browser
        browser.close()
