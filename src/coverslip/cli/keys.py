"""The keys of a file of options: which there are, and what each is in a command.

Keys are the fields of the options classes, a section for each class; what is no option
of a stage stands at the top, or in the section of its command.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path

import click

from coverslip.errors import OptionError
from coverslip.learn.models.zoo import MODELS, entry
from coverslip.options import Options
from coverslip.pipeline.learn.configuration import SECTIONS as KINDS
from coverslip.pipeline.learn.learn_options import PRESETS
from coverslip.toml import NONE, Table, read_toml

PLACES = {name: name for name in ("model", "inputs", "out", "study")}
TOP = (
    *("slides", "out", "labels", "labels_from_names", "annotations", "name"),
    *("mpp_csv", "mask", "jpeg", "pickle", "from_patches"),
    *("workers", "engine", "ray_address", "ray_gpu", "quiet"),
)


@dataclass(frozen=True)
class Section:
    """A part of the file.

    Attributes:
        about: What it decides, in a line.
        flags: The command's parameter for each key that is no field of options.
        rename: Parameters that are not called as the field of the options is.
        only: The one command that it is for; its own section goes before all others.
    """

    about: str
    flags: Mapping[str, str] = field(default_factory=dict)
    rename: Mapping[str, str] = field(default_factory=dict)
    only: str | None = None


SECTIONS: dict[str, Section] = {
    "": Section(
        "Slides, labels, and where results go",
        {**{name: name for name in TOP}, "mpp": "slide_mpp", "tracker": "trackers"},
    ),
    "tissue": Section("How tissue is found"),
    "patches": Section("How patches are laid", rename={"mpp": "target_mpp"}),
    "features": Section("How patches become features", rename={"workers": "readers"}),
    "split": Section(
        "Which slides train, validate and test",
        {"file": "split", "folds": "folds", "repeats": "repeats"},
    ),
    "model": Section(
        "Which model",
        {"name": "model", "preset": "preset", "options": "settings"},
    ),
    "train": Section(
        "How it is trained",
        {"seeds": "seeds", "features": "features"},
        {"device": "train_device", "precision": "train_precision"},
    ),
    "predict": Section("For `coverslip predict`", PLACES, only="predict"),
    "heatmap": Section(
        "For `coverslip heatmap`", {**PLACES, "slide": "only"}, only="heatmap"
    ),
    "froc": Section(
        "For `coverslip froc`",
        {**PLACES, "slide": "only"},
        {"score": "score_by"},
        only="froc",
    ),
    "camelyon16": Section(
        "For `coverslip camelyon16`", {"folder": "folder"}, only="camelyon16"
    ),
}
"""By name; the top of the file has none."""

OTHER_NAMES = {
    "train": {"out": "study", "model": "models"},
    "plan": {"out": "study"},
}
"""Parameters that a command calls otherwise: the study that it works in is `out`."""


def place(section: str, key: str) -> str:
    """Return how people are told of a key."""
    return f"[{section}] {key}" if section else key


def keys_of(section: str) -> dict[str, str]:
    """Return the keys of a section, each with the name of its parameter."""
    own = SECTIONS[section]
    fields = KINDS[section].model_fields if section in KINDS else {}
    return {**{key: own.rename.get(key, key) for key in fields}, **own.flags}


def params_of(command: click.Command) -> dict[tuple[str, str], click.Parameter]:
    """Return the parameter of a command for each (section, key) that it takes."""
    params = {param.name: param for param in command.params}
    other = OTHER_NAMES.get(command.name or "", {})
    order = sorted(SECTIONS, key=lambda name: SECTIONS[name].only is None)
    found: dict[tuple[str, str], click.Parameter] = {}
    for section in order:
        if SECTIONS[section].only in {None, command.name}:
            for key, name in keys_of(section).items():
                param = params.get(other.get(name, name))
                if param is not None and param not in found.values():
                    found[section, key] = param
    return found


def read_config(path: Path) -> Table:
    """Read a file of options and check all of it, whichever command each is for.

    Raises:
        DataError: It is not there, or not TOML.
        OptionError: A section or key is unknown, or an option's value is not allowed.
    """
    table = read_toml(path)
    for name, value in table.items():
        if isinstance(value, dict) and name in SECTIONS:
            for key in value:
                _check_key(path, name, key)
        elif name and name in SECTIONS:
            raise OptionError(f"{path}: {name}={value!r}: write a section [{name}]")
        else:
            _check_key(path, "", name)
    for name, kind in KINDS.items():
        own = {k: v for k, v in table.get(name, {}).items() if k in kind.model_fields}
        _check_options(path, name, kind, own)
    _check_model(path, table.get("model", {}))
    return table


def _check_key(path: Path, section: str, key: str) -> None:
    """Refuse a key that no section, or another one, has.

    Raises:
        OptionError: It says what may have been meant.
    """
    if key in keys_of(section):
        return
    every = {name: list(keys_of(name)) for name in SECTIONS}
    near = get_close_matches(key, every[section], 1)
    meant = [place(section, one) for one in near]
    if not meant:
        meant = [place(name, key) for name, keys in every.items() if key in keys]
    if not meant and not section:
        meant = [f"[{one}]" for one in get_close_matches(key, list(SECTIONS), 1)]
    if not meant:
        near = get_close_matches(key, [k for keys in every.values() for k in keys], 1)
        meant = [place(n, k) for k in near for n, keys in every.items() if k in keys]
    if meant:
        hint = f"did you mean {' or '.join(meant)}?"
    else:
        hint = f"there are {', '.join(every[section])}"
    raise OptionError(f"{path}: {place(section, key)}: no such key: {hint}")


def _check_options(
    path: Path, section: str, kind: type[Options], values: Table
) -> None:
    """Check options against their class.

    Raises:
        OptionError: A value is not allowed.
    """
    fields = kind.model_fields
    given = {key: None if value == NONE else value for key, value in values.items()}
    dropped = {k for k, v in given.items() if v is None and fields[k].default is None}
    try:
        kind(**{key: value for key, value in given.items() if key not in dropped})
    except OptionError as error:
        reason = str(error).removeprefix(f"{kind.__name__}: ")
        raise OptionError(f"{path}: [{section}] {reason}") from None


def _check_model(path: Path, said: Table) -> None:
    """Check the options of the model that a file names.

    Raises:
        OptionError: There is no such model, or it does not take these.
    """
    named, options = said.get("name", "dmia"), said.get("options", {})
    names = named if isinstance(named, list) else [named]
    if not isinstance(options, dict):
        raise OptionError(f"{path}: [model] options={options!r}: write [model.options]")
    if not names:
        raise OptionError(f"{path}: [model] name=[]: name a model, or leave it out")
    for name in names:
        _check_word(path, "model", "name", name, MODELS)
    _check_word(path, "model", "preset", said.get("preset", NONE), [NONE, *PRESETS])
    if options and len(names) > 1:
        raise OptionError(f"{path}: [model.options] are for one model: name one only")
    kind = entry(names[0]).options
    for key in options:
        if key not in kind.model_fields:
            hint = _hint(key, kind.model_fields)
            raise OptionError(f"{path}: [model.options] {key}: no such key: {hint}")
    _check_options(path, "model.options", kind, options)


def _check_word(
    path: Path, section: str, key: str, value: object, known: Iterable[str]
) -> None:
    """Refuse a value that is none of the known.

    Raises:
        OptionError: It says what may have been meant.
    """
    if value not in list(known):
        hint = _hint(str(value), known)
        raise OptionError(f"{path}: [{section}] {key}={value!r}: no such {key}: {hint}")


def _hint(word: str, known: Iterable[str]) -> str:
    near = get_close_matches(word, list(known), 1)
    return f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
