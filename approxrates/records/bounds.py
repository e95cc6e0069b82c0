"""Runs on random trees against the certified lower curves that apply to them, one by one."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from approxrates import activations, theory
from approxrates.generators import base as tree_base
from approxrates.generators.bump_tree import bump_tree, default_setting, margin
from approxrates.generators.faber_tree import faber_tree
from approxrates.generators.signs import stored_levels
from approxrates.target import Target

Row = Mapping[str, Any]

BOUND_COLUMNS = (
    "run_id",
    "target",
    "target_options",
    "smoothness",
    "dim",
    "target_seed",
    "method",
    "construction",
    "activation",
    "width",
    "depth",
    "replica",
    "n_params",
    "pieces",
    "base",
    "kappa",
    "curve",
    "bound",
    "error_upper",
    "certified",
    "ratio",
    "ok",
    "conditional",
    "bound_pieces",
    "bound_bits",
    "bound_real_weights",
)
"""Columns of ``Records.check_bounds()``, in order; one row per run on a tree."""

CURVES = ("pieces", "bits", "real weights")
"""The certified curves; of equal bounds the first needs the least."""
FLOAT_BITS, SINGLE_BITS = 64, 32
_MANTISSA = {FLOAT_BITS: 53, SINGLE_BITS: 24}
_ROUNDING = 1e-12  # of a bound computed in float64
_TREES: dict[str, Callable[..., Target]] = {"faber_tree": faber_tree, "bump_tree": bump_tree}


@dataclass(frozen=True)
class Tree:
    """What the lower curves need to know about a random tree of amplitude 1.

    Attributes:
        smoothness: ``r``.
        dim: ``d``.
        base: ``b``.
        kappa: Margin of the sign functionals over their norm, rounded down.
        n_points: Points of each functional, or more.
        levels: Number of levels.
        stored: Levels whose signs are true random bits; 0 for hashed signs.
        bends: The functional vanishes on affine functions.
    """

    smoothness: float
    dim: int
    base: int
    kappa: float
    n_points: int
    levels: int
    stored: int
    bends: bool


@dataclass(frozen=True)
class Bound:
    """A certified lower bound of one sup error.

    Attributes:
        curve: Name of the curve.
        value: The bound; 0.0 where the levels of the tree do not suffice.
        conditional: It holds if hashed signs are as good as random ones.
    """

    curve: str
    value: float
    conditional: bool


def tree_of(row: Row) -> Tree | None:
    """The tree that a row's target is, or None if it is none that the curves are proved for.

    A target file's own name for a family (``label``) does not matter; rows of a table name the family as their target.
    """
    parameters = row.get("parameters")
    if parameters is None:
        if row.get("target_options"):
            return None
        parameters = {c: row.get(c) for c in ("smoothness", "dim")} | {"name": row.get("target")}
    name = parameters.get("name")
    if name not in _TREES:
        return None
    shape = {str(k): v for k, v in parameters.items() if k not in ("name", "label", "seed", "information_rich")}
    return _tree(str(name), tuple(sorted(shape.items())))


@functools.lru_cache(maxsize=256)
def _tree(name: str, shape: tuple[tuple[str, Any], ...]) -> Tree | None:
    """A tree from the parameters of its target; the target itself says what was left to it."""
    try:
        target = _TREES[name](**dict(shape))
    except (TypeError, ValueError):
        return None  # a table may use the name with values of its own
    given, r, d = target.parameters, target.regularity.smoothness, target.regularity.dim
    if name == "faber_tree":
        b, kappa, n_points, bends = 2, 0.5, 3, True
        full = tree_base.DEFAULT_LEVELS
    else:
        b, order = (given["base"], given["order"]) if "base" in given else default_setting(r)
        kappa, n_points, bends = float(margin(r, b, order)) * (1 - _ROUNDING), order + 1, order >= 3
        full = math.ceil(tree_base.DEFAULT_LEVELS / math.log2(b))
    stored = stored_levels(b, d) if given.get("signs") == "stored" else 0
    return Tree(r, d, b, kappa, n_points, int(given.get("levels", full)), stored, bends)


def bounds_of(row: Row, tree: Tree) -> list[Bound]:
    """Every certified lower bound that applies to the network of a row."""
    found = [_by_pieces(row, tree), _by_bits(row, tree), _by_real_weights(row, tree)]
    return [bound for bound in found if bound is not None]


def _by_pieces(row: Row, tree: Tree) -> Bound | None:
    """By the linear pieces of the network itself: no probability, no condition."""
    pieces = _whole(row.get("pieces"))
    if pieces is None or pieces < 1 or tree.dim != 1 or not tree.bends:
        return None
    value = theory.free_knot_lower_curve(pieces, tree.smoothness, levels=tree.levels, base=tree.base, kappa=tree.kappa)
    return Bound("pieces", float(value), conditional=False)


def bits_bound(tree: Tree, n_params: float, bits: float = FLOAT_BITS) -> Bound:
    """By counting the networks that so many weights of so many bits can name."""
    level = float(theory.bits_level(n_params, bits, dim=tree.dim, base=tree.base))
    return _at_level("bits", tree, level)


def description_bound(tree: Tree, bits: float) -> Bound:
    """By counting the networks of one architecture whose weights are written in so many bits."""
    return _at_level("bits", tree, float(theory.description_level(bits, dim=tree.dim, base=tree.base)))


def real_weights_bound(tree: Tree, widths: tuple[int, ...], breakpoints: int, degree: int) -> Bound:
    """By counting the sign patterns that an architecture can show."""
    return _at_level(
        "real weights", tree, _pattern_level(widths, tree.dim, tree.base, tree.n_points, breakpoints, degree)
    )


@functools.lru_cache(maxsize=4096)
def _pattern_level(widths: tuple[int, ...], dim: int, base: int, n_points: int, breakpoints: int, degree: int) -> int:
    """The level that an architecture cannot show; many runs share one."""
    return theory.real_weights_level(
        widths, dim=dim, base=base, n_points=n_points, breakpoints=breakpoints, degree=degree
    )


def _at_level(curve: str, tree: Tree, level: float) -> Bound:
    """The bound of one level of the tree."""
    value = tree.kappa * tree.base ** (-level * tree.smoothness) if level < tree.levels else 0.0
    return Bound(curve, value, conditional=level >= tree.stored)


def _by_bits(row: Row, tree: Tree) -> Bound | None:
    """By the bits of the weights: their description if it is known, else all that a float64 has, or a float32."""
    described = _whole(row.get("description_bits"))
    if described is not None:
        return description_bound(tree, described)
    size, longest = _whole(row.get("n_params_dense") or row.get("n_params")), _whole(row.get("max_bits"))
    if size is None or longest is None or longest > _MANTISSA[FLOAT_BITS]:
        return None
    single = row.get("dtype") == "float32" and longest <= _MANTISSA[SINGLE_BITS]
    return bits_bound(tree, size, SINGLE_BITS if single else FLOAT_BITS)


def _by_real_weights(row: Row, tree: Tree) -> Bound | None:
    """By the architecture: a dense network of the row's width and depth contains every narrower one.

    Skip connections count as the units that carry them: ``x``, and the second term of each residual sum.
    """
    width, depth, shape = _whole(row.get("width")), _whole(row.get("depth")), unit_shape(str(row.get("activation")))
    if not width or not depth or shape is None or row.get("method") == "reference":
        return None
    skips, (breakpoints, degree) = str(row.get("architecture_options") or ""), shape
    carried = width * ("residual" in skips) + tree.dim * ("injection" in skips)
    return real_weights_bound(tree, (width + carried,) * depth, breakpoints, max(degree, 1) if carried else degree)


@functools.cache
def unit_shape(activation: str) -> tuple[int, int] | None:
    """Break-points and degree of the units of an activation; None if they are not polynomials of finitely many pieces.

    Of a mixed layer the most of each.
    """
    try:
        whole = activations.get(activation)
    except ValueError:
        return None
    shapes = [(len(u.breakpoints), u.degree) for u in whole.parts or (whole,) if u.period is None]
    if len(shapes) < len(whole.parts or (whole,)) or any(degree is None for _, degree in shapes):
        return None
    return max(1, max(n for n, _ in shapes)), max(degree or 0 for _, degree in shapes)


def _whole(value: Any) -> int | None:
    """A whole number, or None where it is missing."""
    return None if value is None or value != value else int(value)


def check_rows(rows: Iterable[Row]) -> list[dict[str, Any]]:
    """One record per successful run on a tree that some curve applies to; see ``Records.check_bounds``."""
    checked = []
    for row in rows:
        upper = row.get("error_sup_upper")
        tree = tree_of(row) if row.get("status") == "ok" and upper is not None else None
        bounds = bounds_of(row, tree) if tree is not None else []
        if tree is None or not bounds:
            continue
        sharpest = max(bounds, key=lambda b: (b.value, -CURVES.index(b.curve)))
        assert upper is not None, "a run without an error has no tree"
        checked.append(
            {c: row.get(c) for c in BOUND_COLUMNS}
            | {"base": tree.base, "kappa": tree.kappa}
            | {"curve": sharpest.curve, "bound": sharpest.value, "conditional": sharpest.conditional}
            | {"error_upper": float(upper), "certified": bool(row.get("certified", False))}
            | {"ratio": float(upper) / sharpest.value if sharpest.value > 0 else math.inf}
            | {"ok": float(upper) >= sharpest.value * (1 - _ROUNDING)}
            | {f"bound_{b.curve.replace(' ', '_')}": b.value for b in bounds}
        )
    return checked
