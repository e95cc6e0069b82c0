"""Random b-adic B-spline bump tree: Hölder of any non-integer order, with a proof that it is not smoother."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from approxrates.generators.base import (
    DEFAULT_LEVELS,
    BumpSum,
    Floats,
    affine_pieces,
    amplitudes,
    deepest,
    gap_function,
    holder_constant,
    identity,
    rough,
    tail_sum,
    whole,
)
from approxrates.generators.models import bump_sum_enclosure, bump_sum_gradient
from approxrates.generators.rounding import bump_sum_error
from approxrates.generators.signs import chosen
from approxrates.regularity import Regularity
from approxrates.target import Target

BELOW = 6.0  # beyond it the splines lose digits in float64, and nothing asks for it
AUTO_BASES = (2, 4, 8, 16)
_SHOWN_BASES = (2, 3, 4, 5, 6, 8, 12, 16)
_REFINEMENTS = 5


@dataclass(frozen=True)
class SplineBump:
    """The B-spline of order m (degree m - 1, m equal pieces) stretched over ``[0, 1]``, with peak 1 at 1/2."""

    order: int

    @functools.cached_property
    def powers(self) -> tuple[tuple[int, Fraction], ...]:
        """Truncated powers ``c (m v - i)_+^(m-1)`` on the left half: pairs (i, c)."""
        m = self.order
        raw = [(i, (-1) ** i * math.comb(m, i)) for i in range((m + 1) // 2)]
        peak = sum(c * (Fraction(m, 2) - i) ** (m - 1) for i, c in raw)
        return tuple((i, c / peak) for i, c in raw)

    def values(self, u: Floats) -> Floats:
        """Values at fractions of a cell; overwrites ``u``."""
        np.minimum(u, 1.0 - u, out=u)
        u *= self.order
        total = np.zeros_like(u)
        for shift, factor in self.powers:
            reach = np.maximum(u - shift, 0.0) if shift else u
            power = reach * float(factor)
            for _ in range(self.order - 2):
                power *= reach
            total += power
        return total

    def exact(self, u: Fraction) -> Fraction:
        """Value at a rational fraction of a cell."""
        place = self.order * min(u, 1 - u)
        return sum((c * (place - i) ** (self.order - 1) for i, c in self.powers if place > i), start=Fraction(0))

    def derivative_bound(self, times: int) -> Fraction:
        """Upper bound on the sup norm of a derivative of order ``times <= order - 1``; equality for ``order - 1``.

        The derivative is a spline whose coefficients are signed binomials; B-splines sum to 1, so the largest
        coefficient bounds it, and repeated knot halving (Lane & Riesenfeld 1980) brings that bound down to the sup.
        """
        return _derivative_bound(self, times)


@functools.lru_cache(maxsize=512)
def _derivative_bound(bump: SplineBump, times: int) -> Fraction:
    """See :meth:`SplineBump.derivative_bound`; it takes 10 ms of fractions, and every target asks for several."""
    m, degree = bump.order, bump.order - 1 - times
    if times == 0:
        return Fraction(1)
    coefficients = [Fraction((-1) ** j * math.comb(times, j)) for j in range(times + 1)]
    for _ in range(_REFINEMENTS if degree else 0):
        coefficients = [c for c in coefficients for _ in range(2)]
        for _ in range(degree):
            coefficients = [(a + b) / 2 for a, b in itertools.pairwise([Fraction(0), *coefficients, Fraction(0)])]
    scale: Fraction = math.factorial(m - 1) * bump.powers[0][1]  # 1 / peak of the unit B-spline
    return scale * int(m**times) * max(abs(c) for c in coefficients)


@functools.lru_cache(maxsize=512)
def margin(smoothness: float, b: int, order: int) -> Fraction:
    r"""What a difference over one cell is sure to keep of the sign of that cell, per unit of its functional's norm.

    Take a difference of order o with nodes at multiples of ``1/b`` of a cell of level k. Finer bumps vanish at the
    nodes. The cell's own bump contributes ``s_kj b^(-k r) Delta``. The coarser levels together contribute at most

    * ``b^(-k r) t^o ||D^o psi|| / (b^(o-r) - 1)`` with ``o = order - 1`` and spacing ``t`` (mean value theorem, summed
      over the levels above), or
    * exactly nothing, with ``o = order``, if ``order`` divides ``b``: the knots of every coarser bump are then ends of
      cells of level k, so on the cell it is a polynomial of degree below o.

    If the own part is the larger, the sign of the difference is the sign of the cell, in every cell of every level: no
    function within ``margin * b^(-k r)`` has other signs, and the sum is nowhere smoother than r.

    Args:
        smoothness: The r of the amplitudes, non-integer.
        b: Base of the cells.
        order: Order of the B-spline.

    Returns:
        The greatest ``(|Delta| - coarser part) / 2^o`` over all node sets, as an exact lower bound; not above 0 if no
        node set works, and then nothing is proven.
    """
    bump, best = SplineBump(order), Fraction(-1)
    nodes = [bump.exact(Fraction(i, b)) for i in range(b + 1)]
    for o in (order - 1, order):
        if o <= smoothness or (o == order and b % order):
            continue
        drift = Fraction(0)
        if o < order:
            # b^-(o-r) rounded up, so that the sum of the geometric series is an upper bound.
            ratio = amplitudes(b, o - smoothness, 2)[1] * (1 + Fraction(1, 1 << 40))
            drift = bump.derivative_bound(o) * ratio / (1 - ratio) if ratio < 1 else Fraction(1 << 60)
        signs = [(-1) ** (o - i) * math.comb(o, i) for i in range(o + 1)]
        for step in range(1, b // o + 1):
            for start in range(b - o * step + 1):
                own = abs(sum(s * nodes[start + i * step] for i, s in enumerate(signs)))
                best = max(best, (own - drift * Fraction(step, b) ** o) / 2**o)
    return best


def is_admissible(smoothness: float, b: int, order: int) -> bool:
    """Whether (b, r, m) is proven: enough derivatives for the upper bound, and a positive margin for the lower."""
    return order - 1 > smoothness and margin(smoothness, b, order) > 0


@functools.lru_cache(maxsize=64)
def default_setting(smoothness: float) -> tuple[int, int]:
    """Base and order for a smoothness below 6: the smallest proven power of two, and its order of largest margin.

    Example:
        >>> default_setting(0.5), default_setting(1.5), default_setting(2.5)
        ((2, 2), (4, 4), (4, 4))
    """
    setting = first_proven(smoothness, AUTO_BASES, _orders(smoothness))
    assert setting is not None, "base 8 serves every smoothness below 6"
    return setting


def first_proven(r: float, bases: Iterable[int], orders: Iterable[int]) -> tuple[int, int] | None:
    """The first base that is proven with one of the orders, and the order of largest margin; None if there is none."""
    choices = list(orders)
    best = ((b, max(choices, key=lambda m: margin(r, b, m))) for b in bases)
    return next((setting for setting in best if is_admissible(r, *setting)), None)


def _orders(smoothness: float) -> range:
    """The spline orders tried: the least one with enough derivatives, and three more."""
    return range(math.floor(smoothness) + 2, math.floor(smoothness) + 6)


def setting_for(r: float, base: int | None, order: int | None) -> tuple[int, int]:
    """The base and order to use: what was asked for if it is proven, what goes with it where only one was."""
    bases = _SHOWN_BASES if base is None else (whole("base", base, 2, 64),)
    orders = _orders(r) if order is None else (whole("order", order, 2, 12),)
    if base is None and order is None:
        return default_setting(r)
    setting = first_proven(r, bases, orders)
    if setting is not None:
        return setting
    asked = ", ".join(f"{name}={value}" for name, value in (("base", base), ("order", order)) if value is not None)
    working = [s for s in itertools.product(_SHOWN_BASES, _orders(r)) if is_admissible(r, *s)]
    raise ValueError(
        f"bump_tree must have a base and order for which its smoothness is proven. Got smoothness={r:g} with {asked}. "
        f"Leave both out, or use (base, order) among {', '.join(f'({b}, {m})' for b, m in working)}."
    )


def holder_radius(bump: SplineBump, b: int, r: float, d: int) -> float:
    """Largest Hölder constant of order ``alpha`` among the derivatives of order ``m0``, ``r = m0 + alpha``."""
    m0 = math.floor(r)
    sup = [float(bump.derivative_bound(p)) for p in range(m0 + 2)]
    constants = []
    for split in itertools.combinations_with_replacement(range(d), m0):
        orders = [split.count(i) for i in range(d)]
        height = math.prod(sup[p] for p in orders)
        slope = math.sqrt(sum((height / sup[p] * sup[p + 1]) ** 2 for p in orders))
        constants.append(holder_constant(b, r - m0, slope, 2.0 * height))
    return max(constants)


def bump_tree(
    smoothness: float,
    dim: int = 1,
    seed: int = 0,
    base: int | None = None,
    order: int | None = None,
    levels: int | None = None,
    signs: str = "hashed",
) -> Target:
    r"""A random b-adic tree of B-spline bumps, Hölder of order ``r = smoothness``, any non-integer, and nowhere better.

    ``f(x) = sum_{k < levels} b^(-k r) sum_j s_kj prod_i psi(b^k x_i - j_i)``, ``psi`` the B-spline of order m on
    ``[0, 1]`` with peak 1, signs ``s_kj`` independent.

    *Hölder seminorm* (derivatives of order ``m0 = floor r``, Euclidean distance, ``alpha = r - m0``). ``psi`` has
    ``m - 2 >= m0`` continuous derivatives that vanish at the ends and a bounded one more. So ``D^gamma f``,
    ``|gamma| = m0``, is a sum of ``b^(-k alpha) g_k(x)`` with ``|g_k| <= prod ||psi^(gamma_i)|| =: H`` and gradient at
    most ``b^k G``, and :func:`~approxrates.generators.base.holder_constant` with swing 2 H and slope G bounds it;
    ``radius`` is the largest over gamma.

    *Nowhere better*: see :func:`margin`. In d > 1 take the difference in ``x_1`` with the other coordinates at the
    centre of the cell: the own bump is unchanged, coarser ones are multiplied by numbers in ``[0, 1]``, finer ones
    vanish.

    Args:
        smoothness: ``0 < r < 6``, not an integer.
        dim: Input dimension d.
        seed: Seed of the signs.
        base: The b; by default the smallest proven power of two.
        order: Order m of the B-spline; by default the least that is proven.
        levels: Number of levels; by default as many as reach cells of side ``2^-40``.
        signs: ``hashed``, or ``stored`` for true random bits on the coarse levels.

    Raises:
        TypeError: For values of the wrong kind.
        ValueError: For values out of range, or a (b, r, m) whose smoothness is not proven.

    Reference:
        Schumaker (2007), Spline Functions, for the B-splines; the two bounds are proven here and in :func:`margin`.
    """
    r, d, seed = rough("bump_tree", smoothness, BELOW), whole("dim", dim, 1), whole("seed", seed, 0)
    b, m = setting_for(r, base, order)
    full = math.ceil(DEFAULT_LEVELS / math.log2(b))
    levels = full if levels is None else whole("levels", levels, 1, deepest(b))
    extra: dict[str, Any] = {} if (b, m) == default_setting(r) else {"base": b, "order": m}
    if levels != full:
        extra["levels"] = levels
    if signs != "hashed":
        extra["signs"] = signs
    heights, bump = amplitudes(b, r, levels), SplineBump(m)
    tree = BumpSum(bump, b, d, heights, chosen(signs, b, d, seed))
    return Target(
        name="bump_tree",
        regularity=Regularity(r, d, radius=holder_radius(bump, b, r, d)),
        parameters=identity("bump_tree", (r, d), seed, extra),
        evaluate=tree.evaluate,
        exact_evaluate=tree.exact,
        tail_bound=tail_sum(b, r, levels),
        base=b,
        enclosure=bump_sum_enclosure(tree),
        evaluation_error=bump_sum_error(tree),
        gradient=bump_sum_gradient(tree) if r > 1.0 else None,
        interpolation_gap=gap_function(b, [float(a) for a in heights], coarse_gap(bump, b)) if d == 1 else None,
    )


def coarse_gap(bump: SplineBump, b: int) -> Callable[[float], float]:
    """Largest distance of a unit bump from its interpolant at a spacing that divides its cell."""
    if bump.order == 2:
        # A hat bends only at its centre, by 4: that is a node if b is even, else it costs a quarter of bend * spacing.
        return affine_pieces if b % 2 == 0 else _whole_spacing
    return functools.partial(_curved, float(bump.derivative_bound(2)))


def _whole_spacing(spacing: float) -> float:
    """A quarter of the bend of a hat times the spacing."""
    return spacing


def _curved(curvature: float, spacing: float) -> float:
    """What a bound on the second derivative gives, at most the height of the bump."""
    return min(1.0, curvature * spacing**2 / 8.0)
