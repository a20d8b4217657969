"""The command `encoders`."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict

import click

from coverslip.cli.telling import JSON, tell
from coverslip.prepare.encoders.card import Card
from coverslip.prepare.encoders.listing import OURS, Listing
from coverslip.prepare.encoders.listing import encoders as list_all

HEADINGS = ("name", "length", "um/px", "input", "params", "gated", "here", "licence")


@click.command()
@JSON
def encoders(as_json: bool) -> None:
    """List the encoders: what each gives, wants and allows, and what is installed.

    Any other network of timm can be named, too: timm:NAME, or hf-hub:ORG/NAME.
    """
    listed = list_all()
    facts = {"encoders": [{**asdict(one), "card": _facts(one.card)} for one in listed]}
    tell(facts, _lines(listed), as_json=as_json)


def _facts(card: Card | None) -> dict[str, object] | None:
    """Return a card with what follows from it."""
    if card is None:
        return None
    return {**asdict(card), "page": card.page, "patch": card.patch_size}


def _lines(listed: Sequence[Listing]) -> Iterator[str]:
    rows = [HEADINGS, *(_row(one) for one in listed)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    yield _aligned(rows[0], widths)
    for one, row in zip(listed, rows[1:], strict=True):
        yield _aligned(row, widths)
        yield from (f"    {line}" for line in _more(one))
    yield ""
    yield "um/px: scales it was trained for, the one to take first. input: side in pixels"
    yield "of a patch -> of the middle that is seen. params: millions of parameters; a"
    yield "network of hundreds of them is slow without a GPU. here: all it needs is here."


def _row(one: Listing) -> tuple[str, ...]:
    card = one.card
    if card is None:
        return (one.name, *("-",) * 5, "no", "-")
    seen = f"{card.resize}->{card.input_size}"
    return (
        one.name,
        str(card.dim),
        ",".join(f"{mpp:g}" for mpp in card.mpp) or "-",
        seen if card.resize != card.input_size else str(card.input_size),
        f"{card.parameters:g}" if card.parameters else "-",
        "yes" if card.gated else "no",
        "yes" if one.ready else "no",
        card.licence,
    )


def _aligned(row: Sequence[str], widths: Sequence[int]) -> str:
    cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
    return "  ".join(cells).rstrip()


def _more(one: Listing) -> Iterator[str]:
    if one.card is not None:
        at = f" at {one.card.revision[:12]}" if one.card.revision else ""
        yield f"from {one.card.source}{at}" + (
            f", by {one.package}" if one.package != OURS else ""
        )
        if one.card.mpp:
            yield (
                f"patches: --target-mpp {one.card.mpp[0]:g} --size {one.card.patch_size}"
            )
        if one.card.note:
            yield f"note: {one.card.note}"
    yield one.found + (f": {one.remedy}" if one.remedy else "")
