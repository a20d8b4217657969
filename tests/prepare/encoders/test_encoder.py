"""What an encoder does to patches, and how it behaves when memory is short."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from coverslip.errors import DataError, EncoderError
from coverslip.prepare.encoders.card import Card
from coverslip.prepare.encoders.eager import EagerNetwork
from coverslip.prepare.encoders.encoder import CPU_BATCH, Encoder

PLAIN = Card(
    name="plain",
    dim=3,
    input_size=32,
    resize=32,
    mean=(0.0, 0.0, 0.0),
    std=(1.0, 1.0, 1.0),
    licence="none",
    source="test",
    weights_hash="abc",
)


class MeanColour(nn.Module):
    """Averages the pixels; runs out of memory above `limit` patches, as `error` says."""

    def __init__(self, limit=10**9, error=None):
        super().__init__()
        self.limit = limit
        self.error = error
        self.sizes = []
        self.seen = None

    def forward(self, x):
        """Average over height and width."""
        self.sizes.append(len(x))
        self.seen = x
        if len(x) > self.limit:
            raise self.error
        return x.mean((2, 3))


def encoder(card=PLAIN, module=None, **options):
    """Return an encoder of the plain card on the CPU."""
    return Encoder(card, module or MeanColour(), device="cpu", **options)


def noise(count, size=32, seed=0):
    """Return random patches."""
    shape = (count, size, size, 3)
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def test_pixels_are_normalised_channel_by_channel():
    """A patch of one colour gives (colour / 255 - mean) / std, red first."""
    card = replace(PLAIN, mean=(0.5, 0.4, 0.3), std=(0.1, 0.2, 0.5))
    patch = np.full((1, 32, 32, 3), (255, 102, 0), np.uint8)
    assert encoder(card).embed(patch)[0] == pytest.approx([5.0, 0.0, -0.6], abs=1e-5)


def test_only_the_centre_is_seen():
    """The crop is the central square: the rim around it changes nothing."""
    card = replace(PLAIN, resize=40)
    patches = np.full((1, 40, 40, 3), 255, np.uint8)
    patches[:, 4:36, 4:36] = 51
    assert encoder(card).embed(patches)[0] == pytest.approx([0.2] * 3)


@pytest.mark.parametrize("side", [24, 100])
def test_resizing_equals_pillow(side):
    """Enlarged or reduced, pixels are Pillow's bicubic ones, but for rare roundings."""
    patches = noise(3, side)
    module = MeanColour()
    encoder(replace(PLAIN, resize=64, input_size=64), module).embed(patches)
    ours = module.seen.permute(0, 2, 3, 1).numpy() * 255
    for patch, mine in zip(patches, ours, strict=True):
        image = Image.fromarray(patch).resize((64, 64), Image.Resampling.BICUBIC)
        difference = np.abs(mine - np.asarray(image, np.float32))
        assert difference.max() < 3
        assert (difference > 0.5).mean() < 2e-3


def test_a_patch_of_the_right_size_is_not_resampled():
    """Pixels of a patch that has the size already pass unchanged."""
    patches = noise(2)
    module = MeanColour()
    encoder(module=module).embed(patches)
    seen = module.seen.permute(0, 2, 3, 1) * 255
    np.testing.assert_allclose(seen.numpy(), patches, atol=1e-4)


def test_the_shorter_edge_is_resized_and_the_shape_kept():
    """A patch twice as wide as high keeps its proportions: the centre half remains."""
    patch = np.zeros((1, 64, 128, 3), np.uint8)
    patch[:, :, 32:96] = 255
    assert encoder().embed(patch)[0, 0] == pytest.approx(1.0, abs=0.02)


def test_read_only_and_empty_batches_are_encoded():
    """A memory-mapped (read-only) batch passes, and no patches give no features."""
    patches = noise(2)
    patches.flags.writeable = False
    expected = patches.mean((1, 2)) / 255
    np.testing.assert_allclose(encoder().embed(patches), expected, rtol=1e-5)
    assert encoder().embed(patches[:0]).shape == (0, 3)


@pytest.mark.parametrize("wrong", [np.zeros((1, 32, 32, 3)), noise(1)[0]])
def test_other_arrays_are_refused(wrong):
    """Floats, or one patch without its batch axis, are a programming mistake."""
    with pytest.raises(ValueError, match="uint8"):
        encoder().embed(wrong)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory."),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"),
        RuntimeError("not enough memory: you tried to allocate 9 bytes."),
    ],
)
def test_a_batch_too_large_is_halved_and_the_size_remembered(error):
    """Out of memory halves the batch until it fits, for later calls too."""
    module = MeanColour(3, error)
    short = encoder(module=module)
    short.batch_limit = None  # as on a GPU
    patches = noise(10)
    np.testing.assert_array_equal(short.embed(patches), encoder().embed(patches))
    assert module.sizes == [10, 5, 2, 2, 2, 2, 2]
    module.sizes.clear()
    short.embed(patches[:5])
    assert module.sizes == [2, 2, 1]


def test_a_cpu_is_given_small_batches():
    """However many patches come at once, the network sees a few at a time on a CPU."""
    module = MeanColour(100, None)
    encoder(module=module).embed(noise(2 * CPU_BATCH + 1))
    assert module.sizes == [CPU_BATCH, CPU_BATCH, 1]


def test_one_patch_that_does_not_fit_is_an_error_with_a_remedy():
    """When halving has reached one patch, the message says what to try."""
    module = MeanColour(0, torch.OutOfMemoryError("CUDA out of memory."))
    with pytest.raises(EncoderError, match="plain: one patch of 32 px .* --crop"):
        encoder(module=module).embed(noise(4))
    assert module.sizes == [4, 2, 1]


def test_other_runtime_errors_are_not_taken_for_memory():
    """An error that is not about memory comes through at once."""
    module = MeanColour(0, RuntimeError("shapes cannot be multiplied"))
    with pytest.raises(RuntimeError, match="multiplied"):
        encoder(module=module).embed(noise(4))
    assert module.sizes == [4]


def test_features_that_are_not_finite_are_refused():
    """A NaN or an infinity names how many patches, the first, and the remedy."""

    class Spoilt(nn.Module):
        def forward(self, x):
            features = x.mean((2, 3))
            features[2, 1] = torch.inf
            return features

    with pytest.raises(DataError, match=r"plain: 1 of 4 .*patch 2.*fp32"):
        encoder(module=Spoilt()).embed(noise(4))


def test_features_of_another_length_than_the_card_says_are_refused():
    """A card and a network that do not belong together are told apart."""
    with pytest.raises(EncoderError, match=r"plain: .*\(3,\).* says 7"):
        encoder(replace(PLAIN, dim=7)).embed(noise(2))


def test_identity_tells_what_makes_features_comparable():
    """The facts for checkpoints hold name, length, hash, resize, crop and precision."""
    card = replace(PLAIN, resize=40)
    assert encoder(card, precision="bf16").identity() == {
        "name": "plain",
        "dim": 3,
        "weights_hash": "abc",
        "resize": 40,
        "crop": 32,
        "precision": "bf16",
    }


def test_a_feature_depends_on_neither_its_batch_nor_its_place(trained):
    """Patches encoded together, one by one, or backwards give the same features."""
    card = replace(PLAIN, dim=1024, resize=64, input_size=64)
    patches = noise(5, 64)
    together = encoder(card, trained).embed(patches)
    alone = np.concatenate([encoder(card, trained).embed(p[None]) for p in patches])
    backwards = encoder(card, trained).embed(patches[::-1])[::-1]
    np.testing.assert_allclose(alone, together, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(backwards, together, rtol=1e-5, atol=1e-5)


def test_bf16_is_float32_outside_and_near_fp32(trained):
    """Half precision leaves as float32, differs from fp32, and by less than 3 %."""
    card = replace(PLAIN, dim=1024, resize=64, input_size=64)
    patches = noise(3, 64)
    full = encoder(card, trained).embed(patches)
    half = encoder(card, trained, precision="bf16").embed(patches)
    assert half.dtype == np.float32
    assert 0 < np.linalg.norm(half - full) / np.linalg.norm(full) < 0.03


def test_batches_in_turn_are_encoded_as_one_by_one():
    """In order, also where the reader writes over a batch once it asks for the next."""
    many, place = noise(10), np.empty((4, 32, 32, 3), np.uint8)

    def batches():
        for start in range(0, 10, 4):
            part = many[start : start + 4]
            place[: len(part)] = part
            yield place[: len(part)]
            place[:] = 0

    found = np.concatenate(list(encoder().embed_each(batches())))
    np.testing.assert_array_equal(found, encoder().embed(many))


def test_what_was_begun_is_the_batchs_own():
    """Features asked for before the patches are overwritten are those of the patches."""
    network = EagerNetwork(PLAIN, MeanColour(), torch.device("cpu"), "fp32")
    patches = noise(5)
    expected = network(patches)
    fetch = network.start(patches)
    patches[:] = 0
    np.testing.assert_array_equal(fetch(), expected)


def test_the_way_of_a_gpu_encodes_what_does_not_fit_piece_by_piece():
    """One batch in flight, the one too large for memory halved, all in order."""
    error = torch.OutOfMemoryError("CUDA out of memory")
    going = encoder(module=MeanColour(limit=3, error=error))
    going.batch_limit = None
    many = noise(10)
    started = [going._start(going._network, many[i : i + 5]) for i in (0, 5)]
    found = np.concatenate([fetch() for fetch in started])
    np.testing.assert_array_equal(found, encoder().embed(many))
    assert going.batch_limit == 2


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs g++")
@pytest.mark.filterwarnings("ignore")  # the compiler's own
def test_compiled_features_are_the_same(monkeypatch, tmp_path):
    """Within rounding, for batches of any size, compiled once."""
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    module = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )
    card = replace(PLAIN, dim=8, resize=40, std=(0.2, 0.3, 0.4))
    swift = encoder(card, module, runtime="compile")
    for count in (8, 3, 20):
        patches = noise(count, 50, seed=count)
        np.testing.assert_allclose(
            swift.embed(patches), encoder(card, module).embed(patches), rtol=1e-5
        )
    assert swift.identity() == encoder(card, module).identity()


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")  # torch's own
def test_a_network_that_cannot_be_compiled_says_what_else_there_is(monkeypatch):
    """No compiler on the machine: the runtime to use instead is named."""

    def refuse(*_args):
        raise torch._dynamo.exc.TorchDynamoException("no C++ compiler")

    going = encoder(runtime="compile")
    monkeypatch.setattr(going._network, "_run", refuse)
    with pytest.raises(EncoderError, match=r"no C\+\+ compiler.*--runtime torch"):
        going.embed(noise(2))


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")  # torch's own
def test_a_compiled_network_short_of_memory_is_given_less():
    """A halved batch is not filled up again to what did not fit."""
    going, given = encoder(runtime="compile"), []

    def run(pixels):
        given.append(len(pixels))
        if len(pixels) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return pixels.float().mean((1, 2)) / 255

    going._network._run = run
    going.batch_limit = None
    patches = noise(8)
    np.testing.assert_allclose(
        going.embed(patches), encoder().embed(patches), rtol=1e-5
    )
    assert given == [8, 4, 2, 2, 2, 2]
