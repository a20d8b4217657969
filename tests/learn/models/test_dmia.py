"""DMIA-MIL computes its formulas; exact tests, most against a plain loop."""

import itertools
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from coverslip.errors import DataError, OptionError
from coverslip.learn.models.attention import NORMALISERS
from coverslip.learn.models.dmia import DMIA, DMIAOptions

D = 6
SMALL: dict[str, Any] = {"dim": 8, "attention_dim": 5, "tier2_attention_dim": 5}


def seeded(seed: int) -> torch.Generator:
    """Return a CPU generator of that seed."""
    return torch.Generator().manual_seed(seed)


def bag(n: int, seed: int = 0) -> Tensor:
    """Return n patches' features."""
    return 2 * torch.randn(n, D, generator=seeded(seed))


def model_of(n_classes: int = 2, **options: object) -> DMIA:
    """Return a small model in float64, with weights large enough to matter."""
    model = DMIA(D, n_classes, DMIAOptions(**{**SMALL, **options}), seed=3).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(3)
    return model


def attended(model: DMIA, x: Tensor) -> Tensor:
    """Return the attention of patches x as one group, written out: (n,)."""
    h = model.reduction(x)
    kind = model.options.attention
    if kind == "exponential":
        e = model.classifier.linear(h).exp().sum(1).log()[None]
    else:
        scorer = model.attention
        v = torch.tanh(scorer.tanh(h))
        e = scorer.score(v * scorer.gate(h).sigmoid() if kind == "gated" else v).T
    normalise = NORMALISERS[model.options.normaliser]
    return torch.stack([normalise(row, None, model.options.tau) for row in e]).mean(0)


def looped(model: DMIA, x: Tensor, groups: list[list[int]], label: int):
    """Return (losses, tier-2 probabilities) by a loop over pseudo-bags."""
    o = model.options
    linear = model.classifier.linear
    tokens, tier1, instance = [], [], []
    for group in groups:
        h = model.reduction(x[group])
        alpha = attended(model, x[group])
        f = sum(a * row for a, row in zip(alpha, h, strict=True))
        s, z = linear(f), linear(h)
        tier1.append(F.cross_entropy(s, torch.tensor(label)))
        each = [F.cross_entropy(row, torch.tensor(label)) for row in z]
        instance.append(sum(a * c for a, c in zip(alpha, each, strict=True)))
        target = 1 if len(s) == 2 else int(s.argmax())
        others = [c for c in range(len(s)) if c != target]
        evidence = alpha[:, None] * (h @ linear.weight.T) if o.score == "cam" else z
        score = evidence[:, target] - evidence[:, others].logsumexp(1)
        score = alpha if o.score == "attention" else score
        ranked = sorted(range(len(group)), key=lambda j: -score[j].item())
        top = ranked[: o.k]
        low = ranked[len(top) :][-o.k :] if o.selection == "maxmins" else []
        tokens += [f] if o.selection == "afs" else [h[j] for j in top + low]
    logits = model.tier2(torch.stack(tokens))
    losses = {
        "tier1": sum(tier1) / len(groups),
        "tier2": F.cross_entropy(logits, torch.tensor(label)),
    }
    if o.instance_loss:
        losses["instance"] = o.instance_loss * sum(instance) / len(groups)
    return losses, logits.softmax(0)


def listed(members: Tensor) -> list[list[int]]:
    """Return the indices of each pseudo-bag."""
    return [row.nonzero()[:, 0].tolist() for row in members]


VARIANTS = [
    {"attention": a, "normaliser": m, "selection": s, "score": c}
    for a, m, s, c in itertools.product(
        ["exponential", "gated", "tanh"],
        ["softmax", "sigmoid", "entmax", "sparsemax"],
        ["afs", "maxs", "maxmins"],
        ["attention", "cam", "margin"],
    )
    if not (s == "afs" and c != "attention")
    and not (m in {"entmax", "sparsemax"} and c == "attention" and s != "afs")
]
"""Every combination but those that rank by weights that are mostly equal zeros."""


@pytest.mark.parametrize("n", [1, 2, 3, 7, 30])
@pytest.mark.parametrize("n_classes", [2, 4])
def test_the_matrix_form_equals_a_loop_over_pseudo_bags(n, n_classes):
    """Losses and probabilities, every variant, ragged and tiny slides alike."""
    x = bag(n).double()
    for variant in VARIANTS:
        heads = 1 if variant["attention"] == "exponential" else 2
        model = model_of(n_classes, **variant, heads=heads, tau=0.8, instance_loss=0.3)
        losses = model.bag_losses(x, 1, seeded(5))
        groups = listed(model.groups(n, seeded(5)))
        expected, _ = looped(model, x, groups, 1)
        assert losses.keys() == expected.keys()
        for name, loss in losses.items():
            torch.testing.assert_close(loss, expected[name], msg=f"{variant} {name}")


@pytest.mark.parametrize("selection", ["afs", "maxs", "maxmins"])
def test_all_partitions_at_once_equal_each_alone(selection):
    """A row of `probabilities` is the loop's answer for that seed's partition."""
    model = model_of(selection=selection, score="margin", k=2)
    x = bag(23).double()
    coords = torch.stack([torch.arange(23), torch.zeros(23)], 1)  # already canonical
    output = model.predict(x, [4, 8, 15], coords)
    for row, members in zip(
        output.probabilities, model.seeded_groups(23, [4, 8, 15]), strict=True
    ):
        torch.testing.assert_close(row, looped(model, x, listed(members), 0)[1])


@pytest.mark.parametrize(("attention", "heads"), [("exponential", 1), ("gated", 3)])
def test_slide_attention_and_patch_probabilities_are_their_definitions(
    attention, heads
):
    """Attention over the whole slide as one group; softmax of instance logits."""
    model = model_of(attention=attention, heads=heads, tau=0.6)
    x = bag(12).double()
    output = model.predict(x, [0])
    torch.testing.assert_close(output.attention, attended(model, x))
    assert output.attention.sum().item() == pytest.approx(1)
    z = model.classifier.linear(model.reduction(x))
    torch.testing.assert_close(output.patch_probabilities, z.softmax(1))


def test_exponential_alpha_is_softmax_of_logsumexp_in_each_pseudo_bag():
    """Shi et al.'s equation 5 at tau 1, to 1e-6, in float32."""
    model = DMIA(D, 3, DMIAOptions(**SMALL))
    x = bag(17)
    members = model.groups(17, seeded(0))
    first = model.tier1(model.reduce(x), members)
    for alpha, inside in zip(first.alpha, members, strict=True):
        expected = first.z[inside].logsumexp(1).softmax(0)
        torch.testing.assert_close(alpha[inside], expected, atol=1e-6, rtol=0)
        assert (alpha[~inside] == 0).all()


def test_a_constant_on_all_biases_leaves_attention_unchanged():
    """Total evidence counts relative to the other patches."""
    model = model_of()
    x = bag(9).double()
    before = model.predict(x, [0]).attention
    with torch.no_grad():
        model.classifier.linear.bias.add_(5.0)
    torch.testing.assert_close(model.predict(x, [0]).attention, before)


def test_temperature_leads_from_the_strongest_patch_to_the_mean():
    """At tau to 0: the feature of the highest e; tau to infinity: the mean feature."""
    x = bag(10).double()
    members = torch.ones(1, 10, dtype=torch.bool)
    sharp, flat = model_of(tau=1e-6), model_of(tau=1e9)
    first = sharp.tier1(sharp.reduce(x), members)
    torch.testing.assert_close(first.f[0], first.h[first.e[0].argmax()])
    first = flat.tier1(flat.reduce(x), members)
    torch.testing.assert_close(first.f[0], first.h.mean(0), atol=1e-7, rtol=0)


@pytest.mark.parametrize(
    ("selection", "k", "n", "bags", "each"),
    [
        ("afs", 1, 40, 4, 1),
        ("maxs", 3, 40, 4, 3),
        ("maxmins", 3, 40, 4, 6),
        ("afs", 1, 3, 3, 1),
        ("maxs", 2, 3, 1, 2),
        ("maxmins", 1, 3, 1, 2),
        ("maxmins", 1, 1, 1, 1),
        ("maxmins", 3, 4, 1, 4),
    ],
)
def test_token_counts(selection, k, n, bags, each):
    """M, M k and 2 M k tokens; fewer pseudo-bags, then fewer tokens, on tiny slides."""
    model = model_of(selection=selection, k=k)
    members = model.groups(n, seeded(0))
    first = model.tier1(model.reduce(bag(n).double()), members)
    assert model.tokens(first, members).shape == (bags, each, 8)


def test_selected_tokens_are_distinct_patches_of_their_pseudo_bag():
    """No patch twice, none of another pseudo-bag, and unweighted features."""
    model = model_of(selection="maxmins", k=2)
    members = model.groups(19, seeded(1))
    first = model.tier1(model.reduce(bag(19).double()), members)
    for tokens, inside in zip(model.tokens(first, members), members, strict=True):
        same = (tokens[:, None] == first.h).all(-1)  # (T, n)
        found = same.nonzero()[:, 1].tolist()
        assert len(set(found)) == 4
        assert inside[found].all()


def test_afs_with_one_pseudo_bag_is_the_single_tier_feature():
    """Tier 2 then reads one token: its attention is 1 and its logits W2 f + b2."""
    model = model_of(n_pseudo_bags=1)
    x = bag(11).double()
    f = attended(model, x) @ model.reduction(x)
    expected = model.tier2.classifier.linear(f).softmax(0)
    torch.testing.assert_close(model.predict(x, [0]).probability, expected)


@pytest.mark.parametrize("selection", ["afs", "maxs", "maxmins"])
def test_tier_2_trains_tier_1_only_when_joint(selection):
    """Detached, L2 leaves no gradient in tier 1; joint, it does. L1 never in tier 2."""
    x = bag(20).double()
    for tier2_grad in ("detach", "joint"):
        model = model_of(selection=selection, tier2_grad=tier2_grad)
        model.losses(x, 1, seeded(0))["tier2"].backward()
        reached = [p.grad is not None for p in model.reduction.parameters()]
        assert reached == [tier2_grad == "joint"] * len(reached)
        assert all(p.grad.abs().sum() > 0 for p in model.tier2.classifier.parameters())
        model.zero_grad()
        model.losses(x, 1, seeded(0))["tier1"].backward()
        assert all(p.grad is None for p in model.tier2.parameters())


def optimisers(model: DMIA, lr: float = 1e-3) -> dict[str, torch.optim.Adam]:
    """Return one Adam a tier, with the seed's settings."""
    return {
        name: torch.optim.Adam(
            [p for m in modules for p in m.parameters()], lr=lr, weight_decay=1e-4
        )
        for name, modules in model.optimised().items()
    }


def clip(modules: list[torch.nn.Module]) -> None:
    """Clip each module's gradient at norm 5."""
    for module in modules:
        torch.nn.utils.clip_grad_norm_(module.parameters(), 5.0)


@pytest.mark.parametrize("selection", ["afs", "maxmins"])
def test_one_backward_and_two_steps_are_the_alternate_updates(selection):
    """Number for number, over several slides, with clipping and weight decay."""
    options = {"selection": selection, "instance_loss": 0.1, "dropout": 0.3}
    alternate, together = model_of(**options), model_of(**options)
    steps, both = optimisers(alternate), optimisers(together)
    for visit in range(6):
        x, label = 5 * bag(15, visit).double(), visit % 2

        losses = alternate.losses(x, label, seeded(visit))
        for name in ("tier1", "tier2"):  # the seed: first tier, then second
            alternate.zero_grad()
            own = losses[name]
            own = own + losses["instance"] if name == "tier1" else own
            own.backward()
            clip(alternate.optimised()[name])
            steps[name].step()

        together.zero_grad()
        sum(together.losses(x, label, seeded(visit)).values()).backward()
        for name, modules in together.optimised().items():
            clip(modules)
            both[name].step()
    for one, two in zip(alternate.parameters(), together.parameters(), strict=True):
        assert torch.equal(one, two)


def dtfd_forward(model: DMIA, x: Tensor, groups: list[list[int]]):
    """Return (pseudo-bag logits, chosen patches, tier-2 logits) of DTFD-MIL MaxMinS.

    Written from the published description: gated attention, F_k = a_k h_k, and the
    instance probability softmax_c(w_c . F_k), sorted by the last class.
    """
    state = model.state_dict()
    w, b = state["classifier.linear.weight"], state["classifier.linear.bias"]

    def gated(h: Tensor, where: str) -> Tensor:
        v, u, score = (
            (state[f"{where}.{name}.weight"], state[f"{where}.{name}.bias"])
            for name in ("tanh", "gate", "score")
        )
        inner = (h @ v[0].T + v[1]).tanh() * (h @ u[0].T + u[1]).sigmoid()
        e = inner @ score[0][0] + score[1]
        return (e - e.max()).exp() / (e - e.max()).exp().sum()

    logits, chosen, tokens = [], [], []
    for group in groups:
        h = (x[group] @ state["reduction.linear.weight"].T).clamp(min=0)
        weighted = gated(h, "attention")[:, None] * h
        logits.append(weighted.sum(0) @ w.T + b)
        cam = weighted @ w.T  # the bias is left out
        probability = cam.softmax(1)[:, -1]
        ranked = probability.sort(descending=True).indices.tolist()
        ends = [ranked[0], ranked[-1]]
        chosen.append([group[j] for j in ends])
        tokens += [h[j] for j in ends]
    t = torch.stack(tokens)
    pooled = gated(t, "tier2.attention") @ t
    weight, bias = (state[f"tier2.classifier.linear.{p}"] for p in ("weight", "bias"))
    return torch.stack(logits), chosen, pooled @ weight.T + bias


def test_gated_attention_with_cam_is_dtfd_mil():
    """Same weights, same partition: pseudo-bag logits, chosen patches, slide logits."""
    model = model_of(attention="gated", score="cam", selection="maxmins")
    for seed, n in enumerate([8, 21, 50]):
        x = bag(n, seed).double()
        members = model.groups(n, seeded(seed))
        first = model.tier1(model.reduce(x), members)
        tokens = model.tokens(first, members)
        logits, chosen, slide = dtfd_forward(model, x, listed(members))
        torch.testing.assert_close(first.s, logits)
        assert torch.equal(tokens, first.h[torch.tensor(chosen)])
        torch.testing.assert_close(model.tier2(tokens.flatten(0, 1)), slide)


@pytest.mark.parametrize("selection", ["afs", "maxs", "maxmins"])
def test_a_shuffled_slide_scores_the_same_to_the_last_bit(selection):
    """By place or by content, whatever order the patches are listed in."""
    model = DMIA(D, 2, DMIAOptions(**SMALL, selection=selection))
    x = bag(41)
    coords = torch.stack([torch.arange(41) % 7, torch.arange(41) // 7], 1)
    shuffled = torch.randperm(41, generator=seeded(2))
    for place in (coords, None):
        one = model.predict(x, [0, 1], place)
        two = model.predict(
            x[shuffled], [0, 1], None if place is None else place[shuffled]
        )
        assert torch.equal(one.probabilities, two.probabilities)
        assert torch.equal(one.attention[shuffled], two.attention)
        assert torch.equal(one.patch_probabilities[shuffled], two.patch_probabilities)


@pytest.mark.parametrize("selection", ["afs", "maxs", "maxmins"])
def test_a_slide_pasted_to_itself_scores_the_same(selection):
    """With one pseudo-bag every patch twice halves attention and changes no score."""
    model = model_of(selection=selection, n_pseudo_bags=1)
    x = bag(13).double()
    once, twice = model.predict(x, [0]), model.predict(torch.cat([x, x]), [0])
    torch.testing.assert_close(twice.probabilities, once.probabilities)
    torch.testing.assert_close(twice.attention[:13], once.attention / 2)


def test_averaging_partitions_divides_the_variance():
    """Means over R partitions vary by about 1/R as much as single ones."""
    model = model_of(selection="maxs")
    p = model.predict(bag(40).double(), range(1024)).probabilities[:, 1]
    single = p.var().item()
    assert single > 0
    for r in (4, 16):
        ratio = p.reshape(-1, r).mean(1).var().item() / single
        assert ratio == pytest.approx(1 / r, rel=0.35)


def test_prediction_repeats_and_ignores_every_global_state():
    """Twice, under other global seeds, in training mode: the same numbers."""
    model = DMIA(D, 2, DMIAOptions(**SMALL, dropout=0.5)).train()
    x = bag(30)
    outputs = []
    for state in (1, 2):
        torch.manual_seed(state)
        before = torch.get_rng_state()
        outputs.append(model.predict(x, [7, 8]))
        assert torch.equal(before, torch.get_rng_state())
    assert torch.equal(outputs[0].probabilities, outputs[1].probabilities)
    assert torch.equal(outputs[0].attention, outputs[1].attention)


def test_losses_depend_on_the_generator_and_nothing_else():
    """Partition and dropout come from it; the global state neither acts nor moves."""
    model = DMIA(D, 2, DMIAOptions(**SMALL, dropout=0.5))
    x = bag(30)
    totals = []
    for state, seed in ((1, 0), (2, 0), (2, 1)):
        torch.manual_seed(state)
        before = torch.get_rng_state()
        totals.append(sum(model.losses(x, 1, seeded(seed)).values()).item())
        assert torch.equal(before, torch.get_rng_state())
    assert totals[0] == totals[1]
    assert totals[1] != totals[2]


def test_construction_ignores_the_global_state():
    """Weights come from the seed."""
    torch.manual_seed(1)
    one = DMIA(D, 2, DMIAOptions(**SMALL), seed=5).state_dict()
    torch.manual_seed(2)
    two = DMIA(D, 2, DMIAOptions(**SMALL), seed=5).state_dict()
    assert all(torch.equal(one[name], two[name]) for name in one)


@pytest.mark.parametrize("normaliser", NORMALISERS)
@pytest.mark.parametrize("attention", ["exponential", "gated"])
def test_bf16_and_huge_logits_stay_finite(attention, normaliser):
    """Under bf16 autocast with |z| up to 1e4: losses, gradients and outputs."""
    x = bag(33)
    for selection, score in (("afs", "attention"), ("maxmins", "cam")):
        options = DMIAOptions(
            **SMALL,
            attention=attention,
            normaliser=normaliser,
            selection=selection,
            score=score,
            instance_loss=0.1,
        )
        model = DMIA(D, 2, options)
        with torch.no_grad():
            z = model.classifier(model.reduce(x))
            model.classifier.linear.weight.mul_(1e4 / z.abs().max())
        with torch.autocast("cpu", dtype=torch.bfloat16):
            first = model.tier1(model.reduce(x), model.groups(33, seeded(0)))
            losses = model.losses(x, 1, seeded(0))
            output = model.predict(x, [0, 1])
        assert first.z.abs().max() > 5e3
        sum(losses.values()).backward()
        assert all(loss.isfinite() for loss in losses.values())
        assert all(p.grad.isfinite().all() for p in model.parameters())
        assert output.attention.dtype == torch.float32
        assert output.attention.sum().item() == pytest.approx(1, abs=1e-5)
        torch.testing.assert_close(output.probabilities.sum(1), torch.ones(2))


def test_bf16_is_close_to_float32():
    """Low precision is confined to the reduction."""
    model = DMIA(D, 2, DMIAOptions(**SMALL))
    x = bag(33)
    full = model.predict(x, range(4))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = model.predict(x, range(4))
    assert not torch.equal(full.attention, half.attention)
    torch.testing.assert_close(
        half.probabilities, full.probabilities, atol=5e-3, rtol=0
    )
    torch.testing.assert_close(half.attention, full.attention, atol=2e-3, rtol=0)


def test_features_are_standardised_first():
    """Scaled features with their statistics give what plain features give."""
    x = bag(20).double()
    plain, scaled = model_of(), model_of()
    mean, std = torch.arange(D).double(), torch.full((D,), 4.0).double()
    scaled.standardise.set(mean, std)
    one, two = plain.predict(x, [0], coords_of(20)), None
    two = scaled.predict(x * std + mean, [0], coords_of(20))
    torch.testing.assert_close(one.probabilities, two.probabilities)


def coords_of(n: int) -> Tensor:
    """Return n patches in one row."""
    return torch.stack([torch.arange(n), torch.zeros(n, dtype=torch.int64)], 1)


def planted(label: int, seed: int) -> Tensor:
    """Return 25 patches of which, in a positive slide, the first is marked."""
    x = torch.randn(25, D, generator=seeded(seed))
    if label:
        x[0, 0] = 6.0
    return x


@pytest.mark.parametrize("selection", ["afs", "maxmins"])
def test_a_short_training_finds_the_planted_patch(selection):
    """New slides are told apart, and the mark has the highest attention and z."""
    options = DMIAOptions(
        dim=16, tier2_attention_dim=8, selection=selection, instance_loss=0.1
    )
    model = DMIA(D, 2, options)
    steps = optimisers(model, lr=5e-3)
    for visit in range(300):
        model.zero_grad()
        x = planted(visit % 2, visit)
        sum(model.losses(x, visit % 2, seeded(visit)).values()).backward()
        for step in steps.values():
            step.step()
    held_out = range(10_000, 10_020)
    positive = [model.predict(planted(1, seed), range(5)) for seed in held_out]
    negative = [model.predict(planted(0, seed), range(5)) for seed in held_out]
    lowest = min(output.probability[1] for output in positive)
    assert lowest > max(output.probability[1] for output in negative)
    for output in positive:
        assert output.patch_probabilities[:, 1].argmax() == 0
        assert output.attention.argmax() == 0


def test_a_bag_without_patches_cannot_be_trained_on():
    """The same clear error as in prediction."""
    with pytest.raises(DataError, match="no patches"):
        model_of().losses(torch.zeros(0, D), 1, seeded(0))


@pytest.mark.parametrize(
    "wrong",
    [{"k": 0}, {"n_pseudo_bags": 0}, {"tau": 0.0}, {"selection": "mas"}, {"heads": 2}],
)
def test_senseless_options_are_refused(wrong):
    """A k of 0 would select every patch; exponential attention has no free heads."""
    with pytest.raises(OptionError, match=next(iter(wrong))):
        DMIAOptions(**wrong)
