"""Classical methods as reference lines: splines, polynomials, rational functions, random features.

Each is made by library code, counted by what is stored for the target, and found by name. See docs/references.md.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import numpy as np

from approxrates.approximant import Approximant
from approxrates.references import (
    aaa,
    additive_polynomial,
    chebyshev,
    cubic_spline,
    free_knot_spline,
    graded_spline,
    linear_spline,
    random_fourier_features,
)
from approxrates.references.base import Method
from approxrates.target import Target

__all__ = ["Method", "approximate", "check_options", "check_request", "describe", "names"]

_MODULES = (
    linear_spline,
    cubic_spline,
    graded_spline,
    free_knot_spline,
    chebyshev,
    aaa,
    random_fourier_features,
    additive_polynomial,
)
_METHODS: dict[str, Method] = {module.METHOD.name: module.METHOD for module in _MODULES}


def names() -> list[str]:
    """Names of all reference methods."""
    return list(_METHODS)


def describe(name: str) -> Method:
    """What a method declares: statement, reference, rate law, count law, dimensions.

    Raises:
        ValueError: For an unknown name, listing the known ones.
    """
    if not isinstance(name, str) or name not in _METHODS:
        raise ValueError(f"reference must be one of {', '.join(_METHODS)}. Got {name!r}.")
    return _METHODS[name]


def check_options(name: str, options: Mapping[str, Any]) -> None:
    """Refuses options that a method does not take, lacks, or that are out of range.

    Raises:
        ValueError: For an unknown name, an unknown or missing option, or a value out of range.
        TypeError: For a value of the wrong kind.
    """
    method = describe(name)
    known = inspect.signature(method.check).parameters
    for key, value in options.items():
        if key not in known:
            raise ValueError(
                f"options must be what {name} takes. Got {key}={value!r}. Options: {', '.join(known) or 'none'}."
            )
    for key, parameter in known.items():
        if parameter.default is inspect.Parameter.empty and key not in options:
            raise ValueError(f"{name} needs the option {key}. Got nothing. Write e.g. {key}=1/3.")
    method.check(**options)


def check_request(name: str, dim: int, n_params: int, *, data: bool = False) -> None:
    """Refuses dimensions and counts that a method is not made for.

    Args:
        name: Name of the method.
        dim: Input dimension of the target.
        n_params: Upper limit on parameters.
        data: Whether the target is known at data points only.

    Raises:
        ValueError: Saying what the method is made for.
    """
    method = describe(name)
    if method.dims is not None and dim not in method.dims:
        known = ", ".join(map(str, method.dims))
        raise ValueError(f"{name} is made for dim {known}. Got targets of dim {dim}. Use another reference there.")
    if data and not method.takes_data:
        raise ValueError(f"{name} needs values at points of its own. Got a target known at data points. Leave it out.")
    least = method.least(dim)
    if not least <= n_params <= method.most:
        raise ValueError(
            f"n_params must be from {least} to {method.most:,} for {name} in dim={dim}. Got n_params={n_params}. "
            f"Write e.g. n_params={max(100, 4 * least)}."
        )


def approximate(name: str, target: Target, *, n_params: int, **options: Any) -> Approximant:
    """The largest approximant of a classical method with at most ``n_params`` stored numbers.

    Args:
        name: One of ``linear_spline``, ``cubic_spline``, ``graded_spline``, ``free_knot_spline``, ``chebyshev``,
            ``aaa``, ``random_fourier_features``, ``additive_polynomial``.
        target: The function to approximate.
        n_params: Upper limit on ``Approximant.n_params``.
        **options: Of the method, e.g. ``point=1/3, grading=2`` of ``graded_spline``.

    Returns:
        An Approximant; ``approximation_error`` takes it like a network.

    Raises:
        ValueError: For an unknown name or option, a limit that is too small or too large, a target that does not fit,
            or a result that is unbounded on the cube.
        TypeError: For arguments of the wrong kind.

    Example:
        >>> from approxrates.regularity import Regularity
        >>> target = Target.from_callable(lambda x: x[:, 0] ** 2, Regularity(smoothness=2.0, dim=1), name="square")
        >>> spline = approximate("linear_spline", target, n_params=5)
        >>> spline.n_params, float(spline(np.array([[0.375]]))[0] - 0.375**2)
        (5, 0.015625)
    """
    method = describe(name)
    if not isinstance(target, Target):
        raise TypeError(f"target must be a Target. Got {type(target).__name__}. Write ar.load_target(...).")
    if isinstance(n_params, bool) or not isinstance(n_params, (int, np.integer)):
        raise TypeError(f"n_params must be an integer. Got {n_params!r}. Write e.g. n_params=500.")
    check_options(name, options)
    check_request(name, target.dim, int(n_params), data=target.samples is not None)
    return method.build(target, int(n_params), **options)
