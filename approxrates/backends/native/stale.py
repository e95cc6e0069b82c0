"""Compiled loops on disk are thrown away once a source that went into them has changed.

The compiler looks at the file of a function alone, not at those of the functions that it calls and has taken into it:
after a change of one file the others would go on with its old text.
"""

from __future__ import annotations

import ast
import contextlib
import hashlib
import json
import os
from pathlib import Path

_STAMP = "sources.json"


def digests(sources: Path) -> dict[str, str]:
    """For each module of a folder a digest of its text and of those of the folder's modules that it builds on."""
    texts = {path.stem: path.read_bytes() for path in sources.glob("*.py")}
    reads = {name: _imported(text) & texts.keys() for name, text in texts.items()}

    def closure(name: str) -> set[str]:
        found, new = set[str](), {name}
        while new:
            found |= new
            new = set[str]().union(*(reads[other] for other in new)) - found
        return found

    return {
        name: hashlib.sha256(b"".join(texts[other] for other in sorted(closure(name)))).hexdigest() for name in texts
    }


def drop_stale(folder: Path, sources: Path) -> list[str]:
    """Delete compiled loops that do not belong to the sources as they are now.

    Args:
        folder: Where the compiler keeps what it made of these sources, and of nothing else.
        sources: Folder of the sources.

    Returns:
        Names of the files deleted.
    """
    now, stamp = digests(sources), folder / _STAMP
    # What cannot be read or written here, the compiler does not keep here either.
    with contextlib.suppress(OSError):
        then = {}
        with contextlib.suppress(OSError, ValueError):
            then = dict(json.loads(stamp.read_text()))
        if then == now:
            return []
        changed = {name for name in now.keys() | then.keys() if now.get(name) != then.get(name)}
        old = [p for p in folder.glob("*.nb[ic]") if p.name.split(".")[0] in changed or p.name.split(".")[0] not in now]
        for path in old:
            path.unlink(missing_ok=True)
        scratch = stamp.with_name(f"{_STAMP}.{os.getpid()}")
        scratch.write_text(json.dumps(now))
        os.replace(scratch, stamp)
        return sorted(path.name for path in old)
    return []


def _imported(text: bytes) -> set[str]:
    """Last parts of the names of modules that a module imports from, and of what it imports from packages."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module.rpartition(".")[2]} | {alias.name for alias in node.names}
    return found
