"""Encoders of other packages: entry points of the group `coverslip.encoders`.

    [project.entry-points."coverslip.encoders"]
    mynet = "mypackage.coverslip:ENCODER"

where ENCODER is a pair: a `Card` named `mynet`, and a function that is given the path
after --weights (or None) and returns the loaded card and the network. Nothing of such a
package is imported until its encoder is asked for, or all are listed. (No torch here.)
"""

from collections import defaultdict
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from coverslip.errors import EncoderError
from coverslip.prepare.encoders.card import Card

if TYPE_CHECKING:
    from torch import nn

GROUP = "coverslip.encoders"


class Loader(Protocol):
    """Loads an encoder."""

    def __call__(self, weights: Path | None, /) -> tuple[Card, "nn.Module"]:
        """Return the card, with the hash of the weights, and the network.

        Raises:
            EncoderError: The weights cannot be had, or are not of this network.
        """
        ...


def offered() -> dict[str, list[EntryPoint]]:
    """Return the entry points of the group by name; two packages may offer the same."""
    found: dict[str, list[EntryPoint]] = defaultdict(list)
    for point in entry_points(group=GROUP):
        found[point.name].append(point)
    return dict(sorted(found.items()))


def plugin(name: str) -> tuple[Card, Loader]:
    """Import the encoder of another package.

    Raises:
        EncoderError: Two packages offer it, or what is offered is no encoder.
    """
    points = offered()[name]
    if len(points) > 1:
        raise EncoderError(
            f"{name}: both {' and '.join(map(package_of, points))} offer an encoder of "
            "this name: uninstall one"
        )
    (point,) = points
    try:
        pair: Any = point.load()
    except Exception as error:  # noqa: BLE001 - whatever another package's import raises
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise _broken(point, reason) from None
    match pair:
        case (Card() as card, loader) if callable(loader):
            pass
        case _:
            raise _broken(point, f"{point.value} is not a pair (Card, function)")
    if card.name != name:
        raise _broken(point, f"its card is named {card.name!r}")
    return card, loader


def check_loaded(name: str, card: object, network: object) -> None:
    """Refuse what another package's function should not have returned.

    Raises:
        EncoderError: It is no card with a hash, or no network.
    """
    from torch import nn

    wrong = (
        "its card has no hash of the weights"
        if isinstance(card, Card) and not card.weights_hash
        else f"its function returned {type(card).__name__} and {type(network).__name__}"
        if not isinstance(card, Card) or not isinstance(network, nn.Module)
        else f"its card is named {card.name!r}"
        if card.name != name
        else ""
    )
    if wrong:
        raise _broken(offered()[name][0], wrong)


def package_of(point: EntryPoint) -> str:
    """Return the name and version of the package that has an entry point."""
    if point.dist is None:
        return point.value.partition(":")[0]
    return f"{point.dist.name} {point.dist.version}"


def _broken(point: EntryPoint, reason: str) -> EncoderError:
    return EncoderError(
        f"{point.name}: the encoder of {package_of(point)} does not work ({reason}): "
        "tell its authors, or uninstall it"
    )
