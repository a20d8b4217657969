"""Scores and normalisers: formulas, limits, masks, huge scores."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from coverslip.learn.models.attention import (
    NORMALISERS,
    AttentionClassifier,
    EvidenceClassifier,
    ExponentialAttention,
    GatedAttention,
    MarginAttention,
    TanhAttention,
    entmax,
    margin,
    sigmoid,
    softmax,
    sparsemax,
)


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    """Return standard normal numbers of a seed."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def two_groups(n: int) -> torch.Tensor:
    """Return the membership of even and odd entries."""
    even = torch.arange(n) % 2 == 0
    return torch.stack([even, ~even])


@pytest.mark.parametrize("name", NORMALISERS)
@settings(max_examples=40, deadline=None)
@given(
    n=st.integers(2, 60),
    scale=st.sampled_from([1e-3, 1.0, 30.0, 1e4]),
    tau=st.sampled_from([0.1, 1.0, 10.0]),
    seed=st.integers(0, 10_000),
)
def test_weights_are_a_distribution_inside_the_mask(name, n, scale, tau, seed):
    """Not negative, zero outside, sum to one inside, never NaN, gradient neither."""
    mask = two_groups(n)
    e = (scale * drawn(n, seed=seed)).requires_grad_()
    weights = NORMALISERS[name](e, mask, tau)
    assert (weights >= 0).all()
    assert (weights[~mask] == 0).all()
    torch.testing.assert_close(weights.sum(-1), torch.ones(2), atol=1e-5, rtol=0)
    (weights * drawn(2, n, seed=seed + 1)).sum().backward()
    assert e.grad.isfinite().all()


@pytest.mark.parametrize("name", NORMALISERS)
def test_a_masked_row_equals_its_entries_alone(name):
    """What is masked has no influence at all."""
    e = 3 * drawn(11)
    mask = two_groups(11)
    weights = NORMALISERS[name](e, mask, 0.7)
    for row, inside in zip(weights, mask, strict=True):
        alone = NORMALISERS[name](e[inside], None, 0.7)
        torch.testing.assert_close(row[inside], alone)


@pytest.mark.parametrize("name", NORMALISERS)
def test_weights_follow_the_order_of_scores(name):
    """A higher score never has a lower weight."""
    e = drawn(30).sort().values
    assert (NORMALISERS[name](e, None, 1.0).diff() >= 0).all()


@pytest.mark.parametrize("name", NORMALISERS)
def test_a_high_temperature_is_mean_pooling(name):
    """Towards infinity all weigh alike."""
    weights = NORMALISERS[name](5 * drawn(8), None, 1e6)
    torch.testing.assert_close(weights, torch.full((8,), 1 / 8), atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", ["softmax", "entmax", "sparsemax"])
def test_a_low_temperature_is_the_largest_alone(name):
    """Towards zero the largest takes all."""
    e = drawn(8)
    weights = NORMALISERS[name](e, None, 1e-4)
    expected = torch.zeros(8)
    expected[e.argmax()] = 1
    torch.testing.assert_close(weights, expected)


def test_sigmoid_is_the_quotient_it_states():
    """sigmoid(e / tau) over its sum."""
    e = drawn(9)
    plain = torch.sigmoid(e / 0.5)
    torch.testing.assert_close(sigmoid(e, tau=0.5), plain / plain.sum())


def bisected(e: torch.Tensor, power: int) -> torch.Tensor:
    """Solve sum (e - t)_+^power = 1 by halving an interval."""
    low, high = e.max() - 1, e.max()
    for _ in range(100):
        t = (low + high) / 2
        above = (e - t).clamp(min=0).pow(power).sum() > 1
        low, high = (t, high) if above else (low, t)
    return (e - low).clamp(min=0).pow(power)


@pytest.mark.parametrize("n", [1, 2, 7, 300])
@pytest.mark.parametrize("scale", [0.01, 1.0, 20.0])
def test_entmax_and_sparsemax_are_exact(n, scale):
    """They equal the solution of their equation found by bisection."""
    e = scale * drawn(n, seed=n).double()
    tight = {"atol": 1e-9, "rtol": 0}
    torch.testing.assert_close(entmax(e), bisected(e / 2, 2), **tight)
    torch.testing.assert_close(sparsemax(e), bisected(e, 1), **tight)


@pytest.mark.parametrize("name", ["entmax", "sparsemax"])
def test_sparse_weights_have_true_gradients(name):
    """The slope equals finite differences, in the support and out of it."""
    e = (2 * drawn(6, seed=3).double()).requires_grad_()
    mask = two_groups(6)
    assert torch.autograd.gradcheck(lambda e: NORMALISERS[name](e, mask, 1.0), (e,))


def test_entmax_leaves_irrelevant_entries_out():
    """Exact zeros, which softmax never gives."""
    e = torch.tensor([4.0, 3.5, -3.0, -5.0])
    assert (entmax(e) == 0).tolist() == [False, False, True, True]
    assert (softmax(e) > 0).all()


def test_weights_of_half_precision_scores_are_float32():
    """Scores may come in bf16; weights do not."""
    for normalise in NORMALISERS.values():
        assert normalise(drawn(5).bfloat16(), None, 1.0).dtype == torch.float32


def test_exponential_scores_are_logsumexp_of_the_logits():
    """e_j = log sum_c exp z_jc, with exponentials taken in float64 as reference."""
    z = drawn(6, 3)
    e = ExponentialAttention()(z)
    torch.testing.assert_close(e[0].double(), z.double().exp().sum(1).log())


def test_exponential_attention_is_shi_et_al_equation_5():
    """alpha_j = sum_c exp z_jc / sum_i sum_c exp z_ic."""
    z = drawn(6, 3)
    evidence = z.exp().sum(1)
    torch.testing.assert_close(
        softmax(ExponentialAttention()(z))[0], evidence / evidence.sum()
    )


def log_odds(z: torch.Tensor) -> list[float]:
    """Return the one-sided evidence of each row of logits (n, C), written out."""
    found = []
    for row in z.double():
        if len(row) == 2:
            found.append((row[1] - row[0]).item())
            continue
        p = row.exp() / row.exp().sum()
        found.append(max((one / (1 - one)).log().item() for one in p))
    return found


@pytest.mark.parametrize("n_classes", [2, 3, 5])
def test_margin_scores_are_log_odds_of_the_evidence(n_classes):
    """Of two classes for the second, of more for the best: log p / (1 - p)."""
    z = 3 * drawn(20, n_classes)
    e = MarginAttention()(z)
    assert e.shape == (1, 20)
    expected = torch.tensor(log_odds(z))
    torch.testing.assert_close(e[0], expected, atol=1e-4, rtol=1e-5)


def test_margin_attention_is_one_sided():
    """A surely normal patch has no weight; exponential attention gives it nearly all."""
    z = torch.tensor([[12.0, -12.0], [0.0, 0.0], [-1.0, 2.0]])
    one_sided = softmax(MarginAttention()(z))[0]
    either_side = softmax(ExponentialAttention()(z))[0]
    assert one_sided[0] < 1e-9
    assert either_side[0] > 0.99
    assert one_sided.argmax() == 2
    assert one_sided[2] > 0.9


def test_of_three_classes_margin_attention_favours_what_is_sure_of_any():
    """Sure of the first, of the second, undecided between two, undecided at all."""
    z = torch.tensor([[9.0, 0.0, 0.0], [0.0, 9.0, 0.0], [9.0, 9.0, 0.0], [0.0] * 3])
    weights = softmax(MarginAttention()(z))[0]
    torch.testing.assert_close(weights[0], weights[1])
    assert weights[:2].sum() > 0.99
    assert weights[2] > weights[3]


@pytest.mark.parametrize("n_classes", [2, 3])
def test_a_constant_on_all_logits_leaves_margins_unchanged(n_classes):
    """Log odds know no common level, patch by patch."""
    z = drawn(9, n_classes).double()
    torch.testing.assert_close(margin(z + 100 * drawn(9, 1).double()), margin(z))


@pytest.mark.parametrize("n_classes", [2, 3])
def test_margins_of_huge_logits_have_finite_slopes(n_classes):
    """Ties and 1e4 alike, in half precision too."""
    z = torch.zeros(4, n_classes)
    z[0, 0], z[1, 1], z[2, 0] = 1e4, 1e4, -1e4
    z.requires_grad_()
    e = margin(z)
    e.sum().backward()
    assert e.isfinite().all()
    assert z.grad.isfinite().all()
    half = MarginAttention()(z.detach().bfloat16())
    assert half.dtype == torch.float32
    assert half.isfinite().all()


def test_tanh_and_gated_scores_are_their_formulas():
    """The scores of each head, written out."""
    h = drawn(5, 4)
    tanh, gated = TanhAttention(4, 6, heads=2), GatedAttention(4, 6, heads=2)
    for layer in (tanh, gated):
        v = torch.tanh(h @ layer.tanh.weight.T + layer.tanh.bias)
        if layer is gated:
            v = v * torch.sigmoid(h @ gated.gate.weight.T + gated.gate.bias)
        expected = v @ layer.score.weight.T + layer.score.bias
        torch.testing.assert_close(layer(h), expected.T)


def test_attention_classifier_pools_each_slide_of_a_batch_alone():
    """A batch (R, T, dim) gives what each (T, dim) gives; order of tokens is free."""
    layer = AttentionClassifier(4, 3, hidden=5, heads=2)
    tokens = drawn(6, 7, 4)
    batched = layer(tokens)
    for row, one in zip(batched, tokens, strict=True):
        torch.testing.assert_close(row, layer(one))
        torch.testing.assert_close(row, layer(one.flip(0)))
    beta = softmax(layer.attention(tokens[0])).mean(0)
    expected = layer.classifier.linear(beta @ tokens[0])
    torch.testing.assert_close(batched[0], expected)


def said_of(layer: EvidenceClassifier, tokens: torch.Tensor) -> torch.Tensor:
    """Return sum_t beta_t z_t of tokens (T, dim), written out: (C,)."""
    weight, bias = layer.classifier.linear.weight, layer.classifier.linear.bias
    z = [
        torch.stack([(w * t).sum() + b for w, b in zip(weight, bias, strict=True)])
        for t in tokens
    ]
    raised = [torch.tensor(e / layer.tau).exp() for e in log_odds(torch.stack(z))]
    return sum(r * one for r, one in zip(raised, z, strict=True)) / sum(raised)


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("count", [1, 2, 7])
@pytest.mark.parametrize("tau", [1.0, 0.4])
def test_the_evidence_classifier_is_a_plain_loop(n_classes, count, tau):
    """Each slide of a batch alone, and the order of tokens is free."""
    layer = EvidenceClassifier(4, n_classes, tau).double()
    tokens = 3 * drawn(6, count, 4).double()
    batched = layer(tokens)
    assert batched.shape == (6, n_classes)
    for row, one in zip(batched, tokens, strict=True):
        torch.testing.assert_close(row, layer(one))
        torch.testing.assert_close(row, layer(one.flip(0)))
        torch.testing.assert_close(row, said_of(layer, one), atol=1e-6, rtol=1e-6)


def transparent(n_classes: int) -> EvidenceClassifier:
    """Return one whose logits are the tokens themselves."""
    layer = EvidenceClassifier(n_classes, n_classes)
    with torch.no_grad():
        layer.classifier.linear.weight.copy_(torch.eye(n_classes))
        layer.classifier.linear.bias.zero_()
    return layer


@pytest.mark.parametrize(
    ("telling", "idle"),
    [([-6.0, 6.0], [0.0, -9.0]), ([0.0, 25.0, 0.0], [3.0, 3.0, 3.0])],
)
def test_tokens_without_evidence_add_next_to_nothing(telling, idle):
    """A hundred normal tokens leave what the telling one says, where a mean would not."""
    layer = transparent(len(telling))
    alone = layer(torch.tensor([telling]))
    among = layer(torch.tensor([telling] + 100 * [idle]))
    torch.testing.assert_close(among, alone, atol=1e-3, rtol=0)


def test_the_evidence_of_a_slide_is_between_mean_and_maximum():
    """A smooth maximum of the tokens' own; of normal tokens alone it stays normal."""
    layer = transparent(2)
    z = 2 * drawn(9, 2)
    o = margin(layer(z))
    assert margin(z).mean() < o < margin(z).max()
    assert margin(layer(torch.tensor([[5.0, 0.0], [7.0, 0.0]]))) < -5


def test_temperature_leads_the_evidence_classifier_from_maximum_to_mean():
    """Towards 0 the token with the most evidence speaks alone, towards infinity all."""
    z = 2 * drawn(9, 2)
    layer = transparent(2)
    layer.tau = 1e-4
    torch.testing.assert_close(layer(z), z[margin(z).argmax()])
    layer.tau = 1e6
    torch.testing.assert_close(layer(z), z.mean(0), atol=1e-4, rtol=0)


def test_dropout_of_the_evidence_classifier_is_the_generators():
    """Without one there is none; with one it is drawn from it."""
    layer, tokens = EvidenceClassifier(8, 2, dropout=0.5), drawn(5, 8)
    torch.testing.assert_close(layer(tokens), layer(tokens), atol=0, rtol=0)
    draws = [layer(tokens, torch.Generator().manual_seed(s)) for s in (1, 1, 2)]
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[1], draws[2])


@pytest.mark.parametrize("name", ["entmax", "sparsemax"])
@pytest.mark.parametrize("n", [3, 100, 5000])
def test_one_dominating_score_takes_all_exactly(name, n):
    """Rounding gives no trace of weight to far or masked entries of large slides."""
    for place in range(3):
        e = -50 + drawn(n, seed=place)
        e[place] = 50.0
        weights = NORMALISERS[name](e, torch.arange(n) != n - 4, 1.0)
        assert weights.nonzero().tolist() == [[place]]
        assert weights[place].item() == pytest.approx(1)
