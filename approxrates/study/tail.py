"""Rows that appear in a store while a study runs: how two processes that do one study see each other's work."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


class Tail:
    """Reads what is appended to the segments of a store from now on, each line once.

    Args:
        folder: Results folder.

    Attributes:
        rows: Latest new row by run id: its id, status, error and attempt.
        mine: Attempts ``(id, attempt)`` that this session has handed out.
        others: Whether a row appeared that this session did not ask for, or that appeared twice.
    """

    def __init__(self, folder: Path) -> None:
        self._runs = Path(folder) / "runs"
        self._read: dict[Path, int] = {path: path.stat().st_size for path in self._runs.glob("*.jsonl")}
        self.rows: dict[str, dict[str, Any]] = {}
        self.mine: set[tuple[str, int]] = set()
        self._seen: set[tuple[str, int]] = set()
        self.others = False

    def look(self) -> None:
        """Takes in the whole lines that were appended since the last look; what is damaged is left to the reader."""
        for path in self._runs.glob("*.jsonl"):
            begin = self._read.get(path, 0)
            try:
                if path.stat().st_size <= begin:
                    continue
                with open(path, "rb") as file:
                    file.seek(begin)
                    data = file.read()
            except OSError:
                continue
            whole = data.rfind(b"\n") + 1
            self._read[path] = begin + whole
            for line in data[:whole].splitlines():
                self._take(line)

    def _take(self, line: bytes) -> None:
        """One line, if it is a row."""
        try:
            row = json.loads(line)
            entry = {"id": str(row["id"]), "status": row["status"], "error": row.get("error")}
            attempt = int(row.get("attempt", 1))
        except (ValueError, KeyError, TypeError, AttributeError):
            return
        key = (entry["id"], attempt)
        self.others |= key not in self.mine or key in self._seen
        self._seen.add(key)
        self.rows[entry["id"]] = entry | {"attempt": attempt}
