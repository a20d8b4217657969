"""The page: facts become one HTML file that loads nothing.

Ids and labels are whatever people call their slides: the templates escape all text, and
only drawings, styles and the script of this package stand in the page as they are.
"""

import re
from importlib.resources import files

from jinja2 import Environment, PackageLoader
from markupsafe import Markup, escape

from coverslip.show.report.facts import PatchPicture, ReportFacts, SlideEvidence
from coverslip.show.report.pictures import ATTENTION, PROBABILITY, gradient
from coverslip.version import __version__

LEAST_MARK = 9.0
"""Side of a patch's frame on the thumbnail in pixels, at least: it must be seen."""


def page(facts: ReportFacts) -> str:
    """Return a report as HTML."""
    made = Environment(
        loader=PackageLoader("coverslip.show.report", "templates"),
        autoescape=True,
        trim_blocks=False,
    )
    made.filters["markup"] = Markup
    folder = files("coverslip.show.report") / "templates"
    return made.get_template("page.html").render(
        facts=facts,
        version=__version__,
        style=(folder / "style.css").read_text(encoding="utf-8"),
        script=(folder / "sort.js").read_text(encoding="utf-8"),
        attention=gradient(ATTENTION),
        probability=gradient(PROBABILITY),
        breakable=breakable,
        flag=flag,
        mark=mark,
    )


def breakable(key: str) -> Markup:
    """Return a key that may be broken after its dots and underscores, nowhere else."""
    parts = (escape(part) for part in re.split(r"(?<=[._])(?=\w)", key))
    return Markup("<wbr>").join(parts)


def flag(slide: SlideEvidence) -> str:
    """Return the flag of a slide: whether it is to be left to a person."""
    return {"yes": "refer", "no": "no"}.get(slide.refer, "–")


def mark(patch: PatchPicture) -> Markup:
    """Return the frame of a patch on the thumbnail, large enough to be seen."""
    left, top, side = patch.px_box
    more = max(0.0, LEAST_MARK - side) / 2
    kind = "top" if patch.name.startswith("T") else "bottom"
    return Markup(
        '<g class="mark {}"><title>{}</title><rect x="{:.1f}" y="{:.1f}" '
        'width="{:.1f}" height="{:.1f}"/></g>'
    ).format(
        kind, patch.name, left - more, top - more, side + 2 * more, side + 2 * more
    )
