"""The catalogue of targets: what each family claims (``targets/*.toml``), and targets made by name or from a file."""

from __future__ import annotations

import dataclasses
import difflib
import functools
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from approxrates.catalogue.claims import FamilyClaims, read_record
from approxrates.catalogue.targetfile import TargetFile, own_target
from approxrates.generators import GENERATORS
from approxrates.generators.base import whole
from approxrates.shipped import folder
from approxrates.target import Target

_COMMON = ("smoothness", "dim", "seed")
FINE_CELLS = 2**20
"""Cells along an axis from which a target with other ``levels`` than the default keeps the claims of its family.

``sharp`` and ``information_rich`` speak of the limit function; a finite sum is smooth below its finest cells, and its
bits are those of its cells. 2^20 of them along an axis are more than any network, sample or grid of a study resolves
(the measured smoothness sees 2^16, stored signs reach 2^20), so there the sum cannot be told from its limit.
"""


def _claims_of(path: Path) -> FamilyClaims:
    """The claims of one file of the catalogue."""
    claims = read_record(path, FamilyClaims)
    if claims.generator not in GENERATORS:
        raise ValueError(f"{path}: generator must be one of {', '.join(GENERATORS)}. Got {claims.generator!r}.")
    if claims.name != path.stem:
        raise ValueError(f"{path}: name must be that of the file, {path.stem!r}. Got {claims.name!r}.")
    return claims


@functools.cache
def _catalogue() -> dict[str, FamilyClaims]:
    """All families by name, in the order of the files."""
    read = [_claims_of(path) for path in sorted(folder().glob("*.toml"))]
    return {claims.name: claims for claims in read}


def families() -> list[str]:
    """Names of all families of the catalogue, sorted."""
    return sorted(_catalogue())


def describe(name: str) -> FamilyClaims:
    """What a family claims.

    Raises:
        ValueError: For an unknown name.

    Example:
        >>> describe("faber_tree").sharp
        True
    """
    if not isinstance(name, str) or name not in _catalogue():
        close = difflib.get_close_matches(str(name), families(), n=1)
        hint = f" Did you mean {close[0]}?" if close else ""
        raise ValueError(f"target must be one of {', '.join(families())}. Got {name!r}.{hint}")
    return _catalogue()[name]


def table() -> list[dict[str, str]]:
    """One row per family for a listing: family, title, smoothness, dim, draws, sharp, content."""
    return [
        {
            "family": claims.name,
            "title": claims.title,
            "smoothness": str(claims.smoothness),
            "dim": ", ".join(map(str, claims.dims)),
            "draws": "random" if claims.random else "one",
            "sharp": "yes" if claims.sharp else "no",
            "content": claims.difficulty,
        }
        for claims in map(describe, families())
    ]


def load_target(
    name: str, *, smoothness: float | str | None = None, dim: int = 1, seed: int = 0, **parameters: Any
) -> Target:
    """A target of the catalogue.

    Args:
        name: Name of the family; :func:`families` lists them.
        smoothness: The r of the family; may be left out where a family has only one.
        dim: Input dimension d.
        seed: Which draw. Every family accepts it; where nothing is random, all seeds give one and the same target.
        **parameters: The family's own; ``describe(name).parameters`` lists them.

    Returns:
        The target; ``load_target(**target.parameters)`` makes an equal one. With other ``levels`` than the default, and
        fewer than :data:`FINE_CELLS` cells along an axis on the finest, it is neither sharp nor information-rich: r is
        then a lower bound, as the sum is smoother below its finest cells.

    Raises:
        TypeError: For values of the wrong kind.
        ValueError: For an unknown family or parameter, or values that the family does not have.

    Example:
        >>> target = load_target("faber_tree", smoothness=0.5, dim=1, seed=0)
        >>> target.regularity.sharp, abs(target.exact([0.5])[0])
        (True, Fraction(1, 1))
    """
    claims = describe(name)
    allowed = (*_COMMON, *claims.parameters)
    for key in parameters:
        if key not in allowed:
            close = difflib.get_close_matches(key, allowed, n=1)
            hint = f" Did you mean {close[0]}?" if close else ""
            raise ValueError(f"{name} has no parameter {key!r}. Its parameters are {', '.join(allowed)}.{hint}")
    if whole("dim", dim, 1) not in claims.dims:
        raise ValueError(f"dim of {name} must be one of {', '.join(map(str, claims.dims))}. Got dim={dim}.")
    r = _smoothness(claims, smoothness)
    own = {key: value for key, value in parameters.items() if value is not None}
    target = GENERATORS[claims.generator](smoothness=r, dim=dim, seed=seed, **own)
    fine = _is_fine(target)
    regularity = dataclasses.replace(
        target.regularity,
        kind=claims.kind,
        sharp=claims.sharp and fine,
        information_rich=claims.information_rich and fine,
    )
    return dataclasses.replace(target, regularity=regularity)


def _is_fine(target: Target) -> bool:
    """Whether a target may stand for its limit: it has the default levels (which are not stated), or fine cells."""
    levels = target.parameters.get("levels")
    return levels is None or target.base**levels >= FINE_CELLS


def _smoothness(claims: FamilyClaims, smoothness: float | str | None) -> float:
    """The smoothness asked for, if the family has it."""
    example = f"smoothness={claims.smoothness.values[0]:g}"
    if smoothness is None:
        if len(claims.smoothness.values) == 1:
            return claims.smoothness.values[0]
        raise ValueError(f"smoothness must be given for {claims.name}: {claims.smoothness}. Write e.g. {example}.")
    if smoothness == "inf":
        smoothness = math.inf
    if isinstance(smoothness, (bool, str)) or not isinstance(smoothness, (int, float, np.integer, np.floating)):
        raise TypeError(f"smoothness must be a number. Got {smoothness!r}. Write e.g. {example}.")
    if not claims.smoothness.allows(float(smoothness)):
        raise ValueError(
            f"smoothness of {claims.name} must be {claims.smoothness}. Got smoothness={smoothness:g}. "
            f"Use e.g. {example}."
        )
    return float(smoothness)


def load_target_file(path: str | Path, **overrides: Any) -> Target:
    """A target described by a user's TOML file.

    The file names one source: ``generator`` (a family of the catalogue, with its arguments under ``[parameters]``),
    ``function`` (``"module:function"``, with ``smoothness`` and ``dim`` as claims) or ``data`` (a ``.csv`` whose last
    column is the value, or an ``.npz`` with ``x`` and ``y``; relative to the file).

    Args:
        path: The file.
        **overrides: For a generator: arguments that replace those of the file. Otherwise they may only
            repeat what the file states; ``seed`` is accepted, without meaning.

    Raises:
        TypeError: For values of the wrong kind.
        ValueError: For an unreadable file, unknown keys (the allowed ones are listed), or a source that cannot be used.
    """
    path = Path(path)
    record = read_record(path, TargetFile)
    try:
        if record.generator is not None:
            return _from_generator(record, overrides)
        target = own_target(record, path.parent)
    except (ValueError, TypeError) as error:
        raise type(error)(f"{path}: {error}") from None
    for key, value in overrides.items():
        if key != "seed" and ("inf" if value == math.inf else value) != target.parameters.get(key):
            raise ValueError(f"{path}: {key} must be what the file states. Got {key}={value!r}. Edit the file.")
    return target


def _from_generator(record: TargetFile, overrides: Mapping[str, Any]) -> Target:
    """A catalogue family under a name of the user's; the parameters stay those that rebuild it."""
    arguments: dict[str, Any] = {
        "smoothness": record.smoothness,
        "dim": record.dim or 1,
        **record.parameters,
        **overrides,
    }
    return dataclasses.replace(load_target(str(record.generator), **arguments), name=record.name)
