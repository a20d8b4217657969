"""What makes Markdown pages for a forge into a site.

- The sections of index.md are lists of links, and these become the navigation. A page
  that no list names is a warning of Sphinx, thus an error.
- README, CHANGELOG and CONTRIBUTING lie above the pages: they are copied to `project/`.
- Links that lead out of `docs/` otherwise go to the forge.
- A link that is called after its file is called after the page's title here.
"""

import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sphinx.application import Sphinx
    from sphinx.config import Config

FORGE = "https://github.com/coverslip/coverslip/blob/main/"
COPIED = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md")
FOLDER = "project"


def setup(app: "Sphinx") -> None:
    """Tie the functions below into the build."""
    app.connect("config-inited", copy_pages)
    app.connect("source-read", mend_source)


def copy_pages(app: "Sphinx", _config: "Config") -> None:
    """Copy the pages of the project's root to where Sphinx finds them."""
    docs = Path(app.srcdir)
    for name in COPIED:
        text = (docs.parent / name).read_text(encoding="utf-8")
        page = docs / FOLDER / name
        write_changed(page, re.sub(r"\]\((?!#|https?:)", "](../../", text))


def mend_source(_app: "Sphinx", docname: str, source: list[str]) -> None:
    """Turn a page's links as a forge has them into the site's, and index.md's lists."""
    depth = docname.count("/") + 1
    up = r"\.\./" * depth

    def inside(match: re.Match[str]) -> str:
        page, _, anchor = match[1].partition("#")
        anchor = anchor and f"#{anchor}"
        back = "../" * (depth - 1)
        if page in COPIED:
            return f"]({back}{FOLDER}/{page}{anchor})"
        if page.startswith("docs/"):
            return f"]({back}{page.removeprefix('docs/')}{anchor})"
        return f"]({FORGE}{page}{anchor})"

    source[0] = re.sub(r"\[(?:docs/)?[\w-]+\.(?:md|ipynb)\]\(", "[](", source[0])
    source[0] = re.sub(rf"\]\({up}([^)\s]+)\)", inside, source[0])
    if docname == "index":
        source[0] = with_navigation(source[0])


def with_navigation(text: str) -> str:
    """Return index.md with a hidden table of contents for each of its sections."""
    trees = []
    for section in text.split("\n## ")[1:]:
        title, _, body = section.partition("\n")
        pages = re.findall(
            r"^- \[([^\]]+)\]\(([^)#\s]+)\.(?:md|ipynb)\)", body, re.MULTILINE
        )
        entries = "\n".join(f"{name} <{page}>" for name, page in pages)
        if entries:
            trees.append(
                f"```{{toctree}}\n:hidden:\n:caption: {title}\n\n{entries}\n```"
            )
    return "\n\n".join([text, *trees])


def write_changed(path: Path, text: str) -> None:
    """Write a file that Sphinx reads, unless it is so already."""
    path.parent.mkdir(exist_ok=True)
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")
