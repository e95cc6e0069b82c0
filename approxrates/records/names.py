"""What a family is called in a legend: its method, then whatever else differs in the study."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def varying(keys: list[dict[str, Any]]) -> list[str]:
    """Columns in which families differ. What only trained families have must differ between those to count.

    Between trained families nothing is a value as well: no links beside injection, the default number of points.
    """
    columns = dict.fromkeys(c for key in keys for c in key)
    values = {c: {repr(key.get(c)) for key in keys if c == "method" or key.get(c) not in (None, "")} for c in columns}
    trained = [key for key in keys if key.get("method") == "train"]
    apart = {c: {repr(key.get(c) or None) for key in trained} for c in columns}
    return [c for c in columns if len(values[c]) > 1 or len(apart[c]) > 1]


_SHORT = {"smoothness": "r = {:g}", "dim": "d = {}", "width": "width {}", "depth": "depth {}", "seed": "seed {}"}
_SHORT |= {"n_points": "{} points", "start": "{} start", "l2_penalty": "penalty {:g}"}


def family_label(key: Mapping[str, Any], shown: Sequence[str]) -> str:
    """Legend text of a family: its method, then whatever else differs in the study."""
    constructed = key["method"] != "train"
    named = "method" in shown or "construction" in shown
    parts = [str(key["construction"])] if constructed and named else []
    skipped = {"method", "construction"} | ({"activation", "dtype", "seed"} if constructed else set())
    for column in ("activation", *(c for c in shown if c != "activation")):
        value = key.get(column)
        if column in shown and column not in skipped and value not in (None, ""):
            parts.append(_SHORT.get(column, "{}").format(value).replace("inf", "∞"))
    return ", ".join(parts) or str(key["construction"] if constructed else key["activation"])
