"""Encoders of other packages, found by their entry points."""

import sys

import pytest
import torch

from coverslip.errors import EncoderError
from coverslip.prepare.encoders.listing import encoders
from coverslip.prepare.encoders.registry import card, encoder_names, load_encoder

CODE = """
from coverslip.prepare.encoders.card import Card

CARD = Card("{name}", 3, 32, 32, (0.0,) * 3, (1.0,) * 3, "MIT", "here")

def load(weights):
    from dataclasses import replace
    from torch import nn
    network = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return {loaded}, network

ENCODER = CARD, load
"""
GOOD = 'replace(CARD, weights_hash="1" * 64)'


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Return a function that installs a package with one encoder."""
    monkeypatch.syspath_prepend(tmp_path)
    made = []

    def install(name, *, called=None, code=None, loaded=GOOD, version="1.2"):
        module = f"pack_{name.replace('-', '_')}_{len(made)}"
        made.append(module)
        text = CODE.format(name=called or name, loaded=loaded) if code is None else code
        (tmp_path / f"{module}.py").write_text(text)
        info = tmp_path / f"{module}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Name: {module}\nVersion: {version}\n")
        line = f"{name} = {module}:ENCODER"
        (info / "entry_points.txt").write_text(f"[coverslip.encoders]\n{line}\n")
        return module

    yield install
    for module in made:
        sys.modules.pop(module, None)


def listed():
    """Return what the list says, by name."""
    return {one.name: one for one in encoders()}


def test_an_installed_package_brings_an_encoder(package):
    """It is named, listed with its package, not imported before it is asked, and runs."""
    module = package("third")
    assert encoder_names()[-1] == "third"
    assert module not in sys.modules
    one = listed()["third"]
    assert (one.ready, one.package) == (True, f"{module} 1.2")
    encoder = load_encoder("third", device="cpu", runtime="torch")
    patches = torch.full((2, 32, 32, 3), 51, dtype=torch.uint8).numpy()
    assert encoder.embed(patches) == pytest.approx(0.2)
    assert encoder.identity()["weights_hash"] == "1" * 64


def test_one_that_does_not_import_is_told_and_the_others_go_on(package):
    """Its error is one line in the list; ours and a sound package's are still there."""
    package("broken", code="import nowhere_to_be_found")
    package("sound")
    found = listed()
    assert not found["broken"].ready
    assert "No module named 'nowhere_to_be_found'" in found["broken"].found
    assert found["sound"].ready
    assert card("sound").dim == 3
    assert card("resnet50").dim == 1024
    with pytest.raises(EncoderError, match=r"broken: the encoder of pack_broken_0 1.2"):
        card("broken")


@pytest.mark.parametrize(
    ("made", "told"),
    [
        ({"code": "ENCODER = 3"}, r"is not a pair \(Card, function\)"),
        ({"called": "another"}, "its card is named 'another'"),
    ],
)
def test_what_is_no_encoder_is_refused(package, made, told):
    """A pair of a card by the same name and a function is asked for."""
    package("odd", **made)
    with pytest.raises(EncoderError, match=told):
        card("odd")


@pytest.mark.parametrize(
    ("loaded", "told"),
    [("CARD", "no hash of the weights"), ("None", "returned NoneType and Sequential")],
)
def test_a_function_that_returns_something_else_is_refused(package, loaded, told):
    """Features without the weights' hash could not be told apart."""
    package("late", loaded=loaded)
    with pytest.raises(EncoderError, match=told):
        load_encoder("late", device="cpu", runtime="torch")


def test_a_name_of_ours_stays_ours(package):
    """The other is listed as hidden, with its package."""
    package("resnet50")
    assert card("resnet50").dim == 1024
    assert encoder_names().count("resnet50") == 1
    hidden = [one for one in encoders() if one.name == "resnet50"][1]
    assert hidden.card is None
    assert "ours is taken" in hidden.found


def test_two_packages_of_one_name_are_refused_by_both_names(package):
    """Neither is preferred in silence."""
    package("twice")
    package("twice")
    with pytest.raises(
        EncoderError, match=r"pack_twice_\d 1.2 and pack_twice_\d 1.2 offer"
    ):
        card("twice")
    assert not listed()["twice"].ready
