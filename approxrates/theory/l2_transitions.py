r"""Deep linear networks under an L2 penalty, one mode at a time, in closed form: where learning sets in, and how.

The setting. A network of ``L`` weight matrices without biases, so ``L - 1`` hidden layers (``depth = L - 1`` elsewhere
in this library), is trained on ``E (y - f)^2 + gamma * (sum of all squared weights)``. Let the inputs be uncorrelated
with variance ``A`` along the first one, and ``y = (c / A) x_1 + noise``, so that ``c = E[x_1 y]`` is the signal. The
end-to-end map of a linear network is ``f = b x_1`` at best, and up to the constant ``E y^2`` the error is
``A b^2 - 2 c b``.

The penalty as a function of ``b``. Among all factorisations ``w_1 w_2 ... w_L = b`` the least ``sum w_i^2`` is
``L |b|^{2/L}``, by the inequality of arithmetic and geometric means, with equality when the layers are balanced,
``w_i^2 = |b|^{2/L}``. For matrices: the least sum of squared Frobenius norms over factorisations of ``W`` is
``L * sum_i s_i(W)^{2/L}`` over its singular values. Hence, for ``c > 0`` and ``b >= 0``,

    F(b) = A b^2 - 2 c b + gamma L b^{2/L}.

Stationary points other than zero satisfy ``gamma = g(b) := (c - A b) b^{1 - 2/L}``.

- ``L = 2``: ``F`` is a parabola on ``b >= 0``; its minimum ``b* = max(0, (c - gamma) / A)`` is continuous in ``gamma``
  with a kink at ``gamma_c = c``. No second minimum ever exists: a transition of second order.
- ``L >= 3``: ``g`` rises from 0, is concave, and falls back to 0 at ``b = c / A``. Its top, ``g' = 0``, is at
  ``b_sp = c (L - 2) / (2 A (L - 1))``: no stationary point but zero beyond the *spinodal* ``gamma_sp = g(b_sp)``. Below
  it the larger root is a minimum (the learned branch) and the smaller one the barrier. Zero stays a local minimum for
  every ``gamma > 0``, since ``b^{2/L}`` beats ``b`` near zero. The two minima are equally deep where ``F(b) = 0``
  together with ``gamma = g(b)``: dividing by ``b``, ``A b - 2 c + L (c - A b) = 0``, so
  ``b_c = c (L - 2) / (A (L - 1)) = 2 b_sp`` and ``gamma_c = g(b_c) = c / (L - 1) * b_c^{1 - 2/L}``: the minimum jumps
  from ``b_c`` to 0, a transition of first order.

Several modes. With outputs ``y = M x`` and white inputs the balanced layers share singular vectors with ``M``, so ``F``
is a sum over modes, each with its singular value as ``c``: one transition per mode, and the functions below are called
with the array of signals.

References:
    Derived here. Ziyin & Ueda (2022), arXiv:2205.12510 (recalled), find the same orders: continuous with one hidden
    layer, first order with more. Ersoy & Wiesner (2025), arXiv:2505.06597: the abstract of the first version names the
    orders the other way round; the second version agrees with what is derived here.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

LEARNED, METASTABLE, TRIVIAL = "learned", "metastable", "trivial"
"""Phases: the learned branch is the global minimum; only a local one; gone."""


class Transition(NamedTuple):
    """Where one mode stops being learned as the penalty rises, each entry of the broadcast shape of the signals.

    ``critical``: penalty at which the global minimum changes. ``jump``: ``b`` there, just below it (0 if continuous).
    ``spinodal``: penalty at which the learned branch ends. ``edge``: ``b`` at that end.
    """

    critical: Floats
    jump: Floats
    spinodal: Floats
    edge: Floats


def order_of_transition(n_matrices: int) -> str:
    """``"second order"`` for two weight matrices (one hidden layer), ``"first order"`` for three or more.

    Raises:
        ValueError: If there are fewer than two matrices: ``b = c / (A + gamma)`` then has no transition at all.
    """
    return "second order" if _checked(n_matrices) == 2 else "first order"


def reduced_loss(b: ArrayLike, penalty: ArrayLike, n_matrices: int, signal: ArrayLike = 1.0,
                 variance: ArrayLike = 1.0) -> Floats:  # fmt: skip
    """``F(b) = A b^2 - 2 c b + gamma L |b|^{2/L}``: penalised loss of balanced layers, less the loss of zero weights.

    Args:
        b: Slope of the end-to-end map; all array arguments broadcast against each other.
        penalty: ``gamma``, weight of the sum of squared weights, at least 0.
        n_matrices: ``L``, at least 2.
        signal: ``c = E[x_1 y]``.
        variance: ``A = E[x_1^2]``, positive.
    """
    slope = np.asarray(b, dtype=np.float64)
    size = n_matrices * np.abs(slope) ** (2 / _checked(n_matrices))
    found: Floats = np.asarray(variance) * slope**2 - 2 * np.asarray(signal) * slope + np.asarray(penalty) * size
    return found


def transition(n_matrices: int, signal: ArrayLike = 1.0, variance: ArrayLike = 1.0) -> Transition:
    """Critical penalty, jump, spinodal and the slope at it, for one mode or an array of them.

    Args:
        n_matrices: ``L``, at least 2 (hidden layers plus one).
        signal: ``c``, positive.
        variance: ``A``, positive.

    Raises:
        ValueError: If an argument is out of range.

    Example:
        >>> [round(float(entry), 4) for entry in transition(3)]
        [0.3969, 0.5, 0.4725, 0.25]
        >>> [float(entry) for entry in transition(2, signal=0.6)]
        [0.6, 0.0, 0.6, 0.0]
    """
    c, a = _positive(signal, variance)
    exponent = 1 - 2 / _checked(n_matrices)
    jump = c * (n_matrices - 2) / (a * (n_matrices - 1))
    edge = jump / 2
    return Transition(
        critical=(c - a * jump) * jump**exponent, jump=jump, spinodal=(c - a * edge) * edge**exponent, edge=edge
    )


def learned_branch(penalty: ArrayLike, n_matrices: int, signal: ArrayLike = 1.0,
                   variance: ArrayLike = 1.0) -> Floats:  # fmt: skip
    """``b`` of the non-trivial minimum, stable or metastable; NaN beyond the spinodal, where there is none.

    ``L = 2``: ``(c - gamma) / A``. ``L >= 3``: the larger root of ``g(b) = gamma``. In ``u = A b / c`` it reads
    ``(1 - u) u^q = v`` with ``q = 1 - 2/L``; the left side is concave and falling between the top and ``u = 1``, so
    Newton's method from ``u = 1`` descends to the root without overshooting it. Its slowest case, the double root at
    the spinodal, gains one bit per step.

    Args:
        penalty: ``gamma``, at least 0; broadcasts against the signals.
        n_matrices: ``L``, at least 2.
        signal: ``c``, positive.
        variance: ``A``, positive.
    """
    c, a = _positive(signal, variance)
    gamma = _penalties(penalty)
    if _checked(n_matrices) == 2:
        return np.where(gamma <= c, (c - gamma) / a, np.nan)
    q = 1 - 2 / n_matrices
    gamma, c, a = np.broadcast_arrays(gamma, c, a)
    level = gamma / (c * (c / a) ** q)
    top = q / (1 + q)
    u = np.ones_like(level)
    for _ in range(80):
        fall = u ** (q - 1) * ((1 + q) * u - q)  # minus the slope of (1 - u) u^q; zero at the top only
        step = (level - (1 - u) * u**q) / np.where(fall > 0, fall, np.inf)
        u = np.clip(u - np.maximum(step, 0.0), top, 1.0)
    return np.where(gamma <= transition(n_matrices, c, a).spinodal, u * c / a, np.nan)


def global_minimum(penalty: ArrayLike, n_matrices: int, signal: ArrayLike = 1.0,
                   variance: ArrayLike = 1.0) -> Floats:  # fmt: skip
    """``b*(gamma)``, the slope at the global minimum: the learned branch up to the critical penalty, then 0.

    Arguments as for :func:`learned_branch`.

    Example:
        >>> global_minimum([0.0, 0.4, 2.0], 2).tolist()
        [1.0, 0.6, 0.0]
    """
    branch = learned_branch(penalty, n_matrices, signal, variance)
    learned = _penalties(penalty) < transition(n_matrices, signal, variance).critical
    return np.where(learned, branch, 0.0)


def phase(penalty: ArrayLike, n_matrices: int, signal: ArrayLike = 1.0, variance: ArrayLike = 1.0) -> NDArray[np.str_]:
    """``"learned"``, ``"metastable"`` (between critical penalty and spinodal; never for two matrices) or ``"trivial"``.

    Arguments as for :func:`learned_branch`.
    """
    gamma = _penalties(penalty)
    point = transition(n_matrices, signal, variance)
    return np.where(gamma < point.critical, LEARNED, np.where(gamma < point.spinodal, METASTABLE, TRIVIAL))


def rank_of_minimum(penalty: ArrayLike, n_matrices: int, signals: ArrayLike) -> NDArray[np.int64]:
    """Number of modes alive at the global minimum, white inputs.

    Args:
        penalty: ``gamma``, shape ``(n,)`` or a number.
        n_matrices: ``L``, at least 2; layers at least as wide as there are modes.
        signals: Singular values of the target map, shape ``(modes,)``.

    Returns:
        Shape of ``penalty``.

    Example:
        >>> rank_of_minimum([0.1, 0.5, 0.8, 2.0], 2, [1.0, 0.6, 0.3]).tolist()
        [3, 2, 1, 0]
    """
    gamma = _penalties(penalty)[..., None]
    alive = gamma < transition(n_matrices, np.atleast_1d(np.asarray(signals, dtype=np.float64))).critical
    found: NDArray[np.int64] = alive.sum(axis=-1)
    return found


def scaling_curvature(penalty: ArrayLike, n_matrices: int, signal: ArrayLike = 1.0,
                      variance: ArrayLike = 1.0) -> Floats:  # fmt: skip
    """Second derivative of ``F`` on the learned branch when all layers grow together, per unit of weight space.

    With all ``L`` active weights equal to ``t``, ``F = A t^{2L} - 2 c t^L + gamma L t^2``; along the unit vector
    ``(1, ..., 1) / sqrt(L)``, and with ``gamma = g(b)`` put in, the second derivative is
    ``4 (L - 1) A t^{2L - 2} - 2 c (L - 2) t^{L - 2}``. It vanishes at the spinodal for ``L >= 3``, at the critical
    penalty for ``L = 2``, where it is ``4 (c - gamma)``.

    Returns:
        NaN beyond the spinodal; other arguments as for :func:`learned_branch`.
    """
    c, a = _positive(signal, variance)
    t = learned_branch(penalty, n_matrices, c, a) ** (1 / n_matrices)
    found: Floats = 4 * (n_matrices - 1) * a * t ** (2 * n_matrices - 2) - 2 * c * (n_matrices - 2) * t ** (
        n_matrices - 2
    )
    return found


def stability_margin(penalty: ArrayLike, n_matrices: int, signal: ArrayLike = 1.0,
                     variance: ArrayLike = 1.0) -> Floats:  # fmt: skip
    """Smallest eigenvalue of the penalised Hessian on the learned branch, symmetry directions left out.

    At balanced layers with one active unit each, the Hessian splits into blocks: growing together
    (:func:`scaling_curvature`); growing apart, ``sum of changes = 0``, ``4 gamma``; an idle unit's weights to and from
    active ones, which mix into ``4 gamma`` and 0, the latter the rotations of hidden units; weights between idle units
    and into idle inputs, ``2 gamma`` or more. So the margin is ``min(scaling_curvature, 2 gamma)`` for ``L >= 3`` and a
    width of at least 2, where weights between idle units exist. For ``L = 2`` they do not; idle units have weights from
    idle inputs, ``2 gamma`` again, if there are at least two inputs.

    Returns:
        NaN beyond the spinodal; other arguments as for :func:`learned_branch`.
    """
    return np.minimum(scaling_curvature(penalty, n_matrices, signal, variance), 2 * _penalties(penalty))


def trivial_margin(penalty: ArrayLike, n_matrices: int, signal: ArrayLike = 1.0) -> Floats:
    """Smallest eigenvalue of the penalised Hessian at zero weights: ``2 (gamma - c)`` for ``L = 2``, else ``2 gamma``.

    A product of three or more small weights has no second-order term; ``-2 c w_1 w_2`` has eigenvalues ``-2c, 2c``.
    """
    gamma = _penalties(penalty)
    c, _ = _positive(signal, 1.0)
    found: Floats = 2 * (gamma - c) if _checked(n_matrices) == 2 else 2 * gamma + 0 * c
    return found


def _checked(n_matrices: int) -> int:
    """The number of weight matrices, refused if no transition exists."""
    if not isinstance(n_matrices, (int, np.integer)) or isinstance(n_matrices, bool) or n_matrices < 2:
        raise ValueError(
            "n_matrices must be a whole number of at least 2 (hidden layers plus one): one matrix has no transition. "
            f"Got {n_matrices!r}. Write n_matrices=depth + 1."
        )
    return int(n_matrices)


def _positive(signal: ArrayLike, variance: ArrayLike) -> tuple[Floats, Floats]:
    """Signal and variance as arrays, refused unless positive."""
    found = []
    for name, value in (("signal", signal), ("variance", variance)):
        array = np.asarray(value, dtype=np.float64)
        if not np.all((array > 0) & np.isfinite(array)):
            raise ValueError(f"{name} must be positive and finite. Got {value!r}. Write e.g. {name}=1.0.")
        found.append(array)
    return found[0], found[1]


def _penalties(penalty: ArrayLike) -> Floats:
    """Penalties as an array, refused if negative."""
    gamma = np.asarray(penalty, dtype=np.float64)
    if not np.all(gamma >= 0):
        raise ValueError(f"penalty must be at least 0. Got {penalty!r}. Write e.g. penalty=0.1.")
    return gamma
