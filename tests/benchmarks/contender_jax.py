"""Full-batch Adam in jax: ``vmap`` over networks, ``scan`` over steps, all of it compiled. See ``contenders.py``."""

import functools
import os

import numpy as np
from contenders import BETAS, EPSILON, RATE, Contender


@functools.cache
def load():
    """The module, told to use one thread and to have double precision; None if it is not installed."""
    # Read once, when the module loads.
    os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1")
    try:
        import jax
    except ImportError:
        return None
    jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_enable_x64", True)
    return jax


def points_last(problem, steps):
    """A layer is ``weight @ h + bias`` with ``h (width, M)``, as in our own passes."""
    return load() and _compiled(problem, steps, points_last=True)


def points_first(problem, steps):
    """A layer is ``h @ weight + bias`` with ``h (M, width)``, as flax and most people write it."""
    return load() and _compiled(problem, steps, points_last=False)


def _compiled(problem, steps, points_last):
    """``jit`` of ``scan`` over the steps of ``vmap`` of ``grad``; buffers are donated, nothing is read in between."""
    jax = load()
    jnp, dtype = jax.numpy, np.dtype(problem.dtype)
    sigma = {"relu": jax.nn.relu, "tanh": jnp.tanh}[problem.activation]
    x, y = (jnp.asarray(values[None] if points_last else values[:, None], dtype) for values in problem.points())

    def affine(h, weight, bias):
        return weight @ h + bias[:, None] if points_last else h @ weight + bias

    def loss(layers):
        h = x
        for layer in layers[:-1]:
            h = sigma(affine(h, *layer))
        return jnp.mean(jnp.square(affine(h, *layers[-1]) - y))

    def step(state, _):
        theta, first, second, count = state
        gradient = jax.vmap(jax.grad(loss))(theta)
        first = jax.tree.map(lambda m, g: BETAS[0] * m + (1.0 - BETAS[0]) * g, first, gradient)
        second = jax.tree.map(lambda v, g: BETAS[1] * v + (1.0 - BETAS[1]) * g * g, second, gradient)
        count = count + 1
        root = jnp.sqrt(1.0 - BETAS[1] ** count)
        rate, epsilon = ((RATE * root / (1.0 - BETAS[0] ** count)).astype(dtype), (EPSILON * root).astype(dtype))
        theta = jax.tree.map(lambda p, m, v: p - rate * m / (jnp.sqrt(v) + epsilon), theta, first, second)
        return (theta, first, second, count), None

    @functools.partial(jax.jit, donate_argnums=0)
    def all_steps(state):
        return jax.lax.scan(step, state, None, length=steps)[0]

    theta = [(w if points_last else w.transpose(0, 2, 1), b) for w, b in problem.layers()]
    theta = jax.tree.map(lambda part: jnp.asarray(part, dtype), theta)
    zeros = functools.partial(jax.tree.map, jnp.zeros_like)
    state = [(theta, zeros(theta), zeros(theta), jnp.zeros((), jnp.float64))]

    def run():
        state[0] = jax.block_until_ready(all_steps(state[0]))

    losses = jax.jit(jax.vmap(loss))
    return Contender(problem.replicas, run, lambda: np.asarray(losses(state[0][0]), dtype=np.float64))
