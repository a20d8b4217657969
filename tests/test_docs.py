"""The documentation says what the code does.

    python tests/test_docs.py

writes docs/cli.md and the menu of shell completion anew from the commands' own help,
and docs/api.md from docstrings.
"""

import ast
import json
import re
import tomllib
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import click
import pytest

from coverslip.cli import cli
from coverslip.cli.completion import MENU, menu_facts
from coverslip.learn.models.dmia_options import DMIAOptions
from coverslip.learn.models.zoo import MODELS
from coverslip.learn.splits import SplitOptions
from coverslip.learn.train_options import TrainOptions
from coverslip.options import Options
from coverslip.pipeline.prepare.table import COLUMNS
from coverslip.pipeline.show.export_options import ExportOptions
from coverslip.prepare.encoders.registry import encoder_names
from coverslip.prepare.feature_options import FeatureOptions
from coverslip.prepare.patches import PatchOptions
from coverslip.prepare.segmentation import TissueOptions
from written_pages import api_page, cli_page

PROJECT = Path(__file__).resolve().parents[1]
SOURCE = PROJECT / "src" / "coverslip"
DOCS = PROJECT / "docs"
CLI_PAGE = DOCS / "cli.md"
API_PAGE = DOCS / "api.md"
PAGES = [*sorted(PROJECT.glob("*.md")), *sorted(DOCS.glob("*.md"))]

FORBIDDEN = {
    "a path of one machine": r"(?<![\w.}])/(work|tmp|root|home)/\w",
    "a registry's host": r"py(pi|thonhosted)\.org|anaconda\.(org|com)",
    "a place beside the repository": r"\.\./sha[r]ed",
    "a tool that is no part of the project": r"\bf[a]rm\b",
}


def test_the_command_reference_is_the_commands_own_help():
    """docs/cli.md is what `python tests/test_docs.py` would write now."""
    assert CLI_PAGE.read_text() == cli_page(), "run `python tests/test_docs.py`"


def test_the_table_of_python_names_is_their_docstrings():
    """docs/api.md is what `python tests/test_docs.py` would write now."""
    assert API_PAGE.read_text() == api_page(), "run `python tests/test_docs.py`"


def menu_text() -> str:
    """Return the file that shell completion reads, as the commands would have it."""
    facts = menu_facts()
    lines = [
        f'"{name}": {{"help": {json.dumps(one["help"])}, "params": [\n'
        + ",\n".join(f"  {json.dumps(param)}" for param in one["params"])
        + "]}"
        for name, one in facts.items()
    ]
    return "{" + ",\n".join(lines) + "}\n"


def test_shell_completion_knows_every_command_and_option():
    """Its file is what `python tests/test_docs.py` would write now."""
    assert MENU.read_text() == menu_text(), "run `python tests/test_docs.py`"


def links(page: Path) -> Iterator[str]:
    """Give the targets of a page's links and pictures, outside code."""
    text = re.sub(r"```.*?```|`[^`\n]*`", "", page.read_text(), flags=re.DOTALL)
    yield from re.findall(r"\]\(([^)\s]+)\)", text)


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    found = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    plain = [re.sub(r"[^\w\s-]", "", title.lower()) for title in found]
    return {title.strip().replace(" ", "-") for title in plain}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_relative_link_leads_somewhere(page):
    """Files exist, and so do headings that a link names."""
    broken = []
    for link in links(page):
        if re.match(r"https?:|mailto:", link):
            continue
        place, _, anchor = link.partition("#")
        target = (page.parent / place).resolve() if place else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


def test_the_readme_has_no_placeholder_left():
    """Times are figures, not words in capitals."""
    assert re.findall(r"\bTIME_\w+", (PROJECT / "README.md").read_text()) == []


def test_the_readme_names_every_folder_of_the_source():
    """Each package and sub-package has its line in the tree."""
    readme = (PROJECT / "README.md").read_text()
    folders = [
        init.parent.relative_to(SOURCE).as_posix()
        for init in SOURCE.rglob("__init__.py")
        if init.parent != SOURCE
    ]
    assert len(folders) > 8
    assert [name for name in folders if f"      {name}/  " not in readme] == []


def python_blocks() -> list[tuple[str, str]]:
    """Return (page, code) of every Python block in the documentation."""
    return [
        (page.name, code)
        for page in PAGES
        for code in re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)
    ]


def test_python_in_the_documentation_uses_names_that_exist():
    """It parses, and what it takes from coverslip is there."""
    blocks = python_blocks()
    assert len(blocks) >= 4
    missing = []
    for page, code in blocks:
        for node in ast.walk(ast.parse(code)):
            if isinstance(node, ast.ImportFrom):
                home = import_module(str(node.module))
                names = [(home, alias.name) for alias in node.names]
            elif isinstance(node, ast.Attribute) and ast.unparse(node.value) == (
                "coverslip"
            ):
                names = [(import_module("coverslip"), node.attr)]
            else:
                continue
            missing += [f"{page}: {n}" for home, n in names if not hasattr(home, n)]
    assert missing == []


def command_lines() -> list[tuple[str, str, set[str]]]:
    """Return (page, command, long flags) of every `coverslip` line in a code block."""
    found = []
    for page in PAGES:
        if page == CLI_PAGE:
            continue
        text = page.read_text().replace("\\\n", " ")
        for name, rest in re.findall(
            r"(?:^ {4}|`)coverslip ([a-z]+)\b([^`\n#]*)", text, re.MULTILINE
        ):
            flags = set(re.findall(r"(?<!\S)(--[a-z][a-z0-9-]*)", rest))
            found.append((page.name, name, flags))
    return found


def test_commands_in_the_documentation_exist_and_have_those_flags():
    """A renamed flag does not stay behind in an example."""
    lines = command_lines()
    assert len(lines) > 20
    top = click.Context(cli)
    wrong = []
    for page, name, flags in lines:
        command = cli.get_command(top, name)
        if command is None:
            wrong.append(f"{page}: {name}")
            continue
        known = {flag for p in command.params for flag in p.opts + p.secondary_opts}
        wrong += [f"{page}: {name} {flag}" for flag in flags - known - {"--help"}]
    assert wrong == []


def said(value: object) -> str:
    """Return a default as the tables write it."""
    if value is None:
        return "none"
    return {True: "on", False: "off"}[value] if isinstance(value, bool) else str(value)


@pytest.mark.parametrize(
    ("kind", "page"),
    [
        (DMIAOptions, "method.md"),
        *(
            (entry.options, "models.md")
            for name, entry in MODELS.items()
            if name != "dmia"
        ),
        (TrainOptions, "method.md"),
        (TissueOptions, "tissue.md"),
        (PatchOptions, "tissue.md"),
        (FeatureOptions, "usage.md"),
        (SplitOptions, "cross-validate.md"),
        (ExportOptions, "qupath.md"),
    ],
)
def test_every_option_has_a_row_with_its_default(kind: type[Options], page: str):
    """A field that is added, renamed or changed must be so in the documentation."""
    text = (DOCS / page).read_text()
    rows = [
        f"| `{name}` | {said(field.default)} |"
        for name, field in kind.model_fields.items()
    ]
    assert [row for row in rows if row not in text] == []


def test_formats_name_every_column_of_the_table_of_slides():
    """docs/formats.md describes slides.csv whole."""
    text = (DOCS / "formats.md").read_text()
    section = text.partition("### slides.csv")[2].partition("###")[0]
    cells = re.findall(r"^\| ([\w, ]+) \|", section, re.MULTILINE)
    named = {name.strip() for cell in cells for name in cell.split(",")}
    assert named - {"column"} == set(COLUMNS)


def test_usage_names_every_encoder():
    """Each has its row in the table of encoders."""
    text = (DOCS / "usage.md").read_text()
    assert [name for name in encoder_names() if f"| `{name}` |" not in text] == []


def test_models_name_every_model_and_lead_to_it():
    """Each has its place in the table, and a heading of its own beside DMIA's page."""
    page = DOCS / "models.md"
    table = page.read_text().partition("## ")[0]
    assert [name for name in MODELS if f"`{name}`" not in table] == []
    headings = " ".join(anchors(page))
    assert [name for name in MODELS if name not in headings] == ["dmia"]


def test_every_dependency_has_its_reason():
    """Each package of pyproject.toml has a row with four filled cells or more."""
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    wanted = [*project["dependencies"], *(p for part in extras.values() for p in part)]
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in (DOCS / "dependencies.md").read_text().splitlines()
        if line.startswith("|")
    ]
    explained = {cell for row in rows if len(row) >= 4 and all(row) for cell in row[:2]}
    names = {re.split(r"[^\w-]", spec)[0] for spec in wanted}
    assert names - explained == set()
    assert {f"`{extra}`" for extra in extras} - explained == set()


def test_constraints_are_names_and_versions_only():
    """Every line is name==version, each dependency is there, torch is 2.13.0."""
    lines = (PROJECT / "constraints.txt").read_text().splitlines()
    pins = [line for line in lines if not line.startswith("#")]
    assert [p for p in pins if not re.fullmatch(r"[\w.-]+==[\w.]+", p)] == []
    assert "torch==2.13.0" in pins
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    named = {re.split(r"[^\w-]", spec)[0] for spec in project["dependencies"]}
    assert named - {pin.partition("==")[0].lower() for pin in pins} == set()


def repository_files() -> Iterator[Path]:
    """Give the text files of the repository."""
    suffixes = {
        ".py",
        ".md",
        ".ipynb",
        ".toml",
        ".txt",
        ".csv",
        ".json",
        ".xml",
        ".yml",
        ".cfg",
    }
    yield from (path for path in PROJECT.iterdir() if path.is_file())
    for folder in ("src", "tests", "docs", "benchmarks", ".ci"):
        for path in (PROJECT / folder).rglob("*"):
            if path.is_file() and (path.suffix in suffixes or folder == ".ci"):
                yield path


def test_no_file_names_a_machine_or_a_registry():
    """The repository means the same wherever it lies."""
    found = [
        f"{path.relative_to(PROJECT)}: {what}: {match[0]}"
        for path in repository_files()
        for what, pattern in FORBIDDEN.items()
        for match in re.finditer(pattern, path.read_text(errors="replace"))
    ]
    assert found == []


if __name__ == "__main__":
    CLI_PAGE.write_text(cli_page())
    API_PAGE.write_text(api_page())
    MENU.write_text(menu_text())
