"""Scaling and member of Broyden's family that an update of an inverse Hessian takes, in plain numbers."""

from __future__ import annotations

import math

LEAST_CURVATURE = 1e-14
"""A step is learnt from where the gradient changed along it by more than this share of what it might have."""

_LEAST_BEND = 1e-14


def self_scaled(h: float, b: float, n_params: int) -> tuple[float, float, float]:
    """Scaling ``t`` and member ``phi`` of a self-scaled update of Broyden's family, and ``1 + (h b - 1) phi``.

    ``H+ = (H - w w' / y'w + phi y'w v v') / t + s s' / s'y`` with ``w = H y`` and ``v = s / s'y - w / y'w``; ``phi`` is
    1 for BFGS and 0 for DFP.

    Args:
        h: ``y'Hy / s'y``.
        b: ``s'Bs / s'y``.
        n_params: Number of parameters.

    Reference:
        Al-Baali & Khalfan (2005), Optim. Methods Softw. 20; as chosen by Urbán, Stefanou & Pons (2025), J. Comput.
        Phys. 523, arXiv:2405.04230, and by Kiyani et al. (2025), arXiv:2501.16371.
    """
    a = max(h * b - 1.0, _LEAST_BEND)  # 0 where s and w are parallel
    narrow = 1.0 / ((1.0 + a) * (1.0 + math.sqrt(a / (1.0 + a))))  # 1 - sqrt(a / (1 + a))
    least = min(1.0, h * narrow)
    theta = max((least - 1.0) / a, min(1.0 / least, (1.0 - b) / b))
    sigma = 1.0 + a * theta
    root = sigma ** (1.0 / (1.0 - n_params))
    most = min(1.0, 1.0 / b)
    scaling = most * min(root, 1.0 / theta) if theta > 0.0 else min(most * root, sigma)
    return scaling, (1.0 - theta) / sigma, (1.0 + a) / sigma
