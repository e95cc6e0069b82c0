"""Rows of a table of errors measured elsewhere: defaults filled in, every number checked."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from approxrates import store
from approxrates.records.rows import smoothness_of
from approxrates.regularity import Regularity

_DEFAULTS: dict[str, Any] = {
    "status": "ok",
    "target": "target",
    "target_seed": 0,
    "target_options": "",
    "smoothness": math.inf,
    "dim": 1,
    "method": "train",
    "method_options": "",
    "activation": "relu",
    "replica": 0,
    "plan": "",
    "budget": 1,
    "l2_penalty": 0.0,
}


def table_row(index: int, given: Mapping[str, Any]) -> dict[str, Any]:
    """One row of a user's table.

    Args:
        index: Number of the row, for messages.
        given: Cells by column; None and NaN are missing.

    Raises:
        ValueError: For a missing or impossible value; the message names column and row as the user wrote them.
    """
    cells = {column: _plain(value) for column, value in given.items()}
    row = {"run_id": f"row-{index}"} | _DEFAULTS | {c: v for c, v in cells.items() if v is not None}
    if row["status"] not in store.STATUSES:
        raise ValueError(f"status must be one of {', '.join(store.STATUSES)}. Got {row['status']!r} in row {index}.")
    _check_numbers(index, row, _errors(given, row) if row["status"] == "ok" else {})
    if "error_sup" in row:
        row["error_sup_lower"] = row["error_sup_upper"] = row.pop("error_sup")
    row["dim"] = _whole_dim(index, row["dim"])
    try:
        row["smoothness"] = smoothness_of(row["smoothness"])
        Regularity(smoothness=row["smoothness"], dim=row["dim"])
    except (TypeError, ValueError):
        raise ValueError(
            f"smoothness must be a positive number, or inf. Got {row['smoothness']!r} in row {index}. "
            "Write e.g. smoothness=0.5."
        ) from None
    return row


def _plain(value: Any) -> Any:
    """A cell of a data frame as a plain Python value; missing becomes None."""
    value = value.item() if hasattr(value, "item") else value
    if type(value).__name__ in ("NAType", "NaTType"):
        return None
    return None if isinstance(value, float) and math.isnan(value) else value


def _errors(given: Mapping[str, Any], row: Mapping[str, Any]) -> dict[str, bool]:
    """The columns of errors that a table has, and whether a run that succeeded must have a value there."""
    upper = "error_sup" if "error_sup" in given else "error_sup_upper"
    return {
        upper: upper in given and row.get("error_l2") is None,
        "error_sup_lower": False,
        "error_l2": upper not in given,
    }


def _check_numbers(index: int, row: Mapping[str, Any], errors: Mapping[str, bool]) -> None:
    """Sizes and errors: positive, and a lower bound no larger than its upper bound."""
    for column, required in ({"n_params": True} | dict(errors)).items():
        value: Any = row.get(column)
        if value is None and not required:
            continue
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not number or not (value > 0 and math.isfinite(value)):
            raise ValueError(
                f"{column} must be a positive number. Got {'no value' if value is None else repr(value)} in row "
                f"{index}. Set status='failed' for a run without a result."
            )
    lower, upper = row.get("error_sup_lower"), row.get("error_sup_upper")
    if errors and lower is not None and upper is not None and lower > upper:
        raise ValueError(
            f"error_sup_lower must be at most error_sup_upper. Got {lower!r} and {upper!r} in row {index}. "
            "Swap the two columns."
        )


def _whole_dim(index: int, value: Any) -> int:
    """The dimension, a whole number of at least 1."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not (1 <= value < math.inf and value == int(value)):
        raise ValueError(f"dim must be an integer of at least 1. Got {value!r} in row {index}. Write e.g. dim=1.")
    return int(value)
