"""Target families, one per file: functions that make a Target from (smoothness, dim, seed, parameters of their own).

What a family claims stands in ``targets/NAME.toml``; what it computes stands here. A new family is a file, a row below
and a TOML file.
"""

from __future__ import annotations

from collections.abc import Callable

from approxrates.generators.analytic import analytic
from approxrates.generators.base import RECIPE
from approxrates.generators.bump_tree import bump_tree
from approxrates.generators.constant import constant
from approxrates.generators.faber_tree import faber_tree
from approxrates.generators.polynomial import polynomial
from approxrates.generators.takagi import takagi
from approxrates.generators.weierstrass import weierstrass
from approxrates.target import Target

GENERATORS: dict[str, Callable[..., Target]] = {
    "faber_tree": faber_tree,
    "bump_tree": bump_tree,
    "takagi": takagi,
    "weierstrass": weierstrass,
    "analytic": analytic,
    "polynomial": polynomial,
    "constant": constant,
}

__all__ = ["GENERATORS", "RECIPE"]
