"""Numbers measured along a training or at its end: one file for each, found by looking into this folder."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import pkgutil
from collections.abc import Mapping, Sequence
from typing import Any

from approxrates.measurements.base import Measurement, Moment, stops

__all__ = ["MEASUREMENTS", "Measurement", "Moment", "get_measurement", "get_measurements", "stops"]


def _found() -> dict[str, type[Measurement]]:
    """The measurements in the files of this folder, by name."""
    found: dict[str, type[Measurement]] = {}
    for module in pkgutil.iter_modules(__path__):
        for kind in vars(importlib.import_module(f"{__name__}.{module.name}")).values():
            if inspect.isclass(kind) and issubclass(kind, Measurement) and not inspect.isabstract(kind):
                assert found.setdefault(kind.name, kind) is kind, f"two measurements are called {kind.name}"
    return dict(sorted(found.items()))


MEASUREMENTS = _found()
"""Measurements by name."""


def __getattr__(name: str) -> Any:
    """The class of a measurement by its own name, as in ``from approxrates.measurements import Sharpness``."""
    for kind in MEASUREMENTS.values():
        if kind.__name__ == name:
            return kind
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def get_measurement(given: str | Measurement | Mapping[str, Any]) -> Measurement:
    """The measurement that is meant.

    Args:
        given: A name; a measurement; or its description, ``{"measurement": "sharpness", "schedule": "every 10"}``.

    Raises:
        TypeError: If it is none of these, or a setting is of the wrong kind.
        ValueError: For an unknown name or setting, listing the known ones, or a setting out of its range.

    Example:
        >>> get_measurement("sharpness").schedule
        'end'
        >>> get_measurement({"measurement": "sharpness", "schedule": "every 10"}).to_spec()
        {'measurement': 'sharpness', 'schedule': 'every 10'}
    """
    if isinstance(given, Measurement):
        return given
    if isinstance(given, str):
        given = {"measurement": given}
    if not isinstance(given, Mapping):
        raise TypeError(
            f"a measurement must be a name, a Measurement or a mapping. Got {type(given).__name__}. "
            "Write e.g. measure=['sharpness']."
        )
    settings = dict(given)
    name = settings.pop("measurement", None)
    if not isinstance(name, str) or name not in MEASUREMENTS:
        raise ValueError(f"a measurement must be one of {', '.join(MEASUREMENTS)}. Got {name!r}.")
    known = [field.name for field in dataclasses.fields(MEASUREMENTS[name])]
    if unknown := sorted(map(str, set(settings) - set(known))):
        raise ValueError(f"{name} has the settings {', '.join(known)}. Got {', '.join(unknown)}.")
    return MEASUREMENTS[name](**settings)


def get_measurements(given: Sequence[str | Measurement | Mapping[str, Any]]) -> tuple[Measurement, ...]:
    """The measurements of a list, which must not give one column twice.

    Args:
        given: Entries as for :func:`get_measurement`.

    Raises:
        TypeError: If it is no list.
        ValueError: If two of them give the same column.
    """
    if isinstance(given, (str, bytes, Mapping)) or not isinstance(given, Sequence):
        raise TypeError(f"measure must be a list. Got {given!r}. Write e.g. measure=['sharpness'].")
    chosen = tuple(get_measurement(one) for one in given)
    columns = [column for one in chosen for column in one.columns]
    if twice := sorted({column for column in columns if columns.count(column) > 1}):
        raise ValueError(f"measure must give every column once. Got {', '.join(twice)} twice. Leave one out.")
    return chosen
