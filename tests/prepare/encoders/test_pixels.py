"""What patches become before a network sees them, beside Pillow's own resizing."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from coverslip.prepare.encoders.foundation import RECIPES
from coverslip.prepare.encoders.pixels import cropped
from coverslip.prepare.encoders.registry import card

FILTERS = {
    "bicubic": Image.Resampling.BICUBIC,
    "bilinear": Image.Resampling.BILINEAR,
}


def pillows(patch, asked):
    """Return what Pillow makes of a patch (H, W, 3): shorter side, then the centre."""
    height, width = patch.shape[:2]
    scale = asked.resize / min(height, width)
    size = round(width * scale), round(height * scale)
    resized = Image.fromarray(patch).resize(size, FILTERS[asked.interpolation])
    left, top = (round((side - asked.input_size) / 2) for side in size)
    box = (left, top, left + asked.input_size, top + asked.input_size)
    return np.asarray(resized.crop(box))


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.card.name)
def test_every_card_gives_pillows_pixels_to_the_last_grey_level(recipe):
    """Noise and near white, of the usual sizes: no pixel differs."""
    rng = np.random.default_rng(0)
    for side in (256, 300, 512):
        noise = rng.integers(0, 256, (side, side, 3), np.uint8)
        pale = rng.normal(246, 7, (side, side, 3)).clip(0, 255).astype(np.uint8)
        for patch in (noise, pale):
            got = cropped(torch.from_numpy(patch[None]), recipe.card)[0]
            np.testing.assert_array_equal(
                got.permute(1, 2, 0).numpy(), pillows(patch, recipe.card)
            )


@pytest.mark.parametrize("mode", ["bicubic", "bilinear"])
@pytest.mark.parametrize("shape", [(40, 64), (90, 51), (33, 33), (200, 47)])
def test_oblong_small_and_large_patches_too(mode, shape):
    """Enlarging and shrinking, either side the shorter."""
    patch = np.random.default_rng(1).integers(0, 256, (*shape, 3), np.uint8)
    asked = replace(card("uni"), interpolation=mode, resize=57, input_size=40)
    got = cropped(torch.from_numpy(patch[None]), asked)[0].permute(1, 2, 0).numpy()
    np.testing.assert_array_equal(got, pillows(patch, asked))


def test_a_patch_of_the_right_size_is_only_cropped():
    """Nothing is resized: the middle is the middle of the patch."""
    patch = np.random.default_rng(2).integers(0, 256, (1, 256, 256, 3), np.uint8)
    got = cropped(torch.from_numpy(patch), card("prov-gigapath"))
    np.testing.assert_array_equal(
        got.permute(0, 2, 3, 1).numpy(), patch[:, 16:240, 16:240]
    )


def test_of_two_middles_the_even_one_is_taken():
    """As torchvision rounds: 11 spare pixels leave 6 before, 13 leave 6, 15 leave 8."""
    seen = [card("uni").centre(224 + spare) for spare in (0, 1, 11, 12, 13, 15)]
    assert [part.start for part in seen] == [0, 0, 6, 6, 6, 8]
    assert {part.stop - part.start for part in seen} == {224}
