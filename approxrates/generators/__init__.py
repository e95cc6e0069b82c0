"""Target families, one per file: functions that make a Target from (smoothness, dim, seed, parameters of their own).

What a family claims stands in ``targets/NAME.toml``; what it computes stands here. A new family is a file, a row below
and a TOML file.
"""

from __future__ import annotations

from collections.abc import Callable

from approxrates.generators.analytic import analytic
from approxrates.generators.base import RECIPE
from approxrates.generators.besov_tree import besov_tree
from approxrates.generators.brownian import brownian
from approxrates.generators.bump_tree import bump_tree
from approxrates.generators.compositional import compositional
from approxrates.generators.constant import constant
from approxrates.generators.corner import corner
from approxrates.generators.faber_tree import faber_tree
from approxrates.generators.gevrey import gevrey
from approxrates.generators.jump import jump
from approxrates.generators.lacunary import lacunary
from approxrates.generators.matern import matern
from approxrates.generators.mixed_tree import mixed_tree
from approxrates.generators.polynomial import polynomial
from approxrates.generators.power import power
from approxrates.generators.radial import radial
from approxrates.generators.ridge import ridge
from approxrates.generators.single_scale import needle, single_scale
from approxrates.generators.sparse_tree import sparse_tree
from approxrates.generators.takagi import takagi
from approxrates.generators.weierstrass import weierstrass
from approxrates.target import Target

GENERATORS: dict[str, Callable[..., Target]] = {
    "faber_tree": faber_tree,
    "bump_tree": bump_tree,
    "sparse_tree": sparse_tree,
    "besov_tree": besov_tree,
    "single_scale": single_scale,
    "needle": needle,
    "mixed_tree": mixed_tree,
    "lacunary": lacunary,
    "takagi": takagi,
    "weierstrass": weierstrass,
    "analytic": analytic,
    "polynomial": polynomial,
    "constant": constant,
    "power": power,
    "corner": corner,
    "brownian": brownian,
    "matern": matern,
    "gevrey": gevrey,
    "compositional": compositional,
    "ridge": ridge,
    "radial": radial,
    "jump": jump,
}

__all__ = ["GENERATORS", "RECIPE"]
