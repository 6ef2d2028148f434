"""What serving must reach, the load generator included.

Where a server is started here (`tally serve`, or one of scripts/peers), it has the first CPU and `tally load` the last. Every server gets
the same keys in the same order. A latency is the model's only if the generator was on time: where most runs of a cell were sent late, the
row is marked, and is not met.
"""

import contextlib
import dataclasses
import functools
import importlib.metadata
import json
import os
import pathlib
import signal
import struct
import subprocess
import sys

from tally import results
from tally.judging import Figure, Missing, Target, by_targets, cell, complete, failed_cells, memory_slope, of, ratio
from tally.measuring import CPUS, PATIENCE_S, ROOT, flags, forget, in_rounds, keep, on_cpu, quiet_run, ran, run_options, tally_run

PEERS = ROOT / "scripts/peers"
KEYS = 1000
EVENTS_FOR_ALL_KEYS = 100_000  # so many uniform draws leave no key out
PILOT_EVENTS = 1_000_000
EVENTS_FOR_P99 = 300_000  # 270,336 latencies are needed, docs/method.md


@contextlib.contextmanager
def serving(command):
    """A server that listens; gives its process and its port, and leaves no process behind."""
    with subprocess.Popen(on_cpu(CPUS[0], command), stdout=subprocess.PIPE, text=True) as server:
        try:
            said = server.stdout.readline()
            if not said.startswith("listening on "):
                raise Missing(f"{command[0]} did not listen")
            yield server, int(said.rsplit(":", 1)[1])
        finally:
            server.kill()


def stopped(server):
    """The numbers of the line that a server prints at SIGTERM."""
    server.send_signal(signal.SIGTERM)
    try:
        said, _ = server.communicate(timeout=PATIENCE_S)
        numbers = [int(field) for field in said.split()]
    except (subprocess.TimeoutExpired, ValueError):
        numbers = []
    if server.returncode != 0 or not numbers:
        raise Missing(f"the server ended with status {server.returncode}, and no counts")
    return numbers


@contextlib.contextmanager
def polling(cpu, limit=pathlib.Path("/dev/cpu_dma_latency")):
    """Meanwhile the CPU does not halt, as `tally run --idle poll` has it: the kernel may take no time to wake one, or, where that cannot be
    asked for, something spins there in the scheduler's idle class."""
    try:
        latency = limit.open("wb", buffering=0)
    except OSError:
        pass
    else:
        with latency:
            latency.write(struct.pack("i", 0))
            yield
        return
    code = f"""
import os
os.sched_setaffinity(0, [{cpu}])
os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
print("spinning", flush=True)
while os.getppid() == {os.getpid()}: pass"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as spinner:
        try:
            # Until then it is a process like any other, and in the way.
            if spinner.stdout.readline() != "spinning\n":
                raise Missing(f"nothing polls on CPU {cpu}")
            yield
        finally:
            spinner.kill()


def load(tally, port, **options):
    """What `tally load` says of a load. Raises Missing."""
    command = [tally, "load", *flags(port=port, connections=100, keys=KEYS, seed=1, **options), "--json"]
    return json.loads(ran(on_cpu(CPUS[-1], command)).stdout)


def drained(tally, rate, seconds, idle):
    """How well the load generator kept a rate, into a sink that only reads, and whose CPU polls or halts while it waits."""
    with serving([sys.executable, PEERS / "sink.py"]) as (server, port):
        with polling(CPUS[0]) if idle == "poll" else contextlib.nullcontext():
            account = load(tally, port, rate=rate, events=int(rate * seconds))
        (read,) = stopped(server)
    if read != account["bytes"]:
        raise Missing(f"of {account['bytes']} bytes {read} were read")
    return {**account, "items_per_second": account["achieved_per_s"]}


def counted(tally, command, events):
    """How fast a server counted so many events, from when the first was sent until it had closed every connection."""
    with serving(command) as (server, port):
        account = load(tally, port, rate="max", events=events)
        numbers = stopped(server)
    if numbers[1:] != [events, KEYS]:
        raise Missing(f"wrong count: {numbers[1:]} events and keys, expected {[events, KEYS]}")
    return {**account, "items_per_second": events / account["closed_s"]}


def events_for(seconds, tally, command):
    """About as many events as the server counts in that time; few, if its pilot fails: the rounds will say why."""
    try:
        pilot = counted(tally, command, PILOT_EVENTS)["items_per_second"]
    except Missing:
        return EVENTS_FOR_ALL_KEYS
    return max(EVENTS_FOR_ALL_KEYS, int(float(f"{pilot * seconds:.1e}")))


def clock_read(seconds):
    """How late a loop that does nothing but read the clock, where else the generator is, sees what is due: what the machine adds."""
    code = f"""
import json, os, time
os.sched_setaffinity(0, [{CPUS[-1]}])
began = last = time.monotonic_ns()
gaps, readings = [], 0
while last - began < {seconds * 10**9}:
    now = time.monotonic_ns()
    if now - last > 5000:
        gaps.append(now - last)
    last = now
    readings += 1
print(json.dumps([last - began, gaps, readings]))"""
    span_ns, gaps_ns, readings = json.loads(ran([sys.executable, "-c", code]).stdout)
    return {"late_p99_s": lateness_ns(span_ns, gaps_ns, 0.99) * 1e-9, "longest_s": max(gaps_ns, default=0) * 1e-9,
            "items_per_second": readings * 1e9 / span_ns}


def lateness_ns(span_ns, gaps_ns, quantile):
    """The quantile of how late a moment drawn from all of the span is seen, if nothing is seen within the gaps: in one of g, moments that
    are seen more than x late are g - x long."""
    sum_ns, later_ns = 0, (1 - quantile) * span_ns
    gaps_ns = sorted(gaps_ns, reverse=True)
    for n, gap in enumerate(gaps_ns, 1):
        sum_ns += gap
        late_ns = (sum_ns - later_ns) / n
        if late_ns >= (gaps_ns[n] if n < len(gaps_ns) else 0):
            return late_ns
    return 0.0


def measure_generator(name, arguments, rounds=10, seconds=2):
    """The load generator alone, and the clock without it."""
    jobs = {f"ingest/{generator}/connections:100/rate:{rate}": functools.partial(drained, arguments.tally, rate, seconds, idle)
            for rate in RATES for generator, idle in GENERATORS}
    jobs["ingest/clock/connections:0/rate:max"] = functools.partial(clock_read, seconds)
    keep(name, in_rounds(jobs, rounds), arguments)


def measure_peers(name, arguments, rounds=12, seconds=1):
    """Tally's servers and those that everybody has written once, each for about as long."""
    serve = [arguments.tally, "serve", *flags(workers=1, window=0, port=0)]
    commands = {**{model: [*serve, "--model", model] for model in ("event_loop", "coroutines")},
                **{peer: [sys.executable, PEERS / f"{peer}_server.py"] for peer in ("twisted", "asyncio")}}
    jobs = {}
    for server, command in commands.items():
        events = events_for(seconds, arguments.tally, command)
        jobs[f"ingest/{server}/workers:1/connections:100/rate:max"] = functools.partial(counted, arguments.tally, command, events)
    keep(name, in_rounds(jobs, rounds), arguments, twisted=importlib.metadata.version("twisted"))


def greatest_sustained(sustained, first=100_000, within=1.1):
    """The greatest rate that is sustained: doubled from the first on, then bisected. 0 if not even the first is."""
    low, high = 0, first
    while sustained(high):
        low, high = high, 2 * high
    while low and high / low > within:
        middle = int((low * high) ** 0.5)
        low, high = (middle, high) if sustained(middle) else (low, middle)
    return low


def probe(model, connections, rate, arguments):
    """Whether the model keeps up with a rate, and the generator with its schedule."""
    options = run_options((model,), stream="ingest", workers=1, connections=connections, rate=rate, rounds=3)
    (found,) = quiet_run(options, arguments).cells
    entry = {"name": found.name, "run_name": found.name, "rate_per_s": rate, "sustained": False}
    if found.failure:
        return {**entry, "run_type": "iteration", "verified": False, "error_occurred": True, "error_message": found.failure}
    kept = found.interval(lambda sample: sample["achieved_per_s"] / sample["offered_per_s"]).median
    saturated = found.aggregates["median"].get("saturated", False)
    return {**entry, "run_type": "aggregate", "aggregate_name": "median", "achieved_share": kept, "saturated": saturated,
            "sustained": not saturated and abs(kept - 1) <= 0.01, "items_per_second": found.interval(results.throughput).median}


def measure_half(model, connections, name, arguments):
    """Looks for the greatest rate of stamped lines that the model sustains, and measures it at half of that."""
    probes = []

    def sustained(rate):
        # Twice at most: once may be a stall of the machine.
        for _ in range(2):
            probes.append(probe(model, connections, rate, arguments))
            if probes[-1]["sustained"]:
                return True
        return False

    forget(name, arguments.out)  # that of another rate
    rate = greatest_sustained(sustained) // 2
    keep(f"{name}-probes", probes, arguments)
    if not rate:
        raise Missing("does not sustain the least rate")
    # Each run by itself has latencies enough to know its p99.
    tally_run(name, run_options((model,), stream="ingest", workers=1, connections=connections, rate=rate,
                                events=max(rate, EVENTS_FOR_P99), rounds="10"), arguments)


def rate_error(sample):
    """By what part the rate was not the one asked for."""
    return abs(sample["achieved_per_s"] / sample["offered_per_s"] - 1)


def send_late(sample):
    """Seconds that events were sent too late, p99."""
    return sample["late_p99_s"]


def run_p99(sample):
    """The 99th percentile of a run's latencies, in s. Of all runs together it would be that of the one in which the machine stalled."""
    if "latency_p99_s" not in sample:
        raise Missing(sample.get("latency_p99_s_absent", "no latencies"))
    if sample["events"] < EVENTS_FOR_P99:
        raise Missing("too few latencies to know their p99")
    return sample["latency_p99_s"]


def p99_on_time(model):
    """The median of the 99th percentiles, in ms, of the runs whose generator was on time; marked where most were not."""

    def figure(found):
        samples = cell(found, model).samples
        known = [(sample["send_late_p99_s"], sample["latency_p99_s"]) for sample in samples if "latency_p99_s" in sample]
        if not known:
            raise Missing("saturated at half of its own rate")
        punctual = [latency for late, latency in known if late <= results.ON_TIME_S]
        late = 2 * len(punctual) < len(known)
        mark = f"in {len(known) - len(punctual)} of {len(known)} runs the generator was late" if late else ""
        return dataclasses.replace(Figure.of_values([latency for _, latency in known] if late else punctual, 1e3), mark=mark)

    return figure


def greatest_probe(found):
    """The greatest rate that was sustained, in M/s."""
    rates = [each.params["rate"] for each in found.cells if each.aggregates and each.aggregates["median"]["sustained"]]
    if not rates:
        raise Missing("no rate was sustained")
    return Figure(max(rates) * 1e-6)


RATES = (10_000, 100_000, 1_000_000)
GENERATORS = (("generator", "halt"), ("generator_to_polling", "poll"))  # by what the sink's CPU does while it waits
LOOPS = ("event_loop", "coroutines", "fibers")
INGEST = {"stream": "ingest", "workers": 1}
HALVES = {f"half-{model}-{connections}": (model, connections) for model in LOOPS for connections in (10, 100)}
MEASUREMENTS = {
    "generator": measure_generator,
    # So many events that opening and closing 1,000 connections is little of a sample.
    "max": run_options((*LOOPS, "tbb_flow_graph", "thread_pool", "limit"), **INGEST, connections="1,100,1000", rate="max",
                       events="50M", budget="240s"),
    "peers": measure_peers,
    "connections": run_options((*LOOPS, "tbb_flow_graph"), **INGEST, connections="100,10000", rate="50k",
                               events=EVENTS_FOR_P99, rounds="6", budget="420s"),
    **{name: functools.partial(measure_half, *of_what) for name, of_what in HALVES.items()},
    "windows": run_options(("sequential", *LOOPS, "tbb_flow_graph", "thread_pool", "process_shard", "limit"), stream="ingest",
                           workers="1,2", connections="1,100", rate="100k", events="50k", arrivals="bursts", window="50ms",
                           disorder="20ms", rounds="3", budget="120s"),
}
TARGETS = [
    *(Target("generator", f"error of the rate at {rate // 1000} k/s", of(rate_error, "generator", 100, rate=rate),
             most=0.05, unit="%") for rate in RATES),
    *(Target("generator", f"lateness of sends at {rate // 1000} k/s, p99", of(send_late, "generator", 1e6, rate=rate),
             most=None if rate < 100_000 else 50, unit="us") for rate in RATES),
    *(Target("generator", f"lateness of sends at {rate // 1000} k/s, p99, to a CPU that polls",
             of(send_late, "generator_to_polling", 1e6, rate=rate), unit="us") for rate in RATES),
    *(Target("generator", f"lateness of sends at {rate // 1000} k/s, p99, polling over halting",
             ratio(send_late, "generator_to_polling", "generator", rate=rate)) for rate in RATES),
    Target("generator", "a loop that only reads the clock instead: lateness, p99", of(send_late, "clock", 1e6), unit="us"),
    *(Target("max", f"{m} over limit, {n} connection{'s' * (n > 1)}", ratio(results.throughput, m, "limit", connections=n), least)
      for n in (1, 100, 1000)
      for m, least in (*((m, 0.92) for m in LOOPS), ("tbb_flow_graph", 0.75), ("thread_pool", 0.8))),
    *(Target("max", f"limit, {n} connection{'s' * (n > 1)}", of(results.throughput, "limit", 1e-6, connections=n),
             unit="M lines/s") for n in (1, 100, 1000)),
    *(Target("peers", f"{m} over {peer}", ratio(results.throughput, m, peer), least)
      for peer, least in (("twisted", 8), ("asyncio", 60)) for m in ("event_loop", "coroutines")),
    *(Target("peers", server, of(results.throughput, server, 1e-6), unit="M lines/s")
      for server in ("event_loop", "coroutines", "twisted", "asyncio")),
    *(Target("connections", f"{m}, 10,000 connections: all counted", complete(m, connections=10_000), 1)
      for m in (*LOOPS, "tbb_flow_graph")),
    *(Target("connections", f"{m}, 10,000 connections: latency p99", of(run_p99, m, 1e3, connections=10_000), most=5, unit="ms")
      for m in (*LOOPS, "tbb_flow_graph")),
    *(Target("connections", f"{m}, a connection", memory_slope(m, "connections", 100, 10_000), most=most, unit="KiB")
      for m, most in (("event_loop", 0.5), ("coroutines", 0.5), ("fibers", 12), ("tbb_flow_graph", 0.5))),
    *(Target(name, f"{m}, {n} connections, half of its greatest rate: latency p99", p99_on_time(m), most=1, unit="ms")
      for name, (m, n) in HALVES.items()),
    *(Target(f"{name}-probes", f"{m}, {n} connections: greatest rate", greatest_probe, unit="M/s")
      for name, (m, n) in HALVES.items()),
    *(Target(files, "cells with an event lost, doubled or in another window", failed_cells, most=0)
      for files in ("generator", "max", "peers", "connections", *((name, f"{name}-probes") for name in HALVES), "windows")),
]

judge = by_targets(TARGETS)
