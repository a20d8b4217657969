"""Encoders by name, and what is told before anything heavy happens."""

import subprocess
import sys

import pytest
from safetensors.torch import save_file

from coverslip.errors import EncoderError, OptionError
from coverslip.prepare.encoders import registry, resnet
from coverslip.prepare.encoders.card import RESNET50
from coverslip.prepare.encoders.registry import card, encoder_names, load_encoder


def test_looking_at_encoders_imports_no_torch():
    """Names and cards are had in a fresh interpreter without torch."""
    code = (
        "import sys; from coverslip.prepare.encoders.registry import *; "
        "from coverslip.prepare.encoders.listing import encoders; "
        "assert [card(n).dim for n in encoder_names()][:2] == [1024, 1280]; "
        "assert len(encoders()) >= 13; "
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_default_encoder_comes_first():
    """The design's default, then the one without a download, then the large ones."""
    assert encoder_names()[:3] == ("resnet50", "efficientnet-lite0", "uni")


def test_an_unknown_name_lists_the_known():
    """A name that is not there raises, with the names that are."""
    for ask in (card, load_encoder):
        with pytest.raises(
            EncoderError, match="resnet51: .*resnet50, efficientnet-lite0.*timm:NAME"
        ):
            ask("resnet51")


@pytest.mark.parametrize(
    "wrong", [{"crop": 300}, {"resize": 0}, {"device": "tpu"}, {"precision": "fp64"}]
)
def test_wrong_options_are_told_before_weights_are_fetched(monkeypatch, wrong):
    """An impossible option raises although the weights could not be had either."""

    def must_not_run(_weights):
        raise AssertionError("weights were asked for")

    monkeypatch.setitem(
        registry.ENCODERS,
        "resnet50",
        (RESNET50, registry.Own(must_not_run, must_not_run)),
    )
    with pytest.raises(OptionError):
        load_encoder("resnet50", **wrong)


def test_int8_is_refused_where_nobody_has_looked_at_it(monkeypatch):
    """Before any download, with what to use instead."""
    monkeypatch.setattr(
        "coverslip.prepare.encoders.devices.require", lambda _name: None
    )
    with pytest.raises(OptionError, match=r"int8: nobody has looked .* uni: use bf16"):
        load_encoder("uni", precision="int8", device="cpu")


def test_options_reach_the_encoder(tmp_path):
    """Resize, crop, precision and the file's hash stand in the identity."""
    path = tmp_path / "w.safetensors"
    save_file(resnet.ResNetTrunk().state_dict(), path)
    made = load_encoder(
        "resnet50", weights=path, device="cpu", precision="bf16", resize=64, crop=48
    )
    identity = made.identity()
    assert len(identity.pop("weights_hash")) == 64
    assert identity == {
        "name": "resnet50",
        "dim": 1024,
        "resize": 64,
        "crop": 48,
        "precision": "bf16",
    }
    assert made.device == "cpu"
    assert made.card.source == "w.safetensors"
