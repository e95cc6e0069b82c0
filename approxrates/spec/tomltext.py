"""Plain data as TOML text: the little of the format that study files need."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any

_SECTIONS = ("studies", "targets", "net", "architectures", "constructions", "references", "training", "sweep")
"""Tables that get lines of their own; all others are written inline."""

_BARE = re.compile(r"[A-Za-z0-9_-]+")


def document(tables: Mapping[str, Any]) -> str:
    """TOML text of a mapping: values first, then tables and lists of tables, in the order given.

    Raises:
        TypeError: For a value that TOML cannot hold.

    Example:
        >>> print(document({"name": "tiny", "net": {"width": 8, "depth": [2, 4]}}), end="")
        name = "tiny"
        <BLANKLINE>
        [net]
        width = 8
        depth = [2, 4]
    """
    return "\n".join(_lines(tables, "")).strip() + "\n"


def _lines(table: Mapping[str, Any], prefix: str) -> list[str]:
    """Lines of one table, then of the tables below it."""
    below = {k: v for k, v in table.items() if k in _SECTIONS}
    lines = [f"{_key(k)} = {value(v)}" for k, v in table.items() if k not in below]
    for name, inner in below.items():
        if isinstance(inner, Mapping):
            lines += ["", f"[{prefix}{name}]", *_lines(inner, f"{prefix}{name}.")]
            continue
        for entry in inner:
            lines += ["", f"[[{prefix}{name}]]", *_lines(entry, f"{prefix}{name}.")]
    return lines


def _key(name: str) -> str:
    """A key, quoted if need be."""
    return name if _BARE.fullmatch(name) else json.dumps(name, ensure_ascii=False)


def value(data: Any) -> str:
    """One value in a line.

    Raises:
        TypeError: For a value that TOML cannot hold.

    Example:
        >>> value({"stage": "adam", "steps": 500, "betas": [0.9, 0.98]})
        '{ stage = "adam", steps = 500, betas = [0.9, 0.98] }'
    """
    if isinstance(data, bool):
        return "true" if data else "false"
    if isinstance(data, int):
        return str(data)
    if isinstance(data, float):
        if math.isnan(data) or math.isinf(data):
            return "nan" if math.isnan(data) else "inf" if data > 0 else "-inf"
        text = repr(data)
        return text if "." in text or "e" not in text else text.replace("e", ".0e")
    if isinstance(data, str):
        return json.dumps(data, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(data, (list, tuple)):
        return "[" + ", ".join(map(value, data)) + "]"
    if isinstance(data, Mapping):
        return "{ " + ", ".join(f"{_key(str(k))} = {value(v)}" for k, v in data.items()) + " }" if data else "{}"
    raise TypeError(f"a TOML value must be text, a number, true, false, a list or a table. Got {type(data).__name__}.")
