"""The facts of an encoder, and what crops they admit."""

from dataclasses import replace

import pytest

from coverslip.errors import OptionError
from coverslip.prepare.encoders.card import EFFICIENTNET_LITE0, RESNET50


@pytest.mark.parametrize("crop", [0, 31, 257])
def test_a_crop_that_does_not_fit_is_refused_with_its_value(crop):
    """A crop below 32 px or above the resized patch raises, naming both sizes."""
    with pytest.raises(OptionError, match=rf"resnet50: crop={crop} .*resize=256"):
        replace(RESNET50, input_size=crop)


def test_the_whole_patch_may_be_the_crop():
    """A crop as large as the resized patch is admitted."""
    assert replace(RESNET50, input_size=256).input_size == 256


def test_lite_pixels_are_normalised_as_in_tensorflow():
    """(x / 255 - mean) / std equals (x - 127) / 128 at both ends of the scale."""
    mean, std = EFFICIENTNET_LITE0.mean[0], EFFICIENTNET_LITE0.std[0]
    assert (0 / 255 - mean) / std == pytest.approx(-127 / 128)
    assert (255 / 255 - mean) / std == pytest.approx(1.0)
