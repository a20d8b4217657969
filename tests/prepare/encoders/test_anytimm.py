"""Any network of timm by its name."""

import json
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from coverslip.errors import EncoderError, MissingExtraError
from coverslip.prepare.encoders.registry import card, load_encoder


def test_without_timm_the_extra_is_named(monkeypatch):
    """Not that the name is unknown."""
    monkeypatch.setitem(sys.modules, "timm", None)
    for name in ("timm:resnet18", "hf-hub:org/net"):
        with pytest.raises(MissingExtraError, match=r"'coverslip\[hub\]'"):
            card(name)


@pytest.mark.parametrize("name", ["timm:nosuch", "timm:resnet18.nosuch"])
def test_a_network_that_timm_has_not_is_refused(timm, name):  # noqa: ARG001 - skips
    """Neither the network nor the weights' name is guessed."""
    with pytest.raises(EncoderError, match=f"{name}: timm .* has no such network"):
        card(name)


def test_features_are_timms_own(timm, tmp_path):
    """Pixels as its configuration says, classifier left out, features equal."""
    from timm.data import create_transform, resolve_model_data_config

    torch.manual_seed(7)
    name = "resnet18.a1_in1k"
    path = tmp_path / "w.bin"
    whole = timm.create_model(name).eval()
    torch.save(whole.state_dict(), path)
    patches = np.random.default_rng(0).integers(0, 256, (2, 256, 256, 3), np.uint8)
    shown = create_transform(**resolve_model_data_config(whole), is_training=False)
    with torch.inference_mode():
        images = torch.stack([shown(Image.fromarray(patch)) for patch in patches])
        expected = whole.forward_head(whole.forward_features(images), pre_logits=True)
    made = load_encoder(f"timm:{name}", weights=path, device="cpu", runtime="torch")
    np.testing.assert_allclose(made.embed(patches), expected.numpy(), atol=1e-5)
    with pytest.raises(EncoderError, match=r"not weights of resnet34.*nothing for"):
        load_encoder("timm:resnet34.a1_in1k", weights=path)


def test_a_hubs_folder_says_itself_what_to_build(timm, tmp_path):
    """`config.json` beside the weights decides network and pixels."""
    config = {
        "architecture": "resnet18",
        "num_classes": 1000,
        "pretrained_cfg": {
            "input_size": [3, 96, 96],
            "interpolation": "bilinear",
            "crop_pct": 0.9,
            "mean": [0.5] * 3,
            "std": [0.25] * 3,
            "num_classes": 1000,
            "license": "mit",
        },
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    torch.save(
        timm.create_model("resnet18").state_dict(), tmp_path / "pytorch_model.bin"
    )
    made = load_encoder(
        "hf-hub:org/net", weights=tmp_path, device="cpu", runtime="torch"
    )
    found = made.card
    assert (found.input_size, found.resize, found.interpolation) == (
        96,
        106,
        "bilinear",
    )
    assert (found.mean, found.std, found.dim) == ((0.5,) * 3, (0.25,) * 3, 512)
    assert made.embed(np.zeros((1, 106, 106, 3), np.uint8)).shape == (1, 512)
    (tmp_path / "config.json").write_text('{"model_type": "dinov2"}')
    with pytest.raises(
        EncoderError, match="not the configuration of a network of timm"
    ):
        load_encoder("hf-hub:org/net", weights=tmp_path)
