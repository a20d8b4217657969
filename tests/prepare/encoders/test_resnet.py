"""The ResNet-50 trunk against an independent computation, real weights and real features."""

import io
import urllib.error
import urllib.request
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from coverslip.errors import EncoderError
from coverslip.prepare.encoders.registry import load_encoder
from coverslip.prepare.encoders.resnet import Bottleneck, ResNetTrunk, resnet50_trunk


def expected_shapes():
    """Return torchvision's keys and shapes up to layer3, from the paper's table."""
    shapes = {}

    def unit(conv, norm, *shape):
        shapes[f"{conv}.weight"] = shape
        for part in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"{norm}.{part}"] = (shape[0],)

    unit("conv1", "bn1", 64, 3, 7, 7)
    channels = 64
    for stage, (width, blocks) in enumerate([(64, 3), (128, 4), (256, 6)], 1):
        for block in range(blocks):
            name = f"layer{stage}.{block}"
            unit(f"{name}.conv1", f"{name}.bn1", width, channels, 1, 1)
            unit(f"{name}.conv2", f"{name}.bn2", width, width, 3, 3)
            unit(f"{name}.conv3", f"{name}.bn3", 4 * width, width, 1, 1)
            if block == 0:
                shortcut = f"{name}.downsample"
                unit(f"{shortcut}.0", f"{shortcut}.1", 4 * width, channels, 1, 1)
            channels = 4 * width
    return shapes


def test_keys_and_shapes_are_torchvisions():
    """The state has torchvision's keys and shapes: 215 of them, 8,543,296 parameters."""
    trunk = ResNetTrunk()
    state = {
        key: tuple(value.shape)
        for key, value in trunk.state_dict().items()
        if not key.endswith("num_batches_tracked")
    }
    assert state == expected_shapes()
    assert len(state) == 215
    assert sum(p.numel() for p in trunk.parameters()) == 8_543_296


def convolve(x, weight, stride, padding):
    """Convolve (C, H, W) by loops over the kernel."""
    x = np.pad(x, ((0, 0), (padding, padding), (padding, padding)))
    side = weight.shape[2]
    height, width = ((n - side) // stride + 1 for n in x.shape[1:])
    out = np.zeros((len(weight), height, width))
    for i in range(height):
        for j in range(width):
            at_i, at_j = i * stride, j * stride
            window = x[:, at_i : at_i + side, at_j : at_j + side]
            out[:, i, j] = np.tensordot(weight, window, 3)
    return out


def normalise(x, norm):
    """Apply a batch norm in evaluation to (C, H, W)."""
    mean, var, scale, shift = (
        tensor.detach().double().numpy()[:, None, None]
        for tensor in (norm.running_mean, norm.running_var, norm.weight, norm.bias)
    )
    return (x - mean) / np.sqrt(var + 1e-5) * scale + shift


@pytest.mark.parametrize("stride_on", ["3x3", "1x1"])
@pytest.mark.parametrize(("channels", "stride"), [(8, 1), (8, 2), (6, 1)])
def test_a_bottleneck_equals_a_computation_by_loops(stride_on, channels, stride):
    """Both layouts, with and without a convolution on the shortcut, match NumPy."""
    draw = torch.Generator().manual_seed(1)
    block = Bottleneck(channels, 2, stride, stride_on).eval()
    for tensor in block.state_dict().values():
        if tensor.is_floating_point():
            tensor.uniform_(0.2, 1.5, generator=draw).mul_(0.7).sub_(0.1)
    x = torch.randn(1, channels, 7, 7, generator=draw)
    with torch.inference_mode():
        ours = block(x)[0].numpy()

    first, second = (stride, 1) if stride_on == "1x1" else (1, stride)
    image = x[0].double().numpy()
    y = image
    for conv, norm, step, padding in (
        (block.conv1, block.bn1, first, 0),
        (block.conv2, block.bn2, second, 1),
        (block.conv3, block.bn3, 1, 0),
    ):
        weight = conv.weight.detach().double().numpy()
        y = normalise(convolve(y, weight, step, padding), norm)
        if conv is not block.conv3:
            y = np.maximum(y, 0)
    if len(block.downsample):
        weight = block.downsample[0].weight.detach().double().numpy()
        image = normalise(convolve(image, weight, stride, 0), block.downsample[1])
    np.testing.assert_allclose(ours, np.maximum(y + image, 0), rtol=1e-4, atol=1e-4)


def test_random_weights_follow_the_seed_alone():
    """One seed, one trunk; another seed, another; torch's global state is left alone."""
    before = torch.get_rng_state()
    one, same, other = (ResNetTrunk(seed=seed).state_dict() for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(one[key], same[key]) for key in one)
    assert not torch.equal(one["conv1.weight"], other["conv1.weight"])


def test_initial_weights_are_kaimings():
    """Convolutions: normal of variance 2 / fan out. Batch norm: scale 1, shift 0."""
    state = ResNetTrunk(seed=0).state_dict()
    weight = state["layer3.0.conv3.weight"]
    assert weight.std().item() == pytest.approx((2 / 1024) ** 0.5, rel=0.01)
    assert abs(weight.mean().item()) < 1e-3
    assert state["layer2.0.bn1.weight"].unique().tolist() == [1]
    assert state["layer2.0.bn1.bias"].unique().tolist() == [0]


@pytest.fixture(scope="module")
def state():
    """Return the state of a random trunk."""
    return ResNetTrunk(seed=5).state_dict()


@pytest.fixture
def image():
    """Return one random image."""
    return torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(6))


def features(trunk, image):
    """Return what a trunk makes of an image."""
    with torch.inference_mode():
        return trunk.eval()(image)


def test_the_layout_in_the_files_metadata_is_obeyed(tmp_path, state, image):
    """Weights marked 1x1 run in that layout, and an argument overrules the file."""
    marked, bare = tmp_path / "marked.safetensors", tmp_path / "bare.safetensors"
    save_file(state, marked, {"stride_on": "1x1"})
    save_file(state, bare)
    assert resnet50_trunk(marked).stride_on == "1x1"
    assert resnet50_trunk(bare).stride_on == "3x3"
    on_1x1 = features(resnet50_trunk(marked), image)
    on_3x3 = features(resnet50_trunk(bare), image)
    assert not torch.allclose(on_1x1, on_3x3, rtol=0.01)
    assert torch.equal(features(resnet50_trunk(bare, stride_on="1x1"), image), on_1x1)


def test_an_unknown_layout_is_refused(tmp_path, state):
    """Metadata that says neither 1x1 nor 3x3 raises with the file's name."""
    path = tmp_path / "odd.safetensors"
    save_file(state, path, {"stride_on": "5x5"})
    with pytest.raises(EncoderError, match=r"odd\.safetensors: .*stride_on='5x5'"):
        resnet50_trunk(path)


def test_a_whole_network_of_torchvision_is_cut(tmp_path, state, image):
    """A .pth with the fourth stage, classifier and DataParallel prefix gives the trunk."""
    rest = {"layer4.0.conv1.weight": torch.ones(1), "fc.bias": torch.ones(1000)}
    path = tmp_path / "whole.pth"
    torch.save({f"module.{key}": t for key, t in {**state, **rest}.items()}, path)
    trunk = resnet50_trunk(path)
    assert torch.equal(features(trunk, image), features(ResNetTrunk(seed=5), image))


def test_weights_of_another_network_name_file_and_keys(tmp_path, state):
    """A missing and a foreign key both stand in the message."""
    wrong = {key: t for key, t in state.items() if key != "layer3.5.bn3.bias"}
    path = tmp_path / "other.pth"
    torch.save({**wrong, "head.weight": torch.ones(1)}, path)
    with pytest.raises(
        EncoderError, match=r"other\.pth: .*layer3\.5\.bn3\.bias missing; head\.weight"
    ):
        resnet50_trunk(path)


def test_imagenet_weights_offline_say_what_to_do(tmp_path, monkeypatch):
    """Without a connection: the URL to download elsewhere, and --weights."""

    def refuse(*_args, **_options):
        raise urllib.error.URLError("unreachable")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    with pytest.raises(
        EncoderError, match=r"models/resnet50-0676ba61\.pth: .*--weights FILE"
    ):
        resnet50_trunk("imagenet")


def real_patches(folder, count):
    """Return some patches and their given features, spread over classes and splits."""
    with np.load(folder / "pcam_train_valid_resnet50.npz") as given:
        names, wanted = given["names"], given["features"]
    picked = np.linspace(0, len(names) - 1, count).astype(int)
    with zipfile.ZipFile(folder / "pcam_train_valid.zip") as archive:
        images = [
            Image.open(io.BytesIO(archive.read(name))).convert("RGB")
            for name in names[picked]
        ]
        patches = np.stack([np.asarray(image) for image in images])
    return patches, wanted[picked].astype(np.float32)


def test_real_weights_give_the_features_made_by_others(real_data):
    """On real patches, features equal those of an independent pipeline (float16)."""
    weights = real_data / "weights" / "resnet50_v1_imagenet_trunk.safetensors"
    encoder = load_encoder(
        "resnet50", weights=weights, device="cpu", resize=224, crop=224
    )
    patches, wanted = real_patches(real_data / "patches", 24)
    ours = encoder.embed(patches)
    norms = np.linalg.norm(wanted, axis=1)
    cosine = (ours * wanted).sum(1) / np.linalg.norm(ours, axis=1) / norms
    assert cosine.min() > 0.99999
    assert (np.linalg.norm(ours - wanted, axis=1) / norms).max() < 1e-3
    assert encoder.card.weights_hash.startswith("1559e81f")
    assert encoder.card.source == weights.name
