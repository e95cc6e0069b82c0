"""Ridge functions: one rough function of one linear form, in any number of variables."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np

from approxrates.generators import base
from approxrates.generators.bump_tree import SplineBump, bump_tree, default_setting
from approxrates.generators.faber_tree import faber_tree
from approxrates.generators.profiles import Affine, Mirrored, ProfileModel
from approxrates.generators.structured import LEVELS, UNIT, node_seed, rounding, tree_slope
from approxrates.regularity import Regularity
from approxrates.seeds import hash_words
from approxrates.target import Point, Target

_BITS = 20
_MOST = 64


@dataclass(frozen=True)
class Form:
    """``x -> (a . x - min) / (max - min)`` over the unit cube, for a direction ``a``."""

    direction: tuple[Fraction, ...]

    @property
    def weights(self) -> list[Fraction]:
        """Shares of the coordinates, positive numbers that sum to 1."""
        total = sum(map(abs, self.direction))
        return [abs(a) / total for a in self.direction]

    def evaluate(self, x: base.Floats) -> base.Floats:
        """Values in ``[0, 1]`` at points ``(n, d)``, shape ``(n,)``."""
        total = np.zeros(len(x))
        for i, (a, w) in enumerate(zip(self.direction, self.weights, strict=True)):
            total += float(w) * (x[:, i] if a > 0 else 1.0 - x[:, i])
        return np.minimum(total, 1.0)

    def exact(self, point: Point) -> Fraction:
        """Value at a point of rationals."""
        pairs = zip(self.direction, self.weights, point, strict=True)
        return sum((w * (c if a > 0 else 1 - c) for a, w, c in pairs), start=Fraction(0))


@dataclass(frozen=True)
class Composed:
    """A function of one variable after a form."""

    form: Any
    profile: Callable[[base.Floats], base.Floats] = field(repr=False)
    exact_profile: Callable[[Point], Any] = field(repr=False)

    def evaluate(self, x: base.Floats) -> base.Floats:
        """Values at points ``(n, d)``, shape ``(n,)``."""
        return self.profile(self.form.evaluate(x)[:, None])

    def exact(self, point: Point) -> Any:
        """Value at a point of rationals."""
        return self.exact_profile((self.form.exact(point),))


@dataclass(frozen=True)
class Slope:
    """The gradient of a function of a form."""

    form: Form
    derivative: Callable[[base.Floats], base.Floats] = field(repr=False)

    def evaluate(self, x: base.Floats) -> base.Floats:
        """Gradients at points ``(n, d)``, same shape."""
        pairs = zip(self.form.direction, self.form.weights, strict=True)
        shares = np.array([float(w) if a > 0 else -float(w) for a, w in pairs])
        return np.asarray(self.derivative(self.form.evaluate(x)[:, None]) * shares)


def _direction(direction: Any, seed: int, d: int) -> tuple[Fraction, ...]:
    """The direction given, or one of random signs and sizes within a factor of two."""
    if direction is None:
        words = hash_words(node_seed("ridge direction", seed, 0), 0, np.arange(d, dtype=np.uint64))
        sizes = [(1 << _BITS) + int(w >> np.uint64(64 - _BITS)) for w in words]
        return tuple(Fraction(-n if int(w) & 1 else n) for n, w in zip(sizes, words, strict=True))
    if isinstance(direction, (str, bytes)) or not isinstance(direction, Sequence):
        raise TypeError(f"direction must be a list of numbers. Got {direction!r}. Write e.g. direction=[1.0, -0.5].")
    if not all(isinstance(a, (int, float)) and not isinstance(a, bool) for a in direction):
        raise TypeError(f"direction must hold numbers. Got {list(direction)!r}. Write e.g. direction=[1.0, -0.5].")
    if len(direction) != d or not all(abs(a) <= sys.float_info.max for a in direction) or not any(direction):
        raise ValueError(f"direction must be dim={d} finite numbers, not all 0. Got {str(list(direction))[:80]}.")
    return tuple(map(Fraction, direction))


def ridge(
    smoothness: float,
    dim: int = 1,
    seed: int = 0,
    direction: Sequence[float] | None = None,
    levels: int | None = None,
) -> Target:
    r"""``g(t(x))`` with ``t = a . x`` mapped onto ``[0, 1]`` and g a random tree in one variable, Hölder of order r.

    g is a Faber tree for ``r < 1`` and a bump tree for ``r > 1``. The direction has full support and a random sign in
    each coordinate unless it is given.

    *Hölder constant*: with ``w_i = |a_i| / sum |a_j|``, derivatives of order ``m0 = floor r`` are those of g at ``t``
    times ``m0`` of the ``w_i``, and ``|t(x) - t(y)| <= |w| |x - y|``: the radius is that of g times
    ``(max w_i)^m0 |w|^(r - m0)``.

    *Rounding.* Shares, reflected coordinates, products and sums are rounded once each, all at most 1: ``t`` is off by
    ``(d + 4) 2^-53`` at most, which g magnifies by its slope.

    *Nowhere better*: along a coordinate with ``w_i > 0`` it is g, stretched. It depends on one variable, so it carries
    about ``eps^(-1/r)`` bits and not ``eps^(-d/r)``: a network that finds the direction has the rate of dimension 1.
    Therefore it is not information-rich in dimension d.

    Args:
        smoothness: ``0 < r < 6``, not an integer.
        dim: Input dimension d.
        seed: Seed of the tree and of the direction.
        direction: The a, a list of d numbers; by default from the seed.
        levels: Levels of the tree; by default 20 for ``r < 1`` (more would magnify the rounding of ``a . x``), for
            ``r > 1`` as many as a bump tree has.

    Raises:
        TypeError: For values of the wrong kind.
        ValueError: For values out of range.

    Reference:
        Pinkus (2015), Ridge Functions; Mayer, Ullrich & Vybíral (2015), Constr. Approx. 42, 231-264, for their entropy.
    """
    r, d, seed = (
        base.rough("ridge", smoothness, below=6.0),
        base.whole("dim", dim, 1, _MOST),
        base.whole("seed", seed, 0),
    )
    form = Form(_direction(direction, seed, d))
    tree_seed = node_seed("ridge", seed, 1)
    if r < 1:
        count = base.whole("levels", LEVELS if levels is None else levels, 1, base.deepest(2))
        g, slope = faber_tree(r, 1, tree_seed, count), tree_slope(r, count, 1)
    else:
        g, slope = bump_tree(r, 1, tree_seed, levels=levels), _bump_slope(r)
    shares = [float(w) for w in form.weights]
    extra: dict[str, Any] = {} if direction is None else {"direction": [float(a) for a in direction]}
    if levels is not None and not (r < 1 and levels == LEVELS):
        extra["levels"] = levels
    total = Composed(form, g.evaluate, g.exact_evaluate or g.exact)
    m0, radius = math.floor(r), g.regularity.radius or 0.0
    return Target(
        name="ridge",
        regularity=Regularity(
            r, d, radius=base.ROUND_UP * radius * max(shares) ** m0 * math.hypot(*shares) ** (r - m0)
        ),
        parameters=base.identity("ridge", (r, d), seed, extra),
        evaluate=total.evaluate,
        exact_evaluate=total.exact,
        tail_bound=g.tail_bound,
        base=g.base,
        enclosure=_enclosure(form, g),
        gradient=None if g.gradient is None else Slope(form, g.gradient).evaluate,
        evaluation_error=rounding((d + 4) * UNIT, slope, g.evaluation_error),
        interpolation_gap=g.interpolation_gap if d == 1 else None,
    )


def _enclosure(form: Form, g: Target) -> Any:
    """The enclosure of g after the form; in one variable g itself, or its mirror image."""
    signs = tuple(1 if a > 0 else -1 for a in form.direction)
    if len(signs) == 1:
        return g.enclosure if signs[0] > 0 else Mirrored(g)
    return ProfileModel(len(signs), g, Affine(tuple(map(float, form.weights)), signs))


def _bump_slope(r: float) -> float:
    """Lipschitz constant of a bump tree of order ``r > 1``: the levels' slopes are a geometric series."""
    b, m = default_setting(r)
    return base.ROUND_UP * float(SplineBump(m).derivative_bound(1)) * base.geometric(b, r - 1.0)
