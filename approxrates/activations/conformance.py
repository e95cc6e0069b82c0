"""What must hold for an activation of the table: checked numerically when a user adds one."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from approxrates.activations.base import Activation

Array = NDArray[np.float64]
REACH = 3.0
STEP = 1e-5


def check(activation: Activation) -> None:
    """Raise for the first claim that does not hold.

    Raises:
        ValueError: Naming the claim and the point where it fails.
    """
    points = smooth_points(activation, 4.0 * STEP)
    _check_values(activation, points)
    _check_torch(activation, points)
    if activation.trainable:
        _check_derivative(activation, points)
        _check_second_derivative(activation, points)
    if activation.degree is not None:
        _check_degree(activation)
    if activation.pieces is not None:
        _check_pieces(activation, points)
    if activation.period is not None:
        gained = activation(points + activation.period) - activation(points)
        _demand(activation, "period and drift", points, gained, np.full_like(points, activation.drift), 1e-9)


def all_breakpoints(activation: Activation, reach: float) -> Array:
    """The break-points in ``[-reach, reach]``, repeated with the period if there is one."""
    marks = np.array(activation.breakpoints, dtype=np.float64)
    if activation.period is not None:
        turns = np.arange(-math.ceil(reach / activation.period) - 1, math.ceil(reach / activation.period) + 2)
        marks = np.sort((marks[None, :] + activation.period * turns[:, None]).ravel())
    found: Array = marks[np.abs(marks) <= reach]
    return found


def smooth_points(activation: Activation, distance: float) -> Array:
    """Points in ``[-3, 3]`` (further if break-points are), off every break-point by a distance, shape ``(n,)``."""
    reach = max(REACH, 1.5 * max((abs(b) for b in activation.breakpoints), default=0.0))
    points = np.linspace(-reach, reach, 611) + 1e-4 * math.pi
    marks = all_breakpoints(activation, 2.0 * reach)
    if marks.size:
        points = points[np.abs(points[:, None] - marks[None, :]).min(axis=1) > distance]
    return points


def _check_values(activation: Activation, points: Array) -> None:
    """Values are finite and elementwise."""
    for what, function in (("values", activation), ("derivative", activation.derivative)):
        if what == "derivative" and not activation.trainable:
            continue
        values = function(points)
        if np.shape(values) != points.shape or not np.all(np.isfinite(values)):
            raise ValueError(
                f"{what} of {activation.name} must be finite numbers of the shape of z. Check its function."
            )
        singly = np.array([float(function(points[i : i + 1])[0]) for i in range(0, len(points), 37)])
        _demand(activation, f"{what}, which must be elementwise,", points[::37], values[::37], singly, 1e-12)


def _check_torch(activation: Activation, points: Array) -> None:
    """Torch and numpy give the same numbers."""
    import torch

    tensor = torch.from_numpy(points)
    pairs: list[tuple[str, Any]] = [("value in torch", activation)]
    if activation.trainable:
        pairs.append(("derivative in torch", activation.derivative))
    for what, function in pairs:
        try:
            values = function(tensor)
        except (TypeError, AttributeError, RuntimeError) as error:
            message = str(error).splitlines()[0]
            raise ValueError(
                f"{activation.name} must work on torch tensors too: {message}. Use the functions of the given xp."
            ) from error
        if not isinstance(values, torch.Tensor):
            raise ValueError(f"{activation.name} must give a tensor for a tensor. Got {type(values).__name__}.")
        _demand(activation, what, points, values.numpy(), function(points), 1e-10)


def _check_derivative(activation: Activation, points: Array) -> None:
    """The derivative is that of the values, by central differences, and the values do not jump."""
    differences = (activation(points + STEP) - activation(points - STEP)) / (2.0 * STEP)
    _demand(activation, "derivative", points, activation.derivative(points), differences, 1e-6)
    marks = all_breakpoints(activation, REACH)
    sides = activation(marks + 1e-9), activation(marks - 1e-9)
    _demand(activation, "value just right of a break-point, as it can be trained,", marks, *sides, 1e-6)


def _check_second_derivative(activation: Activation, points: Array) -> None:
    """The second derivative is that of the derivative, by central differences, in numpy and in torch."""
    import torch

    values = activation.second_derivative(points)
    if np.shape(values) != points.shape or not np.all(np.isfinite(values)):
        raise ValueError(
            f"second derivative of {activation.name} must be finite numbers of the shape of z. Check its curvature,"
            " or give one."
        )
    differences = (activation.derivative(points + STEP) - activation.derivative(points - STEP)) / (2.0 * STEP)
    _demand(activation, "second derivative", points, values, differences, 1e-6)
    in_torch = activation.second_derivative(torch.from_numpy(points)).numpy()
    _demand(activation, "second derivative in torch", points, in_torch, values, 1e-10)


def _check_pieces(activation: Activation, points: Array) -> None:
    """The pieces, from which errors are certified, are those of the function; more points than pieces have terms."""
    some = points[:: max(1, len(points) // 200)]
    exact = np.array([float(activation.exact(Fraction(float(t)))) for t in some])
    _demand(activation, "the value of the pieces", some, exact, activation(some), 1e-9)


def _check_degree(activation: Activation) -> None:
    """Between break-points the differences of order ``degree + 1`` vanish, and those of order ``degree`` do not."""
    assert activation.degree is not None
    marks = all_breakpoints(activation, 2.0 * REACH)
    ends = np.concatenate([[-2.0 * REACH], marks, [2.0 * REACH]])
    highest = 0.0
    for left, right in itertools.pairwise(ends):
        if right - left < 1e-3:
            continue
        # Chebyshev points on (-1, 1): the fit shows the coefficients of this piece, whatever its length.
        t = np.cos(np.pi * (np.arange(32) + 0.5) / 32)
        values = activation(0.5 * (left + right) + 0.499999 * (right - left) * t)
        series = np.polynomial.chebyshev.chebfit(t, values, activation.degree + 4)
        scale = max(1.0, float(np.abs(values).max()))
        if float(np.abs(series[activation.degree + 1 :]).max()) > 1e-9 * scale:
            raise ValueError(
                f"{activation.name} must be of degree {activation.degree} between break-points. It is not on"
                f" [{left:g}, {right:g}]. Correct degree or breakpoints."
            )
        highest = max(highest, abs(float(series[activation.degree])) / scale)
    if highest < 1e-9:
        raise ValueError(f"{activation.name} must have a piece of degree {activation.degree}. Got a lower degree.")


def _demand(activation: Activation, what: str, points: Array, got: Any, wanted: Any, tolerance: float) -> None:
    """Require agreement relative to the size of the numbers."""
    off = np.abs(np.asarray(got) - np.asarray(wanted)) / (1.0 + np.abs(np.asarray(wanted)))
    if off.size and not float(np.nanmax(off)) <= tolerance:
        worst = int(np.nanargmax(off))
        raise ValueError(
            f"{what} of {activation.name} must agree with its values. At t={points[worst]:.6g} it is"
            f" {np.asarray(got)[worst]:.6g}, and should be {np.asarray(wanted)[worst]:.6g}."
        )
