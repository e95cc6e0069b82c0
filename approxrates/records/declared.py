"""The rate that a construction or a reference method declares for a family, to hold the measured one against."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from approxrates import constructions, references
from approxrates.regularity import Regularity

CLOSE = 0.05
"""A measured rate within this of the declared one agrees with it."""


def lower_order(row: Mapping[str, Any]) -> float:
    """Weights of a constructed network that terms of lower order of its count law take; 0 where none are declared.

    The rate of a construction is a statement about the terms that grow fastest. Logarithms beside them are no small
    thing at a few thousand weights: they make every slope steeper than the law.

    Args:
        row: A flat row: ``method``, ``construction``, ``n_params``, ``n_params_limit``, ``made_options``,
            ``smoothness``, ``dim``, ``activation``.
    """
    name, limit = str(row.get("construction")), row.get("n_params_limit")
    if row.get("method") != "construct" or name not in constructions.names() or limit is None:
        return 0.0
    law = constructions.describe(name).lower_order
    if law is None or row.get("activation") != "relu" or row.get("n_params") is None:
        return 0.0
    try:
        found = law(float(row["smoothness"]), int(row["dim"]), int(limit), **_laid_out(row))
    except (TypeError, ValueError):
        return 0.0  # sizes given by hand, or a limit that fits nothing
    return min(found, float(row["n_params"]) - 2.0)


def _laid_out(row: Mapping[str, Any]) -> dict[str, Any]:
    """Options of the layout: what a network is compiled to is none of them."""
    return {k: v for k, v in (row.get("made_options") or {}).items() if k not in ("activation", "tolerance")}


def declared_depth(row: Mapping[str, Any]) -> float:
    """Exponent ``a`` of depth ~ W^a that a construction declares for its leading terms; NaN if none is declared."""
    name = str(row.get("construction"))
    if row.get("method") != "construct" or name not in constructions.names():
        return math.nan
    law = constructions.describe(name).depth_law
    try:
        return math.nan if law is None else law(float(row["smoothness"]), int(row["dim"]), **_laid_out(row))
    except TypeError:
        return math.nan  # options that change the law


def lower_orders(rows_by_size: Sequence[Sequence[Mapping[str, Any]]]) -> NDArray[np.float64] | None:
    """The median of :func:`lower_order` at each size, None if there are no such terms."""
    found = np.array([np.median([lower_order(row) for row in rows]) for rows in rows_by_size])
    return found if found.any() else None


def declared_rate(row: Mapping[str, Any], regularity: Regularity) -> float:
    """Declared exponent of a family, for the class of its target; ``inf`` beyond every power, NaN if none is declared.

    Args:
        row: A flat row of the family: ``method``, ``construction``, ``made_options``.
        regularity: What is known about its target.
    """
    name = str(row.get("construction"))
    if row.get("method") == "reference" and name in references.names():
        return references.describe(name).rate(regularity.smoothness, regularity.dim, **(row.get("made_options") or {}))
    if row.get("method") == "construct" and name in constructions.names():
        law = constructions.describe(name).rate
        taken = inspect.signature(law).parameters
        options = {k: v for k, v in (row.get("made_options") or {}).items() if k in taken}
        return law(regularity.smoothness, regularity.dim, **options)
    return math.nan
