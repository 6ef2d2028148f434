"""`tally serve` with real clients: Python's sockets, which know nothing of Tally, and its own `tally load`."""

import collections
import contextlib
import json
import os
import pathlib
import random
import select
import signal
import socket
import struct
import subprocess
import time

import pytest

from command_line import models_on, refused

MODELS = models_on("ingest")

SIGNALS = {signal.SIGTERM: 0, signal.SIGINT: 130}


class Server:
    """A running `tally serve`, of which a line is read at a time."""

    def __init__(self, program, *arguments, **options):
        self.process = subprocess.Popen([program, "serve", *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)
        first = self.process.stdout.readline().decode()
        assert first.startswith("listening on 127.0.0.1:") or first.startswith('{"listening"'), (first, self.process.stderr.read())
        self.port = int(first.rsplit(":", 1)[1].strip().strip('"}'))

    def connect(self):
        return socket.create_connection(("127.0.0.1", self.port), timeout=30)

    def send(self, text, piece=1 << 30):
        """Sends it over a connection of its own, `piece` bytes at a time, ends that, and waits until the server has ended it too."""
        with self.connect() as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for begin in range(0, len(text), piece):
                connection.sendall(text[begin:begin + piece])
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(1000):
                pass

    def stop(self, number=signal.SIGTERM):
        """(the rest of its standard output, its standard error, its exit status)"""
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=60)
        return out.decode(), err.decode(), self.process.returncode

    def children(self):
        path = pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(pid) for pid in path.read_text(encoding="ascii").split()]


@pytest.fixture
def serve(program):
    servers = []

    def start(*arguments, **options):
        servers.append(Server(program, *arguments, **options))
        return servers[-1]

    yield start
    for server in servers:
        server.process.kill()
        server.process.communicate()


def windows(out):
    """Of lines window<TAB>events<TAB>distinct: window -> (events, distinct keys)."""
    rows = [line.split("\t") for line in out.splitlines()]
    return {float(row[0]): (int(row[1]), int(row[2])) for row in rows}


@pytest.mark.parametrize("model", MODELS)
def test_every_event_of_several_clients_is_counted_once_in_its_window(serve, model):
    random.seed(4)
    server = serve("--model", model, "--workers", 2, "--window", "60s", "--grace", "1000s")
    expected = collections.defaultdict(collections.Counter)
    for client in range(5):
        lines = []
        for _ in range(3000):
            at, key = random.uniform(0, 600), random.choice(["a", "bb", "a-key-of-more-than-seven-bytes", f"client{client}"])
            expected[at // 60 * 60][key] += 1
            lines.append(f"{at:.9f}\t{key}\n")
        server.send("".join(lines).encode())
    out, err, status = server.stop()
    assert status == 0 and err == ""
    assert windows(out) == {start: (sum(keys.values()), len(keys)) for start, keys in expected.items()}


@pytest.mark.parametrize("model", MODELS)
def test_what_was_sent_before_the_signal_is_counted_also_on_connections_that_stay_open(serve, model):
    server = serve("--model", model, "--workers", 1, "--window", "0")
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(server.connect()) for _ in range(1 if model == "sequential" else 4)]
        for client in clients:
            client.sendall(b"a\nb\n")
        time.sleep(0.05)
        for client in clients:
            client.sendall(b"c\nthe rest of this line never co")
        out, err, status = server.stop()
    assert status == 0
    assert windows(out) == {0: (3 * len(clients), 3)}
    assert f"{len(clients)} lines were malformed" in err and f"{len(clients)} of them cut off" in err


@pytest.mark.parametrize("number, expected", SIGNALS.items())
def test_a_signal_ends_it_with_the_last_window_and_leaves_no_process(serve, number, expected):
    server = serve("--model", "process_shard", "--workers", 2)
    server.send(b"1\ta\n")
    children = server.children()
    assert children
    out, err, status = server.stop(number)
    assert status == expected and windows(out) == {0: (1, 1)} and err == ""
    for pid in children:
        assert not pathlib.Path(f"/proc/{pid}").exists()


def test_windows_are_printed_when_they_end_and_late_events_are_told(serve):
    server = serve("--window", "10s", "--grace", "0", "--json", "--top", "1", "--model", "event_loop", "--workers", 1)
    server.send(b"3\ta\n4\ta\n5\tb\n")
    server.send(b"11\tc\n")
    line = json.loads(server.process.stdout.readline())
    assert line == {"window_start_s": 0.0, "window_s": 10.0, "events": 3, "distinct_keys": 2, "late": 0, "top": [{"key": "a", "count": 2}]}
    server.send(b"9\ta\n")
    out, err, status = server.stop()
    assert status == 0
    assert json.loads(out) == {"window_start_s": 10.0, "window_s": 10.0, "events": 1, "distinct_keys": 1, "late": 1, "top": [{"key": "c", "count": 1}]}
    assert "1 events came after their window" in err


def test_events_without_a_time_are_of_when_they_come(serve):
    before = time.time()
    server = serve("--window", "1s", "--grace", "0")
    server.send(b"a\nb\na\n")
    start, events, distinct = server.process.stdout.readline().decode().split("\t")
    assert int(before) <= float(start) <= time.time() and (int(events), int(distinct)) in {(3, 2), (1, 1), (2, 2), (2, 1)}
    assert time.time() >= float(start) + 1, "not before its end"
    server.stop()


def test_a_snapshot_has_all_counts_of_the_last_window(serve, tmp_path):
    snapshot = tmp_path / "window.json"
    server = serve("--window", "60s", "--snapshot", snapshot)
    server.send(b"3\ta\n4\ta\n5\tb\n" + b"6\t\xff\xfe\n")
    server.stop()
    data = json.loads(snapshot.read_text(encoding="utf-8"))
    assert data["events"] == 4 and data["distinct_keys"] == 3
    assert data["counts"][:2] == [{"key": "a", "count": 2}, {"key": "b", "count": 1}] and data["counts"][2]["key_hex"] == "fffe"
    assert os.listdir(tmp_path) == ["window.json"], "nothing half written is left"


@pytest.mark.parametrize("model", MODELS)
def test_bad_clients_harm_nobody_else(serve, model):
    server = serve("--model", model, "--workers", 1, "--window", "0", "--line-max", 100)
    with contextlib.ExitStack() as stack:
        if model != "sequential":
            stalled = stack.enter_context(server.connect())
            stalled.sendall(b"half a li")
        with server.connect() as one_by_one:
            for byte in b"a\nbb\r\n":
                one_by_one.sendall(bytes([byte]))
                time.sleep(0.002)
        server.send(b"x" * 300_000 + b"\na\n")
        server.send(b"\x00\xff\x80\n\n\ttab first\nnotatime\tk\n")
        with server.connect() as resetting:
            resetting.sendall(b"a\n")
            time.sleep(0.05)
            resetting.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        server.send(b"a\nno end")
        out, err, status = server.stop()
    assert status == 0
    assert windows(out) == {0: (6, 3)}, "a bb a, bytes that are no text, a and a"
    malformed = 1 + 3 + 1 + (model != "sequential")
    assert f"{malformed} lines were malformed" in err


@pytest.mark.parametrize("model", ["event_loop", "thread_pool", "fibers", "coroutines", "tbb_flow_graph", "process_shard"])
def test_too_many_connections_are_refused_with_a_line_and_the_old_ones_live(serve, model):
    server = serve("--model", model, "--workers", 1, "--window", "0", "--connections-max", 2)
    with server.connect() as one, server.connect() as two:
        one.sendall(b"a\n")
        two.sendall(b"a\n")
        time.sleep(0.2)
        with server.connect() as third:
            assert third.recv(1000).startswith(b"tally: too many connections")
            assert third.recv(1000) == b""
        one.sendall(b"b\n")
        one.shutdown(socket.SHUT_WR)
        assert one.recv(10) == b""
        server.send(b"c\n")
        out, err, _ = server.stop()
    assert windows(out) == {0: (4, 3)}
    assert "1 connections were refused" in err


def test_without_descriptors_left_connections_are_refused_with_a_line(serve, program):
    server = serve("--model", "event_loop", "--workers", 1, "--window", "0", "--connections-max", 1000,
                   preexec_fn=lambda: __import__("resource").setrlimit(__import__("resource").RLIMIT_NOFILE, (40, 40)))
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(server.connect()) for _ in range(60)]
        ready, _, _ = select.select(clients, [], [], 30)
        said = ready[0].recv(1000)
        assert said.startswith(b"tally: too many connections: no more descriptors")
        clients[0].sendall(b"a\n")
        time.sleep(0.2)
        out, err, status = server.stop()
    assert status == 0 and windows(out) == {0: (1, 1)} and "connections were refused" in err


def test_a_port_in_use_is_refused_also_by_another_tally(serve, tally):
    server = serve()
    done = tally("serve", "--port", server.port)
    refused(done, str(server.port), "in use", status=1)


def test_a_server_whose_process_is_killed_says_so(serve):
    server = serve("--model", "process_shard", "--workers", 2)
    (child,) = server.children()
    os.kill(child, signal.SIGKILL)
    out, err = server.process.communicate(timeout=30)
    assert server.process.returncode == 1 and b"killed by signal 9" in err


@pytest.mark.parametrize("arguments, said", [
    (["--model", "limitless"], "no such model"), (["--port", "70000"], "--port"), (["--listen", "nowhere"], "--listen 'nowhere'"),
    (["--window", "60"], "--window"), (["--line-max", "1M"], "--line-max"), (["--connections-max", "0"], "--connections-max"),
    (["--snapshot", "/nowhere/at/all"], "--snapshot")])
def test_wrong_arguments_are_refused_in_a_line(tally, arguments, said):
    refused(tally("serve", *arguments), said)


@pytest.mark.parametrize("model", MODELS)
def test_its_own_load_generator_is_counted_to_the_last_event(serve, tally, model):
    server = serve("--model", model, "--workers", 1, "--window", "0")
    done = tally("load", "--port", server.port, "--events", 200_000, "--connections", 50, "--keys", 100, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["events"] == 200_000
    done = tally("load", "--port", server.port, "--events", 20_000, "--connections", 5, "--keys", 100, "--rate", "200k", "--json")
    said = json.loads(done.stdout)
    assert said["events"] == 20_000 and 0 <= said["late_p99_s"] and said["offered_per_s"] == 200_000
    out, err, _ = server.stop()
    assert windows(out) == {0: (220_000, 100)} and err == ""


def test_lines_of_other_formats_are_read_as_those_of_files_are(serve):
    clf = serve("--window", "3600s", "--grace", "9000s", "--format", "clf", "--key", "status")
    lines = serve("--window", "86400s", "--grace", "900000s", "--format", "lines", "--key", 3, "--time", 1)
    untimed = serve("--window", "0", "--format", "lines", "--key", 2, "--top", 2)
    for piece in (1, 1000):  # bytes at a time
        clf.send(b'h - - [10/Oct/2000:13:55:36 -0700] "GET /a HTTP/1.0" 200 5\nno log line\n'
             b'h - - [10/Oct/2000:14:00:00 -0700] "GET /b HTTP/1.0" 404 5\r\n', piece)
        lines.send(b"2024-05-01 12:00:00 install a\n2024-05-02T00:00:00Z x remove\n1969-12-31 x y\n", piece)
        untimed.send(b"a\tlonger-than-a-word c\nx y\nshort\n", piece)
    out, err, status = clf.stop()
    assert windows(out) == {971208000: (2, 1), 971211600: (2, 1)}
    assert "2 lines were malformed" in err and status == 0
    out, err, _ = lines.stop()
    assert windows(out) == {1714521600: (2, 1), 1714608000: (2, 1)} and "before 1970" in err
    out, err, _ = untimed.stop()
    assert "\t2\tlonger-than-a-word" in out and "\t2\ty" in out and "2 lines were malformed" in err


def test_a_field_needs_a_format(tally):
    refused(tally("serve", "--key", "3"), "--key is of a format")
    refused(tally("serve", "--format", "clf", "--key", "nowhere"), "no field of format clf")
    refused(tally("serve", "--format", "csv"), "--format")


def test_a_load_without_a_server_is_a_line(tally):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    refused(tally("load", "--port", port), "cannot be made", status=1)
