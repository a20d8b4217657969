"""An encoder is loaded once a process, and must be the one that was promised."""

import pytest

from coverslip.errors import EncoderError
from coverslip.pipeline.prepare.encoding import (
    encoder_here,
    identity_there,
    same_encoder_here,
)
from coverslip.pipeline.prepare.preparation import Preparation, PrepareOptions
from coverslip.testing import FakeEngine, fake_encoder, fake_encoder_known


@pytest.fixture
def preparation(tmp_path):
    """Return one with the fake encoder."""
    encoder_here.cache_clear()
    with fake_encoder_known():
        options = PrepareOptions(features={"encoder": "fake"})
        yield Preparation(tmp_path, options, engine=FakeEngine(), quiet=True)
    encoder_here.cache_clear()


def test_the_engine_says_which_encoder_it_loads(preparation):
    """Its identity comes back, not the encoder."""
    told = identity_there(preparation, calibrated=True)
    assert told == fake_encoder().identity()
    assert same_encoder_here(preparation, told) is same_encoder_here(preparation, told)


def test_other_weights_than_promised_are_refused(preparation):
    """Features of two machines would not go together."""
    promised = {**fake_encoder().identity(), "weights_hash": "f" * 64}
    with pytest.raises(EncoderError, match="fake: two machines load different weights"):
        same_encoder_here(preparation, promised)


def test_an_encoder_that_cannot_be_loaded_ends_it(tmp_path):
    """Before any slide is touched."""
    options = PrepareOptions(features={"encoder": "none"})
    preparation = Preparation(tmp_path, options, engine=FakeEngine(), quiet=True)
    with pytest.raises(EncoderError, match="no such encoder"):
        identity_there(preparation, calibrated=False)
