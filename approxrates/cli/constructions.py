"""The command that lists the theorems and builds the networks of one."""

from __future__ import annotations

import math
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from approxrates.cli.base import app, parse_overrides

if TYPE_CHECKING:
    from approxrates.constructions import Theorem
    from approxrates.errors import ApproximationError
    from approxrates.target import Target

FIGURES = (".svg", ".pdf", ".png")
_N_PARAMS = 500
_COLUMNS = 100


@app.command()
def construct(
    name: Annotated[str | None, typer.Argument(help="Construction, e.g. interpolation.")] = None,
    target: Annotated[
        str | None,
        typer.Option(help="Target family, or a target file (.toml); default: one that the construction is for."),
    ] = None,
    smoothness: Annotated[
        float | None, typer.Option(help="Smoothness r of the target; default: the first its family is tested with.")
    ] = None,
    dim: Annotated[
        int | None, typer.Option(help="Dimension d; default: the first that family and construction share.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the target.")] = 0,
    n_params: Annotated[
        int | None, typer.Option(help=f"Upper limit on non-zero parameters; default {_N_PARAMS} without --option.")
    ] = None,
    option: Annotated[
        list[str] | None, typer.Option("--option", help="Option of the construction, e.g. cells=64. Repeatable.")
    ] = None,
    save: Annotated[Path | None, typer.Option("--save", "--out", help="Save the network here (.safetensors).")] = None,
    draw: Annotated[Path | None, typer.Option(help="Draw the layout here (.svg, .pdf, .png).")] = None,
    error: Annotated[bool, typer.Option("--error", help="Measure the error, with proof where there is one.")] = False,
    list_: Annotated[bool, typer.Option("--list", help="List the constructions.")] = False,
) -> None:
    """Build a network from a theorem, describe it; measure its error, draw it, save it."""
    from approxrates import constructions

    if list_ or name is None:
        typer.echo("\n\n".join(_told(constructions.describe(known)) for known in constructions.names()))
        return
    theorem = constructions.describe(name)
    options = parse_overrides(option, "--option", "cells=64")
    _check_place(save, "--save", "network.safetensors")
    _check_place(draw, "--draw", "layout.svg")
    if draw is not None and draw.suffix not in FIGURES:
        raise ValueError(f"--draw must end in {', '.join(FIGURES)}. Got {draw}. Write e.g. --draw layout.svg.")
    goal = _target(target, smoothness, dim, seed, theorem)
    limit = _N_PARAMS if n_params is None and not options else n_params
    network = constructions.construct(name, goal, n_params=limit, **options)
    r = goal.regularity.smoothness
    typer.echo(f"target: {goal.name}, smoothness {r:g}, dim {goal.dim}, seed {seed}")
    typer.echo(network.describe())
    if error:
        from approxrates.errors import approximation_error

        _tell_error(approximation_error(network, goal))
    if save is not None:
        network.save(save)
        typer.echo(f"saved: {save}")
    if draw is not None:
        from approxrates.plots import plot_channel_layout, save_figure

        written = save_figure(plot_channel_layout(network), draw.with_suffix(""), formats=(draw.suffix[1:],))
        typer.echo(f"drawn: {', '.join(map(str, written))}")


def _told(theorem: Theorem) -> str:
    """What a theorem declares, in lines of a readable length."""
    low, high = theorem.smoothness
    smoothness = f"r > {low:g}" if math.isinf(high) else f"{low:g} < r <= {high:g}"
    rows = {
        "": theorem.statement,
        "error: ": theorem.rate_law,
        "count: ": theorem.count_law,
        "options: ": ", ".join(theorem.options),
        "source: ": theorem.reference,
    }
    lines = [f"{theorem.name} (d = {', '.join(map(str, theorem.dims))}; {smoothness})"]
    for head, text in rows.items():
        indent = " " * (2 + len(head))
        lines += textwrap.wrap(
            " ".join(f"{head}{text}".split()), _COLUMNS, initial_indent="  ", subsequent_indent=indent
        )
    return "\n".join(lines)


def _check_place(path: Path | None, option: str, example: str) -> None:
    """Refuse a file that cannot be written, before anything is built."""
    if path is not None and (path.is_dir() or not path.resolve().parent.is_dir()):
        raise ValueError(f"{option} must be a file in a folder that exists. Got {path}. Write e.g. {option} {example}.")


def _target(family: str | None, smoothness: float | None, dim: int | None, seed: int, theorem: Theorem) -> Target:
    """The target of a family or file; what is left out is chosen so that the theorem applies, if it can be."""
    from approxrates.catalogue import describe, load_target, load_target_file

    if family is None and theorem.example is not None:
        if smoothness is not None or dim is not None:
            raise ValueError(f"--smoothness and --dim need a --target here: {theorem.name} is about one function.")
        return theorem.example()
    if family is None:
        rough = theorem.smoothness[0] < 1 if smoothness is None else smoothness < 1
        family = "faber_tree" if rough else "bump_tree"
    if family.endswith(".toml"):
        if smoothness is not None or dim is not None:
            raise ValueError("--smoothness and --dim must be left out for a target file: the file states them.")
        return load_target_file(family, seed=seed)
    claims = describe(family)
    low, high = theorem.smoothness
    fitting = [r for r in claims.smoothness.values if low < r <= high]
    if smoothness is None:
        smoothness = (fitting or list(claims.smoothness.values))[0]
    if dim is None:
        dim = next((d for d in claims.dims if d in theorem.dims), claims.dims[0])
    return load_target(family, dim=dim, seed=seed, smoothness=smoothness)


def _tell_error(found: ApproximationError) -> None:
    """Sup and L2 error in two lines."""
    standing = "certified" if found.certified else "not certified"
    if not found.certified and found.share > 0:
        standing = f"proven on {math.floor(1e6 * found.share) / 1e4:g} % of the cube"
    typer.echo(f"sup error in [{found.sup[0]:.6g}, {found.sup[1]:.6g}] ({found.method}, {standing})")
    typer.echo(f"L2 error {found.l2:.6g}, give or take {found.l2_error:.1g}")
