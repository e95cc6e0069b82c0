"""Target tables of a study file: one table, its sweeps and draws, to the targets it stands for, and back."""

from __future__ import annotations

import difflib
import inspect
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from approxrates import axes, catalogue
from approxrates.axes import Axis
from approxrates.generators import GENERATORS
from approxrates.spec.sources import Sourced, build_target, free_parameters, read_data, regularity_from, source_of
from approxrates.target import Target

_MOST_DRAWS = 10_000
_CLAIMS = ("smoothness", "dim", "kind", "radius", "sharp", "information_rich")


def targets_of(table: Mapping[str, Any], folder: Path) -> list[Sourced]:
    """The targets of one table, each with its source.

    A table names a family (``name = "faber_tree"``), a catalogue file (``file = "mine.toml"``), a function
    (``function = "module:function"``) or data (``data = "points.csv"``). A list is a sweep, ``draws = n`` the seeds 0
    to n - 1.

    Args:
        table: Table as read from TOML; values may be axes already.
        folder: Folder that relative paths start from.

    Raises:
        ValueError: For unknown keys, or values that the target does not take.
        TypeError: For values of the wrong kind.
    """
    table = _with_draws(dict(table))
    kinds: list[str] = [k for k in ("name", "file", "data") if k in table]
    kinds = kinds or [k for k in ("function",) if k in table]
    if len(kinds) != 1:
        got = " and ".join(kinds) or f"none of them, but {', '.join(table) or 'nothing'}"
        raise ValueError(
            f'a target must have one of name, file, function, data. Got {got}. Write e.g. name = "faber_tree".'
        )
    made = {"name": _named, "file": _from_file, "function": _from_function, "data": _from_data}[kinds[0]]
    slots = [(k, _swept(table, k, v)) for k, v in table.items() if k != "zip"]
    zips = [table["zip"]] if isinstance(table.get("zip"), dict) else table.get("zip", [])
    if not isinstance(zips, list) or not all(isinstance(z, dict) for z in zips):
        raise ValueError(
            f"zip must be a table of lists. Got {zips!r}. Write zip = {{ smoothness = [0.5], dim = [1] }}."
        )
    for together in zips:
        slots += list(zip(together, axes.axis.zip(*together.values()), strict=True))
    return [made(dict(combo), folder) for combo in axes.expand(slots)]


def _with_draws(table: dict[str, Any]) -> dict[str, Any]:
    """``draws = n`` as an axis of seeds."""
    if "draws" not in table:
        return table
    draws = table.pop("draws")
    if isinstance(draws, bool) or not isinstance(draws, int) or draws < 1:
        raise ValueError(f"draws must be an integer of at least 1. Got {draws!r}. Write e.g. draws = 8.")
    if draws > _MOST_DRAWS:
        raise ValueError(f"draws must be at most {_MOST_DRAWS}. Got {draws}. Write e.g. draws = 8.")
    if "seed" in table:
        raise ValueError(
            f"draws and seed say the same. Got draws = {draws} and seed = {table['seed']!r}. Leave one out."
        )
    return table | {"seed": Axis(tuple(range(draws)))}


def _swept(table: Mapping[str, Any], key: str, value: Any) -> Any:
    """A list as an axis, unless the family takes a list there; then a list of lists is one."""
    if isinstance(value, dict) and set(value) == {"geom"}:
        return axes.axis.geom(*value["geom"])
    if not isinstance(value, list) or not value:
        return value
    if key in _list_parameters(table.get("name")) and not isinstance(value[0], list):
        return value
    return Axis(tuple(value))


def _list_parameters(family: Any) -> set[str]:
    """Parameters of a family that are lists themselves, as the coefficients of a polynomial are."""
    if family not in catalogue.families():
        return set()
    signature = inspect.signature(GENERATORS[catalogue.describe(family).generator])
    return {name for name, p in signature.parameters.items() if "Sequence" in str(p.annotation)}


def _named(table: dict[str, Any], folder: Path) -> Sourced:
    """A target of the catalogue."""
    return Sourced(catalogue.load_target(**table))


def _from_file(table: dict[str, Any], folder: Path) -> Sourced:
    """A target of a user's catalogue file."""
    path = folder / str(table.pop("file"))
    return Sourced(catalogue.load_target_file(path, **table), {"file": str(path.resolve())})


def _from_function(table: dict[str, Any], folder: Path) -> Sourced:
    """An importable function with its claims."""
    _allowed(table, ("function", "label", *_CLAIMS))
    name = table["function"]
    if not isinstance(name, str) or ":" not in name:
        raise ValueError(f'function must be module:function. Got {name!r}. Write e.g. function = "mytargets:bumpy".')
    regularity = regularity_from({k: table[k] for k in _CLAIMS if k in table})
    claims = {"callable": name, "smoothness": regularity.smoothness, "dim": regularity.dim}
    claims |= {"information_rich": True} if regularity.information_rich else {}
    claims |= {"label": table["label"]} if "label" in table else {}
    stated = {k: v for k, v in vars(regularity).items() if v is not None}
    source = {"function": name, "regularity": stated, "label": table.get("label")}
    return Sourced(build_target(claims, source), source)


def _from_data(table: dict[str, Any], folder: Path) -> Sourced:
    """Data of a file or of the table itself, with its claims."""
    _allowed(table, ("data", "label", *_CLAIMS))
    data = table["data"] if isinstance(table["data"], dict) else str((folder / str(table["data"])).resolve())
    regularity = regularity_from({k: table[k] for k in _CLAIMS if k in table})
    label = table.get("label", "data")
    target = Target.from_data(*read_data(data, regularity.dim), regularity, name=label)
    source = source_of(target)
    return Sourced(target, source | ({"data": data} if isinstance(data, str) else {}))


def _allowed(table: Mapping[str, Any], allowed: Sequence[str]) -> None:
    """Refuses unknown keys and missing claims."""
    for key in table:
        if key not in allowed:
            close = difflib.get_close_matches(key, allowed, n=1)
            hint = f" Did you mean {close[0]}?" if close else ""
            raise ValueError(
                f"{key} is not a known key. Got {key} = {table[key]!r}.{hint} Allowed: {', '.join(allowed)}."
            )
    for key in ("smoothness", "dim"):
        if key not in table:
            raise ValueError(
                f"{key} must be given for a function or data. Got nothing. Write e.g. {key} = "
                f"{'0.5' if key == 'smoothness' else '1'}."
            )


def tables_from(targets: Sequence[Sourced], folder: Path | None) -> Iterator[dict[str, Any]]:
    """Tables that stand for these targets, in their order; draws of one family are gathered.

    Args:
        targets: Targets with their sources.
        folder: Folder that paths are written relative to; None writes them in full.
    """
    gathered: list[tuple[dict[str, Any], list[int]]] = []
    for one in targets:
        table = _table(one.target, one.source, folder)
        seed = table.pop("seed", None)
        if seed is None:
            gathered.append((table, []))
        elif gathered and gathered[-1][0] == table and gathered[-1][1]:
            gathered[-1][1].append(seed)
        else:
            gathered.append((table, [seed]))
    for table, seeds in gathered:
        if not seeds:
            yield table
        elif seeds == list(range(len(seeds))):
            yield table | {"draws": len(seeds)}
        else:
            yield table | {"seed": seeds if len(seeds) > 1 else seeds[0]}


def _table(target: Target, source: Mapping[str, Any], folder: Path | None) -> dict[str, Any]:
    """One target as a table."""
    claims = {k: v for k, v in source.get("regularity", {}).items() if v is not False and (k, v) != ("kind", "holder")}
    label = {"label": source["label"]} if source.get("label") else {}
    if "function" in source:
        return {"function": source["function"], **claims, **label}
    if "data" in source:
        data = source["data"]
        return {"data": data if isinstance(data, Mapping) else _path(data, folder), **claims, **label}
    parameters = {k: float("inf") if v == "inf" else v for k, v in target.parameters.items()}
    if "file" in source:
        return {"file": _path(source["file"], folder), **free_parameters(parameters)}
    return parameters


def _path(path: str, folder: Path | None) -> str:
    """A path for a file in the folder."""
    return path if folder is None else Path(os.path.relpath(path, folder.resolve())).as_posix()
