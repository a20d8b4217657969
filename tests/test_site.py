"""The site of the documentation: what is made of the pages while building."""

import ast
import json
import re
from pathlib import Path

import pytest

import coverslip

DOCS = Path(__file__).resolve().parents[1] / "docs"
TUTORIAL = DOCS / "tutorial.ipynb"


@pytest.fixture
def navigation(monkeypatch):
    """Return the module that turns pages into a site."""
    monkeypatch.syspath_prepend(str(DOCS))
    from _site import navigation

    return navigation


@pytest.fixture
def reference(monkeypatch):
    """Return the module that writes the API pages."""
    monkeypatch.syspath_prepend(str(DOCS))
    from _site import reference

    return reference


def mended(navigation, docname: str, text: str) -> str:
    """Return the text of a page as the site has it."""
    source = [text]
    navigation.mend_source(None, docname, source)
    return source[0]


@pytest.mark.parametrize(
    ("docname", "link", "becomes"),
    [
        ("usage", "[x](../README.md#a)", "[x](project/README.md#a)"),
        ("usage", "[x](../src/a.py)", "[x](https://github.com/coverslip/coverslip/blob/main/src/a.py)"),
        ("usage", "[x](formats.md#runs)", "[x](formats.md#runs)"),
        ("usage", "[formats.md](formats.md#runs)", "[](formats.md#runs)"),
        ("project/README", "[docs/a-b.md](../../docs/a-b.md)", "[](../a-b.md)"),
        ("project/README", "[x](../../LICENSE)", "[x](https://github.com/coverslip/coverslip/blob/main/LICENSE)"),
        ("project/README", "![x](../../docs/images/a.png)", "![x](../images/a.png)"),
    ],
)  # fmt: skip
def test_links_of_a_forge_become_links_of_the_site(navigation, docname, link, becomes):
    """Pages of the root are copied, other files stay on the forge."""
    assert mended(navigation, docname, link) == becomes


def test_the_lists_of_the_index_become_the_navigation(navigation):
    """Each section is a caption; lists without links and plain links are not in it."""
    text = "# T\n\nA [link](c.md).\n\n## One\n\n- [A](a.md): x\n- no\n\n## Two\n\nno\n"
    made = mended(navigation, "index", text)
    assert made.startswith(text)
    assert made.removeprefix(text).strip() == (
        "```{toctree}\n:hidden:\n:caption: One\n\nA <a>\n```"
    )


def test_every_page_is_in_a_list_of_the_index():
    """Else the site has no way to it, and `make docs` stops."""
    linked = re.findall(
        r"^- \[[^\]]+\]\(([^)]+)\)", (DOCS / "index.md").read_text(), re.MULTILINE
    )
    pages = {page.name for page in [*DOCS.glob("*.md"), *DOCS.glob("*.ipynb")]}
    missing = pages - set(linked) - {"index.md"}
    assert missing == set(), "add a line to docs/index.md"


def test_every_module_is_on_a_page_of_the_api(reference):
    """All but the command line, which has its own page, and adapters of trackers."""
    pages = [reference.folder_page(n, {}) for n in reference.folders(coverslip)]
    told = set(re.findall(r"automodule:: ([\w.]+)", "\n".join(pages)))
    root = Path(coverslip.__file__).parent
    for path in root.rglob("*.py"):
        parts = path.relative_to(root).with_suffix("").parts
        if parts == ("__init__",) or reference.UNTOLD & set(parts):
            continue
        assert ".".join(["coverslip", *parts]).removesuffix(".__init__") in told


def test_a_public_name_is_told_once(reference):
    """On the page of public names, and not beside its module again."""
    told = reference.public_names()
    assert ".. autofunction:: coverslip.open_slide" in reference.public_page(told)
    page = reference.folder_page("coverslip.slides", told)
    excluded = re.findall(r":exclude-members: (.+)", page)
    assert "open_slide" in ", ".join(excluded).split(", ")


def test_a_drawing_in_a_docstring_stays_a_drawing(reference):
    """What is indented or aligned is kept as it is; a frame's prefix is no link."""
    text = "Frames l0_ and `lv_`.\n\n    a   b\n\nx    y"
    assert reference.with_drawings(text) == (
        "Frames l0\\_ and `lv_`.\n\n::\n\n        a   b\n\n::\n\n    x    y\n"
    )


def test_the_tutorial_is_kept_without_outputs():
    """They are made when the site is built, where a failing cell is an error."""
    cells = json.loads(TUTORIAL.read_text())["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert len(code) > 5
    kept = [c for c in code if c["outputs"] or c["execution_count"] is not None]
    assert kept == [], "clear all outputs before saving"


def test_the_tutorial_uses_names_and_pages_that_exist():
    """A renamed verb or page does not stay behind in it."""
    cells = json.loads(TUTORIAL.read_text())["cells"]
    text = {"code": "", "markdown": ""}
    for cell in cells:
        text[cell["cell_type"]] += "".join(cell["source"]) + "\n"
    used = {
        node.attr
        for node in ast.walk(ast.parse(text["code"]))
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "coverslip"
    }
    assert len(used) > 8
    assert used <= set(coverslip.__all__)
    links = re.findall(r"\]\(([^)#]+)", text["markdown"])
    assert [link for link in links if not (DOCS / link).is_file()] == []
