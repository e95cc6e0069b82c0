r"""ReLU out of any piecewise-polynomial activation: zoom in on a break-point, difference away what is not the kink.

Let ``sigma(x_0 + s)`` be a polynomial ``P(s)`` for ``-h_l <= s <= 0`` and ``P(s) + c s^k`` for ``0 <= s <= h_r``, with
``deg P <= k``. The central difference of order ``k - 1`` with step ``delta``, divided by ``c k!``, makes of ``c s_+^k``

    S(t) = E[(t + U)_+],   U the sum of k - 1 independent uniform variables on [-delta/2, delta/2],

because differences divide out B-splines (Curry & Schoenberg 1966). So ``S(t) = max(t, 0)`` exactly wherever
``|t| >= (k-1) delta / 2``; everywhere ``0 <= S(t) - max(t, 0) <= E[U_+] <= (k-1) delta / 4`` (Jensen; the difference is
largest at 0, where it is ``delta / 8`` for ``k = 2`` and less than ``delta / 6`` for ``k = 3``); for ``k = 1`` it is
ReLU itself. ``S`` is monotone and 1-Lipschitz.

Of ``P`` the difference leaves a constant plus ``p_k k! t``, where ``p_k`` is its coefficient of ``s^k``. If that is
zero nothing more is needed (``k`` copies). Else the same difference taken ``h`` further left, where the activation is
``P`` too, leaves the same line moved by a constant, and subtracting it leaves ``S`` (``2 k`` copies). That asks for
``t`` to be bounded: by ``B`` below for the first kind if ``h_l`` is finite, above if ``h_r`` is. The zoom ``eta``
brings ``[-B, B]`` into reach.

(Yarotsky & Zhevnerchuk 2020, arXiv:1906.09477, state that all such activations share one phase diagram; the formulas
and bounds are proved here.)
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

from approxrates import activations
from approxrates.layers import Dyadic, dyadic, nearest


@dataclass(frozen=True)
class Kink:
    """A break-point of an activation that ReLU can be made of.

    Attributes:
        at: The break-point ``x_0``.
        power: ``k``.
        jump: ``c``.
        base: Coefficients of ``P`` in ``s``, constant first, ``k + 1`` of them.
        left: ``h_l``, infinite if ``P`` has no end.
        right: ``h_r``.
    """

    at: Dyadic
    power: int
    jump: Fraction
    base: tuple[Fraction, ...]
    left: float
    right: float

    @property
    def is_bare(self) -> bool:
        """Whether nothing of ``P`` but a constant survives the differences."""
        return self.base[self.power] == 0

    @property
    def n_copies(self) -> int:
        """Units that one ReLU takes."""
        return self.power if self.is_bare else 2 * self.power


@dataclass(frozen=True)
class Unit:
    """One copy: ``weight * sigma(zoom * t + shift)``."""

    zoom: Dyadic
    shift: Dyadic
    weight: Dyadic


@dataclass(frozen=True)
class Hinge:
    """``max(t, 0)`` as ``sum of units + constant``, for ``|t| <= reach``.

    Attributes:
        units: The copies.
        constant: What is added.
        error: Bound of the difference to ``max(t, 0)``.
    """

    units: tuple[Unit, ...]
    constant: Dyadic
    error: Fraction


def kink_of(code: str) -> Kink:
    """The break-point of an activation that takes the fewest copies.

    Raises:
        ValueError: If the activation is no continuous piecewise polynomial, or has no break-point of this kind.
    """
    activation = activations.get(code)
    if activation.pieces is None or not activation.breakpoints or activation.degree == 0:
        raise ValueError(
            f"a ReLU can be made of a continuous piecewise polynomial with a break-point. Got {code!r}. "
            "Choose e.g. 'relu2', 'leaky_relu', 'hard_tanh' or 'quadratic_bspline'."
        )
    marks, pieces, period = activation.breakpoints, activation.pieces, activation.period
    found = []
    for i, mark in enumerate(marks):
        if period is None:
            before, after = pieces[i], pieces[i + 1]
            left = mark - marks[i - 1] if i else math.inf
            right = marks[i + 1] - mark if i + 1 < len(marks) else math.inf
        else:
            before, after = _moved(pieces[i - 1], -period if i == 0 else 0.0), pieces[i]
            left = mark - marks[i - 1] if i else mark - marks[-1] + period
            right = marks[i + 1] - mark if i + 1 < len(marks) else marks[0] + period - mark
        kink = _kink(mark, _moved(before, mark), _moved(after, mark), left, right)
        if kink is not None:
            found.append(kink)
    if not found:
        raise ValueError(
            f"{code!r} needs a break-point where the pieces differ by one power c s^k, of at least their degree. "
            "Got none. Choose another activation."
        )
    return min(found, key=lambda k: (k.n_copies, -min(k.left, k.right)))


def _moved(row: tuple[Fraction, ...], by: float) -> tuple[Fraction, ...]:
    """Coefficients of ``s -> p(s + by)``."""
    at = Fraction(by)
    return tuple(
        sum((row[n] * math.comb(n, k) * at ** (n - k) for n in range(k, len(row))), Fraction(0))
        for k in range(len(row))
    )


def _kink(
    mark: float, before: tuple[Fraction, ...], after: tuple[Fraction, ...], left: float, right: float
) -> Kink | None:
    """The kink between two polynomials in ``s``, if they differ by one power and have no higher one."""
    length = max(len(before), len(after))
    p, q = (row + (Fraction(0),) * (length - len(row)) for row in (before, after))
    powers = [k for k in range(length) if p[k] != q[k]]
    if len(powers) != 1 or powers[0] == 0 or any(p[k] for k in range(powers[0] + 1, length)):
        return None
    k = powers[0]
    return Kink(dyadic(mark), k, q[k] - p[k], tuple(p[: k + 1]), left, right)


def hinge(kink: Kink, reach: int, error: Fraction) -> Hinge:
    """Copies whose sum is ``max(t, 0)`` up to ``error`` for ``|t| <= 2**reach``.

    ``delta = 2**step`` is the largest power of two, at most 1, with ``(k-1) delta / 4 <= error / 2``. A weight
    ``1 / (c k!)`` that is not dyadic is rounded by a factor ``1 + e``; the constant is made for the rounded weight, so
    the sum is ``(1 + e) S(t)`` but for the rounding of the constant, and the two take a quarter of ``error`` each.

    Raises:
        ValueError: If ``reach`` is negative or ``error`` not positive.
    """
    if reach < 0 or error <= 0:
        raise ValueError(f"reach must be >= 0 and error positive. Got {reach} and {error}. Write e.g. 0 and 1/8.")
    k = kink.power
    step = 0 if k == 1 else min(0, _floor_log2(2 * error / (k - 1)))
    within = reach + k  # |t| and the shifts of the difference together stay below 2^within
    apart = None if kink.is_bare else within + 1
    extent = None if math.isinf(kink.right) else within
    if not math.isinf(kink.left):
        extent = within if apart is None else within + 2
    zoom = 0 if extent is None else min(0, _floor_log2(Fraction(min(kink.left, kink.right))) - extent)
    exact = 1 / (kink.jump * math.factorial(k) * Fraction(2) ** (zoom * k + step * (k - 1)))
    weight = nearest(exact, _floor_log2(abs(exact) * error) - within - 3)
    units, constant = [], Fraction(0)
    at = -(Fraction(2) ** reach)  # everything is P there, so what the units give is the constant to take away
    for sign, move in ((1, Fraction(0)),) if apart is None else ((1, Fraction(0)), (-1, -(Fraction(2) ** apart))):
        for i in range(k):
            shift = Fraction(2) ** zoom * (move + (i - Fraction(k - 1, 2)) * Fraction(2) ** step)
            factor = sign * (-1) ** (k - 1 - i) * math.comb(k - 1, i)
            units.append(Unit(Dyadic(1, zoom), dyadic(kink.at.fraction + shift), weight * factor))
            s = Fraction(2) ** zoom * (at - (k - 1) * Fraction(2) ** step) + shift
            constant -= weight.fraction * factor * sum((c * s**n for n, c in enumerate(kink.base)), Fraction(0))
    added = nearest(constant, _floor_log2(error) - 2)
    bend = (k - 1) * Fraction(2) ** step / 4 if k > 1 else Fraction(0)
    stretch = abs(weight.fraction / exact - 1) * Fraction(2) ** within
    return Hinge(tuple(units), added, bend + stretch + abs(added.fraction - constant))


def _floor_log2(value: Fraction) -> int:
    """``floor(log2(value))`` for a positive rational of any size."""
    guess = value.numerator.bit_length() - value.denominator.bit_length()
    return guess if value >= Fraction(2) ** guess else guess - 1
