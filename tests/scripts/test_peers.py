"""The servers of scripts/peers, with real clients, and the campaign ingest_targets on them and on files made up here."""

import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
import types

import pytest

from campaigns import ingest_targets
from tally import judging
from tally import results

PEERS = [pytest.param("twisted", marks=pytest.mark.slow), "asyncio"]  # what is imported for twisted takes longer than its tests


class Server:
    """A running server of which a client can tell when it has read everything: it then ends the connection."""

    def __init__(self, command):
        self.process = subprocess.Popen([*map(str, command)], stdout=subprocess.PIPE, text=True)
        said = self.process.stdout.readline()
        assert said.startswith("listening on 127.0.0.1:"), said
        self.port = int(said.rsplit(":", 1)[1])

    def connect(self):
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=30)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def send(self, *pieces, apart_s=0):
        with self.connect() as connection:
            for piece in pieces:
                connection.sendall(piece)
                time.sleep(apart_s)
            connection.shutdown(socket.SHUT_WR)
            assert connection.recv(100) == b""

    def stop(self):
        """What it prints at SIGTERM, and its exit status."""
        self.process.send_signal(signal.SIGTERM)
        said, _ = self.process.communicate(timeout=60)
        return said, self.process.returncode


@pytest.fixture
def start(root):
    servers = []

    def run(*command):
        servers.append(Server(command))
        return servers[-1]

    run.peer = lambda name: run(sys.executable, root / f"scripts/peers/{name}.py", "--port", 0)
    yield run
    for server in servers:
        server.process.kill()
        server.process.communicate()


@pytest.mark.parametrize("peer", PEERS)
def test_a_line_that_comes_byte_by_byte_is_one_event(start, peer):
    server = start.peer(f"{peer}_server")
    # Apart, so that most bytes are read one by one; what is counted is the same if some are not.
    server.send(*(bytes([byte]) for byte in b"a\nbb\r\na\r\n1.5\tkey\n2\tkey\r\n"), apart_s=0.002)
    assert server.stop() == ("0\t5\t3\n", 0)


@pytest.mark.parametrize("peer", PEERS)
def test_the_second_field_is_the_key_of_a_line_with_tabs(start, peer):
    server = start.peer(f"{peer}_server")
    server.send(b"1\ta\n", b"a\n", b"2.5\tb\t17\t3\n", b"3\tb\t18\t4\r\n", b"bb\n")
    assert server.stop() == ("0\t5\t3\n", 0)


@pytest.mark.parametrize("peer", PEERS)
def test_a_line_that_its_connection_cuts_off_is_not_counted_and_joins_no_other(start, peer):
    server = start.peer(f"{peer}_server")
    server.send(b"a\nb\nno e")
    server.send(b"nd\na\n")
    server.send(b"alone")
    server.send()
    assert server.stop() == ("0\t4\t3\n", 0)


@pytest.mark.parametrize("peer", PEERS)
def test_clients_whose_pieces_come_in_turn_are_kept_apart(start, peer):
    draw = random.Random(5)
    texts = [b"".join(b"key%d\n" % draw.randrange(500) for _ in range(20_000)) for _ in range(3)]
    server = start.peer(f"{peer}_server")
    clients = [server.connect() for _ in texts]
    left = list(texts)
    while any(left):
        for i, client in enumerate(clients):
            size = draw.choice([1, 7, 1000, 70_000])
            client.sendall(left[i][:size])
            left[i] = left[i][size:]
    for client in clients:
        client.shutdown(socket.SHUT_WR)
        assert client.recv(100) == b""
        client.close()
    keys = b"".join(texts).split()
    assert server.stop() == (f"0\t{len(keys)}\t{len(set(keys))}\n", 0)


@pytest.mark.parametrize("peer", PEERS)
def test_an_idle_client_keeps_no_server_from_ending(start, peer):
    server = start.peer(f"{peer}_server")
    with server.connect():
        server.send(b"a\n")
        assert server.stop() == ("0\t1\t1\n", 0)


@pytest.mark.parametrize("peer", PEERS)
def test_a_peer_prints_what_tally_serve_prints_for_the_same_bytes(start, peer, program):
    draw = random.Random(6)
    lines = [draw.choice([b"%d.25\tkey%d\n", b"%d\tkey%d\r\n"]) % (draw.randrange(9), draw.randrange(99)) for _ in range(5000)]
    said = []
    for server in (start.peer(f"{peer}_server"), start(program, "serve", "--window", 0, "--workers", 1, "--model", "event_loop")):
        server.send(b"".join(lines), b"bare\nbare\r\n")
        said.append(server.stop())
    assert said[0] == said[1]


def test_the_sink_reads_every_byte_of_all_connections(start):
    server = start.peer("sink")
    server.send(b"x" * 1_000_000, b"y")
    server.send(b"no line end")
    server.send()
    assert server.stop() == ("1000012\n", 0)


# Measuring, with a program that stands in for tally: its server is a peer, its generator sends from Python.
FAKE_TALLY = """#!{python}
import json, os, socket, sys, time

command, *rest = sys.argv[1:]
options = dict(zip(rest, rest[1:]))
if command == "serve":
    os.execv("{python}", ["{python}", "{asyncio_server}"])
events = int(options.get("--events", 0))
if command == "load":
    lost = {lost}
    text = b"".join(b"k%d\\n" % (i % 1000) for i in range(events - lost))
    began = time.monotonic()
    with socket.create_connection(("127.0.0.1", int(options["--port"]))) as connection:
        connection.sendall(text)
        connection.shutdown(socket.SHUT_WR)
        connection.recv(1)
    said = {{"events": events, "bytes": len(text) + {unread}, "closed_s": time.monotonic() - began}}
    if options["--rate"] != "max":
        rate = float(options["--rate"])
        said.update(offered_per_s=rate, achieved_per_s=rate * 1.0001, late_p99_s=2e-5)
    print(json.dumps(said))
if command == "run":
    rate = float(options.get("--rate", 0))
    name = f"ingest/{{options['--model']}}/workers:1/connections:{{options.get('--connections', 100)}}/rate:{{rate:.0f}}"
    sample = {{"name": name, "run_name": name, "run_type": "iteration", "verified": True, "round": 0,
              "items_per_second": rate + 1, "offered_per_s": rate, "achieved_per_s": rate * {kept}}}
    median = {{"name": name, "run_name": name, "run_type": "aggregate", "aggregate_name": "median", "items_per_second": rate}}
    if rate > {sustains}:
        median["saturated"] = True
    with open(options["--out"], "w") as file:
        json.dump({{"context": {{"cpu_model": "a CPU", "argv": sys.argv}}, "benchmarks": [sample, median]}}, file)
"""


def rows_of(folder, file=None):
    """The Rows of the campaign, or of its Targets from one result file alone."""
    return [row for row in ingest_targets.judge(types.SimpleNamespace(out=folder)).rows if file in (None, row.files)]


@pytest.fixture
def fake(root, tmp_path, monkeypatch):
    """Arguments as of a command line, with a tally that loses events, tells of bytes never sent, and sustains rates."""
    for number in ("PILOT_EVENTS", "EVENTS_FOR_ALL_KEYS"):
        monkeypatch.setattr(ingest_targets, number, 5000)

    def make(**changes):
        does = {"lost": 0, "unread": 0, "sustains": 1e9, "kept": 1, **changes}
        path = tmp_path / "tally"
        server = root / "scripts/peers/asyncio_server.py"
        path.write_text(FAKE_TALLY.format(python=sys.executable, asyncio_server=server, **does))
        path.chmod(0o755)
        return types.SimpleNamespace(campaign="ingest_targets", tally=str(path), out=tmp_path)

    return make


@pytest.mark.slow
def test_all_servers_count_in_every_round_and_their_ratios_are_taken_within_it(fake, tmp_path):
    ingest_targets.measure_peers("peers", fake(), rounds=2, seconds=0.01)
    found = results.load(tmp_path / "peers.json.xz")
    assert {each.model for each in found.cells} == {"event_loop", "coroutines", "twisted", "asyncio"}
    assert [len(each.samples) for each in found.cells] == [2, 2, 2, 2]
    for sample in (sample for each in found.cells for sample in each.samples):
        assert sample["items_per_second"] == pytest.approx(sample["events"] / sample["closed_s"])
    assert found.context["cpu_model"] == "a CPU"
    assert judging.ratio(results.throughput, "event_loop", "twisted")(found).value > 0
    assert not [name for name in os.listdir(tmp_path) if name.startswith(".")], "nothing half written is left"


@pytest.mark.slow
def test_a_count_that_is_wrong_leaves_no_figure_and_says_what_it_was(fake, tmp_path, capsys):
    ingest_targets.measure_peers("peers", fake(lost=1), rounds=1, seconds=0.01)
    found = results.load(tmp_path / "peers.json.xz")
    assert all("wrong count: [4999, 1000]" in each.failure for each in found.cells)
    assert "wrong count" in capsys.readouterr().err
    rows = [row for row in rows_of(tmp_path, "peers") if row.must != judging.REPORTED]
    assert [row.met for row in rows] == [False] * 5, "four ratios, and exactness"


@pytest.mark.slow
def test_the_generator_is_measured_into_a_sink_that_must_have_read_every_byte(fake, tmp_path):
    ingest_targets.measure_generator("generator", fake(), rounds=1, seconds=0.01)
    rows = rows_of(tmp_path, "generator")
    table = {row.figure: row.cells[2:] for row in rows}
    assert all(row.met for row in rows)
    assert table["error of the rate at 1000 k/s"] == ("<= 0.05 %", "0.01 [0.01, 0.01] %", "met")
    assert table["lateness of sends at 100 k/s, p99"] == ("<= 50 us", "20 [20, 20] us", "met")
    ingest_targets.measure_generator("generator", fake(unread=1), rounds=1, seconds=0.01)
    found = results.load(tmp_path / "generator.json.xz").cells
    assert len([each for each in found if each.model.startswith("generator") and "were read" in each.failure]) == 6
    assert [each.failure for each in found if each.model == "clock"] == [""], "it sends nothing"


def idle_class_processes():
    """Children of this process in the scheduler's idle class, as what keeps a CPU polling is."""
    with open("/proc/self/task/%d/children" % os.getpid(), encoding="ascii") as children:
        return [int(pid) for pid in children.read().split() if os.sched_getscheduler(int(pid)) == os.SCHED_IDLE]


def test_cpus_poll_by_the_kernels_limit_where_it_may_be_written(tmp_path):
    limit = tmp_path / "cpu_dma_latency"
    limit.touch()
    with ingest_targets.polling(ingest_targets.CPUS[0], limit):
        assert limit.read_bytes() == bytes(4)
        assert not idle_class_processes()


def test_else_something_polls_as_long_as_asked_and_yields_to_all_else(tmp_path):
    with ingest_targets.polling(ingest_targets.CPUS[0], tmp_path / "missing" / "cpu_dma_latency"):
        (pid,) = idle_class_processes()
        assert os.sched_getaffinity(pid) == {ingest_targets.CPUS[0]}
    assert not idle_class_processes()


@pytest.mark.parametrize("most", [100_000, 130_000, 399_999, 400_000, 3_141_592])
def test_the_greatest_sustained_rate_is_found_to_a_tenth(most):
    found = ingest_targets.greatest_sustained(lambda rate: rate <= most)
    assert found <= most <= found * 1.1


def test_a_model_that_sustains_nothing_has_no_greatest_rate():
    assert ingest_targets.greatest_sustained(lambda rate: False) == 0


@pytest.mark.slow
def test_latency_is_measured_at_half_of_the_greatest_rate_with_enough_events_a_run(fake, tmp_path):
    name = "half-fibers-10"
    ingest_targets.measure_half("fibers", 10, name, fake(sustains=420_000))
    probes = results.load(tmp_path / f"{name}-probes.json.xz")
    greatest = ingest_targets.greatest_probe(probes).value
    assert 0.42 / 1.1 <= greatest <= 0.42
    argv = results.load(tmp_path / f"{name}.json.xz").context["argv"]
    options = dict(zip(argv, argv[1:]))
    assert float(options["--rate"]) == pytest.approx(greatest * 1e6 / 2, abs=1)
    assert (options["--model"], options["--connections"], int(options["--events"])) == ("fibers", "10", 300_000)


@pytest.mark.parametrize("wrong", [{"sustains": 0}, {"kept": 0.98}], ids=["the model fell behind", "the generator fell behind"])
def test_where_no_rate_is_sustained_no_latency_of_an_earlier_time_is_left(fake, tmp_path, wrong):
    (tmp_path / "half-fibers-10.json").write_text("of an earlier time")
    with pytest.raises(judging.Missing):
        ingest_targets.measure_half("fibers", 10, "half-fibers-10", fake(**wrong))
    assert not list(tmp_path.glob("half-fibers-10.json*"))
    assert (tmp_path / "half-fibers-10-probes.json.xz").exists()


# Judging.
def test_how_late_an_event_is_seen_follows_from_the_gaps_in_which_nothing_is():
    # Of a second, 100 ms in gaps of 10 ms: an event is more than x ms late in 10 (10 - x) ms of it. As tests/bench/doctor_test.cpp has it.
    assert ingest_targets.lateness_ns(10**9, [10**7] * 10, 0.99) == pytest.approx(9e6)
    assert ingest_targets.lateness_ns(10**9, [2 * 10**6, 2 * 10**7, 2 * 10**6], 0.979) == pytest.approx(1e6)
    assert ingest_targets.lateness_ns(10**9, [10**7] * 10, 0.9) == pytest.approx(0, abs=1), "nine of ten moments are in no gap"
    assert ingest_targets.lateness_ns(10**9, [], 0.99) == 0


def written(folder, campaign, *entries):
    (folder / f"{campaign}.json").write_text(json.dumps({"context": {}, "benchmarks": entries}))


def samples(model, params, *values):
    """Entries of a cell, one a round."""
    name = f"ingest/{model}/workers:1/{params}"
    common = {"name": name, "run_name": name, "run_type": "iteration", "verified": True, "items_per_second": 1.0}
    return [{**common, "round": i, **value} for i, value in enumerate(values)]


def rates(*values):
    return [{"items_per_second": value} for value in values]


def judged(folder):
    """The table's rows, by campaign and figure."""
    rows = rows_of(folder)
    table = {row.cells[:2]: row.cells[2:] for row in rows}
    assert len(table) == len(rows), "each row has a name of its own"
    return table


def test_rows_are_met_or_not_met_or_missing(tmp_path):
    connections = "connections:100/rate:max"
    written(tmp_path, "peers", *samples("event_loop", connections, *rates(130e6, 65e6)),
            *samples("coroutines", connections, *rates(70e6, 35e6)), *samples("twisted", connections, *rates(13e6, 6.5e6)))
    table = judged(tmp_path)
    assert table["peers", "event_loop over twisted"] == (">= 8", "10 [10, 10]", "met")
    assert table["peers", "coroutines over twisted"][2] == "NOT MET"
    assert table["peers", "coroutines over asyncio"][1:] == ("none: 0 cells of asyncio", "NOT MET")
    assert table["max", "fibers over limit, 100 connections"][0] == ">= 0.92"
    assert "No such file" in table["max", "fibers over limit, 100 connections"][1]
    assert table["max", "fibers over limit, 100 connections"][2] == "NOT MET"


def test_a_ratio_to_limit_is_that_of_the_same_number_of_connections(tmp_path):
    written(tmp_path, "max", *(entry for n, factor in ((1, 0.95), (100, 0.93), (1000, 0.5))
                               for entry in (*samples("limit", f"connections:{n}/rate:max", *rates(100e6 + n)),
                                             *samples("fibers", f"connections:{n}/rate:max", *rates(factor * (100e6 + n))))))
    table = judged(tmp_path)
    over = [table["max", f"fibers over limit, {n}"][1:] for n in ("1 connection", "100 connections", "1000 connections")]
    assert over == [
        ("0.95 [0.95, 0.95]", "met"), ("0.93 [0.93, 0.93]", "met"), ("0.5 [0.5, 0.5]", "NOT MET")]


def test_memory_is_the_slope_over_connections_and_p99_the_median_of_the_runs(tmp_path):
    entries = []
    for n in (100, 10_000):
        cell = f"connections:{n}/rate:50000"
        entries += samples("fibers", cell, *[{"peak_rss_bytes": 5e6 + 8 * 1024 * n, "events": 300_000, "latency_p99_s": p99 if n == 10_000 else 1}
                                             for p99 in (4e-3, 3e-3, 4e-3, 90e-3, 4e-3, 5e-3, 4e-3)])
    written(tmp_path, "connections", *entries)
    table = judged(tmp_path)
    assert table["connections", "fibers, a connection"] == ("<= 12 KiB", "8 KiB", "met")
    assert table["connections", "fibers, 10,000 connections: latency p99"] == ("<= 5 ms", "4 [3, 90] ms", "met")
    assert table["connections", "fibers, 10,000 connections: all counted"][2] == "met"
    entries[-1]["events"] = 1000
    written(tmp_path, "connections", *entries)
    assert "too few latencies" in judged(tmp_path)["connections", "fibers, 10,000 connections: latency p99"][1]
    del entries[-1]["latency_p99_s"]
    entries[-1]["latency_p99_s_absent"] = "saturated: too slow"
    written(tmp_path, "connections", *entries)
    row = judged(tmp_path)["connections", "fibers, 10,000 connections: latency p99"]
    assert row[1:] == ("none: saturated: too slow", "NOT MET")


def latencies(*late_and_p99_s):
    return [{"send_late_p99_s": late, "latency_p99_s": p99} for late, p99 in late_and_p99_s]


def test_runs_that_were_sent_late_say_nothing_of_the_model(tmp_path):
    ends = "connections:10/rate:500000"
    row = "half-fibers-10", "fibers, 10 connections, half of its greatest rate: latency p99"
    written(tmp_path, row[0], *samples("fibers", ends, *latencies((1e-5, 4e-4), (5e-3, 9e-3), (1e-4, 6e-4), (1e-5, 5e-4))))
    assert judged(tmp_path)[row] == ("<= 1 ms", "0.5 [0.4, 0.6] ms", "met")
    written(tmp_path, row[0], *samples("fibers", ends, *latencies((1e-5, 4e-3), (5e-3, 9e-3), (1e-4, 6e-3), (1e-5, 5e-3))))
    assert judged(tmp_path)[row][2] == "NOT MET"
    written(tmp_path, row[0], *samples("fibers", ends, *latencies((3e-4, 4e-4), (5e-3, 9e-3), (1e-4, 6e-4))))
    assert judged(tmp_path)[row][2] == "marked: in 2 of 3 runs the generator was late"
    assert [one.met for one in rows_of(tmp_path, row[0]) if one.must != judging.REPORTED] == [False], "a mark is no success"
    written(tmp_path, row[0], *samples("fibers", ends, {"send_late_p99_s": 1e-5}))
    assert judged(tmp_path)[row][1:] == ("none: saturated at half of its own rate", "NOT MET")


def test_one_lost_event_of_a_campaign_or_of_its_probes_is_told(tmp_path):
    good = samples("fibers", "connections:10/rate:500000", *latencies((1e-5, 4e-4)))
    lost = {**good[0], "verified": False, "error_occurred": True, "error_message": "wrong count"}
    what = "cells with an event lost, doubled or in another window"
    for probes, verdict in ((good, "met"), ([lost], "NOT MET")):
        written(tmp_path, "half-fibers-10", *good)
        written(tmp_path, "half-fibers-10-probes", *probes)
        written(tmp_path, "windows", *good, *probes)
        table = judged(tmp_path)
        assert table["half-fibers-10, half-fibers-10-probes", what][2] == verdict
        assert table["windows", what][2] == verdict
    assert table["max", what][2] == "NOT MET", "what was not measured is not exact"


def test_the_script_judges_a_folder_of_nothing_and_measures_nothing(root, tmp_path):
    def script(*arguments):
        command = [sys.executable, root / "scripts/campaigns/judge.py", "ingest_targets", *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=60)

    done = script("-o", tmp_path / "new", "--judge")
    assert done.returncode == 1 and done.stderr == ""
    assert os.listdir(tmp_path / "new") == ["ingest_targets.md"]
    done = script("-o", tmp_path, "--only", "maximum")
    assert done.returncode == 2 and "--only maximum: choose from generator, " in done.stderr
