"""Entry point of ``approxrates`` and ``python -m approxrates``."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line; a wrong input ends in one line that names the mend, not in a traceback."""
    from approxrates.cli import app

    try:
        app(prog_name="approxrates")
    except (ValueError, TypeError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
