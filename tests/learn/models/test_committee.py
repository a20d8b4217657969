"""A committee of DMIA-MIL averages evidence patch by patch, and its members learn apart."""

from typing import Any

import pytest
import torch
from torch import Tensor

from coverslip.errors import OptionError
from coverslip.learn.models.committee import Committee, make_dmia
from coverslip.learn.models.dmia import DMIA
from coverslip.learn.models.dmia_options import PAPER
from coverslip.learn.models.pseudobags import canonical_order, partition

D, K = 6, 3
SMALL: dict[str, Any] = {
    "dim": 12,
    "members": K,
    "view": 0.5,
    "attention_dim": 5,
    "tier2_attention_dim": 5,
    "n_pseudo_bags": 2,
}
BETTER: dict[str, Any] = {
    "attention": "margin",
    "tau": 0.5,
    "selection": "maxs",
    "k": 3,
    "key_loss": 0.5,
    "key_patches": 4,
    "tier2": "evidence",
    "tier1_share": 0.4,
}
RECIPES: list[dict[str, Any]] = [
    BETTER,
    {**BETTER, "residual_blocks": 1, "selection": "maxmins"},
    {"selection": "afs", "instance_loss": 0.1},
    {"selection": "maxmins", "k": 2, "score": "cam", "attention": "gated"},
]
each_recipe = pytest.mark.parametrize(
    "options", RECIPES, ids=["better", "residual", "afs", "cam"]
)


def seeded(seed: int) -> torch.Generator:
    """Return a CPU generator of that seed."""
    return torch.Generator().manual_seed(seed)


def bag(n: int = 23, seed: int = 0) -> Tensor:
    """Return n patches' features, in canonical order."""
    x = 2 * torch.randn(n, D, generator=seeded(seed), dtype=torch.float64)
    return x[canonical_order(x)]


def committee(n_classes: int = 2, **options: object) -> Committee:
    """Return a small committee in float64, with weights large enough to matter."""
    made = Committee(D, n_classes, PAPER.replace(**{**SMALL, **options}), seed=3)
    made = made.double()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.mul_(3)
    return made.eval()


def members(made: Committee) -> list[DMIA]:
    """Return its members, each a model of its own with its share of the weights."""
    options = made.options
    own = options.replace(dim=options.dim // options.members, members=1)
    each = []
    for k in range(options.members):
        one = DMIA(made.in_dim, made.n_classes, own).to(made.views.dtype)
        with torch.no_grad():
            for name, weight in made.members.named_parameters():
                one.get_parameter(name).copy_(weight[k])
        each.append(one.train(made.training))
    return each


@each_recipe
@pytest.mark.parametrize("n_classes", [2, 3])
def test_of_one_member_it_says_what_that_member_says(options, n_classes):
    """With K = 1 nothing is averaged: losses, verdict and maps are DMIA's."""
    made = committee(n_classes, **{**options, "members": 1, "view": 1.0})
    (one,) = members(made)
    x = bag()
    ours, theirs = made.assess(x, [0, 1, 2]), one.assess(x, [0, 1, 2])
    torch.testing.assert_close(ours.logits, theirs.logits)
    torch.testing.assert_close(ours.attention, theirs.attention)
    torch.testing.assert_close(ours.patch_probabilities, theirs.patch_probabilities)
    torch.testing.assert_close(
        made.bag_losses(x, 1, seeded(5)), one.bag_losses(x, 1, seeded(5))
    )


@each_recipe
@pytest.mark.parametrize("n_classes", [2, 3])
def test_it_judges_by_the_mean_logits_of_each_patch(options, n_classes):
    """Patches are chosen, and the slide judged, by means over members; in plain loops."""
    made = committee(n_classes, **options)
    x, how = bag(), made.options
    each = list(zip(members(made), made.views, strict=True))
    h = [one.reduce(x * view) for one, view in each]
    z = (
        sum(one.classifier.linear(own) for (one, _), own in zip(each, h, strict=True))
        / K
    )
    b = sum(one.classifier.linear.bias for one, _ in each) / K
    scorer = each[0][0].attention
    if how.attention in {"margin", "exponential"}:
        e = scorer(z)[0]
    else:
        e = (
            sum(one.attention(own)[0] for (one, _), own in zip(each, h, strict=True))
            / K
        )
    tokens = [[] for _ in each]  # of each member, its view of the same patches
    drawn = partition(len(x), 2, made.members.k_min, seeded(7))
    for patches, inside in zip(*drawn, strict=True):
        j = patches[inside]
        alpha = ((e[j] - e[j].max()) / how.tau).exp()
        alpha = alpha / alpha.sum()
        if how.selection == "afs":
            for own, mine in zip(tokens, h, strict=True):
                own.append(alpha @ mine[j])
            continue
        score = alpha
        if how.score == "cam":
            brought = alpha[:, None] * (z[j] - b)
            target = 1 if n_classes == 2 else int((alpha @ z[j]).argmax())
            score = brought.softmax(1)[:, target]
        ranked = j[score.argsort(descending=True, stable=True)].tolist()
        low = ranked[-how.k :] if how.selection == "maxmins" else []
        for t in ranked[: how.k] + low:
            for own, mine in zip(tokens, h, strict=True):
                own.append(mine[t])
    judged = [
        (one, torch.stack(own)) for (one, _), own in zip(each, tokens, strict=True)
    ]
    if how.tier2 == "gated":
        expected = sum(one.tier2(own) for one, own in judged) / K
    else:
        w = how.tier1_share
        y = (
            sum(
                (1 - w) * one.tier2.classifier.linear(own)
                + w * one.classifier.linear(own)
                for one, own in judged
            )
            / K
        )
        expected = each[0][0].tier2.pool(y)
    said = made.assess(x, [7])
    torch.testing.assert_close(said.logits[0], expected)
    torch.testing.assert_close(said.patch_probabilities, z.softmax(1))
    raised = ((e - e.max()) / how.tau).exp()
    torch.testing.assert_close(said.attention, raised / raised.sum())


def test_the_mean_of_evidence_is_not_the_mean_of_verdicts():
    """Averaging before the maximum differs from averaging after it (an `Ensemble`)."""
    made = committee(**BETTER)
    pairs = zip(members(made), made.views, strict=True)
    verdicts = [one.assess(bag() * view, [7]).logits for one, view in pairs]
    after = torch.stack(verdicts).mean(0)
    assert not torch.allclose(made.assess(bag(), [7]).logits, after)


@each_recipe
def test_a_member_trains_as_if_alone(options):
    """Losses add up, and a member's gradients are those it would have by itself."""
    made = committee(**options).train()
    x, chance = bag(), seeded(5)
    losses = made.bag_losses(x, 1, seeded(5))
    torch.stack(list(losses.values())).sum().backward()
    totals = dict.fromkeys(losses, 0.0)
    for k, (one, view) in enumerate(zip(members(made), made.views, strict=True)):
        for name, loss in one.bag_losses(x * view, 1, chance).items():
            totals[name] += loss.item()
            loss.backward(retain_graph=True)
        for name, weight in made.members.named_parameters():
            torch.testing.assert_close(weight.grad[k], one.get_parameter(name).grad)
    assert {name: loss.item() for name, loss in losses.items()} == pytest.approx(totals)


def test_a_member_is_clipped_by_itself():
    """One member's steep slope leaves the others' as they are."""
    made = committee(**BETTER).train()
    made.bag_losses(bag(), 1, seeded(5))["tier1"].backward()
    weights = [p for p in made.parameters() if p.grad is not None]
    with torch.no_grad():
        for weight in weights:
            weight.grad[0] *= 1e6
    before = [weight.grad.clone() for weight in weights]
    made.clip(1e3)
    for weight, was in zip(weights, before, strict=True):
        torch.testing.assert_close(weight.grad[1:], was[1:])
    for module in made.members.reduction, made.members.classifier:
        first = torch.cat([p.grad[0].flatten() for p in module.parameters()])
        assert first.norm().item() == pytest.approx(1e3, rel=1e-6)


def test_members_begin_apart_and_draw_pseudo_bags_of_their_own():
    """What makes them wrong about different patches."""
    made = committee(**BETTER)
    one, other = (member.reduction.linear.weight for member in members(made)[:2])
    assert not torch.allclose(one, other)
    chance = seeded(0)
    drawn = [made.members.groups(30, chance) for _ in range(K)]
    assert not drawn[0].patches.equal(drawn[1].patches)


def test_committees_of_other_seeds_share_no_member():
    """Else an ensemble over seeds would count a member twice."""
    options = PAPER.replace(**{**SMALL, **BETTER})
    weights = [
        member.reduction.linear.weight
        for seed in range(3)
        for member in members(Committee(D, 2, options, seed))
    ]
    assert len({w.detach().numpy().tobytes() for w in weights}) == 3 * K


def test_each_member_sees_a_share_of_the_features_of_its_own():
    """Half of the features each, not the same half, and the spread of sums is kept."""
    made = Committee(40, 2, PAPER.replace(**SMALL), seed=1)
    assert (made.views > 0).sum(dim=1).tolist() == [20] * K
    assert not made.views[0].equal(made.views[1])
    assert made.views.square().mean().item() == pytest.approx(1)
    x = torch.randn(9, 40, generator=seeded(2))
    blind = torch.where(made.views[0] > 0, x, 100.0)
    seen, other = made.apart(made.reduce(x)), made.apart(made.reduce(blind))
    torch.testing.assert_close(other[0], seen[0])
    assert not torch.allclose(other[1], seen[1])


def test_what_members_see_comes_back_with_the_weights():
    """The views are in the state, so a loaded model sees what it was trained to see."""
    options = PAPER.replace(**SMALL)
    made, other = Committee(D, 2, options, seed=1), Committee(D, 2, options, seed=2)
    assert not made.views.equal(other.views)
    other.load_state_dict(made.state_dict())
    assert made.views.equal(other.views)


def test_all_members_warm_up_with_the_training():
    """The share of the training that is done reaches every member."""
    made = committee(**{**BETTER, "warmup": 0.5}).train()
    made.progress = 0.25
    made.bag_losses(bag(), 1, seeded(0))
    assert made.members.sharpness == 0.5


def test_every_weight_is_clipped_and_optimised_once():
    """Modules of both tiers cover all members' weights, none twice."""
    made = committee(**{**BETTER, "attention": "gated"})
    listed = [
        weight
        for modules in made.optimised().values()
        for module in modules
        for weight in module.parameters()
    ]
    assert len({id(w) for w in listed}) == len(listed) == len(list(made.parameters()))


def test_members_drop_features_of_their_own():
    """Dropout in training is drawn for each member, from the slide's generator alone."""
    made = committee(**{**BETTER, "dropout": 0.5}).train()
    losses = [made.bag_losses(bag(), 1, seeded(s))["tier1"].item() for s in (0, 0, 1)]
    assert losses[0] == losses[1] != losses[2]
    same = {"dropout": 0.5, "view": 1.0, "n_pseudo_bags": 1}
    alike = committee(**{**BETTER, **same}).train()
    with torch.no_grad():
        for weight in alike.members.parameters():
            weight.copy_(weight[:1].expand_as(weight))
    alike.bag_losses(bag(), 1, seeded(0))["tier2"].backward()
    slopes = alike.members.tier2.classifier.linear.weight.grad
    assert not torch.allclose(slopes[0], slopes[1])


def test_make_dmia_makes_one_model_or_a_committee():
    """By the number of members; a single model refuses options that have more."""
    assert isinstance(make_dmia(D, 2, PAPER), DMIA)
    several = PAPER.replace(members=2)
    assert isinstance(make_dmia(D, 2, several), Committee)
    with pytest.raises(ValueError, match="2 members are a Committee"):
        DMIA(D, 2, several)


def test_members_share_the_width_equally():
    """A width that cannot be shared is refused, naming both numbers."""
    with pytest.raises(OptionError, match="members=5 does not divide dim=12"):
        PAPER.replace(dim=12, members=5)
