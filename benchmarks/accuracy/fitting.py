"""Train small models on small bags: one at a time, or many of one kind at once.

The recipe is `coverslip.learn.training`'s: bag by bag, gradients clipped module by
module, Adam, a rate that falls once; here the last epoch is the model, and nothing is
looked at on the way. On bags of a few patches nearly all time goes into calling small
operations, so `fit_together` lays the weights of K models side by side and calls each
operation once for all of them (`torch.func.vmap`): 20 folds take the time of three.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap

from coverslip.learn.models.model import MILModel
from coverslip.learn.models.pseudobags import canonical_order
from coverslip.learn.models.zoo import build, entry
from coverslip.learn.train_options import TrainOptions
from coverslip.learn.training import learning_rate

BETAS = (0.9, 0.999)
EPSILON = 1e-8
NARROW = {"dim": 64, "attention_dim": 64, "tier2_attention_dim": 64, "landmarks": 8}
"""Widths of every model that has them: the bags are small. The rest are its defaults."""


@dataclass(frozen=True, eq=False)
class Example:
    """A bag and its class.

    Attributes:
        x: Features (n, D), float32, in canonical order.
        label: The class's number.
    """

    x: Tensor
    label: int


def example(x: Tensor, label: int) -> Example:
    """Return a labelled bag from features (n, D) in any order."""
    x = x.float()
    return Example(x[canonical_order(x)], label)


def small(name: str, in_dim: int, seed: int) -> MILModel:
    """Make a model of two classes with its default options, but narrow."""
    options = entry(name).options
    widths = {key: w for key, w in NARROW.items() if key in options.model_fields}
    return build(name, in_dim, 2, options(**widths), seed)


def standardise(model: MILModel, examples: Sequence[Example]) -> None:
    """Give a model the mean and deviation of its training patches."""
    patches = torch.cat([item.x for item in examples]).double()  # (N, D)
    model.standardise.set(patches.mean(0), patches.std(0, correction=0))


def order(options: TrainOptions, epoch: int, n: int) -> list[int]:
    """Return the order in which an epoch visits n bags."""
    return torch.randperm(n, generator=_chance(options.seed, epoch, 0)).tolist()


def _chance(seed: int, epoch: int, bag: int) -> torch.Generator:
    return torch.Generator().manual_seed((seed * 1_009 + epoch) * 100_003 + bag)


def fit(
    model: MILModel,
    examples: Sequence[Example],
    options: TrainOptions,
    part: Sequence[int] | None = None,
) -> MILModel:
    """Train one model, in place, for all epochs.

    Args:
        model: The model; its standardisation is set already.
        examples: Bags.
        options: Epochs, rates, clipping and seed.
        part: Numbers of the bags to train on; all without.
    """
    wanted = set(range(len(examples)) if part is None else part)
    optimisers = [
        torch.optim.Adam(
            [p for module in entry for p in module.parameters()],
            weight_decay=options.weight_decay,
            fused=True,
        )
        for entry in model.optimised().values()
    ]
    model.train()
    for epoch in range(options.epochs):
        model.progress = epoch / options.epochs
        for optimiser in optimisers:
            optimiser.param_groups[0]["lr"] = learning_rate(options, epoch)
        for i in order(options, epoch, len(examples)):
            if i not in wanted:
                continue
            model.zero_grad()
            loss = _loss(model, examples[i], _chance(options.seed, epoch, i + 1))
            loss.backward()  # type: ignore[no-untyped-call] # torch's own
            model.clip(options.clip)
            for optimiser in optimisers:
                optimiser.step()
    return model.eval()


def fit_together(
    models: Sequence[MILModel],
    rates: Sequence[float],
    examples: Sequence[Example],
    parts: Tensor,
    options: TrainOptions,
) -> None:
    """Train K models of one kind, in place, each as `fit` would train it alone.

    Args:
        models: The members; their standardisation is set already.
        rates: Each member's learning rate.
        examples: N bags.
        parts: Which member trains on which bag, bool (K, N).
        options: Epochs, clipping, decay and seed; of its rate only the fall counts.
    """
    stack = _Stack(models, options)
    for epoch in range(options.epochs):
        fall = learning_rate(options, epoch) / options.lr
        now = torch.tensor(rates)[:, None] * fall  # (K, 1)
        stack.progress(epoch / options.epochs)
        for i in order(options, epoch, len(examples)):
            if parts[:, i].any():
                chance = _chance(options.seed, epoch, i + 1)
                gradient = stack.gradient(examples[i], chance)  # (K, P)
                stack.step(gradient, now, parts[:, i, None].float())
    stack.hand_back()


def _loss(model: MILModel, item: Example, chance: torch.Generator) -> Tensor:
    x = model.standardise(item.x)  # (n, D)
    losses = model.bag_losses(x, item.label, chance)
    return torch.stack(list(losses.values())).sum()  # ()


class _Loss(nn.Module):
    """A model whose forward is its loss, as torch.func wants it."""

    def __init__(self, model: MILModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, item: Example, chance: torch.Generator) -> Tensor:
        """Return the loss of one bag, ()."""
        return _loss(self.model, item, chance)


class _Stack:
    """The weights of K models as one matrix (K, P); each parameter is a view of it."""

    def __init__(self, models: Sequence[MILModel], options: TrainOptions) -> None:
        self._options = options
        self._models = [_Loss(model).train() for model in models]
        stacked, self._buffers = stack_module_state(self._models)
        self._weights = {name: w.detach() for name, w in stacked.items()}
        self._leaves: dict[str, Tensor] = {}
        self._abreast = models[0].abreast
        self._modules: list[list[slice]] = []
        parts = self._names()
        self._flat = torch.cat(
            [stacked[name].detach().flatten(1) for part in parts for name in part], 1
        )
        end = 0
        for part in parts:
            self._modules.append([])
            for name in part:
                columns = slice(end, end := end + stacked[name][0].numel())
                self._modules[-1].append(columns)
                leaf = self._flat[:, columns].view(stacked[name].shape)
                self._leaves[name] = leaf.requires_grad_()
        self._first = torch.zeros_like(self._flat)  # (K, P)
        self._second = torch.zeros_like(self._flat)  # (K, P)
        self._steps = torch.zeros(len(models), 1)  # (K, 1)

    def _names(self) -> list[list[str]]:
        """Return the names of each trained module's parameters."""
        one = self._models[0]
        names = {id(p): name for name, p in one.named_parameters()}
        return [
            [names[id(p)] for p in module.parameters()]
            for entry in one.model.optimised().values()
            for module in entry
        ]

    def progress(self, share: float) -> None:
        """Tell every member how much of the training is done."""
        for member in self._models:
            member.model.progress = share

    def gradient(self, item: Example, chance: torch.Generator) -> Tensor:
        """Return the gradient of every member's loss of one bag, (K, P)."""

        def loss(weights: dict[str, Tensor], buffers: dict[str, Tensor]) -> Tensor:
            result: Tensor = functional_call(
                self._models[0], (weights, buffers), (item, chance)
            )
            return result

        weights = self._weights | self._leaves
        losses = vmap(loss, randomness="same")(weights, self._buffers)  # (K,)
        slopes = torch.autograd.grad(
            losses.sum(), tuple(self._leaves.values()), materialize_grads=True
        )
        return torch.cat([slope.flatten(1) for slope in slopes], dim=1)

    @torch.no_grad()
    def step(self, gradient: Tensor, rates: Tensor, active: Tensor) -> None:
        """Clip the gradient (K, P), then move the active members by Adam.

        Rates are (K, 1); so is `active`, 1 or 0.
        """
        for module in self._modules:
            parts = [
                gradient[:, columns].unflatten(1, (self._abreast, -1))
                for columns in module
            ]  # (K, abreast, p) each, views of the gradient
            norm = torch.stack([part.norm(dim=2) for part in parts]).norm(dim=0)
            scale = (self._options.clip / (norm + 1e-6)).clamp(max=1)  # (K, abreast)
            for part in parts:
                part.mul_(scale.unsqueeze(2))
        gradient.add_(self._flat, alpha=self._options.weight_decay)
        self._steps += active
        steps = self._steps.clamp(min=1)  # (K, 1)
        self._first.lerp_(gradient, (1 - BETAS[0]) * active)
        self._second.lerp_(gradient.square_(), (1 - BETAS[1]) * active)
        scale = (1 - BETAS[1] ** steps).sqrt()  # (K, 1)
        spread = self._second.sqrt().div_(scale).add_(EPSILON)  # (K, P)
        reach = active * rates / (1 - BETAS[0] ** steps)  # (K, 1)
        self._flat.addcdiv_(self._first * reach, spread, value=-1)

    @torch.no_grad()
    def hand_back(self) -> None:
        """Give each member its weights."""
        for k, member in enumerate(self._models):
            for name, weight in member.named_parameters():
                if name in self._leaves:
                    weight.copy_(self._leaves[name][k])
            member.eval()
