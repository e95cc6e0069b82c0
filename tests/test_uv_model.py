import numpy as np
import pytest
from scipy import stats
from scipy.integrate import quad

from approxrates.theory.uv_model import (
    UVStates,
    uv_critical_constants,
    uv_events,
    uv_loss_constant,
    uv_trajectories,
)

# Mean over 200 draws of another generator, on a grid of steps 0.05 in log2 c: loss, sharpness, largest.
MEASURED_BEFORE = {4: (2.75, 3.36, 4.39), 16: (2.22, None, None), 64: (2.08, None, None), 16384: (2.07, 2.55, 4.0)}


def vectors(width, n, seed=0):
    random = np.random.default_rng(seed)
    return random.standard_normal((2, n, width))


def initial(width, n, seed=0):
    return UVStates.initial(width, n, np.random.Generator(np.random.Philox(seed)))


def stepped(u, v, rate, steps):
    """Gradient descent on the vectors themselves: (loss, u, v) at every step."""
    found = []
    for _ in range(steps + 1):
        f = (u * v).sum(-1, keepdims=True) / np.sqrt(u.shape[-1])
        found.append((f[..., 0] ** 2 / 2, u, v))
        u, v = u - rate[:, None] * f * v / np.sqrt(u.shape[-1]), v - rate[:, None] * f * u / np.sqrt(u.shape[-1])
    return found


def dense_hessian(u, v):
    """Second derivatives of (u.v)^2 / (2 w), written out entry by entry."""
    w = len(u)
    mixed = np.outer(v, u) / w + np.eye(w) * (u @ v) / w
    return np.block([[np.outer(v, v) / w, mixed], [mixed.T, np.outer(u, u) / w]])


@pytest.mark.parametrize("width", [1, 2, 7, 40])
def test_trajectories_equal_those_of_explicit_vectors(width):
    u, v = vectors(width, 30)
    states = UVStates.of_vectors(u, v)
    c = np.exp2(np.linspace(-1.0, 2.0, 30))
    path = uv_trajectories(states, c, steps=12)
    for step, (loss, u_t, v_t) in enumerate(stepped(u, v, c / states.sharpness, 12)):
        np.testing.assert_allclose(path.loss[step], loss, rtol=1e-9, atol=1e-14)
        np.testing.assert_allclose(path.kernel[step], ((u_t**2).sum(1) + (v_t**2).sum(1)) / width, rtol=1e-9)


@pytest.mark.parametrize("width", [1, 2, 3, 20])
def test_sharpness_is_the_top_eigenvalue_of_the_dense_hessian(width):
    u, v = vectors(width, 25, seed=1)
    path = uv_trajectories(UVStates.of_vectors(u, v), 2.7, steps=4)
    rate = 2.7 / path.sharpness[0]
    for step, (_, u_t, v_t) in enumerate(stepped(u, v, rate, 4)):
        dense = [np.linalg.eigvalsh(dense_hessian(a, b))[-1] for a, b in zip(u_t, v_t, strict=True)]
        np.testing.assert_allclose(path.sharpness[step], dense, rtol=1e-9)


def test_the_barrier_is_the_largest_loss_on_the_segment():
    u, v = vectors(6, 40, seed=2)
    states = UVStates.of_vectors(u, v)
    c = np.exp2(np.linspace(0.0, 2.2, 40))
    path = uv_trajectories(states, c, steps=3)
    _, u_end, v_end = stepped(u, v, c / states.sharpness, 3)[-1]
    places = np.linspace(0.0, 1.0, 2001)[:, None, None]
    on_segment = ((u + places * (u_end - u)) * (v + places * (v_end - v))).sum(-1) ** 2 / (2 * 6)
    np.testing.assert_allclose(path.barrier, on_segment.max(0) - states.loss, rtol=1e-5, atol=1e-9)
    assert np.any(path.barrier > 1e-3)
    assert np.any(path.barrier == 0.0)


def test_the_law_of_initial_states_is_that_of_normal_vectors():
    states, direct = initial(9, 4000), UVStates.of_vectors(*vectors(9, 4000, seed=3))
    for name in ("output", "kernel", "asymmetry"):
        assert stats.ks_2samp(getattr(states, name), getattr(direct, name)).pvalue > 1e-3
    assert stats.kstest((1 + states.asymmetry) / 2, stats.beta(4.5, 4.5).cdf).pvalue > 1e-3


@pytest.mark.parametrize("width", [4, 64, 4096])
def test_the_constant_of_the_loss_has_a_closed_form(width):
    states = initial(width, 300)
    found, exact = uv_critical_constants(states, resolution=1e-4).loss, uv_loss_constant(states.asymmetry)
    told = ~np.isnan(exact)
    assert told.mean() > 0.8
    excess = np.log2(found / exact)[told]
    assert excess.min() > -1e-9  # the smallest point of the grid at which the loss rises
    assert excess.max() < 1e-4


def test_below_the_closed_form_the_loss_never_rises_and_above_it_does_at_once():
    r = np.linspace(0.0, 0.7, 1401)[1:]
    states = UVStates(4, 2.0 * r, np.full(1400, 2.0))  # asymmetry 2 f / (sqrt(w) kernel) = r
    exact = uv_loss_constant(states.asymmetry)
    for share in (0.3, 0.9, 0.99, 0.9999):
        assert not np.any(uv_events(states, share * exact, steps=1000)["loss"])
    assert np.all(uv_events(states, 1.0001 * exact, steps=1)["loss"])


def test_the_mean_constant_of_the_loss_is_an_integral_over_the_beta_law():
    width = 64
    law = stats.beta(width / 2, width / 2, loc=-1, scale=2)
    mean = quad(lambda r: law.pdf(r) * float(uv_loss_constant(np.array(r))), -0.7, 0.7, limit=200)[0]
    found = uv_critical_constants(initial(width, 4000)).loss
    assert found.mean() == pytest.approx(mean, abs=4 * found.std() / np.sqrt(4000) + 0.002)


def test_constants_of_wide_models_tend_to_two_five_halves_and_four():
    found = uv_critical_constants(initial(10**7, 50))
    np.testing.assert_allclose(found.loss, 2.0, rtol=2e-3)
    np.testing.assert_allclose(found.sharpness, 2.5, rtol=2e-3)
    np.testing.assert_allclose(found.barrier, 2.0, rtol=2e-3)
    few, many = (uv_critical_constants(initial(256, 60), steps=steps).maximum.mean() for steps in (10, 1000))
    assert abs(few - 4.0) < 0.15
    assert abs(many - 4.0) < 0.02  # with time the cut-off of the loss no longer matters


def test_the_output_at_second_order_turns_the_sharpness_at_five_halves_for_any_number_of_steps():
    states = UVStates(10**8, np.array([1.0]), np.array([2.0]))
    for steps in (1, 3, 15):
        assert not uv_events(states, 2.499, steps=steps)["sharpness"][0]
        assert uv_events(states, 2.501, steps=steps)["sharpness"][0]


@pytest.mark.parametrize("width", [256, 1024, 16384])
def test_bars(width):
    found = uv_critical_constants(initial(width, 200))
    assert 2.0 <= found.loss.mean() <= 2.1
    assert abs(found.maximum.mean() - 4.0) <= 0.15
    assert np.all(found.loss <= found.sharpness)
    assert np.all(found.sharpness <= found.maximum * 1.001)


@pytest.mark.parametrize("width", list(MEASURED_BEFORE))
def test_means_agree_with_values_measured_before(width):
    found = uv_critical_constants(initial(width, 200), resolution=0.05)
    for values, expected in zip((found.loss, found.sharpness, found.maximum), MEASURED_BEFORE[width], strict=True):
        if expected is not None:
            values = values.clip(max=2**3.25)  # where that grid ended
            error = 4 * np.sqrt(2) * values.std() / np.sqrt(200)  # of a difference of two means
            assert values.mean() == pytest.approx(expected, abs=error + 0.006)


def test_constants_depend_on_asymmetry_alone_and_on_its_size_alone():
    one = UVStates(16, np.array([0.8]), np.array([2.0]))
    for other in (
        UVStates(16, np.array([-0.8]), np.array([2.0])),
        UVStates(16, np.array([8.0]), np.array([20.0])),
        UVStates(64, np.array([1.6]), np.array([2.0])),
    ):
        assert uv_critical_constants(one).loss == uv_critical_constants(other).loss
        assert uv_critical_constants(one).sharpness == uv_critical_constants(other).sharpness


def test_divergence_is_infinite_and_not_nan():
    path = uv_trajectories(initial(8, 20), 30.0, steps=40)
    assert np.all(path.loss[-1] == np.inf)
    assert np.all(path.sharpness[-1] == np.inf)
    assert np.all(path.barrier == np.inf)
    assert all(held.all() for held in uv_events(initial(8, 20), 30.0, steps=40).values())


def test_bad_arguments_are_refused():
    states = initial(4, 2)
    with pytest.raises(ValueError, match="steps must be at least 1"):
        uv_trajectories(states, 1.0, steps=0)
    with pytest.raises(ValueError, match="width and n of a uv model"):
        initial(0, 2)
    with pytest.raises(ValueError, match="resolution must be in"):
        uv_critical_constants(states, resolution=0.5)


@pytest.mark.parametrize("width", [2, 16, 512])
def test_the_trainer_does_the_same(width):
    import approxrates as ar
    from approxrates.dataset import Dataset
    from approxrates.objectives import HalfSquare

    c = tuple(np.exp2(np.linspace(-1.0, 1.9, 12)).tolist())
    arch = ar.FixedWidth(dim=1, width=width, depth=1, activation="identity", bias=False)
    options = {"start": "normal", "objective": HalfSquare(), "replicas": 12}
    example = Dataset("one-example", [[1.0 / np.sqrt(width)]], [[0.0]])
    begun = ar.train(arch, example, plan=[ar.SGD(steps=1, learning_rate=1e-9)], **options).starts
    u, v = (np.stack([network.layers[k].weight.ravel() for network in begun]) for k in (0, 1))
    states = UVStates.of_vectors(u, v)
    rates = tuple((np.array(c) / states.sharpness).tolist())
    fit = ar.train(
        arch, example, plan=[ar.SGD(steps=10, learning_rate=rates)],
        measure=[{"measurement": name, "schedule": "every 1"} for name in ("loss", "sharpness", "barrier")], **options,
    )  # fmt: skip
    path = uv_trajectories(states, np.array(c), steps=10)
    for i, measured in enumerate(fit.measured):
        assert measured["loss"][:, 0].tolist() == list(range(11))
        np.testing.assert_allclose(measured["loss"][:, 1], path.loss[:, i], rtol=1e-10, atol=1e-10 * path.loss[0, i])
        np.testing.assert_allclose(measured["sharpness"][:, 1], path.sharpness[:, i], rtol=1e-6)
        highest = path.barrier[i] / path.loss[0, i] + 1.0
        assert measured["barrier"][-1, 1] == pytest.approx(highest, rel=0.02)  # 20 points of the segment
