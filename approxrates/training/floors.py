"""What floating-point numbers leave of the error of a network: measured, so that it can be told from the rest.

Two things are measured at points of the cube, on the standardised network that is trained, in units of the target:

- *evaluation*: the network computed in float32 or float64, less the same weights computed with more digits. A loss
  below the square of it is noise, and so is its gradient;
- *weights*: how much the network changes if every weight moves at random within half a unit in its last place. An
  optimiser that works in this precision cannot place it better but by luck.

More digits are float64 for float32. For float64 they are compensated sums where the activation is exact on floats
(relu, abs, hard_tanh); for all others rounding errors are taken as proportional to the unit round-off, and the noise of
float32 is scaled by 2^-29.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from numpy.typing import NDArray

from approxrates import activations, sampling
from approxrates.arithmetic import EXACT_ON_FLOATS, evaluate_compensated
from approxrates.layers import IDENTITY, Layer, unit_groups
from approxrates.network import Network
from approxrates.seeds import seed_for
from approxrates.target import Target

Array = NDArray[np.floating]
F64 = NDArray[np.float64]

_POINTS = 128
_DRAWS = 2
_RATIO = 2.0**-29
"""Unit round-off of float64 over that of float32."""
_ROUND_OFF = {"float32": 2.0**-24, "float64": 2.0**-53}


@dataclasses.dataclass(frozen=True)
class FloatFloor:
    """Rounding noise of a network in one precision, in units of the target.

    Attributes:
        dtype: ``"float32"`` or ``"float64"``.
        evaluation_rms: Root mean square of what evaluation is off by.
        evaluation_sup: Largest at a point.
        weights_rms: Root mean square of what half a unit in the last place of every weight does.
    """

    dtype: str
    evaluation_rms: float
    evaluation_sup: float
    weights_rms: float

    @property
    def rms(self) -> float:
        """Both together: a root-mean-square error near this is the arithmetic's, not the network's."""
        return math.hypot(self.evaluation_rms, self.weights_rms)


def float_floor(network: Network, target: Target, dtype: str = "float64") -> FloatFloor:
    """Rounding noise of a network trained in this precision, at 128 points.

    Args:
        network: Float weights, one or several outputs.
        target: What it was fitted to.
        dtype: ``"float32"`` or ``"float64"``.

    Returns:
        Noise of evaluation and of the weights' last places; infinite where the network overflows in that precision.

    Raises:
        ValueError: For another dtype, weights longer than float64 holds, or dimensions that differ.

    Example:
        >>> import approxrates as ar
        >>> target = ar.load_target("analytic")
        >>> network = ar.train(ar.FixedWidth(dim=1, width=4, depth=2), target, plan=[ar.Adam(steps=5)]).best()
        >>> floor = float_floor(network, target, "float32")
        >>> 1e-9 < floor.evaluation_rms < floor.evaluation_sup < 1e-5
        True
    """
    if dtype not in _ROUND_OFF:
        raise ValueError(f"dtype must be one of {', '.join(_ROUND_OFF)}. Got {dtype!r}.")
    if not network.is_float:
        raise ValueError("float_floor needs float weights. Got exact ones, which nothing is rounded in. Leave it out.")
    if network.dim != target.dim:
        raise ValueError(f"network must take dim={target.dim} inputs like the target. Got dim={network.dim}.")
    x = _points(target)
    with np.errstate(all="ignore"):
        # Mean and scale of the network are nearly those of the target, and cost nothing.
        values = _outputs(network.dense_layers, x, np.float64)
        layers, scale = _standardised(network.dense_layers, float(values.mean()), float(values.std()))
        off = _evaluation(layers, x, dtype)
        moved = _moved(layers, x, dtype, seed_for("float floor", target=target.key))
    return FloatFloor(dtype, scale * _rms(off), scale * _largest(off), scale * _rms(moved))


def _points(target: Target) -> F64:
    """Corners and equidistributed points; for data some of its points."""
    if target.samples is not None:
        points: F64 = target.samples[0]
        return points[:: max(1, len(points) // _POINTS)][:_POINTS]
    return sampling.sobol(max(_POINTS, 2 ** (target.dim + 1)), target.dim, seed=0)


def _standardised(layers: tuple[Layer, ...], mean: float, scale: float) -> tuple[tuple[Layer, ...], float]:
    """The layers as they were trained: mean and scale of the values taken out of the last one."""
    if not (math.isfinite(mean) and 1e-12 * max(1.0, abs(mean)) < scale < math.inf):
        return layers, 1.0
    *hidden, last = layers
    bias = None if last.bias is None else (last.bias - mean) / scale
    return (*hidden, dataclasses.replace(last, weight=last.weight / scale, bias=bias)), scale


def _evaluation(layers: tuple[Layer, ...], x: F64, dtype: str) -> F64:
    """What evaluation is off by at the points, ``(n, n_outputs)``."""
    if dtype == "float64" and {code for layer in layers for code in layer.activations} <= EXACT_ON_FLOATS:
        difference: F64 = _outputs(layers, x, np.float64) - evaluate_compensated(layers, x)
        return difference
    rounded = tuple(_rounded(layer) for layer in layers)  # to float32 first: the same weights in both precisions
    difference = _outputs(rounded, x, np.float32) - _outputs(
        rounded, x.astype(np.float32).astype(np.float64), np.float64
    )
    return difference if dtype == "float32" else _RATIO * difference


def _rounded(layer: Layer) -> Layer:
    """A layer whose weights are single-precision numbers."""
    bias = None if layer.bias is None else layer.bias.astype(np.float32).astype(np.float64)
    return dataclasses.replace(layer, weight=layer.weight.astype(np.float32).astype(np.float64), bias=bias)


def _moved(layers: tuple[Layer, ...], x: F64, dtype: str, seed: int) -> F64:
    """Change of the outputs as weights move within half a unit in the last place, ``(draws, n, n_outputs)``."""
    rng, still = np.random.default_rng(seed), _outputs(layers, x, np.float64)
    # Moves of single precision, scaled down: those of double precision would drown in the rounding of evaluation.
    changes = []
    for _ in range(_DRAWS):
        moved = tuple(_shaken(layer, rng) for layer in layers)
        changes.append(_outputs(moved, x, np.float64) - still)
    stacked: F64 = np.stack(changes)
    return stacked if dtype == "float32" else _RATIO * stacked


def _shaken(layer: Layer, rng: np.random.Generator) -> Layer:
    """The layer with every number moved at random within half a single-precision unit in its last place."""

    def shaken(numbers: F64) -> F64:
        units = np.ldexp(2.0 * _ROUND_OFF["float32"], np.frexp(numbers)[1] - 1)
        moved: F64 = numbers + np.where(numbers == 0.0, 0.0, units) * (rng.random(numbers.shape) - 0.5)
        return moved

    bias = None if layer.bias is None else shaken(layer.bias)
    weight = shaken(layer.weight)
    if layer.wiring is not None:  # ones of the architecture are no parameters
        weight = np.where(layer.wiring, layer.weight, weight)
    return dataclasses.replace(layer, weight=weight, bias=bias)


def _outputs(layers: tuple[Layer, ...], x: F64, dtype: type[np.floating]) -> F64:
    """Outputs ``(n, n_outputs)`` computed in a precision throughout."""
    h: Array = x.T.astype(dtype)
    for layer in layers:
        h = layer.weight.astype(dtype) @ h
        if layer.bias is not None:
            h = h + layer.bias.astype(dtype)[:, None]
        for code, rows in unit_groups(layer.activations):
            if code != IDENTITY:
                h[rows] = activations.get(code)(h[rows])
    result: F64 = h.T.astype(np.float64)
    return result


def _rms(differences: F64) -> float:
    """Root mean square, infinite if a difference is not finite."""
    mean = float(np.mean(differences**2))
    return math.sqrt(mean) if math.isfinite(mean) else math.inf


def _largest(differences: F64) -> float:
    """Largest size, infinite if a difference is not finite."""
    largest = float(np.abs(differences).max())
    return largest if math.isfinite(largest) else math.inf
