"""A tanh network in plain numpy with hand-written derivatives: what scipy's optimisers are given. Nothing of ours in it.

Points are last and the weights of a layer are one matrix with the bias as its last column, which is the fast way here.
"""

import itertools

import numpy as np


class PlainMLP:
    """Residuals of a tanh network of one output, their gradient and their Jacobian.

    Args:
        x: Points ``(M, dim)``.
        y: Values there ``(M,)``.
        width: Units in each hidden layer.
        depth: Hidden layers.
    """

    def __init__(self, x, y, width, depth):
        self.y, (self.n_points, self.dim) = y, x.shape
        sizes = [self.dim, *[width] * depth, 1]
        self.shapes = [(n_out, n_in + 1) for n_in, n_out in itertools.pairwise(sizes)]
        self.cuts = np.cumsum([0, *[a * b for a, b in self.shapes]])
        self.n_params = int(self.cuts[-1])
        ones = np.ones((1, self.n_points))
        self.inputs = [np.vstack([x.T, ones])] + [
            np.vstack([np.empty((width, self.n_points)), ones]) for _ in range(depth)
        ]
        self.known = None

    def start(self, seed):
        """Torch's default start: weights and biases uniform in ``+-1 / sqrt(n_in)``."""
        random = np.random.default_rng(seed)
        bounds = [(a, b, (b - 1) ** -0.5) for a, b in self.shapes]
        return np.concatenate([random.uniform(-s, s, size=a * b) for a, b, s in bounds])

    def matrices(self, theta):
        """The layers' matrices ``(n_out, n_in + 1)``, views of ``theta``."""
        return [theta[i:j].reshape(s) for i, j, s in zip(self.cuts, self.cuts[1:], self.shapes, strict=False)]

    def residuals(self, theta):
        """Output minus value at each point ``(M,)``; keeps the activations for a Jacobian that follows."""
        matrices = self.matrices(theta)
        for layer, matrix in enumerate(matrices[:-1]):
            np.tanh(matrix @ self.inputs[layer], out=self.inputs[layer + 1][:-1])
        self.known = theta.copy()
        return (matrices[-1] @ self.inputs[-1])[0] - self.y

    def value_and_gradient(self, theta):
        """Mean square of the residuals and its gradient ``(P,)``."""
        residual = self.residuals(theta)
        matrices, delta, parts = self.matrices(theta), (2.0 / self.n_points) * residual[None, :], []
        for layer in range(len(matrices) - 1, -1, -1):
            parts.append((delta @ self.inputs[layer].T).ravel())
            if layer:
                delta = (matrices[layer][:, :-1].T @ delta) * (1.0 - self.inputs[layer][:-1] ** 2)
        return residual @ residual / self.n_points, np.concatenate(parts[::-1])

    def jacobian(self, theta):
        """Derivatives of the residuals ``(M, P)``; the forward pass is that of :meth:`residuals` if it was here."""
        if self.known is None or not np.array_equal(theta, self.known):
            self.residuals(theta)
        jacobian = np.empty((self.n_params, self.n_points))
        matrices, delta = self.matrices(theta), np.ones((1, self.n_points))
        for layer in range(len(matrices) - 1, -1, -1):
            block = jacobian[self.cuts[layer] : self.cuts[layer + 1]].reshape(*self.shapes[layer], self.n_points)
            np.multiply(delta[:, None, :], self.inputs[layer][None, :, :], out=block)
            if layer:
                delta = (matrices[layer][:, :-1].T @ delta) * (1.0 - self.inputs[layer][:-1] ** 2)
        return jacobian.T

    def outputs(self, theta, x):
        """Outputs at other points ``(n, dim)``."""
        h = x.T
        *hidden, last = self.matrices(theta)
        for matrix in hidden:
            h = np.tanh(matrix[:, :-1] @ h + matrix[:, -1:])
        return (last[:, :-1] @ h + last[:, -1:])[0]
