"""Rows of a store as flat rows: the columns of a frame, with what the spec says and what was measured side by side."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from approxrates import catalogue, store
from approxrates.architecture import from_spec
from approxrates.records.grouping import middle
from approxrates.records.growth import number
from approxrates.regularity import Regularity

FRAME_COLUMNS = (
    "run_id",
    "status",
    "outcome",
    "target",
    "target_seed",
    "target_options",
    "smoothness",
    "dim",
    "method",
    "construction",
    "method_options",
    "activation",
    "architecture",
    "architecture_options",
    "width",
    "depth",
    "replica",
    "start",
    "plan",
    "budget",
    "dtype",
    "n_points",
    "seed",
    "l2_penalty",
    "n_params_limit",
    "n_params",
    "n_params_dense",
    "error_sup_lower",
    "error_sup_upper",
    "certified",
    "error_method",
    "error_share",
    "ended_by",
    "error_l2",
    "l2_error",
    "start_error_sup",
    "start_error_l2",
    "start_certified",
    "sup_at_points",
    "rms_at_points",
    "float_floor",
    "float_floor_sup",
    "loss",
    "steps",
    "seconds",
    "total_bits",
    "description_bits",
    "max_bits",
    "pieces",
    "error",
)
"""Columns of ``Records.frame()``, in order; one row per run."""


_UNTOLD = ("cells", "steps", "words", "doublings", "levels", "activation", "tolerance")
"""Options of constructions that say how large a network is, or that are columns of their own."""


def flat(row: Mapping[str, Any]) -> dict[str, Any]:
    """One stored row as the columns of the frame."""
    spec, metrics = row["spec"], row.get("metrics") or {}
    target, training = dict(spec["target"]), spec.get("training") or {}
    architecture, construction = spec.get("architecture") or {}, spec.get("construction") or {}
    reference = spec.get("reference") or {}
    made = construction or reference
    known = {"name", "callable", "label", "seed", "smoothness", "dim"}
    options = {k: v for k, v in target.items() if k not in known and k != "information_rich"}
    regularity = metrics.get("regularity") or {}
    flat_row = {
        "run_id": row["id"],
        "status": row["status"],
        "error": row.get("error"),
        "target": target.get("label") or target.get("name") or target.get("callable") or "data",
        "target_seed": target.get("seed"),
        "target_options": ", ".join(f"{k}={_short(v)}" for k, v in sorted(options.items())),
        "smoothness": smoothness_of(target.get("smoothness", regularity.get("smoothness", "inf"))),
        "dim": target.get("dim", architecture.get("dim", 1)),
        "method": "construct" if construction else "reference" if reference else "train",
        "construction": made.get("name"),
        "method_options": ", ".join(
            f"{k}={_brief(v)}" for k, v in (made.get("options") or {}).items() if reference or k not in _UNTOLD
        ),
        "activation": ""
        if reference
        else architecture.get("activation", "relu" if architecture else None)
        or (construction.get("options") or {}).get("activation")
        or metrics.get("activation", "relu"),
        "architecture": _growth(architecture),
        "architecture_options": _links(architecture) if architecture else None,
        "width": architecture.get("width"),
        "depth": architecture.get("depth"),
        "n_params_limit": made.get("n_params"),
        "replica": training.get("replica", 0),
        "start": training.get("start", "random") if training else None,
        "plan": metrics.get("plan", ""),
        "budget": training.get("budget", 1),
        "dtype": training.get("dtype", "float64") if training else None,
        "n_points": training.get("n_points"),
        "seed": training.get("seed", 0) if training else None,
        "l2_penalty": training.get("l2_penalty", 0.0) if training else None,
        "measured": metrics.get("measured") or {},
        "regularity": regularity,
        "parameters": target,
        "made_options": made.get("options") or {},
    }
    flat_row |= {k: v for k, v in metrics.items() if k != "regularity" and (k not in flat_row or flat_row[k] is None)}
    flat_row |= {k: v for k, v in flat_row["measured"].items() if k not in flat_row}
    if flat_row.get("total_bits") and flat_row.get("n_params"):
        flat_row["bits_per_weight"] = flat_row["total_bits"] / flat_row["n_params"]
    if metrics.get("start_error_sup_upper") is not None:
        lower = number(metrics.get("start_error_sup_lower"))
        flat_row["start_error_sup"] = middle(lower, number(metrics["start_error_sup_upper"]))
    if flat_row.get("n_params") is None and architecture:
        flat_row["n_params"] = _counted(architecture)
    return flat_row


def _growth(architecture: Mapping[str, Any]) -> str | None:
    """How networks grow: ``fixed_width``, ``fixed_depth``, or a schedule such as ``depth ~ W^0.5``."""
    exponent = architecture.get("exponent")
    return architecture.get("kind") if exponent is None else f"depth ~ W^{exponent:g}"


def _links(architecture: Mapping[str, Any]) -> str:
    """What a network has besides width, depth and units: ``"injection, residual"``, ``"no bias"``."""
    known = {"kind", "exponent", "dim", "width", "depth", "activation"}
    told = {True: "{}", False: "no {}"}
    return ", ".join(
        told[v].format(k) if isinstance(v, bool) else f"{k}={_short(v)}"
        for k, v in sorted(architecture.items())
        if k not in known
    )


def _counted(architecture: Mapping[str, Any]) -> int | None:
    """Parameter count of an architecture spec, for runs that failed before they could count."""
    try:
        return int(from_spec(dict(architecture)).n_params)
    except (TypeError, ValueError):
        return None


def _short(value: Any) -> str:
    """A parameter in a few letters: text as it is (a digest cut), the rest as JSON."""
    return value[:20] if isinstance(value, str) else store.canonical(value)


def _brief(value: Any) -> str:
    """An option of a method in a few letters: six digits of a number."""
    return f"{value:.6g}" if isinstance(value, float) else _short(value)


def smoothness_of(value: Any) -> float:
    """Smoothness as a number; ``"inf"`` is how JSON holds infinity."""
    return math.inf if value in (None, "inf") else float(value)


def regularity_of(row: Mapping[str, Any]) -> Regularity:
    """Regularity of one row's target."""
    stored = dict(row.get("regularity") or {})
    parameters = dict(
        row.get("parameters") or {"name": row["target"], "smoothness": row["smoothness"], "dim": row["dim"]}
    )
    rich = row.get("information_rich")
    if rich is None and parameters.get("name") in catalogue.families():
        try:
            claimed: Regularity = catalogue.load_target(**parameters).regularity
        except (TypeError, ValueError):
            pass  # a table may name a family with values of its own
        else:
            return claimed
    stored.setdefault("information_rich", bool(parameters.get("information_rich", False) if rich is None else rich))
    stored["smoothness"], stored["dim"] = smoothness_of(stored.get("smoothness", row["smoothness"])), int(row["dim"])
    return Regularity(**stored)
