r"""The store: append-only JSONL segments, one per writing process, and nothing else is the truth.

``FOLDER/runs/*.jsonl`` holds one row per attempt at a run. A process appends whole lines to a segment of its own
(random name), flushed and synced before anyone is told that the run is done; so a process that is killed can at worst
leave one torn last line, which reading skips. No row is ever changed or deleted. ``compact`` gathers the rows into one
sorted file that is fit to be committed: specs stored once per part, host names removed.

Row: ``{"schema", "id", "spec", "status", "metrics", "attempt", "error", "environment", "times"}``.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SCHEMA = 1
STATUSES = ("ok", "failed", "diverged", "lost")
ROW_KEYS = ("schema", "id", "spec", "status", "metrics", "attempt", "error", "environment", "times")
COMPACT = "compact.jsonl"
_COUNT = "runs"
"""Part of a compact file that says how many runs it holds, so that a file that was cut off is seen."""
_TIMING = ("seconds", "times", "environment")


def canonical(value: Any) -> str:
    """Canonical JSON: keys sorted, no spaces, no NaN. Equal values give equal text on every platform.

    Raises:
        ValueError: If the value holds NaN or infinity.

    Example:
        >>> canonical({"b": 1, "a": [0.5]})
        '{"a":[0.5],"b":1}'
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False)


def digest(value: Any) -> str:
    """SHA-256 of the canonical JSON, in hexadecimal."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()


@dataclass(frozen=True)
class Contents:
    """What a store holds.

    Attributes:
        rows: For each run id the row that counts: the first ok, else the last attempt.
        segments: Files read.
        notes: One sentence for each torn or damaged line and each duplicate that differs.
    """

    rows: dict[str, dict[str, Any]]
    segments: tuple[Path, ...]
    notes: tuple[str, ...] = ()

    def counts(self) -> dict[str, int]:
        """Number of runs by status."""
        return {s: sum(r["status"] == s for r in self.rows.values()) for s in STATUSES}


@dataclass(frozen=True)
class Selection:
    """Which runs of a store are a study's: those that the last session asked for.

    Attributes:
        name: Name of the study.
        ids: Its run ids, in the study's order.
        overrides: Values by dotted key that took the place of what ``study.toml`` says.
        own_file: Whether ``study.toml`` of the folder, with the overrides, is this study.
    """

    name: str
    ids: tuple[str, ...]
    overrides: Mapping[str, Any] = field(default_factory=dict)
    own_file: bool = True


@dataclass
class Segment:
    """The segment of one writing process. The file appears with the first row.

    Attributes:
        folder: Results folder.
        path: File of the segment, with a random name.
    """

    folder: Path
    path: Path = field(init=False)

    def __post_init__(self) -> None:
        self.folder = Path(self.folder)
        self.path = self.folder / "runs" / f"{secrets.token_hex(8)}.jsonl"

    def append(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Appends whole rows and returns when they are on the disk.

        Raises:
            OSError: If the folder cannot be written.
            ValueError: If a row holds NaN or infinity.
        """
        append_lines(self.path, (canonical(_checked(row)) for row in rows))


def append_lines(path: Path, lines: Iterable[str]) -> None:
    """Appends whole lines to a file and returns when they are on the disk; an OSError if that cannot be done."""
    data = "".join(line + "\n" for line in lines).encode()
    if not data:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    is_new = not path.exists()
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        # A write that failed half-way (a full disk) must not spoil the row that follows it.
        size = os.fstat(descriptor).st_size
        if size and os.pread(descriptor, 1, size - 1) != b"\n":
            data = b"\n" + data
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    if is_new:
        _sync_folder(path.parent)


def _checked(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """The row, if it has the form of a row."""
    assert row["status"] in STATUSES, "rows are written by our own code"
    assert set(row) <= set(ROW_KEYS), "rows are written by our own code"
    return row


def _sync_folder(folder: Path) -> None:
    """Makes a new file name durable; where folders cannot be opened (Windows) there is nothing to do."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(descriptor)
    except OSError:
        pass
    finally:
        os.close(descriptor)


def write_atomically(path: Path, data: bytes) -> None:
    """Writes a file so that a reader sees the old or the new one, never a part; a failure leaves nothing behind.

    Raises:
        OSError: If it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        with open(scratch, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(scratch, path)
    except BaseException:
        scratch.unlink(missing_ok=True)
        raise


def read(folder: str | Path) -> Contents:
    """All rows of a store, one per run id.

    A torn last line (a writer was killed) is skipped. A damaged line elsewhere is skipped and noted: that run is
    simply not done, and will be done again. Nothing is deleted.

    Args:
        folder: Results folder; a folder without runs gives empty contents.
    """
    segments = tuple(sorted(Path(folder).glob("runs/*.jsonl")))
    notes: list[str] = []
    attempts: dict[str, list[dict[str, Any]]] = {}
    for path in segments:
        for row in _rows_of(path, notes):
            attempts.setdefault(row["id"], []).append(row)
    rows = {run_id: _counting(run_id, tries, notes) for run_id, tries in attempts.items()}
    return Contents(rows=rows, segments=segments, notes=tuple(notes))


def _rows_of(path: Path, notes: list[str]) -> list[dict[str, Any]]:
    """Whole, valid rows of one segment, plain or compact."""
    rows: list[dict[str, Any]] = []
    parts: dict[str, Any] = {}
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as problem:
        notes.append(
            f"{path} could not be read ({problem.strerror}); its runs count as not done. Mend its permissions."
        )
        return rows
    damaged: list[tuple[int, str]] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            if isinstance(row, dict) and "part" in row:
                parts[row["part"]] = row["value"]
                continue
            rows.append(_restored(row, parts))
        except (ValueError, KeyError, TypeError) as problem:
            # A last piece without newline was torn by a kill, and nobody was told it was done. Not so in a compact
            # file, which appears whole.
            if number < len(lines) or path.name == COMPACT:
                damaged.append((number, f"{type(problem).__name__}: {problem}".splitlines()[0]))
    if damaged:
        notes.append(_damage(path, damaged))
    elif isinstance(parts.get(_COUNT), int) and len(rows) < parts[_COUNT]:
        notes.append(
            f"{path} is damaged: it is cut off after {len(rows)} of {parts[_COUNT]} runs; the others count as not "
            "done. Restore the file, or run the study again to redo them."
        )
    return rows


def _damage(path: Path, damaged: Sequence[tuple[int, str]]) -> str:
    """One sentence for the damaged lines of a file."""
    number, what = damaged[0]
    if len(damaged) == 1:
        return (
            f"{path}, line {number} is damaged ({what}); that run counts as not done. Run the study again to redo it."
        )
    return (
        f"{path} has {len(damaged)} damaged lines, the first is line {number} ({what}); their runs count as not done. "
        "Run the study again to redo them."
    )


def _restored(row: Any, parts: Mapping[str, Any]) -> dict[str, Any]:
    """A row with the parts of its spec put back in.

    Raises:
        ValueError: If it is not a row of this schema.
    """
    if not isinstance(row, dict) or row.get("status") not in STATUSES or not isinstance(row.get("id"), str):
        raise ValueError("not a row of a store")
    if row.get("schema") != SCHEMA:
        raise ValueError(f"schema {row.get('schema')} instead of {SCHEMA}; update approxrates")
    spec = row.get("spec")
    if not isinstance(spec, dict):
        raise ValueError("no spec")
    if "$" in spec:
        own = {k: v for k, v in spec.items() if k != "$"}
        spec = own | {name: _with_replica(parts[key], own.get("replica")) for name, key in spec["$"].items()}
        spec.pop("replica", None)
        row = row | {"spec": spec}
    if digest(spec) != row["id"]:
        raise ValueError("the id is not the hash of the spec")
    if not isinstance(row.get("metrics", {}), dict):
        raise ValueError("metrics is not a table")
    return dict(row)


def _with_replica(part: Any, replica: Any) -> Any:
    """The shared part of a training spec, with the replica of this run."""
    return part | {"replica": replica} if isinstance(part, dict) and "replica" in part else part


def _counting(run_id: str, tries: Sequence[dict[str, Any]], notes: list[str]) -> dict[str, Any]:
    """The row of a run that counts: the first ok, else the last verdict. Notes an ok row that differs from it."""
    in_time = sorted(tries, key=lambda row: (row.get("times") or {}).get("end") or 0.0)
    good = [row for row in in_time if row["status"] == "ok"]
    for other in good[1:]:
        if _numbers(other) != _numbers(good[0]):
            notes.append(
                f"run {run_id[:12]} was done {len(good)} times with different numbers; the first counts. Compare "
                "the environments of both rows."
            )
            break
    if good:
        return good[0]
    return in_time[-1]


def _numbers(row: Mapping[str, Any]) -> dict[str, Any]:
    """Metrics without timing."""
    return {k: v for k, v in (row.get("metrics") or {}).items() if k not in _TIMING}


def write_selection(folder: str | Path, selection: Selection) -> None:
    """Notes which runs of the store are the study's (derived from study.toml, so it may be written over)."""
    value: dict[str, Any] = {"ids": list(selection.ids), "study": selection.name}
    value |= {"overrides": dict(selection.overrides)} if selection.overrides else {}
    value |= {} if selection.own_file else {"own_file": False}
    write_atomically(Path(folder) / "runs" / "selection.json", canonical(value).encode())


def read_selection(folder: str | Path) -> Selection | None:
    """The study's runs, or None if nobody noted them or the note is damaged."""
    try:
        value = json.loads((Path(folder) / "runs" / "selection.json").read_bytes())
        overrides = dict(value.get("overrides", {}))
        ids = tuple(map(str, value["ids"]))
        return Selection(str(value["study"]), ids, overrides, own_file=bool(value.get("own_file", True)))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def status(folder: str | Path, ids: Sequence[str] | None = None) -> dict[str, int]:
    """How far a study is: number of runs, of those by status, and of those still to do.

    Args:
        folder: Results folder.
        ids: Ids of the study's runs; left out, those that the last session noted, else all that are stored.
    """
    rows = read(folder).rows
    if ids is None:
        selection = read_selection(folder)
        ids = list(rows) if selection is None else selection.ids
    chosen = [rows[i]["status"] for i in ids if i in rows]
    return {"runs": len(ids), **{s: chosen.count(s) for s in STATUSES}, "to do": len(ids) - len(chosen)}


def compact(folder: str | Path) -> Path:
    """Gathers the rows of a store into one sorted file, ``runs/compact.jsonl``, that is fit to be committed.

    The parts of specs that many runs share (architecture, plan) are written once; host names go, timing stays. The new
    file is written, synced and read back before the old segments are removed, so no moment exists at which a row is
    nowhere.

    Args:
        folder: Results folder. No process may be writing to it.

    Returns:
        The compact file.

    Raises:
        ValueError: If the folder holds no runs, cannot be written, or a line is damaged (compacting would drop it).
    """
    folder = Path(folder)
    contents = read(folder)
    if not contents.segments:
        raise ValueError(
            f"folder must hold the runs of a study. Got {folder}, which has no runs/*.jsonl. Run the study first."
        )
    damaged = [n for n in contents.notes if "damaged" in n or "could not be read" in n]
    if damaged:
        raise ValueError(
            f"folder must hold whole rows only. Got: {damaged[0]} Then move the damaged segment out of "
            f"{folder / 'runs'}."
        )
    lines: list[dict[str, Any]] = []
    parts: dict[str, Any] = {}
    for run_id in sorted(contents.rows):
        row = {k: v for k, v in contents.rows[run_id].items() if v not in (None, {}, "")}
        row["environment"] = {k: v for k, v in (row.get("environment") or {}).items() if k != "host"}
        row["spec"], shared = _parted(row["spec"])
        parts |= shared
        lines.append(row)
    head = [canonical({"part": key, "value": value}) for key, value in [(_COUNT, len(lines)), *sorted(parts.items())]]
    target = folder / "runs" / COMPACT
    try:
        write_atomically(target, "".join(line + "\n" for line in [*head, *map(canonical, lines)]).encode())
    except OSError as problem:
        raise ValueError(
            f"folder must be one that can be written. Got {folder} ({problem.strerror}). Make room there or mend its "
            "permissions; no run is lost."
        ) from None
    notes: list[str] = []
    written = {row["id"] for row in _rows_of(target, notes)}
    if notes or written != set(contents.rows):
        raise ValueError(
            f"compacting {folder} did not read back what it wrote; the old segments were kept. Move {target} away "
            "and try again."
        )
    for path in contents.segments:
        if path != target:
            path.unlink()
    return target


def _parted(spec: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """A spec with its shared parts replaced by references, and those parts."""
    own, links, parts = {}, {}, {}
    for name, value in spec.items():
        if name in {"architecture", "training", "recipe"}:
            shared = value | {"replica": None} if name == "training" else value
            key = digest(shared)[:12]
            links[name], parts[key] = key, shared
            if name == "training":
                own["replica"] = value["replica"]
        else:
            own[name] = value
    return own | {"$": links}, parts
