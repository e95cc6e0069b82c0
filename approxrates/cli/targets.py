"""Commands for the catalogue of targets, and for networks built for one of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from approxrates.cli.base import app

if TYPE_CHECKING:
    from approxrates.smoothness.base import Method

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


@targets_app.command("check")
def targets_check(
    target: Annotated[str, typer.Argument(help="Family name, or a target file (.toml).")],
    smoothness: Annotated[
        float | None, typer.Option(help="Smoothness r of a family; default: the first it is tested with.")
    ] = None,
    dim: Annotated[int | None, typer.Option(help="Dimension d of a family; default: its first.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of a family.")] = 0,
    method: Annotated[str, typer.Option(help="structure or leaders.")] = "structure",
) -> None:
    """Measure the smoothness of a target and say whether it agrees with the declared one."""
    from approxrates.catalogue import describe, load_target, load_target_file
    from approxrates.smoothness import measure_smoothness

    if target.endswith(".toml"):
        if smoothness is not None or dim is not None:
            raise ValueError("--smoothness and --dim must be left out for a target file: the file states them.")
        goal = load_target_file(target, seed=seed)
    else:
        claims = describe(target)
        known = claims.smoothness.values[0] if smoothness is None else smoothness
        goal = load_target(target, smoothness=known, dim=claims.dims[0] if dim is None else dim, seed=seed)
    typer.echo(measure_smoothness(goal, cast("Method", method)).sentence)


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
    typer.echo(f"L2 error {error.l2:.6g}, give or take {error.l2_error:.1g}")
    if out is not None:
        network.save(out)
        typer.echo(f"saved: {out}")
