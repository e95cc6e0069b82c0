"""Numbers of sampling points, sample laws, corners in every set, and spikes between points."""

import itertools
import json

import numpy as np
import pytest

import approxrates as ar
from approxrates import spec
from approxrates.objectives import MeanSquare
from approxrates.sampling import SampleLaw, along_curve, corners
from approxrates.training.points import (
    MOST_POINTS,
    POINTS_PER_UNIT,
    check_n_points,
    default_n_points,
    n_samples,
    n_sets_and_points,
    n_values,
    sample,
    spike_ratio,
)

ROUGH = ar.load_target("bump_tree", smoothness=1.5, dim=1, seed=0)
SMOOTH = ar.load_target("analytic")


def net(width=8, depth=4, dim=1):
    return ar.FixedWidth(dim=dim, width=width, depth=depth)


def cosine(dim):
    return ar.Target.from_callable(
        lambda x: np.cos(x.sum(axis=1)), ar.Regularity(smoothness=0.5, dim=dim), name=f"cosine{dim}"
    )


@pytest.mark.parametrize(
    ("text", "n_params", "values", "canonical"),
    [
        ("P", 529, 529, "P^1"),
        ("P^1", 529, 529, "P^1"),
        ("P^2", 529, 279841, "P^2"),
        ("4*P", 100, 400, "4*P^1"),
        (" 0.5 * P ^ 1.5 ", 100, 500, "0.5*P^1.5"),
        (".00001*P^2", 1000, 10, "0.00001*P^2"),
    ],
)
def test_a_law_is_read_counted_and_written_in_one_spelling(text, n_params, values, canonical):
    law = SampleLaw.parse(text)
    assert law.n_values(n_params) == values
    assert law.text == canonical
    assert SampleLaw.parse(canonical) == law


@pytest.mark.parametrize("text", ["", "W^2", "P**2", "2P", "P^-1", "P^0", "0*P", "P^2 + 1", "512"])
def test_other_texts_are_no_laws(text):
    with pytest.raises(ValueError, match="Got"):
        SampleLaw.parse(text)
    with pytest.raises(ValueError, match="Got"):
        ar.train(net(), ROUGH, n_points=text)


@pytest.mark.parametrize("value", [True, 12.5, [64], (64,)])
def test_what_is_neither_number_nor_law_is_refused(value):
    with pytest.raises(TypeError, match="n_points must be an integer"):
        check_n_points(value)


@pytest.mark.parametrize("depth", [4, 8, 21, 64])
def test_there_are_ten_points_for_every_unit(depth):
    assert default_n_points(net(depth=depth), ROUGH) >= 10 * 8 * depth
    assert default_n_points(net(depth=depth), ROUGH) < 10 * 8 * depth + 32
    assert default_n_points(net(depth=depth), SMOOTH) >= net(depth=depth).n_params


@pytest.mark.parametrize("dim", range(1, 7))
def test_points_are_capped_by_memory(dim):
    target = cosine(dim)
    sizes = [default_n_points(net(width, depth, dim), target) for width, depth in ((8, 4), (32, 32), (256, 64))]
    assert sizes[0] <= sizes[1] <= 16384
    assert sizes[2] >= 1024
    for size, (width, depth) in zip(sizes, ((8, 4), (32, 32), (256, 64)), strict=True):
        assert size == 1024 or 16 * size * width * depth <= 64 * 2**20


@pytest.mark.parametrize("n_points", [None, 300, "2*P^1", "P^2"])
@pytest.mark.parametrize("dim", range(1, 7))
def test_corners_belong_to_every_set(dim, n_points):
    arch = net(12, 4, dim)
    found = sample(arch, cosine(dim), MeanSquare(), n_points)
    wanted = {tuple(corner) for corner in corners(dim)}
    for points, weights in zip(found.points, found.weights, strict=True):
        used = points.T[weights[0] > 0]
        assert used.min() == 0.0
        assert used.max() == 1.0
        assert wanted <= {tuple(p) for p in used[((used == 0) | (used == 1)).all(axis=1)]}
        assert weights.sum() == pytest.approx(1.0, abs=1e-12)


def test_in_high_dimensions_no_points_are_lost_to_a_grid_and_corners_weigh_little():
    for dim in (3, 4, 5, 6):
        found = sample(net(12, 4, dim), cosine(dim), MeanSquare(), None)
        assert np.all((found.weights > 0).sum(axis=(1, 2)) == default_n_points(net(12, 4, dim), cosine(dim)))
        assert 2**dim * found.weights.max() <= 1 / 16


def test_values_seen_follow_the_law():
    counted = {}

    def counting(law, depth):
        seen = set()

        def function(x):
            seen.update(map(tuple, x))
            return np.abs(x[:, 0] - 0.3) ** 0.5

        target = ar.Target.from_callable(function, ar.Regularity(smoothness=0.5, dim=1), name="counted")
        arch = net(depth=depth)
        sample(arch, target, MeanSquare(), law)
        allowed = SampleLaw.parse(law).n_values(arch.n_params)
        n_sets = n_sets_and_points(arch, target, law)[0]
        assert allowed - n_sets < n_values(arch, target, law) <= allowed
        # Both ends are in every set; fixed and moving points hardly ever meet.
        assert n_values(arch, target, law) - 2 * n_sets <= len(seen) <= allowed
        counted.setdefault(law, []).append((arch.n_params, len(seen)))

    for law, depth in itertools.product(("P^1", "P^2"), (2, 4, 8)):
        counting(law, depth)
    for law, power in (("P^1", 1.0), ("P^2", 2.0)):
        params, seen = np.log(np.array(counted[law], dtype=float)).T
        assert np.polyfit(params, seen, 1)[0] == pytest.approx(power, abs=0.02)


def test_a_law_of_few_values_is_one_fixed_set_and_of_many_a_pool():
    arch = net(depth=8)
    assert n_sets_and_points(arch, ROUGH, "P") == (1, 529)
    n_sets, size = n_sets_and_points(arch, ROUGH, "P^2")
    assert n_sets == 129
    assert size == 529**2 // 129
    assert n_sets_and_points(arch, SMOOTH, "8*P") == (1, 8 * arch.n_params)
    assert n_samples(arch, ROUGH, "P") == 529
    assert n_values(arch, ROUGH) == 33 * default_n_points(arch, ROUGH)


@pytest.mark.parametrize("n_points", [4, "0.001*P", MOST_POINTS + 1, "P^4"])
def test_too_few_and_too_many_points_are_refused(n_points):
    with pytest.raises(ValueError, match=r"n_points must be at (least|most) \d+.*Got n_points="):
        n_sets_and_points(net(dim=2), cosine(2), n_points)


def test_data_take_no_number_of_points():
    x = np.linspace(0.0, 1.0, 50)[:, None]
    data = ar.Target.from_data(x, x[:, 0] ** 2, ar.Regularity(smoothness=2.0, dim=1))
    assert n_samples(net(), data) == n_values(net(), data) == 50
    for given in ("P", 64):
        with pytest.raises(ValueError, match="must be left out for data"):
            sample(net(), data, MeanSquare(), given)


def test_a_study_sweeps_laws_of_samples(tmp_path):
    study = ar.Study(
        "arms", targets=ROUGH, architectures=ar.FixedWidth(dim=1, width=4, depth=ar.axis(2, 4)),
        n_points=ar.axis(64, "P", "P^2"), plan=[ar.Adam(steps=3)],
    )  # fmt: skip
    study.run(tmp_path / "arms", progress=False)
    rows = [
        json.loads(line)
        for path in (tmp_path / "arms" / "runs").glob("*.jsonl")
        for line in path.read_text().splitlines()
    ]
    told = {
        (row["spec"]["architecture"]["depth"], row["spec"]["training"]["n_points"]): row["metrics"]["n_samples"]
        for row in rows
    }
    assert {n for _, n in told} == {64, "P^1", "P^2"}
    for depth in (2, 4):
        arch = ar.FixedWidth(dim=1, width=4, depth=depth)
        assert told[depth, "P^1"] == arch.n_params
        assert told[depth, "P^2"] == n_sets_and_points(arch, ROUGH, "P^2")[1]
    (tmp_path / "study.toml").write_text(study.to_toml(tmp_path))
    assert ar.Study.from_toml(tmp_path / "study.toml").run_ids() == study.run_ids()
    study.plan()  # its estimates of memory and time read the laws
    with pytest.raises(ValueError, match="sample law"):
        ar.Study("arms", targets=ROUGH, architectures=net(), n_points="W^2")


def test_one_law_is_one_run_however_it_is_spelled():
    plan = {"plan": [ar.Adam(steps=3).to_spec()], "replica": 0}
    ids = {
        spec.run_id(spec.train_spec(ROUGH, net().to_spec(), plan | {"n_points": n}))
        for n in ("P", "P^1", " 1*P^1.0", "P ^ 1")
    }
    assert len(ids) == 1
    assert ids != {spec.run_id(spec.train_spec(ROUGH, net().to_spec(), plan | {"n_points": "P^2"}))}


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_neighbours_on_the_curve_are_close(dim):
    points = np.random.default_rng(0).random((4096, dim))
    order = along_curve(points)
    assert np.array_equal(np.sort(order), np.arange(4096))
    runs = points[order].reshape(64, 64, dim)
    sides = (runs.max(axis=1) - runs.min(axis=1)).max(axis=1)
    assert np.median(sides) < 3.0 * 64 ** (-1.0 / dim)
    # By chance a run would cover the cube.
    assert np.median(np.ptp(points.reshape(64, 64, dim), axis=1)) > 0.9
    assert dim > 1 or np.array_equal(points[order, 0], np.sort(points[:, 0]))


def test_training_on_a_fixed_grid_hides_spikes_and_jitter_does_not():
    arch = ar.FixedWidth(dim=1, width=8, depth=16)
    plan = [ar.SOAP(steps=800, learning_rate=7e-3)]
    ratios = {}
    for n_points in (f"{48 / arch.n_params:.9f}*P", 48):  # 48 points in one fixed set, and in each of 33
        fit = ar.train(arch, ROUGH, replicas=4, plan=plan, n_points=n_points, dtype="float32")
        found = [ar.approximation_error(network, ROUGH) for network in fit.networks]
        sets = sample(arch, ROUGH, MeanSquare(), n_points)
        assert sets.points.shape[0] == (33 if n_points == 48 else 1)
        x, used = sets.points.transpose(0, 2, 1).reshape(-1, 1), sets.weights.reshape(-1) > 0
        at_points = [np.abs(network(x[used]) - ROUGH(x[used])).max() for network in fit.networks]
        assert all(error.pieces is not None and error.certified for error in found)
        ratios[len(sets.points)] = [spike_ratio(e.sup[0], s) for e, s in zip(found, at_points, strict=True)]
    assert np.median(ratios[1]) > 1.5
    assert max(ratios[1]) > 2.5
    assert max(ratios[33]) < 1.25


@pytest.mark.parametrize(
    ("error", "at_points", "ratio"), [(3.0, 2.0, 1.5), (0.0, 0.0, 1.0), (1.0, 0.0, np.inf), (np.inf, 1.0, np.inf)]
)
def test_the_ratio_of_spikes(error, at_points, ratio):
    assert spike_ratio(error, at_points) == ratio


def test_points_per_unit_is_what_the_default_says():
    assert POINTS_PER_UNIT == 10
