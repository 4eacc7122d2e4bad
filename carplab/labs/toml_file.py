"""Reads the TOML files of a lab and of a student: what is wrong is one sentence with the file."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from carplab.errors import UsageError, listed

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def read_toml(path: Path) -> dict[str, Any]:
    """Return what is in the file; UsageError if it cannot be read or is no TOML."""
    try:
        return parse_toml(path.read_text(encoding="utf-8"), path)
    except UnicodeDecodeError:
        raise UsageError(f"{path}: cannot be read (not UTF-8)") from None
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror})") from None


def parse_toml(text: str, path: Path) -> dict[str, Any]:
    """Return what is in the text of the file; UsageError if it is no TOML."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{path}: not valid TOML: {error}") from None


def refuse_unknown(table: Mapping[str, Any], known: Iterable[str], where: str) -> None:
    """Raise UsageError for a key that is none of `known`; `where` stands in front of it."""
    names = list(known)
    for key in table:
        if key not in names:
            raise UsageError(f"{where}: unknown key {key!r}, the keys are {listed(names)}")


def wanted(table: Mapping[str, Any], key: str, kind: type, where: str, default: Any = None) -> Any:
    """Return the value of a key, which must be of this type; UsageError otherwise."""
    value = table.get(key, default)
    if value is None:
        raise UsageError(f"{where}: {key} is missing")
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise UsageError(f"{where}: {key} {value!r} is not {_NAMES[kind]}")
    return value


_NAMES: Mapping[type, str] = {
    str: "a text in quotes",
    int: "a whole number",
    bool: "true or false",
    list: "a list",
    dict: "a table",
}
