"""Where a target comes from, so that another process can make it again: the catalogue, a file, a function, or data."""

from __future__ import annotations

import functools
import importlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from approxrates import catalogue
from approxrates.catalogue.targetfile import read_data_file
from approxrates.regularity import Regularity
from approxrates.store import canonical
from approxrates.target import Target


@dataclass(frozen=True)
class Sourced:
    """A target and where another process takes it from.

    Attributes:
        target: Target.
        source: See :func:`source_of`; ``{"file": path}`` for a target of a catalogue file.
    """

    target: Target
    source: Mapping[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """Canonical text of what identifies the target."""
        return canonical(identity_of(self.target))


def unboxed(value: Any) -> Any:
    """JSON-able data rebuilt with Python's own numbers; infinity, which JSON cannot hold, as text."""
    if isinstance(value, Mapping):
        return {str(k): unboxed(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [unboxed(v) for v in value]
    if isinstance(value, float) and value in (float("inf"), float("-inf")):
        return "inf" if value > 0 else "-inf"
    return value.item() if isinstance(value, np.generic) else value


def identity_of(target: Target) -> dict[str, Any]:
    """What identifies a target in a run spec: its parameters, without the place where its data lay."""
    found: dict[str, Any] = unboxed({k: v for k, v in target.parameters.items() if k != "file"})
    return found


def source_of(target: Target) -> dict[str, Any]:
    """How another process rebuilds a target: from the catalogue, an importable function, or its data.

    Raises:
        ValueError: If the target is a function that cannot be imported.
    """
    regularity = {k: v for k, v in vars(target.regularity).items() if v is not None}
    if target.samples is not None:
        x, y = target.samples
        return {"data": {"x": x.tolist(), "y": y.tolist()}, "regularity": regularity, "label": target.name}
    name = target.parameters.get("callable")
    if name is not None:
        _importable(str(name), target.name)
        return {"function": name, "regularity": regularity, "label": target.parameters.get("label")}
    return {}


def _importable(name: str, label: str) -> Any:
    """The function ``module:qualname``.

    Raises:
        ValueError: If there is no such function.
    """
    module, _, qualname = name.partition(":")
    advice = "Define it at the top of a module, and name it module:function."
    if not module or "<" in qualname or not qualname:
        raise ValueError(f"the target {label!r} must be an importable function in a study. Got {name}. {advice}")
    try:
        found: Any = importlib.import_module(module)
        for part in qualname.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as problem:
        raise ValueError(
            f"the target {label!r} must be an importable function in a study. Got {name} ({problem}). {advice}"
        ) from None
    if not callable(found):
        raise ValueError(
            f"the target {label!r} must be a function. Got {name}, of type {type(found).__name__}. {advice}"
        )
    return found


def build_target(parameters: Mapping[str, Any], source: Mapping[str, Any]) -> Target:
    """The target of a spec, rebuilt; the last few are kept.

    Args:
        parameters: ``target.parameters`` of the run spec.
        source: Where to take it from, see :func:`source_of`; a catalogue file is ``{"file": path}``.

    Raises:
        ValueError: If what is found there is not the target of the spec.
    """
    return _built(canonical(unboxed(parameters)), canonical(unboxed(source)))


@functools.lru_cache(maxsize=128)
def _built(parameters_text: str, source_text: str) -> Target:
    """:func:`build_target` on canonical texts."""
    parameters, source = json.loads(parameters_text), json.loads(source_text)
    if "data" in source:
        regularity = regularity_from(source["regularity"])
        x, y = read_data(source["data"], regularity.dim)
        target = Target.from_data(x, y, regularity, name=source["label"])
    elif "function" in source:
        function = _importable(source["function"], source.get("label") or source["function"])
        target = Target.from_callable(function, regularity_from(source["regularity"]), name=source.get("label"))
    elif "file" in source:
        target = catalogue.load_target_file(source["file"], **_numbers(free_parameters(parameters)))
    else:
        target = catalogue.load_target(**_numbers(parameters))
    if canonical(identity_of(target)) != parameters_text:
        raise ValueError(
            f"the target must be the one of the study. Got {target.key}, not {parameters_text}: its source has changed."
        )
    return target


def free_parameters(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters that may differ between targets of one catalogue file; a function or data has none."""
    return {k: v for k, v in parameters.items() if k != "name"} if "name" in parameters else {}


def _numbers(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters with infinity put back."""
    return {k: float("inf") if v == "inf" else v for k, v in parameters.items()}


def regularity_from(values: Mapping[str, Any]) -> Regularity:
    """A regularity from JSON or TOML data, where infinity is written ``"inf"``."""
    return Regularity(**_numbers(values))


def read_data(data: Any, dim: int) -> tuple[Any, Any]:
    """Points and values of a data target: ``{"x": ..., "y": ...}``, or a file.

    Args:
        data: A table with lists ``x`` and ``y``, or the path of a ``.npz`` with arrays ``x`` and ``y``, or of a
            ``.csv`` whose columns are the ``dim`` coordinates and the value (a first line of names is skipped).
        dim: Input dimension.

    Returns:
        Arrays of shapes ``(n, dim)`` and ``(n,)``.

    Raises:
        ValueError: If the file is missing, damaged or has the wrong shape.
    """
    if isinstance(data, Mapping):
        return np.asarray(data["x"], dtype=np.float64), np.asarray(data["y"], dtype=np.float64)
    x, y = read_data_file(Path(data))
    columns = 1 if np.ndim(x) == 1 else np.shape(x)[-1]
    if columns != dim:
        raise ValueError(f"data must have dim = {dim} coordinates and a value. Got {columns} and a value in {data}.")
    return x, y
