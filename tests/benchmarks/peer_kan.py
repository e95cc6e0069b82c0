"""pykan with its own L-BFGS, in float64: the grid is refined once, as its authors advise, and not updated afterwards."""

import contextlib
import functools
import io
import warnings


@functools.cache
def load():
    """The module ``kan``; None if it is not installed."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import kan
    except ImportError:
        return None
    return kan


def fit(x, y, widths, grids, steps, seed):
    """The trained model ``(n, dim) -> (n,)`` and the number of its trainable parameters; None without pykan.

    Nothing is saved, no symbolic branch is computed, and the loss on test points, which ``fit`` evaluates at every
    step, has two points only. Inputs are brought to [-1, 1], where its grids lie.

    Args:
        x: Points of the unit cube ``(M, dim)``.
        y: Values there.
        widths: Of the layers, input and output included.
        grids: Grid intervals, one number after the other.
        steps: L-BFGS steps on each grid, of at most 20 iterations.
        seed: Of the start.
    """
    kan = load()
    if kan is None:
        return None
    import numpy as np
    import torch

    kind = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    np.random.seed(seed)  # noqa: NPY002  (fit shuffles the points by numpy's global generator)
    try:
        points, values = torch.from_numpy(2.0 * x - 1.0), torch.from_numpy(y)[:, None]
        data = {"train_input": points, "train_label": values, "test_input": points[:2], "test_label": values[:2]}
        with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
            model = kan.KAN(list(widths), grid=grids[0], k=3, seed=seed, symbolic_enabled=False, auto_save=False)
            for number, (grid, count) in enumerate(zip(grids, steps, strict=True)):
                if number:
                    model = model.refine(grid)
                    model.auto_save = False
                hidden = number == 0 and len(widths) > 2
                model.fit(
                    data, opt="LBFGS", steps=count, update_grid=hidden, grid_update_num=3, stop_grid_update_step=6
                )
    finally:
        torch.set_default_dtype(kind)
    model.save_act = False
    # Affine parameters of the symbolic branch are not used, so they are not counted.
    n_params = sum(part.numel() for layer in model.act_fun for part in layer.parameters() if part.requires_grad)

    def outputs(t):
        with torch.no_grad():
            return np.concatenate(
                [model(torch.from_numpy(2.0 * part - 1.0))[:, 0].numpy() for part in np.array_split(t, 10)]
            )

    return outputs, n_params
