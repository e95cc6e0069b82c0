"""Extreme eigenvalues, traces and matrices of symmetric operators that are known by their products alone.

An operator stands for N replicas at once: ``product(V, rows)`` gives the products ``[n, stride]`` of the replicas
``rows`` with the rows of ``V``, and ``many(V)`` those of all replicas with several vectors each, ``[N, q, stride]``.
Entries of a row from ``n_params`` on are padding and zero.
"""

from approxrates.spectra.dense import dense_matrices
from approxrates.spectra.lanczos import ENDS, Extremes, extreme_eigenvalues, random_start
from approxrates.spectra.trace import Trace, exact_trace, traces

__all__ = [
    "ENDS",
    "Extremes",
    "Trace",
    "dense_matrices",
    "exact_trace",
    "extreme_eigenvalues",
    "random_start",
    "traces",
]
