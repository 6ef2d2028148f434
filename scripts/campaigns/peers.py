"""What the models reach beside the programs of scripts/peers, and what it costs a program to be run as a model.

Run it in the project's root. Every program is a model of `tally run --external`, checked and accounted as the others, with a number of
events that it can do. `overhead` runs two of them on the same file in turn through `tally run` and without it, started by posix_spawn(3)
and told to begin in the same way.
"""

import functools
import importlib.metadata
import os
import pathlib
import shlex
import sys
import tempfile
import time

from tally import results
from tally.judging import Missing, Target, by_targets, failed_cells, of, ratio
from tally.measuring import CPUS, ROOT, flags, in_rounds, keep, median_sample, on_cpu, quiet_run, tally_run

PEERS = pathlib.Path(os.path.relpath(ROOT / "scripts/peers"))
SERVER = "--port {port} --connections {connections} --window-ns {window_ns}"
# By stream: the arguments of each program; `count_c` is the one that is compiled.
COUNTING = {"count_c": "{events} {window_ns}", "asyncio_await": "{events}", "asyncio_tasks": "{events}", "asyncio_pipeline": "{events}",
            "threading_count": "{events} {workers} {batch}", "multiprocessing_count": "{events} {workers}"}
LOOKING_UP = {"asyncio_lookup": "{host} {port} {count} {in_flight}"}
SERVING = {"asyncio_server": SERVER, "twisted_server": SERVER}
OVERHEAD = {"count_c": 20_000_000, "asyncio_await": 1_000_000}  # events, some tenths of a second of them
OVERHEAD_ROUNDS = 101  # a pair differs by a tenth where the machine is shared; a fiftieth is asked for
QUICK = {"rounds": 2, "events": 20_000}


def options(parser):
    """Adds the options of this campaign."""
    parser.add_argument("--quick", action="store_true", help="few rounds and events: whether all of it runs")


def command(name, arguments):
    """What runs the program, without its arguments."""
    if name == "count_c":
        return [str(pathlib.Path(arguments.tally).parent.parent / "scripts/peers/count_c")]
    return [sys.executable, str(PEERS / f"{name}.py")]


def external(programs, arguments):
    """`--external` of all these programs."""
    return [part for name, rest in programs.items() for part in ("--external", f"{name}={shlex.join(command(name, arguments))} {rest}")]


def measure(programs, options, name, arguments):
    """One campaign of these programs and all models."""
    options = {"rounds": "10:20", "ci": "2%", **options}
    if arguments.quick:
        options.update(QUICK, **({"events": 2000} if options["stream"] == "lookup" else {}))
    tally_run(name, [*external(programs, arguments), *flags(**options)], arguments)


def bare(program, path, events):
    """The program on its own, from when it is told to begin until it says that it is done."""
    reads, go = os.pipe()
    says, writes = os.pipe()
    argv = on_cpu(CPUS[0], [*program, path, *(["0"] if "count_c" in program[0] else [])])
    pid = os.posix_spawnp(argv[0], argv, os.environ,
                          file_actions=[(os.POSIX_SPAWN_DUP2, reads, 0), (os.POSIX_SPAWN_DUP2, writes, 1)])
    os.close(reads)
    os.close(writes)
    with os.fdopen(says, "rb") as said, os.fdopen(go, "wb") as told:
        ready = said.readline()
        began = time.monotonic()
        told.write(b"go\n")
        told.close()
        done = said.readline()
        ended = time.monotonic()
        counted = sum(int(line.split(b"\t")[0]) for line in said)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if (ready, done, status, counted) != (b"ready\n", b"done\n", 0, events):
        raise Missing(f"{program[-1]} by itself: status {status}, {counted} events counted of {events}")
    return {"items_per_second": events / (ended - began)}


def through_tally(name, events, arguments):
    """The command that runs the same program as a model."""
    return [arguments.tally, "run", *external({name: COUNTING[name]}, arguments),
            *flags(model=name, stream="cpu", workers=1, grain="0", batch=4096, events=events)]


def copy_of_events(events, folder, arguments):
    """A copy of the file that a program is given to count."""
    copy = os.path.join(folder, str(events))
    kept = {"keep_events": "{events} " + shlex.quote(copy)}
    options = flags(model="keep_events", stream="cpu", workers=1, grain="0", events=events, rounds=1)
    quiet_run([*external(kept, arguments), *options], arguments)
    if not os.path.exists(copy):
        raise Missing("the file of events was not copied")
    return copy


def measure_overhead(name, arguments):
    """Programs as models of `tally run`, and by themselves, in turn."""
    jobs = {}
    # In memory, as the file that `tally run` makes.
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None) as folder:
        for program, events in OVERHEAD.items():
            events = QUICK["events"] if arguments.quick else events
            copy = copy_of_events(events, folder, arguments)
            jobs[f"cpu/{program}_bare/workers:1"] = functools.partial(bare, command(program, arguments), copy, events)
            jobs[f"cpu/{program}/workers:1"] = functools.partial(median_sample, through_tally(program, events, arguments))
        entries = in_rounds(jobs, QUICK["rounds"] if arguments.quick else OVERHEAD_ROUNDS)
    keep(name, entries, arguments)


def measure_serving(options, name, arguments):
    """Without Twisted where that is not installed."""
    try:
        importlib.metadata.version("twisted")
    except importlib.metadata.PackageNotFoundError:
        print(f"{name}: python3-twisted is not installed: left out", file=sys.stderr)
        measure({"asyncio_server": SERVER}, options, name, arguments)
        return
    measure(SERVING, options, name, arguments)


MEASUREMENTS = {
    "cpu": functools.partial(measure, COUNTING, {"stream": "cpu", "workers": "1,2", "grain": "0", "batch": 4096, "time_budget": "300s"}),
    "lookup": functools.partial(measure, LOOKING_UP, {"stream": "lookup", "workers": 1, "wait": "1ms", "in_flight": "100,1000",
                                                      "time_budget": "240s"}),
    # So many events that starting an interpreter, and connecting, is little of its CPU time.
    "lookup-1000": functools.partial(measure, LOOKING_UP, {"stream": "lookup", "model": "coroutines,event_loop,asyncio_lookup,limit",
                                                           "workers": 1, "wait": "1ms", "in_flight": 1000, "events": "200k",
                                                           "time_budget": "240s"}),
    "ingest": functools.partial(measure_serving, {"stream": "ingest", "workers": 1, "connections": 100, "time_budget": "180s"}),
    # Event time advances by 1 us with each event: windows of 100,000 events.
    "ingest-windows": functools.partial(measure_serving, {"stream": "ingest", "workers": 1, "connections": 100, "window": "100ms",
                                                          "time_budget": "180s"}),
    "overhead": measure_overhead,
}
TARGETS = [
    *(Target("cpu", f"coroutines over asyncio_await, {n} worker{'s' * (n > 1)}",
             ratio(results.throughput, "coroutines", "asyncio_await", workers=n), 100) for n in (1, 2)),
    Target("cpu", "sequential over count_c", ratio(results.throughput, "sequential", "count_c", workers=1)),
    *(Target("cpu", f"{name}, {n} worker{'s' * (n > 1)}", of(results.throughput, name, 1e-6, workers=n), unit="M/s")
      for n in (1, 2) for name in COUNTING),
    Target("lookup-1000", "coroutines over asyncio_lookup",
           ratio(results.throughput, "coroutines", "asyncio_lookup", in_flight=1000), 3.5),
    Target("lookup-1000", "coroutines, CPU an event over asyncio_lookup's",
           ratio(results.cpu_per_event, "coroutines", "asyncio_lookup", in_flight=1000), most=0.25),
    *(Target("lookup-1000", f"{name}", of(results.throughput, name, 1e-3, in_flight=1000), unit="k/s")
      for name in ("coroutines", "asyncio_lookup")),
    *(Target("ingest", f"event_loop over {name}", ratio(results.throughput, "event_loop", name)) for name in SERVING),
    *(Target("ingest-windows", f"event_loop over {name}", ratio(results.throughput, "event_loop", name)) for name in SERVING),
    *(Target("overhead", f"{name}: time through `tally run` over time by itself",
             ratio(results.throughput, f"{name}_bare", name), most=1.02) for name in OVERHEAD),
    Target(("cpu", "lookup", "lookup-1000", "ingest", "ingest-windows", "overhead"), "cells that failed", failed_cells, most=0),
]

judge = by_targets(TARGETS)
