"""Levenberg-Marquardt on the normal equations in numpy and LAPACK: one network at a time, nothing of ours in it.

The rule for the damping is that of Nielsen (1999), as in Madsen, Nielsen & Tingleff, "Methods for non-linear least
squares problems" (2004), algorithm 3.16. A step costs a Cholesky factorisation of ``(P, P)`` where scipy's methods take
a QR or a singular value decomposition of the whole Jacobian.
"""

import numpy as np
from scipy.linalg import LinAlgError, cho_factor, cho_solve
from scipy.linalg.blas import dsyrk


def levenberg_marquardt(problem, theta, evaluations, note=lambda value: None):
    """Parameters after so many evaluations of the residuals.

    Args:
        problem: Has ``residuals(theta)`` and ``jacobian(theta)``.
        theta: Start ``(P,)``.
        evaluations: Of the residuals, at most.
        note: Called with the mean square of each point accepted.
    """
    residual = problem.residuals(theta)
    value = residual @ residual
    damping, growth, normal = None, 2.0, None
    for _ in range(evaluations - 1):
        if normal is None:
            jacobian = problem.jacobian(theta)
            # The transpose is contiguous: its product is one symmetric rank-M update, half the work.
            normal, slope = dsyrk(1.0, jacobian.T, lower=0, trans=0), jacobian.T @ residual
            damping = 1e-3 * normal.diagonal().max() if damping is None else damping
        damped = normal.copy(order="F")
        damped[np.diag_indices_from(damped)] += damping
        try:
            step = -cho_solve(cho_factor(damped, lower=False, overwrite_a=True, check_finite=False), slope)
        except LinAlgError:
            damping, growth = damping * growth, 2.0 * growth
            continue
        trial = theta + step
        changed = problem.residuals(trial)
        lower = changed @ changed
        gain = (value - lower) / (step @ (damping * step - slope))
        if gain > 0.0:
            theta, residual, value, normal = trial, changed, lower, None
            damping, growth = damping * max(1.0 / 3.0, 1.0 - (2.0 * gain - 1.0) ** 3), 2.0
            note(value / len(residual))
        else:
            damping, growth = damping * growth, 2.0 * growth
    return theta
