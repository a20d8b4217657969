"""TOML, as people write configuration: read with the file named, and written whole."""

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from coverslip.errors import CorruptFileError, DataError

Table = dict[str, Any]

NONE = "none"
"""Written for a value that is not given, as TOML has no word for it."""


def read_toml(path: Path) -> Table:
    """Read a TOML file.

    Raises:
        DataError: It is missing, or cannot be read.
        CorruptFileError: It is not TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise DataError(
            f"{path}: no such file: `coverslip init {path.name}` writes one"
        ) from None
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read ({error.strerror}): give a TOML file"
        ) from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise CorruptFileError(f"{path}: not TOML ({error}): mend that line") from None


def toml_value(value: object) -> str:
    """Return a value as TOML writes it.

    Args:
        value: None, a truth, number, text, path, or a list or mapping of such.

    Raises:
        TypeError: It is anything else.
    """
    if value is None:
        return json.dumps(NONE)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, (str, Path)):
        # a JSON text is a TOML text, but for the one control character JSON lets pass
        return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(toml_value, value))}]"
    if isinstance(value, Mapping):
        pairs = (f"{_key(key)} = {toml_value(one)}" for key, one in value.items())
        return f"{{{', '.join(pairs)}}}"
    raise TypeError(f"{type(value).__name__} is nothing that TOML can hold")


def toml_text(table: Mapping[str, object]) -> str:
    """Return a document: keys first, then a section for each mapping.

    Args:
        table: Values by key; mappings become sections, those in them sections of theirs.
    """
    return "\n".join(_lines(table, ())).lstrip("\n") + "\n"


def _lines(table: Mapping[str, object], above: tuple[str, ...]) -> list[str]:
    lines = [
        f"{_key(key)} = {toml_value(value)}"
        for key, value in table.items()
        if not isinstance(value, Mapping)
    ]
    for key, value in table.items():
        if isinstance(value, Mapping):
            path = (*above, _key(key))
            lines += ["", f"[{'.'.join(path)}]", *_lines(value, path)]
    return lines


def _key(key: str) -> str:
    plain = key and all(c.isascii() and (c.isalnum() or c in "_-") for c in key)
    return key if plain else toml_value(key)
