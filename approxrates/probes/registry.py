"""The probes, found by looking into this folder: files named after a paper, ``authorYYYY_topic.py``."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from functools import cache
from pathlib import Path

from approxrates.probes.base import Probe

_PAPER = re.compile(r"[a-z]+\d{4}_[a-z0-9]+")


def probe_names() -> list[str]:
    """Names of all probes."""
    return sorted(m.name for m in pkgutil.iter_modules([str(Path(__file__).parent)]) if _PAPER.fullmatch(m.name))


@cache
def get_probe(name: str) -> Probe:
    """The probe of a name.

    Raises:
        ValueError: For an unknown name, listing the known ones.
    """
    if name not in probe_names():
        raise ValueError(f"probe must be one of {', '.join(probe_names())}. Got {name!r}.")
    module = importlib.import_module(f"approxrates.probes.{name}")
    for kind in vars(module).values():
        if inspect.isclass(kind) and issubclass(kind, Probe) and getattr(kind, "name", None) == name:
            return kind()
    raise AssertionError(f"{name}.py must hold a Probe of this name")
