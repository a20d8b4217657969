"""One look for every figure of a report, and its two files: SVG and PNG.

Colours are those of Okabe and Ito, which people with any colour vision tell apart.
Text in the SVG stays text. In a page, ink follows the page's own colour.
"""

import io
import re
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from coverslip import store

INK = "#1b1b1c"
"""Text and axes; in a page it becomes the page's."""
MAIN, SECOND, THIRD = "#0072b2", "#d55e00", "#009e73"
QUIET = "#8c8c8c"
CYCLE = (MAIN, SECOND, THIRD, "#cc79a7", "#e69f00", "#56b4e9", QUIET)
_OF_PAGE = {
    INK: "currentColor",
    "#ffffff": "var(--ground)",
    MAIN: "var(--main)",
    SECOND: "var(--second)",
    THIRD: "var(--third)",
}
"""What a page may show in another shade, on dark ground."""

_STYLE: Any = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Arial", "Helvetica", "sans-serif"],
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.labelsize": 9,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "lines.linewidth": 1.6,
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "svg.fonttype": "none",
    "svg.hashsalt": "coverslip",
    "figure.dpi": 300,
}


styled = mpl.rc_context(_STYLE)
"""Decorates what draws: everything made in it has the common look."""


def new(width: float, height: float) -> Figure:
    """Return an empty figure, inches wide and high."""
    return Figure(figsize=(width, height), layout="constrained")


def axes(figure: Figure, rows: int = 1, columns: int = 1, **more: Any) -> list[Axes]:  # noqa: ANN401 - of subplots
    """Return a figure's axes, row by row."""
    return list(figure.subplots(rows, columns, squeeze=False, **more).ravel())


@styled
def keep(figure: Figure, folder: Path, name: str) -> str:
    """Write a figure as SVG and PNG, and return it as SVG that can stand in a page.

    Raises:
        OutputError: A file cannot be written.
    """
    with store.writing(folder / f"{name}.png") as part:
        FigureCanvasAgg(figure).print_png(  # type: ignore[no-untyped-call] # matplotlib's own
            part, metadata={"Software": None}
        )
    figure.set_layout_engine("none")  # it is laid out: both files are alike
    text = io.StringIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    FigureCanvasSVG(figure).print_svg(text, metadata=nothing)  # type: ignore[no-untyped-call] # matplotlib's own
    store.write_text(folder / f"{name}.svg", text.getvalue())
    return inline(text.getvalue(), name)


def inline(svg: str, name: str) -> str:
    """Make the text of an SVG file part of a page.

    Ids get the figure's name before them, so that two figures do not clash; what is
    outside the drawing, its namespaces and its white ground are left out.
    """
    text = svg[svg.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'\sxmlns(:xlink)?="[^"]*"', "", text)
    text = text.replace("xlink:href=", "href=")
    text = re.sub(r'\bid="', f'id="{name}-', text)
    text = re.sub(r'href="#', f'href="#{name}-', text)
    text = re.sub(r"url\(#", f"url(#{name}-", text)
    text = re.sub(
        r"#[0-9a-f]{6}\b", lambda found: _OF_PAGE.get(found[0], found[0]), text
    )
    size = re.search(r'viewBox="0 0 ([\d.]+)', text)
    width = f"{float(size[1]):.0f}pt" if size else "100%"
    head = f'<svg aria-hidden="true" focusable="false" style="max-width: {width}"'
    text = re.sub(r'<svg width="[^"]*" height="[^"]*"', head, text, count=1)
    return text.strip()
