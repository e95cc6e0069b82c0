"""Entry point of ``approxrates`` and ``python -m approxrates``."""

from __future__ import annotations

import sys
import warnings
from typing import TextIO


def main() -> None:
    """Run the command line; a wrong input ends in one line that names the mend, not in a traceback."""
    from approxrates.cli import app

    warnings.showwarning = _note
    try:
        app(prog_name="approxrates")
    except (ValueError, TypeError, OSError) as error:
        _refuse(error)
    except RuntimeError as error:
        from approxrates.study import StudyStopped

        if not isinstance(error, StudyStopped):
            raise
        _refuse(error)


def _refuse(error: Exception) -> None:
    """Ends with the message of an error."""
    print(f"error: {error}", file=sys.stderr)
    sys.exit(2)


def _note(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Shows a warning of ours as one line; those of other packages keep their place in the code."""
    where = "" if category is UserWarning else f"{category.__name__}: "
    print(f"note: {where}{' '.join(str(message).split())}", file=file or sys.stderr)


if __name__ == "__main__":
    main()
