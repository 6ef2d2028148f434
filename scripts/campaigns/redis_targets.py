#!/usr/bin/python3
"""Measures what lookups on a real Redis must reach, and says of each figure whether it is met.

    scripts/campaigns/redis_targets.py -o results/redis_targets [--rounds N] [--events N] [--tally build/bench/tally]
    scripts/campaigns/redis_targets.py -o results/redis_targets --judge     # judges the file that is there, without measuring

As scripts/campaigns/targets.py does it for the other streams; the table is redis_targets.md. Debian's redis-server has the last CPU, and
whoever asks it the first: one model with 1,000 connections, or redis-benchmark with as many, each for the same number of GETs of
keys drawn from equally many, one under way on each connection. They take turns, in an order that is drawn for each round. Every
count is verified; of redis-benchmark, that every key was there. Exit status: 0 all met, 1 not all, 2 the command line is wrong.
"""

import csv
import functools
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))  # scripts/

from tally import results
from ingest_targets import CPUS, PATIENCE_S, in_rounds, keep, on_cpu, quiet_run
from tally.redis_server import NoRedis, RedisServer
from targets import Missing, Target, carry_out, command_line, of, ratio, run_options

MODELS = ("coroutines", "fibers")
OTHERS = ("event_loop", "tbb_flow_graph", "thread_pool")
CONNECTIONS = 1000
KEYS = 1000  # that are counted, as `tally run` has it
SLOTS = 100_000  # keys in the database, as `tally run` loads them
KEPT = ("items_per_second", "real_time", "time_unit", "cpu_s", "user_s", "sys_s", "startup_s", "service_cpu_s", "service_busy_s",
        "peak_rss_bytes", "ctx_involuntary", "events_counted", "replies")
CELL = "lookup/{}/workers:1/wait_us:0/in_flight:" + str(CONNECTIONS)


def said(command, **options):
    """What a command prints."""
    try:
        done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=PATIENCE_S, check=False, **options)
    except (OSError, subprocess.TimeoutExpired) as problem:
        raise Missing(f"{command[0]}: {problem}") from None
    if done.returncode != 0:
        raise Missing(f"{command[0]}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def load_keys(server):
    """The keys that redis-benchmark asks for, with values as long as those of Tally's."""
    commands = "".join(f"SET key:{slot:012d} {slot % KEYS}\r\n" for slot in range(SLOTS))
    said(["redis-cli", "-p", server.port, "--pipe"], input=commands)


def misses(server):
    """How many GETs have found nothing so far."""
    stats = said(["redis-cli", "-p", server.port, "INFO", "stats"])
    return int(stats.split("keyspace_misses:")[1].split()[0])


def benchmark(server, events):
    """GETs a second, as redis-benchmark has it."""
    before = misses(server)
    command = ["redis-benchmark", "-h", "127.0.0.1", "-p", server.port, "-c", CONNECTIONS, "-t", "get", "-n", events, "-r", SLOTS,
               "-P", 1, "--csv"]
    rows = list(csv.DictReader(said(on_cpu(CPUS[0], command)).splitlines()))
    if len(rows) != 1 or rows[0].get("test") != "GET":
        raise Missing("redis-benchmark printed no GETs a second")
    if missed := misses(server) - before:
        raise Missing(f"redis-benchmark asked for {missed} keys that are not there")
    return {"items_per_second": float(rows[0]["rps"]), "events_counted": events}


def looked_up(server, model, arguments):
    """A sample of a model."""
    options = run_options((model,), stream="lookup", workers=1, in_flight=CONNECTIONS, events=arguments.events, rounds="1",
                          keys=KEYS, service=server.url)
    (found,) = quiet_run(options, arguments).cells
    if found.failure:
        raise Missing(found.failure)
    return {key: value for key, value in found.samples[0].items() if key in KEPT}


def measure_redis(name, arguments):
    if len(CPUS) < 2:
        raise Missing("one CPU: the database would have that of whoever asks it")
    try:
        with RedisServer(cpu=CPUS[-1]) as server:
            load_keys(server)
            jobs = {CELL.format(model): functools.partial(looked_up, server, model, arguments) for model in (*MODELS, *OTHERS, "limit")}
            jobs[CELL.format("redis_benchmark")] = functools.partial(benchmark, server, arguments.events)
            entries = in_rounds(jobs, arguments.rounds)
            version = said(["redis-server", "--version"]).split("v=")[1].split()[0]
            keep(name, entries, arguments, made_by="scripts/campaigns/redis_targets.py", redis_version=version, events=arguments.events,
                 database_cpu=CPUS[-1], worker_cpu=CPUS[0])
    except NoRedis as problem:
        raise Missing(str(problem)) from None


def per_event(key):
    return lambda sample: sample[key] / sample["events_counted"]


CAMPAIGNS = {"redis": measure_redis}
TARGETS = [
    *(Target("redis", f"{m} over limit", ratio(results.throughput, m, "limit"), 0.85) for m in MODELS),
    *(Target("redis", f"{m} over redis-benchmark", ratio(results.throughput, m, "redis_benchmark"), 0.8) for m in MODELS),
    *(Target("redis", f"{m} over limit", ratio(results.throughput, m, "limit")) for m in OTHERS),
    Target("redis", "limit over redis-benchmark", ratio(results.throughput, "limit", "redis_benchmark")),
    *(Target("redis", m, of(results.throughput, m, 1e-3), unit="k lookups/s") for m in (*MODELS, *OTHERS, "limit", "redis_benchmark")),
    *(Target("redis", f"{m}, CPU time a lookup", of(per_event("cpu_s"), m, 1e6), unit="us") for m in (*MODELS, *OTHERS, "limit")),
    *(Target("redis", f"{m}, CPU time of the database a lookup", of(per_event("service_cpu_s"), m, 1e6), unit="us")
      for m in (*MODELS, *OTHERS, "limit")),
]


def main():
    parser = command_line(__doc__.splitlines()[0], "redis_targets", CAMPAIGNS)
    parser.add_argument("--rounds", type=int, default=15, help="how often each is measured (default: %(default)s)")
    parser.add_argument("--events", type=int, default=300_000, help="GETs of a sample (default: %(default)s)")
    return carry_out(parser, "redis_targets", CAMPAIGNS, TARGETS)


if __name__ == "__main__":
    results.run(main)
