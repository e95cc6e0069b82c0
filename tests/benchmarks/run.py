"""All comparisons, one after the other on one core; writes results/benchmarks. Run by ``make benchmarks``."""

import argparse
import dataclasses
import datetime
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pandas as pd
from clock import CPU, one_core

RESULTS = Path(__file__).parents[2] / "results" / "benchmarks"
PACKAGES = ("torch", "numpy", "scipy", "numba", "jax", "jaxlib", "pykan")


def frame(rows):
    """Rows of one dataclass as a table."""
    return pd.DataFrame([dataclasses.asdict(row) for row in rows])


def save(table, path):
    """A table as CSV with six digits."""
    table.to_csv(path, index=False, float_format="%.6g", lineterminator="\n")


def machine():
    """What the figures were measured on."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [
            line.partition(":")[2].strip() for line in info.read_text().splitlines() if line.startswith("model name")
        ]
        model = names[0] if names else model
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "not installed"
    return {"cpu": model, "date": datetime.date.today().isoformat(), **versions}


def main():
    """Run the parts asked for, keep what is there of the others, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="part", help="throughput, peers, toys; all if left out")
    parser.add_argument(
        "--budget", type=float, default=1.0, help="multiplies steps and rounds (tables count at 1 only)"
    )
    parser.add_argument("--folder", type=Path, default=RESULTS, help="where to write")
    options = parser.parse_args()
    one_core()
    import page
    import peers
    import throughput
    import toys

    folder, budget = options.folder, options.budget
    folder.mkdir(parents=True, exist_ok=True)
    for part in options.parts or ("throughput", "peers", "toys"):
        began = CPU()
        if part == "throughput":
            save(frame(throughput.table(max(1, round(7 * budget)))), folder / "throughput.csv")
        elif part == "peers":
            rows, curves = peers.table(budget)
            save(frame(rows), folder / "time-to-error.csv")
            save(pd.DataFrame(curves, columns=["optimiser", "seed", "cpu_seconds", "rmse"]), folder / "curves.csv")
        elif part == "toys":
            save(frame(toys.table(budget)), folder / "toys.csv")
        else:
            parser.error(f"part must be throughput, peers or toys. Got {part}.")
        print(f"{part}: {CPU() - began:.0f} CPU seconds", flush=True)
    save(pd.DataFrame([machine() | {"budget": budget}]), folder / "machine.csv")
    page.write(folder)


if __name__ == "__main__":
    main()
