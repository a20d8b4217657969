"""Foundation models loaded from files, with small networks of their structure."""

import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from coverslip.errors import EncoderError, MissingExtraError
from coverslip.prepare.encoders import building, registry
from coverslip.prepare.encoders.foundation import RECIPES
from coverslip.prepare.encoders.hub import file_hash, loaded_card
from coverslip.prepare.encoders.registry import load_encoder
from small_networks import filled, small


class OneToken(nn.Module):
    """A network in timm's manner that is a single linear map."""

    num_prefix_tokens = 1

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(3, 4, device="meta")

    def forward_features(self, x):
        """Return two tokens, the second of which must not matter."""
        token = self.fc(x.mean((2, 3)))
        return torch.stack([token, -token], dim=1)


@pytest.fixture
def one_token(monkeypatch):
    """A recipe that needs no timm."""
    monkeypatch.setattr(building, "require_timm", lambda _name: None)
    monkeypatch.setattr(building, "build", lambda _recipe: OneToken())
    recipe = RECIPES[0]
    return replace(recipe, card=replace(recipe.card, dim=4))


def own(recipe):
    """Return what the registry loads a recipe by, from given files."""
    return registry.Own(
        lambda path: [path], lambda files: building.loaded(recipe, files)
    )


WEIGHTS = {"fc.weight": torch.arange(12.0).view(4, 3), "fc.bias": torch.ones(4)}


def test_a_files_weights_hash_and_name_stand_on_the_card(one_token, tmp_path):
    """A 16-bit file is widened; a classifier in it is left; the licence is the file's."""
    path = tmp_path / "mine.safetensors"
    save_file(
        {k: v.half() for k, v in {**WEIGHTS, "head.bias": WEIGHTS["fc.bias"]}.items()},
        path,
    )
    card = loaded_card(one_token.card, [path], path)
    network = building.loaded(one_token, [path])
    assert (card.weights_hash, card.source) == (file_hash(path), "mine.safetensors")
    assert card.licence == "that of the given file"
    x = torch.rand(2, 3, 5, 5)
    expected = x.mean((2, 3)) @ WEIGHTS["fc.weight"].T + 1
    torch.testing.assert_close(network(x), expected)


def test_a_file_of_another_network_is_refused_by_its_keys(one_token, tmp_path):
    """What is missing and what is too much is named."""
    path = tmp_path / "other.safetensors"
    save_file({"conv.weight": torch.zeros(1)}, path)
    with pytest.raises(EncoderError, match=r"other.*fc.bias, fc.weight missing; conv"):
        building.loaded(one_token, [path])


def test_a_pickle_that_would_run_something_is_not_run(one_token, tmp_path):
    """PyTorch files are read for their tensors only."""
    path = tmp_path / "bad.bin"
    torch.save({"fc.weight": print}, path)
    with pytest.raises(EncoderError, match=r"bad.bin: not a readable weights file"):
        building.loaded(one_token, [path])


def test_without_timm_the_extra_is_named_before_anything_is_fetched(monkeypatch):
    """Nobody downloads gigabytes in vain."""
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(MissingExtraError, match=r"uni: timm .* 'coverslip\[hub\]'"):
        load_encoder("uni", device="cpu")


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.card.name)
def test_the_whole_network_has_as_many_parameters_as_its_card(timm, recipe):  # noqa: ARG001 - skips
    """Built without memory: the arguments are those of the published network."""
    with torch.device("meta"):
        network = building.build(recipe)
    millions = sum(value.numel() for value in network.parameters()) / 1e6
    assert millions == pytest.approx(recipe.card.parameters, rel=0.005)


SAME_KEYS = [r.card.name for r in RECIPES if r.layout not in {"dinov2", "swin"}]


@pytest.mark.parametrize("name", SAME_KEYS)
def test_a_small_network_of_the_structure_is_loaded_and_sees_its_weights(
    timm,  # noqa: ARG001 - skips
    monkeypatch,
    tmp_path,
    name,
):
    """Features change with every weight that is changed, and only then."""
    recipe = small(name)
    monkeypatch.setitem(registry.ENCODERS, name, (recipe.card, own(recipe)))
    patches = np.random.default_rng(0).integers(0, 256, (3, 256, 256, 3), np.uint8)
    features = []
    for seed in (0, 0, 1):
        path = tmp_path / f"{seed}.safetensors"
        save_file(filled(building.build(recipe), seed), path)
        encoder = load_encoder(name, weights=path, device="cpu", runtime="torch")
        features.append(encoder.embed(patches))
    assert features[0].shape == (3, recipe.card.dim)
    np.testing.assert_array_equal(features[0], features[1])
    assert (np.abs(features[0] - features[2]).mean(0) > 1e-3).all()


def test_a_crop_that_the_network_does_not_take_is_told(timm, monkeypatch, tmp_path):  # noqa: ARG001 - skips
    """A multiple of its tokens is taken; another says which is the card's own."""
    recipe = small("uni")
    monkeypatch.setitem(registry.ENCODERS, "uni", (recipe.card, own(recipe)))
    path = tmp_path / "w.safetensors"
    save_file(filled(building.build(recipe)), path)
    made = load_encoder("uni", weights=path, device="cpu", runtime="torch", crop=112)
    assert made.embed(np.zeros((1, 224, 224, 3), np.uint8)).shape == (1, 48)
    with pytest.raises(registry.OptionError, match=r"crops of 120 px .* for 224"):
        load_encoder("uni", weights=path, device="cpu", runtime="torch", crop=120)
