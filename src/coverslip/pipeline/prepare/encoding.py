"""The encoder where the slides are worked on: loaded once a process, the same in each."""

from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from coverslip import store
from coverslip.errors import EncoderError
from coverslip.pipeline.prepare.calibrating import calibrate, calibration_of
from coverslip.pipeline.prepare.preparation import Preparation, PrepareOptions
from coverslip.prepare.encoders.devices import precision_advice
from coverslip.prepare.encoders.registry import GENERIC, card
from coverslip.prepare.feature_options import FeatureOptions

if TYPE_CHECKING:  # it loads torch
    from coverslip.prepare.encoders.encoder import Encoder


def identity_there(preparation: Preparation, *, calibrated: bool) -> store.Facts:
    """Return which encoder the engine's machines load, by letting one of them do it.

    Args:
        preparation: Names the encoder, and the engine.
        calibrated: In int8, calibrate it on the patches that the study keeps.

    Raises:
        EncoderError: It cannot be loaded there.
    """
    features = preparation.options.features
    kept = calibration_of(preparation) if calibrated else None
    task = partial(_identity, features, kept)
    (outcome,) = preparation.engine.run(task, [features.encoder], features.device)
    return outcome.taken()


def _identity(features: FeatureOptions, kept: Path | None, _name: str) -> store.Facts:
    return encoder_here(features, kept).identity()


def same_encoder_here(preparation: Preparation, identity: store.Facts) -> "Encoder":
    """Return the encoder, if this machine loads the one that was promised.

    Raises:
        EncoderError: Its weights are others, or it was calibrated on other patches.
    """
    features = preparation.options.features
    encoder = encoder_here(features, calibration_of(preparation))
    if encoder.identity() != identity:
        raise EncoderError(
            f"{features.encoder}: two machines load different weights: keep one file on "
            "storage that all share, and name it with --weights"
        )
    return encoder


def advices(preparation: Preparation) -> list[str]:
    """Return what a user should know before hours are spent, a sentence each."""
    features = preparation.options.features
    told = [_scale_advice(preparation.options)]
    if not preparation.engine.remote:
        told.append(precision_advice(features.precision, features.device))
    return [advice for advice in told if advice]


def _scale_advice(options: PrepareOptions) -> str:
    """Say that patches are laid at another scale than their encoder was trained for.

    Returns:
        A sentence; empty where they agree, or where the encoder knows no scale.
    """
    features, patches = options.features, options.patches
    if features.encoder.startswith(GENERIC):
        return ""
    try:
        known = card(features.encoder)
    except EncoderError:  # told where it is loaded
        return ""
    known = replace(
        known, resize=max(known.input_size, features.resize or known.resize)
    )
    return known.scale_advice(patches.mpp, patches.size)


@lru_cache(maxsize=1)
def encoder_here(features: FeatureOptions, kept: Path | None) -> "Encoder":
    """Return an encoder, loaded once a process.

    Args:
        features: Which, and how it runs.
        kept: Patches to calibrate it on; None leaves it as it is.

    Raises:
        EncoderError: It cannot be loaded.
    """
    encoder = features.load()
    if kept is not None:
        calibrate(encoder, kept)
    return encoder
