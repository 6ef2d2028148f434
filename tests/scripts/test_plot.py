"""scripts/plot.py and the loader beneath it."""

import argparse
import json
import math
import os
import re
import subprocess

import pytest

import plot as plot_script
from tally import charts
from tally import latency_charts
from tally import results as results_
from tally import style as style_
from in_process import run_script

MODELS = ["limit", "sequential", "thread_pool", "process_shard", "tbb_flow_graph", "fibers", "coroutines"]


@pytest.fixture
def plot(tmp_path):
    """plot(data or text, folder, more arguments) is plot.py on it: what it did, and the folder."""

    def run(content, out="plots", *arguments):
        source = tmp_path / "result.json"
        source.write_text(content if isinstance(content, str) else json.dumps(content))
        return run_script("plot.py", source, "-o", tmp_path / out, *arguments), tmp_path / out

    return run


@pytest.fixture(scope="session")
def plotted(root, tmp_path_factory):
    """plotted(data) is a folder that the command `scripts/plot.py` has drawn that into, in a process of its own."""

    def run(data):
        folder = tmp_path_factory.mktemp("plotted")
        (folder / "result.json").write_text(json.dumps(data))
        done = subprocess.run([root / "scripts/plot.py", folder / "result.json", "-o", folder / "plots"], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return folder / "plots"

    return run


@pytest.fixture(scope="session")
def lookup_plots(plotted, invented_text):
    """The figures of the invented lookups with 1 and with 10 in flight."""
    return plotted(lookups(json.loads(invented_text)))


def keep(data, *beginnings):
    """`data` with those entries alone whose names begin so: figures take time to draw."""
    return {**data, "benchmarks": [entry for entry in data["benchmarks"] if entry["run_name"].startswith(beginnings)]}


def ending(data, *ends):
    """`data` with those entries alone whose names end so."""
    return {**data, "benchmarks": [entry for entry in data["benchmarks"] if entry["run_name"].endswith(ends)]}


def lookups(data):
    return ending(keep(data, "lookup/"), "in_flight:1", "in_flight:10")


def entries(data, name):
    return [entry for entry in data["benchmarks"] if entry["run_name"] == name]


def svg_texts(path):
    """The texts of an SVG by matplotlib, which writes each as a comment before its outlines."""
    return re.findall(r"<!-- (.*?) -->", path.read_text())


def fail(entry, reason):
    """Makes a sample what the suite writes for a failed one."""
    for key in [key for key in entry if key not in ("name", "run_name", "run_type", "repetition_index", "time_unit")]:
        del entry[key]
    entry.update(verified=False, error_occurred=True, error_message=reason)


LOOKUP_STEMS = {"lookup-throughput", "lookup-cpu-time", "lookup-by-in-flight", "lookup-memory"}


@pytest.mark.slow
def test_a_whole_result_becomes_every_figure(tmp_path, invented):
    path = tmp_path / "result.json"
    path.write_text(json.dumps(invented))
    stems = {"cpu-throughput", "cpu-cpu-time", *LOOKUP_STEMS}
    stems |= {f"cpu-{axis}-{page}" for axis in ("by-workers", "by-grain", "by-batch", "efficiency-by-grain") for page in (1, 2)}
    assert {stem for stem, _ in charts.figures(results_.load(path), lambda stream: [])} == stems


@pytest.mark.slow
@pytest.mark.xdist_group("lookup_plots")
def test_every_figure_is_written_as_svg_and_png(lookup_plots):
    assert set(os.listdir(lookup_plots)) == {f"{stem}.{kind}" for stem in LOOKUP_STEMS for kind in ("svg", "png")}
    for path in lookup_plots.iterdir():
        assert path.read_bytes().startswith(b"\x89PNG\r\n" if path.suffix == ".png" else b"<?xml")


@pytest.mark.slow
def test_figures_name_models_units_machine_suite_and_failed_cells(plot, invented):
    # No two groups differ in one parameter alone: no figure against a parameter is drawn.
    done, folder = plot(ending(keep(invented, "cpu/"), "workers:2/grain_ns:1000/batch:1", "workers:1/grain_ns:0/batch:1",
                               "workers:2/grain_ns:0/batch:256", "sequential/workers:1/grain_ns:1000/batch:1"))
    assert done.returncode == 0, done.stderr
    texts = svg_texts(folder / "cpu-throughput.svg")
    assert set(MODELS) <= set(texts)
    assert {"workers 2 · grain 1 µs · batch 1", "events/s", "events/s, log", "no figure"} <= set(texts)
    whole = "\n".join(texts)
    assert "result 00112233aabbccdd" in whole and "Note: one CPU is shared" in whole
    assert "Invented CPU @ 2.00GHz, 2 CPUs, Linux 6.1.0 ·" in whole and "Tally 0.1.0 (0123456789ab)" in whole and "2020-01-02" in whole
    assert "Not drawn: cpu/fibers/workers:2/grain_ns:1000/batch:1 (wrong count" in whole
    assert {"CPU time per event", "2.5 ns"} & set(svg_texts(folder / "cpu-cpu-time.svg"))


@pytest.mark.slow
@pytest.mark.xdist_group("lookup_plots")
def test_the_same_file_gives_the_same_bytes(plot, lookup_plots, invented):
    done, folder = plot(lookups(invented))
    assert done.returncode == 0
    names = sorted(os.listdir(folder))
    assert names == sorted(os.listdir(lookup_plots)) and names
    for name in names:
        assert (folder / name).read_bytes() == (lookup_plots / name).read_bytes(), name


@pytest.mark.slow
@pytest.mark.xdist_group("lookup_plots")
def test_a_model_keeps_its_colour_in_every_figure(lookup_plots):
    for path in lookup_plots.glob("*.svg"):
        text = path.read_text().lower()
        for model in MODELS:
            assert style_.MODELS[model][0].lower() in text, (path.name, model)


@pytest.mark.slow
def test_an_unknown_model_gets_a_look_of_its_own_and_is_drawn(plot, invented):
    text = json.dumps(ending(keep(invented, "lookup/"), "in_flight:10")).replace("/fibers/", "/actors/")
    done, folder = plot(text)
    assert done.returncode == 0, done.stderr
    assert "actors" in svg_texts(folder / "lookup-throughput.svg")
    assert style_.look("actors") == style_.look("actors")
    assert style_.look("actors") not in style_.MODELS.values()


def test_one_cell_alone_is_drawn(plot, invented):
    done, folder = plot(keep(invented, "cpu/sequential/workers:1/grain_ns:0/batch:1/", "cpu/sequential/workers:1/grain_ns:0/batch:1"))
    assert done.returncode == 0, done.stderr
    assert (folder / "cpu-throughput.svg").exists()


def test_aggregates_alone_are_drawn(plot, invented):
    part = ending(keep(invented, "lookup/"), "in_flight:10")
    part["benchmarks"] = [entry for entry in part["benchmarks"] if entry["run_type"] == "aggregate"]
    done, folder = plot(part)
    assert done.returncode == 0, done.stderr
    assert (folder / "lookup-throughput.svg").exists()


def test_aggregates_alone_give_median_interval_bound_and_convergence(tmp_path, invented):
    invented["benchmarks"] = [entry for entry in invented["benchmarks"] if entry["run_type"] == "aggregate"][:1]
    (summary,) = invented["benchmarks"]
    summary["converged"] = False
    path = tmp_path / "result.json"
    path.write_text(json.dumps(invented))
    (cell,) = results_.load(path).cells
    interval = cell.interval(results_.throughput)
    assert (interval.median, interval.low, interval.high) == tuple(
        summary[f"items_per_second{end}"] for end in ("", "_low", "_high"))
    assert cell.interval(results_.bound).median == summary["analytic_bound_items_per_second"]
    assert not cell.converged


def test_the_reason_of_a_failed_cell_is_that_of_the_sample_that_failed(tmp_path, invented):
    name = "lookup/fibers/workers:1/wait_us:1000/in_flight:10"
    samples = [entry for entry in entries(invented, name) if entry["run_type"] == "iteration"]
    for entry in samples:
        fail(entry, "withheld, since another sample of this cell failed: killed by signal 9")
    samples[-1]["error_message"] = "killed by signal 9"
    path = tmp_path / "result.json"
    path.write_text(json.dumps(invented))
    assert next(cell for cell in results_.load(path).cells if cell.name == name).failure == "killed by signal 9"


@pytest.mark.parametrize(
    "content, says",
    [
        ("", "not JSON"),
        ("{", "not JSON"),
        ("[1, 2]", "not a result of `tally run`: no context"),
        ('{"context": {}}', "no list of benchmarks"),
        ('{"context": {}, "benchmarks": []}', "holds no sample"),
        ('{"context": {}, "benchmarks": [{"name": "BM_memcpy/8"}]}', "no cell is called 'BM_memcpy/8'"),
        ('{"context": {}, "benchmarks": [{"run_type": "iteration"}]}', "no cell is called None"),
    ],
)
def test_what_is_no_result_is_refused_in_one_line(plot, content, says):
    done, folder = plot(content)
    assert done.returncode == 2
    assert done.stderr.startswith("plot: ") and done.stderr.count("\n") == 1 and says in done.stderr
    assert not folder.exists()


def test_a_result_without_a_verified_sample_is_refused(plot, invented):
    part = keep(invented, "cpu/limit/")
    for entry in part["benchmarks"]:
        if entry["run_type"] == "iteration":
            fail(entry, "lost an event")
    done, folder = plot(part)
    assert done.returncode == 1
    assert "no verified sample" in done.stderr and "lost an event" in done.stderr and done.stderr.count("\n") == 1
    assert not folder.exists()


def test_cells_that_counted_no_events_have_no_rate_and_are_no_failure_of_another_kind(plot, invented):
    part = keep(invented, "cpu/limit/workers:1/grain_ns:0/batch:1")
    for entry in part["benchmarks"]:
        entry["items_per_second"] = 0
    done, _ = plot(part)
    assert done.returncode == 1 and "no events, so no rate" in done.stderr


def test_a_missing_file_and_a_missing_argument_are_wrong_command_lines(tmp_path):
    absent = run_script("plot.py", tmp_path / "none.json", "-o", tmp_path)
    assert absent.returncode == 2 and "none.json: No such file" in absent.stderr
    assert run_script("plot.py", tmp_path / "none.json").returncode == 2


def test_what_cannot_be_written_leaves_what_was_there(plot, invented, tmp_path):
    (tmp_path / "taken").write_text("mine")
    done, _ = plot(ending(keep(invented, "cpu/limit/"), "workers:1/grain_ns:0/batch:1"), "taken")
    assert done.returncode == 1 and "cannot write" in done.stderr and done.stderr.count("\n") == 1
    assert (tmp_path / "taken").read_text() == "mine"


def test_one_unverified_sample_takes_the_figures_of_its_whole_cell(tmp_path, invented):
    name = "lookup/fibers/workers:1/wait_us:1000/in_flight:10"
    entries(invented, name)[3]["verified"] = False
    path = tmp_path / "result.json"
    path.write_text(json.dumps(invented))
    cell = next(cell for cell in results_.load(path).cells if cell.name == name)
    assert cell.failure == "not verified"
    assert cell.interval(results_.throughput) is None


def test_sequential_belongs_to_every_group_that_shares_its_other_parameters(tmp_path, invented):
    path = tmp_path / "result.json"
    path.write_text(json.dumps(invented))
    results = results_.load(path)
    for stream, count in (("cpu", 8), ("lookup", 4)):
        groups = results.groups(stream)
        assert len(groups) == count
        assert all(sum(cell.model == "sequential" for cell in cells) == 1 for _, cells in groups)


@pytest.mark.slow
def test_cells_over_io_uring_are_groups_of_their_own_and_told_from_those_over_epoll(plot, tmp_path, invented):
    both = lookups(invented)
    over = json.loads(json.dumps([entry for entry in both["benchmarks"] if entry["run_name"].split("/")[1] in ("coroutines", "limit")]))
    for entry in over:
        entry["name"] = entry["name"].replace(entry["run_name"], entry["run_name"] + "/io_uring:1")
        entry["run_name"] += "/io_uring:1"
    both["benchmarks"] += over
    path = tmp_path / "both.json"
    path.write_text(json.dumps(both))
    groups = [(params, {cell.model for cell in cells}) for params, cells in results_.load(path).groups("lookup")]
    assert len(groups) == 4
    assert all(models == {"coroutines", "limit", "sequential"} for params, models in groups if params.get("io_uring"))
    done, folder = plot(both)
    assert done.returncode == 0, done.stderr
    titles = " ".join(svg_texts(folder / "lookup-by-in-flight.svg"))
    assert "epoll" in titles and "io_uring" in titles


@pytest.mark.parametrize(
    "n, low, high",
    # Pairs of order statistics from the tables of the sign test (Conover, Practical Nonparametric Statistics, A3).
    [(1, 1, 1), (5, 1, 5), (6, 1, 6), (8, 1, 8), (9, 2, 8), (10, 2, 9), (15, 4, 12), (20, 6, 15), (30, 10, 21), (2000, 956, 1045)],
)
def test_the_interval_of_the_median_is_the_pair_of_order_statistics(n, low, high):
    interval = results_.median_interval(range(n, 0, -1))
    assert (interval.median, interval.low, interval.high, interval.n) == ((n + 1) / 2, low, high, n)


def test_no_values_have_no_median():
    with pytest.raises(ValueError):
        results_.median_interval([])


def test_cpu_time_per_event_follows_from_what_a_sample_carries():
    entry = {"cpu_s": 0.5, "items_per_second": 2e6, "real_time": 250.0, "time_unit": "ms"}
    assert results_.cpu_per_event(entry) == pytest.approx(1e-6)
    assert results_.cpu_per_event({**entry, "items_per_second": 0}) is None
    assert results_.cpu_per_event({"items_per_second": 2e6, "real_time": 250.0}) is None


@pytest.mark.parametrize(
    "name, params",
    [
        ("cpu/fibers/workers:2/grain_ns:1500/batch:256", {"workers": 2, "grain": 1.5e-6, "batch": 256}),
        ("lookup/limit/workers:1/wait_us:1000/in_flight:9", {"workers": 1, "wait": 1e-3, "in_flight": 9}),
        ("lookup/limit/workers:1/wait_ns:1500/in_flight:9/grain_ns:7", {"workers": 1, "wait": 1.5e-6, "in_flight": 9, "grain": 7e-9}),
        ("cpu/limit/workers:1/manual_time", {"workers": 1}),
    ],
)
def test_a_cells_name_gives_its_parameters(name, params):
    stream, model, got = results_.parse_name(name)
    assert (stream, model) == tuple(name.split("/")[:2])
    assert got == pytest.approx(params)


@pytest.mark.parametrize(
    "value, text",
    [(0, "0"), (1, "1"), (999.9, "1 k"), (1.32e8, "132 M"), (999_700, "1 M"), (4.7e-6, "4.7 µ"), (1e-9, "1 n"), (1e-3, "1 m"),
     (1e3, "1 k"), (2.5e-10, "250 p")],
)
def test_numbers_are_written_with_three_digits_and_a_prefix(value, text):
    assert style_.engineering(value) == text


def test_bytes_are_written_with_binary_prefixes():
    assert [style_.bytes_text(value) for value in (0, 512, 1536, 3 << 20, 1 << 30)] == ["0 B", "512 B", "1.5 KiB", "3 MiB", "1 GiB"]


# ---- latency at an offered rate ----

# Latencies of 1 to 1000 µs, in parts of 1 µs, 300 in each: enough for p99, too few for p99.9.
HISTOGRAM_NS = [[1000 * (i + 1), 300] for i in range(1000)]


def latencies(p99_s, histogram_ns=(), too_few=()):
    """The latencies of a cell as a median entry has them; p50 is a tenth of p99, and p99.9 is twice as long."""
    return {"count": sum(count for _, count in histogram_ns), "p50_s": p99_s / 10, "p90_s": p99_s / 2, "p95_s": p99_s * 0.8,
            "p99_s": p99_s, "p999_s": 2 * p99_s, "max_s": 1.0, "mean_s": p99_s / 8, "too_few_for": list(too_few),
            "histogram_ns": list(histogram_ns)}


def ingest_cell(model, rate, p99_s=1e-3, connections=100, late_s=1e-5, saturated=False, memory=8 << 20, **more):
    """The entries of a cell of the ingest stream: three samples and their median."""
    name = f"ingest/{model}/workers:1/connections:{connections}/rate:{rate}"
    both = {"run_name": name, "real_time": 200.0, "cpu_time": 150.0, "time_unit": "ms", "cpu_s": 0.15, "peak_rss_bytes": memory,
            "items_per_second": 5e4}
    samples = [{**both, "name": name, "run_type": "iteration", "repetition_index": i, "round": i, "verified": True,
                "events_counted": 10_000, "bound_items_per_second": 6e4, "efficiency": 5 / 6} for i in range(3)]
    median = {**both, "name": f"{name}_median", "run_type": "aggregate", "aggregate_name": "median", "converged": True}
    if rate != "max":
        for sample, factor in zip(samples, (0.5, 1, 50)):
            sample["send_late_p99_s"] = late_s * factor
        if saturated:
            median.update(saturated=True, latency_absent="saturated: the cell fell behind the rate that was offered")
        else:
            median["latency"] = {**latencies(p99_s, HISTOGRAM_NS), **more}
            median["latency_uncorrected"] = latencies(p99_s / 4, [[edge / 4, count] for edge, count in HISTOGRAM_NS])
    return [*samples, median]


def ingest(*cells, **context):
    """A result of the cells' entries."""
    return {"context": context, "benchmarks": [entry for cell in cells for entry in cell]}


def latency_figures(data, tmp_path, slo=None):
    """{file stem: Figure} of the latencies in `data`."""
    path = tmp_path / "result.json"
    path.write_text(json.dumps(data))
    return dict(latency_charts.figures(results_.load(path), lambda stream: [], slo))


def points(axes, marker, size=None):
    """Where `axes` has marks of this kind, of this size if one is given, with colour and face."""
    return [(x, y, line.get_color(), line.get_markerfacecolor()) for line in axes.lines
            if line.get_marker() == marker and size in (None, line.get_markersize()) for x, y in zip(*line.get_data())]


def legend_texts(figure):
    return [text.get_text() for legend in figure.legends for text in legend.get_texts()]


def lines_of(axes, model):
    """The lines of `model`, without its marks."""
    return [line for line in axes.lines if line.get_color() == style_.look(model)[0] and line.get_linestyle() != "None"]


def notes(figure):
    return " ".join(" ".join(text.get_text() for text in figure.texts).split())


def test_latency_is_drawn_against_the_offered_rate_a_panel_for_each_percentile_and_a_line_for_each_model(tmp_path):
    data = ingest(ingest_cell("event_loop", 200_000, 4e-3), ingest_cell("event_loop", 50_000, 1e-3),
                  ingest_cell("fibers", 50_000, 2e-3), ingest_cell("fibers", 200_000, 8e-3), ingest_cell("fibers", "max"))
    figure = latency_figures(data, tmp_path)["ingest-latency"]
    assert [axes.get_ylabel() for axes in figure.axes] == ["latency, p50, log", "latency, p99, log", "latency, p99.9, log"]
    for axes, factor in zip(figure.axes, (0.1, 1, 2)):
        assert axes.get_xscale() == axes.get_yscale() == "log"
        for model, seconds in (("event_loop", [1e-3, 4e-3]), ("fibers", [2e-3, 8e-3])):
            (line,) = lines_of(axes, model)
            assert line.get_linestyle() == "--" and list(line.get_xdata()) == [50_000, 200_000]
            assert list(line.get_ydata()) == pytest.approx([factor * value for value in seconds])
    assert set(legend_texts(figure)) == {"event_loop", "fibers"}


def test_a_saturated_point_is_marked_at_the_upper_edge_and_breaks_the_line(tmp_path):
    data = ingest(*(ingest_cell("coroutines", rate, saturated=rate == 100_000) for rate in (50_000, 100_000, 200_000)),
                  *(ingest_cell("limit", rate) for rate in (50_000, 100_000, 200_000)))
    figure = latency_figures(data, tmp_path)["ingest-latency"]
    colour = style_.look("coroutines")[0]
    for axes in figure.axes:
        (mark,) = points(axes, "^")
        assert mark[0] == 100_000 and 0.9 < mark[1] < 1 and mark[2:] == (colour, "none")
        (line,) = lines_of(axes, "coroutines")
        assert list(line.get_xdata()) == [50_000, 100_000, 200_000]
        assert [math.isnan(y) for y in line.get_ydata()] == [False, True, False]
        highest = max(line.get_ydata()[0], line.get_ydata()[2])
        # The mark is above every latency, as a share of the height.
        assert axes.transAxes.inverted().transform(axes.transData.transform((50_000, highest)))[1] < mark[1] - 0.05
    assert "saturated: fell behind the rate" in legend_texts(figure)


def test_models_that_are_saturated_at_the_same_rate_do_not_hide_each_other(tmp_path):
    models = list(style_.MODELS)
    data = ingest(ingest_cell("limit", 10_000, 0.01), ingest_cell("limit", 20_000, 0.1),
                  *(ingest_cell(model, 50_000, saturated=True) for model in models))
    axes = latency_figures(data, tmp_path)["ingest-latency"].axes[1]
    marks = [mark for mark in points(axes, "^") if mark[3] == "none"]
    assert {colour for *_, colour, _ in marks} == {style_.look(model)[0] for model in models}
    assert len({round(y, 3) for _, y, *_ in marks}) == len(models)
    # All of them are above the greatest latency, and no tick of a latency stands beside them.
    lowest = axes.transData.inverted().transform(axes.transAxes.transform((0, min(y for _, y, *_ in marks))))[1]
    assert lowest > 0.1 and max(axes.get_yticks()) < lowest


def test_a_service_that_was_saturated_is_no_cell_that_fell_behind_its_rate(tmp_path):
    cells = ingest_cell("limit", 50_000)
    cells[-1]["saturated"] = True
    figure = latency_figures(ingest(cells), tmp_path)["ingest-latency"]
    assert points(figure.axes[0], "^") == [] and "saturated: fell behind the rate" not in legend_texts(figure)


def test_a_percentile_with_too_few_latencies_is_drawn_hollow(tmp_path):
    data = ingest(ingest_cell("event_loop", 50_000, too_few_for=["p999"]), ingest_cell("event_loop", 200_000))
    figure = latency_figures(data, tmp_path)["ingest-latency"]
    colour, marker, _ = style_.look("event_loop")
    faces = [[face for *_, face in points(axes, marker)] for axes in figure.axes]
    assert faces == [[colour, colour], [colour, colour], ["white", colour]]
    assert "hollow: fewer latencies than the percentile takes" in legend_texts(figure)


@pytest.mark.parametrize("late_s, marked", [(1e-5, []), (2e-4, []), (2.1e-4, [200_000])])
def test_a_point_whose_generator_was_late_by_the_median_of_its_samples_has_a_ring(tmp_path, late_s, marked):
    data = ingest(ingest_cell("fibers", 50_000), ingest_cell("fibers", 200_000, late_s=late_s))
    figure = latency_figures(data, tmp_path)["ingest-latency"]
    for axes in figure.axes:
        assert [x for x, *_ in points(axes, "o", latency_charts.RING)] == marked
    assert any(text.startswith("generator late") for text in legend_texts(figure)) == bool(marked)


@pytest.mark.parametrize("percent, rows", [(99, ["p50", "p99", "p99.9"]), (99.9, ["p50", "p99", "p99.9"]),
                                           (90, ["p50", "p90", "p99", "p99.9"])])
def test_an_slo_is_a_line_in_the_panel_of_its_percentile_alone(tmp_path, percent, rows):
    slo = results_.Slo(percent, 0.3)
    data = ingest(ingest_cell("fibers", 50_000), ingest_cell("fibers", 200_000))
    figure = latency_figures(data, tmp_path, slo)["ingest-latency"]
    assert [axes.get_ylabel() for axes in figure.axes] == [f"latency, {row}, log" for row in rows]
    for axes, row in zip(figure.axes, rows):
        drawn = [list(line.get_ydata()) for line in axes.lines if line.get_color() == style_.SLO_COLOUR]
        assert drawn == ([[0.3, 0.3]] if row == f"p{percent}" else [])
        assert (axes.get_ylim()[1] > 0.3) == (row == f"p{percent}")
    assert f"SLO: p{percent} within 300 ms" in legend_texts(figure)


@pytest.mark.parametrize(
    "context, slo",
    [({"percentile": 99.0, "latency_s": 0.005}, (99, 0.005)), ({"percentile": 99.9, "latency_s": 1}, (99.9, 1)), (None, None),
     ({"percentile": 42.0, "latency_s": 0.005}, None), ({"percentile": 99.0, "latency_s": 0}, None),
     ({"percentile": 99.0}, None)])
def test_a_file_says_what_is_asked_of_latencies(context, slo):
    assert results_.slo({"slo": context}) == (slo and results_.Slo(*slo))
    assert results_.slo({}) is None


@pytest.mark.slow
def test_the_files_own_slo_is_drawn_unless_another_is_given(plot):
    data = ingest(ingest_cell("fibers", 50_000), slo={"percentile": 99.0, "latency_s": 0.005})
    for arguments, text in (((), "SLO: p99 within 5 ms"), (("--slo", "p99.9=20ms"), "SLO: p99.9 within 20 ms")):
        done, folder = plot(data, "plots", *arguments)
        assert done.returncode == 0, done.stderr
        assert [line for line in svg_texts(folder / "ingest-latency.svg") if line.startswith("SLO")] == [text]


@pytest.mark.parametrize("text, percent, seconds", [("p50=800ns", 50, 8e-7), ("p90=250us", 90, 2.5e-4), ("p99=5ms", 99, 5e-3),
                                                    ("p99.9=1.5s", 99.9, 1.5)])
def test_an_slo_is_a_percentile_and_a_duration(text, percent, seconds):
    found = plot_script.parse_slo(text)
    assert found.percent == percent and found.latency_s == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "p99", "p99=", "p99=5", "p99=0ms", "p99=-5ms", "p98=5ms", "p99 = 5ms", "p99=5ms,p50=1ms",
                                  "99=5ms", "p99=5min", "p99x9=5ms", f"p99={'9' * 400}s"])
def test_what_is_no_slo_is_refused(text):
    with pytest.raises(argparse.ArgumentTypeError, match="p99=5ms"):
        plot_script.parse_slo(text)


def test_a_wrong_slo_is_a_wrong_command_line(plot):
    done, folder = plot(ingest(ingest_cell("fibers", 50_000)), "plots", "--slo", "p99=soon")
    assert done.returncode == 2 and "'p99=soon'" in done.stderr and not folder.exists()


def test_a_percentile_takes_as_many_latencies_as_the_method_says():
    needed = {90: 24_576, 95: 57_344, 99: 270_336, 99.9: 2_654_208}
    assert {percent: results_.latencies_needed(percent) for percent in needed} == needed


def test_a_spectrum_is_that_of_its_histogram_and_ends_where_ten_latencies_lie_beyond():
    spectrum = results_.spectrum({"max_s": 1.0, "histogram_ns": HISTOGRAM_NS})
    at = {round(x, 6): seconds for x, seconds, _ in spectrum}
    assert (at[1], at[10], at[100], at[1000]) == pytest.approx((1e-6, 900e-6, 990e-6, 999e-6))
    assert [x for x, _, _ in spectrum] == sorted(x for x, _, _ in spectrum)
    assert 0.94 * 30_000 < spectrum[-1][0] <= 30_000 * (1 + 1e-9)  # of 300,000, a step is 6%


def test_a_spectrum_is_sure_as_far_as_enough_latencies_stand_behind_it():
    sure = [x for x, _, sure in results_.spectrum({"max_s": 1.0, "histogram_ns": HISTOGRAM_NS}) if sure]
    # 300,000 latencies are enough for p99, which takes 270,336, and for little more.
    assert sure[0] == 1 and 100 <= sure[-1] < 112


def test_no_latency_of_a_spectrum_is_longer_than_the_longest():
    assert results_.spectrum({"max_s": 1.5e-6, "histogram_ns": [[2000, 100]]})[-1][1] == 1.5e-6


@pytest.mark.parametrize("below, seconds", [(900, 1e-6), (899, 2e-6)])
def test_a_percentile_is_the_least_latency_that_as_many_do_not_exceed(below, seconds):
    spectrum = results_.spectrum({"histogram_ns": [[1000, below], [2000, 1000 - below]]})
    assert [y for x, y, _ in spectrum if round(x, 6) == 10] == pytest.approx([seconds])


@pytest.mark.parametrize("histogram_ns", [[], [[1000, 9]]])
def test_fewer_than_ten_latencies_have_no_spectrum(histogram_ns):
    assert results_.spectrum({"histogram_ns": histogram_ns}) == []


def test_a_spectrum_is_solid_where_corrected_and_dashed_where_not_and_thin_where_not_sure(tmp_path):
    (axes,) = latency_figures(ingest(ingest_cell("fibers", 50_000)), tmp_path)["ingest-spectrum"].axes
    lines = [(line.get_linestyle(), line.get_linewidth()) for line in lines_of(axes, "fibers")]
    assert [style for style, _ in lines] == ["-", "-", "--", "--"]
    assert lines[0][1] == lines[2][1] > lines[1][1] == lines[3][1]
    solid, thin, dashed, _ = lines_of(axes, "fibers")
    assert solid.get_ydata()[-1] == pytest.approx(990e-6, rel=0.01)
    assert dashed.get_ydata()[-1] == pytest.approx(990e-6 / 4, rel=0.01)
    assert thin.get_xdata()[0] == solid.get_xdata()[-1] and thin.get_xdata()[-1] > 28_000


def test_percentiles_are_written_at_their_places(tmp_path):
    (axes,) = latency_figures(ingest(ingest_cell("fibers", 50_000)), tmp_path)["ingest-spectrum"].axes
    assert axes.get_xscale() == axes.get_yscale() == "log"
    texts = {x: axes.xaxis.get_major_formatter()(x, 0) for x in axes.get_xticks()}
    assert texts == {2: "50%", 10: "90%", 100: "99%", 1000: "99.9%", 10_000: "99.99%"}


def test_each_group_at_a_rate_has_a_spectrum_which_names_those_without_one(tmp_path):
    data = ingest(ingest_cell("fibers", 50_000, late_s=1e-3), ingest_cell("limit", 50_000),
                  ingest_cell("coroutines", 50_000, saturated=True), ingest_cell("fibers", 50_000, connections=10),
                  ingest_cell("fibers", "max"), ingest_cell("limit", 90_000, saturated=True))
    found = latency_figures(data, tmp_path)
    assert set(found) == {"ingest-latency", "ingest-spectrum-1", "ingest-spectrum-2"}
    assert "workers 1 · connections 100 · rate 50 k" in notes(found["ingest-spectrum-1"])
    assert "Saturated, fell behind the rate, and so without latency: coroutines." in notes(found["ingest-spectrum-1"])
    assert "not the latency of the model alone: fibers." in notes(found["ingest-spectrum-1"])
    assert "coroutines" not in legend_texts(found["ingest-spectrum-1"])
    assert "workers 1 · connections 10 · rate 50 k" in notes(found["ingest-spectrum-2"])
    assert "Saturated" not in notes(found["ingest-spectrum-2"]) and "alone" not in notes(found["ingest-spectrum-2"])


def test_a_cell_whose_latency_is_not_in_the_file_is_named(tmp_path):
    data = ingest(ingest_cell("fibers", 50_000), ingest_cell("limit", 50_000))
    del data["benchmarks"][-1]["latency"]
    for figure in latency_figures(data, tmp_path).values():
        assert "no latency of theirs: ingest/limit/workers:1/connections:100/rate:50000." in notes(figure)
        assert "limit" not in legend_texts(figure)


def test_what_was_measured_at_no_rate_has_no_latency_to_draw(tmp_path, invented):
    assert latency_figures(ingest(ingest_cell("fibers", "max")), tmp_path) == {}
    assert latency_figures(invented, tmp_path) == {}


@pytest.mark.slow
def test_throughput_is_drawn_against_connections_at_no_rate_and_memory_at_any(plot):
    data = ingest(*(ingest_cell("fibers", rate, connections=n, memory=n << 20) for rate in (50_000, "max") for n in (10, 100)))
    done, folder = plot(data)
    assert done.returncode == 0, done.stderr
    assert "the load generator is not." in " ".join(svg_texts(folder / "ingest-cpu-time.svg"))
    stems = {"throughput", "cpu-time", "by-connections", "cpu-time-by-connections", "memory", "latency", "spectrum-1",
             "spectrum-2"}
    assert set(os.listdir(folder)) == {f"ingest-{stem}.{kind}" for stem in stems for kind in ("svg", "png")}
    assert "workers 1 · rate max" in svg_texts(folder / "ingest-by-connections.svg")
    assert {"rate 50 k", "rate max", "100 MiB"} <= set(svg_texts(folder / "ingest-memory.svg"))
    at_a_rate = svg_texts(folder / "ingest-cpu-time-by-connections.svg")
    assert "workers 1 · rate 50 k" in at_a_rate and "throughput / bound" not in at_a_rate


@pytest.mark.slow
def test_a_failed_cell_is_named_under_the_latencies_and_not_drawn(plot):
    failed = ingest_cell("limit", 50_000)[:1]
    fail(failed[0], "lost an event")
    done, folder = plot(ingest(ingest_cell("fibers", 50_000), failed))
    assert done.returncode == 0, done.stderr
    for stem in ("latency", "spectrum"):
        texts = svg_texts(folder / f"ingest-{stem}.svg")
        assert "limit" not in texts
        assert "Not drawn: ingest/limit/workers:1/connections:100/rate:50000 (lost an event)." in " ".join(texts)


@pytest.mark.slow
def test_the_same_latencies_give_the_same_bytes(plot):
    data = ingest(ingest_cell("fibers", 50_000, late_s=1), ingest_cell("fibers", 90_000),
                  ingest_cell("limit", 50_000, saturated=True))
    first, second = (plot(data, name, "--slo", "p99=5ms")[1] for name in ("first", "second"))
    for name in ("ingest-latency.svg", "ingest-latency.png", "ingest-spectrum-1.svg", "ingest-spectrum-1.png"):
        assert (first / name).read_bytes() == (second / name).read_bytes(), name


def test_hollow_marks_are_explained_where_there_are_any(tmp_path):
    path = tmp_path / "result.json"
    for converged in (True, False):
        cell = ingest_cell("fibers", "max", connections=100)
        cell[-1]["converged"] = converged
        path.write_text(json.dumps(ingest(ingest_cell("fibers", "max", connections=10), cell)))
        figures = dict(charts.figures(results_.load(path), lambda stream: []))
        assert set(figures) == {"ingest-throughput", "ingest-cpu-time", "ingest-by-connections", "ingest-memory"}
        for figure in figures.values():
            assert ("Hollow marks: the interval" in notes(figure)) == (not converged)


def test_ticks_of_a_log_axis_do_not_stand_on_each_other():
    assert charts.with_room([10, 11, 12, 100, 1000, 1010], log=True) == [10, 100, 1000]
    assert charts.with_room([1, 2, 3, 4], log=False) == [1, 2, 3, 4]
    assert charts.with_room(list(range(16)), log=False) == list(range(0, 16, 2))
