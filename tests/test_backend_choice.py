"""Which backend serves, who says so, and what is refused."""

import subprocess
import sys

import numpy as np
import pytest
import torch

import approxrates as ar
from approxrates import backends
from approxrates.backends import Ensemble, Layout
from approxrates.objectives import BinaryLogistic

TREE = ar.load_target("faber_tree", smoothness=0.5, dim=1)
ARCH = ar.FixedWidth(dim=1, width=4, depth=2)


def ensemble(activation="relu", objective=None, backend="auto"):
    layout = Layout(ARCH.shapes, ar.activations.get(activation))
    data = np.linspace(0, 1, 32).reshape(1, 1, 1, 32)
    return Ensemble(layout, objective or ar.MeanSquare(), data, data, data / data.sum(), [0], backend=backend)


def test_auto_takes_the_compiled_loops_where_they_can_serve():
    pytest.importorskip("numba")
    assert ensemble().backend == "native"
    assert ensemble(objective=ar.LpPower(4.0)).backend == "native"
    assert ensemble(backend="reference").backend == "reference"


@pytest.mark.parametrize(
    ("width", "depth", "dtype", "name"),
    [
        (40, 2, torch.float32, "native"),
        (41, 2, torch.float32, "reference"),
        (80, 3, torch.float64, "native"),
        (81, 3, torch.float64, "reference"),
        (300, 1, torch.float32, "native"),
    ],
)
def test_auto_leaves_wide_products_to_the_reference(width, depth, dtype, name):
    pytest.importorskip("numba")
    layout = Layout(ar.FixedWidth(dim=1, width=width, depth=depth).shapes, ar.activations.get("relu"))
    data = np.linspace(0, 1, 32).reshape(1, 1, 1, 32)
    arguments = (layout, ar.MeanSquare(), data, data, data / data.sum(), [0])
    assert Ensemble(*arguments, dtype=dtype).backend == name
    assert Ensemble(*arguments, dtype=dtype, backend="native").backend == "native"


def test_auto_falls_back(monkeypatch):
    other = ar.activations.Activation(
        "softsign", ar.activations.Family.SMOOTH, lambda z, xp: z / (1 + abs(z)), lambda z, xp: (1 + abs(z)) ** -2
    )
    layout = Layout(ARCH.shapes, other)
    cpu = torch.device("cpu")
    assert "no compiled form" in backends.obstacle(layout, ar.MeanSquare(), torch.float64, cpu)
    monkeypatch.setattr("approxrates.backends.native._is_installed", lambda: False)
    assert ensemble().backend == "reference"
    assert "not installed" in backends.obstacle(layout, ar.MeanSquare(), torch.float64, cpu)
    with pytest.raises(ValueError, match="cannot be used: numba is not installed"):
        ar.train(ARCH, TREE, plan=[ar.Adam(steps=1)], backend="native")
    assert ar.train(ARCH, TREE, plan=[ar.Adam(steps=1)]).losses[0] > 0


def test_the_environment_sets_the_default(monkeypatch):
    monkeypatch.setenv("APPROXRATES_BACKEND", "reference")
    assert backends.check_backend(None) == "reference"
    assert backends.check_backend("auto") == "auto"
    monkeypatch.setenv("APPROXRATES_BACKEND", "gpu")
    with pytest.raises(ValueError, match=r"APPROXRATES_BACKEND must be one of auto, reference, native\. Got 'gpu'"):
        ar.train(ARCH, TREE, plan=[ar.Adam(steps=1)])


def test_native_by_the_environment_must_be_possible(monkeypatch):
    monkeypatch.setenv("APPROXRATES_BACKEND", "native")
    monkeypatch.setattr("approxrates.backends.native._is_installed", lambda: False)
    with pytest.raises(ValueError, match="numba is not installed"):
        ar.train(ARCH, TREE, plan=[ar.Adam(steps=1)])


def test_losses_without_compiled_form_go_to_the_reference():
    assert ensemble(objective=BinaryLogistic()).backend == "reference"
    with pytest.raises(ValueError, match="the loss BinaryLogistic has no compiled form"):
        ensemble(objective=BinaryLogistic(), backend="native")


def test_a_fit_on_the_reference_never_imports_the_compiler():
    code = """
import sys, approxrates as ar
ar.train(ar.FixedWidth(dim=1, width=4, depth=1), ar.load_target("polynomial"), plan=[ar.Adam(steps=1)],
         backend="reference")
sys.exit("numba" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match=r"backend must be one of auto, reference, native\. Got 'c'"):
        ar.train(ARCH, TREE, plan=[ar.Adam(steps=1)], backend="c")


@pytest.mark.parametrize("memory", [0, -5])
def test_memory_must_be_positive(memory):
    with pytest.raises(ValueError, match="memory"):
        ar.train(ARCH, TREE, plan=[ar.Adam(steps=1)], memory=memory)
