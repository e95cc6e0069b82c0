"""One batch: rows before answers, failures as rows, the same numbers alone and together."""

import json

import numpy as np
import pytest

import approxrates as ar
from approxrates import spec, store
from approxrates.execution import lost_row, run_batch
from approxrates.spec.sources import identity_of, source_of
from approxrates.study.batches import Run, batches_of, bytes_of, seconds_of

PLAN = [{"stage": "adam", "steps": 20}]


def tree(seed=0):
    return ar.load_target("faber_tree", smoothness=0.5, dim=1, seed=seed)


def broken(x):
    """Finite where a target is tried out, not elsewhere."""
    return np.where(np.isin(x[:, 0], [0.0, 0.5, 1.0]), 1.0, np.nan)


def runs_of(targets, replicas=2, depth=2, plan=PLAN, **settings):
    arch = ar.FixedWidth(dim=1, width=4, depth=depth).to_spec()
    specs = [
        spec.train_spec(t, arch, {"plan": plan, "replica": r, "n_points": 64, **settings})
        for t in targets
        for r in range(replicas)
    ]
    return [Run(spec.run_id(s), s, plan="adam 20") for s in specs]


def built(target, *sizes):
    specs = [spec.construct_spec(target, ar.Construction("interpolation", n_params=n)) for n in sizes]
    return [Run(spec.run_id(s), s) for s in specs]


def do(folder, runs, targets=(), keep="best"):
    sources = {store.canonical(identity_of(t)): source_of(t) for t in targets}
    message = {"folder": str(folder), "keep": keep, "sources": sources, "runs": [vars(r) for r in runs]}
    return json.loads(run_batch(json.dumps(message)))["runs"]


def numbers(folder):
    return {
        i: {k: v for k, v in row["metrics"].items() if k != "seconds"} for i, row in store.read(folder).rows.items()
    }


def test_every_run_of_a_batch_is_answered_and_stored_with_its_numbers(tmp_path):
    runs = runs_of([tree(0), tree(1)])
    answers = do(tmp_path, runs)
    assert [(a["id"], a["status"], a["error"]) for a in answers] == [(r.id, "ok", None) for r in runs]
    rows = store.read(tmp_path).rows
    assert set(rows) == {r.id for r in runs}
    for row in rows.values():
        metrics = row["metrics"]
        assert metrics["n_params"] == ar.FixedWidth(dim=1, width=4, depth=2).n_params
        assert (metrics["width"], metrics["depth"], metrics["steps"], metrics["plan"]) == (4, 2, 20, "adam 20")
        assert 0 < metrics["error_sup_lower"] <= metrics["error_sup_upper"]
        assert metrics["error_l2"] <= metrics["error_sup_upper"]
        assert metrics["regularity"] == {
            "smoothness": 0.5,
            "kind": "holder",
            "sharp": True,
            "information_rich": True,
        } | {k: v for k, v in metrics["regularity"].items() if k == "radius"}
        assert row["environment"]["torch"]
        assert row["times"]["end"] >= row["times"]["begin"]


def test_a_batch_gives_the_numbers_of_single_runs_bit_for_bit(tmp_path):
    runs = runs_of([tree(0), tree(1)])
    do(tmp_path / "together", runs)
    for run in reversed(runs):
        do(tmp_path / "alone", [run])
    assert numbers(tmp_path / "together") == numbers(tmp_path / "alone")


def test_the_stored_error_is_that_of_the_network_trained_directly(tmp_path):
    run = runs_of([tree()], replicas=1)[0]
    do(tmp_path, [run])
    fit = ar.train(ar.FixedWidth(dim=1, width=4, depth=2), tree(), plan=[ar.Adam(steps=20)], n_points=64)
    error = ar.approximation_error(fit.best(), tree())
    metrics = store.read(tmp_path).rows[run.id]["metrics"]
    assert (metrics["error_sup_lower"], metrics["error_sup_upper"]) == error.sup
    assert metrics["error_l2"] == error.l2


def test_a_construction_is_built_and_measured(tmp_path):
    square = ar.load_target("polynomial", coefficients=[0.0, 0.0, 1.0], dim=1)
    (run,) = built(square, 3 * 8 - 1)
    assert do(tmp_path, [run])[0]["status"] == "ok"
    metrics = store.read(tmp_path).rows[run.id]["metrics"]
    assert metrics["error_sup_upper"] == pytest.approx(1 / 256, rel=1e-9)
    assert metrics["pieces"] == 8
    assert metrics["activation"] == "relu"


def test_one_bad_target_does_not_spoil_its_batch(tmp_path):
    bad = ar.Target.from_callable(broken, ar.Regularity(smoothness=1.0, dim=1))
    runs = runs_of([tree(), bad], replicas=1)
    answers = do(tmp_path, runs, targets=[bad])
    assert [a["status"] for a in answers] == ["ok", "failed"]
    row = store.read(tmp_path).rows[runs[1].id]
    assert "finite" in row["error"]
    assert "\n" not in row["error"]


def test_a_construction_with_too_few_parameters_is_a_failed_row(tmp_path):
    small, large = built(tree(), 1, 50)
    assert [a["status"] for a in do(tmp_path, [small])] == ["failed"]
    assert [a["status"] for a in do(tmp_path, [large])] == ["ok"]
    assert "n_params" in store.read(tmp_path).rows[small.id]["error"]


def test_training_that_blows_up_is_a_diverged_row(tmp_path):
    runs = runs_of([tree()], replicas=1, plan=[{"stage": "adam", "steps": 200, "learning_rate": 1e6}])
    assert do(tmp_path, runs)[0]["status"] == "diverged"
    assert store.read(tmp_path).rows[runs[0].id]["metrics"]["outcome"] in ("diverged", "non-finite")


@pytest.mark.parametrize(("keep", "count"), [("best", 2), ("all", 4), ("none", 0)])
def test_weights_are_kept_as_asked_and_are_the_networks_measured(keep, count, tmp_path):
    runs = runs_of([tree(0), tree(1)])
    do(tmp_path, runs, keep=keep)
    files = sorted((tmp_path / "weights").glob("*")) if count else []
    assert len(files) == count
    assert (tmp_path / "weights").exists() == bool(count)
    rows = store.read(tmp_path).rows
    for path in files:
        row = rows[path.stem]
        target = ar.load_target(**row["spec"]["target"])
        assert ar.approximation_error(ar.Network.load(path), target).sup[1] == row["metrics"]["error_sup_upper"]
    if keep == "best":
        for seed in (0, 1):
            errors = {
                i: r["metrics"]["error_sup_upper"] for i, r in rows.items() if r["spec"]["target"]["seed"] == seed
            }
            assert min(errors, key=errors.get) in {p.stem for p in files}


def test_a_batch_leaves_the_number_of_torch_threads_as_it_was(tmp_path):
    import torch

    torch.set_num_threads(2)
    do(tmp_path, runs_of([tree()], replicas=1))
    assert torch.get_num_threads() == 2


def test_a_lost_run_is_a_row_that_can_be_stored(tmp_path):
    run = runs_of([tree()], replicas=1)[0]
    store.Segment(tmp_path).append([lost_row(vars(run), 3)])
    row = store.read(tmp_path).rows[run.id]
    assert row["status"] == "lost"
    assert "3 times" in row["error"]


def test_batches_hold_what_can_be_stacked_and_every_run_once():
    runs = (
        runs_of([tree(0), tree(1)], 3)
        + runs_of([tree(0)], 2, depth=3)
        + runs_of([tree(0)], 2, seed=1)
        + built(tree(), 50, 80)
    )
    batches = batches_of(runs)
    assert sorted(r.id for b in batches for r in b) == sorted(r.id for r in runs)
    assert sorted(map(len, batches)) == [1, 1, 2, 2, 6]
    seconds = [sum(seconds_of(r.spec) for r in b) for b in batches]
    assert seconds == sorted(seconds, reverse=True)


def test_batches_are_capped_in_number_and_in_memory():
    runs = runs_of([tree(0)], 40)
    assert [len(b) for b in batches_of(runs, max_runs=16)] == [14, 13, 13]
    assert max(len(b) for b in batches_of(runs, max_bytes=5 * bytes_of(runs[0].spec))) == 5
    assert max(len(b) for b in batches_of(runs, max_bytes=1)) == 1


@pytest.mark.parametrize("size", [1, 4])
def test_weights_that_cannot_be_saved_stop_the_batch_after_its_rows_are_stored_as_ok(tmp_path, size):
    (tmp_path / "weights").write_text("a file where the folder should be")
    runs = runs_of([tree(0), tree(1)])[:size]
    with pytest.raises(OSError, match=r"weights must be a folder.*The runs are stored"):
        do(tmp_path, runs)
    rows = store.read(tmp_path).rows
    assert {i: row["status"] for i, row in rows.items()} == {r.id: "ok" for r in runs}
    assert sum(len(p.read_text().splitlines()) for p in tmp_path.glob("runs/*.jsonl")) == size


def test_a_full_disk_leaves_no_partial_weights(tmp_path, monkeypatch):
    def full(*paths):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(OSError, match="No space left"):
        do(tmp_path, runs_of([tree(0)]))
    assert list((tmp_path / "weights").iterdir()) == []


def test_bits_of_long_weights_are_stored_and_the_network_kept_is_the_one_measured(tmp_path):
    target = tree()
    made = spec.construct_spec(target, ar.Construction("yarotsky2020_deep_line", n_params=1000))
    run = Run(spec.run_id(made), made)
    do(tmp_path, [run])
    network = ar.construct("yarotsky2020_deep_line", target, n_params=1000)
    metrics = json.loads(json.dumps(store.read(tmp_path).rows[run.id]))["metrics"]
    assert metrics["max_bits"] == network.max_bits > 53
    assert metrics["total_bits"] == network.total_bits
    assert metrics["error_sup_upper"] < 1
    kept = ar.Network.load(tmp_path / "weights" / f"{run.id}.safetensors")
    assert [layer.rows for layer in kept.layers] == [layer.rows for layer in network.layers]
    assert (kept.provenance, kept.labels) == (network.provenance, network.labels)


def only(folder, run):
    return store.read(folder).rows[run.id]["metrics"]


def trained(run):
    """The fit of a run, made directly."""
    training = run.spec["training"]
    return ar.train(
        ar.FixedWidth(dim=1, width=4, depth=2), tree(), plan=[ar.Adam(steps=20)], start=training.get("start", "random"),
        dtype=training.get("dtype", "float64"), n_points=64,
    )  # fmt: skip


def test_the_error_before_training_is_stored_for_constructive_starts_only(tmp_path):
    random, built_start = (runs_of([tree()], replicas=1, start=s)[0] for s in ("random", "constructive"))
    do(tmp_path, [random])
    do(tmp_path, [built_start])
    assert not any(name.startswith("start_error") for name in only(tmp_path, random))
    metrics, start = only(tmp_path, built_start), trained(built_start).starts[0]
    x = np.linspace(0, 1, 40_001)
    error = np.abs(start(x[:, None]).ravel() - tree()(x[:, None]))  # dense values: no break-points, no quadrature
    assert error.max() <= metrics["start_error_sup_upper"]
    assert 0 < metrics["start_error_sup_lower"] <= 1.01 * error.max()
    assert metrics["start_error_l2"] == pytest.approx(np.sqrt(np.mean(error**2)), rel=0.01)
    assert metrics["start_certified"] is True
    frame = ar.load_records(tmp_path).frame().set_index("start")
    assert frame.start_error_sup["constructive"] == pytest.approx(error.max(), rel=0.01)
    assert np.isnan(frame.start_error_sup["random"])


def test_what_the_sampling_points_saw_is_stored_in_both_norms(tmp_path):
    from approxrates.training.points import point_sets

    run = runs_of([tree()], replicas=1)[0]
    do(tmp_path, [run])
    metrics, x = only(tmp_path, run), point_sets(tree(), 64)[-1]
    error = np.abs(trained(run).networks[0](x).ravel() - tree()(x))
    assert metrics["sup_at_points"] == pytest.approx(error.max(), rel=1e-9)
    assert metrics["rms_at_points"] == pytest.approx(np.sqrt(np.mean(error**2)), rel=1e-9)
    assert metrics["rms_at_points"] ** 2 == pytest.approx(metrics["loss"], rel=1e-9)
    assert metrics["sup_at_points"] <= metrics["error_sup_upper"]


def test_the_floor_is_that_of_the_precision_that_the_plan_ends_in(tmp_path):
    bfgs = [*PLAN, {"stage": "ssbfgs", "steps": 2}]
    cases = {"float32": (PLAN, "float32"), "float64": (PLAN, "float64"), "last": (bfgs, "float32")}
    floors = {}
    for name, (plan, dtype) in cases.items():
        run = runs_of([tree()], replicas=1, plan=plan, dtype=dtype)[0]
        do(tmp_path / name, [run])
        metrics = only(tmp_path / name, run)
        floors[name] = metrics["float_floor"]
        assert metrics["float_floor"] < metrics["float_floor_sup"] < metrics["error_sup_upper"]
    assert 1e-9 < floors["float32"] < 1e-5
    assert floors["float64"] < 1e-13
    assert floors["last"] < 1e-13


def test_curves_are_kept_on_request_for_every_replica_and_do_not_depend_on_companions(tmp_path):
    runs = runs_of([tree(0), tree(1)])
    message = {"folder": str(tmp_path), "keep": "none", "curves": True, "sources": {}, "runs": [vars(r) for r in runs]}
    run_batch(json.dumps(message))
    files = {path.stem: path.read_text() for path in (tmp_path / "curves").iterdir()}
    assert set(files) == {r.id for r in runs}
    alone = message | {"folder": str(tmp_path / "alone"), "runs": [vars(runs[2])]}
    run_batch(json.dumps(alone))
    assert (tmp_path / "alone" / "curves" / f"{runs[2].id}.csv").read_text() == files[runs[2].id]
    for run in runs:
        steps, losses = np.loadtxt(files[run.id].splitlines()[1:], delimiter=",").T
        assert files[run.id].startswith("step,loss\n0,")
        assert (np.diff(steps) > 0).all()
        assert steps[-1] == 20
        values = ar.load_target(**run.spec["target"])
        from approxrates.training.points import point_sets

        variance = np.var(values(point_sets(values, 64)[-1]))
        assert losses.min() * variance == pytest.approx(only(tmp_path, run)["loss"], rel=1e-9)


def test_nothing_is_kept_of_curves_unless_asked(tmp_path):
    do(tmp_path, runs_of([tree()], replicas=1))
    do(tmp_path, built(tree(), 50))
    assert not (tmp_path / "curves").exists()
