r"""The uv model, exactly: two layers of weights, linear, one example. What full-batch gradient descent does to it.

The model is ``f = u.v / sqrt(w)`` with ``u, v`` in R^w (input 1), the target 0, the loss ``f^2 / 2`` (Lewkowycz et al.
2020, arXiv:2003.02218; Kalra & Barkeshli 2023, arXiv:2302.12250).

*Reduction.* The gradient by ``u`` is ``f v / sqrt(w)``, that by ``v`` is ``f u / sqrt(w)``, so a step of rate ``eta``
multiplies the whole vector ``u + v`` by ``1 - eta f / sqrt(w)`` and ``u - v`` by ``1 + eta f / sqrt(w)``. Only their
squared lengths ``S`` and ``D`` matter: ``f = (S - D) / (4 sqrt(w))``, and the neural tangent kernel is
``kernel = (|u|^2 + |v|^2) / w = (S + D) / (2 w)``. Written for ``f`` and ``kernel``, with ``z = f / sqrt(w)``,

    z      <-  z (1 - eta kernel + eta^2 z^2)
    kernel <-  kernel + eta z^2 (eta kernel - 4)

which is what is computed: unlike ``S - D`` it cancels nowhere.

*Hessian.* ``H = g g' + z J`` with ``g = (v, u) / sqrt(w)`` and ``J`` swapping the halves. The plane of the vectors
``(u + v, u + v)`` and ``(u - v, v - u)`` is invariant, there H is ``[[kernel/2 + 2z, -s], [-s, kernel/2 - 2z]]`` with
``s^2 = kernel^2/4 - z^2``. On its complement the eigenvalues are z and -z, which never exceed those diagonal entries.
So ``sharpness = (kernel + sqrt(kernel^2 + 12 z^2)) / 2``.

*Width* enters through the initial law alone. With standard normal weights S and D are independent, each twice a
chi-square of w degrees of freedom. Since ``(z, kernel, 1 / eta)`` scale together, whether loss or sharpness ever exceed
their first values depends, besides c, only on ``asymmetry = 2 z / kernel = (S - D) / (S + D)``: the law of
``(1 + asymmetry) / 2`` is Beta(w/2, w/2).

*First step.* At a learning rate ``eta = c / sharpness`` with ``x = eta kernel`` the loss rises at once if
``x - r^2 x^2 / 4 > 2``, r the asymmetry. If it does not, and ``r^2 < 1/2``, it never does (kernel and output fall
together; a test holds it on a grid of r, for 1000 steps). So the smallest c at which the loss ever exceeds its first is
``(1 + sqrt(1 + 3 r^2)) (1 - sqrt(1 - 2 r^2)) / r^2``, which tends to 2 as r tends to 0, that is, as w grows.

*Wide limit.* For small r the output is multiplied by ``1 - x`` in each step, and T steps change the sharpness, in units
of ``z^2 / kernel`` and at second order in z, by ``((x - 1)^(2T) - 1) ((x - 4) / (x - 2) + 3)``: it rises if
``x > 5/2``, whatever T is. So the constant of the sharpness tends to 5/2. That of the barrier tends to 2, because the
end of the segment belongs to it: in wide uv models the barrier comes before the rise of the sharpness.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from approxrates.theory.bisection import Scan, first_crossings

F64 = NDArray[np.float64]

DIVERGED = 1e5
"""Loss above which a trajectory counts as divergent, as in the authors' code."""

_RISE = 1.0 + 1e-12  # more than rounding
_COARSE = 0.05  # of the scan, in log2 c
_LOG2_C = (0.0, 6.0)


@dataclasses.dataclass(frozen=True)
class UVStates:
    """Parameters of uv models, as far as gradient descent sees them; shapes ``(n,)``.

    Attributes:
        width: Components of u and of v.
        output: ``f``.
        kernel: ``(|u|^2 + |v|^2) / width``, at least ``2 |f| / sqrt(width)``.
    """

    width: int
    output: F64
    kernel: F64

    @classmethod
    def of_vectors(cls, u: F64, v: F64) -> UVStates:
        """The states of explicit vectors, shapes ``(n, width)``."""
        width = u.shape[-1]
        return cls(width, (u * v).sum(-1) / np.sqrt(width), ((u**2).sum(-1) + (v**2).sum(-1)) / width)

    @classmethod
    def initial(cls, width: int, n: int, random: np.random.Generator) -> UVStates:
        """``n`` states of standard normal weights.

        Args:
            width: At least 1.
            n: At least 1.
            random: Where they are drawn from.

        Raises:
            ValueError: If ``width`` or ``n`` is below 1.
        """
        if width < 1 or n < 1:
            raise ValueError(f"width and n of a uv model must be at least 1. Got width={width}, n={n}.")
        plus, minus = 2.0 * random.chisquare(width, (2, n))
        return cls(width, (plus - minus) / (4.0 * np.sqrt(width)), (plus + minus) / (2.0 * width))

    @property
    def loss(self) -> F64:
        """``f^2 / 2``."""
        return np.asarray(self.output**2 / 2.0)

    @property
    def asymmetry(self) -> F64:
        """``2 f / (sqrt(width) kernel)``, in [-1, 1]."""
        return np.asarray(2.0 * self.output / (np.sqrt(self.width) * self.kernel))

    @property
    def sharpness(self) -> F64:
        """Top eigenvalue of the Hessian of the loss."""
        return _sharpness(self.output / np.sqrt(self.width), self.kernel)


@dataclasses.dataclass(frozen=True)
class UVTrajectories:
    """What gradient descent does, step by step; shapes ``(steps + 1, ...)``, infinite from where numbers overflow.

    Attributes:
        loss: ``f^2 / 2``.
        kernel: Neural tangent kernel.
        sharpness: Top eigenvalue of the Hessian.
        barrier: Shape ``(...)``: the largest loss on the straight segment from the first parameters to the last, less
            the first loss.
    """

    loss: F64
    kernel: F64
    sharpness: F64
    barrier: F64


@dataclasses.dataclass(frozen=True)
class CriticalConstants:
    """Learning-rate constants at which something begins, one for each initial state, shapes ``(n,)``.

    Attributes:
        loss: Smallest c at which the loss exceeds its first value at some step.
        sharpness: The same for the sharpness.
        barrier: Smallest c at which the loss on the segment from the first parameters to the last exceeds the first.
        maximum: Largest c below the first that diverges.
    """

    loss: F64
    sharpness: F64
    barrier: F64
    maximum: F64


def uv_trajectories(states: UVStates, c: float | F64, *, steps: int = 10) -> UVTrajectories:
    """Loss, kernel and sharpness along gradient descent at the learning rate ``c / sharpness`` of the first parameters.

    Args:
        states: Initial states, ``(n,)``.
        c: Learning-rate constants; broadcast against ``(n,)``: write ``c[:, None]`` to cross k constants with n states.
        steps: At least 1.

    Raises:
        ValueError: If ``steps < 1``.
    """
    if steps < 1:
        raise ValueError(f"steps must be at least 1. Got steps={steps}. Write steps=10.")
    root = np.sqrt(states.width)
    rate = np.asarray(c, dtype=np.float64) / states.sharpness
    z, kernel = np.broadcast_to(states.output / root, rate.shape), np.broadcast_to(states.kernel, rate.shape)
    seen = [(z, kernel)]
    plus, minus = np.ones(rate.shape), np.ones(rate.shape)
    with np.errstate(over="ignore", invalid="ignore"):
        for _ in range(steps):
            plus, minus = plus * (1.0 - rate * z), minus * (1.0 + rate * z)
            z, kernel = z * (1.0 - rate * kernel + (rate * z) ** 2), kernel + rate * z**2 * (rate * kernel - 4.0)
            seen.append((z, kernel))
        loss = _finite(np.array([(root * z) ** 2 / 2.0 for z, _ in seen]))
        sharpness = _finite(np.array([_sharpness(z, kernel) for z, kernel in seen]))
        barrier = _finite(_barrier(states, plus, minus))
    return UVTrajectories(loss, _finite(np.array([kernel for _, kernel in seen])), sharpness, barrier)


def uv_critical_constants(states: UVStates, *, steps: int = 10, resolution: float = 1e-3) -> CriticalConstants:
    """Critical constants of each initial state, by a scan of log2 c from 0 to 6 in steps of 0.05 and bisection.

    A trajectory that diverges (loss above ``DIVERGED``) counts as one whose loss, sharpness and barrier exceed their
    first values. Assumed is no more than what :mod:`approxrates.theory.bisection` says: that nothing happens only in
    between two points of the scan.

    Args:
        states: Initial states, ``(n,)``.
        steps: Length of the trajectories.
        resolution: Of log2 c; ``0.05 / resolution`` is rounded to a power of two.

    Returns:
        Constants, shape ``(n,)``; NaN where log2 c = 6 is not enough.

    Raises:
        ValueError: If ``resolution`` is not positive.
    """
    if not 0.0 < resolution <= _COARSE:
        raise ValueError(f"resolution must be in (0, {_COARSE}]. Got resolution={resolution}. Write resolution=1e-3.")
    stride = 2 ** int(np.ceil(np.log2(_COARSE / resolution)))
    n_coarse = round((_LOG2_C[1] - _LOG2_C[0]) / _COARSE)
    scan = Scan(_LOG2_C[0], _COARSE / stride, n_coarse * stride, stride)

    def begins(event: str) -> tuple[F64, F64]:
        def holds(cases: NDArray[np.intp], log2_c: F64) -> NDArray[np.bool_]:
            chosen = UVStates(states.width, states.output[cases], states.kernel[cases])
            return uv_events(chosen, np.exp2(log2_c), steps=steps)[event]

        found = first_crossings(holds, len(states.output), scan)
        return np.exp2(found.below), np.exp2(found.above)

    last, diverges = begins("diverged")
    maximum = np.where(np.isnan(diverges), np.nan, last)
    return CriticalConstants(begins("loss")[1], begins("sharpness")[1], begins("barrier")[1], maximum)


def uv_events(states: UVStates, c: float | F64, *, steps: int = 10) -> dict[str, NDArray[np.bool_]]:
    """Whether ``loss``, ``sharpness`` and ``barrier`` exceed their first values, and whether training ``diverged``.

    Args:
        states: Initial states, ``(n,)``.
        c: Learning-rate constants, broadcast against ``(n,)``.
        steps: Length of the trajectories.
    """
    path = uv_trajectories(states, c, steps=steps)
    diverged = path.loss.max(0) > DIVERGED
    return {
        "loss": diverged | (path.loss.max(0) > path.loss[0] * _RISE),
        "sharpness": diverged | (path.sharpness.max(0) > path.sharpness[0] * _RISE),
        "barrier": diverged | (path.barrier > path.loss[0] * (_RISE - 1.0)),
        "diverged": diverged,
    }


def uv_loss_constant(asymmetry: F64) -> F64:
    """The exact critical constant of the loss, for trajectories of any length.

    Args:
        asymmetry: ``2 f / (sqrt(width) kernel)``, shape ``(n,)``.

    Returns:
        The constants; NaN where the square of the asymmetry is 1/2 or more, where there is no such formula.
    """
    square = np.asarray(asymmetry, dtype=np.float64) ** 2
    with np.errstate(invalid="ignore"):
        root = np.sqrt(np.where(square < 0.5, 1.0 - 2.0 * square, np.nan))
    return np.asarray((1.0 + np.sqrt(1.0 + 3.0 * square)) * 2.0 / (1.0 + root))


def _sharpness(z: F64, kernel: F64) -> F64:
    """Top eigenvalue of the Hessian."""
    return np.asarray((kernel + np.sqrt(kernel**2 + 12.0 * z**2)) / 2.0)


def _finite(values: F64) -> F64:
    """Infinity in place of NaN, which comes of infinities only."""
    return np.asarray(np.where(np.isnan(values), np.inf, values))


def _barrier(states: UVStates, plus: F64, minus: F64) -> F64:
    """Largest loss on the segment, less the first: there f is a quadratic polynomial of the place.

    Args:
        states: Initial states.
        plus: Factor by which ``u + v`` has been multiplied in all.
        minus: That of ``u - v``.
    """
    root = np.sqrt(states.width)
    larger = root * (root * states.kernel + 2.0 * states.output) / (4.0 * root)  # S / (4 sqrt w)
    smaller = root * (root * states.kernel - 2.0 * states.output) / (4.0 * root)

    def output(place: F64) -> F64:
        there = larger * (1.0 + place * (plus - 1.0)) ** 2 - smaller * (1.0 + place * (minus - 1.0)) ** 2
        return np.asarray(there)

    slope = larger * (plus - 1.0) - smaller * (minus - 1.0)
    bend = larger * (plus - 1.0) ** 2 - smaller * (minus - 1.0) ** 2
    with np.errstate(divide="ignore", invalid="ignore"):
        vertex = np.clip(np.nan_to_num(-slope / bend, nan=0.0, posinf=1.0, neginf=0.0), 0.0, 1.0)
    highest = np.maximum(np.abs(output(np.ones_like(plus))), np.abs(output(vertex)))
    first = np.abs(states.output)
    return np.asarray((np.maximum(highest, first) ** 2 - first**2) / 2.0)
