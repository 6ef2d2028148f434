"""Runs programs and keeps what they measured as result files. What these say is judging's.

`arguments` are those of scripts/campaigns/judge.py: `campaign` its name, `tally` the program, `out` the folder of the result files.
"""

import json
import lzma
import os
import pathlib
import platform
import random
import subprocess
import sys
import tempfile

from tally import results
from tally.judging import Missing
from tally.whole_files import write_whole

ROOT = pathlib.Path(__file__).resolve().parents[2]
CPUS = sorted(os.sched_getaffinity(0))
PATIENCE_S = 120
LINK_RATE = "1gbit"  # of the hosts of scripts/with_hosts
AS_ROOT = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}  # mpirun must be told twice; in a container there is only root
# What a result file takes over from the manifest of `tally run`, and from a sample of it.
MANIFEST = ("date", "host_name", "cpu_model", "cpus_usable", "num_cpus", "kernel", "virtualisation", "memory_bytes", "tally_version",
            "tally_commit", "tally_tree", "binary_sha256")
SAMPLE = ("items_per_second", "real_time", "time_unit", "cpu_s", "user_s", "sys_s", "startup_s", "service_cpu_s", "service_busy_s",
          "peak_rss_bytes", "ctx_involuntary", "events_counted", "replies", "count_s", "merge_s", "imbalance", "merged_bytes", "per_rank",
          "workers", "ranks", "hosts")


# Command lines.


def flags(**options):
    """Arguments of a program: option names with _ for -."""
    return [part for name, value in options.items() for part in (f"--{name.replace('_', '-')}", str(value))]


def run_options(models, rounds="12:25", ci="2%", budget="90s", **options):
    """Arguments of `tally run`."""
    return flags(model=",".join(models), rounds=rounds, ci=ci, time_budget=budget, **options)


def on_cpu(cpu, command):
    """The command, bound to a CPU, or to several with commas between."""
    return ["taskset", "-c", str(cpu), *map(str, command)]


def built(tally, path):
    """Another program of the build that `tally` is of: `path` within the build's folder."""
    return pathlib.Path(tally).resolve().parent.parent / path


def in_ranks(ranks, command, arguments, each="core"):
    """`tally-mpi COMMAND` in ranks on this machine, bound to a core each, or to what else mpirun's --bind-to may name."""
    return ["mpirun", "--bind-to", each, "-n", ranks, built(arguments.tally, "mpi/tally-mpi"), *command]


def on_hosts(hosts, delay, command, arguments):
    """`tally-mpi COMMAND` with a rank on each of so many hosts of scripts/with_hosts, whose links have this delay each way."""
    shape = flags(rate=LINK_RATE, **({} if delay == "0" else {"delay": delay}))
    return [ROOT / "scripts/with_hosts", hosts, *shape, "mpirun", "-n", hosts, built(arguments.tally, "mpi/tally-mpi"), *command]


# Running.


def ran(command, patience_s=PATIENCE_S, statuses=(0,), made=None, environment=None, **options):
    """Runs a command: a subprocess.CompletedProcess with its output. Raises Missing, with what it said, where it cannot be started, takes
    longer than `patience_s`, ends with none of `statuses` (None: any will do) or leaves no file at `made` (None: it is to leave none)."""
    command = list(map(str, command))
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=patience_s, check=False,
                              env={**os.environ, **AS_ROOT, **(environment or {})}, **options)
    except (OSError, subprocess.TimeoutExpired) as problem:
        raise Missing(f"{command[0]}: {problem}") from None
    if statuses is not None and done.returncode not in statuses or made is not None and not made.exists():
        said = done.stderr.strip() or done.stdout.strip()
        own = [line for line in said.splitlines() if line.startswith("tally: ")]  # and not what mpirun adds to it
        raise Missing(f"{' '.join(command)}: exit status {done.returncode}: {own[0] if own else ' '.join(said[-300:].split())}")
    return done


def result_of(command, patience_s=None, statuses=None, environment=None):
    """Runs a command of Tally that takes --out: the text of its result file, and the CompletedProcess. Raises Missing as ran()."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "result.json"
        done = ran([*command, "--out", path], patience_s, statuses, path, environment)
        return results.read_text(path), done


def quiet_run(options, arguments):
    """The Results of a `tally run` of which nothing is kept. Raises Missing or NotTally."""
    command = [arguments.tally, "run", *options, "--no-progress"]
    return results.parse(result_of(command)[0], "the result of tally run")


def tally_run(name, options, arguments):
    """Runs `tally run`; keeps its result file NAME and its table NAME.txt. Raises Missing."""
    print(f"{name}: tally run {' '.join(options)}", file=sys.stderr, flush=True)
    done = keep_result(name, [arguments.tally, "run", *options, "--no-progress"], arguments.out, None, None)
    write_whole({arguments.out / f"{name}.txt": done.stdout})
    print(f"{done.stderr}{name}: exit status {done.returncode}", file=sys.stderr, flush=True)


def median_sample(command, samples=1):
    """One sample as in_rounds() takes it: the median of so many that a `run` takes of its one cell, and events/s of the fastest. Raises Missing."""
    text, done = result_of([*command, "--no-progress", "--rounds", samples], PATIENCE_S)
    (found,) = results.parse(text, f"the result of {command[0]}").cells
    if found.failure or done.returncode:
        raise Missing(found.failure or f"{command[0]}: exit status {done.returncode}")
    by_speed = sorted(found.samples, key=results.throughput)
    sample = by_speed[len(by_speed) // 2]
    return {key: sample[key] for key in SAMPLE if key in sample} | {"fastest_items_per_second": results.throughput(by_speed[-1])}


def in_rounds(jobs, rounds):
    """Entries of a result file: samples of all jobs (cell name -> function that measures once), in rounds, each in an order of its own."""
    draw, entries = random.Random(1), []
    for round_ in range(rounds):
        for order, name in enumerate(draw.sample(list(jobs), len(jobs))):
            entry = {"name": name, "run_name": name, "run_type": "iteration", "round": round_, "order": order}
            try:
                entry.update(jobs[name](), verified=True)
            except (Missing, results.NotTally) as problem:
                print(f"{name}: {problem}", file=sys.stderr)
                entry.update(verified=False, error_occurred=True, error_message=str(problem))
            entries.append(entry)
    return entries


# Keeping.


def forget(name, folder):
    """Removes the result file NAME, compressed or not."""
    for ending in (".json", ".json.xz"):
        (folder / f"{name}{ending}").unlink(missing_ok=True)


def keep_text(name, text, folder):
    """Keeps the text of a result file as NAME.json.xz, in place of the one before."""
    write_whole({folder / f"{name}.json.xz": lzma.compress(text.encode())})
    (folder / f"{name}.json").unlink(missing_ok=True)


def keep_result(name, command, folder, patience_s=PATIENCE_S, statuses=(0,)):
    """Runs a command of Tally that takes --out, and keeps its result file as NAME. Gives the CompletedProcess; raises Missing as ran()."""
    text, done = result_of(command, patience_s, statuses)
    keep_text(name, text, folder)
    return done


def keep(name, entries, arguments, **more):
    """Keeps entries as the result file NAME, with the machine and program as `tally run` tells them, and `more`. Raises Missing."""
    found = quiet_run(flags(stream="ingest", model="limit", events=1000, rounds=1), arguments)
    context = {key: found.context[key] for key in MANIFEST if key in found.context}
    context.update(made_by=f"scripts/campaigns/judge.py {arguments.campaign}", python=platform.python_version(), **more)
    keep_text(name, json.dumps({"context": context, "benchmarks": entries}, indent=1) + "\n", arguments.out)
