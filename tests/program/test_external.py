"""Programs as models: `tally run --external`, the programs of scripts/peers, and what is said of one that breaks off."""

import contextlib
import json
import os
import pathlib
import re
import shlex
import signal
import subprocess
import sys
import time

import pytest

import validate
from command_line import refused
from in_process import run_script

PEERS = pathlib.Path(__file__).resolve().parents[2] / "scripts/peers"
PYTHON = "/usr/bin/python3"
CPU = ["--stream", "cpu", "--grain", "0"]
SMALL = ["--rounds", "1", "--events", "20k", "--no-progress"]


def peer(name, arguments):
    """--external of a program of scripts/peers."""
    return ["--external", f"{name}={PYTHON} {shlex.quote(str(PEERS / name))}.py {arguments}"]


def script(tmp_path, body, arguments="{events}", name="own"):
    """--external of a program written for the test."""
    path = tmp_path / f"{name}.py"
    path.write_text("import collections, os, signal, subprocess, sys, time\n" + body)
    return ["--external", f"{name}={PYTHON} {shlex.quote(str(path))} {arguments}"]


COUNT = """
print("ready", flush=True)
sys.stdin.readline()
counts = collections.Counter(open(sys.argv[1]).read().split())
print("done", flush=True)
"""
PRINT = """
for key, count in counts.items():
    print(count, key, sep="\\t")
"""


@pytest.fixture
def run(tally, tmp_path):
    """`tally run` with these arguments; what it did, and the entries of its result file by model."""

    def measured(*arguments, **options):
        out = tmp_path / "out.json"
        done = tally("run", *arguments, "--out", out, **options)
        entries = json.loads(out.read_text())["benchmarks"] if out.exists() else []
        return done, {entry["model"]: entry for entry in entries if entry["run_type"] == "iteration"}

    return measured


def failure_of(done, entries, model="own"):
    """Why the model failed, where nothing else did."""
    assert done.returncode == 1, done.stderr.decode()
    assert [name for name, entry in entries.items() if entry.get("error_occurred")] == [model]
    entry = entries[model]
    assert entry["verified"] is False and "items_per_second" not in entry and entry["external"] is True
    assert "FAILED" in done.stdout.decode()
    return entry["error_message"]


@pytest.mark.slow
@pytest.mark.parametrize("name, arguments", [
    ("asyncio_await", "{events}"),
    ("asyncio_tasks", "{events}"),
    ("asyncio_pipeline", "{events}"),
    ("threading_count", "{events} {workers} {batch}"),
    ("multiprocessing_count", "{events} {workers}"),
])
def test_every_program_that_counts_a_file_counts_right(run, name, arguments):
    models = [] if name == "asyncio_await" else ["--model", f"{name},coroutines"]
    done, entries = run(*peer(name, arguments), *models, *CPU, "--workers", "2", *SMALL)
    assert done.returncode == 0, done.stdout.decode() + done.stderr.decode()
    assert name in entries and len(entries) == (2 if models else 9), "all models, and the program"
    entry = entries[name]
    assert entry["verified"] and entry["events_counted"] == 20_000
    assert entry["startup_s"] > 0 and entry["cpu_s"] > 0 and entry["peak_rss_bytes"] > 2**20
    assert "external" not in entries["coroutines"]


@pytest.mark.parametrize("window", [[], ["--window", "3ms"]])
def test_the_program_in_c_counts_right_with_windows_and_without(run, program, window):
    count_c = program.parent.parent / "scripts/peers/count_c"
    done, entries = run("--external", f"count_c={count_c} {{events}} {{window_ns}}", "--model", "count_c,sequential", *CPU,
                        *SMALL, *window)
    assert done.returncode == 0, done.stdout.decode()
    assert entries["count_c"]["verified"]


@pytest.mark.slow
def test_the_asyncio_client_looks_every_event_up(run):
    done, entries = run(*peer("asyncio_lookup", "{host} {port} {count} {in_flight}"), "--model", "asyncio_lookup,coroutines",
                        "--stream", "lookup", "--workers", "1", "--in-flight", "10", "--wait", "1ms", "--rounds", "1",
                        "--events", "200", "--no-progress")
    assert done.returncode == 0, done.stdout.decode()
    assert entries["asyncio_lookup"]["replies"] == 200
    assert entries["asyncio_lookup"]["service_cpu_s"] >= 0


@pytest.mark.slow
@pytest.mark.parametrize("window", [[], ["--window", "5ms"], ["--window", "60s"]])
@pytest.mark.parametrize("name", ["asyncio_server", "twisted_server"])
def test_every_program_that_serves_counts_right_by_window(run, name, window):
    if name == "twisted_server" and subprocess.run([PYTHON, "-c", "import twisted"], check=False).returncode:
        pytest.skip("python3-twisted is not installed")
    done, entries = run(*peer(name, "--port {port} --connections {connections} --window-ns {window_ns}"), "--model",
                        f"{name},event_loop", "--stream", "ingest", "--workers", "1", "--connections", "7", *SMALL, *window)
    assert done.returncode == 0, done.stdout.decode()
    assert entries[name]["verified"] and entries[name]["sent_bytes"] > 0


def test_a_shell_script_is_a_model_too(run):
    awk = r"""own=sh -c 'echo ready; read go; counts=$(awk "{ c[\$1]++ } END { for (k in c) print c[k] \"\t\" k }" $0); """ \
          r"""echo done; echo "$counts"' {events}"""
    done, entries = run("--external", awk, "--model", "own", *CPU, *SMALL)
    assert done.returncode == 0, done.stdout.decode()
    assert entries["own"]["verified"]


@pytest.mark.slow
def test_one_name_may_have_a_command_for_each_stream(run, tmp_path):
    lookups = peer("asyncio_lookup", "{host} {port} {count} {in_flight}")[1].partition("=")[2]
    done, _ = run(*script(tmp_path, COUNT + PRINT), "--external", f"own={lookups}", "--model", "own,sequential", "--grain", "0",
                  "--in-flight", "4", "--wait", "100us", "--rounds", "1", "--events", "100", "--no-progress")
    assert done.returncode == 0, done.stdout.decode()
    entries = json.loads((tmp_path / "out.json").read_text())["benchmarks"]
    assert {entry["stream"] for entry in entries if entry["model"] == "own" and entry.get("verified")} == {"cpu", "lookup"}


@pytest.mark.slow
def test_the_number_of_events_is_one_that_the_program_can_do(run, tmp_path):
    done, entries = run(*peer("asyncio_tasks", "{events}"), "--model", "asyncio_tasks,sequential,limit", *CPU, "--workers", "1",
                        "--rounds", "1", "--benchmark_min_time=0.02s", "--no-progress")
    assert done.returncode == 0, done.stdout.decode()
    assert entries["asyncio_tasks"]["events"] * 10 < entries["limit"]["events"]


def test_no_events_are_counted_too(run, tmp_path):
    done, entries = run(*script(tmp_path, COUNT + PRINT), "--model", "own", *CPU, "--rounds", "1", "--events", "0",
                        "--no-progress")
    assert done.returncode == 0, done.stdout.decode()
    assert entries["own"]["verified"]


@pytest.mark.slow
def test_the_table_and_the_file_say_that_it_is_external(run, tmp_path):
    done, _ = run(*script(tmp_path, COUNT + PRINT), "--model", "own,sequential,limit", *CPU, *SMALL)
    assert done.returncode == 0
    assert re.search(r"own .* ext", done.stdout.decode())
    data = json.loads((tmp_path / "out.json").read_text())
    (told,) = data["context"]["external"]
    assert told["name"] == "own" and told["commands"]["cpu"][-1] == "{events}"
    assert set(told["files"]) == {PYTHON, str(tmp_path / "own.py")}
    assert all(re.fullmatch("[0-9a-f]{64}", digest) for digest in told["files"].values())
    assert {entry["model"] for entry in data["benchmarks"] if entry.get("external")} == {"own"}
    assert run_script("report.py", "out.json", "--markdown", "-o", "page.md", cwd=tmp_path).returncode == 0
    page = (tmp_path / "page.md").read_text()
    assert "ext a program of its own (--external)" in page
    assert run_script("plot.py", "out.json", "-o", "plots", cwd=tmp_path).returncode == 0
    drawn = [path.read_text() for path in (tmp_path / "plots").glob("*.svg")]
    assert drawn and all("External programs: own." in text for text in drawn)


@pytest.mark.slow
def test_its_cpu_time_is_that_of_all_its_processes(run, tmp_path):
    body = """
import multiprocessing
def spin():
    end = time.process_time() + 0.2
    while time.process_time() < end: pass
""" + COUNT + """
others = [multiprocessing.Process(target=spin) for _ in range(3)]
for other in others: other.start()
for other in others: other.join()
""" + PRINT
    done, entries = run(*script(tmp_path, body), "--model", "own", *CPU, *SMALL)
    assert done.returncode == 0, done.stdout.decode()
    assert entries["own"]["cpu_s"] >= 0.6


@pytest.mark.slow
def test_start_up_is_reported_apart(run, tmp_path):
    body = "time.sleep(0.3)\n" + COUNT + "time.sleep(0.3)\n" + PRINT
    done, entries = run(*script(tmp_path, body), "--model", "own", *CPU, *SMALL)
    assert done.returncode == 0
    entry = entries["own"]
    assert entry["startup_s"] >= 0.3 and entry["teardown_s"] >= 0.3
    assert "real_time" in entry


@pytest.mark.slow
def test_it_runs_where_its_workers_belong(run, tmp_path):
    body = "assert len(os.sched_getaffinity(0)) == 1, os.sched_getaffinity(0)\n" + COUNT + PRINT
    done, _ = run(*script(tmp_path, body), "--model", "own", *CPU, "--workers", "1", *SMALL)
    assert done.returncode == 0, done.stdout.decode()


SAYS = 'print("the reason is here", file=sys.stderr)\n'


# A number that no other process sleeps for.
LEFT = f"1001.{os.getpid()}"

# What is wrong with a program -> (its body, parts of what is said of it).
BREAKS_OFF = {
    "ends early": (SAYS, ["ended before it said 'ready'", "exited with status 0", "the reason is here"]),
    "throws": (COUNT + "raise ValueError('a reason')\n", ["its counts cannot be read|failed after", "status 1", "ValueError: a reason"]),
    "throws while counting": ("print('ready', flush=True)\nsys.stdin.readline()\nraise ValueError('a reason')\n",
     ["ended before it said 'done'", "status 1", "ValueError: a reason"]),
    "crashes": ("print('ready', flush=True)\nos.kill(os.getpid(), signal.SIGSEGV)\n", ["signal 11"]),
    "fails at last": (COUNT + PRINT + SAYS + "sys.stdout.flush()\nsys.exit(3)\n", ["failed after it had counted", "status 3", "reason is here"]),
    "says other things": ("print('hello', flush=True)\ntime.sleep(9)\n", ['printed "hello" where the line \'ready\'']),
    "prints a flood": ("while True: print('x' * 1000)\n", ["where the line 'ready' was expected"]),
    "closes its output": ("os.close(1)\ntime.sleep(9)\n", ["closed its output before it said 'ready'"]),
    "loses an event": (COUNT + "counts['7'] -= 1\n" + PRINT, ["wrong count", "key 7: expected"]),
    "invents a key": (COUNT + "counts['77777'] = 1\n" + PRINT, ["keys are numbers from 0 to 999", '77777']),
    "counts a key twice": (COUNT + PRINT + "print(1, key, sep='\\t')\n", ["the key was there before"]),
    "prints nonsense": (COUNT + "print('nonsense')\n", ["expected count<TAB>key", "nonsense"]),
    "prints a negative count": (COUNT + "print('-1\\t1')\n", ["a count is a decimal number from 1 on"]),
    "prints a fraction": (COUNT + "print('1.5\\t1')\n", ["a count is a decimal number from 1 on"]),
    "ends in a line": (COUNT + PRINT + "print('5\\t5', end='')\n", ["it has no end"]),
    "prints after its counts": (COUNT + PRINT + "print('bye')\n", ["expected count<TAB>key", "bye"]),
    "prints without end": (COUNT + "while True: print(1, 1, sep='\\t')\n", ["the key was there before"]),
    "prints a long line": (COUNT + "print('1\\t' + 'x' * 100000)\n", ["longer than"]),
    "leaves a process behind": (COUNT + PRINT + "subprocess.Popen(['sleep', '{LEFT}'])\n", ["left processes behind: sleep ("]),
    "leaves one in another session": (COUNT + PRINT
     + "subprocess.Popen(['sleep', '{LEFT}'], start_new_session=True, stdout=subprocess.DEVNULL)\n", ["left processes behind: sleep ("]),
}


@pytest.fixture(scope="module")
def broken_off(program, tmp_path_factory):
    """The entries, by what is wrong, of a campaign of all the programs of BREAKS_OFF and of sequential."""
    folder = tmp_path_factory.mktemp("broken_off")
    names = {what: what.replace(" ", "_") for what in BREAKS_OFF}
    externals = [part for what, (body, _) in BREAKS_OFF.items() for part in script(folder, body.replace("{LEFT}", LEFT), name=names[what])]
    done = subprocess.run([program, "run", *externals, "--model", ",".join([*names.values(), "sequential"]), *CPU, *SMALL, "--out", "out.json"],
                          cwd=folder, capture_output=True, timeout=120)
    assert done.returncode == 1, done.stderr.decode()
    assert done.stdout.decode().count("FAILED") >= len(BREAKS_OFF)
    entries = {entry["model"]: entry for entry in json.loads((folder / "out.json").read_text())["benchmarks"] if entry["run_type"] == "iteration"}
    return {"sequential": entries.pop("sequential"), **{what: entries[name] for what, name in names.items()}}


@pytest.mark.slow
@pytest.mark.xdist_group("broken_off")
@pytest.mark.parametrize("what", BREAKS_OFF)
def test_a_program_that_breaks_off_is_one_failed_row(broken_off, what):
    entry = broken_off[what]
    assert entry["error_occurred"] and entry["verified"] is False and "items_per_second" not in entry and entry["external"] is True
    for part in BREAKS_OFF[what][1]:
        assert re.search("|".join(map(re.escape, part.split("|"))), entry["error_message"]), entry["error_message"]
    assert broken_off["sequential"]["verified"], "the campaign goes on"


@pytest.mark.slow
@pytest.mark.xdist_group("broken_off")
def test_processes_that_a_program_left_are_ended(broken_off):
    assert not processes(f"sleep {LEFT}")


def test_a_program_that_alone_breaks_off_fails_the_campaign(run, tmp_path):
    done, entries = run(*script(tmp_path, SAYS), "--model", "own,sequential", *CPU, *SMALL)
    assert "the reason is here" in failure_of(done, entries)


def processes(command):
    """Those that were started so, by number."""
    return [int(entry.parent.name) for entry in pathlib.Path("/proc").glob("[0-9]*/cmdline") if command_of(entry).strip() == command]


def command_of(entry):
    with contextlib.suppress(OSError):
        return entry.read_bytes().replace(b"\0", b" ").decode(errors="replace")
    return ""


@pytest.mark.slow
@pytest.mark.parametrize("body, said", [
    ("print('not yet', file=sys.stderr, flush=True)\ntime.sleep(99)\n", "no 'ready' within 1 s: killed"),
    (COUNT.replace('print("done"', "print('not yet', file=sys.stderr, flush=True)\nsubprocess.Popen(['sleep', sys.argv[2]], start_new_session=True)\ntime.sleep(99)\nprint(\"done\""), "no 'done' within 1 s: killed"),
    (COUNT + PRINT + "sys.stdout.flush()\nprint('not yet', file=sys.stderr, flush=True)\ntime.sleep(99)\n", "no end of its counts within 1 s: killed"),
], ids=["ready", "done", "counts"])
def test_a_program_that_never_comes_to_an_end_is_killed_with_all_it_started(run, tmp_path, body, said):
    own = f"1002.{os.getpid()}"
    done, entries = run(*script(tmp_path, body, f"{{events}} {own}"), "--model", "own,sequential", *CPU, *SMALL, "--sample-timeout", "1s")
    message = failure_of(done, entries)
    assert said in message and "not yet" in message
    assert not processes(f"sleep {own}")


@pytest.mark.parametrize("command, said", [
    ("/nowhere/program {events}", "cannot be run: '/nowhere/program': No such file"),
    ("/etc/passwd {events}", "cannot be run: '/etc/passwd': Permission denied"),
])
def test_a_program_that_is_none_is_a_failed_row(run, command, said):
    done, entries = run("--external", f"own={command}", "--model", "own,sequential", *CPU, *SMALL)
    assert said in failure_of(done, entries)


@pytest.mark.slow
def test_a_program_that_counts_without_asking_the_service_is_found_out(run, tmp_path, program):
    # It has the right counts from elsewhere.
    events = run("--external", f"own=/bin/sh -c 'cp $0 {tmp_path}/events' {{events}}", "--model", "own", *CPU, *SMALL)[0]
    assert events.returncode == 1 and (tmp_path / "events").exists()
    body = COUNT.replace("sys.argv[1]", repr(str(tmp_path / "events"))) + PRINT
    done, entries = run(*script(tmp_path, body, "{port} {count}"), "--model", "own", "--stream", "lookup", "--in-flight", "2", "--wait",
                        "10us", *SMALL)
    assert "asked the lookup service for 0 keys" in failure_of(done, entries)


def test_a_server_that_dies_is_a_failed_row(run, tmp_path):
    body = """
import socket
server = socket.create_server(("127.0.0.1", int(sys.argv[1])))
print("listening", flush=True)
client, _ = server.accept()
print("ready", flush=True)
client.recv(100)
sys.exit("had enough")
"""
    done, entries = run(*script(tmp_path, body, "{port}"), "--model", "own,event_loop", "--stream", "ingest", "--connections", "1",
                        *SMALL)
    message = failure_of(done, entries)
    assert "ended before it said 'done'" in message and "had enough" in message


@pytest.mark.slow
def test_a_server_that_does_not_listen_is_a_failed_row(run, tmp_path):
    done, entries = run(*script(tmp_path, "print('listening', flush=True)\ntime.sleep(99)\n", "{port}"), "--model", "own", "--stream",
                        "ingest", *SMALL)
    assert "Connection refused" in failure_of(done, entries)


@pytest.mark.parametrize("given, said", [
    (["--external", "own"], "write NAME=COMMAND"),
    (["--external", "=x {events}"], "write NAME=COMMAND"),
    (["--external", "My-Own=x {events}"], "of a-z, 0-9 and _"),
    (["--external", "fibers=x {events}"], "there is a model 'fibers'"),
    (["--external", "own="], "write a program"),
    (["--external", "own=x"], "says nothing of its stream"),
    (["--external", "own=x {events} {nothing}"], "there is no {nothing} on cpu"),
    (["--external", "own=x {events} {port}"], "there is no {port} on cpu"),
    (["--external", "own=x '{events}"], "without its end"),
    (["--external", "own=x {events} \\"], "ends in a backslash"),
    (["--external", "own=x {events}", "--external", "own=y {events}"], "has a command for cpu already"),
    (["--external", "own=x {port}"], "add ingest to --stream"),
    (["--external", "own=x {events}", "--model", "owm"], "no such model"),
    (["--external", "own=x {events}", "--input", "/etc/passwd"], "leave --input out"),
    (["--external", "own=x {events}", "--against", "/bin/true"], "leave --external out"),
    (["--external", "own=x {port} {count}", "--service", "redis://127.0.0.1:1"], "leave --service out"),
    (["--external", "own=x {events}", "--model", "own", "--stream", "cpu", "--grain", "1us"], "no cells with a grain"),
])
def test_a_command_that_cannot_be_is_refused(tally, given, said):
    refused(tally("run", *given), said)


@pytest.mark.slow
def test_cells_that_no_program_can_have_are_left_out_with_a_reason(run, tmp_path):
    done, entries = run(*script(tmp_path, COUNT + PRINT), "--model", "own,sequential", "--stream", "cpu", "--grain", "0,1us", *SMALL)
    assert done.returncode == 0
    assert "own, a program of its own, has no cells with a grain" in " ".join(done.stdout.decode().split())
    notes = json.loads((tmp_path / "out.json").read_text())["context"]["notes"]
    assert any("no cells with a grain" in note for note in notes)


@pytest.mark.parametrize("number, status", [(signal.SIGINT, 130), (signal.SIGKILL, -9)])
def test_a_stopped_campaign_leaves_no_program_behind(program, tmp_path, number, status):
    left = f"sleep 1003.{os.getpid()}"
    body = COUNT.replace('print("done"', f"subprocess.Popen({left.split()})\ntime.sleep(99)\nprint(\"done\"")
    campaign = subprocess.Popen([program, "run", *script(tmp_path, body), "--model", "own", *CPU, *SMALL], stdout=subprocess.DEVNULL,
                                stderr=subprocess.DEVNULL)
    own = f"{PYTHON} {tmp_path}/own.py /proc/{campaign.pid}/fd/"

    def alive():
        return [entry for entry in pathlib.Path("/proc").glob("[0-9]*/cmdline") if command_of(entry).startswith(own)]

    try:
        wait_until(lambda: alive() and processes(left))
        campaign.send_signal(number)
        assert campaign.wait(timeout=20) == status
        wait_until(lambda: not alive())
        if number == signal.SIGINT:
            assert not processes(left)
    finally:
        campaign.kill()
        for pid in processes(left):
            os.kill(pid, signal.SIGKILL)


def wait_until(condition):
    for _ in range(1000):
        if condition():
            return
        time.sleep(0.02)
    raise AssertionError("waited too long")


@pytest.mark.slow
def test_a_result_with_programs_is_plotted_reported_compared_cited_and_valid(run, tmp_path):
    done, _ = run(*peer("asyncio_await", "{events}"), *script(tmp_path, "sys.exit(1)\n"), "--model",
                  "asyncio_await,own,sequential,limit", *CPU, "--workers", "1", "--rounds", "6", "--events", "20k", "--no-progress")
    assert done.returncode == 1
    result = tmp_path / "out.json"
    text = result.read_text()
    broken = [rule for rule, _ in validate.broken(text) if rule not in ("disclosure", "length", "floor")]
    assert not broken, list(validate.broken(text))
    for command in (["plot.py", result, "-o", tmp_path / "plots"], ["report.py", result, "-o", tmp_path / "report.html"],
                    ["report.py", result, "--markdown", "-o", tmp_path / "report.md"], ["compare.py", result, result],
                    ["figures.py", result],
                    ["cite.py", result, "--cell", "cpu/asyncio_await/workers:1/grain_ns:0/batch:1"]):
        made = run_script(*command)
        assert made.returncode == 0, (command, made.stdout, made.stderr)
    assert "asyncio_await" in (tmp_path / "report.html").read_text()


@pytest.mark.slow
def test_the_peer_campaign_runs_and_judges_what_it_measured(program, tmp_path, root):
    done = subprocess.run([PYTHON, root / "scripts/campaigns/judge.py", "peers", "-o", tmp_path, "--tally", program, "--quick", "--only",
                           "ingest,overhead"], cwd=root, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 1, "lookup was not measured"
    table = (tmp_path / "peers.md").read_text()
    rows = {tuple(part.strip() for part in line.split("|")[1:3]): line for line in table.splitlines() if line.startswith("|")}
    assert "none: " not in rows["ingest", "event_loop over twisted_server"], done.stderr
    assert "none: " not in rows["overhead", "count_c: time through `tally run` over time by itself"], done.stderr
    assert "none: " in rows["lookup-1000", "coroutines over asyncio_lookup"]
    for name in ("asyncio_server", "twisted_server", "coroutines"):
        assert name in (tmp_path / "ingest.txt").read_text()
