"""Run specs: what a run is, as plain data, and its identity.

A run is a target, and an architecture with its training, a construction or a reference method. Its spec is plain JSON
with defaults left out and the plan resolved; its id is the SHA-256 of the canonical form. The integers of ``RECIPES``
are part of it: they are bumped when the numbers that a component yields change, so that old results are not taken for
new ones. Device, paths and worker counts stay out.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from approxrates import axes, generators
from approxrates.axes import Axis
from approxrates.sampling import SampleLaw
from approxrates.spec.sources import identity_of, unboxed
from approxrates.store import canonical, digest
from approxrates.target import Target

RECIPES = {"target": generators.RECIPE, "training": 2, "construction": 1, "reference": 1, "error": 1}
"""Bumped when the numbers of a component change."""

TRAINING_DEFAULTS: dict[str, Any] = {
    "start": "random",
    "seed": 0,
    "dtype": "float64",
    "n_points": None,
    "budget": 1,
    "l2_penalty": 0.0,
    "measure": [],
}

_COMPILED = ("activation", "tolerance")
"""Options of every construction: what its ReLU units are compiled to."""


@dataclass(frozen=True)
class Construction:
    """Explicit networks from a theorem, as one method of a study.

    Attributes:
        name: A name of ``constructions.names()``, e.g. ``"interpolation"``.
        n_params: Upper limit on non-zero parameters; usually an axis: ``ar.axis.geom(50, 5000, 8)``.
        options: Further keywords of ``construct``; values may be axes.

    Raises:
        ValueError: If the construction or an option is unknown, or a limit is below 1.
        TypeError: If a limit is not an integer.
    """

    name: str
    n_params: int
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        from approxrates import constructions

        for name in self.name.values if isinstance(self.name, Axis) else (self.name,):
            if name not in constructions.names():
                known = ", ".join(constructions.names())
                raise ValueError(f"construction must be one of {known}. Got {name!r}.")
        _check_limits(self.n_params, self.options)
        for name in self.name.values if isinstance(self.name, Axis) else (self.name,):
            taken = (*constructions.describe(name).options, *_COMPILED)
            for key in self.options:
                if key not in taken:
                    raise ValueError(
                        f"options must be what {name} takes. Got {key}={self.options[key]!r}. "
                        f"Options: {', '.join(taken)}."
                    )

    def to_spec(self) -> dict[str, Any]:
        """The construction in a run spec; options only if there are any."""
        return {"name": self.name, "n_params": self.n_params} | (
            {"options": dict(self.options)} if self.options else {}
        )


@dataclass(frozen=True, init=False)
class Reference:
    """A classical method, as one line of a study to hold networks against.

    Attributes:
        name: A name of ``references.names()``, e.g. ``"cubic_spline"``.
        n_params: Upper limit on stored numbers; usually an axis: ``ar.axis.geom(20, 2000, 8)``.
        options: Options of the method, given as keywords; values may be axes.

    Raises:
        ValueError: If the method or an option is unknown or missing, or a value is out of range.
        TypeError: If a limit is not an integer, or an option of the wrong kind.

    Example:
        >>> Reference("graded_spline", n_params=64, point=0.5, grading=4).to_spec()
        {'name': 'graded_spline', 'n_params': 64, 'options': {'grading': 4, 'point': 0.5}}
    """

    name: str
    n_params: int
    options: Mapping[str, Any]

    def __init__(self, name: str, n_params: int, options: Mapping[str, Any] | None = None, **more: Any) -> None:
        from approxrates import references

        _check_limits(n_params, {} if options is None else options)
        given = dict(options or {}) | more
        for one in name.values if isinstance(name, Axis) else (name,):
            for concrete in axes.expand(list(given.items())):
                references.check_options(one, concrete)
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "n_params", n_params)
        object.__setattr__(self, "options", {k: given[k] for k in sorted(given)})

    def to_spec(self) -> dict[str, Any]:
        """The reference in a run spec; options only if there are any."""
        return {"name": self.name, "n_params": self.n_params} | (
            {"options": dict(self.options)} if self.options else {}
        )


def _check_limits(n_params: Any, options: Any) -> None:
    """What all methods of given size have in common."""
    for limit in n_params.values if isinstance(n_params, Axis) else (n_params,):
        if isinstance(limit, bool) or not isinstance(limit, int):
            raise TypeError(
                f"n_params must be an integer or an axis of integers. Got {limit!r}. Write e.g. n_params=500."
            )
        if limit < 1:
            raise ValueError(f"n_params must be at least 1. Got n_params={limit}. Write e.g. n_params=500.")
    if not isinstance(options, Mapping):
        raise TypeError(f"options must be a mapping of keywords. Got {type(options).__name__}.")


def train_spec(target: Target, architecture: Mapping[str, Any], training: Mapping[str, Any]) -> dict[str, Any]:
    """Spec of one trained run.

    Args:
        target: Target.
        architecture: ``architecture.to_spec()``.
        training: ``plan`` (resolved, as specs), ``replica``, and any of ``TRAINING_DEFAULTS``. A law of sampling points
            has one spelling in a spec.
    """
    if isinstance(law := training.get("n_points"), str):
        training = {**training, "n_points": SampleLaw.parse(law).text}
    training = {**training, "l2_penalty": float(training.get("l2_penalty", 0.0))}
    kept = {k: v for k, v in training.items() if k not in TRAINING_DEFAULTS or v != TRAINING_DEFAULTS[k]}
    recipe = {k: RECIPES[k] for k in ("target", "training", "error")}
    return _plain({"target": identity_of(target), "architecture": architecture, "training": kept, "recipe": recipe})


def construct_spec(target: Target, construction: Construction) -> dict[str, Any]:
    """Spec of one constructed run."""
    recipe = {k: RECIPES[k] for k in ("target", "construction", "error")}
    return _plain({"target": identity_of(target), "construction": construction.to_spec(), "recipe": recipe})


def reference_spec(target: Target, reference: Reference) -> dict[str, Any]:
    """Spec of one run of a reference method."""
    recipe = {k: RECIPES[k] for k in ("target", "reference", "error")}
    return _plain({"target": identity_of(target), "reference": reference.to_spec(), "recipe": recipe})


def run_id(spec: Mapping[str, Any]) -> str:
    """Identity of a run: SHA-256 of the canonical spec."""
    return digest(spec)


def _plain(value: Mapping[str, Any]) -> dict[str, Any]:
    """JSON data as it comes back from a file: tuples as lists, numpy numbers as Python's."""
    plain: dict[str, Any] = json.loads(canonical(unboxed(value)))
    return plain


def plan_label(plan: Any) -> str:
    """A few letters for a plan as it was asked for: ``"default"``, or its stages.

    Example:
        >>> plan_label([{"stage": "adam", "steps": 500}, {"stage": "soap", "steps": 300}])
        'adam 500 + soap 300'
    """
    if isinstance(plan, str):
        return plan
    stages: Sequence[Any] = plan
    specs = [s if isinstance(s, Mapping) else s.to_spec() for s in stages]
    return " + ".join(f"{s.get('stage')} {s.get('steps', '')}".strip() for s in specs)
