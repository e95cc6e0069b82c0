"""Models: the VAE against plain numpy and against closed forms, the linear one against theory."""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from approxrates.datasets import load_dataset
from approxrates.models import VAE, LinearVAE
from approxrates.theory import linear_vae as theory

RNG = np.random.default_rng(5)
POINTS = RNG.uniform(size=(30, 6))
SMALL = {"dim": 6, "hidden": (7, 5), "latent": 3}


def tensors(model, data, beta=1.0):
    return {k: torch.tensor(v, dtype=torch.float64) for k, v in (data | {"beta": beta}).items()}


def value(model, theta, data, beta=1.0):
    return float(model.loss(torch.as_tensor(theta), tensors(model, data, beta)))


def plainly(model, theta, data, beta):
    """Loss of a VAE with loops over points, draws and entries; by numpy, from the definition."""
    parts, offset = {}, 0
    for block in model.blocks:
        parts[block.name] = theta[offset : offset + block.size].reshape(block.shape)
        offset += block.size
    sigma = {"tanh": np.tanh, "relu": lambda z: np.maximum(z, 0.0)}[model.activation]

    def through(name, x, n):
        for i in range(n):
            x = sigma(parts[f"{name}.{i}.weight"] @ x + parts[f"{name}.{i}.bias"])
        return x

    total, n_layers = 0.0, len(model.hidden)
    for x, draws in zip(data["inputs"], data["noise"], strict=True):
        h = through("encoder", x, n_layers)
        mean = parts["mean.weight"] @ h + parts["mean.bias"]
        spread = np.exp(0.5 * (parts["log_variance.weight"] @ h + parts["log_variance.bias"]))
        for noise in draws:
            h = through("decoder", mean + spread * noise, n_layers)
            y = parts[f"decoder.{n_layers}.weight"] @ h + parts[f"decoder.{n_layers}.bias"]
            if model.likelihood == "bernoulli":
                p = 1.0 / (1.0 + np.exp(-y))
                loss = -(x * np.log(p) + (1.0 - x) * np.log(1.0 - p)).sum()
            else:
                loss = ((x - y) ** 2).sum() / (2.0 * model.noise_variance)
            total += loss / len(draws)
        total += beta * sum(0.5 * (m * m + s * s - 1.0) - np.log(s) for m, s in zip(mean, spread, strict=True))
    return total / len(data["inputs"])


@pytest.mark.parametrize("likelihood", ["gaussian", "bernoulli"])
@pytest.mark.parametrize("hidden", [(), (7,), (7, 5)], ids=str)
@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_the_loss_is_that_of_the_definition(likelihood, hidden, activation):
    model = VAE(dim=6, hidden=hidden, latent=3, activation=activation, likelihood=likelihood, noise_variance=0.3)
    data, theta = model.tables_of(POINTS, draws=2), model.initialise(1)
    assert value(model, theta, data, 0.7) == pytest.approx(plainly(model, theta, data, 0.7), rel=1e-12)


@pytest.mark.filterwarnings(
    "ignore:.torch.jit.script. is deprecated:DeprecationWarning"
)  # torch's own, loading its rules
@pytest.mark.parametrize(
    "model", [VAE(**SMALL), VAE(**SMALL, likelihood="bernoulli", activation="relu"), LinearVAE(6, 3)]
)
def test_the_loss_maps_over_replicas_and_differentiates_twice(model):
    data = tensors(model, model.tables_of(POINTS))
    start = np.stack([model.initialise(i) for i in range(3)])  # biases off zero, where rectifiers have their kinks
    rows = torch.as_tensor(start + 0.1 * RNG.normal(size=start.shape))
    betas = torch.tensor([0.5, 1.0, 2.0], dtype=torch.float64)

    def loss(theta, beta):
        return model.loss(theta, data | {"beta": beta})

    mapped = torch.func.vmap(loss)(rows, betas)
    assert mapped == pytest.approx(
        torch.stack([loss(row, beta) for row, beta in zip(rows, betas, strict=True)]), rel=1e-13
    )
    slope = torch.func.grad(loss)
    turn = torch.as_tensor(RNG.normal(size=model.n_params))
    ahead, behind = (slope(rows[0] + h * turn, betas[0]) for h in (1e-6, -1e-6))
    product = torch.func.jvp(lambda t: slope(t, betas[0]), (rows[0],), (turn,))[1]
    assert product == pytest.approx((ahead - behind) / 2e-6, rel=1e-5, abs=1e-7)
    assert torch.func.vmap(slope)(rows, betas).shape == rows.shape


def test_the_vae_of_the_protocol_has_its_parameters_and_blocks():
    model = VAE()
    assert model.n_params == 784 * 64 + 64 + 2 * (64 * 8 + 8) + 8 * 64 + 64 + 64 * 784 + 784
    assert [block.name for block in model.blocks[::2]] == [
        "encoder.0.weight", "mean.weight", "log_variance.weight", "decoder.0.weight", "decoder.1.weight"
    ]  # fmt: skip
    assert model.penalised_mask.all()
    assert model.penalised_mask.shape == (model.n_params,)


def test_parts_and_joined_are_inverse():
    model = VAE(**SMALL)
    theta = model.initialise(0)
    parts = {name: part.numpy() for name, part in model.parts(torch.as_tensor(theta)).items()}
    assert np.array_equal(model.joined(parts), theta)
    with pytest.raises(ValueError, match=r"has the blocks .*Got encoder\.9\.weight"):
        model.joined({"encoder.9.weight": np.zeros(3)})


def test_noise_belongs_to_the_points_and_to_its_seed():
    model = VAE(**SMALL)
    first, again = model.tables_of(POINTS, draws=2), model.tables_of(POINTS, draws=2)
    assert np.array_equal(first["noise"], again["noise"])
    assert not np.array_equal(first["noise"], model.tables_of(POINTS, draws=2, seed=1)["noise"])
    assert np.array_equal(first["noise"].shape, (30, 2, 3))


def test_starting_weights_carry_a_signal_of_variance_one_through_the_decoder():
    model = VAE(dim=50, hidden=(400, 400), latent=300, activation="relu")
    parts = model.parts(torch.as_tensor(model.initialise(0)))
    output = model.decoded(parts, torch.as_tensor(RNG.normal(size=(100, 300))))
    assert float(output.square().mean()) == pytest.approx(1.0, abs=0.15)


def cubature(n, latent):
    """Noise whose first two moments are exactly those of the standard normal, at every point."""
    points = np.concatenate([np.eye(latent), -np.eye(latent)]) * np.sqrt(latent)
    return np.broadcast_to(points, (n, 2 * latent, latent))


def test_without_hidden_layers_a_vae_is_the_linear_one():
    """Its expectation over the noise is a quadratic, which the cubature takes exactly."""
    linear, general = LinearVAE(6, 3, 0.4), VAE(dim=6, hidden=(), latent=3, noise_variance=0.4)
    theta = linear.initialise(3) + 0.1 * RNG.normal(size=linear.n_params)
    parts = {name: part.numpy() for name, part in linear.parts(torch.as_tensor(theta)).items()}
    moved = general.joined({
        "mean.weight": parts["mean.weight"], "mean.bias": parts["mean.bias"], "log_variance.bias": parts["log_variance"],
        "decoder.0.weight": parts["decoder.weight"], "decoder.0.bias": parts["decoder.bias"],
    })  # fmt: skip
    data = {"inputs": POINTS, "noise": cubature(len(POINTS), 3)}
    assert value(general, moved, data, 0.6) == pytest.approx(value(linear, theta, {"inputs": POINTS}, 0.6), rel=1e-12)


@pytest.mark.parametrize("beta", [0.05, 0.4, 3.0])
def test_theory_of_the_linear_vae_holds_at_the_minimum_of_its_loss(beta):
    """The minimum found by scipy, from a random start, against the closed forms."""
    points = RNG.normal(size=(200, 5)) * np.sqrt([4.0, 2.0, 1.0, 0.5, 0.25])
    model, spectrum = LinearVAE(5, 3, 0.5), theory.covariance_spectrum(points)
    assert np.allclose(spectrum, np.linalg.eigvalsh(np.cov(points.T, bias=True))[::-1])
    data = tensors(model, {"inputs": points}, beta)

    def both(theta):
        row = torch.as_tensor(theta).requires_grad_()
        loss = model.loss(row, data)
        return float(loss.detach()), torch.autograd.grad(loss, row)[0].numpy()

    found = minimize(
        both, model.initialise(0), jac=True, method="L-BFGS-B", options={"maxiter": 3000, "ftol": 1e-15, "gtol": 1e-9}
    )
    assert found.fun == pytest.approx(theory.least_loss(spectrum, beta, latent=3, noise_variance=0.5), rel=1e-7)
    distortion, rates = model.terms(torch.as_tensor(found.x), data)
    expected = theory.unit_rates(spectrum, beta, latent=3, noise_variance=0.5)
    assert np.sort(rates.numpy())[::-1] == pytest.approx(expected, abs=1e-4)
    assert float(distortion) == pytest.approx(
        theory.squared_error(spectrum, beta, latent=3, noise_variance=0.5) / (2 * 0.5), rel=1e-4
    )
    alive = int((theory.critical_weights(spectrum, noise_variance=0.5)[:3] > beta).sum())
    assert (rates > 1e-3).sum() == alive == {0.05: 3, 0.4: 3, 3.0: 2}[beta]


def test_a_threshold_on_the_rate_is_crossed_where_theory_says():
    spectrum = np.array([4.0, 1.0])
    (beta, _) = theory.critical_weights(spectrum, noise_variance=2.0, least_rate=0.01)
    assert theory.unit_rates(spectrum, beta, latent=1, noise_variance=2.0) == pytest.approx([0.01])


def test_models_refuse_what_they_cannot_use():
    with pytest.raises(ValueError, match=r"latent of a VAE must be a whole number of at least 1\. Got 0"):
        VAE(latent=0)
    with pytest.raises(ValueError, match="hidden of a VAE must be a whole number"):
        VAE(hidden=(3, 1.5))
    with pytest.raises(ValueError, match=r"must be one function with a derivative\. Got 'tanh\+relu2'"):
        VAE(activation="tanh+relu2")
    with pytest.raises(ValueError, match="likelihood must be one of gaussian, bernoulli"):
        VAE(likelihood="laplace")
    with pytest.raises(ValueError, match="noise_variance must be positive"):
        LinearVAE(noise_variance=0.0)
    model = VAE(**SMALL, likelihood="bernoulli")
    with pytest.raises(ValueError, match=r"needs data in \[0, 1\]. Got 0 to 2"):
        model.tables_of(np.full((2, 6), 2.0) * [0, 1, 1, 1, 1, 1])
    with pytest.raises(ValueError, match=r"must have shape \(n, 6\). Got \(2, 5\). Use dim=5"):
        model.tables_of(np.zeros((2, 5)))
    with pytest.raises(ValueError, match=r"needs the tables inputs, noise\. Got inputs"):
        model.check({"inputs": POINTS})
    with pytest.raises(ValueError, match="Got rows inputs: 30, noise: 29"):
        model.check({"inputs": POINTS, "noise": np.zeros((29, 1, 3))})
    with pytest.raises(ValueError, match="Use the model's tables_of"):
        model.check({"inputs": POINTS, "noise": np.zeros((30, 1, 2))})
    with pytest.raises(ValueError, match="table inputs must be finite"):
        model.check({"inputs": POINTS * np.nan, "noise": np.zeros((30, 1, 3))})


def test_keys_tell_models_apart():
    assert VAE(**SMALL).key == VAE(**SMALL).key != VAE(**SMALL, activation="relu").key


def test_squared_error_is_that_of_the_means_on_digits():
    pixels = load_dataset("digits", n=20, standardise="none").inputs / 16.0
    for likelihood in ("gaussian", "bernoulli"):
        model = VAE(dim=64, hidden=(), latent=2, likelihood=likelihood)
        theta = model.initialise(0)
        parts = {k: v.numpy() for k, v in model.parts(torch.as_tensor(theta)).items()}
        output = (pixels @ parts["mean.weight"].T) @ parts["decoder.0.weight"].T
        output = 1.0 / (1.0 + np.exp(-output)) if likelihood == "bernoulli" else output
        found = model.squared_error(torch.as_tensor(theta), tensors(model, model.tables_of(pixels)))
        assert float(found) == pytest.approx(((output - pixels) ** 2).sum(1).mean())
