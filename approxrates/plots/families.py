"""Families of networks as figures speak of them: which share a target, and what each is called beside the others."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from approxrates.records.curves import FamilyCurve

if TYPE_CHECKING:
    import pandas as pd

TARGET_COLUMNS = ("target", "target_options", "smoothness", "dim")
_SHORT = {
    "smoothness": "r = {}",
    "dim": "d = {}",
    "width": "width {}",
    "depth": "depth {}",
    "seed": "seed {}",
    "n_points": "{} points",
    "start": "{} start",
    "l2_penalty": "γ = {}",
}
_CALLED = {
    "yarotsky2020_deep": "deep",
    "yarotsky2020_deep_line": "deep",
    "yarotsky2020_deep_slopes": "deep, slopes",
    "yarotsky2020_deep_taylor": "deep, Taylor",
    "yarotsky2020_deep_plane": "deep",
    "yarotsky2020_fixed_width": "deep, fixed width",
    "yarotsky2020_periodic": "deep Fourier",
    "yarotsky2017_taylor": "local Taylor",
    "yarotsky2017_square": "squaring",
    "yarotsky2017_product": "product",
    "takagi_exponential": "self-similar",
}
"""What figures call a construction; others by their own name."""
_OPTIONS = {"depth_exponent": "depth ~ W^{:.2g}", "max_bits": "at most {} bits", "width": "{} units wide"}
"""What figures call an option of a construction; others are ``name = value``."""
_OWN = {"", "relu", "identity", "relu+sin"}
"""Units that constructions have of themselves; other ones are those they were compiled to."""
_SILENT = {"method", "construction", "activation", "architecture", "plan"}


def construction_name(name: Any) -> str:
    """A construction or reference method in a word or two: ``yarotsky2020_deep`` to ``deep``."""
    return _CALLED.get(str(name), readable(name))


def target_key(key: Mapping[str, Any]) -> tuple[str, ...]:
    """What two families must share to be approximating the same target law."""
    return tuple(repr(key.get(column)) for column in TARGET_COLUMNS)


def is_baseline(family: FamilyCurve) -> bool:
    """Whether a family is what others are held against: an interpolant or a reference method."""
    return family.method == "reference" or family.key.get("construction") == "interpolation"


def by_target(families: Sequence[FamilyCurve]) -> list[list[FamilyCurve]]:
    """Families grouped by target law, rough targets first, then in order of appearance."""
    groups: dict[tuple[str, ...], list[FamilyCurve]] = {}
    for family in families:
        groups.setdefault(target_key(family.key), []).append(family)
    return sorted(groups.values(), key=lambda group: (group[0].regularity.dim, group[0].regularity.smoothness))


def readable(name: Any) -> str:
    """A name of the code as words: ``faber_tree`` to ``Faber tree``; module paths and signs stay as they are."""
    text = str(name).rpartition(":")[2].replace("_", " ")
    return " ".join(
        word.capitalize() if word in {"faber", "takagi", "weierstrass", "landsberg", "runge"} else word
        for word in text.split(" ")
    )


def brief(value: float, sign: str = "") -> str:
    """A number for a label: two decimals, fewer where they would mean nothing; a true minus sign."""
    size = abs(value)
    text = f"{value:{sign},.0f}" if size >= 100 else f"{value:{sign}.2f}" if size >= 0.1 or sign else f"{value:.2g}"
    return text.replace("-", "−")


def target_name(family: FamilyCurve, *, dim: bool = False) -> str:
    """Title of a target law: ``Faber tree, r = 0.5``; with ``dim`` (or for d > 1) the dimension too."""
    return law_name(family.key, family.regularity.smoothness, family.regularity.dim, dim=dim)


def law_name(key: Mapping[str, Any], r: float, d: int, *, dim: bool = False) -> str:
    """Title of a target law from the columns ``target`` and ``target_options`` of a key or a row, with r and d."""
    name = " ".join([readable(key.get("target", "target")), *_option_words(key.get("target_options"))])
    parts = [name[:1].upper() + name[1:]]
    if math.isfinite(r):
        parts.append(f"r = {r:g}")
    if dim or d > 1:
        parts.append(f"d = {d}")
    return ", ".join(parts)


def target_options(text: Any) -> dict[str, Any]:
    """Further parameters of a target from the column that holds them as ``"name=value, ..."``."""
    options: dict[str, Any] = {}
    for item in filter(None, str(text or "").split(", ")):
        name, _, value = item.partition("=")
        try:
            options[name] = json.loads(value)
        except ValueError:
            options[name] = value
    return options


def by_law_and_family(frame: pd.DataFrame) -> dict[str, dict[str, list[dict[str, Any]]]]:
    """Rows of ``Records.gaps()`` or ``Records.split()`` by the title of their target law, rough ones first, and family.

    Families stand in the order of their names, for the order of the runs means nothing.
    """
    groups: dict[str, dict[str, list[dict[str, Any]]]] = {}
    place: dict[str, tuple[int, float]] = {}
    for found in frame.to_dict("records"):
        row = {str(name): value for name, value in found.items()}
        smoothness = math.inf if row["smoothness"] is None else float(row["smoothness"])
        title = law_name(row, smoothness, int(row["dim"]))
        groups.setdefault(title, {}).setdefault(str(row["family"]), []).append(row)
        place[title] = (int(row["dim"]), smoothness)
    return {title: dict(sorted(groups[title].items())) for title in sorted(groups, key=lambda title: place[title])}


def _option_words(text: Any) -> list[str]:
    """Further parameters of a target in words: a name stands alone, a number with what it is."""
    options = target_options(text)
    return [
        f"({value} signs)" if name == "signs" else readable(value) if isinstance(value, str) else f"({name} {value})"
        for name, value in options.items()
    ]


def family_names(families: Sequence[FamilyCurve]) -> list[str]:
    """What each family is called when its target is clear: the activation or construction, and whatever else varies.

    Names are equal exactly if the families differ in nothing but their target.
    """
    trained = [f.key for f in families if f.method == "train"]
    shown = {"train": _varying(trained), "construct": _varying([f.key for f in families if f.method != "train"])}
    names = []
    for family in families:
        built = family.method != "train"
        named = str(family.key.get("construction") or "construction")
        head = construction_name(named) if built else family.activation
        if built and family.activation not in _OWN:
            head += f" by {family.activation}"
        extra = [
            _told_apart(family, families) if c == "method_options" else _SHORT.get(c, "{}").format(_value(value))
            for c in shown["construct" if built else "train"]
            if (value := family.key.get(c)) not in (None, "")
        ]
        names.append(", ".join(filter(None, [head, *extra])))
    return names


def _told_apart(family: FamilyCurve, families: Sequence[FamilyCurve]) -> str:
    """The options of a method that differ among its families: ``grading = 2``, ``at most 48 bits``."""
    own = target_options(family.key.get("method_options"))
    others = [
        target_options(f.key.get("method_options"))
        for f in families
        if f.key.get("construction") == family.key.get("construction")
    ]
    apart = {k: v for k, v in own.items() if any(o.get(k) != v for o in others)}
    return ", ".join(_OPTIONS[k].format(v) if k in _OPTIONS else f"{k} = {_value(v)}" for k, v in apart.items())


def _varying(keys: Sequence[Mapping[str, Any]]) -> list[str]:
    """Columns, other than the target's and the head of the name, that differ among families."""
    columns = [c for c in dict.fromkeys(c for key in keys for c in key) if c not in TARGET_COLUMNS and c not in _SILENT]
    found = [c for c in columns if len({repr(key.get(c)) for key in keys}) > 1]
    # Architecture and plan have long names: they are shown only where two families would otherwise be called the same.
    for column in ("architecture", "plan"):
        told = {(*target_key(k), *(repr(k.get(c)) for c in ("activation", "construction", *found))) for k in keys}
        if len(told) < len(keys) and len({repr(key.get(column)) for key in keys}) > 1:
            found.append(column)
    return found


def _value(value: Any) -> str:
    """A short text for one value."""
    return f"{value:g}" if isinstance(value, float) else readable(value)
