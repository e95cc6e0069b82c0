"""The report: complete, self-contained, the same bytes each time, and rendered by a browser."""

import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import approxrates as ar
from approxrates.records import records_from_table
from approxrates.report import write_gallery, write_report
from approxrates.report.assets import FIGURES, draw_figures, inline_svg, write_tables
from approxrates.report.findings import percent, summary_lines, target_findings, without_paths

SIZES = (40, 80, 160, 320, 640, 1280)
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def table(draws=3):
    """relu at rate r/d, tanh four times worse and slower, sin as relu; a spline; one target of each kind."""
    rng = np.random.default_rng(1)
    rows = []
    for target, r in (("faber_tree", 0.5), ("my_target", float("inf"))):
        for activation, scale, p in (("relu", 1.0, 0.5), ("sin", 1.0, 0.5), ("tanh", 4.0, 0.2)):
            for draw in range(draws):
                rows += [
                    {
                        "target": target,
                        "smoothness": r,
                        "target_seed": draw,
                        "activation": activation,
                        "replica": s,
                        "width": 8,
                        "depth": n // 20,
                        "start": "random",
                        "n_params": n,
                        "error_sup": scale * n**-p * np.exp(0.05 * rng.normal()),
                        "error_l2": 0.3 * scale * n**-p,
                        "information_rich": r < 1,
                        "seconds": 0.1,
                    }
                    for n in SIZES
                    for s in range(2)
                ]
    return pd.DataFrame(rows)


def bare():
    """Runs without any rate: their report is soon written, having one figure."""
    return table(1).query("n_params < 100").assign(status="failed", error="RuntimeError: no")


def with_failures():
    frame = table().assign(status="ok", error=None)
    frame.loc[3, ["status", "error"]] = [
        "failed",
        'RuntimeError: no <b>luck</b> in "/home/someone/secret/fit.py", line 3\nTraceback',
    ]
    frame.loc[4, "status"] = "diverged"
    return frame


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("results") / "results" / "three-activations"
    write_report(records_from_table(with_failures(), name="three-activations"), path)
    return path


class Page(HTMLParser):
    """Counts the tags of a page and collects the text of its tables."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.cells, self.ids, self.attributes, self._in_cell = {}, [], [], [], False
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags[tag] = self.tags.get(tag, 0) + 1
        self.attributes += attrs
        self.ids += [value for name, value in attrs if name == "id"]
        if tag in {"td", "th"}:
            self._in_cell = True
            self.cells.append("")

    def handle_endtag(self, tag):
        if tag in {"td", "th"}:
            self._in_cell = False

    def handle_data(self, data):
        if self._in_cell:
            self.cells[-1] += data


@pytest.fixture(scope="module")
def page(folder):
    return Page((folder / "report.html").read_text(encoding="utf-8"))


def test_all_files_are_written(folder):
    names = {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}
    figures = ("phase-smoothness", "rates", "rates-l2", "comparison-activation", "targets")
    assert names == {
        "report.html",
        "README.md",
        *("rates.csv", "gaps.csv", "split.csv", "runs.csv"),
        *(f"figures/{f}.{s}" for f in figures for s in ("svg", "pdf", "csv")),
    }


def test_a_report_written_again_has_the_same_bytes(folder, tmp_path):
    again = tmp_path / "elsewhere"
    write_report(records_from_table(with_failures(), name="three-activations"), again)
    for path in folder.rglob("*"):
        if path.is_file():
            assert path.read_bytes() == (again / path.relative_to(folder)).read_bytes(), path.name


def test_tables_hold_every_family_and_every_run(folder, page):
    records = records_from_table(with_failures(), name="three-activations")
    rates, runs = pd.read_csv(folder / "rates.csv"), pd.read_csv(folder / "runs.csv")
    assert np.allclose(rates.rate, records.rates().rate)
    assert len(runs) == len(records.frame())
    for row in rates.itertuples():
        assert f"[{row.rate_low:.2f}, {row.rate_high:.2f}]" in page.cells


def test_page_is_self_contained_and_has_no_script(folder, page):
    text = (folder / "report.html").read_text(encoding="utf-8")
    assert "default-src 'none'; style-src 'unsafe-inline'; img-src data:" in text
    assert not {"script", "link", "iframe", "object", "img"} & page.tags.keys()
    links = [value for name, value in page.attributes if name in {"href", "xlink:href", "src"}]
    assert all(value.startswith(("#", "data:image/png;base64")) for value in links)
    assert not re.search(r"url\((?!#)", text)
    assert not any(name.startswith("on") for name, _ in page.attributes)


def test_every_svg_begins_a_line_and_ids_are_unique(folder, page):
    text = (folder / "report.html").read_text(encoding="utf-8")
    assert page.tags["svg"] == 5
    assert len(re.findall(r"^<svg ", text, flags=re.MULTILINE)) == text.count("<svg") == 5
    assert len(page.ids) == len(set(page.ids))
    references = set(re.findall(r'(?:href="|url\()#([^")]+)', text))
    assert references <= set(page.ids)


def test_pages_tell_nothing_about_the_machine(folder, tmp_path):
    for name in ("report.html", "README.md", "runs.csv"):
        text = (folder / name).read_text(encoding="utf-8")
        for secret in ("/home/", "secret", str(folder.parent), str(Path.home()) + "/"):
            assert secret not in text, (name, secret)


def test_failed_runs_are_listed_with_their_reason_and_escaped(folder, page):
    text = (folder / "report.html").read_text(encoding="utf-8")
    assert {"failed", "diverged"} <= set(page.cells)
    assert 'RuntimeError: no <b>luck</b> in "fit.py", line 3' in page.cells
    assert "<b>luck" not in text
    assert "2 of 216 (0.9 %)" in (folder / "README.md").read_text(encoding="utf-8")


def test_readme_shows_figures_that_exist_and_says_what_was_found(folder):
    text = (folder / "README.md").read_text(encoding="utf-8")
    for link in re.findall(r"\]\(([^)]+)\)", text):
        assert (folder / link).exists(), link
    assert text.startswith("# three-activations\n")
    for piece in (
        "W counts weights and biases that are not structurally zero",
        "Faber tree, r = 0.5 (classical rate r/d = 0.5",
        "**tanh**: p = 0.2",
    ):
        assert piece in text


def test_findings_name_the_best_family_and_its_lead_with_an_interval():
    records = records_from_table(table(draws=6))
    lines = dict(target_findings(records))["Faber tree, r = 0.5 (classical rate r/d = 0.5, information-rich)"]
    sentence = next(line for line in lines if line.startswith("At equal W"))
    assert re.match(
        r"At equal W, (relu|sin) has the smallest sup errors; the errors of the others are larger by the factors tanh",
        sentence,
    )
    factor = float(re.search(r"tanh ([\d.]+) \[", sentence)[1])
    assert factor == pytest.approx(4 * np.exp(0.3 * np.mean(np.log(SIZES))), rel=0.05)
    assert re.search(r"not told apart from it: (relu|sin)", sentence)


def test_summary_counts_every_placed_family_once():
    records = records_from_table(table())
    placed = [f for f in records.families() if f.point is not None and f.regularity.is_finite]
    line = summary_lines(records)[0]
    assert line.startswith(f"{len(placed)} trained families on information-rich targets")
    counts = re.findall(r"(?:: |, )(\d+) ", line)
    assert sum(map(int, counts)) == len(placed)


def test_records_without_any_rate_give_a_report_and_older_figures_do_not_stay(tmp_path):
    one = table(1).query("target == 'faber_tree' and activation == 'relu'")
    write_report(records_from_table(one), tmp_path)
    assert (tmp_path / "figures" / "phase-smoothness.svg").exists()
    frame = table().query("n_params < 100 and target == 'my_target'")
    text = write_report(records_from_table(frame, name="too few"), tmp_path).read_text(encoding="utf-8")
    assert "it needs errors at four sizes or more" in text
    assert not (tmp_path / "figures" / "phase-smoothness.svg").exists()
    assert (tmp_path / "figures" / "rates.svg").exists()


def test_a_study_of_which_every_run_failed_still_has_a_report(tmp_path):
    frame = table().query("n_params < 100").assign(status="failed", error="RuntimeError: no")
    text = write_report(records_from_table(frame, name="nothing"), tmp_path).read_text(encoding="utf-8")
    assert "RuntimeError: no" in text
    assert "72 of 72 (100.0 %)" in text
    assert [p.name for p in (tmp_path / "figures").glob("*.svg")] == ["targets.svg"]


def test_report_needs_a_folder_that_can_be_written(tmp_path):
    records = records_from_table(table())
    with pytest.raises(ValueError, match=r"^path must be a folder, .* Got None\. Write .*$"):
        write_report(records)
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match=r"^path must be a folder that can be written\. Got .*$"):
        write_report(records, tmp_path / "file")


@pytest.mark.parametrize("name", ["README.md", "rates.csv", "runs.csv", "report.html", "figures/rates.pdf"])
def test_a_file_that_no_report_wrote_is_refused_and_kept(name, tmp_path):
    own = tmp_path / name
    own.parent.mkdir(exist_ok=True)
    own.write_text("mine")
    before = {p for p in tmp_path.rglob("*") if p.is_file()}
    with pytest.raises(ValueError, match=rf"{name} must be a file that approxrates wrote\. Got .*\. Move it away"):
        write_report(records_from_table(table()), tmp_path)
    assert own.read_text() == "mine"
    assert {p for p in tmp_path.rglob("*") if p.is_file()} == before


def test_figures_of_other_names_stay_through_reports(folder, tmp_path):
    home = tmp_path / "home"
    shutil.copytree(folder, home)
    for name in ("mine.pdf", "data.csv", "rates-by-hand.svg"):
        (home / "figures" / name).write_text("mine")
    for _ in range(2):
        write_report(records_from_table(bare()), home)
    assert not (home / "figures" / "phase-smoothness.svg").exists()  # figures of the first report make way
    for name in ("mine.pdf", "data.csv", "rates-by-hand.svg"):
        assert (home / "figures" / name).read_text() == "mine"


def test_a_report_that_was_cut_off_can_be_written_again(monkeypatch, tmp_path):
    records = records_from_table(bare())

    def stopped(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("approxrates.report.html_page", stopped)
        with pytest.raises(KeyboardInterrupt):
            write_report(records, tmp_path)
    write_report(records, tmp_path)
    (tmp_path / "README.md").unlink()
    write_report(records, tmp_path)
    assert "## In short" in (tmp_path / "README.md").read_text(encoding="utf-8")


def test_every_figure_of_a_report_is_known_by_name(folder):
    assert {p.stem for p in (folder / "figures").iterdir()} <= set(FIGURES)


def test_records_of_a_folder_have_their_report_there(tmp_path):
    found = records_from_table(bare())
    found.folder = tmp_path
    assert write_report(found) == tmp_path / "report.html"


def test_a_page_that_cannot_be_written_is_told_in_one_line(tmp_path):
    records = records_from_table(bare())
    write_report(records, tmp_path)
    (tmp_path / "report.html").unlink()
    (tmp_path / "report.html").mkdir()
    with pytest.raises(ValueError, match=r"^path must be a folder that can be written\. Got [^\n]*report\.html"):
        write_report(records, tmp_path)
    assert not list(tmp_path.rglob(".*"))


def test_whole_numbers_stay_whole_where_some_runs_have_none(tmp_path):
    few = table(1).query("n_params < 100 and target == 'my_target'")
    frame = pd.concat([few.assign(seed=3), few.assign(method="construct", construction="interpolation")])
    write_report(records_from_table(frame), tmp_path)
    seeds = pd.read_csv(tmp_path / "runs.csv", dtype=str, keep_default_na=False).seed
    assert set(seeds) == {"3", ""}


def test_gallery_shows_each_study_but_not_the_demo(folder, tmp_path):
    results = tmp_path / "results"
    for name in ("three-activations", "demo"):
        shutil.copytree(folder, results / name)
    (results / "empty").mkdir()
    text = write_gallery(results).read_text(encoding="utf-8")
    assert "## [three-activations](three-activations/README.md)" in text
    assert "demo" not in text
    assert "trained families on information-rich targets" in text
    for link in re.findall(r"\]\(([^)]+)\)", text):
        assert (results / link).exists(), link
    assert write_gallery(results).read_text(encoding="utf-8") == text
    with pytest.raises(ValueError, match="results must be a folder"):
        write_gallery(results / "absent")


def test_a_gallery_does_not_replace_the_page_of_a_project(tmp_path):
    (tmp_path / "README.md").write_text("# My project")
    with pytest.raises(ValueError, match=r"README\.md must be a file that approxrates wrote"):
        write_gallery(tmp_path)
    assert (tmp_path / "README.md").read_text() == "# My project"


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("KeyError: 'a' in /usr/lib/python3/x.py", "KeyError: 'a' in x.py"),
        ("bad C:\\Users\\me\\run.py", "bad run.py"),
        ("ratio 3/4 and/or r/d", "ratio 3/4 and/or r/d"),
        ("first\nsecond", "first"),
        (None, ""),
        (float("nan"), ""),
    ],
)
def test_messages_lose_their_folders_only(message, shown):
    assert without_paths(message) == shown


def test_percent_is_told_with_its_counts():
    assert percent(3, 1200) == "3 of 1,200 (0.2 %)"


def test_inline_svg_keeps_the_drawing_and_renames_its_ids(tmp_path):
    (tmp_path / "a.svg").write_text(
        '<?xml version="1.0"?>\n<!DOCTYPE svg>\n<svg width="7pt" height="5pt" viewBox="0 0 7 5">\n'
        " <metadata>\n x\n </metadata>\n"
        '<path id="m1"/><use xlink:href="#m1" clip-path="url(#p2)"/></svg>\n'
    )
    text = inline_svg(tmp_path / "a.svg", "Title", "f")
    assert text.startswith('\n<svg viewBox="0 0 7 5" role="img"')
    assert '<path id="f-m1"/><use xlink:href="#f-m1" clip-path="url(#f-p2)"/></svg>' in text
    assert "metadata" not in text


@pytest.fixture(scope="module")
def browser():
    found = next((b for b in BROWSERS if shutil.which(b)), None)
    if found is None:
        pytest.skip(f"no browser in PATH: looked for {', '.join(BROWSERS)}")
    return found


def run_browser(browser, profile, *options):
    flags = (
        "headless no-sandbox disable-gpu disable-quic no-first-run disable-background-networking "
        "disable-component-update disable-sync hide-scrollbars window-size=1100,5200 enable-logging=stderr v=0"
    )
    command = [browser, *(f"--{flag}" for flag in flags.split()), f"--user-data-dir={profile}", *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)


def test_report_opens_in_a_browser_with_its_figures_and_tables(folder, browser, tmp_path):
    from PIL import Image  # comes with matplotlib

    url = (folder / "report.html").as_uri()
    dom = run_browser(browser, tmp_path / "profile", "--dump-dom", url)
    rendered = Page(dom.stdout)
    assert rendered.tags["svg"] == 5
    assert rendered.tags["tr"] >= 7
    assert "Refused to" not in dom.stderr
    assert "CONSOLE" not in dom.stderr
    shot = tmp_path / "page.png"
    result = run_browser(browser, tmp_path / "profile", f"--screenshot={shot}", url)
    assert "CONSOLE" not in result.stderr
    pixels = np.asarray(Image.open(shot).convert("RGB")).reshape(-1, 3)
    # The first colour of the palette draws the first family: it is there only if the figures are.
    assert (np.abs(pixels.astype(int) - [0x00, 0x72, 0xB2]).sum(axis=1) < 12).sum() > 500
    assert (pixels.min(axis=1) < 100).mean() > 0.005


def test_whether_optimisation_limits_is_claimed_only_where_it_was_tested():
    frame = table().query("activation == 'relu' and smoothness < 1")
    refit = frame.query("n_params >= 320").assign(budget=4)

    def line(*frames):
        lines = summary_lines(records_from_table(pd.concat([f.assign(budget=f.get("budget", 1)) for f in frames])))
        return next(text for text in lines if "optimisation" in text)

    assert "was not tested" in line(frame)
    assert "No trained family" in line(frame, refit)
    assert "in 1 of 1 trained families" in line(frame, refit.assign(error_sup=refit.error_sup / 2))


def test_in_short_says_that_nothing_was_learnt_and_why():
    frame = table()
    errors = ["RuntimeError: no `luck` in /home/someone/fit.py" if i % 3 else None for i in range(len(frame))]
    lines = summary_lines(records_from_table(frame.assign(status="diverged", outcome="diverged", error=errors)))
    assert lines[0].startswith("Nothing was learnt about rates: no run gave a usable network.")
    assert "144 × `RuntimeError: no 'luck' in fit.py`, 72 × `diverged`" in lines[-1]
    few = summary_lines(records_from_table(frame.query("n_params < 300")))
    assert few[0].startswith("Nothing was learnt about rates: a rate needs errors at four sizes")
    assert "(3 sizes at most)" in few[0]
    assert not any("Nothing was learnt" in line for line in summary_lines(records_from_table(frame)))


def test_the_command_to_regenerate_holds_the_overrides(tmp_path):
    (tmp_path / "study.toml").write_text(
        'name = "t"\n[[targets]]\nname = "faber_tree"\nsmoothness = 0.5\ndim = 1\n'
        '[[constructions]]\nname = "interpolation"\nn_params = [11, 23, 47, 95]\n'
    )
    study = ar.Study.from_toml(tmp_path / "study.toml", overrides={"constructions.n_params": [23, 47, 95, 191]})
    with pytest.warns(UserWarning, match="--set"):
        records = study.run(tmp_path, progress=False)
    ar.write_report(records)
    assert (
        "approxrates run study.toml --set 'constructions.n_params=[23, 47, 95, 191]'"
        in (tmp_path / "README.md").read_text()
    )


def both_starts():
    """One family from both starts, with everything that gaps and parts are made of."""
    rows = table().query("activation == 'relu' and smoothness < 1").to_dict("records")
    built = [
        r | {"start": "constructive", "error_sup": r["error_sup"] / 2, "error_l2": r["error_l2"] / 2} for r in rows
    ]
    stored = {"sup_at_points": ("error_sup", 0.9), "rms_at_points": ("error_l2", 0.9)}
    stored |= {"float_floor_sup": ("error_sup", 1e-6), "float_floor": ("error_l2", 1e-6)}
    before = {"start_error_sup": ("error_sup", 3.0), "start_error_l2": ("error_l2", 3.0)}
    rows = [r | {c: r[of] * k for c, (of, k) in stored.items()} for r in rows + built]
    return pd.DataFrame(
        [r | ({c: r[of] * k for c, (of, k) in before.items()} if r["start"] != "random" else {}) for r in rows]
    )


def test_gaps_and_parts_are_drawn_written_and_told(tmp_path, monkeypatch):
    records, saved = records_from_table(both_starts(), name="both starts"), []
    monkeypatch.setattr("approxrates.report.assets.save_figure", lambda ax, path: saved.append((path.name, ax)))
    drawn = {figure.name for figure in draw_figures(records, tmp_path)}
    assert {"gaps", "gaps-l2", "error-split", "error-split-l2"} <= drawn <= set(FIGURES)
    assert {name for name, _ in saved} == drawn
    assert not {"gaps", "error-split"} & {f.name for f in draw_figures(records_from_table(bare()), tmp_path)}
    write_tables(records, tmp_path)
    written = pd.read_csv(tmp_path / "gaps.csv")
    assert written.optimisation_gap.to_numpy() == pytest.approx(records.gaps().optimisation_gap.to_numpy())
    assert len(pd.read_csv(tmp_path / "split.csv")) == len(records.split()) == 2 * 2 * len(SIZES)
    text = "\n".join([*summary_lines(records), *(line for _, lines in target_findings(records) for line in lines)])
    assert "Optimisation gap: at the largest size random starts err 2.00 times as much" in text
    assert (
        "Training improves its constructive start at the largest size, beyond chance (95 %), in 1 of 1 family." in text
    )
    assert "relu: optimisation gap (random over constructive start) 2.00 [2.00, 2.00] at W = 40 and 2.00" in text
    assert "relu, constructive start: of the sup error at W = 1,280, " in text
    assert "under 1 % floating point; best known" in text


def test_tables_by_size_of_an_earlier_report_go_with_the_training(tmp_path):
    write_tables(records_from_table(both_starts(), name="a"), tmp_path)
    built = both_starts().assign(method="construct", construction="interpolation", start=None)
    write_tables(records_from_table(built, name="a"), tmp_path)
    assert not (tmp_path / "gaps.csv").exists()
    assert not (tmp_path / "split.csv").exists()
