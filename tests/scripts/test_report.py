"""scripts/report.py: what a report says. How its page works: test_report_in_browser.py."""

import contextlib
import functools
import io
import itertools
import json
import lzma
import os
import random
import re
import subprocess
import sys
import types

import pytest

import report
from tally.report import again
from tally.report import content as content_
from tally.report import ranking
from tally.report import svg as svg_
from tally import results
from tally import style
from result_files import signed
from test_plot import fail, ingest, ingest_cell
from test_scripts import bench, machine, one_cell  # noqa: F401 (fixtures)

MODELS = ["limit", "thread_pool", "process_shard", "tbb_flow_graph", "fibers", "coroutines", "event_loop"]
MOST_BYTES = 5_000_000  # of a page with 2,000 cells


def written(folder, *contents, markdown=False, out=None):
    """Runs scripts/report.py on files with these contents, in this process, which is faster: Matplotlib is loaded once. Returns
    the exit status and the output, as of a finished process, and the report's path."""
    paths = []
    for number, content in enumerate(contents, 1):
        path = folder / f"{number}.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
        paths.append(path)
    out = out or folder / ("report.md" if markdown else "report.html")
    with contextlib.redirect_stdout(io.StringIO()) as stdout, contextlib.redirect_stderr(io.StringIO()) as stderr:
        status = report.main([*map(str, paths), "-o", str(out), *(["--markdown"] if markdown else [])])
    return types.SimpleNamespace(returncode=status, stdout=stdout.getvalue(), stderr=stderr.getvalue()), out


@pytest.fixture
def write(tmp_path):
    """write(contents of files, more arguments) writes a report of them; returns what written() does."""
    return functools.partial(written, tmp_path)


def command(root, *arguments):
    """Runs scripts/report.py as a process of its own."""
    return subprocess.run([sys.executable, root / "scripts/report.py", *arguments], capture_output=True, text=True, timeout=300)


def page_of(write_result):
    done, path = write_result
    assert done.returncode == 0, done.stderr
    return path.read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def reference_page(reference, tmp_path_factory):
    """The report of the reference result."""
    return page_of(written(tmp_path_factory.mktemp("reference"), reference))


def words(text):
    """The text of a page, or of Markdown, without its marks."""
    return " ".join(re.sub(r"<[^>]*>|\\", " ", re.sub(r"(?s)<(style|script)>.*?</\1>", "", text)).split())


def loaded(data, tmp_path):
    path = tmp_path / "result.json"
    path.write_text(data if isinstance(data, str) else json.dumps(data), encoding="utf-8")
    return report.read(str(path))


def alert_of(page):
    found = re.search(r'(?s)<div class="alert" role="alert">(.*?)</div>', page)
    return words(found[1]) if found else ""


def grid(reference, workers, grains_ns, waits_us, in_flights, rounds=10, models=tuple(MODELS)):
    """A result of the lookup stream with a group for each combination, in which every third group has no clear first."""
    data = json.loads(reference)
    whole = [b for b in data["benchmarks"] if b["run_name"].startswith("lookup/fibers")]
    sample = next(b for b in whole if b["run_type"] == "iteration")
    median = next(b for b in whole if b.get("aggregate_name") == "median")
    median = {key: value for key, value in median.items() if not key.startswith("ratio_")}
    chance, entries, places = random.Random(7), [], [itertools.count() for _ in range(rounds)]
    for number, (worker, grain, wait, many) in enumerate(itertools.product(workers, grains_ns, waits_us, in_flights)):
        most = min(worker / (max(grain, 4000) * 1e-9), many / (wait * 1e-6 + grain * 1e-9), 2e5)
        for place, model in enumerate(models):
            name = f"lookup/{model}/workers:{worker}/wait_us:{wait}/in_flight:{many}" + (f"/grain_ns:{grain}" if grain else "")
            own = {"name": name, "run_name": name, "model": model, "workers": worker, "grain_ns": grain, "wait_ns": 1000 * wait,
                   "in_flight": many}
            # The first model of a group is another one each time, and leads by 5% or by nothing.
            behind = 0 if model == "limit" else 1 + (place + number) % 6
            lead = 0.0 if number % 3 == 0 and behind < 3 else 0.05 * behind
            rates = [most * (1 - lead) * chance.gauss(1, 0.01) for _ in range(rounds)]
            for round_, rate in enumerate(rates):
                order = next(places[round_])
                entries.append({**sample, **own, "round": round_, "repetition_index": round_, "order": order, "workers_ran": worker,
                                "started_s": 1e4 * round_ + order, "items_per_second": rate, "bound_items_per_second": most,
                                "efficiency": rate / most, "peak_rss_bytes": int(4e6 + 400 * many * (place + 1)),
                                "cpu_s": 4e-6 * sample["events_counted"] * chance.gauss(1 + place / 10, 0.01)})
            found = results.median_interval(rates)
            entries.append({**median, **own, "name": f"{name}_median", "items_per_second": found.median, "items_per_second_low": found.low,
                            "items_per_second_high": found.high, "converged": found.relative_half_width <= 0.03,
                            "analytic_bound_items_per_second": most, "limit_items_per_second": most, "efficiency": found.median / most,
                            "limited_by": ("wait", "CPU", "none of what was measured")[number % 3]})
    data["benchmarks"] = entries
    data["context"].pop("noise_floor")
    data["context"]["command_line"] = ["tally", "run", "--stream", "lookup", "--workers", ",".join(map(str, workers)), "--grain",
                                       ",".join(f"{grain}ns" for grain in grains_ns), "--wait", ",".join(f"{wait}us" for wait in waits_us),
                                       "--in-flight", ",".join(map(str, in_flights)), "--out", "map.json"]
    return signed(data)


@pytest.fixture(scope="session")
def small_grid(reference):
    return grid(reference, (1, 2), (0, 1000, 100_000), (100, 1000), (10, 1000))


@pytest.fixture(scope="session")
def small_grid_page(small_grid, tmp_path_factory):
    return page_of(written(tmp_path_factory.mktemp("grid"), small_grid))


# ---- what is said ----


def table_of_run(path):
    """The ranks and models of the groups in a table that `tally run` printed."""
    groups = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if re.match(r"rank | *# +model", line):
            groups.append([])
        row = re.match(r" *(\d+=?) +([a-z_]+) ", line)
        if row:
            groups[-1].append((row[1], row[2]))
    return groups


@pytest.mark.parametrize("name", ["reference/default", "targets/default", "targets/memory", "targets/lookup-1000", "targets/lookup-9000"])
def test_ranks_are_those_of_the_table_that_tally_run_printed(root, name):
    found = ranking.groups(results.load(root / f"results/{name}.json.xz"))
    assert [[(row.rank_text, row.cell.model) for row in group.ranked()] for group in found] == table_of_run(root / f"results/{name}.txt")


def test_a_report_opens_with_who_leads_and_by_how_much(reference_page):
    text = words(reference_page)
    answer = text[text.index("Answer", text.index("How it was measured")) :]
    assert "cpu, workers 2 · grain 1 µs · batch 256: thread_pool leads, 1.007 [1.004, 1.159] times fibers" in answer
    assert "process_shard, tbb_flow_graph and fibers share the first rank, not separated" in answer
    assert answer.index("share the first rank") < answer.index("The machine: its noise floor was ±1.7%, within the ±3.0% asked for")
    assert answer.index("noise floor was") < answer.index("Throughput: cpu stream") < answer.index("METG(50%)")


@pytest.mark.slow
def test_of_many_groups_it_is_said_how_often_who_leads(write, small_grid):
    text = words(page_of(write(small_grid, markdown=True)))
    assert "lookup: in 16 of 24 groups one model leads alone (" in text and "in 8 the first rank is shared (" in text


def test_every_row_says_what_its_cell_is_called_and_how_to_measure_it_again(reference_page, program):
    cells = reference_page[reference_page.index('id="cells-1"') :]
    name = "lookup/fibers/workers:1/wait_us:1000/in_flight:10"
    command = re.search(rf"<samp>{name}</samp><code>build/bench/tally run (.*?)</code>", cells)[1]
    assert "--out" not in command
    done = subprocess.run(["bash", "-c", f'"{program}" run {command} --benchmark_list_tests'], capture_output=True, text=True, check=True)
    # And what its ratio and its bound are taken from.
    assert sorted(done.stdout.split()) == sorted([name, name.replace("fibers", "limit"), "lookup/sequential/workers:1/wait_us:1000/in_flight:1"])
    rows = [row for row in re.findall(r"<tr.*?</tr>", cells[: cells.index("How it was measured")]) if "scope=col" not in row]
    assert len(rows) == 28 and all("<samp>" in row and "<code>" in row for row in rows)


def test_a_cell_of_a_map_is_measured_again_by_what_it_is_called(tmp_path):
    names = ["lookup/fibers/workers:1/wait_us:100/in_flight:10/grain_ns:1500", "lookup/limit/workers:1/wait_us:100/in_flight:10/grain_ns:1500"]
    assert again.run_options({"command_line": ["tally", "map", "--out", "m.json"]}, names) == [
        "--stream", "lookup", "--model", "fibers,limit", "--workers", "1", "--wait", "100us", "--in-flight", "10", "--grain", "1500ns"]
    assert again.pattern(names) == "^lookup/(fibers|limit)/workers:1/wait_us:100/in_flight:10/grain_ns:1500$"


def test_what_the_machine_was_fit_for_is_said_as_the_file_has_it(write, reference):
    data = json.loads(reference)
    data["context"].update(steal_share=0.25, load_avg_after=[1.5, 1, 1], other_processes=[{"pid": 7, "name": "backup", "cpus": 0.5}],
                           unfit="this machine's noise floor is ±9.0%, wider than the ±3.0% asked for.")
    data["context"]["noise_floor"].update(read_bytes_per_s=2**30, read_relative_half_width=0.02)
    page = page_of(write(signed(data)))
    for said in ("25.0%", "1.50, 1.00, 1.00", "backup 50% of a CPU", "1 GiB/s ±2.0%", "The machine was not fit for the interval asked for"):
        assert said in words(page), said
    assert "NOISY: this machine's noise floor is ±9.0%" in alert_of(page)


@pytest.mark.slow
def test_a_file_without_a_noise_floor_says_nothing_of_the_machine(small_grid_page):
    assert "Whether the machine was fit is not known" in words(small_grid_page)


# ---- what is wrong ----


def test_a_sound_file_raises_no_alarm(reference_page):
    assert 'role="alert"' not in reference_page


def test_a_changed_file_is_shown_as_changed_before_anything_else(write, reference):
    page = page_of(write(reference.replace('"interrupted": false', '"interrupted": true', 1)))
    assert "CHANGED: the file was changed since it was written" in alert_of(page) and "the campaign was interrupted" in alert_of(page)
    assert page.index('role="alert"') < page.index('class="controls"') < page.index("<h2 id=")


@pytest.mark.slow
def test_failed_and_unverified_cells_are_named_with_their_reasons_and_have_no_figure(write, invented):
    name = "lookup/fibers/workers:1/wait_us:1000/in_flight:10"
    for entry in invented["benchmarks"]:
        if entry["run_name"] == name:
            entry["verified"] = False
    page = page_of(write(invented))
    alert = alert_of(page)
    assert "FAILED: 2 of " in alert and "1 of them since they are not verified" in alert
    assert f"{name} (not verified)" in alert and "wrong count: window 0 key 17" in alert
    row = next(row for row in re.findall(r"<tr.*?</tr>", page[page.index('id="cells-1"') :]) if f"<samp>{name}</samp>" in row)
    assert "no figure" in row and "not verified" in row and "/s" not in words(row.split("<button")[0])


def test_a_file_all_of_whose_cells_failed_is_shown_as_that(write, invented):
    invented["benchmarks"] = [b for b in invented["benchmarks"] if b["run_name"].startswith("lookup/limit/") and b["run_type"] == "iteration"]
    for entry in invented["benchmarks"]:
        fail(entry, "lost an event")
    page = page_of(write(invented))
    assert "FAILED: 4 of 4 cells have no figure" in alert_of(page) and "<svg role" not in page


@pytest.mark.slow
def test_files_of_several_machines_are_told_apart_and_never_put_together(write, reference):
    other = json.loads(reference)
    other["context"]["cpu_model"] = "Another CPU"
    page = page_of(write(reference, signed(other)))
    assert "These files are not of one machine" in alert_of(page) and "cpu_model:" in alert_of(page)
    sections = re.findall(r'<h2 id="file-\d">(\d)\.json', page)
    assert sections == ["1", "2"] and page.count("cpu: 14 cells in 2 groups") == 2
    assert 'role="alert"' not in page_of(write(reference, reference))


@pytest.mark.parametrize("content, says", [
    ("", "not JSON"), ("[1, 2]", "not a result of `tally run`: no context"), ('{"context": {}, "benchmarks": []}', "holds no sample"),
    ('{"context": {}, "benchmarks": [{"name": "BM_memcpy/8"}]}', "no cell is called 'BM_memcpy/8'")])
def test_what_is_no_result_is_refused_in_one_line(write, reference, content, says):
    done, path = write(reference, content)
    assert done.returncode == 2 and done.stdout == "" and not path.exists()
    assert done.stderr.startswith("report: ") and done.stderr.count("\n") == 1 and says in done.stderr and "2.json" in done.stderr


@pytest.mark.parametrize("key, value", [("noise_floor", 5), ("notes", 7), ("factors", [1]), ("load_avg", {"a": 1}), ("slo", "p99"), ("date", None),
                                        ("cpus_usable", "all"), ("command_line", 5), ("memory_bytes", "much"), ("build", "good")])
def test_a_context_of_another_shape_is_shown_or_refused_and_no_traceback(write, reference, key, value):
    data = json.loads(reference)
    data["context"][key] = value
    done, _ = write(data)
    assert done.returncode in (0, 2) and "Traceback" not in done.stderr and done.stderr.count("\n") == (done.returncode == 2), done.stderr


@pytest.mark.parametrize("key, value", [("round", None), ("events_counted", "many"), ("cpu_s", []), ("items_per_second", 1e400)])
def test_samples_of_another_shape_are_shown_or_refused_and_no_traceback(write, reference, key, value):
    data = json.loads(reference)
    for entry in data["benchmarks"]:
        if value is None:
            entry.pop(key, None)
        else:
            entry[key] = value
    done, _ = write(data)
    assert done.returncode in (0, 2) and "Traceback" not in done.stderr and done.stderr.count("\n") == (done.returncode == 2), done.stderr


@pytest.mark.slow
def test_a_missing_file_and_a_missing_argument_are_told_in_a_line(root, tmp_path):
    absent = command(root, tmp_path / "none.json", "-o", tmp_path / "r.html")
    assert absent.returncode == 2 and "none.json: No such file" in absent.stderr and absent.stderr.count("\n") == 1
    assert command(root, tmp_path / "none.json").returncode == 2


@pytest.mark.slow
def test_what_cannot_be_written_leaves_what_was_there(write, reference, tmp_path):
    done, _ = write(reference, out=tmp_path / "nowhere/report.html")
    assert done.returncode == 1 and "cannot write" in done.stderr and done.stderr.count("\n") == 1
    (tmp_path / "folder").mkdir()
    done, _ = write(reference, out=tmp_path / "folder")
    assert done.returncode == 1 and sorted(os.listdir(tmp_path)) == ["1.json", "folder"], "nothing is left behind"


@pytest.mark.slow
def test_a_file_compressed_by_xz_is_read(root, reference, tmp_path):
    (tmp_path / "result.json.xz").write_bytes(lzma.compress(reference.encode()))
    done = command(root, tmp_path / "result.json.xz", "-o", tmp_path / "r.html")
    assert done.returncode == 0 and "result.json.xz · result 4cdfea88e1fffacd" in (tmp_path / "r.html").read_text()


# ---- latency ----


def rated(**context):
    """A result with two models at two rates: one of them late, one saturated, one with too few latencies."""
    return ingest(ingest_cell("event_loop", 50_000, 1e-3), ingest_cell("event_loop", 200_000, 2e-3, too_few_for=["p99", "p999"]),
                  ingest_cell("fibers", 50_000, 4e-3, late_s=1e-3), ingest_cell("fibers", 200_000, saturated=True), **context)


def test_at_a_rate_throughput_ranks_nobody_and_percentiles_are_what_the_file_allows(tmp_path):
    file = loaded(rated(), tmp_path)
    groups = ranking.groups(file.results)
    assert all(not group.ranked() for group in groups)
    said = [content_.verdict(file, group) for group in groups]
    assert "ranks nobody; p99 of latency, which has no interval: event_loop 1 ms, fibers 4 ms; not the latency" in said[0]
    assert "since the load generator was late: fibers." in said[0]
    assert "event_loop 2 ms!; saturated, and without latency: fibers." in said[1]
    marks = {(row.cell.model, group.params["rate"]): [mark for mark, _ in row.marks] for group in groups for row in group.rows}
    assert marks == {("event_loop", 50_000): [], ("event_loop", 200_000): [], ("fibers", 50_000): ["late"], ("fibers", 200_000): ["SAT"]}


def test_latency_is_drawn_with_its_reservations_and_the_line_of_the_slo(write):
    page = page_of(write(rated(slo={"percentile": 99.0, "latency_s": 0.005, "searches": []})))
    plot = re.search(r"<figcaption>p99</figcaption>(.*?)</figure>", page)[1]
    assert "class=slo" in plot and plot.count("class=h ") == 1 and plot.count("class=late") == 1 and plot.count("class=b ") == 1
    assert "fibers 4 ms at 50 k, saturated at 200 k" in plot
    others = re.findall(r"<figcaption>p(?:50|99\.9)</figcaption>(.*?)</figure>", page)
    assert len(others) == 2 and not any("class=slo" in other for other in others)
    assert "Latency by percentile: ingest stream" in page


def searched(**answers):
    """A result of a search for rates: model=(rate, generator_limited), or model=None where there was none."""
    searches, cells = [], []
    for model, answer in answers.items():
        rate, limited = answer or ("max", False)
        search = {"model": model, "cell": f"ingest/{model}/workers:1/connections:100/rate:{rate}", "generator_limited": limited,
                  "probes": [{"rate_per_s": 1000.0, "events": 1, "longer": False, "kept": False, "saturated": True, "generator_late": False}]}
        if answer:
            search["rate_per_s"] = float(rate)
            entries = ingest_cell(model, rate)
            samples = [{**entries[0], "round": i, "repetition_index": i, "items_per_second": float(rate)} for i in range(8)]
            cells.append([*samples, {**entries[-1], "items_per_second": float(rate)}])
        searches.append(search)
    return ingest(*cells, slo={"percentile": 99.0, "latency_s": 0.005, "searches": searches})


def test_rates_that_were_searched_for_are_compared_and_known_to_five_percent_each(tmp_path):
    file = loaded(searched(event_loop=(200_000, False), fibers=(190_000, False), coroutines=(100_000, False), sequential=None), tmp_path)
    (group,) = ranking.groups(file.results)
    assert [(row.rank_text, row.cell.model) for row in group.ranked()] == [("1", "event_loop"), ("1=", "fibers"), ("3", "coroutines")]
    assert group.without_rate == [("sequential", "at no rate: at 1,000 events/s it fell behind")]
    assert "highest rate with p99 within 5 ms" in content_.group_text(group)


def test_a_model_that_may_keep_more_than_the_generator_sent_ranks_below_nobody(tmp_path):
    file = loaded(searched(event_loop=(200_000, False), fibers=(100_000, True)), tmp_path)
    (group,) = ranking.groups(file.results)
    assert [row.rank_text for row in group.ranked()] == ["1", "1="] and group.rows[1].marks[0][0] == ">="
    assert "not separated: event_loop is 2.00 [2.00, 2.00] times fibers, but fibers may keep more than the load generator could send" in \
        content_.verdict(file, group)


def test_too_few_rounds_have_no_interval_and_separate_nobody(tmp_path):
    file = loaded(ingest(ingest_cell("fibers", "max"), [{**entry, "items_per_second": 1e5} for entry in ingest_cell("event_loop", "max")]), tmp_path)
    (group,) = ranking.groups(file.results)
    assert [row.rank_text for row in group.ranked()] == ["1", "1="]
    assert "share the first rank, not separated: event_loop is 2.00 (n=3) times fibers" in content_.verdict(file, group)


def test_columns_that_say_nothing_are_left_out(tmp_path):
    file = loaded(rated(), tmp_path)
    table = content_.cells(file, "ingest", ranking.groups(file.results))
    titles = [column.title for column in table.columns]
    assert titles[:4] == ["model", "workers", "connections", "rate"] and titles[-1] == "run again" and "p99.9" in titles
    assert not {"rank", "ratio to sequential [95%]"} & set(titles)
    assert all(len(row.values) == len(titles) - 1 for row in table.rows)


@pytest.mark.slow
def test_an_slo_that_no_model_kept_is_told_and_no_traceback(write, invented):
    invented["context"]["slo"] = {"percentile": 99.0, "latency_s": 0.005, "searches": [{"model": "fibers", "cell": "x"}]}
    done, _ = write(invented)
    assert done.returncode in (0, 2) and "Traceback" not in done.stderr


# ---- plots ----


@pytest.mark.slow
def test_a_map_has_the_winner_of_each_grain_and_wait_hatched_where_it_is_not_separated(small_grid_page):
    maps = re.findall(r"<figure data-stream=\"lookup\" data-map.*?</figure>", small_grid_page)
    assert len(maps) == 4, "one for each number of workers and in flight"
    cells = [re.findall(r'<g class="cell w-(\w+)( tie)?">.*?who\'[^>]*>([^<]+)<', one) for one in maps]
    assert all(len(one) == 6 for one in cells) and sum(bool(tie) for one in cells for _, tie, _ in one) == 8
    assert all(winner == name for one in cells for winner, _, name in one)
    assert ">limit<" not in "".join(maps)


@pytest.mark.slow
def test_a_lead_that_the_waits_drawn_may_have_made_separates_nobody(write, small_grid, small_grid_page, tmp_path):
    lucky = json.loads(small_grid)
    for entry in lucky["benchmarks"]:
        if entry.get("aggregate_name") == "median":
            entry["luck_of_waits"] = 1000
    lucky = signed(lucky)
    before, after = (ranking.groups(loaded(record, tmp_path).results) for record in (small_grid, lucky))
    of_one = [(one, other) for one, other in zip(before, after, strict=True) if one.separated]
    assert of_one and not any(other.separated or other.rows[1].rank_text != "1=" for _, other in of_one)
    assert "but the waits drawn may have made 100000.0% of that" in content_.verdict(loaded(lucky, tmp_path), of_one[0][1])
    assert small_grid_page.count(" tie\"") < page_of(write(lucky)).count(" tie\"")


def test_without_two_grains_and_two_waits_there_is_no_map(reference_page):
    assert "data-map=" not in reference_page


def test_each_plot_has_a_title_and_says_its_figures_to_who_does_not_see_it(reference_page):
    plots = re.findall(r"<svg role=\"img\".*?</svg>", reference_page)
    assert len(plots) == 17
    for plot in plots:
        ids = re.match(r'<svg role="img" aria-labelledby="(t\d+) (d\d+)"', plot)
        assert f'<title id="{ids[1]}">' in plot and re.search(rf'<desc id="{ids[2]}">.*\d', plot)
    names = re.findall(r' id="?([^" >]+)', reference_page)
    assert len(set(names)) == len(names), "no name is given twice"


def test_throughput_at_a_plot_is_never_surer_than_the_noise_floor(tmp_path, reference):
    from tally.report import plots as plots_
    from tally import charts

    file = loaded(reference, tmp_path)
    cell = next(cell for cell in file.results.cells if cell.name == "lookup/process_shard/workers:1/wait_us:1000/in_flight:10")
    drawn = plots_.interval(file.results, cell, charts.THROUGHPUT)
    assert drawn.low <= drawn.median * (1 - file.context["noise_floor"]["relative_half_width"]) < cell.interval(results.throughput).low


@pytest.mark.parametrize("values, ticks", [([3, 9.6], [0, 2.5, 5, 7.5, 10]), ([0.5, 0.97], [0, 0.25, 0.5, 0.75, 1]), ([1, 1000], [1, 10, 100, 1000])])
def test_ticks_are_nice_numbers(values, ticks):
    assert svg_.Axis(values, 0, 100).ticks() == pytest.approx(ticks)


def test_text_on_the_colour_of_every_model_can_be_read():
    def contrast(one, other):
        light, dark = sorted((svg_.luminance(one), svg_.luminance(other)), reverse=True)
        return (light + 0.05) / (dark + 0.05)

    for model in style.MODELS:
        colour = style.look(model)[0]
        assert contrast(colour, svg_.text_on(colour)) >= 4.5, model


# ---- the page ----


@pytest.mark.slow
def test_the_same_file_gives_the_same_bytes(write, root, reference, tmp_path):
    page = page_of(write(reference))
    # In a process of its own, sets have another order.
    assert command(root, tmp_path / "1.json", "-o", tmp_path / "again.html").returncode == 0
    assert (tmp_path / "again.html").read_text(encoding="utf-8") == page


def test_a_page_names_nothing_that_is_elsewhere(reference_page):
    assert not re.search(r"https?:|//[a-z]|@import|src=", re.sub(r"(?m)^\s*//.*$", "", reference_page))
    assert set(re.findall(r"url\(([^)]{1,5})", reference_page)) <= {"#full", "#holl", "#behi", "#ring", "#hatc"}


def test_what_a_file_says_is_text_and_never_a_part_of_the_page(write, reference):
    bad = "</script><b onclick='x'>\\u0026"
    data = reference.replace("/fibers/", "/fib<b>ers&/").replace('"notes": []', f'"notes": ["{bad}", "<!--FILES-->/*SCRIPT*/"]')
    page = page_of(write(data))
    assert "<b onclick" not in page and "fib<b>" not in page and page.count("</script>") == 1
    assert "fib&lt;b&gt;ers&amp;" in page and "Note: &lt;!--FILES--&gt;/*SCRIPT*/" in page


@pytest.mark.slow
def test_a_page_with_two_thousand_cells_is_small_enough_to_be_attached(write, reference):
    data = grid(reference, (1, 2), (0, 1000, 10_000, 100_000), (100, 1000, 10_000, 100_000), (1, 3, 10, 30, 100, 300, 1000, 3000, 10_000),
                rounds=6)  # the fewest of which a median has an interval
    page = page_of(write(data))
    assert "lookup: 2,016 cells in 288 groups" in page and len(page.encode()) <= MOST_BYTES


def test_markdown_has_the_same_words_and_tables(write, reference):
    text = page_of(write(reference, markdown=True))
    assert text.startswith("# Tally\n\n## 1.json · result 4cdfea88e1fffacd")
    assert "thread\\_pool leads, 1.007 \\[1.004, 1.159\\] times fibers" in text
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert sum("`cpu/thread_pool/workers:2/grain_ns:1000/batch:256`" in row for row in rows) >= 3
    for table in re.findall(r"(?:^\|.*\n)+", text, re.M):
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}) == 1, table
    assert "- Throughput: cpu stream, 2 plots" in text and "<svg" not in text


def test_markdown_says_what_is_wrong_first(write, reference):
    text = page_of(write(reference.replace('"interrupted": false', '"interrupted": true', 1), markdown=True))
    assert text.index("> - CHANGED") < text.index("## 1.json")


# ---- scripts/bench ----


@pytest.mark.slow
def test_a_report_that_cannot_be_made_is_a_failed_drawing(bench, one_cell):  # noqa: F811
    done, local = bench(f'cp {one_cell} "$3"; rm scripts/tally/report/report.css')
    assert done.returncode == 3 and list(local.glob("*/cpu-throughput.svg")) and "report:" not in done.stderr.replace("report: cannot", "")
