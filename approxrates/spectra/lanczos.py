"""Top and bottom eigenvalues of many symmetric operators at once, by Lanczos with a residual stop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from approxrates.spectra.krylov import Found, Krylov, Wanted, random_vector

Product = Callable[[Tensor, Tensor], Tensor]
"""``product(V [n, stride], rows [n]) -> [n, stride]``: of the replicas ``rows``, each with its row of ``V``."""

ENDS = {"top": (1,), "bottom": (-1,), "both": (1, -1)}
"""Words for the ends of a spectrum."""

_BASIS_BYTES = 256_000_000
"""What the basis of one replica may take by default."""

_BATCH_BYTES = 1_500_000_000
"""What the bases of all replicas that are computed together may take."""


@dataclass(frozen=True)
class Extremes:
    """Ends of N spectra. What was not asked for, or is not finite, is nan, and not converged.

    ``top`` is the most positive eigenvalue, whatever its size beside others; ``bottom`` the most negative.

    Attributes:
        top: ``[N]``, float64.
        bottom: ``[N]``, float64.
        top_residual: ``|A x - top x|`` of the unit Ritz vector: some eigenvalue is so near, ``[N]``.
        bottom_residual: The same for the bottom.
        top_converged: Whether the residual met the tolerance, ``[N]``, bool.
        bottom_converged: The same for the bottom.
        steps: Products spent on each replica, ``[N]``.
        top_vector: Ritz vectors ``[N, stride]`` if asked for.
        bottom_vector: The same for the bottom.
    """

    top: Tensor
    bottom: Tensor
    top_residual: Tensor
    bottom_residual: Tensor
    top_converged: Tensor
    bottom_converged: Tensor
    steps: Tensor
    top_vector: Tensor | None = None
    bottom_vector: Tensor | None = None


def random_start(
    shape: tuple[int, int], seeds: Sequence[int], *, n_params: int, dtype: torch.dtype = torch.float64
) -> Tensor:
    """Normal start vectors ``[N, stride]``, zero in the padding; each depends on its own seed only.

    Args:
        shape: ``(N, stride)``.
        seeds: One for each replica.
        n_params: Entries beyond are padding.
        dtype: Of the computation.
    """
    if len(seeds) != shape[0]:
        raise ValueError(f"seeds must hold one number for each of {shape[0]} replicas. Got {len(seeds)}.")
    like = torch.zeros((), dtype=dtype)
    rows = [random_vector(seed, 0, n_params, shape[1], like) for seed in seeds]
    return torch.stack(rows) if rows else torch.zeros(shape, dtype=dtype)


def extreme_eigenvalues(
    product: Product,
    start: Tensor | tuple[tuple[int, int], Sequence[int]],
    *,
    n_params: int,
    ends: str = "top",
    tolerance: float = 1e-7,
    absolute: float | Tensor = 0.0,
    most_steps: int | None = None,
    most_products: int = 3000,
    project: Tensor | None = None,
    vectors: bool = False,
    dtype: torch.dtype = torch.float64,
) -> Extremes:
    """Top or bottom eigenvalues, or both, of N symmetric operators.

    Lanczos with full reorthogonalisation; a replica stops as soon as the residual of each wanted Ritz pair is at most
    ``tolerance`` times the size of the eigenvalue. An eigenvalue lies within the residual of the value returned; where
    it stands alone the error is about the residual's square over the gap, much less. Numbers of a replica do not depend
    on the others.

    Args:
        product: The operators.
        start: Vectors ``[N, stride]``, their type that of the computation; to each a random vector of the same length
            is added, so that it need not have a share in the eigenvectors. Or ``((N, stride), seeds)``: random vectors.
        n_params: Order of the operators; entries of a row beyond are padding.
        ends: ``"top"``, ``"bottom"`` or ``"both"``.
        tolerance: Residual over the size of the eigenvalue; not less than twice the rounding unit counts.
        absolute: A residual that is small enough whatever the eigenvalue, one number or ``[N]``.
        most_steps: Basis vectors held at once, at least 4; when there are so many the search goes on from the best
            half. By default what 256 MB hold, 20 at least and 300 at most.
        most_products: Products for one replica, after which it is given back as not converged.
        project: Orthonormal directions ``[N, q, stride]`` kept out of the search: the operator is that on their
            complement. Rows of zeros count for none.
        vectors: Whether the Ritz vectors are returned.
        dtype: Of the computation if ``start`` is seeds.

    Raises:
        ValueError: If an argument does not fit.

    Example:
        >>> spectrum = torch.tensor([[3.0, 1.0, -7.0], [-1.0, -2.0, -3.0]], dtype=torch.float64)
        >>> found = extreme_eigenvalues(lambda v, rows: v * spectrum[rows], ((2, 3), (1, 2)), n_params=3, ends="both")
        >>> [[round(x, 9) for x in end.tolist()] for end in (found.top, found.bottom)]
        [[3.0, -1.0], [-7.0, -3.0]]

    Reference:
        Lanczos (1950), J. Res. Nat. Bur. Stand. 45; Paige (1971), thesis, London; residual bound: Parlett (1998), The
        Symmetric Eigenvalue Problem, 4.5.
    """
    first = _first_vectors(start, n_params, dtype)
    n, stride = first.shape
    if most_steps is None:
        most_steps = min(300, max(20, _BASIS_BYTES // (stride * first.element_size())))
    _check(ends, tolerance, most_steps, most_products)
    if project is not None and (project.ndim != 3 or project[:, 0].shape != first.shape):
        raise ValueError(
            f"project must hold directions for each replica, [N, q, stride] = [{n}, q, {stride}]. "
            f"Got {tuple(project.shape)}."
        )
    limits = torch.as_tensor(absolute, dtype=torch.float64).expand(n).tolist()
    together = max(1, _BATCH_BYTES // ((most_steps + 1) * stride * first.element_size()))
    runs: list[Krylov] = []
    for begin in range(0, n, together):
        batch = [
            Krylov.begin(
                first[i],
                None if project is None else project[i],
                Wanted(ENDS[ends], tolerance, limits[i], most_steps, most_products, vectors),
                n_params,
            )
            for i in range(begin, min(n, begin + together))
        ]
        _drive(product, batch, begin, first.device)
        runs += batch
    return _gathered(runs, first, vectors)


def _drive(product: Product, runs: list[Krylov], begin: int, device: torch.device) -> None:
    """Multiply and absorb until all are done; the first of the runs is replica ``begin``."""
    active = [i for i, run in enumerate(runs) if not run.done]
    rows = torch.tensor([begin + i for i in active], device=device)
    while active:
        found = product(torch.stack([runs[i].vector for i in active]), rows)
        for i, row in zip(active, found, strict=True):
            runs[i].absorb(row)
            if runs[i].done:
                runs[i].release()
        left = [i for i in active if not runs[i].done]
        if len(left) < len(active):
            active, rows = left, torch.tensor([begin + i for i in left], device=device)


def _first_vectors(start: Tensor | tuple[tuple[int, int], Sequence[int]], n_params: int, dtype: torch.dtype) -> Tensor:
    """Start vectors ``[N, stride]`` with a random share."""
    stride = start.shape[-1] if isinstance(start, Tensor) else start[0][1]
    if not 1 <= n_params <= stride:
        raise ValueError(f"n_params must be between 1 and the length of a row, {stride}. Got {n_params}.")
    if isinstance(start, Tensor):
        if start.ndim != 2:
            raise ValueError(f"start must hold a vector for each replica, [N, stride]. Got {tuple(start.shape)}.")
        first = start.detach().clone()
        first[:, n_params:] = 0.0
        length = first.norm(dim=1, keepdim=True)
        # A start without length, or without sense, is no start.
        first = torch.where((length > 0.0) & length.isfinite(), first / length, 0.0)
        mixed = random_vector(0, 0, n_params, first.shape[1], first)
        first += mixed / mixed.norm()
        return first
    return random_start(start[0], start[1], n_params=n_params, dtype=dtype)


def _check(ends: str, tolerance: float, most_steps: int, most_products: int) -> None:
    """Refuse what cannot be searched."""
    if ends not in ENDS:
        raise ValueError(f"ends must be one of {', '.join(ENDS)}. Got {ends!r}.")
    if not 0.0 < tolerance < 1.0:
        raise ValueError(f"tolerance must lie between 0 and 1. Got {tolerance}. Write e.g. tolerance=1e-7.")
    if most_steps < 4 or most_products < 1:
        raise ValueError(
            f"most_steps must be at least 4 and most_products at least 1. Got {most_steps} and {most_products}."
        )


def _gathered(runs: list[Krylov], like: Tensor, vectors: bool) -> Extremes:
    """The record of all replicas."""
    found = {end: [run.found.get(end, Found()) for run in runs] for end in (1, -1)}

    def numbers(end: int, name: str, dtype: torch.dtype) -> Tensor:
        return torch.tensor([getattr(one, name) for one in found[end]], dtype=dtype)

    def stacked(end: int) -> Tensor | None:
        if not vectors or not any(one.vector is not None for one in found[end]):
            return None
        missing = torch.full_like(like[0], torch.nan)
        return torch.stack([missing if one.vector is None else one.vector for one in found[end]])

    return Extremes(
        top=numbers(1, "value", torch.float64),
        bottom=numbers(-1, "value", torch.float64),
        top_residual=numbers(1, "residual", torch.float64),
        bottom_residual=numbers(-1, "residual", torch.float64),
        top_converged=numbers(1, "converged", torch.bool),
        bottom_converged=numbers(-1, "converged", torch.bool),
        steps=torch.tensor([run.products for run in runs]),
        top_vector=stacked(1),
        bottom_vector=stacked(-1),
    )
