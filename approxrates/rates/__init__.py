"""Rates of convergence: the exponent ``p`` in ``error ~ C * n_params**(-p)`` with an interval, and contrasts of two.

The statistics are written up in ``docs/rates.md``.
"""

from approxrates.rates.base import Rate
from approxrates.rates.choice import Candidate, LawChoice, choose_law
from approxrates.rates.compare import RateDifference, compare_rates
from approxrates.rates.fit import fit_rate

__all__ = ["Candidate", "LawChoice", "Rate", "RateDifference", "choose_law", "compare_rates", "fit_rate"]
