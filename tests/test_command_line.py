"""The command line of the built program: what bad input gets, and what `tally list`, `count` and `lookup-service` do.

The program is that of the environment variable TALLY, else build/bench/tally.
"""

import collections
import contextlib
import gzip
import itertools
import json
import os
import pathlib
import resource
import signal
import socket
import subprocess
import threading
import time

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
MODELS = ["sequential", "thread_pool", "process_shard", "tbb_flow_graph", "fibers", "coroutines"]


@pytest.fixture(scope="session")
def program():
    path = pathlib.Path(os.environ.get("TALLY", ROOT / "build/bench/tally")).absolute()
    assert path.is_file(), f"{path} is not there: build it, or name it in the environment variable TALLY"
    return path


@pytest.fixture
def tally(program, tmp_path):
    """Runs the program in an empty folder and returns what it did."""

    def run(*arguments, timeout=60, **options):
        return subprocess.run([program, *map(str, arguments)], cwd=tmp_path, capture_output=True, timeout=timeout, **options)

    return run


def refused(done, *said, status=2):
    """Exactly one line on stderr, nothing on stdout, and every part of `said` in the line."""
    text = done.stderr.decode()
    assert done.returncode == status, (done.returncode, text)
    assert done.stdout == b""
    assert text.startswith("tally: ") and text.count("\n") == 1 and text.endswith("\n"), text
    for part in said:
        assert part in text, (part, text)


# The program itself


def test_without_arguments_it_says_what_it_takes(tally):
    for arguments in [], ["--help"]:
        done = tally(*arguments)
        assert done.returncode == 0 and b"tally count FILE" in done.stdout and done.stderr == b""


def test_it_knows_its_version(tally):
    assert tally("--version").stdout.startswith(b"tally 0.")


@pytest.mark.parametrize("command", ["list", "run", "count", "doctor", "lookup-service"])
def test_every_command_has_help(tally, command):
    done = tally(command, "--help")
    assert done.returncode == 0 and f"tally {command}".encode() in done.stdout and done.stderr == b""


def test_an_unknown_command_is_refused(tally):
    refused(tally("measure"), "measure", "list", "run", "count", "doctor", "lookup-service")


# What bad input gets: the command line of `tally run`


@pytest.mark.parametrize("arguments, said", [
    (["--model", "goroutines"], MODELS + ["limit"]),
    (["--stream", "ingest"], ["cpu, lookup"]),
    (["--wrokers", "2"], ["--workers", "--in-flight", "--benchmark_"]),
    (["--benchmark_nonsense=1"], ["--benchmark_filter", "--benchmark_repetitions"]),
    (["--benchmark_filter=("], ["--benchmark_filter"]),
    (["--grain", "1m"], ["ns, us, ms or s"]),
    (["--grain", "5"], ["ns, us, ms or s"]),
    (["--window", "1 s"], ["ns, us, ms or s"]),
    (["--events", "5K"], ["k, M or G"]),
    (["--workers", "0"], ["--workers"]),
    (["--workers", "-1"], ["--workers"]),
    (["--keys", "0"], ["--keys", "1 to 16777216"]),
    (["--keys", "17M"], ["--keys", "1 to 16777216"]),
    (["--batch", "0"], ["--batch"]),
    (["--in-flight", "0"], ["--in-flight"]),
    (["--skew", "-1"], ["--skew", "0 to 10"]),
    (["--skew", "nan"], ["--skew", "0 to 10"]),
    (["--wait", "-1ms"], ["--wait"]),
    (["--wait-dist", "normal"], ["exponential, fixed, lognormal"]),
    (["--rounds", "5:3"], ["--rounds"]),
    (["--ci", "0"], ["--ci", "3%"]),
    (["--service", "redis://192.0.2.1:6379"], ["--service", "127.0.0.1"]),
    (["--input", "f", "--stream", "lookup"], ["lookup", "synthetic"]),
    (["--input", "missing.log"], ["missing.log"]),
    (["--input", "."], ["directory"]),
    (["--out", "nowhere/r.json"], ["--out", "nowhere"]),
    (["--out", "."], ["--out", "directory"]),
    (["--benchmark_out=nowhere/r.json"], ["--benchmark_out", "nowhere"]),
    (["--out", "/proc/r.json"], ["--out"]),
    (["--out", "/dev/full"], ["--out"]),
    (["some\nfile"], ["unexpected argument"]),
])
def test_a_wrong_command_line_gets_one_line(tally, arguments, said):
    refused(tally("run", *arguments), *said)


def test_a_cell_beyond_the_open_files_is_refused_before_it_starts(tally):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = min(hard, 500) if hard != resource.RLIM_INFINITY else 500
    done = tally("run", "--stream", "lookup", "--model", "fibers", "--workers", "1", "--in-flight", "1000", "--wait", "1ms",
                 preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit)))
    refused(done, "lookup/fibers/workers:1/wait_us:1000/in_flight:1000", "1064 open files", str(limit), "ulimit -n")


def test_a_cell_beyond_the_threads_is_refused_before_it_starts(tally):
    done = tally("run", "--stream", "lookup", "--model", "thread_pool", "--workers", "1", "--in-flight", "1M")
    refused(done, "lookup/thread_pool/workers:1", "needs", "but the limit is")


def test_events_beyond_the_memory_are_refused(tally):
    refused(tally("run", "--stream", "cpu", "--events", "900G"), "memory", "--events")


def test_events_are_chosen_so_that_the_counts_of_their_windows_fit_the_memory(tally):
    # A window of 10 events and a million keys: 8 MB of counts for every 10 events.
    done = tally("run", "--stream", "cpu", "--model", "sequential", "--grain", "0", "--keys", "1M", "--window", "10us",
                 "--rounds", "1", "--no-progress")
    assert done.returncode == 0, done.stderr


def test_cells_are_named_without_measuring(tally):
    done = tally("run", "--benchmark_list_tests", "--workers", "2", "--grain", "1us", "--batch", "256", "--stream", "cpu",
                 "--benchmark_filter=thread_pool|fibers")
    assert done.returncode == 0 and done.stderr == b""
    assert done.stdout.decode().split() == ["cpu/thread_pool/workers:2/grain_ns:1000/batch:256",
                                            "cpu/fibers/workers:2/grain_ns:1000/batch:256"]


def test_the_environment_does_not_change_the_library(tally):
    environment = dict(os.environ, BENCHMARK_LIST_TESTS="true", BENCHMARK_FILTER="nothing")
    done = tally("run", "--benchmark_list_tests", "--stream", "cpu", "--workers", "1", env=environment)
    assert b"cpu/fibers/" in done.stdout


# list


def test_list_shows_every_model_and_stream(tally):
    text = tally("list").stdout.decode()
    for model in MODELS + ["limit"]:
        assert model in text
    assert "ceiling" in text
    models = {row["name"]: row for row in json.loads(tally("list", "--json").stdout)["models"]}
    assert list(models) == MODELS + ["limit"]
    assert models["limit"]["ceiling"] and not models["fibers"]["ceiling"]
    for row in models.values():
        for stream in "cpu", "lookup":
            entry = row["streams"][stream]
            assert entry["runs"] or entry["reason"]


# run: what comes of a campaign, briefly

QUICK = ["--model", "sequential,fibers,limit", "--workers", "1", "--rounds", "2", "--events", "500", "--wait", "100us",
         "--in-flight", "10", "--grain", "0", "--no-progress"]
LOOKUP_FROM = ["run", "--model", "fibers", "--stream", "lookup", "--workers", "1", "--rounds", "1", "--events", "50", "--wait",
               "1ms", "--in-flight", "5", "--no-progress", "--service"]


def test_a_campaign_is_shown_and_written(tally, tmp_path):
    done = tally("run", *QUICK, "--out", "r.json")
    assert (done.returncode, done.stderr) == (0, b"")
    table = done.stdout.decode()
    for part in "sequential", "fibers", "limit", "every count verified", "results: r.json":
        assert part in table
    found = json.loads((tmp_path / "r.json").read_text())
    names = {entry["run_name"] for entry in found["benchmarks"]}
    assert "lookup/fibers/workers:1/wait_us:100/in_flight:10" in names
    assert all(entry["verified"] for entry in found["benchmarks"] if entry["run_type"] == "iteration")
    assert os.listdir(tmp_path) == ["r.json"]


def test_no_events_are_counted_and_verified(tally):
    done = tally("run", *["0" if argument == "500" else argument for argument in QUICK])
    assert done.returncode == 0 and b"counted nothing, verified" in done.stdout, done.stderr


def test_the_librarys_formats_are_valid(tally):
    done = tally("run", *QUICK, "--stream", "cpu", "--benchmark_format=json")
    assert done.returncode == 0
    assert {entry["run_name"] for entry in json.loads(done.stdout)["benchmarks"]} == {
        f"cpu/{model}/workers:1/grain_ns:0/batch:256" for model in ("sequential", "fibers", "limit")}
    done = tally("run", *QUICK, "--stream", "cpu", "--benchmark_format=csv")
    assert done.returncode == 0 and b"cpu/fibers/workers:1/grain_ns:0/batch:256" in done.stdout


def test_a_campaign_counts_a_file(tally, tmp_path):
    (tmp_path / "f").write_bytes(LOG * 100)
    done = tally("run", "--input", "f", "--repeat", "3", "--key", "1", "--rounds", "1", "--no-progress")
    assert done.returncode == 0 and b"every count verified" in done.stdout, done.stderr


def test_a_table_that_cannot_be_written_is_an_error(program, tmp_path):
    with open("/dev/full", "wb") as full:
        done = subprocess.run([program, "run", *QUICK, "--stream", "cpu", "--out", tmp_path / "r.json"], stdout=full,
                              stderr=subprocess.PIPE)
    assert done.returncode == 1 and b"No space left" in done.stderr
    assert json.loads((tmp_path / "r.json").read_text())["benchmarks"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_campaign_keeps_what_it_has(program, tmp_path, number):
    process = subprocess.Popen([program, "run", "--model", "sequential,thread_pool,process_shard,fibers", "--wait", "1ms",
                                "--in-flight", "100", "--grain", "1us", "--rounds", "1000", "--events", "1k", "--out",
                                "r.json"],
                               cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)
    deadline = time.monotonic() + 30
    while not (tmp_path / "r.json").exists():
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.01)
    before = time.monotonic()
    process.send_signal(number)
    out, _ = process.communicate(timeout=20)
    assert process.returncode == 130
    assert time.monotonic() - before < 2
    assert json.loads((tmp_path / "r.json").read_text())["benchmarks"]
    assert b"INTERRUPTED" in out
    assert os.listdir(tmp_path) == ["r.json"]
    left = [entry for entry in pathlib.Path("/proc").iterdir() if entry.name.isdigit() and session_of(entry) == process.pid]
    assert left == []


def session_of(process):
    """The session of the process, or None if it has ended."""
    try:
        return int((process / "stat").read_text().rpartition(")")[2].split()[3])
    except OSError:
        return None


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


@pytest.mark.parametrize("behaviour", [rubbish, wrong_key, closes, silent])
def test_a_service_that_is_none_is_named_and_does_not_hang_the_campaign(tally, strange_service, behaviour):
    port = strange_service(behaviour)
    before = time.monotonic()
    done = tally(*LOOKUP_FROM, f"redis://127.0.0.1:{port}", "--sample-timeout", "2s")
    assert done.returncode == 1
    assert time.monotonic() - before < 15
    said = (done.stdout + done.stderr).decode()
    assert f"127.0.0.1:{port}" in said or "FAILED" in said, said


@pytest.fixture
def service_that_drops_one(strange_service):
    """A service that answers, but closes one of its connections after a few answers; the port."""
    taken = itertools.count()

    def behave(connection):
        drops = next(taken) == 5
        for answers in itertools.count():
            request = connection.recv(1000)
            if not request or (drops and answers == 3):
                connection.close()
                return
            time.sleep(0.001)
            connection.sendall(b"+PONG\r\n" if b"PING" in request.upper() else b"$1\r\n5\r\n")

    return strange_service(behave)


@pytest.mark.parametrize("model", MODELS[1:])
@pytest.mark.parametrize("options", [["--workers", "1"], ["--workers", "2"], ["--workers", "2", "--grain", "5us"]], ids=" ".join)
def test_one_connection_that_is_lost_is_named_and_the_others_end(tally, service_that_drops_one, model, options):
    before = time.monotonic()
    done = tally("run", "--stream", "lookup", "--model", model, "--in-flight", "20", "--events", "200k", "--rounds", "1",
                 "--service", f"redis://127.0.0.1:{service_that_drops_one}", "--sample-timeout", "20s", "--no-progress", *options)
    assert done.returncode == 1
    said = " ".join((done.stdout + done.stderr).decode().split())
    assert "closed the connection without an answer" in said or "went away: Connection reset by peer" in said, said
    assert time.monotonic() - before < 8, "the others went on through the whole stream"


def test_a_service_that_is_not_there_is_named(tally):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    done = tally(*LOOKUP_FROM, f"redis://127.0.0.1:{port}")
    assert done.returncode == 1 and f"127.0.0.1:{port}".encode() in done.stdout + done.stderr


# count

LOG = (b"b x 1\na y 2\n\nb z 3\nc x 1\r\nb x 1\n" b"no final newline")


def expected_lines(data, key):
    """What `tally count --format lines` prints, by another program."""
    counts = collections.Counter()
    for line in data.removesuffix(b"\n").split(b"\n"):
        line = line.removesuffix(b"\r")
        fields = line.split()
        if key is None:
            counts[line] += 1
        elif len(fields) >= key:
            counts[fields[key - 1]] += 1
    return b"".join(b"%d\t%s\n" % (n, k) for k, n in sorted(counts.items(), key=lambda item: (-item[1], item[0])))


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("workers", [1, 3])
def test_count_is_the_same_for_all_models(tally, tmp_path, model, workers):
    data = LOG + b"".join(b"\nkey%d" % (i * i % 997) for i in range(20_000))
    (tmp_path / "f").write_bytes(data)
    done = tally("count", "f", "--model", model, "--workers", workers)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == expected_lines(data, None)


def test_count_takes_the_greatest(tally, tmp_path):
    (tmp_path / "f").write_bytes(LOG)
    done = tally("count", "f", "--key", "1", "--top", "2")
    assert done.stdout == b"3\tb\n1\ta\n"


def test_count_reads_gzip(tally, tmp_path):
    (tmp_path / "f.gz").write_bytes(gzip.compress(LOG))
    assert tally("count", "f.gz").stdout == expected_lines(LOG, None)


def test_count_prints_windows(tally, tmp_path):
    (tmp_path / "f").write_bytes(b"2024-05-01 12:00:00 a\n2024-05-01 12:00:59 a\n2024-05-01 12:01:00 b\n")
    done = tally("count", "f", "--key", "3", "--time", "1", "--window", "60s")
    assert done.stdout == b"1714564800\t2\t1\n1714564860\t1\t1\n"


def test_count_as_json_holds_everything(tally, tmp_path):
    (tmp_path / "f").write_bytes(b"a\nb\na\n\xff\xfe\n")
    found = json.loads(tally("count", "f", "--json", "--model", "fibers", "--workers", "2").stdout)
    assert (found["events"], found["malformed"], found["model"], found["workers"]) == (4, 0, "fibers", 2)
    assert found["counts"][0] == {"key": "a", "count": 2}
    assert found["counts"][2]["key_hex"] == "fffe"


def test_an_empty_file_counts_as_empty(tally, tmp_path):
    (tmp_path / "f").write_bytes(b"")
    done = tally("count", "f")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_malformed_lines_are_counted_and_reported_with_line_number(tally, tmp_path):
    (tmp_path / "f").write_bytes(b"a 1\nb\nc 3\nd\n")
    done = tally("count", "f", "--key", "2")
    assert done.returncode == 0 and done.stdout == b"1\t1\n1\t3\n"
    lines = done.stderr.decode().splitlines()
    assert lines[0].startswith("tally: f:2: ") and lines[1].startswith("tally: f:4: ")
    assert "2 of 4 lines are malformed" in lines[2]


def test_strict_makes_malformed_lines_an_error(tally, tmp_path):
    (tmp_path / "f").write_bytes(b"a 1\nb\n")
    done = tally("count", "f", "--key", "2", "--strict")
    assert done.returncode == 1 and done.stdout == b"" and b"f:2: " in done.stderr
    (tmp_path / "f").write_bytes(b"a 1\n")
    assert tally("count", "f", "--key", "2", "--strict").returncode == 0


def test_cut_off_gzip_says_how_far_it_got(tally, tmp_path):
    whole = gzip.compress(b"".join(b"line %d\n" % i for i in range(100_000)))
    (tmp_path / "f.gz").write_bytes(whole[: len(whole) // 2])
    done = tally("count", "f.gz")
    refused(done, "f.gz", status=1)
    assert any(character.isdigit() for character in done.stderr.decode().replace("f.gz", ""))


def test_lines_of_every_kind_are_counted(tally, tmp_path):
    data = b"x" * 10_000_000 + b"\n" + bytes(range(256)).replace(b"\n", b"") + b"\ncrlf\r\ncrlf\r\nlast"
    (tmp_path / "f").write_bytes(data)
    assert tally("count", "f").stdout == expected_lines(data, None)


@pytest.mark.parametrize("arguments, said", [
    (["missing"], ["missing"]),
    (["."], ["directory"]),
    ([], ["FILE"]),
    (["f", "g"], ["unexpected argument 'g'"]),
    (["f", "--model", "goroutines"], MODELS),
    (["f", "--format", "csv"], ["lines, clf"]),
    (["f", "--format", "clf", "--key", "referer"], ["host", "target"]),
    (["f", "--key", "0"], ["key"]),
    (["f", "--workers", "0"], ["--workers"]),
    (["f", "--top", "0"], ["--top"]),
    (["f", "--window", "0.5s", "--time", "1"], ["--window"]),
    (["f", "--window", "60s"], ["time"]),
    (["f", "--time", "1"], ["--window"]),
    (["f", "--keys", "5"], ["--key", "--top"]),
])
def test_a_wrong_count_gets_one_line(tally, tmp_path, arguments, said):
    (tmp_path / "f").write_bytes(LOG)
    refused(tally("count", *arguments), *said)


def test_a_full_disk_is_reported(program, tmp_path):
    (tmp_path / "f").write_bytes(LOG)
    for arguments in ["count", tmp_path / "f"], ["list"], ["list", "--json"], ["--help"], ["run", "--benchmark_list_tests"]:
        with open("/dev/full", "wb") as full:
            done = subprocess.run([program, *arguments], stdout=full, stderr=subprocess.PIPE)
        assert done.returncode == 1, arguments
        assert done.stderr.startswith(b"tally: cannot write to standard output: No space left"), done.stderr
        assert done.stderr.count(b"\n") == 1


def test_a_closed_pipe_is_reported(program, tmp_path):
    (tmp_path / "f").write_bytes(b"".join(b"%d\n" % i for i in range(200_000)))
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([program, "count", tmp_path / "f"], stdout=writer, stderr=subprocess.PIPE)
    os.close(writer)
    assert done.returncode == 1 and b"cannot write to standard output" in done.stderr


def test_a_real_log_counts_as_awk_has_it(tally):
    log = next((path for path in [ROOT / "data/apache_access.log.gz", ROOT.parent / "shared/data/apache_access.log.gz"]
                if path.is_file()), None)
    if log is None:
        pytest.skip("apache_access.log.gz is not beside the project")
    counts = collections.Counter()
    for line in gzip.open(log):
        counts[line.split(b" ")[0]] += 1
    done = tally("count", log, "--format", "clf", "--key", "host", "--top", "20")
    assert done.returncode == 0
    found = [line.split(b"\t") for line in done.stdout.splitlines()]
    best = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:20]
    assert [(key, int(n)) for n, key in found] == best


# doctor


def test_the_doctor_says_whether_the_machine_is_fit_and_exits_so(tally, tmp_path):
    done = tally("doctor", "--json", "--ci", "99%")
    said = json.loads(done.stdout)
    verdicts = {finding["what"]: finding["verdict"] for finding in said["findings"]}
    assert {"noise floor", "other work", "steal", "CPUs", "governor", "virtualisation", "huge pages"} <= set(verdicts)
    assert said["fit"] == ("UNFIT" not in verdicts.values())
    assert done.returncode == (0 if said["fit"] else 1)
    assert all(finding["remedy"] for finding in said["findings"] if finding["verdict"] == "UNFIT")
    assert os.listdir(tmp_path) == [], "it changes nothing"


def test_no_machine_is_fit_for_an_interval_of_almost_nothing(tally):
    done = tally("doctor", "--ci", "0.0000001")
    assert done.returncode == 1
    text = done.stdout.decode()
    assert "UNFIT  noise floor" in text and "-> " in text and text.splitlines()[-1].startswith("NOT FIT")


@pytest.mark.parametrize("arguments", [["--ci", "0"], ["--ci", "x"], ["--rounds", "5"], ["now"]])
def test_a_wrong_doctor_gets_one_line(tally, arguments):
    refused(tally("doctor", *arguments))


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
