"""`tally run --against`: this build and another in one campaign. Nothing here depends on which is faster."""

import json
import os
import signal
import stat
import subprocess
import time

import pytest

from command_line import refused
from in_process import run_script

CELLS = ["--stream", "cpu", "--model", "sequential,fibers", "--grain", "0", "--workers", "1", "--events", "200k"]
ROUNDS = ["--rounds", "7", "--no-progress"]
FIBERS = "cpu/fibers/workers:1/grain_ns:0/batch:1"


@pytest.fixture
def scripts(tmp_path):
    """Runs a script on r.json in the test's folder."""
    return lambda script, *arguments: run_script(script, *arguments, "r.json", cwd=tmp_path)


@pytest.fixture
def pretender(tmp_path):
    """A program that takes samples as the given lines of Python say, and no Tally."""

    def make(body):
        path = tmp_path / "pretender"
        path.write_text("#!/usr/bin/env python3\nimport json, sys\ndef say(**line): print(json.dumps(line), flush=True)\n" + body)
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return path

    return make


def median_of(tmp_path, name=FIBERS):
    data = json.loads((tmp_path / "r.json").read_text())
    return data, next(entry for entry in data["benchmarks"] if entry["name"] == name + "_median")


@pytest.mark.slow
def test_two_builds_are_measured_in_turn_and_compared(tally, program, scripts, tmp_path):
    done = tally("run", *CELLS, *ROUNDS, "--against", program, "--out", "r.json")
    assert done.returncode == 0, done.stderr
    data, median = median_of(tmp_path)
    samples = [b for b in data["benchmarks"] if b["run_type"] == "iteration"]
    assert len(samples) == 2 * 2 * 7 and all(b["verified"] for b in samples)
    rounds = {(b["round"], b["order"]): b["run_name"] for b in samples}
    for (round_, order), name in rounds.items():
        twin = name.removesuffix("/against:1") if name.endswith("/against:1") else name + "/against:1"
        assert twin in (rounds.get((round_, order - 1)), rounds.get((round_, order + 1))), "one right after the other"
    # Two pairs, so each interval is one of 97.5%: 7 rounds are enough.
    assert median["ratio_to_against_rounds"] == 7
    assert median["ratio_to_against_low"] <= median["ratio_to_against"] <= median["ratio_to_against_high"]
    other = data["context"]["against"]
    assert other["binary_sha256"] == data["context"]["binary_sha256"] and other["path"] == str(program)
    assert "this build against" in done.stdout.decode()
    broken = [line for line in scripts("validate.py").stdout.splitlines() if "disclosure" not in line and "holds" not in line and "length" not in line]
    assert broken == []
    compared = json.loads(scripts("compare.py", "--json").stdout)
    assert [row["cell"] for row in compared["cells"]] == [FIBERS.replace("fibers", "sequential"), FIBERS]
    assert compared["cells"][1]["ratio"] == pytest.approx(median["ratio_to_against"])
    assert compared["differences"] == [], "it is the same program"


@pytest.mark.slow
def test_lookups_are_measured_against_another_build_too(tally, program, tmp_path):
    done = tally("run", "--stream", "lookup", "--model", "coroutines", "--in-flight", "10", "--wait", "100us", "--events", "1k", *ROUNDS,
                 "--against", program, "--out", "r.json")
    assert done.returncode == 0, done.stderr
    samples = [b for b in json.loads((tmp_path / "r.json").read_text())["benchmarks"] if b["run_type"] == "iteration"]
    assert len(samples) == 14 and all(b["replies"] == 1000 and "service_cpu_s" in b for b in samples)


@pytest.mark.slow
def test_events_of_a_file_are_counted_by_both(tally, program, tmp_path):
    (tmp_path / "log").write_text("".join(f"key{i % 7} x\n" for i in range(20_000)))
    done = tally("run", "--input", "log", "--format", "lines", "--key", "1", "--model", "sequential", *ROUNDS, "--against", program, "--out", "r.json")
    assert done.returncode == 0, done.stderr
    samples = [b for b in json.loads((tmp_path / "r.json").read_text())["benchmarks"] if b["run_type"] == "iteration"]
    assert len(samples) == 14 and all(b["events_counted"] == 20_000 for b in samples)


@pytest.mark.slow
def test_a_slowed_model_counts_right_and_does_its_work_again(tally, program, tmp_path):
    slowed = program.parent.parent / "tests/slowed_tally"
    cells = ["--stream", "cpu", "--model", "fibers", "--grain", "10us", "--workers", "1", "--events", "2k"]
    done = tally("run", *cells, "--rounds", "2", "--no-progress", "--against", slowed, "--out", "r.json", env={**os.environ, "TALLY_SLOWED": "fibers:900"})
    assert done.returncode == 0, done.stderr
    samples = [b for b in json.loads((tmp_path / "r.json").read_text())["benchmarks"] if b["run_type"] == "iteration"]
    # CPU time, which does not depend on what else runs here: ten times as much work.
    cpu = {against: sum(b["cpu_s"] for b in samples if b.get("against", 0) == against) for against in (0, 1)}
    assert 5 < cpu[1] / cpu[0] < 20


@pytest.mark.parametrize("path, said", [("none", "cannot be run"), ("/", "cannot be run"), ("", "write the path"), ("/bin/true", "exited with status 0"),
                                        ("/bin/echo", "does not say what 'tally sampler' says")])
def test_what_is_no_tally_is_refused(tally, path, said):
    refused(tally("run", *CELLS, *ROUNDS, "--against", path), "--against", said)


def test_a_build_with_other_models_has_nothing_to_compare(tally, program):
    other = program.parent.parent / "tests/broken_tally"
    refused(tally("run", *CELLS, *ROUNDS, "--against", other), "--against", "sequential")


def test_what_the_other_build_does_not_take_is_its_own_word(tally, pretender):
    other = pretender("say(error=\"unknown option '--grain'\")\n")
    refused(tally("run", *CELLS, *ROUNDS, "--against", other), "--against", "unknown option '--grain'")


def test_a_build_of_another_protocol_is_refused(tally, pretender):
    other = pretender("say(sampler=2, cells=[], manifest={})\nsys.stdin.read()\n")
    refused(tally("run", *CELLS, *ROUNDS, "--against", other), "protocol 2")


HELLO = f"""
cells = ["{FIBERS}"]
build = dict(type="Release", compiler="c", flags="f", libraries={{}})
say(sampler=1, cells=cells, manifest=dict(tally_version="9", tally_commit="{"0" * 40}", tally_tree="clean", binary_sha256="{"0" * 64}", build=build))
prepare = json.loads(sys.stdin.readline())
"""


def test_a_build_that_does_not_say_what_it_is_is_refused(tally, pretender):
    refused(tally("run", *CELLS, *ROUNDS, "--against", pretender(HELLO.replace('tally_version="9", ', ""))), "no tally_version")


def test_a_program_that_ends_its_output_and_lives_on_is_refused(tally, pretender):
    refused(tally("run", *CELLS, *ROUNDS, "--against", pretender("import os, time\nos.close(1)\ntime.sleep(1000)\n")), "killed by signal 15")


@pytest.mark.slow
def test_a_cell_that_the_builds_count_differently_fails(tally, pretender, tmp_path):
    other = pretender(HELLO + "say(prepared={name: 'another digest' for name in cells})\nsys.stdin.read()\n")
    done = tally("run", *CELLS, *ROUNDS, "--against", other, "--out", "r.json")
    assert done.returncode == 1
    assert b"the two builds count different events" in done.stdout
    assert b"measured in this build alone" in done.stdout, "sequential, which the other does not have"


@pytest.mark.slow
def test_a_build_that_dies_fails_the_cell_and_is_started_again_once(tally, program, pretender, tmp_path):
    # The digest is this build's own: the pretender asks it.
    other = pretender(HELLO + f"""
import subprocess
tally = subprocess.Popen(["{program}", "sampler", *sys.argv[2:]], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
tally.stdout.readline()
tally.stdin.write(json.dumps(prepare) + "\\n")
tally.stdin.flush()
print(tally.stdout.readline(), end="", flush=True)
tally.stdin.close()
tally.wait()
sys.stdin.readline()
sys.stderr.write("out of luck\\n")
sys.exit(3)
""")
    done = tally("run", *CELLS, *ROUNDS, "--against", other, "--out", "r.json")
    assert done.returncode == 1
    text = done.stdout.decode()
    assert "exited with status 3" in text and "out of luck" in text and "it was started again" in text
    entries = json.loads((tmp_path / "r.json").read_text())["benchmarks"]
    own = [b for b in entries if b["run_name"] == FIBERS and b["run_type"] == "iteration"]
    assert len(own) == 7 and all(b["verified"] for b in own), "this build's cell has its figures"


def test_an_interrupted_campaign_leaves_no_process(tally, program, tmp_path):
    seed = str(os.getpid())  # tells its processes from those of other tests
    command = [program, "run", "--stream", "cpu,lookup", "--model", "fibers", "--grain", "0", "--wait", "100us", "--in-flight", "10", "--events", "2k",
               "--against", program, "--rounds", "10000", "--time-budget", "1000s", "--out", "r.json", "--order-seed", seed]
    running = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)

    def left():
        return subprocess.run(["pgrep", "-f", f"sampler.*order-seed.{seed}"], capture_output=True, text=True, check=False).stdout

    deadline = time.monotonic() + 60
    while not (tmp_path / "r.json").exists():
        assert time.monotonic() < deadline and running.poll() is None
        time.sleep(0.05)
    assert left()
    running.send_signal(signal.SIGINT)
    assert running.wait(timeout=30) == 130
    running.stdout.close()
    while left():  # what dies with its parent takes a moment
        assert time.monotonic() < deadline
        time.sleep(0.05)
