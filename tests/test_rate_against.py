"""The figure of rates against a setting, on rates that are known."""

import numpy as np
import pandas as pd
import pytest

import approxrates as ar
from approxrates.plots import drawn_numbers

SIZES = [50, 100, 200, 400, 800, 1600]


def records(rates):
    """Errors that fall exactly like ``W^-p`` for each penalty, four draws."""
    rows = [
        {
            "n_params": n, "error_sup": float(n) ** -p * (1 + 0.01 * draw), "target": "faber_tree", "smoothness": 0.5,
            "target_seed": draw, "l2_penalty": penalty, "activation": "relu",
        }
        for penalty, p in rates.items() for n in SIZES for draw in range(4)
    ]  # fmt: skip
    return ar.records_from_table(pd.DataFrame(rows))


def test_the_figure_shows_the_rate_of_every_value_in_order():
    ax = ar.plot_rates_against(records({0.0: 0.9, 1e-4: 0.5, 1e-6: 0.7}))
    table = drawn_numbers(ax.figure)
    assert list(table["l2_penalty"]) == [0.0, 1e-6, 1e-4]
    assert np.allclose(table["rate"].astype(float), [0.9, 0.7, 0.5], atol=0.02)
    assert [t.get_text() for t in ax.get_xticklabels()] == ["0", "1e-06", "0.0001"]
    assert len(ax.figure.legends[0].get_texts()) == 1, "the setting is told by the axis, not by the names"


def test_one_value_makes_no_figure():
    with pytest.raises(ValueError, match="differ in 'l2_penalty'"):
        ar.plot_rates_against(records({0.0: 0.5}))


def test_a_report_of_penalties_and_measurements_has_their_figures(tmp_path):
    study = ar.Study(
        "penalties",
        targets=ar.load_target("faber_tree", smoothness=0.5, dim=1),
        architectures=ar.FixedDepth(dim=1, width=ar.axis(2, 3, 4, 5), depth=1, activation="tanh"),
        plan=[ar.Adam(steps=5, warm_up=1)],
        n_points=64,
        l2_penalty=ar.axis(0.0, 0.1),
        measure=["sharpness"],
    )
    ar.write_report(study.run(tmp_path, progress=False))
    page = (tmp_path / "report.html").read_text()
    for name in ("rates-against-l2_penalty", "measured-sharpness"):
        assert (tmp_path / "figures" / f"{name}.svg").exists()
        assert f'id="figure-{name}"' in page
    runs = pd.read_csv(tmp_path / "runs.csv")
    assert (runs["sharpness"] > 0).all()
