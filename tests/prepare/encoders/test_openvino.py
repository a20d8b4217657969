"""Networks run by OpenVINO: PyTorch's features, sooner."""

import io
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from torch import nn

from coverslip.errors import EncoderError, OptionError
from coverslip.prepare.encoders import openvino
from coverslip.prepare.encoders.card import EFFICIENTNET_LITE0, RESNET50
from coverslip.prepare.encoders.encoder import Encoder
from coverslip.prepare.encoders.lite import EfficientNetLite0
from coverslip.prepare.encoders.openvino import OpenVinoNetwork
from coverslip.prepare.encoders.registry import load_encoder
from coverslip.prepare.encoders.resnet import ResNetTrunk

pytest.importorskip("openvino", reason="the extra openvino is not installed")

WEIGHTS = "weights/resnet50_v1_imagenet_trunk.safetensors"


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    """Give each test a cache of its own."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    return tmp_path


def soft(count, side, seed=0):
    """Return patches that are smooth, as tissue is."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (count, 12, 12, 3), np.uint8)
    return np.stack(
        [np.asarray(Image.fromarray(p).resize((side, side))) for p in small]
    )


def relative(ours, theirs):
    """Return the greatest relative error of a feature."""
    norm = np.linalg.norm
    return (norm(ours - theirs, axis=1) / norm(theirs, axis=1)).max()


def cosine(ours, theirs):
    """Return the least cosine of two features of one patch."""
    norm = np.linalg.norm
    product = norm(ours, axis=1) * norm(theirs, axis=1)
    return ((ours * theirs).sum(axis=1) / product).min()


@pytest.mark.parametrize(
    ("card", "network"),
    [(RESNET50, ResNetTrunk), (EFFICIENTNET_LITE0, EfficientNetLite0)],
)
@pytest.mark.parametrize("side", [96, 130])
def test_features_are_pytorchs(card, network, side):
    """In fp32 they differ by rounding alone, patches resized before or not."""
    card = replace(card, input_size=64, resize=96)
    module, patches = network(), soft(5, side)
    plain = Encoder(card, module, device="cpu").embed(patches)
    swift = Encoder(card, module, device="cpu", runtime="openvino").embed(patches)
    assert swift.dtype == np.float32
    assert relative(swift, plain) < 1e-5


def test_a_resnets_products_are_halved(monkeypatch):
    """Its eleven 3 x 3 convolutions of stride 1, in fp32 alone."""
    halve, found = openvino.halve_products, []
    monkeypatch.setattr(
        openvino, "halve_products", lambda model: found.append(halve(model))
    )
    card = replace(RESNET50, input_size=64, resize=64)
    for precision in ("fp32", "bf16"):
        Encoder(
            card, ResNetTrunk(), device="cpu", precision=precision, runtime="openvino"
        )
    assert found == [11]


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_a_patch_has_its_features_whoever_is_beside_it(precision):
    """Alone, in an odd number, or in a large batch: to the bit, and in order."""
    card, patches = replace(RESNET50, input_size=64, resize=64), soft(7, 64)
    encoder = Encoder(
        card, ResNetTrunk(), device="cpu", precision=precision, runtime="openvino"
    )
    encoder.calibrate(patches[:2])
    whole = encoder.embed(patches)
    for count in (1, 3, 7):
        assert np.array_equal(encoder.embed(patches[:count]), whole[:count])
    assert len(np.unique(whole, axis=0)) == len(patches)


def test_threads_that_share_an_encoder_get_their_own_features():
    """One waits for the other."""
    card, patches = replace(RESNET50, input_size=64, resize=64), soft(12, 64)
    encoder = Encoder(card, ResNetTrunk(), device="cpu", runtime="openvino")
    wanted = encoder.embed(patches)
    parts = [slice(at, at + 3) for at in range(0, 12, 3)] * 8
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda part: encoder.embed(patches[part]), parts))
    for part, features in zip(parts, found, strict=True):
        assert np.array_equal(features, wanted[part])


def test_an_error_on_the_way_is_told_and_over(monkeypatch):
    """What could not be taken is an error of that call alone."""
    card, patches = replace(RESNET50, input_size=64, resize=64), soft(5, 64)
    encoder = Encoder(card, ResNetTrunk(), device="cpu", runtime="openvino")
    wanted = encoder.embed(patches)
    pixels = OpenVinoNetwork._pixels
    calls = iter([None, MemoryError("no room")])

    def fail_once(self, some):
        if (error := next(calls, None)) is not None:
            raise error
        return pixels(self, some)

    monkeypatch.setattr(OpenVinoNetwork, "_pixels", fail_once)
    with pytest.raises(MemoryError, match="no room"):
        encoder.embed(patches)
    assert np.array_equal(encoder.embed(patches), wanted)


def test_processes_side_by_side_are_not_bound_to_the_same_cores():
    """Threads may run on any core that the process may."""
    card, patches = replace(RESNET50, input_size=64, resize=64), soft(2, 64)
    encoder = Encoder(card, ResNetTrunk(), device="cpu", runtime="openvino")
    encoder.embed(patches)
    compiled = encoder._network._streams[0].get_compiled_model()
    assert compiled.get_property("ENABLE_CPU_PINNING") is False


class LearntByHeart(nn.Module):
    """A network in whose trace the batch is a number: two, as it was traced with."""

    def forward(self, x):
        """Return each colour's mean, in two rows where the batch was two."""
        rows = x.mean((2, 3)).reshape(-1)
        return rows[: 3 * len(x)].reshape(-1, 3) / len(x)


def test_a_trace_that_is_another_network_is_refused(own_cache):
    """It would give wrong features in silence; nothing of it is kept."""
    card = replace(RESNET50, dim=3, input_size=32, resize=32)
    with pytest.raises(
        EncoderError, match="another network of it: use --runtime torch"
    ):
        Encoder(card, LearntByHeart(), device="cpu", runtime="openvino")
    assert list(own_cache.rglob("*.xml")) == []


def test_a_network_is_traced_once(own_cache, monkeypatch):
    """The second time it is read from the cache; other weights are traced anew."""
    card = replace(RESNET50, input_size=64, resize=64, weights_hash="1")
    module, patches = ResNetTrunk(), soft(2, 64)
    first = Encoder(card, module, device="cpu", runtime="openvino").embed(patches)
    trace, traced = openvino._trace, []
    monkeypatch.setattr(
        openvino, "_trace", lambda *a, **k: traced.append(a) or trace(*a, **k)
    )
    again = Encoder(card, module, device="cpu", runtime="openvino").embed(patches)
    assert np.array_equal(first, again)
    assert traced == []
    assert len(list(own_cache.rglob("*.xml"))) == 1
    Encoder(card, ResNetTrunk(seed=1), device="cpu", runtime="openvino")
    assert len(traced) == 1, "other weights, whatever the card says"


def test_a_cache_that_cannot_be_written_is_done_without(tmp_path, monkeypatch):
    """The network runs; it is only traced again next time."""
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "file"))
    card = replace(RESNET50, input_size=64, resize=64)
    module, patches = ResNetTrunk(seed=7), soft(2, 64)
    swift = Encoder(card, module, device="cpu", runtime="openvino").embed(patches)
    assert relative(swift, Encoder(card, module, device="cpu").embed(patches)) < 1e-5


def test_int8_wants_to_be_calibrated():
    """Without, there are no ranges; the message says so."""
    card = replace(RESNET50, input_size=64, resize=64)
    encoder = Encoder(
        card, ResNetTrunk(), device="cpu", precision="int8", runtime="openvino"
    )
    with pytest.raises(OptionError, match="int8 has to be calibrated"):
        encoder.embed(soft(1, 64))
    assert "calibration" not in encoder.identity()


def test_a_network_is_quantised_once_for_the_same_patches(monkeypatch):
    """The second time it is read from the cache; other patches quantise anew."""
    pytest.importorskip("nncf", reason="the extra openvino is not installed")
    card = replace(RESNET50, input_size=64, resize=64)
    module, patches, scored = ResNetTrunk(), soft(4, 64), soft(2, 64, seed=1)
    made, quantise = [], openvino.OpenVinoNetwork._quantise
    monkeypatch.setattr(
        openvino.OpenVinoNetwork,
        "_quantise",
        lambda *a: made.append(a) or quantise(*a),
    )
    features = []
    for _ in range(2):
        network = openvino.OpenVinoNetwork(card, module, "int8")
        network.calibrate(patches)
        features.append(network(scored))
    assert len(made) == 1
    assert np.array_equal(*features)
    network.calibrate(soft(4, 64, seed=2))
    assert len(made) == 2


def pcam(real_data, count):
    """Return real patches, every so many of the training part, (B, 96, 96, 3)."""
    with zipfile.ZipFile(real_data / "patches" / "pcam_train_valid.zip") as archive:
        names = sorted(n for n in archive.namelist() if n.endswith(".jpg"))
        chosen = names[:: len(names) // count][:count]
        pictures = [Image.open(io.BytesIO(archive.read(name))) for name in chosen]
        return np.stack([np.asarray(picture.convert("RGB")) for picture in pictures])


@pytest.mark.slow
@pytest.mark.parametrize(("precision", "bare"), [("bf16", 0.999), ("int8", 0.998)])
def test_fewer_bits_move_the_features_of_real_tissue_little(real_data, precision, bare):
    """Real weights, real patches, int8 calibrated on others: each cosine is > 0.999.

    Bare glass is worse, even where no patch of it was calibrated on.
    """
    patches = pcam(real_data, 96)
    colours = np.array([(229, 230, 230), (254, 254, 254), (227, 229, 228)])
    even = np.random.default_rng(0).normal(colours[:, None, None], 1, (3, 96, 96, 3))
    even = even.round().clip(0, 255).astype(np.uint8)
    weights = real_data / WEIGHTS
    plain = load_encoder("resnet50", weights=weights, runtime="torch")
    few = load_encoder(
        "resnet50", weights=weights, precision=precision, runtime="openvino"
    )
    few.calibrate(patches[::2])
    assert ("calibration" in few.identity()) == (precision == "int8")
    for scored, least in ((patches[1::2][:24], 0.999), (even, bare)):
        assert cosine(few.embed(scored), plain.embed(scored)) > least
