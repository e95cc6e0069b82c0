"""Commands for the catalogue of targets, and for networks built for one of them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from approxrates.cli.base import app

targets_app = typer.Typer(invoke_without_command=True, rich_markup_mode=None)
app.add_typer(targets_app, name="targets", help="List the catalogue of targets, or show one family's claims.")


@targets_app.callback()
def _targets(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        from approxrates.catalogue import table

        rows = table()
        widths = {key: max(len(key), *(len(str(row[key])) for row in rows)) for key in rows[0]}
        for row in [{key: key for key in widths}, *rows]:
            typer.echo("  ".join(str(row[key]).ljust(widths[key]) for key in widths).rstrip())


@targets_app.command("show")
def targets_show(name: Annotated[str, typer.Argument(help="Family name.")]) -> None:
    """Show the claims of one family."""
    from approxrates.catalogue import describe

    typer.echo(describe(name).render())


@app.command()
def construct(
    name: Annotated[str | None, typer.Argument(help="Construction, e.g. interpolation.")] = None,
    target: Annotated[str, typer.Option(help="Target family.")] = "faber_tree",
    smoothness: Annotated[
        float | None, typer.Option(help="Smoothness r of the target; default: the first its family is tested with.")
    ] = None,
    dim: Annotated[int, typer.Option(help="Dimension d.")] = 1,
    seed: Annotated[int, typer.Option(help="Seed of the target.")] = 0,
    n_params: Annotated[int, typer.Option(help="Upper limit on non-zero parameters.")] = 500,
    out: Annotated[Path | None, typer.Option(help="Save the network here (.safetensors).")] = None,
    list_: Annotated[bool, typer.Option("--list", help="List the constructions.")] = False,
) -> None:
    """Build a network from a theorem, measure its error, and save it."""
    from approxrates import constructions

    if list_ or name is None:
        for known in constructions.names():
            theorem = constructions.describe(known)
            typer.echo(
                f"{known}: {theorem.statement}\n  {theorem.rate_law}; {theorem.count_law}\n  {theorem.reference}"
            )
        return
    constructions.describe(name)
    if out is not None and (out.is_dir() or not out.resolve().parent.is_dir()):
        raise ValueError(
            f"--out must be a file in a folder that exists. Got {out}. Write e.g. --out network.safetensors."
        )
    from approxrates.catalogue import describe, load_target
    from approxrates.errors import approximation_error

    known_smoothness = describe(target).smoothness.values[0] if smoothness is None else smoothness
    goal = load_target(target, dim=dim, seed=seed, smoothness=known_smoothness)
    network = constructions.construct(name, goal, n_params=n_params)
    error = approximation_error(network, goal)
    typer.echo(f"target: {goal.name}, smoothness {known_smoothness:g}, dim {dim}, seed {seed}")
    typer.echo(network.describe())
    standing = "certified" if error.certified else "not certified"
    typer.echo(f"sup error in [{error.sup[0]:.6g}, {error.sup[1]:.6g}] ({error.method}, {standing})")
    typer.echo(f"L2 error {error.l2:.6g}")
    if out is not None:
        network.save(out)
        typer.echo(f"saved: {out}")
