"""The API pages: made from the docstrings, below the page api.md.

One page tells the public names, those of `coverslip.__all__`, in full; one page for each
folder of the source tells the rest of its modules.
"""

import ast
import pkgutil
import re
from dataclasses import is_dataclass
from importlib import import_module
from inspect import getsource
from pathlib import Path
from textwrap import indent
from types import ModuleType
from typing import TYPE_CHECKING

from _site.navigation import write_changed
from pydantic.fields import FieldInfo

import coverslip
from coverslip.options import Options

if TYPE_CHECKING:
    from docutils.nodes import Element
    from sphinx.application import Sphinx
    from sphinx.config import Config

FOLDER = "api"
LONGEST_DEFAULT = 60
UNTOLD = {"cli", "version", "__main__", "mlflow", "tensorboard", "wandb"}
"""The command line has a page of its own; trackers load a library that may be missing."""


def setup(app: "Sphinx") -> None:
    """Tie the functions below into the build."""
    app.connect("config-inited", write_pages)
    app.connect("source-read", add_contents)
    app.connect("autodoc-process-docstring", mend_docstring, priority=400)
    app.connect("autodoc-skip-member", skip)
    app.connect("missing-reference", name_only)


def public_names() -> dict[str, object]:
    """Return what `coverslip.__all__` names, in alphabetical order."""
    names = sorted(set(coverslip.__all__) - {"__version__"}, key=str.lower)
    return {name: getattr(coverslip, name) for name in names}


def modules(package: ModuleType, *, deep: bool) -> list[str]:
    """Return the modules of a folder by name; with `deep`, its folders instead."""
    return [
        f"{package.__name__}.{item.name}"
        for item in pkgutil.iter_modules(package.__path__)
        if item.ispkg == deep and item.name not in UNTOLD
    ]


def folders(package: ModuleType) -> list[str]:
    """Return a package and the packages in it."""
    inner = [import_module(name) for name in modules(package, deep=True)]
    return [package.__name__, *(name for item in inner for name in folders(item))]


def write_pages(app: "Sphinx", _config: "Config") -> None:
    """Write a page for the public names, and one for each folder of the source."""
    made = Path(app.srcdir) / FOLDER
    for name in folders(coverslip):
        for module in modules(import_module(name), deep=False):
            complete(import_module(module))
    told = public_names()
    pages = {"public": public_page(told)}
    pages |= {name: folder_page(name, told) for name in folders(coverslip)}
    for gone in {path.stem for path in made.glob("*.rst")} - set(pages):
        (made / f"{gone}.rst").unlink()
    for name, page in pages.items():
        write_changed(made / f"{name}.rst", page)


def complete(module: ModuleType) -> None:
    """Import what a module imports for its annotations only, so that they are found."""
    for node in ast.parse(getsource(module)).body:
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            block = compile(ast.Module(node.body, []), str(module.__file__), "exec")
            exec(block, vars(module))  # noqa: S102 - lines of our own source


def public_page(told: dict[str, object]) -> str:
    """Return the page of the public names."""
    parts = [heading("Public names", "=")]
    for name, thing in told.items():
        kind = "class" if isinstance(thing, type) else "function"
        members = "   :members:\n" if kind == "class" else ""
        parts.append(f".. auto{kind}:: coverslip.{name}\n{members}")
    return "\n".join(parts)


def folder_page(package: str, told: dict[str, object]) -> str:
    """Return the page of one folder: its modules, less what is told as public."""
    parts = [heading(f"{package}", "=")]
    if package != "coverslip":
        parts.append(f".. automodule:: {package}\n")
    for name in modules(import_module(package), deep=False):
        module = import_module(name)
        known = [n for n, thing in told.items() if vars(module).get(n) is thing]
        public = [n for n in known if told[n].__module__ == name]
        parts.append(heading(name.removeprefix(f"{package}."), "-"))
        links = ", ".join(f":py:obj:`coverslip.{n}`" for n in public)
        parts.append(f"Public: {links}.\n" if public else "")
        parts.append(f".. automodule:: {name}\n   :members:")
        parts.append(f"   :exclude-members: {', '.join(known)}\n" if known else "")
    return "\n".join(parts)


def heading(title: str, line: str) -> str:
    """Return a heading as reStructuredText has it."""
    return f"{title}\n{line * len(title)}\n"


def add_contents(_app: "Sphinx", docname: str, source: list[str]) -> None:
    """Hang the written pages below api.md."""
    if docname == "api":
        pages = ["public", *folders(coverslip)]
        entries = "\n".join(f"{FOLDER}/{page}" for page in pages)
        source[0] = re.sub(
            r"^\| (`coverslip\.\w+`)", r"| {py:obj}\1", source[0], flags=re.MULTILINE
        )
        source[0] += f"\n\n```{{toctree}}\n:hidden:\n\n{entries}\n```\n"


def mend_docstring(
    _app: "Sphinx",
    what: str,
    _name: str,
    thing: object,
    _options: object,
    lines: list[str],
) -> None:
    """Make a docstring what Sphinx reads: drawings as they are, fields as arguments."""
    if what == "module":
        lines[:] = with_drawings("\n".join(lines)).split("\n")
    elif what in {"data", "attribute", "property"}:
        lines[:] = [line.replace(": ", "; ") for line in lines]  # no type before it
    elif isinstance(thing, type) and issubclass(thing, Options):
        lines.append("")
        for name, field in thing.model_fields.items():
            told = f"{field.description or ''} {default_of(field)}"
            lines.append(f":param {name}: {told.strip()}")
    elif is_dataclass(thing) or is_named_tuple(thing):
        lines[:] = ["Args:" if line == "Attributes:" else line for line in lines]


def is_named_tuple(thing: object) -> bool:
    """Say whether a thing is a class made with `NamedTuple`."""
    return isinstance(thing, type) and hasattr(thing, "_fields")


def with_drawings(text: str) -> str:
    """Return a module's docstring with its indented and aligned parts as drawings."""
    blocks = []
    for block in re.split(r"\n\s*\n", text.strip("\n")):
        if re.search(r"^ |\S {2,}\S", block, re.MULTILINE):
            blocks.append("::\n\n" + indent(block, "    "))
        else:
            blocks.append(re.sub(r"(?<![`\w])(\w+)_(?!\w)", r"\1\_", block))
    return "\n\n".join(blocks) + "\n"


def default_of(field: FieldInfo) -> str:
    """Return the default of an option, in brackets."""
    if field.is_required():
        return ""
    value = field.get_default(call_default_factory=True)
    return f"(``{value!r}``)" if len(repr(value)) < LONGEST_DEFAULT else ""


def skip(
    _app: "Sphinx",
    _what: str,
    name: str,
    thing: object,
    skipped: bool,
    _options: object,
) -> bool | None:
    """Leave out fields that are told as arguments, and what pydantic adds."""
    field = type(thing).__name__ == "_tuplegetter" or name.startswith("model_")
    return True if skipped or field else None


def name_only(
    _app: "Sphinx", _env: object, node: "Element", content: "Element"
) -> "Element | None":
    """Name what exists and has no entry (a type variable, say); else it is an error."""
    module, _, name = node.get("reftarget", "").rpartition(".")
    try:
        found = hasattr(import_module(module), name)
    except (ImportError, ValueError):
        return None
    return content if found else None
