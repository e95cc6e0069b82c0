"""What all contenders are given: one shape of network, its points and values, and the same starting parameters."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Problem:
    """Full-batch least squares with ``replicas`` networks of one input, ``depth`` hidden layers and one output."""

    activation: str
    dtype: str
    replicas: int
    width: int = 8
    depth: int = 8
    n_points: int = 512

    @property
    def shapes(self):
        """``(n_out, n_in)`` of each layer."""
        return (self.width, 1), *((self.width, self.width),) * (self.depth - 1), (1, self.width)

    @property
    def n_params(self):
        """Weights and biases of one network."""
        return sum(n_out * (n_in + 1) for n_out, n_in in self.shapes)

    @property
    def flops(self):
        """Floating-point operations in the matrix products of a gradient: 2 P M forward, twice that backward."""
        return 6 * self.n_params * self.n_points

    def points(self):
        """Points ``(M,)`` and target values there, float64."""
        x = np.linspace(0.0, 1.0, self.n_points)
        return x, np.exp(np.sin(2.0 * np.pi * x))

    def layers(self):
        """Starting weights ``[N, n_out, n_in]`` and biases ``[N, n_out]`` of each layer, float64."""
        random = np.random.default_rng(0)
        # He's scale; biases spread the break-points of the first layer over the interval.
        return [
            (
                random.normal(size=(self.replicas, n_out, n_in)) * (2.0 / n_in) ** 0.5,
                random.uniform(-0.5, 0.5, size=(self.replicas, n_out)),
            )
            for n_out, n_in in self.shapes
        ]

    def plain(self):
        """The same as rows ``[N, P]``: of each layer the weights, then the biases."""
        parts = [part.reshape(self.replicas, -1) for layer in self.layers() for part in layer]
        return np.concatenate(parts, axis=1)


def rms(values):
    """Root mean square."""
    return float(np.sqrt(np.mean(np.square(values))))
