"""What the benchmark of training times is training, on both sides."""

import sys

import pytest
import torch
from benchmarks.speed import dtfd
from benchmarks.speed.training import epoch_of, make_bags

STUB = {
    "network.py": """
from torch import nn

class Classifier_1fc(nn.Module):
    def __init__(self, width, classes, droprate):
        super().__init__()
        self.fc = nn.Linear(width, classes)

    def forward(self, x):
        return self.fc(x)

class DimReduction(nn.Sequential):
    def __init__(self, dim, width):
        super().__init__(nn.Linear(dim, width, bias=False), nn.ReLU())
""",
    "Attention.py": """
import torch
from torch import nn

class Attention_Gated(nn.Module):
    def __init__(self, L):
        super().__init__()
        self.score = nn.Linear(L, 1)

    def forward(self, x):
        return self.score(torch.tanh(x)).T.softmax(1)

class Attention_with_Classifier(nn.Module):
    def __init__(self, L, num_cls):
        super().__init__()
        self.attention, self.classifier = Attention_Gated(L), nn.Linear(L, num_cls)

    def forward(self, x):
        return self.classifier(self.attention(x) @ x)
""",
}
"""Networks with the names and the shapes of the published ones."""


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """Return a folder like a checkout; what is imported from it is forgotten after."""
    (tmp_path / "Model").mkdir()
    for name, code in STUB.items():
        (tmp_path / "Model" / name).write_text(code)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield tmp_path
    for name in [name for name in sys.modules if name.split(".")[0] == "Model"]:
        del sys.modules[name]


@pytest.fixture
def bags(tmp_path):
    """Return two small bags."""
    return make_bags(tmp_path, bags=2, patches=30)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_an_epoch_of_ours_learns(bags, precision):
    """Every call trains on: the loss falls."""
    epoch = epoch_of("dmia", bags, precision)
    losses = [sum(epoch().values()) for _ in range(30)]
    assert losses[-1] < losses[0]


def test_the_second_pass_through_tier_1_changes_nothing(checkout, bags):
    """With tier 2's input detached both tiers are updated as without."""
    after = []
    for detach in (False, True):
        torch.manual_seed(0)
        dtfd.random.seed(0)
        training = dtfd.Published(checkout, bags, detach=detach)
        for _ in range(3):
            training.epoch()
        after.append([*training.weights, *training.second.parameters()])
    for one, two in zip(*after, strict=True):
        torch.testing.assert_close(one, two)


def test_a_folder_that_is_no_checkout_is_refused(tmp_path, bags):
    """It says what is missing."""
    with pytest.raises(SystemExit, match=r"no checkout of DTFD-MIL: no Model/network"):
        dtfd.Published(tmp_path, bags)
