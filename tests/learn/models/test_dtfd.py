"""DTFD-MIL is Zhang et al.'s two tiers, written out pseudo-bag by pseudo-bag."""

import math

import numpy as np
import pytest
import torch

from coverslip.learn.models.dmia_options import DMIAOptions, DTFDOptions
from coverslip.learn.models.dtfd import DTFD
from loops import D, bag, cross_entropy, grown, linear, near, numbers, reduced, softmax

DISTILLS = ["afs", "maxs", "maxmins", "mas"]


def small(n_classes: int = 2, **options: object) -> DTFD:
    """Return a small model."""
    options = DTFDOptions(dim=8, residual_blocks=1, attention_dim=5, **options)
    return grown(DTFD(D, n_classes, options, seed=3))


def attended(scorer, rows) -> np.ndarray:
    """Return the weights that gated attention gives rows, written out."""
    scores = []
    for h in rows:
        v = [math.tanh(t) for t in linear(scorer.tanh, h)]
        u = [1 / (1 + math.exp(-t)) for t in linear(scorer.gate, h)]
        inner = [a * b for a, b in zip(v, u, strict=True)]
        scores.append(linear(scorer.score, inner)[0])
    return softmax(scores)


def looped(model: DTFD, x, groups, distill: str, k: int):
    """Return (logits of each pseudo-bag, logits of the slide) by a loop."""
    weight = numbers(model.classifier.linear.weight)
    first, tokens = [], []
    for group in groups:
        h = reduced(model, x[group])
        alpha = attended(model.attention, h)
        f = sum(a * row for a, row in zip(alpha, h, strict=True))
        first.append(linear(model.classifier.linear, f))
        cam = [softmax(a * (weight @ row))[-1] for a, row in zip(alpha, h, strict=True)]
        scores = alpha if distill == "mas" else cam
        ranked = sorted(range(len(group)), key=lambda j: -scores[j])
        low = ranked[-k:] if distill == "maxmins" else []
        tokens += [f] if distill == "afs" else [h[j] for j in ranked[:k] + low]
    beta = attended(model.tier2.attention, tokens)
    g = sum(b * t for b, t in zip(beta, tokens, strict=True))
    return first, linear(model.tier2.classifier.linear, g)


@pytest.mark.parametrize("distill", DISTILLS)
@pytest.mark.parametrize("k", [1, 2])
def test_both_tiers_are_a_plain_loop(distill, k):
    """Losses of both tiers and the slide's logits as written out."""
    model, x = small(distill=distill, k=k, n_pseudo_bags=3), bag(17)
    drawn = model.seeded_groups(17, [5])
    rows = zip(drawn.patches[0], drawn.inside[0], strict=True)
    groups = [patches[inside].tolist() for patches, inside in rows]
    first, o = looped(model, x, groups, distill, k)
    near(model.assess(x, [5]).logits, [o])
    losses = model.bag_losses(x, 1, torch.Generator().manual_seed(5))
    assert list(losses) == ["tier1", "tier2"]
    near(losses["tier1"], np.mean([cross_entropy(s, 1) for s in first]))
    near(losses["tier2"], cross_entropy(o, 1))


def test_nothing_is_left_to_dmias_defaults():
    """DMIA's defaults may improve: DTFD-MIL stays what was published."""
    assert DTFDOptions().as_dmia().model_fields_set == set(DMIAOptions.model_fields)


def test_attention_and_patches_are_tier_1s():
    """Gated attention over the whole slide; the classifier applied to each patch."""
    model, x = small(3), bag(9)
    h, said = reduced(model, x), model.assess(x, [0])
    near(said.attention, attended(model.attention, h))
    each = [softmax(linear(model.classifier.linear, row)) for row in h]
    near(said.patch_probabilities, each)


@pytest.mark.parametrize("distill", DISTILLS)
def test_tier_2_does_not_teach_tier_1(distill):
    """Its loss has a gradient in tier 2 only."""
    model = small(distill=distill)
    generator = torch.Generator().manual_seed(0)
    model.bag_losses(bag(9), 1, generator)["tier2"].backward()
    tiers = model.optimised()
    grads = {
        name: [p.grad for module in modules for p in module.parameters()]
        for name, modules in tiers.items()
    }
    assert all(grad is None for grad in grads["tier1"])
    assert all(grad is not None for grad in grads["tier2"])
