"""Training keeps the best model, clips, slows down once, stops, and repeats itself."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

from coverslip.errors import DataError, LabelError
from coverslip.learn.bags import feature_statistics
from coverslip.learn.loading import Labelled
from coverslip.learn.models.zoo import build, entry
from coverslip.learn.prediction import predict_bag
from coverslip.learn.train_options import TrainOptions
from coverslip.learn.training import (
    Trainer,
    _generator,
    attention_entropy,
    learning_rate,
    one_vs_rest_auc,
)
from coverslip.prepare.features import Features

LEARNING = TrainOptions(epochs=15, lr=1e-2, patience=None)


def slides(n, seed):
    """Return labelled bags: a tenth of the patches of the positive ones stands out."""
    rng = np.random.default_rng(seed)
    made = []
    for number in range(n):
        x = rng.normal(size=(20, 6))
        label = number % 2
        x[:2, 1] += 6 * label
        bag = Features(f"s{seed}_{number}", x.astype(np.float16), None, {})
        made.append(Labelled(bag, label))
    return made


def trainer(options=None, *, seed=0, train=None, val=None, **model_options):
    """Return a training of a small model on easy slides."""
    train = train or slides(12, 0)
    val = slides(6, 1) if val is None else val
    chosen = entry("dmia").options(**{"dim": 16, "members": 1, **model_options})
    model = build("dmia", 6, 2, chosen, seed=seed)
    mean, deviation = feature_statistics(item.bag for item in train)
    model.standardise.set(torch.from_numpy(mean), torch.from_numpy(deviation))
    return Trainer(model, train, val, options or TrainOptions(epochs=3, seed=seed))


def weights(model):
    """Return all weights as one vector."""
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def scripted(monkeypatch, rows):
    """Let validation say what a script says, epoch by epoch."""
    script = iter(rows)

    def validate(_):
        auc, loss = next(script)
        return {"val_auc": auc, "val_loss": loss}

    monkeypatch.setattr(Trainer, "_validate", validate)


@pytest.mark.parametrize("slides_a_step", [1, 3])
def test_easy_slides_are_learned(slides_a_step):
    """A planted tenth of the patches is found: AUC 1 on slides never seen."""
    going = trainer(
        LEARNING.replace(slides_per_step=slides_a_step, lr=1e-2 * slides_a_step)
    )
    log = list(going.epochs())
    model = going.finish()
    assert log[-1]["loss_tier1"] < log[0]["loss_tier1"]
    assert log[-1]["loss_tier2"] < log[0]["loss_tier2"]
    test = slides(20, 2)
    chances = [predict_bag(model, item.bag, range(5)).probabilities for item in test]
    labels = np.array([item.label for item in test])
    assert one_vs_rest_auc(labels, np.stack(chances)) == 1.0


def test_the_same_seed_repeats_and_another_does_not():
    """Log and weights are equal to the last bit, whatever global chance does."""
    runs = []
    for seed, noise in ((0, 1), (0, 2), (3, 1)):
        torch.manual_seed(noise)
        going = trainer(seed=seed, dropout=0.3)
        runs.append((list(going.epochs()), weights(going.finish())))
    assert runs[0][0] == runs[1][0]
    assert torch.equal(runs[0][1], runs[1][1])
    assert runs[0][0] != runs[2][0]


def test_the_training_seed_alone_changes_the_result():
    """Order and pseudo-bags are drawn from it, even where the weights begin equal."""
    logs = [
        list(trainer(TrainOptions(epochs=2, seed=seed)).epochs()) for seed in (0, 1)
    ]
    assert logs[0] != logs[1]


def test_a_step_on_several_slides_descends_their_mean_loss():
    """The first step of three slides is one step on the mean of their losses."""
    going = trainer(TrainOptions(slides_per_step=12, epochs=1), dropout=0.2)
    by_hand = trainer(TrainOptions(epochs=1), dropout=0.2)
    model = by_hand.model.train()
    model.progress = 0.0
    for item in by_hand.train:
        x = torch.from_numpy(np.float32(item.bag.features))
        chance = _generator(0, 0, item.bag.slide_id)
        losses = model.losses(x, item.label, chance)
        (sum(losses.values()) / 12).backward()
    model.clip(by_hand.options.clip)
    for optimiser in by_hand.optimisers.values():
        optimiser.step()
    (_,) = going.epochs()
    torch.testing.assert_close(weights(going.model), weights(model))


def test_bf16_learns_what_float32_learns():
    """The reduction's arithmetic is coarser, and easy slides are told apart all the same."""
    logs = [
        list(trainer(LEARNING.replace(precision=kind)).epochs())
        for kind in ("fp32", "bf16")
    ]
    assert [log[-1]["val_auc"] for log in logs] == [1.0, 1.0]
    assert logs[0][0]["loss_tier1"] != logs[1][0]["loss_tier1"]
    assert logs[0][0]["loss_tier1"] == pytest.approx(logs[1][0]["loss_tier1"], rel=0.02)


def test_every_epoch_draws_its_own_pseudo_bags():
    """With weights that hardly move, the losses of two epochs still differ."""
    still = TrainOptions(epochs=2, lr=1e-12, weight_decay=0)
    first, second = trainer(still).epochs()
    assert abs(first["loss_tier1"] - second["loss_tier1"]) > 1e-6
    assert first["val_loss"] == pytest.approx(second["val_loss"], abs=1e-9)


def test_the_best_epoch_is_kept_ties_going_to_the_lower_loss(monkeypatch):
    """AUC first, then loss; an equal epoch later does not replace an earlier one."""
    script = [(0.7, 0.5), (0.9, 0.6), (0.9, 0.4), (0.8, 0.1), (0.9, 0.4), (0.9, 0.5)]
    scripted(monkeypatch, script)
    going = trainer(TrainOptions(epochs=6, lr=1e-2))
    states = [weights(going.model).clone() for _ in going.epochs()]
    assert going.progress.best == (0.9, 0.4, 3)
    assert going.progress.since_best == 3
    assert torch.equal(weights(going.finish()), states[2])
    assert all(not torch.equal(a, b) for a, b in pairwise(states))


def test_patience_ends_the_training(monkeypatch):
    """It stops after so many epochs without a better one, not before."""
    scripted(monkeypatch, [(0.5, 1), (0.6, 1), (0.6, 1), (0.6, 2), (0.9, 0), (0.9, 0)])
    going = trainer(TrainOptions(epochs=6, patience=2, always=0))
    assert [row["epoch"] for row in going.epochs()] == [1, 2, 3, 4]
    assert going.progress.best[2] == 2


def test_some_epochs_are_always_trained(monkeypatch):
    """Patience counts after them, whatever the model."""
    scripted(monkeypatch, [(0.5, 1)] * 8)
    going = trainer(TrainOptions(epochs=8, patience=2, always=0.5))
    assert len(list(going.epochs())) == 4 + 2


def test_the_model_is_told_how_far_the_training_is(monkeypatch):
    """Progress is the share of the budget that is done when an epoch begins."""
    scripted(monkeypatch, [(0.5, 1)] * 4)
    going = trainer(TrainOptions(epochs=4, patience=None))
    told = [going.model.progress for _ in going.epochs()]
    assert told == [0, 0.25, 0.5, 0.75]


def test_without_patience_the_whole_budget_is_spent(monkeypatch):
    """The paper's training runs all its epochs."""
    scripted(monkeypatch, [(0.5, 1)] * 5)
    assert len(list(trainer(TrainOptions(epochs=5, patience=None)).epochs())) == 5


def test_the_rate_falls_once():
    """At half of the epochs, by the factor asked for; the optimisers use it."""
    options = TrainOptions(epochs=4, lr=1e-3, drop_at=0.5, drop_by=0.2)
    asked = [1e-3, 1e-3, 2e-4, 2e-4]
    assert [learning_rate(options, e) for e in range(4)] == pytest.approx(asked)
    going = trainer(options)
    used = []
    for row in going.epochs():
        used.append(
            {g["lr"] for o in going.optimisers.values() for g in o.param_groups}
        )
        assert used[-1] == {row["lr"]}
    assert [rates.pop() for rates in used] == pytest.approx(asked)


def test_there_are_two_adams_that_share_no_weight_and_leave_none_out():
    """Tier 1 and tier 2 are stepped by one optimiser each."""
    going = trainer(attention="gated")
    assert set(going.optimisers) == {"tier1", "tier2"}
    assert all(isinstance(o, torch.optim.Adam) for o in going.optimisers.values())
    owned = [
        id(p)
        for o in going.optimisers.values()
        for group in o.param_groups
        for p in group["params"]
    ]
    assert sorted(owned) == sorted(id(p) for p in going.model.parameters())


def test_gradients_are_clipped_module_by_module():
    """Each module's gradient has at most the norm asked for; large ones exactly it."""
    clip, norms = 1e-3, []
    going = trainer(TrainOptions(epochs=1, clip=clip), attention="gated")

    def measure(optimiser, *_):
        for name, modules in going.model.optimised().items():
            if going.optimisers[name] is optimiser:
                for module in modules:
                    parts = [p.grad.flatten() for p in module.parameters()]
                    norms.append((name, float(torch.cat(parts).norm())))

    for optimiser in going.optimisers.values():
        optimiser.register_step_pre_hook(measure)
    list(going.epochs())
    assert len(norms) == 12 * 4
    assert {name for name, _ in norms} == {"tier1", "tier2"}
    assert max(norm for _, norm in norms) <= clip * 1.001
    assert sum(norm > clip * 0.99 for _, norm in norms) > 12 * 3


def test_a_large_limit_clips_nothing():
    """With a limit above every gradient, training is plain Adam."""
    unclipped = trainer(TrainOptions(epochs=2, clip=1e9))
    log = list(unclipped.epochs())
    usual = nn.utils.clip_grad_norm_
    try:
        nn.utils.clip_grad_norm_ = lambda *_: None
        assert list(trainer(TrainOptions(epochs=2)).epochs()) != []
        assert list(trainer(TrainOptions(epochs=2, clip=1e9)).epochs()) == log
    finally:
        nn.utils.clip_grad_norm_ = usual


@pytest.mark.parametrize("part", ["training", "validation"])
def test_one_class_only_is_refused(part):
    """Nothing can be learned, or judged, without slides of two classes."""
    one = [item for item in slides(8, 0) if item.label == 1]
    with pytest.raises(LabelError, match=f"{part}: 4 slides of one class"):
        trainer(**{"train" if part == "training" else "val": one})


def test_no_validation_slide_is_refused():
    """The best model cannot be chosen on nothing."""
    with pytest.raises(LabelError, match="validation: 0 slides"):
        trainer(val=[])


def test_an_empty_validation_slide_is_passed_over():
    """A slide without tissue in validation is not counted, and stops nothing."""
    val = slides(6, 1)
    bare = Labelled(Features("bare", np.empty((0, 6), np.float16), None, {}), 1)
    with_bare, without = trainer(val=[*val, bare]), trainer(val=val)
    assert list(with_bare.epochs()) == list(without.epochs())


def test_a_rate_that_blows_up_is_told():
    """Numbers that are no longer finite end the training with a remedy."""
    with pytest.raises(DataError, match=r"diverged in epoch \d+ .* lower --lr"):
        list(trainer(TrainOptions(epochs=9, lr=1e30, clip=1e30)).epochs())


def test_bf16_trains_too():
    """The reduction runs in bf16: other numbers than in fp32, and it learns."""
    going = trainer(LEARNING.replace(precision="bf16"))
    log = list(going.epochs())
    assert log != list(trainer(LEARNING).epochs())
    assert log[-1]["val_auc"] == 1.0
    assert all(p.dtype == torch.float32 for p in going.finish().parameters())


def test_the_log_tells_how_sharp_attention_is():
    """Entropy is 1 for a mean and 0 for one patch; the ten top weights sum to 1 at most."""
    flat, sharp = torch.full((50,), 0.02), torch.eye(1, 50)[0]
    assert attention_entropy(flat).item() == pytest.approx(1)
    assert attention_entropy(sharp).item() == pytest.approx(0)
    row = next(trainer().epochs())
    assert 0 < row["attention_entropy"] <= 1.0001
    assert 0.5 < row["attention_top10"] <= 1.0001


def test_auc_of_more_classes_is_the_mean_of_each_against_the_rest():
    """Perfect for one class and blind for another gives what lies between."""
    labels = np.array([0, 1, 2, 2])
    chances = np.array(
        [[0.6, 0.2, 0.2], [0.2, 0.6, 0.2], [0.2, 0.4, 0.4], [0, 0.7, 0.3]]
    )
    alone = []
    for c in range(3):
        up, down = chances[labels == c, c], chances[labels != c, c]
        wins = (up[:, None] > down).mean() + 0.5 * (up[:, None] == down).mean()
        alone.append(wins)
    assert one_vs_rest_auc(labels, chances) == pytest.approx(np.mean(alone))
    assert min(alone) < 1
