"""The table of measured smoothness in docs/targets.md: ``python tests/smoothness_table.py`` prints it.

Every family of the catalogue with a finite Hölder exponent, in d = 1 and 2, three draws of each where draws differ.
Powers have their rough point at twelve random places, which lie on no grid.
"""

import itertools
import sys

import numpy as np

from approxrates.catalogue import describe, families, load_target
from approxrates.smoothness import measure_smoothness

KINDS = ("holder", "holder-log")
# Bumps of one size are as rough as r says at that size only, and smoother below it: r is no exponent of the function.
LEFT_OUT = ("needle", "single_scale")
POWERS = (0.1, 0.25, 0.4, 0.75, 1.5, 2.5)
CENTRES = 12


def cases():
    """Family, smoothness, dimension."""
    for name in families():
        claims = describe(name)
        if claims.kind in KINDS and name not in LEFT_OUT:
            dims = [d for d in claims.dims if d <= 2] or claims.dims[:1]
            values = POWERS if name == "power" else claims.smoothness.values
            yield from itertools.product([name], values, dims)


def draws(name, r, dim):
    """The targets of one row."""
    if name == "power":
        centres = np.random.default_rng(0).random(CENTRES)
        return [load_target(name, smoothness=r, dim=dim, centre=float(c)) for c in centres]
    seeds = range(3) if describe(name).random else range(1)
    return [load_target(name, smoothness=r, dim=dim, seed=seed) for seed in seeds]


def measured(name, r, dim, method):
    """The measurements of all draws."""
    # The field in two dimensions is known to cells of side 2^-8 only.
    levels = 8 if (name, dim) == ("matern", 2) else None
    for target in draws(name, r, dim):
        yield measure_smoothness(target, method, levels=levels)


def main(method="structure"):
    """Print the table and the coverage."""
    inside = []
    print("| family | d | declared r | measured | interval holds r |\n|---|---|---|---|---|")
    for name, r, dim in cases():
        try:
            found = list(measured(name, r, dim, method))
        except ValueError as problem:
            print(f"| `{name}` | {dim} | {r:.4g} | {problem} | |")
            continue
        hits = [f.holds for f in found]
        inside += [(dim, hit) for hit in hits]
        values = [f.value for f in found]
        shown = ", ".join(f"{v:.2f}" for v in values) if len(values) <= 3 else f"{min(values):.2f} to {max(values):.2f}"
        print(f"| `{name}` | {dim} | {r:.4g} | {shown} | {sum(hits)} of {len(hits)} |", flush=True)
    for dim in sorted({d for d, _ in inside}):
        hits = [hit for d, hit in inside if d == dim]
        print(f"\n{method}, d = {dim}: {sum(hits)} of {len(hits)} intervals hold the declared r.")


if __name__ == "__main__":
    main(*sys.argv[1:])
