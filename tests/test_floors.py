"""The architecture as a test: every module has a floor, and imports point down."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "approxrates"

# Modules and packages, lowest floor first. A module imports only from lower floors; the files of one package may not
# import each other in a circle.
FLOORS = [
    [
        "regularity",
        "theory",
        "activations",
        "sampling",
        "seeds",
        "rates",
        "store",
        "layers",
        "axes",
        "taylor",
        "shipped",
        "transitions",
        "regimes",
        "spectra",
    ],
    ["target", "dataset", "phase", "boundary", "objectives", "arithmetic", "initialisation", "folding", "models"],
    ["network", "generators", "smoothness", "architecture", "approximant", "backends", "datasets"],
    ["errors", "catalogue", "measurements"],
    ["constructions", "references", "training", "engines"],
    ["spec"],
    ["execution", "records"],
    ["study", "plots"],
    ["report", "certification"],
    ["calibration", "probes"],
    ["__init__"],
    ["cli"],
    ["__main__"],
]
LEVEL = {name: level for level, names in enumerate(FLOORS) for name in names}

TORCH_FREE = [
    "measurements",
    "boundary",
    "transitions",
    "regularity",
    "theory",
    "seeds",
    "rates",
    "store",
    "axes",
    "layers",
    "target",
    "phase",
    "catalogue",
    "smoothness",
    "spec",
    "records",
    "cli",
    "datasets",
]


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def dotted(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts)


def imports_of(path: Path) -> set[str]:
    """Names below ``approxrates`` that a module imports anywhere in its text, lazily or for types only included."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}: relative import in line {node.lineno}"
            if node.module == "approxrates":
                found |= {alias.name for alias in node.names}
            elif node.module and node.module.startswith("approxrates."):
                base = node.module.removeprefix("approxrates.")
                found |= {
                    f"{base}.{alias.name}" if (PACKAGE / base.replace(".", "/") / f"{alias.name}.py").exists() else base
                    for alias in node.names
                }
        elif isinstance(node, ast.Import):
            found |= {
                alias.name.removeprefix("approxrates.") for alias in node.names if alias.name.startswith("approxrates.")
            }
    return found


def test_every_module_has_a_floor_and_every_floor_entry_exists():
    present = {dotted(path).split(".")[0] for path in modules()}
    assert present == set(LEVEL)


@pytest.mark.parametrize("path", modules(), ids=dotted)
def test_imports_point_down(path):
    own = dotted(path).split(".")
    for name in imports_of(path):
        other = name.split(".")
        if other[0] == "__version__":
            continue
        if other[0] == own[0] and len(own) > 1:
            continue  # inside one package: its order is checked for cycles below
        assert LEVEL[other[0]] < LEVEL[own[0]], (
            f"{'.'.join(own)} (floor {LEVEL[own[0]]}) imports {name} (floor {LEVEL[other[0]]})"
        )


@pytest.mark.parametrize("package", sorted(p.name for p in PACKAGE.iterdir() if (p / "__init__.py").exists()))
def test_files_of_a_package_do_not_import_each_other_in_a_circle(package):
    graph: dict[str, set[str]] = {}
    for path in (PACKAGE / package).rglob("*.py"):
        file = path.relative_to(PACKAGE / package).parts[0].removesuffix(".py")  # a folder inside counts as one file
        read = {n.split(".")[1] if "." in n else "__init__" for n in imports_of(path) if n.split(".")[0] == package}
        graph.setdefault(file, set()).update(read - ({file} if path.parent.name == file else set()))
    done: set[str] = set()
    while graph.keys() - done:
        ready = {name for name in graph.keys() - done if graph[name] <= done}
        assert ready, f"{package}: circle among {sorted(graph.keys() - done)}"
        done |= ready


def test_only_plots_imports_matplotlib():
    for path in modules():
        text = path.read_text()
        if "import matplotlib" in text or "from matplotlib" in text:
            assert dotted(path).split(".")[0] == "plots", dotted(path)


@pytest.mark.parametrize("name", TORCH_FREE)
def test_module_imports_without_torch(name):
    code = f"import sys, approxrates.{name}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_importing_the_package_loads_nothing_heavy():
    heavy = ["torch", "scipy", "pandas", "matplotlib", "sklearn", "pydantic"]
    code = f"import sys, approxrates; print(*(m for m in {heavy} if m in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split() == []


def test_help_loads_no_torch():
    code = "import sys\nfrom approxrates.cli import app\ntry:\n    app(['--help'])\nexcept SystemExit:\n    pass\nsys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0


def test_no_module_is_too_long_to_read_in_one_sitting():
    assert {dotted(p): n for p in modules() if (n := len(p.read_text().splitlines())) > 400} == {}
