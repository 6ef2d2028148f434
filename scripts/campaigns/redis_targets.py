"""What lookups on a real Redis must reach, beside redis-benchmark.

Debian's redis-server has the last CPU, and what asks it the first: one model with 1,000 connections, or redis-benchmark with as many, each
for the same number of GETs of keys drawn from equally many, one under way on each connection. Every count is verified; of redis-benchmark,
that every key was there.
"""

import csv
import functools

from tally import results
from tally.judging import Missing, Target, by_targets, of, ratio
from tally.measuring import CPUS, flags, in_rounds, keep, median_sample, on_cpu, ran
from tally.redis_server import NoRedis, RedisServer

MODELS = ("coroutines", "fibers")
OTHERS = ("event_loop", "tbb_flow_graph", "thread_pool")
CONNECTIONS = 1000
KEYS = 1000  # that are counted, as `tally run` has it
SLOTS = 100_000  # keys in the database, as `tally run` loads them
CELL = "lookup/{}/workers:1/wait_us:0/in_flight:" + str(CONNECTIONS)


def options(parser):
    """Adds the options of this campaign."""
    parser.add_argument("--rounds", type=int, default=15, help="how often each is measured (default: %(default)s)")
    parser.add_argument("--events", type=int, default=300_000, help="GETs of a sample (default: %(default)s)")


def load_keys(server):
    """The keys that redis-benchmark asks for, with values as long as those of Tally's."""
    commands = "".join(f"SET key:{slot:012d} {slot % KEYS}\r\n" for slot in range(SLOTS))
    ran(["redis-cli", "-p", server.port, "--pipe"], input=commands)


def misses(server):
    """How many GETs have found nothing so far."""
    stats = ran(["redis-cli", "-p", server.port, "INFO", "stats"]).stdout
    return int(stats.split("keyspace_misses:")[1].split()[0])


def benchmark(server, events):
    """GETs a second, as redis-benchmark has it."""
    before = misses(server)
    command = ["redis-benchmark", "-h", "127.0.0.1", "-p", server.port, "-c", CONNECTIONS, "-t", "get", "-n", events, "-r", SLOTS,
               "-P", 1, "--csv"]
    rows = list(csv.DictReader(ran(on_cpu(CPUS[0], command)).stdout.splitlines()))
    if len(rows) != 1 or rows[0].get("test") != "GET":
        raise Missing("redis-benchmark printed no GETs a second")
    if missed := misses(server) - before:
        raise Missing(f"redis-benchmark asked for {missed} keys that are not there")
    return {"items_per_second": float(rows[0]["rps"]), "events_counted": events}


def lookups(server, model, arguments):
    """The command of a model's samples."""
    return [arguments.tally, "run", *flags(model=model, stream="lookup", workers=1, in_flight=CONNECTIONS, events=arguments.events, keys=KEYS,
                                           service=server.url)]


def measure_redis(name, arguments):
    """All models and redis-benchmark, in turn. Raises Missing without a second CPU, or Redis."""
    if len(CPUS) < 2:
        raise Missing("one CPU: the database would have that of whoever asks it")
    try:
        with RedisServer(cpu=CPUS[-1]) as server:
            load_keys(server)
            jobs = {CELL.format(model): functools.partial(median_sample, lookups(server, model, arguments))
                    for model in (*MODELS, *OTHERS, "limit")}
            jobs[CELL.format("redis_benchmark")] = functools.partial(benchmark, server, arguments.events)
            entries = in_rounds(jobs, arguments.rounds)
            version = ran(["redis-server", "--version"]).stdout.split("v=")[1].split()[0]
            keep(name, entries, arguments, redis_version=version, events=arguments.events, database_cpu=CPUS[-1], worker_cpu=CPUS[0])
    except NoRedis as problem:
        raise Missing(str(problem)) from None


def per_event(key):
    """The metric that is this figure of a sample over its events."""
    return lambda sample: sample[key] / sample["events_counted"]


MEASUREMENTS = {"redis": measure_redis}
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

judge = by_targets(TARGETS)
