"""What a results folder stands for: the study of its ``study.toml``, with what the last session put in its place."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol, TypeVar

from approxrates import store
from approxrates.spec.tomltext import value as toml_value


class Runs(Protocol):
    """What is asked of a study here."""

    def run_ids(self) -> list[str]:
        """Ids of its runs."""


S = TypeVar("S", bound=Runs)


def standing_study(folder: Path, read: Callable[[Path, Mapping[str, Any]], S]) -> S | store.Selection:
    """What ``status`` and ``report`` of a folder speak of.

    That is the study of ``study.toml``, with the overrides of the last session. It is the noted selection of runs if
    that session was of another study than ``study.toml`` describes, or if ``study.toml`` cannot be read (which is
    warned of).

    Args:
        folder: Results folder.
        read: ``Study.from_toml``.

    Raises:
        ValueError: If ``study.toml`` cannot be read and no selection is noted.
    """
    noted = store.read_selection(folder)
    if noted is not None and not noted.own_file:
        return noted
    try:
        return read(folder / "study.toml", noted.overrides if noted is not None else {})
    except ValueError as problem:
        if noted is None:
            raise
        warnings.warn(f"{problem} Until then the runs of the last session are meant.", stacklevel=2)
        return noted


def difference_note(
    path: Path, ids: Iterable[str], overrides: Mapping[str, Any], read: Callable[[Path, Mapping[str, Any]], Runs]
) -> str:
    """One sentence if a folder's ``study.toml`` and the study that is run there are not the same runs, else nothing.

    Args:
        path: The ``study.toml`` of the folder.
        ids: Ids of the study that is run.
        overrides: What took the place of values of that very file; empty if the study does not come from it.
        read: ``Study.from_toml``.
    """
    if overrides:
        settings = with_set(overrides)
        return (
            f"{path} is run with {settings}; records and report are of that. Write approxrates run {path} {settings} "
            "to do it again, or change the file."
        )
    mine, theirs = set(ids), set(read(path, {}).run_ids())
    if mine == theirs:
        return ""
    return (
        f"{path} describes another study: of its {len(theirs)} runs {len(theirs & mine)} are among these {len(mine)}. "
        f"It is kept; records and report are of these {len(mine)}. Write study.to_toml() into it, or give another "
        "folder."
    )


def with_set(overrides: Mapping[str, Any]) -> str:
    """Overrides as options of the command line.

    Example:
        >>> with_set({"net.width": 6, "net.depth": [1, 2]})
        "--set net.width=6 --set 'net.depth=[1, 2]'"
    """
    return " ".join(f"--set {_quoted(f'{key}={_shown(value)}')}" for key, value in overrides.items())


def _shown(value: Any) -> str:
    """A value as it is written after the sign; text stays bare, for it is read as text if it is not TOML."""
    return value if isinstance(value, str) and value.isidentifier() else toml_value(value)


def _quoted(text: str) -> str:
    """An argument for a shell."""
    import shlex

    return shlex.quote(text)


def storable(overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Overrides as JSON data; what JSON cannot hold (dates) is left out, for no study takes it."""
    kept = {}
    for key, value in overrides.items():
        try:
            json.dumps(value, allow_nan=False)
        except (TypeError, ValueError):
            continue
        kept[key] = value
    return kept
