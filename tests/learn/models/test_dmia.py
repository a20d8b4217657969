"""DMIA-MIL computes its formulas; exact tests, most against a plain loop.

Models are the literal recipe (`PAPER`) with some options changed: no test leans on the
defaults, which may improve.
"""

import itertools
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from coverslip.errors import DataError, OptionError
from coverslip.learn.models.attention import NORMALISERS
from coverslip.learn.models.dmia import DMIA, SOFTEST
from coverslip.learn.models.dmia_options import PAPER, PRESETS, DMIAOptions
from coverslip.learn.models.pseudobags import PseudoBags, whole

D = 6
SMALL: dict[str, Any] = {"dim": 8, "attention_dim": 5, "tier2_attention_dim": 5}
BETTER: dict[str, Any] = {
    "attention": "margin",
    "tau": 0.5,
    "n_pseudo_bags": 2,
    "selection": "maxs",
    "k": 3,
    "key_loss": 0.5,
    "key_patches": 4,
    "tier2": "evidence",
    "tier1_share": 0.4,
}
"""The changes to the literal recipe, all at once."""
RECIPES: list[dict[str, Any]] = [
    {"selection": "afs"},
    {"selection": "maxs"},
    {"selection": "maxmins"},
    BETTER,
]
each_recipe = pytest.mark.parametrize(
    "options", RECIPES, ids=["afs", "maxs", "maxmins", "better"]
)


def seeded(seed: int) -> torch.Generator:
    """Return a CPU generator of that seed."""
    return torch.Generator().manual_seed(seed)


def bag(n: int, seed: int = 0) -> Tensor:
    """Return n patches' features."""
    return 2 * torch.randn(n, D, generator=seeded(seed))


def small(**options: object) -> DMIAOptions:
    """Return the literal recipe's options, small, with some changed."""
    return PAPER.replace(**{**SMALL, **options})


def model_of(n_classes: int = 2, **options: object) -> DMIA:
    """Return a small model in float64, with weights large enough to matter."""
    model = DMIA(D, n_classes, small(**options), seed=3).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(3)
    return model


def log_odds(z: Tensor, target: int) -> Tensor:
    """Return how sure logits z (C,) are of a class: z_c - log sum of the others'."""
    others = [z[c].exp() for c in range(len(z)) if c != target]
    return z[target] - sum(others).log()


def one_sided(z: Tensor) -> Tensor:
    """Return the margin of logits z (C,): of two classes the second's log odds."""
    targets = [1] if len(z) == 2 else range(len(z))
    return max(log_odds(z, target) for target in targets)


def attended(model: DMIA, x: Tensor) -> Tensor:
    """Return the attention of patches x as one group, written out: (n,)."""
    h = model.reduction(x)
    kind = model.options.attention
    if kind == "exponential":
        e = model.classifier.linear(h).exp().sum(1).log()[None]
    elif kind == "margin":
        e = torch.stack([one_sided(z) for z in model.classifier.linear(h)])[None]
    else:
        scorer = model.attention
        v = torch.tanh(scorer.tanh(h))
        e = scorer.score(v * scorer.gate(h).sigmoid() if kind == "gated" else v).T
    normalise = NORMALISERS[model.options.normaliser]
    return torch.stack([normalise(row, None, model.options.tau) for row in e]).mean(0)


def cost(z: Tensor, label: int) -> Tensor:
    """Return the cross entropy of logits z (C,)."""
    return F.cross_entropy(z, torch.tensor(label))


def looked_again(model: DMIA, tokens: list[Tensor], share: float = 0) -> Tensor:
    """Return the slide's logits of its tokens, written out where evidence decides.

    A share of tier 1's logits is in the evidence of each token; gates have none.
    """
    if model.options.tier2 == "gated":
        return model.tier2(torch.stack(tokens))
    first, second = model.classifier.linear, model.tier2.classifier.linear
    z = [(1 - share) * second(one) + share * first(one) for one in tokens]
    raised = [(one_sided(one) / model.options.tau).exp() for one in z]
    return sum(r * one for r, one in zip(raised, z, strict=True)) / sum(raised)


def surely(z: Tensor, label: int, key_patches: int) -> Tensor:
    """Return the loss of the key patches among logits z (n, C), written out."""
    n, target = len(z), 1 if z.shape[1] == 2 else label
    ranked = sorted(z, key=lambda one: -log_odds(one, target).item())
    positive = z.shape[1] == 2 and label == 1
    key = ranked[: min(key_patches, n - n // 2) if positive else key_patches]
    own = sum(cost(one, label) for one in key) / len(key)
    normal = ranked[n - n // 2 :] if label == 1 else ranked
    if z.shape[1] > 2 or not normal:
        return own
    return (own + sum(cost(one, 0) for one in normal) / len(normal)) / 2


def looped(model: DMIA, x: Tensor, groups: list[list[int]], label: int):
    """Return (losses, the slide's probabilities) by a loop over pseudo-bags."""
    o = model.options
    linear = model.classifier.linear
    tokens, tier1, instance = [], [], []
    for group in groups:
        h = model.reduction(x[group])
        alpha = attended(model, x[group])
        f = sum(a * row for a, row in zip(alpha, h, strict=True))
        s, z = linear(f), linear(h)
        tier1.append(cost(s, label))
        each = [cost(row, label) for row in z]
        instance.append(sum(a * c for a, c in zip(alpha, each, strict=True)))
        target = 1 if len(s) == 2 else int(s.argmax())
        evidence = alpha[:, None] * (h @ linear.weight.T) if o.score == "cam" else z
        score = torch.stack([log_odds(one, target) for one in evidence])
        score = alpha if o.score == "attention" else score
        ranked = sorted(range(len(group)), key=lambda j: -score[j].item())
        top = ranked[: o.k]
        low = ranked[len(top) :][-o.k :] if o.selection == "maxmins" else []
        tokens += [f] if o.selection == "afs" else [h[j] for j in top + low]
    second = looked_again(model, tokens)
    losses = {"tier1": sum(tier1) / len(groups), "tier2": cost(second, label)}
    if o.instance_loss:
        losses["instance"] = o.instance_loss * sum(instance) / len(groups)
    if o.key_loss:
        z = linear(model.reduction(x))
        losses["key"] = o.key_loss * surely(z, label, o.key_patches)
    return losses, looked_again(model, tokens, o.tier1_share).softmax(0)


def listed(bags: PseudoBags) -> list[list[int]]:
    """Return the patches of each pseudo-bag of one partition."""
    return [row[inside].tolist() for row, inside in zip(*bags, strict=True)]


def each_of(bags: PseudoBags) -> list[PseudoBags]:
    """Return the partitions of several, rows (R, M, L), one by one."""
    return [PseudoBags(*one) for one in zip(*bags, strict=True)]


VARIANTS = [
    {"attention": a, "normaliser": m, "selection": s, "score": c}
    for a, m, s, c in itertools.product(
        ["exponential", "gated", "tanh", "margin"],
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
        heads = 1 if variant["attention"] in {"exponential", "margin"} else 2
        model = model_of(n_classes, **variant, heads=heads, tau=0.8, instance_loss=0.3)
        losses = model.bag_losses(x, 1, seeded(5))
        groups = listed(model.groups(n, seeded(5)))
        expected, _ = looped(model, x, groups, 1)
        assert losses.keys() == expected.keys()
        for name, loss in losses.items():
            torch.testing.assert_close(loss, expected[name], msg=f"{variant} {name}")


CHANGES = [
    {"attention": a, "selection": s, "tier2": t, "key_loss": 0.7, "key_patches": p}
    for a, s, t, p in itertools.product(
        ["exponential", "margin"],
        ["afs", "maxs", "maxmins"],
        ["gated", "evidence"],
        [1, 3, 50],
    )
]
"""What was changed of the literal recipe, in every combination."""


@pytest.mark.parametrize("n", [1, 2, 7, 30])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_the_changed_recipe_equals_a_loop_over_pseudo_bags(n, n_classes):
    """Losses of every class and predictions: margins, evidence, key patches, shares."""
    x = bag(n).double()
    coords = coords_of(n)  # already canonical
    for i, variant in enumerate(CHANGES):
        label, share = i % n_classes, (0.0, 0.3, 1.0)[i % 3]
        model = model_of(n_classes, **variant, k=2, tau=0.8, tier1_share=share)
        losses = model.bag_losses(x, label, seeded(5))
        groups = listed(model.groups(n, seeded(5)))
        expected, _ = looped(model, x, groups, label)
        assert list(losses) == list(expected) == ["tier1", "tier2", "key"]
        for name, loss in losses.items():
            torch.testing.assert_close(loss, expected[name], msg=f"{variant} {name}")
        said = model.predict(x, [4], coords).probabilities[0]
        (only,) = each_of(model.seeded_groups(n, [4]))
        _, alone = looped(model, x, listed(only), label)
        torch.testing.assert_close(said, alone, msg=f"{variant} {share}")


@each_recipe
@pytest.mark.parametrize("n_classes", [2, 3])
def test_all_partitions_at_once_equal_each_alone(options, n_classes):
    """A row of `probabilities` is the loop's answer for that seed's partition."""
    model = model_of(n_classes, **{**options, "score": "margin", "k": 2})
    x = bag(23).double()
    coords = torch.stack([torch.arange(23), torch.zeros(23)], 1)  # already canonical
    output = model.predict(x, [4, 8, 15], coords)
    drawn = each_of(model.seeded_groups(23, [4, 8, 15]))
    for row, bags in zip(output.probabilities, drawn, strict=True):
        torch.testing.assert_close(row, looped(model, x, listed(bags), 0)[1])


@pytest.mark.parametrize(
    ("attention", "heads"), [("exponential", 1), ("gated", 3), ("margin", 1)]
)
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
    model = DMIA(D, 3, small())
    x = bag(17)
    bags = model.groups(17, seeded(0))
    first = model.tier1(model.reduce(x), bags)
    for alpha, patches, inside in zip(first.alpha, *bags, strict=True):
        expected = first.z[patches[inside]].logsumexp(1).softmax(0)
        torch.testing.assert_close(alpha[inside], expected, atol=1e-6, rtol=0)
        assert (alpha[~inside] == 0).all()


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("attention", ["exponential", "margin"])
def test_a_constant_on_all_biases_leaves_attention_unchanged(attention, n_classes):
    """Evidence counts relative to the other patches, or to the other classes."""
    model = model_of(n_classes, attention=attention)
    x = bag(9).double()
    before = model.predict(x, [0]).attention
    with torch.no_grad():
        model.classifier.linear.bias.add_(5.0)
    torch.testing.assert_close(model.predict(x, [0]).attention, before)


def test_temperature_leads_from_the_strongest_patch_to_the_mean():
    """At tau to 0: the feature of the highest e; tau to infinity: the mean feature."""
    x = bag(10).double()
    sharp, flat = model_of(tau=1e-6), model_of(tau=1e9)
    first = sharp.tier1(sharp.reduce(x), whole([10]))
    torch.testing.assert_close(first.f[0], first.h[first.e[0].argmax()])
    first = flat.tier1(flat.reduce(x), whole([10]))
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
    first = model.tier1(model.reduce(bag(n).double()), model.groups(n, seeded(0)))
    assert model.tokens(first).shape == (bags, each, 8)


def test_selected_tokens_are_distinct_patches_of_their_pseudo_bag():
    """No patch twice, none of another pseudo-bag, and unweighted features."""
    model = model_of(selection="maxmins", k=2)
    bags = model.groups(19, seeded(1))
    first = model.tier1(model.reduce(bag(19).double()), bags)
    for tokens, inside in zip(model.tokens(first), listed(bags), strict=True):
        same = (tokens[:, None] == first.h).all(-1)  # (T, n)
        found = set(same.nonzero()[:, 1].tolist())
        assert len(found) == 4
        assert found <= set(inside)


def test_afs_with_one_pseudo_bag_is_the_single_tier_feature():
    """Tier 2 then reads one token: its attention is 1 and its logits W2 f + b2."""
    model = model_of(n_pseudo_bags=1)
    x = bag(11).double()
    f = attended(model, x) @ model.reduction(x)
    expected = model.tier2.classifier.linear(f).softmax(0)
    torch.testing.assert_close(model.predict(x, [0]).probability, expected)


@each_recipe
def test_tier_2_trains_tier_1_only_when_joint(options):
    """Detached, L2 leaves no gradient in tier 1; joint, it does. L1 never in tier 2."""
    x = bag(20).double()
    for tier2_grad in ("detach", "joint"):
        model = model_of(**options, tier2_grad=tier2_grad, instance_loss=0.1)
        model.losses(x, 1, seeded(0))["tier2"].backward()
        reached = [p.grad is not None for p in model.reduction.parameters()]
        assert reached == [tier2_grad == "joint"] * len(reached)
        assert all(p.grad.abs().sum() > 0 for p in model.tier2.classifier.parameters())
        model.zero_grad()
        losses = model.losses(x, 1, seeded(0))
        sum(losses[name] for name in losses if name != "tier2").backward()
        assert all(p.grad is None for p in model.tier2.parameters())
        assert all(p.grad.abs().sum() > 0 for p in model.reduction.parameters())


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


@each_recipe
def test_one_backward_and_two_steps_are_the_alternate_updates(options):
    """Number for number, over several slides, with clipping and weight decay."""
    options = {**options, "instance_loss": 0.1, "dropout": 0.3}
    alternate, together = model_of(**options), model_of(**options)
    steps, both = optimisers(alternate), optimisers(together)
    for visit in range(6):
        x, label = 5 * bag(15, visit).double(), visit % 2

        losses = alternate.losses(x, label, seeded(visit))
        for name in ("tier1", "tier2"):  # the seed: first tier, then second
            alternate.zero_grad()
            others = [key for key in losses if key not in {"tier1", "tier2"}]
            sum(
                losses[key] for key in [name, *(others if name == "tier1" else [])]
            ).backward()
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
        bags = model.groups(n, seeded(seed))
        first = model.tier1(model.reduce(x), bags)
        tokens = model.tokens(first)
        logits, chosen, slide = dtfd_forward(model, x, listed(bags))
        torch.testing.assert_close(first.s, logits)
        assert torch.equal(tokens, first.h[torch.tensor(chosen)])
        torch.testing.assert_close(model.tier2(tokens.flatten(0, 1)), slide)


@each_recipe
@pytest.mark.parametrize("n_classes", [2, 3])
def test_a_shuffled_slide_scores_the_same_to_the_last_bit(options, n_classes):
    """By place or by content, whatever order the patches are listed in."""
    model = DMIA(D, n_classes, small(**options))
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


@each_recipe
def test_a_slide_pasted_to_itself_scores_the_same(options):
    """With one pseudo-bag every patch twice halves attention and changes no score."""
    model = model_of(**{**options, "n_pseudo_bags": 1, "k": 1})
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
    model = DMIA(D, 2, small(dropout=0.5)).train()
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
    model = DMIA(D, 2, small(dropout=0.5))
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
    one = DMIA(D, 2, small(), seed=5).state_dict()
    torch.manual_seed(2)
    two = DMIA(D, 2, small(), seed=5).state_dict()
    assert all(torch.equal(one[name], two[name]) for name in one)


@pytest.mark.parametrize("normaliser", NORMALISERS)
@pytest.mark.parametrize("attention", ["exponential", "gated", "margin"])
def test_bf16_and_huge_logits_stay_finite(attention, normaliser):
    """Under bf16 autocast with |z| up to 1e4: losses, gradients and outputs."""
    x = bag(33)
    for selection, score in (("afs", "attention"), ("maxmins", "cam")):
        options = small(
            attention=attention,
            normaliser=normaliser,
            selection=selection,
            score=score,
            instance_loss=0.1,
            key_loss=0.5,
            tier2="evidence" if attention == "margin" else "gated",
            tier1_share=0.5,
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


@pytest.mark.parametrize("options", [{}, BETTER], ids=["paper", "better"])
def test_bf16_is_close_to_float32(options):
    """Low precision is confined to the reduction."""
    model = DMIA(D, 2, small(**options))
    x = bag(33)
    full = model.predict(x, range(4))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = model.predict(x, range(4))
    assert not torch.equal(full.attention, half.attention)
    torch.testing.assert_close(
        half.probabilities, full.probabilities, atol=5e-3, rtol=0
    )
    torch.testing.assert_close(half.attention, full.attention, atol=2e-3, rtol=0)


def coords_of(n: int) -> Tensor:
    """Return n patches in one row."""
    return torch.stack([torch.arange(n), torch.zeros(n, dtype=torch.int64)], 1)


def planted(label: int, seed: int) -> Tensor:
    """Return 25 patches of which, in a positive slide, the first is marked."""
    x = torch.randn(25, D, generator=seeded(seed))
    if label:
        x[0, 0] = 6.0
    return x


@pytest.mark.parametrize(
    ("options", "visits"),
    [
        ({"selection": "afs", "instance_loss": 0.1}, 300),
        ({"selection": "maxmins", "instance_loss": 0.1}, 300),
        ({**BETTER, "key_patches": 1, "warmup": 0.5}, 600),
    ],
    ids=["afs", "maxmins", "better"],
)
def test_a_short_training_finds_the_planted_patch(options, visits):
    """New slides are told apart, and the mark has the highest attention and z."""
    options = PAPER.replace(dim=16, tier2_attention_dim=8, **options)
    model = DMIA(D, 2, options)
    steps = optimisers(model, lr=5e-3)
    for visit in range(visits):
        model.progress = visit / visits
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
    [
        {"k": 0},
        {"n_pseudo_bags": 0},
        {"tau": 0.0},
        {"selection": "mas"},
        {"heads": 2, "attention": "exponential"},
        {"heads": 2, "attention": "margin"},
        {"tier1_share": 1.1},
        {"tier1_share": -0.1},
        {"key_loss": -0.5},
        {"key_patches": 0},
        {"warmup": 1.5},
        {"tier2": "margin"},
    ],
)
def test_senseless_options_are_refused(wrong):
    """A k of 0 would select every patch; attention to logits has no free heads."""
    with pytest.raises(OptionError, match=next(iter(wrong))):
        DMIAOptions(**wrong)


LITERAL: dict[str, Any] = {
    "members": 1,
    "view": 1.0,
    "dim": 512,
    "residual_blocks": 0,
    "dropout": 0.0,
    "attention": "exponential",
    "heads": 1,
    "attention_dim": 128,
    "normaliser": "softmax",
    "tau": 1.0,
    "warmup": 0.0,
    "n_pseudo_bags": 4,
    "selection": "afs",
    "k": 1,
    "score": "attention",
    "instance_loss": 0.0,
    "key_loss": 0.0,
    "key_patches": 1,
    "tier2_grad": "detach",
    "tier2": "gated",
    "tier2_attention_dim": 128,
    "tier1_share": 0.0,
}
"""The seed's recipe, read literally: every option, none left to a default."""


def test_the_paper_preset_is_the_literal_recipe_field_by_field():
    """A new option needs its literal value here and in PAPER, whatever its default."""
    assert PAPER.facts() == LITERAL
    assert PRESETS["paper"] == PAPER


def test_the_other_presets_are_the_defaults_and_the_literal_recipe_with_a_loss():
    """`dmia` is what one gets without a preset."""
    assert set(PRESETS) == {"dmia", "dmia_l2", "paper"}
    assert PRESETS["dmia"] == DMIAOptions()
    assert PRESETS["dmia_l2"].facts() == {**LITERAL, "instance_loss": 0.1}


@pytest.mark.parametrize("n_classes", [2, 3])
def test_a_prediction_mixes_what_both_tiers_say_of_each_token(n_classes):
    """Share 0 is tier 2 alone, 1 tier 1 alone, and between a line for each token."""
    x, place = bag(21).double(), coords_of(21)
    for share in (0, 1, 0.3):
        model = model_of(n_classes, **{**BETTER, "tier1_share": share})
        said = model.predict(x, [1, 2, 3], place).logits
        drawn = each_of(model.seeded_groups(21, [1, 2, 3]))
        for row, bags in zip(said, drawn, strict=True):
            tokens = model.tokens(model.tier1(model.reduce(x), bags)).flatten(0, 1)
            first = model.classifier.linear(tokens)
            second = model.tier2.classifier.linear(tokens)
            mixed = {0: second, 1: first, 0.3: 0.7 * second + 0.3 * first}[share]
            torch.testing.assert_close(row, model.tier2.pool(mixed))
            if share == 0:
                torch.testing.assert_close(row, model.tier2(tokens))


def test_gated_tokens_are_judged_by_tier_2_alone():
    """There is no evidence of theirs that tier 1 could have a share in."""
    x = bag(21).double()
    recipe = {**BETTER, "tier2": "gated"}
    none, all_of_it = (model_of(**{**recipe, "tier1_share": w}) for w in (0, 1))
    assert torch.equal(none.predict(x, [0]).logits, all_of_it.predict(x, [0]).logits)


def test_what_only_one_tier_believes_in_weighs_less():
    """A token that both tiers call tumour decides over one that tier 1 alone does."""
    model = model_of(**{**BETTER, "tier1_share": 0.5})
    with torch.no_grad():
        for linear in (model.classifier.linear, model.tier2.classifier.linear):
            linear.weight.zero_()
            linear.bias.zero_()
        model.classifier.linear.weight[1, :2] = torch.tensor([10.0, 14.0])
        model.tier2.classifier.linear.weight[1, :2] = torch.tensor([10.0, -14.0])
    both, one = torch.eye(2, 8).double()
    o = model.verdict(torch.stack([both, one])[None])[0]
    torch.testing.assert_close(o, torch.tensor([0.0, 10.0]).double(), atol=1e-6, rtol=0)


def test_shares_change_no_loss():
    """Each tier is taught alone, whatever it counts for in the end."""
    x = bag(21).double()
    totals = [
        model_of(**{**BETTER, "tier1_share": share}).losses(x, 1, seeded(0))
        for share in (0, 0.5, 1)
    ]
    assert totals[0] == totals[1] == totals[2]


def test_the_key_loss_enters_with_its_weight():
    """Kappa times the loss of all instance logits; without weight it is not there."""
    x = bag(21).double()
    z = model_of(**BETTER).classifier.linear(model_of(**BETTER).reduction(x))
    for label in (0, 1):
        for kappa in (0.25, 2.0):
            model = model_of(**{**BETTER, "key_loss": kappa})
            found = model.bag_losses(x, label, seeded(0))["key"]
            torch.testing.assert_close(found, kappa * surely(z, label, 4))
    assert list(model_of(**{**BETTER, "key_loss": 0}).losses(x, 1, seeded(0))) == [
        "tier1",
        "tier2",
    ]


@pytest.mark.parametrize(
    ("progress", "sharpness"), [(0.0, SOFTEST), (0.1, 0.2), (0.5, 1.0), (0.9, 1.0)]
)
def test_tier_1_warms_up_with_the_training(progress, sharpness):
    """At a fifth of the warm-up tau is five times and kappa a fifth; later as stated."""
    x = bag(21).double()
    warming = model_of(**{**BETTER, "tau": 0.8, "warmup": 0.5}).train()
    softer = {"tau": 0.8 / sharpness, "key_loss": 0.5 * sharpness}
    stated = model_of(**{**BETTER, **softer}).losses(x, 1, seeded(0))
    before, last = warming.predict(x, [0]), warming.losses(x, 1, seeded(0))
    warming.progress = progress
    found = warming.losses(x, 1, seeded(0))
    torch.testing.assert_close(found["tier1"], stated["tier1"])
    torch.testing.assert_close(found["key"], stated["key"])
    assert found["tier2"] == last["tier2"]
    assert torch.equal(warming.predict(x, [0]).logits, before.logits)


def test_without_warm_up_progress_changes_nothing():
    """The literal recipe is the same from the first epoch to the last."""
    x, model = bag(21).double(), model_of().train()
    last = model.losses(x, 1, seeded(0))
    model.progress = 0.0
    assert model.losses(x, 1, seeded(0)) == last


def test_a_surely_normal_patch_has_no_weight_in_margin_attention_alone():
    """Among unsure patches exponential attention looks at it, margin attention not."""
    x = bag(9).double()
    for attention, drawn in (("exponential", True), ("margin", False)):
        model = model_of(attention=attention)
        with torch.no_grad():
            model.reduction.linear.weight.copy_(torch.eye(8, D))
            model.classifier.linear.weight.zero_()
            model.classifier.linear.weight[:, 0] = torch.tensor([1.0, -1.0])
        x[:, 0] = 0.0
        x[4, 0] = 20.0  # z = (20, -20) and the bias: surely of class 0
        weight = model.predict(x, [0], coords_of(9)).attention[4].item()
        assert (weight > 0.99) if drawn else (weight < 1e-9)
