"""scripts/plot.py and the loader beneath it."""

import json
import os
import re
import subprocess
import sys

import pytest

import tally_results
import tally_style

MODELS = ["limit", "sequential", "thread_pool", "process_shard", "tbb_flow_graph", "fibers", "coroutines"]


@pytest.fixture
def plot(root, tmp_path):
    """plot(data or text) runs plot.py on it; gives the finished process and the folder."""

    def run(content, out="plots"):
        source = tmp_path / "result.json"
        source.write_text(content if isinstance(content, str) else json.dumps(content))
        done = subprocess.run([sys.executable, root / "scripts/plot.py", source, "-o", tmp_path / out],
                              capture_output=True, text=True)
        return done, tmp_path / out

    return run


def keep(data, *beginnings):
    """`data` with those entries alone whose names begin so: figures take time to draw."""
    return {**data, "benchmarks": [entry for entry in data["benchmarks"] if entry["run_name"].startswith(beginnings)]}


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


def test_a_whole_result_becomes_every_figure_as_svg_and_png(plot, invented):
    done, folder = plot(invented)
    assert done.returncode == 0, done.stderr
    stems = {"cpu-throughput", "cpu-cpu-time", "lookup-throughput", "lookup-cpu-time", "lookup-by-in-flight", "lookup-memory"}
    stems |= {f"cpu-by-{axis}-{page}" for axis in ("workers", "grain", "batch") for page in (1, 2)}
    assert set(os.listdir(folder)) == {f"{stem}.{kind}" for stem in stems for kind in ("svg", "png")}
    for path in folder.iterdir():
        assert path.read_bytes().startswith(b"\x89PNG\r\n" if path.suffix == ".png" else b"<?xml")


def test_figures_name_models_units_machine_suite_and_failed_cells(plot, invented):
    done, folder = plot(keep(invented, "cpu/"))
    assert done.returncode == 0, done.stderr
    texts = svg_texts(folder / "cpu-throughput.svg")
    assert set(MODELS) <= set(texts)
    assert {"workers 2 · grain 1 µs · batch 1", "events/s", "events/s, log", "no figure"} <= set(texts)
    whole = "\n".join(texts)
    assert "result 00112233aabbccdd" in whole and "Note: one CPU is shared" in whole
    assert "Invented CPU @ 2.00GHz, 2 CPUs, Linux 6.1.0 ·" in whole and "Tally 0.1.0 (0123456789ab)" in whole and "2020-01-02" in whole
    assert "Not drawn: cpu/fibers/workers:2/grain_ns:1000/batch:1 (wrong count" in whole
    assert {"CPU time per event", "2.5 ns"} & set(svg_texts(folder / "cpu-cpu-time.svg"))


def test_the_same_file_gives_the_same_bytes(plot, invented):
    part = keep(invented, "lookup/")
    first, second = plot(part, "first"), plot(part, "second")
    assert first[0].returncode == second[0].returncode == 0
    names = sorted(os.listdir(first[1]))
    assert names == sorted(os.listdir(second[1])) and names
    for name in names:
        assert (first[1] / name).read_bytes() == (second[1] / name).read_bytes(), name


def test_a_model_keeps_its_colour_in_every_figure(plot, invented):
    _, folder = plot(keep(invented, "lookup/"))
    for path in folder.glob("*.svg"):
        text = path.read_text().lower()
        for model in MODELS:
            assert tally_style.MODELS[model][0].lower() in text, (path.name, model)


def test_an_unknown_model_gets_a_look_of_its_own_and_is_drawn(plot, invented):
    text = json.dumps(keep(invented, "lookup/")).replace("/fibers/", "/actors/")
    done, folder = plot(text)
    assert done.returncode == 0, done.stderr
    assert "actors" in svg_texts(folder / "lookup-throughput.svg")
    assert tally_style.look("actors") == tally_style.look("actors")
    assert tally_style.look("actors") not in tally_style.MODELS.values()


def test_one_cell_alone_is_drawn(plot, invented):
    done, folder = plot(keep(invented, "cpu/sequential/workers:1/grain_ns:0/batch:1/", "cpu/sequential/workers:1/grain_ns:0/batch:1"))
    assert done.returncode == 0, done.stderr
    assert (folder / "cpu-throughput.svg").exists()


def test_aggregates_alone_are_drawn(plot, invented):
    part = keep(invented, "lookup/")
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
    (cell,) = tally_results.load(path).cells
    interval = cell.interval(tally_results.throughput)
    assert (interval.median, interval.low, interval.high) == tuple(
        summary[f"items_per_second{end}"] for end in ("", "_low", "_high"))
    assert cell.interval(tally_results.bound).median == summary["analytic_bound_items_per_second"]
    assert not cell.converged


def test_the_reason_of_a_failed_cell_is_that_of_the_sample_that_failed(tmp_path, invented):
    name = "lookup/fibers/workers:1/wait_us:1000/in_flight:10"
    samples = [entry for entry in entries(invented, name) if entry["run_type"] == "iteration"]
    for entry in samples:
        fail(entry, "withheld, since another sample of this cell failed: killed by signal 9")
    samples[-1]["error_message"] = "killed by signal 9"
    path = tmp_path / "result.json"
    path.write_text(json.dumps(invented))
    assert next(cell for cell in tally_results.load(path).cells if cell.name == name).failure == "killed by signal 9"


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
    assert done.returncode == 1
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


def test_a_missing_file_and_a_missing_argument_are_told_apart(root, tmp_path):
    script = root / "scripts/plot.py"
    absent = subprocess.run([sys.executable, script, tmp_path / "none.json", "-o", tmp_path], capture_output=True, text=True)
    assert absent.returncode == 1 and "none.json: No such file" in absent.stderr
    assert subprocess.run([sys.executable, script, tmp_path / "none.json"], capture_output=True).returncode == 2


def test_what_cannot_be_written_leaves_what_was_there(plot, invented, tmp_path):
    (tmp_path / "taken").write_text("mine")
    done, _ = plot(keep(invented, "cpu/limit/"), "taken")
    assert done.returncode == 1 and "cannot write" in done.stderr and done.stderr.count("\n") == 1
    assert (tmp_path / "taken").read_text() == "mine"


def test_one_unverified_sample_takes_the_figures_of_its_whole_cell(tmp_path, invented):
    name = "lookup/fibers/workers:1/wait_us:1000/in_flight:10"
    entries(invented, name)[3]["verified"] = False
    path = tmp_path / "result.json"
    path.write_text(json.dumps(invented))
    cell = next(cell for cell in tally_results.load(path).cells if cell.name == name)
    assert cell.failure == "not verified"
    assert cell.interval(tally_results.throughput) is None


def test_sequential_belongs_to_every_group_that_shares_its_other_parameters(tmp_path, invented):
    path = tmp_path / "result.json"
    path.write_text(json.dumps(invented))
    results = tally_results.load(path)
    for stream, count in (("cpu", 8), ("lookup", 4)):
        groups = results.groups(stream)
        assert len(groups) == count
        assert all(sum(cell.model == "sequential" for cell in cells) == 1 for _, cells in groups)


@pytest.mark.parametrize(
    "n, low, high",
    # Pairs of order statistics from the tables of the sign test (Conover, Practical Nonparametric Statistics, A3).
    [(1, 1, 1), (5, 1, 5), (6, 1, 6), (8, 1, 8), (9, 2, 8), (10, 2, 9), (15, 4, 12), (20, 6, 15), (30, 10, 21), (2000, 956, 1045)],
)
def test_the_interval_of_the_median_is_the_pair_of_order_statistics(n, low, high):
    interval = tally_results.median_interval(range(n, 0, -1))
    assert (interval.median, interval.low, interval.high, interval.n) == ((n + 1) / 2, low, high, n)


def test_no_values_have_no_median():
    with pytest.raises(ValueError):
        tally_results.median_interval([])


def test_cpu_time_per_event_follows_from_what_a_sample_carries():
    entry = {"cpu_s": 0.5, "items_per_second": 2e6, "real_time": 250.0, "time_unit": "ms"}
    assert tally_results.cpu_per_event(entry) == pytest.approx(1e-6)
    assert tally_results.cpu_per_event({**entry, "items_per_second": 0}) is None
    assert tally_results.cpu_per_event({"items_per_second": 2e6, "real_time": 250.0}) is None


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
    stream, model, got = tally_results.parse_name(name)
    assert (stream, model) == tuple(name.split("/")[:2])
    assert got == pytest.approx(params)


@pytest.mark.parametrize(
    "value, text",
    [(0, "0"), (1, "1"), (999.9, "1 k"), (1.32e8, "132 M"), (999_700, "1 M"), (4.7e-6, "4.7 µ"), (1e-9, "1 n"), (1e-3, "1 m"),
     (1e3, "1 k"), (2.5e-10, "250 p")],
)
def test_numbers_are_written_with_three_digits_and_a_prefix(value, text):
    assert tally_style.engineering(value) == text


def test_bytes_are_written_with_binary_prefixes():
    assert [tally_style.bytes_text(value) for value in (0, 512, 1536, 3 << 20, 1 << 30)] == ["0 B", "512 B", "1.5 KiB", "3 MiB", "1 GiB"]
