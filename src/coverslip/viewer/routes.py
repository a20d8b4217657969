"""Which address gives what.

All is read-only, and every address is one of these:

    /                                                the page
    /page/NAME, /openseadragon.js                    its files
    /api/study, /api/colours                         what there is to choose from
    /api/slides?run=RUN                              the list
    /api/slides/ID                                   size and scale
    /api/slides/ID/outlines                          tissue and lesions
    /api/slides/ID/scores?run=RUN                    what a run says of its patches
    /api/slides/ID/tiles/LEVEL/COLUMN/ROW.jpg        pixels

An address is taken apart before its parts are decoded, and a part is only ever looked up
among what is there: it never becomes a path. No address leads to a slide's label or macro
picture.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from http import HTTPStatus
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from coverslip.errors import CoverslipError
from coverslip.viewer.assets import KINDS, page_files
from coverslip.viewer.evidence import Evidence, UnknownError
from coverslip.viewer.pyramid import Place

COLOURS = ("viridis", "magma", "cividis", "turbo", "RdBu_r")
"""Colour maps to choose from; cividis looks the same to the colour-blind."""

JSON_KIND = "application/json"


@dataclass(frozen=True)
class Reply:
    """What is sent back."""

    body: bytes
    kind: str
    status: HTTPStatus = HTTPStatus.OK


@dataclass(frozen=True)
class Asked:
    """An address, taken apart: its parts, decoded one by one, and what follows `?`."""

    parts: tuple[str, ...]
    query: Mapping[str, str]

    @classmethod
    def of(cls, target: str) -> "Asked":
        """Take the target of a request apart."""
        split = urlsplit(target)
        parts = tuple(unquote(part) for part in split.path.split("/")[1:])
        query = {name: values[-1] for name, values in parse_qs(split.query).items()}
        return cls(parts, query)


@dataclass
class Site:
    """Everything that can be asked for.

    Attributes:
        evidence: The study.
        openseadragon: OpenSeadragon's script.
    """

    evidence: Evidence
    openseadragon: Path

    def reply(self, target: str) -> Reply:
        """Answer a request for an address; what goes wrong becomes one line."""
        try:
            return self._reply(Asked.of(target))
        except UnknownError as error:
            return _fault(HTTPStatus.NOT_FOUND, str(error))
        except CoverslipError as error:
            return _fault(HTTPStatus.UNPROCESSABLE_ENTITY, str(error))
        except Exception as error:  # noqa: BLE001 - the server outlives a request
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            return _fault(HTTPStatus.INTERNAL_SERVER_ERROR, f"unexpected: {reason}")

    def _reply(self, asked: Asked) -> Reply:
        match asked.parts:
            case ("",):
                return _file(self._files["index.html"])
            case ("page", name) if name in self._files:
                return _file(self._files[name])
            case ("openseadragon.js",):
                return Reply(self.openseadragon.read_bytes(), KINDS[".js"])
            case ("api", "study"):
                return _json(self.evidence.about())
            case ("api", "colours"):
                return _json(self._colours)
            case ("api", "slides"):
                return _json(self.evidence.listed(asked.query.get("run")))
            case ("api", "slides", slide_id, *rest):
                return self._of_slide(slide_id, rest, asked.query)
        raise UnknownError("nothing here")

    def _of_slide(
        self, slide_id: str, rest: Sequence[str], query: Mapping[str, str]
    ) -> Reply:
        match rest:
            case []:
                return _json(self.evidence.slide(slide_id))
            case ["outlines"]:
                return _json(self.evidence.outlines(slide_id))
            case ["scores"]:
                return _json(self.evidence.scores(query.get("run", ""), slide_id))
            case ["tiles", level, column, row]:
                place = _place(level, column, row)
                return Reply(self.evidence.tile(slide_id, place), "image/jpeg")
        raise UnknownError("nothing here")

    @cached_property
    def _files(self) -> dict[str, Path]:
        return page_files()

    @cached_property
    def _colours(self) -> dict[str, list[str]]:
        """Colour maps as 256 colours each."""
        import matplotlib as mpl

        steps = [step / 255 for step in range(256)]
        return {
            name: [mpl.colors.to_hex(mpl.colormaps[name](step)) for step in steps]
            for name in COLOURS
        }


def _place(level: str, column: str, row: str) -> Place:
    told = re.fullmatch(
        r"(\d{1,3})/(\d{1,9})/(\d{1,9})\.jpg", f"{level}/{column}/{row}"
    )
    if told is None:
        raise UnknownError("no such tile")
    return Place(int(told[1]), int(told[2]), int(told[3]))


def _file(path: Path) -> Reply:
    return Reply(path.read_bytes(), KINDS[path.suffix])


def _json(facts: object) -> Reply:
    text = json.dumps(facts, ensure_ascii=False, separators=(",", ":"))
    return Reply(text.encode(), JSON_KIND)


def _fault(status: HTTPStatus, reason: str) -> Reply:
    return Reply(json.dumps({"error": reason}).encode(), JSON_KIND, status)
