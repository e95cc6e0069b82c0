"""Losses: values against closed forms, derivatives against autograd and differences, padding without effect."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional

from approxrates import objectives

CASES = {
    "mean_square": (objectives.MeanSquare(), 2),
    "half_mean": (objectives.HalfSquare(), 2),
    "half_sum": (objectives.HalfSquare("sum"), 3),
    "lp2": (objectives.LpPower(2), 2),
    "lp4": (objectives.LpPower(4), 2),
    "lp3.5": (objectives.LpPower(3.5), 1),
    "softmax": (objectives.SoftmaxCrossEntropy(), 3),
    "logistic": (objectives.BinaryLogistic(), 2),
}


def problem(name, n=3, m=32):
    objective, k = CASES[name]
    rng = np.random.default_rng(7)
    output = torch.from_numpy(rng.normal(size=(n, k, m)))
    if name == "softmax":
        target = torch.from_numpy(rng.integers(0, k, size=(n, 1, m)).astype(float))
    elif name == "logistic":
        target = torch.from_numpy(rng.integers(0, 2, size=(n, k, m)).astype(float))
    else:
        target = torch.from_numpy(rng.normal(size=(n, k, m)))
    weights = torch.from_numpy(rng.random(size=(n, 1, m)))
    return objective, output, target, weights / weights.sum(-1, keepdim=True)


def reference(name, output, target, weights):
    """The losses as torch's own functions have them."""
    if name == "softmax":
        terms = functional.cross_entropy(output, target[:, 0].long(), reduction="none")
        return (terms * weights[:, 0]).sum(-1)
    if name == "logistic":
        terms = functional.binary_cross_entropy_with_logits(output, target, reduction="none")
    else:
        power = {"lp4": 4.0, "lp3.5": 3.5}.get(name, 2.0)
        terms = (output - target).abs() ** power
        terms = terms * {"half_mean": 0.5, "half_sum": 0.5 * output.shape[1]}.get(name, 1.0)
    return (terms * weights).sum(-1).mean(-1)


@pytest.mark.parametrize("name", CASES)
def test_value_and_gradient_agree_with_torch_and_autograd(name):
    objective, output, target, weights = problem(name)
    leaf = output.clone().requires_grad_()
    expected = reference(name, leaf, target, weights)
    expected.sum().backward()
    gradient = torch.full_like(output, math.nan)
    value = objective.value_and_gradient(output.clone(), target, weights, gradient)
    assert torch.allclose(value, expected.detach(), rtol=1e-13, atol=0)
    assert torch.allclose(gradient, leaf.grad, rtol=1e-12, atol=1e-16)
    assert torch.equal(objective.value_and_gradient(output.clone(), target, weights, None), value)


@pytest.mark.parametrize("name", CASES)
def test_gradient_agrees_with_differences(name):
    objective, output, target, weights = problem(name)
    gradient = torch.empty_like(output)
    objective.value_and_gradient(output.clone(), target, weights, gradient)
    direction = torch.from_numpy(np.random.default_rng(1).normal(size=output.shape))
    h = 1e-6
    above = objective.value_and_gradient(output + h * direction, target, weights, None)
    below = objective.value_and_gradient(output - h * direction, target, weights, None)
    assert torch.allclose((above - below) / (2 * h), (gradient * direction).flatten(1).sum(1), rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("name", CASES)
def test_change_of_the_gradient_agrees_with_autograd_and_with_differences(name):
    objective, output, target, weights = problem(name)
    direction = torch.from_numpy(np.random.default_rng(1).normal(size=output.shape))
    kept = output.clone(), direction.clone()
    found = objective.gradient_derivative(output, target, weights, direction)
    assert torch.equal(output, kept[0])
    assert torch.equal(direction, kept[1])
    leaf = output.clone().requires_grad_()
    (slope,) = torch.autograd.grad(reference(name, leaf, target, weights).sum(), leaf, create_graph=True)
    (expected,) = torch.autograd.grad((slope * direction).sum(), leaf)
    assert torch.allclose(found, expected, rtol=1e-11, atol=1e-15)
    h, sides = 1e-6, []
    for sign in (1.0, -1.0):
        sides.append(torch.empty_like(output))
        objective.value_and_gradient(output + sign * h * direction, target, weights, sides[-1])
    assert torch.allclose(found, (sides[0] - sides[1]) / (2 * h), rtol=1e-5, atol=1e-9)


def test_curvature_of_the_logistic_loss_does_not_vanish_by_cancellation():
    output = torch.tensor([[[40.0, -40.0, 1000.0]]], dtype=torch.float64)
    one = torch.ones_like(output)
    found = objectives.BinaryLogistic().gradient_derivative(output, one, one, one).flatten().tolist()
    assert found == pytest.approx([math.exp(-40), math.exp(-40), 0.0], rel=1e-12)


@pytest.mark.parametrize("name", CASES)
def test_points_of_weight_zero_change_nothing(name):
    objective, output, target, weights = problem(name)
    weights[..., 16:] = 0.0
    moved = output.clone()
    moved[..., 16:] += 3.0
    assert torch.equal(
        objective.value_and_gradient(output, target, weights, None),
        objective.value_and_gradient(moved, target, weights, None),
    )


@pytest.mark.parametrize("name", ["mean_square", "lp4", "lp3.5"])
def test_degree_is_the_power_of_scaling(name):
    objective, output, target, weights = problem(name)
    once = objective.value_and_gradient(output.clone(), target, weights, None)
    thrice = objective.value_and_gradient(3 * output, 3 * target, weights, None)
    assert torch.allclose(thrice, 3.0**objective.degree * once, rtol=1e-13)


def test_logistic_loss_does_not_overflow():
    output = torch.tensor([[[1000.0, -1000.0]]], dtype=torch.float64)
    gradient = torch.empty_like(output)
    half = torch.full_like(output, 0.5)
    value = objectives.BinaryLogistic().value_and_gradient(
        output, torch.tensor([[[0.0, 1.0]]]).double(), half, gradient
    )
    assert value.item() == 1000.0
    assert gradient.flatten().tolist() == [0.5, -0.5]


@pytest.mark.parametrize("name", CASES)
def test_spec_round_trip(name):
    objective = CASES[name][0]
    assert objectives.objective_from_spec(objective.to_spec()) == objective


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: objectives.LpPower(1.5), "p must be"),
        (lambda: objectives.LpPower(math.inf), "p must be"),
        (lambda: objectives.objective_from_spec({"objective": "hinge"}), "mean_square"),
        (lambda: objectives.objective_from_spec({"objective": "lp_power", "q": 3}), "settings p"),
        (lambda: objectives.MeanSquare().check_targets(np.zeros((5, 1)), 2), "n_outputs=1"),
        (lambda: objectives.SoftmaxCrossEntropy().check_targets(np.zeros((5, 1)), 1), "n_outputs >= 2"),
        (lambda: objectives.SoftmaxCrossEntropy().check_targets(np.full((5, 1), 2.0), 2), "labels"),
        (lambda: objectives.BinaryLogistic().check_targets(np.full((5, 1), 0.5), 1), "labels"),
    ],
)
def test_what_does_not_fit_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
