"""The command line of the built program: what bad input gets, and what `tally list`, `run` and `doctor` do."""

import json
import os
import pathlib
import resource
import signal
import subprocess
import time

import pytest

from command_line import BY_DEFAULT, LOG, NAMES, models_on, refused

# The program itself


def test_without_arguments_it_says_what_it_takes(tally):
    for arguments in [], ["--help"]:
        done = tally(*arguments)
        assert done.returncode == 0 and b"tally count FILE" in done.stdout and done.stderr == b""


def test_it_knows_its_version(tally):
    assert tally("--version").stdout.startswith(b"tally 0.")


@pytest.mark.parametrize("command", ["list", "run", "count", "serve", "load", "doctor", "lookup-service"])
def test_every_command_has_help(tally, command):
    done = tally(command, "--help")
    assert done.returncode == 0 and f"tally {command}".encode() in done.stdout and done.stderr == b""


def test_an_unknown_command_is_refused(tally):
    refused(tally("measure"), "measure", "list", "run", "count", "serve", "load", "doctor", "lookup-service")


# What bad input gets: the command line of `tally run`


@pytest.mark.parametrize("arguments, said", [
    (["--model", "goroutines"], NAMES),
    (["--stream", "tcp"], ["cpu, lookup, ingest"]),
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
    (["--service", "redis://192.0.2.1"], ["--service", "redis://HOST:PORT"]),
    (["--service", "redis://127.0.0.1:1/x"], ["--service", "a database is a number"]),
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


@pytest.mark.slow
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


def test_a_model_that_is_not_by_default_is_measured_where_it_is_named_or_all_are(tally):
    def measured(*more):
        done = tally("run", "--benchmark_list_tests", "--stream", "cpu", "--workers", "1", "--grain", "0", "--batch", "256", *more)
        assert done.returncode == 0 and done.stderr == b""
        return [name.split("/")[1] for name in done.stdout.decode().split()]

    assert measured() == [model for model in BY_DEFAULT if model in models_on("cpu") or model == "limit"]
    assert measured("--model", "coroutines_asio") == ["coroutines_asio"]
    assert measured("--model", "all") == [*models_on("cpu"), "limit"]


def test_the_environment_does_not_change_the_library(tally):
    environment = dict(os.environ, BENCHMARK_LIST_TESTS="true", BENCHMARK_FILTER="nothing")
    done = tally("run", "--benchmark_list_tests", "--stream", "cpu", "--workers", "1", env=environment)
    assert b"cpu/fibers/" in done.stdout


# list


def test_list_shows_every_model_and_stream(tally):
    text = tally("list").stdout.decode()
    for model in NAMES:
        assert model in text
    assert "ceiling" in text
    models = {row["name"]: row for row in json.loads(tally("list", "--json").stdout)["models"]}
    assert {"sequential", "thread_pool", "fibers", "limit"} <= set(models)
    assert models["limit"]["ceiling"] and not models["fibers"]["ceiling"]
    assert "not by default" in next(line for line in text.splitlines() if line.startswith("coroutines_asio "))
    assert models["fibers"]["by_default"] and not models["coroutines_asio"]["by_default"]
    for row in models.values():
        for stream in "cpu", "lookup", "ingest":
            entry = row["streams"][stream]
            assert entry["runs"] or entry["reason"]


# run: what comes of a campaign, briefly

QUICK = ["--model", "sequential,fibers,limit", "--workers", "1", "--rounds", "2", "--events", "500", "--wait", "100us",
         "--in-flight", "10", "--grain", "0", "--no-progress"]


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
        f"cpu/{model}/workers:1/grain_ns:0/batch:1" for model in ("sequential", "fibers", "limit")}
    done = tally("run", *QUICK, "--stream", "cpu", "--benchmark_format=csv")
    assert done.returncode == 0 and b"cpu/fibers/workers:1/grain_ns:0/batch:1" in done.stdout


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


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
@pytest.mark.parametrize("stream", [["--stream", "cpu,lookup", "--wait", "1ms", "--in-flight", "100"],
                                    ["--stream", "ingest", "--connections", "20"],
                                    ["--stream", "ingest", "--connections", "20", "--rate", "5k", "--lookup"]])
def test_an_interrupted_campaign_keeps_what_it_has(program, tmp_path, number, stream):
    process = subprocess.Popen([program, "run", "--model", "sequential,thread_pool,process_shard,fibers", *stream, "--grain", "0",
                                "--workers", "2", "--rounds", "1000", "--events", "300", "--out", "r.json"],
                               cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)
    deadline = time.monotonic() + 30
    while not (tmp_path / "r.json").exists():
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.01)
    process.send_signal(number)
    # Soon: its rounds would take minutes.
    out, _ = process.communicate(timeout=20)
    assert process.returncode == 130
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


# doctor

BRIEFLY = ["--looks", "6"]


@pytest.mark.slow
def test_the_doctor_says_whether_the_machine_is_fit_and_exits_so(tally, tmp_path):
    done = tally("doctor", "--json", "--ci", "99%", *BRIEFLY, timeout=300)
    said = json.loads(done.stdout)
    verdicts = {finding["what"]: finding["verdict"] for finding in said["findings"]}
    assert {"noise floor", "other work", "steal", "CPUs", "governor", "virtualisation", "huge pages"} <= set(verdicts)
    assert said["fit"] == ("UNFIT" not in verdicts.values())
    assert done.returncode == (0 if said["fit"] else 1)
    assert all(finding["remedy"] for finding in said["findings"] if finding["verdict"] == "UNFIT")
    assert os.listdir(tmp_path) == [], "it changes nothing"


@pytest.mark.slow
def test_no_machine_is_fit_for_an_interval_of_almost_nothing(tally):
    done = tally("doctor", "--ci", "0.0000001", *BRIEFLY, timeout=300)
    assert done.returncode == 1
    text = done.stdout.decode()
    assert "UNFIT  noise floor" in text and "-> " in text and text.splitlines()[-1].startswith("NOT FIT")


@pytest.mark.parametrize("arguments", [["--ci", "0"], ["--ci", "x"], ["--rounds", "5"], ["--looks", "5"], ["now"]])
def test_a_wrong_doctor_gets_one_line(tally, arguments):
    refused(tally("doctor", *arguments))
