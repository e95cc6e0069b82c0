"""Commands for the catalogue of targets."""

from __future__ import annotations

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
