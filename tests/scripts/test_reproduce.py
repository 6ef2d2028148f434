"""scripts/reproduce.py, with a program that writes prepared results in place of `tally`."""

import json
import subprocess

import pytest

import reproduce
from in_process import run_script
from result_files import keep, signed


def samples_alone(text):
    data = json.loads(text)
    data["benchmarks"] = [b for b in data["benchmarks"] if b["run_type"] == "iteration"]
    return data


def swapped(text, one, other):
    """The result with the figures of two models exchanged."""
    data = samples_alone(text)
    rates = {(b["run_name"], b["round"]): b["items_per_second"] for b in data["benchmarks"]}
    for entry in data["benchmarks"]:
        name = entry["run_name"]
        for a, b in ((one, other), (other, one)):
            if f"/{a}/" in name:
                entry["items_per_second"] = rates.get((name.replace(f"/{a}/", f"/{b}/"), entry["round"]), entry["items_per_second"])
                if "efficiency" in entry:
                    entry["efficiency"] = entry["items_per_second"] / entry["bound_items_per_second"]
                break
    return signed(data)


@pytest.fixture
def run(root, tmp_path):
    """run(old text, what the program then measures), in a process of its own if that is asked for: what it did. The program's arguments are
    in a file."""

    def call(old, new, status=0, process=False):
        (tmp_path / "old.json").write_text(old, encoding="utf-8")
        (tmp_path / "made.json").write_text(new, encoding="utf-8")
        tally = tmp_path / "tally"
        tally.write_text(f'#!/bin/sh\necho "$*" >{tmp_path}/arguments\nwhile [ $# -gt 1 ]; do [ "$1" = --out ] && cp {tmp_path}/made.json "$2"; '
                         f"shift; done\nexit {status}\n")
        tally.chmod(0o755)
        command = ["old.json", "-o", "new.json", "--tally", tally]
        if process:
            return subprocess.run([root / "scripts/reproduce.py", *command], cwd=tmp_path, capture_output=True, text=True, timeout=120)
        return run_script("reproduce.py", *command, cwd=tmp_path)

    return call


def test_the_same_figures_agree_and_so_does_the_ranking(run, reference, tmp_path):
    done = run(reference, reference)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "figures: 27 of 27 cells agree" in done.stdout and " 0 the other way round, 0 not at all" in done.stdout
    assert (tmp_path / "arguments").read_text().split() == ["run", "--out", "new.json"], "the old --out and --no-progress are left out"


def test_what_was_measured_against_another_build_is_measured_alone(reference):
    context = json.loads(reference)["context"]
    context["against"] = {}
    context["command_line"] = ["tally", "run", "--against", "/opt/tally", "--model", "fibers", "--against=/opt/tally"]
    context["factors"].update(ci=0.02, min_rounds=10, max_rounds=80, time_budget_ns=180_000_000_000)
    assert reproduce.arguments_of(context) == ["--model", "fibers", "--ci", "0.02", "--rounds", "10:80", "--time-budget", "180000000000ns"]


def test_a_ranking_that_is_reversed_is_named(run, reference):
    done = run(reference, swapped(reference, "process_shard", "coroutines"))
    assert done.returncode == 1
    assert "reversed: coroutines was faster than process_shard in the group of lookup/" in done.stdout, done.stdout


def test_a_cell_that_is_not_there_any_more_is_named(run, reference):
    data = keep(json.loads(reference), lambda b: b["stream"] == "cpu")
    done = run(reference, signed(data))
    assert done.returncode == 1 and "not measured here: lookup/" in done.stdout, done.stdout + done.stderr


def test_what_tally_ends_with_is_passed_on(run, reference):
    done = run(reference, reference, status=130, process=True)
    assert done.returncode == 130 and "130" in done.stderr


@pytest.mark.parametrize("command, kept", [
    (["tally", "run", "--grain", "1us", "--out", "x.json", "--rounds", "3"], ["--grain", "1us", "--rounds", "3"]),
    (["tally", "run", "--out=x.json", "--no-progress", "--seed=7"], ["--seed=7"]),
    (["tally", "run", "--benchmark_out=x", "--benchmark_filter=cpu"], ["--benchmark_filter=cpu"])])
def test_what_said_where_output_goes_is_left_out(command, kept):
    assert reproduce.arguments_of({"command_line": command}) == kept


def test_a_changed_file_is_not_run_again(run, reference):
    done = run(reference.replace('"interrupted": false', '"interrupted": true', 1), reference, process=True)
    assert done.returncode == 2 and "was changed" in done.stderr and done.stderr.count("\n") == 1


def test_a_search_is_measured_again_at_the_rates_that_it_found(program):
    searches = [{"model": "event_loop", "cell": "ingest/event_loop/workers:1/connections:2/rate:310000", "rate_per_s": 310000.0},
                {"model": "sequential", "cell": "ingest/sequential/workers:1/connections:2/rate:max"},
                {"model": "limit", "cell": "ingest/limit/workers:1/connections:2/rate:1250000", "rate_per_s": 1250000.0}]
    context = {"command_line": ["tally", "run", "--stream", "ingest", "--connections", "2", "--workers", "1", "--slo", "p99=5ms", "--hgrm", "x"],
               "slo": {"searches": searches}}
    done = subprocess.run([program, "run", *reproduce.arguments_of(context), "--benchmark_list_tests"], capture_output=True, text=True,
                          check=True)
    assert done.stdout.split() == [searches[0]["cell"], searches[2]["cell"]]
