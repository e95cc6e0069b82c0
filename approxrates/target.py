"""A target: a function on [0, 1]^d whose smoothness is declared, with all that the pipeline may ask of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from approxrates.regularity import Regularity
from approxrates.taylor import TaylorModel

Point = tuple[Fraction, ...]


def _rationals(point: Any) -> Point:
    """Coordinates of one point as fractions; a bare number is a point of one coordinate."""
    coordinates = point if isinstance(point, (tuple, list, np.ndarray)) else (point,)
    try:
        return tuple(Fraction(c.item() if isinstance(c, np.generic) else c) for c in coordinates)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(
            f"a point must be made of finite rationals. Got {point!r}. Write e.g. Fraction(1, 3)."
        ) from None


def float_array(name: str, values: Any) -> NDArray[np.float64]:
    """A fresh float64 array of what was given (numpy, torch or nested lists).

    Raises:
        TypeError: If it holds anything but real numbers.
    """
    is_tensor = type(values).__module__.partition(".")[0] == "torch"
    try:
        given = np.asarray(values.detach().cpu().numpy() if is_tensor else values)
        if given.dtype.kind == "c":
            raise TypeError(f"{name} must be an array of real numbers. Got complex ones. Write {name}.real.")
        # numpy would read text as numbers.
        if given.dtype.kind not in "biufO":
            raise ValueError
        return np.array(given, dtype=np.float64)
    except (ValueError, NotImplementedError, TypeError) as problem:
        if str(problem).startswith(f"{name} must be"):
            raise
        kind = f"a tensor of {values.dtype} on {values.device}" if is_tensor else type(values).__name__
        raise TypeError(
            f"{name} must be an array of numbers. Got {kind}. Write e.g. {name}=np.linspace(0, 1, 5)."
        ) from None


def _claimed(regularity: Regularity) -> dict[str, Any]:
    """Smoothness and dimension, JSON-able: part of the identity of a user's function or data."""
    return {"smoothness": regularity.smoothness if regularity.is_finite else "inf", "dim": regularity.dim}


def _checked(regularity: Any) -> Regularity:
    """A Regularity, or a TypeError."""
    if not isinstance(regularity, Regularity):
        example = "ar.Regularity(smoothness=1.5, dim=1)"
        raise TypeError(f"regularity must be a Regularity. Got {type(regularity).__name__}. Write {example}.")
    return regularity


@dataclass(frozen=True)
class _CheckedFunction:
    """A user's function, its values checked at every call; can be pickled if the function can."""

    function: Callable[[NDArray[np.float64]], Any]
    label: str
    dim: int

    def __call__(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Values, ``(n, dim) -> (n,)``."""
        try:
            given = self.function(x)
        except Exception as problem:
            what = " ".join(f"{type(problem).__name__}: {problem}".split())
            raise ValueError(
                f"{self.label} must have a value at every point of [0, 1]^{self.dim}. Got {what}. Mend the function."
            ) from problem
        try:
            values = float_array(self.label, given)
        except TypeError:
            kind = getattr(given, "dtype", type(given).__name__)
            raise ValueError(
                f"{self.label} must return real numbers. Got {kind}. Mend the function, or take the real part."
            ) from None
        if values.shape not in {(len(x),), (len(x), 1)}:
            raise ValueError(f"{self.label} must map (n, {self.dim}) to (n,). Got shape {values.shape} for n={len(x)}.")
        if not np.all(np.isfinite(values)):
            bad = int(np.flatnonzero(~np.isfinite(values.ravel()))[0])
            what = f"{values.ravel()[bad]} at x={x[bad].tolist()}"
            raise ValueError(f"{self.label} must be finite on [0, 1]^{self.dim}. Got {what}. Mend the function there.")
        return values.reshape(len(x))


@dataclass(frozen=True)
class _CheckedGradient:
    """A user's first derivatives, checked at every call."""

    function: Callable[[NDArray[np.float64]], Any]
    label: str
    dim: int

    def __call__(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """First derivatives, ``(n, dim) -> (n, dim)``."""
        slopes = float_array(self.label, self.function(x))
        if slopes.ndim == 1 and self.dim == 1:
            slopes = slopes[:, None]
        if slopes.shape != x.shape:
            need = f"(n, {self.dim}) to (n, {self.dim})"
            raise ValueError(f"{self.label} must map {need}. Got shape {slopes.shape} for n={len(x)}.")
        if not np.all(np.isfinite(slopes)):
            bad = x[int(np.flatnonzero(~np.isfinite(slopes).all(axis=1))[0])].tolist()
            raise ValueError(f"{self.label} must be finite on [0, 1]^{self.dim}. Got another value at x={bad}.")
        return slopes


@dataclass(frozen=True)
class _Lookup:
    """Values at data points, found by the bytes of their coordinates."""

    name: str
    table: Mapping[bytes, np.float64]

    def __call__(self, query: NDArray[np.float64]) -> NDArray[np.float64]:
        """Values, ``(n, dim) -> (n,)``."""
        try:
            return np.array([self.table[row.tobytes()] for row in query + 0.0], dtype=np.float64)
        except KeyError:
            known = f"{self.name} is known only at its {len(self.table)} data points"
            raise ValueError(f"{known}. Got other points.") from None


@dataclass(frozen=True, eq=False)
class Target:
    """A function on ``[0, 1]^dim`` with declared regularity. Immutable and hashable by its parameters.

    A target *is* its finite sum (``levels`` terms): calls, exact values and errors speak of that sum, and :meth:`tail`
    bounds its distance to the limit function.

    Attributes:
        name: Family name, or the name of the user's function.
        regularity: What is claimed about its smoothness.
        parameters: JSON-able identity; for catalogue targets the arguments of ``load_target`` that rebuild it.
        evaluate: Vectorised float64 evaluation, ``(n, dim) -> (n,)``.
        exact_evaluate: One point of rationals to its exact value (a ``Fraction``, or a ``flint.arb`` ball), or None.
        tail_bound: Sup distance of the finite sum to the limit function.
        base: The ``b`` of its b-adic points, where the finest terms vanish or are extremal.
        interpolation_gap: For ``dim == 1``: ``level -> bound`` on the sup distance, over every cell
            ``[j, j+1] * base**-level``, between the target and its linear interpolant at the two ends; or None if none
            is proven.
        enclosure: ``(level, cells of shape (n, dim)) -> TaylorModel`` of the target on the b-adic cells
            ``prod_i [j_i, j_i + 1] * base**-level``, ``base**level <= 2**52``, rounding counted: a proof; or None.
        evaluation_error: Proven bound on ``|float64 value - exact value|`` anywhere on the cube, if numpy's elementary
            functions are good to 4 units in the last place; None where nothing is known.
        gradient: First derivatives, ``(n, dim) -> (n, dim)``, for targets smoother than 1; or None.
        samples: For targets given by data: ``(x, y)`` of shapes ``(n, dim)`` and ``(n,)``.
    """

    name: str
    regularity: Regularity
    parameters: Mapping[str, Any]
    evaluate: Callable[[NDArray[np.float64]], NDArray[np.float64]] = field(repr=False)
    exact_evaluate: Callable[[Point], Any] | None = field(default=None, repr=False)
    tail_bound: float = 0.0
    base: int = 2
    interpolation_gap: Callable[[int], float] | None = field(default=None, repr=False)
    samples: tuple[NDArray[np.float64], NDArray[np.float64]] | None = field(default=None, repr=False)
    enclosure: Callable[[int, NDArray[np.int64]], TaylorModel] | None = field(default=None, repr=False)
    evaluation_error: float | None = None
    gradient: Callable[[NDArray[np.float64]], NDArray[np.float64]] | None = field(default=None, repr=False)

    @property
    def dim(self) -> int:
        """Input dimension d."""
        return self.regularity.dim

    @property
    def key(self) -> str:
        """Canonical text of the parameters: equal for equal targets, on every platform."""
        return json.dumps(dict(self.parameters), sort_keys=True, separators=(",", ":"))

    def __hash__(self) -> int:
        return hash(self.key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Target) and self.key == other.key

    def tail(self) -> float:
        """Bound on the sup distance between this finite sum and its limit function."""
        return self.tail_bound

    def __call__(self, x: Any) -> Any:
        """Values at points of the unit cube.

        Args:
            x: Array or tensor of shape ``(n, dim)``, or ``(n,)`` when ``dim == 1``.

        Returns:
            Values, shape ``(n,)``, float64, as numpy array or torch tensor like ``x`` (on its device).

        Raises:
            TypeError: If ``x`` is not an array of real numbers.
            ValueError: For a wrong shape, points outside ``[0, 1]^dim``, or data targets asked away from their samples.
        """
        is_tensor = type(x).__module__.partition(".")[0] == "torch"
        points = float_array("x", x)
        if points.ndim == 1 and self.dim == 1:
            points = points[:, None]
        if points.ndim != 2 or points.shape[1] != self.dim:
            raise ValueError(f"x must have shape (n, dim) with dim={self.dim}. Got shape {tuple(points.shape)}.")
        if points.size and not (points.min() >= 0.0 and points.max() <= 1.0):
            span = f"[{points.min()}, {points.max()}]"
            raise ValueError(f"x must lie in [0, 1]^{self.dim}. Got values in {span}. Rescale the inputs.")
        values = self.evaluate(np.ascontiguousarray(points))
        if not is_tensor:
            return values
        import torch

        return torch.from_numpy(values).to(x.device)

    def exact(self, points: Sequence[Any]) -> list[Any]:
        """Exact values at rational points: ``Fraction`` where the target is rational there, else a ``flint.arb`` ball.

        Args:
            points: Points as tuples of ``dim`` rationals (floats are taken as the dyadic numbers they are); bare
                numbers when ``dim == 1``.

        Raises:
            ValueError: If the target has no exact evaluation, for a wrong number of coordinates, for points outside the
                unit cube or not finite.
        """
        if self.exact_evaluate is None:
            raise ValueError(f"{self.name} has no exact evaluation. Use a target of the catalogue.")
        values = []
        for point in points:
            coordinates = _rationals(point)
            if len(coordinates) != self.dim:
                raise ValueError(f"a point must have dim={self.dim} coordinates. Got {len(coordinates)}.")
            if not all(0 <= c <= 1 for c in coordinates):
                raise ValueError(f"a point must lie in [0, 1]^{self.dim}. Got {tuple(map(str, coordinates))}.")
            values.append(self.exact_evaluate(coordinates))
        return values

    @classmethod
    def from_callable(
        cls,
        function: Callable[[NDArray[np.float64]], Any],
        regularity: Regularity,
        *,
        name: str | None = None,
        gradient: Callable[[NDArray[np.float64]], Any] | None = None,
    ) -> Target:
        """A target from any vectorised function of a numpy array ``(n, dim)``.

        The function is tried on a few points, so that a wrong shape or a NaN is found before any training. In a study,
        the function must be importable: it is named ``module:function``.

        Args:
            function: Values, ``(n, dim) -> (n,)``.
            regularity: What is claimed about the smoothness.
            name: Label for tables and figures.
            gradient: First derivatives, ``(n, dim) -> (n, dim)``; errors of derivatives need them.

        Raises:
            TypeError: If ``function`` or ``gradient`` is not callable, or ``regularity`` is not a Regularity.
            ValueError: If it raises, or returns a wrong shape or values that are not finite.
        """
        if not callable(function):
            raise TypeError(f"function must be callable. Got {type(function).__name__}.")
        if gradient is not None and not callable(gradient):
            raise TypeError(f"gradient must be callable or None. Got {type(gradient).__name__}. Leave it out.")
        regularity = _checked(regularity)
        module = getattr(function, "__module__", "")
        qualname = getattr(function, "__qualname__", type(function).__name__)
        label = name or getattr(function, "__name__", type(function).__name__)
        dim = regularity.dim
        evaluate = _CheckedFunction(function, str(label), dim)
        varied = min(dim, 3)
        corners = np.stack(np.meshgrid(*[[0.0, 0.5, 1.0]] * varied, indexing="ij"), axis=-1).reshape(-1, varied)
        probes = np.pad(corners, ((0, 0), (0, dim - varied)))
        evaluate(probes)
        slopes = None if gradient is None else _CheckedGradient(gradient, f"gradient of {label}", dim)
        if slopes is not None:
            slopes(probes)
        parameters = {"callable": f"{module}:{qualname}", **_claimed(regularity)}
        if regularity.information_rich:
            parameters["information_rich"] = True
        if name is not None:
            parameters["label"] = name
        return cls(name=str(label), regularity=regularity, parameters=parameters, evaluate=evaluate, gradient=slopes)

    @classmethod
    def from_data(cls, x: Any, y: Any, regularity: Regularity, *, name: str = "data") -> Target:
        """A target known only at data points; errors against it are errors on those points.

        Args:
            x: Points in the unit cube, shape ``(n, dim)`` (or ``(n,)`` when ``dim == 1``).
            y: Values, shape ``(n,)``.
            regularity: What is believed about the smoothness.
            name: Label for tables and figures.

        Raises:
            TypeError: If x or y is not an array of numbers, or ``regularity`` is not a Regularity.
            ValueError: For shapes that do not match, values that are not finite, points outside the cube, or repeated
                points.
        """
        regularity = _checked(regularity)
        points, values = float_array("x", x), float_array("y", y)
        if points.ndim == 1 and regularity.dim == 1:
            points = points[:, None]
        if points.ndim != 2 or points.shape[1] != regularity.dim or not len(points):
            need = f"(n, dim) with dim={regularity.dim} and n >= 1"
            raise ValueError(f"x must have shape {need}. Got shape {points.shape}.")
        if values.shape != (len(points),):
            raise ValueError(f"y must have shape (n,) = ({len(points)},). Got shape {values.shape}.")
        if not (np.all(np.isfinite(points)) and np.all(np.isfinite(values))):
            raise ValueError("x and y must be finite. Got NaN or infinity. Drop those rows.")
        if points.min() < 0 or points.max() > 1:
            span = f"[{points.min()}, {points.max()}]"
            raise ValueError(f"x must lie in [0, 1]^{regularity.dim}. Got values in {span}. Rescale the inputs.")
        order = np.lexsort(points.T[::-1])
        points, values = points[order], values[order]
        if len(points) > 1 and np.any(np.all(points[1:] == points[:-1], axis=1)):
            raise ValueError("x must not repeat a point. Got repeated rows. Average their values first.")
        evaluate = _Lookup(name, {row.tobytes(): value for row, value in zip(points + 0.0, values, strict=True)})
        digest = hashlib.sha256(points.tobytes() + values.tobytes()).hexdigest()
        parameters = {"data": digest, "label": name, **_claimed(regularity)}
        return cls(name=name, regularity=regularity, parameters=parameters, evaluate=evaluate, samples=(points, values))
