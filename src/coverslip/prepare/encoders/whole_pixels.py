"""Pixels that lose nothing in bfloat16: whole numbers, normalised by the weights.

A normalised pixel has 24 bits, bfloat16 keeps 8 of them. Where a patch is nearly one
colour, all its pixels are rounded the same way, and nothing further on averages that
out: of ResNet-50's error in bf16 and int8 this is the largest part. A pixel less a whole
number, -256 < x - c < 256, has 8 bits and stays as it is; what normalising does
beside it goes into the first convolution, of weights W and biases b:

    W * (x - m) / s + b  =  W' * (x - c) + b',   W' = W / s,  b' = b + sum(W (c - m) / s)

for a colour's mean m and deviation s, in grey levels, and c = round(m). Exact but for
padding by zeros: what is beyond the border is then c in place of m, half a level off.
"""

import copy
from dataclasses import replace

import torch
from torch import Tensor, nn

from coverslip.prepare.encoders.card import Card

_LEVELS = 255
_SAME = 0.01
"""How far, relative, the features of an image of noise may move: padding's half level."""


def on_whole_pixels(card: Card, module: nn.Module) -> tuple[Card, nn.Module]:
    """Have a network's first convolution normalise, so that its pixels may be whole.

    Args:
        card: Says what the pixels become before the network.
        module: Maps float images (B, 3, input_size, input_size) to (B, dim). It stays
            as it is, and shares all other weights with the one returned.

    Returns:
        A card whose pixels become x - c, and the network that takes them; card and
        module as they are given where no convolution is the only one to see the image.
    """
    shape = 1, 3, card.input_size, card.input_size
    image = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    mean, std = (torch.tensor(each).view(1, 3, 1, 1) for each in (card.mean, card.std))
    seen, features = _first_convolution(module.eval(), (image - mean) / std)
    if seen is None:
        return card, module
    middle = (_LEVELS * mean).round() / _LEVELS
    tensors = *module.parameters(), *module.buffers()
    whole = copy.deepcopy(module, {id(tensor): tensor for tensor in tensors})
    convolution = whole.get_submodule(seen)
    if not isinstance(convolution, nn.Conv2d):
        raise TypeError(f"{seen}: no convolution in the copy")
    with torch.no_grad():
        weight = convolution.weight / std
        moved = (weight * (middle - mean)).sum(dim=(1, 2, 3))
        if convolution.bias is not None:
            moved = moved + convolution.bias
        convolution.weight = nn.Parameter(weight / _LEVELS, requires_grad=False)
        convolution.bias = nn.Parameter(moved, requires_grad=False)
        again = whole((image - middle) * _LEVELS)
    if (again - features).norm() > _SAME * features.norm():
        return card, module
    red, green, blue = middle.flatten().tolist()
    return replace(card, mean=(red, green, blue), std=(1 / _LEVELS,) * 3), whole


def _first_convolution(module: nn.Module, image: Tensor) -> tuple[str | None, Tensor]:
    """Return the name of the convolution that is given the image, and the features."""
    names: list[str] = []
    hooks = [
        part.register_forward_pre_hook(
            lambda _, given, name=name: (
                names.append(name) if given[0] is image else None
            )
        )
        for name, part in module.named_modules()
        if isinstance(part, nn.Conv2d) and part.groups == 1
    ]
    try:
        with torch.no_grad():
            features: Tensor = module(image)
    finally:
        for hook in hooks:
            hook.remove()
    return (names[0] if len(names) == 1 else None), features
