"""Where to look first: the points at which a construction says that its network bends. Nothing rests on this hint.

``network.provenance["mesh"]`` of a network in d = 1 may hold ``{"cells": N, "steps": M, "dead": [p, q], "reflected":
bool, "ramp": k}``: cell i is ``[i / N, (i + 1) / N]``, its nodes are at ``(p / q + j) / (M + p / q)`` of it, ``j = 0 ..
M``, from the right in odd cells if ``reflected``; index ramps lie within ``2^-k`` to the left of multiples of
``1 / N``. Without it, or with other keys, 1,024 cells are looked at. Bends that are not on this mesh are found and
cut at.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from approxrates.errors.exact.engine import POSITION
from approxrates.network import Network

ONE_UNIT = 1 << POSITION
_GENERIC = 10
_MOST = 1 << 22


def first_mesh(network: Network) -> NDArray[np.int64]:
    """Points of [0, 1] as multiples of ``2^-52``, ascending, both ends among them."""
    generic = np.arange((1 << _GENERIC) + 1, dtype=np.int64) << (POSITION - _GENERIC)
    hint: Any = network.provenance.get("mesh")
    if not isinstance(hint, dict):
        return generic
    try:
        return _hinted(hint)
    except (KeyError, TypeError, ValueError, ZeroDivisionError, OverflowError):
        return generic


def _hinted(hint: dict[str, Any]) -> NDArray[np.int64]:
    """The mesh that a hint describes."""
    cells, steps = int(hint["cells"]), int(hint.get("steps", 1))
    over, under = (int(v) for v in hint.get("dead", [0, 1]))
    if cells < 1 or steps < 1 or cells * (steps + 2) > _MOST:
        raise ValueError("a hint must describe a mesh of bounded size")
    knots = np.array([(i << POSITION) // cells for i in range(cells + 1)], dtype=np.int64)
    whole = (steps * under + over) * cells
    inside = np.array([((over + j * under) << POSITION) // whole for j in range(steps)], dtype=np.int64)
    forward, backward = knots[:-1, None] + inside, knots[1:, None] - inside
    if hint.get("reflected"):
        forward[1::2] = backward[1::2]
    points = [knots, forward.ravel()]
    ramp = hint.get("ramp")
    if ramp is not None and 0 < int(ramp) <= POSITION:
        points.append(knots - (1 << POSITION - int(ramp)))
    merged = np.unique(np.concatenate([*points, np.array([0, ONE_UNIT])]))
    result: NDArray[np.int64] = merged[(merged >= 0) & (merged <= ONE_UNIT)]
    return result
