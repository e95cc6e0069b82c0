"""Do exact networks do what their theorems and the bars of this project say? Closed forms, words, speeds, proofs."""

from __future__ import annotations

import math
from itertools import chain
from typing import TYPE_CHECKING, Any

from approxrates.calibration.base import Calibration
from approxrates.calibration.exact_speeds import building, engine, memory, proofs
from approxrates.calibration.exactness import LOST_FROM, RIGHT_TO, against_rationals, bits, closed_forms, words

if TYPE_CHECKING:
    import pandas as pd

_FEW = 3  # repetitions below which everything is small
_COLUMNS = ["check", "setting", "size", "n_params", "layers", "bits", "unit", "measured", "rule", "asked"]
_TIMED = ["seconds", "seconds_asked", "speed", "speed_asked", "memory", "memory_asked"]
_WHOLE = ("square", "product", "rationals", "bit extraction")
"""Checks that one sentence tells in full; of others each setting has its own."""
_RULES = {"=": "of", "<=": "asked: at most", ">": "asked: more than"}

_ABOUT = f"""What the constructed networks claim, measured outside the studies.

- *square, product*: m = 1 to 40 steps. Values without any rounding: at all knots and middles of cells up to m = 8, at
  those of 200 random cells and both ends beyond; products at the worst point and 100 random ones. The bracket is that
  of `approximation_error`.
- *float64, columns*: networks of 32 cells whose words have M digits. Their float64 values against exact ones, in units
  of the network's own error bound, at all nodes and three points between each two (numbers of at most 13 bits), and at
  4,000 random points of 53 bits; for columns the radius that is proven.
- *rationals*: the largest distance of columns from naive rationals at 30 random points and 30 in the ramps of the
  index, in units of the proven radius, for words of 32 digits.
- *bit extraction*: random bits, each asked for at its own point.
- *engine, construct, evaluate, proof*: seconds of one processor, medians of all repetitions (large proofs are run
  once), points times layers a second. A proof is an enclosure of the error by `approximation_error` on [0, 1], its
  share what of [0, 1] it holds on.
- *memory*: the peak of the whole process, everything above included, in gigabytes.

`size` is m, M, or the limit or number of weights. Fewer than {_FEW} repetitions make a toy of it, to which the bars do
not apply."""


def _run(repetitions: int, seed: int) -> pd.DataFrame:
    """One row per check and setting."""
    import pandas as pd

    few = repetitions < _FEW
    exact = (part(few, seed) for part in (closed_forms, words, against_rationals, bits))
    costly = (part(few, repetitions, seed) for part in (engine, building, proofs))
    rows = list(chain.from_iterable(chain(exact, costly)))
    rows += memory(max(rows, key=lambda one: int(one["n_params"])))
    return pd.DataFrame(rows, columns=[*_COLUMNS, *_TIMED])


def _is_met(row: dict[str, Any]) -> bool:
    """Whether a row is what was asked for, its time included."""
    measured, asked = row["measured"], row["asked"]
    fine = {"=": measured == asked, "<=": measured <= asked, ">": measured > asked}.get(row["rule"], True)
    in_time = not row["seconds"] > row["seconds_asked"] and not row["speed"] < row["speed_asked"]
    return bool(fine and in_time and not row["memory"] > row["memory_asked"])


def _verdicts(table: pd.DataFrame) -> list[str]:
    """What came out."""
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in table.to_dict("records"):
        key: tuple[Any, ...] = (row["check"], row["setting"], row["size"])
        if row["check"] in _WHOLE or row["check"] == "columns":
            key = key[:1]
        elif row["check"].startswith("float64"):
            key = key[:2]
        groups.setdefault(key, []).append({str(name): value for name, value in row.items()})
    return [_sentence(rows) for rows in groups.values()]


def _sentence(rows: list[dict[str, Any]]) -> str:
    """One sentence about the rows of a group."""
    word, check = "reached" if all(map(_is_met, rows)) else "missed", rows[0]["check"]
    if check.startswith("float64"):
        said = ", ".join(f"{row['measured']:.2g} at M = {row['size']}" for row in rows)
        return (
            f"{word}: {check}, {rows[0]['setting']}: off by {said}, in units of the bound (asked: at most 1 to "
            f"M = {RIGHT_TO}, more than 1 from M = {LOST_FROM})."
        )
    if check == "columns":
        most = max(row["measured"] for row in rows)
        return f"{word}: columns: proven within {most:.2g} of the bound at all sizes (asked: {rows[0]['asked']:g})."
    if check == "memory":
        return f"{word}: memory: {rows[0]['memory']:.2g} GB at most (asked: {rows[0]['memory_asked']:g} GB)."
    if check in _WHOLE:
        return f"{word}: {check}: " + "; ".join(f"{row['setting']}: {_result(row)}" for row in rows) + "."
    results = "; ".join(map(_result, rows))
    return f"{word}: {check}, {rows[0]['setting']}, W = {rows[0]['n_params']}: {results}{_costs(rows[0])}."


def _result(row: dict[str, Any]) -> str:
    """What was measured and asked for."""
    if row["rule"] == "=":
        return f"{row['measured']:g} of {row['asked']:g} {row['unit']}"
    return f"{_number(row['measured'])} {row['unit']} ({_RULES[row['rule']]} {_number(row['asked'])})"


def _number(value: float) -> str:
    """Two digits, and counts in full."""
    return f"{value:,.0f}" if 100 <= value < 1e6 else f"{value:.2g}"


def _costs(row: dict[str, Any]) -> str:
    """Seconds and speed, with their bars."""
    said = "" if math.isnan(row["seconds"]) else f"; {row['seconds']:.2g} s"
    if not math.isnan(row["seconds_asked"]):
        said += f" (asked: at most {row['seconds_asked']:g} s)"
    if not math.isnan(row["speed"]):
        said += f", {row['speed']:.2g} points times layers a second (asked: at least {row['speed_asked']:.1g})"
    return said


def _draw(table: pd.DataFrame) -> Any:
    """float64 against the bound over the digits of a word."""
    from approxrates.plots.calibration import draw_words

    return draw_words(table[table["check"].str.startswith(("float64", "columns"))])


EXACT_NETWORKS = Calibration(
    name="exact-networks",
    title="Exact networks against closed forms and bars",
    about=_ABOUT,
    repetitions=3,
    run=_run,
    verdicts=_verdicts,
    draw=_draw,
)
