"""What is installed and shipped: no CUDA build in CI, the catalogue in the wheel, versions that agree."""

import os
import re
import tomllib
from importlib.metadata import distributions, version
from pathlib import Path

import pytest

import approxrates

ROOT = Path(__file__).parent.parent


def cuda_packages() -> list[str]:
    return sorted({d.name for d in distributions() if d.name and re.match(r"(nvidia-|triton$|cuda-)", d.name.lower())})


@pytest.mark.skipif(
    os.environ.get("CI") != "true", reason="guards CI only: elsewhere a CUDA build of torch is the user's choice"
)
def test_ci_has_pulled_no_cuda_package():
    assert cuda_packages() == []


def test_constraints_pin_one_torch_and_pyproject_leaves_a_range():
    pins = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line and not line.startswith("#")]
    assert pins == ["torch==2.13.0"]
    requirements = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    assert "torch>=2.4" in requirements
    assert not any("==" in r for r in requirements)


def test_make_installs_under_the_constraints():
    assert "-c constraints.txt" in (ROOT / "Makefile").read_text()


def test_versions_agree():
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert approxrates.__version__ == declared == version("approxrates")
    assert f"version: {declared}" in (ROOT / "CITATION.cff").read_text()
    assert f"[{declared}]" in (ROOT / "CHANGELOG.md").read_text()


def test_every_dependency_is_named_with_its_reason():
    text = (ROOT / "docs" / "architecture.md").read_text()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = [re.split(r"[<>=\[ ]", r)[0] for r in project["dependencies"] + project["optional-dependencies"]["dev"]]
    assert [n for n in names if f"`{n}`" not in text] == []


@pytest.mark.parametrize("name", approxrates.__all__)
def test_every_public_name_loads_and_is_documented(name):
    assert getattr(approxrates, name) is not None
    if name != "__version__":
        documents = "\n".join(p.read_text() for p in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
        assert name in documents


def test_an_unknown_public_name_lists_the_known_ones():
    with pytest.raises(AttributeError, match="Public names: Regularity"):
        _ = approxrates.no_such_name
