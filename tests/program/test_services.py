"""Lookup services from the command line: strange ones that a campaign meets, and `tally lookup-service` itself."""

import contextlib
import json
import signal
import socket
import subprocess
import threading
import time

import pytest

from command_line import models_on, refused

MODELS = models_on("lookup")

LOOKUP_FROM = ["run", "--model", "fibers", "--stream", "lookup", "--workers", "1", "--rounds", "1", "--events", "50", "--wait",
               "1ms", "--in-flight", "5", "--no-progress", "--service"]


@pytest.fixture
def strange_service():
    """Starts a service on loopback whose behaviour with each connection is given; returns its port."""
    sockets = []

    def start(behaviour):
        listening = socket.create_server(("127.0.0.1", 0))
        sockets.append(listening)

        def behave(connection):
            with contextlib.suppress(OSError):
                behaviour(connection)

        def serve():
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                sockets.append(connection)
                threading.Thread(target=behave, args=(connection,), daemon=True).start()

        threading.Thread(target=serve, daemon=True).start()
        return listening.getsockname()[1]

    yield start
    for one in sockets:
        one.close()


def rubbish(connection):
    while connection.recv(1000):
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")


def wrong_key(connection):
    """Answers PING like Redis, and GET with a key that is none."""
    while request := connection.recv(1000):
        connection.sendall(b"+PONG\r\n" if b"PING" in request.upper() else b"$5\r\nhello\r\n")


def closes(connection):
    connection.recv(1000)
    connection.close()


def silent(connection):
    time.sleep(60)


@pytest.mark.slow
@pytest.mark.parametrize("behaviour", [rubbish, wrong_key, closes, silent])
def test_a_service_that_is_none_is_named_and_does_not_hang_the_campaign(tally, strange_service, behaviour):
    port = strange_service(behaviour)
    before = time.monotonic()
    done = tally(*LOOKUP_FROM, f"redis://127.0.0.1:{port}", "--sample-timeout", "1s")
    assert done.returncode == 1
    assert time.monotonic() - before < 15
    said = (done.stdout + done.stderr).decode()
    assert f"127.0.0.1:{port}" in said or "FAILED" in said, said


class DropsOne:
    """The behaviour of a service that answers, but closes the connection on which the 100th key is asked for, once in every sample; `asked`
    is how many keys were asked for altogether."""

    DROPPED = b"\r\nevent:100\r\n"

    def __init__(self):
        self.asked, self.lock = 0, threading.Lock()

    def __call__(self, connection):
        while (request := connection.recv(1000)) and self.DROPPED not in request:
            with self.lock:
                self.asked += request.count(b"GET")
            time.sleep(0.001)
            connection.sendall(b"+PONG\r\n" if b"PING" in request else b"$1\r\n5\r\n")
        connection.close()


@pytest.mark.parametrize("options", [["--workers", "1"], ["--workers", "2"],
                                     pytest.param(["--workers", "2", "--grain", "5us"], marks=pytest.mark.slow)], ids=" ".join)
def test_one_connection_that_is_lost_is_named_and_the_others_end(tally, tmp_path, strange_service, options):
    service, events = DropsOne(), 20_000
    done = tally("run", "--stream", "lookup", "--model", ",".join(MODELS[1:]), "--in-flight", "20", "--events", events, "--rounds", "1",
                 "--service", f"redis://127.0.0.1:{strange_service(service)}", "--sample-timeout", "20s", "--no-progress", "--out", "r.json",
                 *options)
    assert done.returncode == 1
    said = {entry["model"]: entry["error_message"] for entry in json.loads((tmp_path / "r.json").read_text())["benchmarks"]}
    assert list(said) == MODELS[1:]
    for model, message in said.items():
        assert "closed the connection without an answer" in message or "went away: Connection reset by peer" in message, (model, message)
    assert 100 * len(MODELS[1:]) / 2 < service.asked < events / 2, "the others of a model went on through the stream"


def test_a_service_that_is_not_there_is_named(tally):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    done = tally(*LOOKUP_FROM, f"redis://127.0.0.1:{port}")
    assert done.returncode == 1 and f"127.0.0.1:{port}".encode() in done.stdout + done.stderr


# lookup-service


class Service:
    """The service of `tally lookup-service`, ready."""

    def __init__(self, program, *arguments):
        self.process = subprocess.Popen([program, "lookup-service", *map(str, arguments)], stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE)
        line = self.process.stdout.readline().decode()
        assert line.startswith("listening on 127.0.0.1:"), (line, self.process.stderr.read())
        self.port = int(line.rsplit(":")[-1])

    def ask(self, request):
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as connection:
            connection.sendall(request)
            return connection.recv(1000)

    def end(self, number):
        self.process.send_signal(number)
        return self.process.wait(timeout=10)


@pytest.fixture
def service(program):
    started = []

    def start(*arguments):
        started.append(Service(program, *arguments))
        return started[-1]

    yield start
    for one in started:
        one.process.kill()
        one.process.wait()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_service_answers_until_it_is_told_to_end(service, number):
    one = service("--wait", "1ms", "--keys", "10")
    assert one.ask(b"PING\r\n") == b"+PONG\r\n"
    assert one.ask(b"*2\r\n$3\r\nGET\r\n$7\r\nevent:5\r\n").startswith(b"$1\r\n")
    assert one.end(number) == 0
    assert one.process.stderr.read() == b""


def test_the_service_draws_the_same_keys_for_the_same_seed(service):
    request = b"*2\r\n$3\r\nGET\r\n$8\r\nevent:42\r\n"
    answers = [service("--wait", "0", "--seed", seed, "--keys", "1M").ask(request) for seed in (1, 1, 2)]
    assert answers[0] == answers[1] != answers[2]


def test_the_service_waits_as_long_as_it_was_told(service):
    one = service("--wait", "50ms", "--wait-dist", "fixed")
    before = time.monotonic()
    one.ask(b"*2\r\n$3\r\nGET\r\n$7\r\nevent:5\r\n")
    assert time.monotonic() - before >= 0.05


def test_a_port_in_use_is_named(tally, service):
    port = service().port
    refused(tally("lookup-service", "--port", port), str(port), status=1)


@pytest.mark.parametrize("arguments, said", [
    (["--port", "65536"], ["--port", "65535"]),
    (["--wait", "1"], ["ns, us, ms or s"]),
    (["--wait-dist", "normal"], ["exponential, fixed, lognormal"]),
    (["--keys", "0"], ["--keys"]),
    (["--model", "fibers"], ["--port", "--spin"]),
])
def test_a_wrong_service_gets_one_line(tally, arguments, said):
    refused(tally("lookup-service", *arguments), *said)
