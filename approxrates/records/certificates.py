"""Certificates: proven errors of stored networks, found after the study, beside its runs.

``FOLDER/certificates/*.jsonl`` holds one row per network that was measured again with proof: append-only segments, one
per writing process, like the runs themselves. No run is changed: when records are read, a proven enclosure takes the
place of the measured one.

Row: ``{"schema", "id", "gap", "budget", "lower", "upper", "certified", "method", "ended_by", "where", "l2", "l2_error",
"seconds", "environment", "times"}``; ``gap`` and ``budget`` are what was asked for.
"""

from __future__ import annotations

import json
import math
import os
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from approxrates import store

SCHEMA = 1
_FOLDER = "certificates"
_KEYS = ("id", "gap", "lower", "upper", "certified", "method")
_SLACK = 1e-9
"""Relative rounding allowed before a measured error above a proven bound is called a flaw; 1e-12 in absolute terms."""
_TOLD = 3
_paths: dict[tuple[int, str], Path] = {}


@dataclass(frozen=True)
class Certificates:
    """What a folder holds.

    Attributes:
        rows: For each run id the row that counts: proven before unproven, then the narrowest.
        segments: Files read.
        notes: One sentence for each file with damaged lines.
    """

    rows: dict[str, dict[str, Any]]
    segments: tuple[Path, ...] = ()
    notes: tuple[str, ...] = ()


def append_certificates(folder: str | Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Appends rows to this process's segment and returns when they are on the disk.

    Raises:
        OSError: If the folder cannot be written.
    """
    key = (os.getpid(), str(Path(folder).resolve()))
    path = _paths.setdefault(key, Path(folder) / _FOLDER / f"{secrets.token_hex(8)}.jsonl")
    store.append_lines(path, (store.canonical({"schema": SCHEMA} | dict(row)) for row in rows))


def read_certificates(folder: str | Path) -> Certificates:
    """All certificates of a folder, one per run. A torn last line is skipped, damaged ones elsewhere are noted.

    Args:
        folder: Results folder; one without certificates gives none.
    """
    segments = tuple(sorted((Path(folder) / _FOLDER).glob("*.jsonl")))
    rows: dict[str, dict[str, Any]] = {}
    notes: list[str] = []
    for path in segments:
        for row in _rows_of(path, notes):
            if row["id"] not in rows or _order(row) < _order(rows[row["id"]]):
                rows[row["id"]] = row
    return Certificates(rows, segments, tuple(notes))


def _rows_of(path: Path, notes: list[str]) -> list[dict[str, Any]]:
    """Whole, valid rows of one file."""
    rows, damaged = [], 0
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as problem:
        notes.append(f"{path} could not be read ({problem.strerror}); its certificates do not count.")
        return []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            rows.append(_checked(json.loads(line)))
        except (ValueError, KeyError, TypeError):
            damaged += number < len(lines) or path.name == store.COMPACT  # a torn last piece was never told of
    if damaged:
        notes.append(
            f"{path} has {damaged} damaged line{'s' if damaged > 1 else ''}; certificates there do not count. Run "
            "approxrates recertify to make them again."
        )
    return rows


def _checked(row: Any) -> dict[str, Any]:
    """A row of this schema.

    Raises:
        ValueError: If it is none.
    """
    if not isinstance(row, dict) or row.get("schema") != SCHEMA or any(row.get(k) is None for k in _KEYS):
        raise ValueError("not a certificate")
    if any(isinstance(row[k], bool) or not isinstance(row[k], (int, float)) for k in ("gap", "lower", "upper")):
        raise ValueError("no numbers")
    if not isinstance(row["certified"], bool) or not 0 <= row["lower"] <= row["upper"] < math.inf:
        raise ValueError("no enclosure")
    return row


def _order(row: Mapping[str, Any]) -> tuple[bool, float]:
    """Proven rows first, then by width."""
    return (not row["certified"], width_of(row["lower"], row["upper"]))


def width_of(lower: float, upper: float) -> float:
    """``(upper - lower) / lower``; 0 if both are 0, inf if only the lower end is."""
    if lower == upper:
        return 0.0
    return (upper - lower) / lower if lower > 0 else math.inf


def is_settled(row: Mapping[str, Any] | None, gap: float, budget: int | None) -> bool:
    """Whether there is nothing to gain from certifying again: the gap is reached, or as much was tried before."""
    if row is None:
        return False
    if row["certified"] and width_of(row["lower"], row["upper"]) <= gap:
        return True
    tried = row.get("budget")
    as_much = tried == budget or (tried is not None and budget is not None and tried >= budget)
    return row["gap"] <= gap and as_much


def certified_rows(
    folder: str | Path, rows: Sequence[Mapping[str, Any]]
) -> tuple[list[Mapping[str, Any]], tuple[str, ...]]:
    """Rows of a store with proven errors in place of measured ones where there is a certificate, and notes on that.

    Args:
        folder: Results folder.
        rows: Rows as :func:`approxrates.store.read` gives them.
    """
    found = read_certificates(folder)
    if not found.segments:
        return list(rows), ()
    merged: list[Mapping[str, Any]] = []
    flaws: list[str] = []
    n = 0
    for row in rows:
        certificate = found.rows.get(row["id"])
        if certificate is None or not certificate["certified"] or row["status"] != "ok":
            merged.append(row)
            continue
        n += 1
        flaws += _flaw(row, certificate)
        merged.append({**row, "metrics": _proven(row.get("metrics") or {}, certificate)})
    total = sum(row["status"] == "ok" for row in rows)
    note = f"{n} of {total} runs carry a certificate: their errors are proven; the others are as the study found them."
    told = [*flaws[:_TOLD], *([f"FLAW: and {len(flaws) - _TOLD} more of this kind."] if len(flaws) > _TOLD else [])]
    return merged, (*found.notes, *told, note)


def _proven(metrics: Mapping[str, Any], certificate: Mapping[str, Any]) -> dict[str, Any]:
    """The metrics of a run with what is proven in its place."""
    new = {
        "error_sup_lower": certificate["lower"],
        "error_sup_upper": certificate["upper"],
        "certified": True,
        "error_method": certificate["method"],
        "error_share": 1.0,
        "ended_by": certificate.get("ended_by"),
    }
    if metrics.get("l2_error") is None and certificate.get("l2_error") is not None:
        new |= {"error_l2": certificate["l2"], "l2_error": certificate["l2_error"]}
    return {**metrics, **new}


def _flaw(row: Mapping[str, Any], certificate: Mapping[str, Any]) -> list[str]:
    """A sentence if what was measured contradicts what is proven."""
    metrics = row.get("metrics") or {}
    lower, upper = metrics.get("error_sup_lower"), metrics.get("error_sup_upper")
    if lower is not None and lower > certificate["upper"] * (1 + _SLACK) + 1e-12:
        what = f"the measured error {lower:.6g} exceeds the proven upper bound {certificate['upper']:.6g}"
    elif metrics.get("certified") and upper is not None and upper < certificate["lower"] * (1 - _SLACK) - 1e-12:
        what = f"the error is proven to be at most {upper:.6g} and at least {certificate['lower']:.6g}"
    else:
        return []
    return [f"FLAW: run {row['id'][:12]}: {what}. One of the two is wrong: changed weights, or a bug."]


def compact_certificates(folder: str | Path) -> Path | None:
    """Gathers the certificates that count into one sorted file without host names; None if there are none.

    Args:
        folder: Results folder. No process may be writing to it.

    Raises:
        ValueError: If a line is damaged (compacting would drop it), or the folder cannot be written.
    """
    found = read_certificates(folder)
    if not found.segments:
        return None
    if found.notes:
        raise ValueError(f"folder must hold whole certificates only. Got: {found.notes[0]} Then delete those lines.")
    lines = []
    for run_id in sorted(found.rows):
        row = found.rows[run_id]
        environment = {k: v for k, v in (row.get("environment") or {}).items() if k != "host"}
        lines.append(store.canonical(row | {"environment": environment}))
    target = Path(folder) / _FOLDER / store.COMPACT
    try:
        store.write_atomically(target, "".join(line + "\n" for line in lines).encode())
    except OSError as problem:
        raise ValueError(
            f"folder must be one that can be written. Got {folder} ({problem.strerror}). Make room there or mend its "
            "permissions; no certificate is lost."
        ) from None
    for path in found.segments:
        if path != target:
            path.unlink()
    return target
