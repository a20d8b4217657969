"""Models are built by name, and each keeps every promise of the protocol."""

import pytest
import torch
from torch import Tensor

from coverslip.errors import OptionError
from coverslip.learn.checkpoint import ModelCard, load_model, save_model
from coverslip.learn.models.dmia_options import PRESETS, DMIAOptions
from coverslip.learn.models.model import MILModel
from coverslip.learn.models.zoo import MODELS, build, entry
from coverslip.options import Options

D = 5
TWO_ONLY = {"monotone"}
"""Models that know two classes and refuse more."""
KINDS = [(name, c) for name in MODELS for c in (2, 3) if c == 2 or name not in TWO_ONLY]

each_kind = pytest.mark.parametrize(("name", "n_classes"), KINDS)
each_model = pytest.mark.parametrize("name", MODELS)


def seeded(seed: int) -> torch.Generator:
    """Return a CPU generator of that seed."""
    return torch.Generator().manual_seed(seed)


def bag(n: int, seed: int = 0) -> Tensor:
    """Return n patches' features."""
    return 2 * torch.randn(n, D, generator=seeded(seed))


def small_options(name: str) -> Options:
    """Return options of a small model; a committee's two members see everything."""
    more = {"members": 2, "view": 1.0} if name == "dmia" else {}
    return entry(name).options(dim=16, **more)


def small(name: str, n_classes: int = 2, seed: int = 0) -> MILModel:
    """Return a small model."""
    return build(name, D, n_classes, small_options(name), seed)


def total(model: MILModel, x: Tensor, label: int, seed: int = 0) -> Tensor:
    """Return the sum of a bag's losses."""
    return torch.stack(list(model.losses(x, label, seeded(seed)).values())).sum()


def test_build_passes_everything_on():
    """Name, sizes, options and seed arrive in the model."""
    options = DMIAOptions(dim=8, attention="tanh")
    model = build("dmia", 5, 3, options, seed=4)
    assert (model.in_dim, model.n_classes, model.options) == (5, 3, options)


@each_model
def test_weights_come_from_the_seed_alone(name):
    """Same seed, same weights, whatever the global random state, which stays as it is."""
    torch.manual_seed(1)
    before = torch.get_rng_state()
    state = small(name, seed=4).state_dict()
    assert torch.equal(before, torch.get_rng_state())
    torch.manual_seed(2)
    same, other = (small(name, seed=seed).state_dict() for seed in (4, 5))
    assert all(torch.equal(state[key], same[key]) for key in state)
    assert any(not torch.equal(state[key], other[key]) for key in state)


@each_kind
@pytest.mark.parametrize("n", [1, 2, 9])
def test_finite_gradients_reach_every_parameter_once(name, n_classes, n):
    """Each is in exactly one optimised module, and bags of any size teach them."""
    model = small(name, n_classes)
    listed = [
        id(parameter)
        for modules in model.optimised().values()
        for module in modules
        for parameter in module.parameters()
    ]
    assert sorted(listed) == sorted(id(p) for p in model.parameters())
    for label in range(n_classes):
        total(model, bag(n), label).backward()
    for key, parameter in model.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.isfinite().all(), key


@each_kind
@pytest.mark.parametrize("n", [1, 2, 9])
def test_what_is_said_is_a_distribution(name, n_classes, n):
    """Attention sums to one, and so do the slide's and each patch's probabilities."""
    model = small(name, n_classes)
    said = model.predict(bag(n), [0, 1])
    assert len(said.logits) in {1, 2}
    assert (said.attention >= 0).all()
    one = torch.tensor(1.0)
    torch.testing.assert_close(said.attention.sum(), one)
    torch.testing.assert_close(said.probability.sum(), one)
    assert said.patch_probabilities.shape == (n, n_classes)
    torch.testing.assert_close(said.patch_probabilities.sum(1), torch.ones(n))


@each_kind
def test_the_order_of_patches_does_not_matter(name, n_classes):
    """A shuffled slide has the same score, and its map is shuffled alike."""
    model, x = small(name, n_classes), bag(30)
    shuffled = torch.randperm(30, generator=seeded(1))
    one, two = model.predict(x, [0, 1]), model.predict(x[shuffled], [0, 1])
    assert torch.equal(one.logits, two.logits)
    assert torch.equal(one.attention[shuffled], two.attention)
    assert torch.equal(one.patch_probabilities[shuffled], two.patch_probabilities)


@each_model
def test_nothing_but_the_slide_and_the_generator_matters(name):
    """Neither slides seen before, nor training mode, nor global chance."""
    model, x = small(name), bag(12)
    torch.manual_seed(1)
    before, loss = model.eval().predict(x, [0]), total(model.train(), x, 1, seed=3)
    torch.manual_seed(2)
    model.predict(bag(40, seed=9), [0])
    total(model, bag(40, seed=9), 0)
    state = torch.get_rng_state()
    assert torch.equal(model.predict(x, [0]).logits, before.logits)
    assert torch.equal(total(model, x, 1, seed=3), loss)
    assert torch.equal(state, torch.get_rng_state())


@each_model
def test_features_are_standardised_first(name):
    """Raw features with their statistics are standardised features without."""
    model, x = small(name), bag(12)
    place = torch.stack([torch.arange(12), torch.zeros(12)], 1)
    expected, loss = model.assess(x, [0]), model.bag_losses(x, 1, seeded(0))
    mean, std = torch.linspace(-1, 1, D), torch.linspace(1, 4, D)
    model.standardise.set(mean, std)
    raw = x * std + mean
    said = model.predict(raw, [0], place).logits
    torch.testing.assert_close(said, expected.logits)
    torch.testing.assert_close(model.losses(raw, 1, seeded(0), place), loss)


@each_kind
@pytest.mark.parametrize("sizes", [(9, 40, 17), (1, 30, 8), (12,)])
def test_a_ragged_batch_has_the_mean_of_the_bags_losses(name, n_classes, sizes):
    """Losses and gradients of several bags in one call are those of each alone."""
    model = small(name, n_classes).double()
    bags = [bag(n, seed=n).double() for n in sizes]
    labels = [i % n_classes for i in range(len(sizes))]
    chances = [seeded(i) for i in range(len(sizes))]
    together = model.batch_losses(torch.cat(bags), sizes, labels, chances)
    torch.stack(list(together.values())).sum().backward()
    slopes = {key: p.grad.clone() for key, p in model.named_parameters()}
    model.zero_grad()
    totals = dict.fromkeys(together, 0.0)
    for number, (x, label) in enumerate(zip(bags, labels, strict=True)):
        alone = model.bag_losses(x, label, seeded(number))
        (torch.stack(list(alone.values())).sum() / len(bags)).backward()
        for key, loss in alone.items():
            totals[key] += loss.item() / len(bags)
    assert {key: loss.item() for key, loss in together.items()} == pytest.approx(totals)
    for key, parameter in model.named_parameters():
        torch.testing.assert_close(slopes[key], parameter.grad)


@each_model
def test_half_precision_stays_in_the_reduction(name):
    """Features in float16 and training in bf16 give float32 losses near the true ones."""
    model, x = small(name), bag(12).half()
    full = total(model, x.float(), 1)
    assert torch.equal(total(model, x, 1), full)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = total(model, x, 1)
    assert rounded.dtype == torch.float32
    torch.testing.assert_close(rounded, full, atol=0.1, rtol=0.1)


@each_kind
def test_a_model_comes_back_from_disk_as_it_was(name, n_classes, tmp_path):
    """Options, statistics and weights survive, to the last bit."""
    model = small(name, n_classes, seed=3)
    model.standardise.set(torch.full((D,), 0.5), torch.full((D,), 2.0))
    options = small_options(name).facts()
    classes = tuple("abc"[:n_classes])
    card = ModelCard(name, options, D, classes, features={})
    again, _ = load_model(save_model(tmp_path, model, card))
    assert type(again) is type(model)
    for said, before in zip(again.predict(bag(9), [0]).__dict__.values(),
                            model.predict(bag(9), [0]).__dict__.values(), strict=True):  # fmt: skip
        assert torch.equal(said, before)


@each_kind
def test_a_few_bags_can_be_learnt(name, n_classes):
    """Six bags whose class is told by two of eight patches are soon all right."""
    model = small(name, n_classes).train()
    bags = [(bag(8, seed), seed % n_classes) for seed in range(6)]
    for x, label in bags:
        x[:2, label] += 8
    steps = [
        torch.optim.Adam([p for m in modules for p in m.parameters()], lr=1e-2)
        for modules in model.optimised().values()
    ]
    for epoch in range(15):
        for x, label in bags:
            model.zero_grad()
            total(model, x, label, seed=epoch).backward()
            for step in steps:
                step.step()
    for x, label in bags:
        assert model.predict(x, [0, 1, 2]).probability.argmax() == label


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_train_every_parameter(preset):
    """No preset has weights that no loss reaches."""
    model = build("dmia", 5, 2, PRESETS[preset])
    total(model, bag(6), 1).backward()
    assert all(p.grad is not None for p in model.parameters())


def test_a_wrong_name_lists_the_right_ones():
    """The message is the remedy."""
    with pytest.raises(OptionError, match="'dima' is unknown: choose from dmia"):
        build("dima", 5, 2)


def test_options_of_another_model_are_refused():
    """Options belong to their model."""
    with pytest.raises(OptionError, match="takes DMIAOptions, not Options"):
        build("dmia", 5, 2, Options())


@each_model
def test_one_class_is_refused(name):
    """A classifier needs two."""
    with pytest.raises(OptionError, match="n_classes=1"):
        build(name, 5, 1)


@pytest.mark.parametrize("name", sorted(TWO_ONLY))
def test_models_of_two_classes_refuse_a_third(name):
    """The list above is the truth."""
    with pytest.raises(OptionError, match="n_classes=3"):
        build(name, 5, 3)
