"""The rate that a construction or a reference method declares for a family, to hold the measured one against."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping
from typing import Any

from approxrates import constructions, references
from approxrates.regularity import Regularity

CLOSE = 0.05
"""A measured rate within this of the declared one agrees with it."""


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
