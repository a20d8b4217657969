"""A stand-in for the published code of DTFD-MIL, which benchmarks run beside ours."""

import sys

import pytest

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
