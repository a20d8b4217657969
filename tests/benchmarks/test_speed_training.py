"""What the benchmark of training times is training, on both sides."""

import sys
from functools import partial

import pytest
import torch
from benchmarks.speed import dtfd, rivals, training_peers
from benchmarks.speed.measure import take_turns
from benchmarks.speed.rivals import Rivals
from benchmarks.speed.training import epoch_of, make_bags


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


PEER = """
from pathlib import Path
import h5py

def prepare(folder, model, width, groups):
    bags = sorted(Path(folder).glob("slide_*.h5"))
    assert len(bags) == 2 and model in ("abmil", "dtfd") and (width, groups) == (512, 4)
    total = [h5py.File(bag)["features"][:].sum() for bag in bags]
    return lambda: sum(total)
"""
"""A program that wants what the real ones get."""


def test_a_program_that_is_installed_trains_on_our_bags(tmp_path, monkeypatch):
    """Beside the same model of ours and, for DTFD-MIL, beside DMIA-MIL."""
    (tmp_path / "peer_torchmil.py").write_text(PEER)
    monkeypatch.setattr(training_peers, "HERE", tmp_path)
    once = partial(take_turns, repeats=1, warm=False)
    monkeypatch.setattr(training_peers, "take_turns", once)
    monkeypatch.setattr(training_peers, "kinds", lambda: ("fp32", "bf16"))
    facts = training_peers.main(
        Rivals(packages=frozenset({"torchmil"})), bags=2, patches=40
    )
    told = [(row["what"], row["who"]) for row in facts["rows"]]
    abmil = "an epoch, abmil, to torchmil, abmil, fp32"
    assert told[:3] == [
        (abmil, "coverslip, gated_abmil, fp32"),
        (abmil, "coverslip, gated_abmil, bf16"),
        (abmil, "torchmil, abmil, fp32"),
    ]
    assert [who for _, who in told[3:]][-1] == "torchmil, dtfd, fp32"
    theirs = [row for row in facts["rows"] if row["who"].startswith("torchmil")]
    assert [row["times_rival"] for row in theirs] == [1, 1]


def test_an_interpreter_is_asked_what_it_has(monkeypatch):
    """Of the programs that are known, those that it can import."""
    monkeypatch.setattr(rivals, "PACKAGES", ("torch", "no_such_program"))
    assert rivals.installed(sys.executable) == {"torch"}


@pytest.mark.usefixtures("bags")
def test_torchmil_trains_on_our_bags(tmp_path):
    """Its own trainer: the weights move. Skips where it is not installed."""
    pytest.importorskip("torchmil", reason="the extra `bench` is not installed")
    from benchmarks.speed.peer_torchmil import prepare

    work = prepare(str(tmp_path), "dtfd", 16, 4)
    trainer = work.__closure__[-1].cell_contents
    before = [p.clone() for p in trainer.model.parameters()]
    work()
    after = list(trainer.model.parameters())
    assert any(not torch.equal(a, b) for a, b in zip(before, after, strict=True))
