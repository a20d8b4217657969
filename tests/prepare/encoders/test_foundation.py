"""Cards of foundation models: what each network is shown, and what a user is told."""

import re

import pytest

from coverslip.prepare.encoders.card import IMAGENET_MEAN, IMAGENET_STD
from coverslip.prepare.encoders.foundation import RECIPES
from coverslip.prepare.encoders.registry import card

OPTIMUS = (0.707223, 0.578729, 0.703617), (0.211883, 0.230117, 0.177517)
PUBLISHED = {
    "uni": (1024, 224, 224, "bilinear", "CC-BY-NC-ND-4.0", True, 303),
    "uni2-h": (1536, 224, 224, "bilinear", "CC-BY-NC-ND-4.0", True, 681),
    "conch-v1.5": (768, 448, 448, "bilinear", "CC-BY-NC-ND-4.0", True, 306),
    "virchow2": (2560, 224, 224, "bicubic", "CC-BY-NC-ND-4.0", True, 631),
    "h-optimus-0": (1536, 224, 224, "bicubic", "Apache-2.0", True, 1135),
    "h-optimus-1": (1536, 224, 224, "bicubic", "CC-BY-NC-ND-4.0", True, 1135),
    "prov-gigapath": (1536, 256, 224, "bicubic", "Apache-2.0", True, 1135),
    "phikon-v2": (1024, 224, 224, "bicubic", "Owkin non-commercial", False, 303),
    "ctranspath": (768, 224, 224, "bicubic", "GPL-3.0", False, 27.5),
    "dinov2-vits14": (384, 224, 224, "bicubic", "Apache-2.0", False, 21.6),
    "dinov2-vitl14": (1024, 224, 224, "bicubic", "Apache-2.0", False, 303),
}
"""Length, resize, crop, interpolation, licence, gated, millions of parameters."""


def test_cards_say_what_the_models_own_pages_say():
    """Sizes, interpolation, licence and gate of each are those published."""
    found = {
        c.name: (
            *(c.dim, c.resize, c.input_size, c.interpolation, c.licence),
            *(c.gated, c.parameters),
        )
        for c in (recipe.card for recipe in RECIPES)
    }
    assert found == PUBLISHED


def test_only_the_optimus_models_have_colours_of_their_own():
    """All others subtract ImageNet's mean."""
    for recipe in RECIPES:
        optimus = recipe.card.name.startswith("h-optimus")
        expected = OPTIMUS if optimus else (IMAGENET_MEAN, IMAGENET_STD)
        assert (recipe.card.mean, recipe.card.std) == expected


def test_each_can_be_found_at_the_hub_and_none_is_quantised_unseen():
    """A repository, a page to accept the licence at, a file name, the extra."""
    for recipe in RECIPES:
        card = recipe.card
        assert card.repository.count("/") == 1
        assert card.page == f"https://huggingface.co/{card.repository}"
        assert card.hub_files
        assert card.extra == "hub"
        assert not card.int8


@pytest.mark.parametrize(
    ("name", "mpp", "size", "advised"),
    [
        ("uni", 0.5, 256, ""),
        ("uni", 0.5, 224, ""),
        (
            "uni",
            1.0,
            256,
            "show it 1.1 um per pixel: lay patches with --target-mpp 0.5 --size 256",
        ),
        ("virchow2", 1.0, 224, ""),  # one of its four scales
        ("virchow2", 4.0, 224, "--target-mpp 0.5 --size 224"),
        ("conch-v1.5", 0.5, 256, "show it 0.29 um .* --target-mpp 0.5 --size 512"),
        ("conch-v1.5", 0.5, 512, ""),
        ("resnet50", 3.0, 256, ""),  # knows no scale
    ],
)
def test_patches_of_another_scale_are_advised_against(name, mpp, size, advised):
    """The scale counts that the network sees, after resizing; a quarter is let pass."""
    advice = card(name).scale_advice(mpp, size)
    if not advised:
        assert advice == ""
    else:
        assert re.search(advised, advice), advice
