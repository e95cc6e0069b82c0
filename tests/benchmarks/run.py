"""All comparisons, one after the other on one core; writes results/benchmarks. Run by ``make benchmarks``."""

import argparse
import dataclasses
import datetime
import json
import platform
import subprocess
import sys
import tempfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pandas as pd
from clock import CPU, one_core

RESULTS = Path(__file__).parents[2] / "results" / "benchmarks"
PARTS = ("throughput", "peers", "toys", "sharpness", "micro")
PACKAGES = ("torch", "numpy", "scipy", "numba", "jax", "jaxlib", "pykan", "curvlinops-for-pytorch", "PyHessian")


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


def micro(longest):
    """Medians of ``test_trainer.py`` in CPU seconds; each test repeats for ``longest`` seconds."""
    with tempfile.TemporaryDirectory() as scratch:
        report = Path(scratch) / "report.json"
        flags = ["--benchmark-only", "--benchmark-timer=time.process_time", f"--benchmark-max-time={longest}"]
        flags += ["--benchmark-min-rounds=3", f"--benchmark-json={report}", "-q", "-p", "no:cacheprovider"]
        tests = Path(__file__).parent / "test_trainer.py"
        subprocess.run([sys.executable, "-m", "pytest", str(tests), *flags], check=True, stdout=subprocess.DEVNULL)
        found = json.loads(report.read_text())["benchmarks"]
    rows = [{"group": one["group"], "test": one["name"], "median_seconds": one["stats"]["median"]} for one in found]
    facts = [{key: one["extra_info"].get(key) for key in ("replicas", "n_params", "points")} for one in found]
    return pd.DataFrame([row | fact for row, fact in zip(rows, facts, strict=True)])


def main():
    """Run the parts asked for, keep what is there of the others, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="part", help=f"{', '.join(PARTS)}; all if left out")
    parser.add_argument(
        "--budget", type=float, default=1.0, help="multiplies steps and rounds (tables count at 1 only)"
    )
    parser.add_argument("--folder", type=Path, default=RESULTS, help="where to write")
    options = parser.parse_args()
    one_core()
    import page
    import peers
    import sharpness
    import throughput
    import toys

    folder, budget = options.folder, options.budget
    folder.mkdir(parents=True, exist_ok=True)
    for part in options.parts or PARTS:
        began = CPU()
        if part == "throughput":
            save(frame(throughput.table(max(1, round(7 * budget)))), folder / "throughput.csv")
        elif part == "peers":
            rows, curves = peers.table(budget)
            save(frame(rows), folder / "time-to-error.csv")
            save(pd.DataFrame(curves, columns=["optimiser", "seed", "cpu_seconds", "rmse"]), folder / "curves.csv")
        elif part == "toys":
            save(frame(toys.table(budget)), folder / "toys.csv")
        elif part == "sharpness":
            save(frame(sharpness.table(max(1, round(3 * budget)))), folder / "sharpness.csv")
        elif part == "micro":
            save(micro(0.1 * budget), folder / "micro.csv")
        else:
            parser.error(f"part must be one of {', '.join(PARTS)}. Got {part}.")
        print(f"{part}: {CPU() - began:.0f} CPU seconds", flush=True)
    save(pd.DataFrame([machine() | {"budget": budget}]), folder / "machine.csv")
    page.write(folder)


if __name__ == "__main__":
    main()
