"""What the models must reach: lookups, memory, long streams, an access log and the default campaign."""

from tally import results
from tally.judging import Figure, Missing, Target, by_targets, cell, complete, memory_slope, of, ratio
from tally.measuring import run_options, tally_run

POOLED = ("thread_pool", "fibers", "coroutines")
CONCURRENT = ("thread_pool", "process_shard", "tbb_flow_graph", "fibers", "coroutines")
ALL = ("sequential", *CONCURRENT, "limit")
LOOKUP = {"stream": "lookup", "workers": 1, "wait": "1ms"}
CPU = {"stream": "cpu", "workers": 2}


def options(parser):
    """Adds the options of this campaign."""
    parser.add_argument("--log", help="a web server's access log in Combined Log Format, for access-log")


def access_log(name, arguments):
    """Counts a log that is not in the repository."""
    if not arguments.log:
        raise Missing("left out: --log names no file")
    tally_run(name, run_options(ALL, **CPU, grain="0", format="clf", key="target", repeat=100, input=arguments.log), arguments)


MEASUREMENTS = {
    "lookup-1000": run_options((*POOLED, "tbb_flow_graph", "limit"), **LOOKUP, in_flight=1000, events="100k"),
    "lookup-1": run_options(ALL, **LOOKUP, in_flight=1, events="1k", rounds="10:12"),
    "lookup-10": run_options((*CONCURRENT, "limit"), **LOOKUP, in_flight=10, events="10k", rounds="10:12"),
    # Each shard's waits add up to another sum, and the last one's ends the sample: more events, less of that.
    "lookup-10-processes": run_options(("process_shard", "limit"), **LOOKUP, in_flight=10, events="40k", rounds="10"),
    "lookup-100": run_options((*CONCURRENT, "limit"), **LOOKUP, in_flight=100, events="50k", rounds="10:12"),
    "lookup-9000": run_options(
        ("thread_pool", "tbb_flow_graph", "fibers", "coroutines", "limit"), **LOOKUP, in_flight=9000, events="90k",
        rounds="3", sample_timeout="60s"),
    "lookup-9000-processes": run_options(
        ("process_shard",), **LOOKUP, in_flight=9000, events="90k", rounds="1", sample_timeout="120s", budget="150s"),
    "memory": run_options(
        ("thread_pool", "tbb_flow_graph", "fibers", "coroutines", "limit"), **LOOKUP, in_flight="100,5000", events="50k",
        rounds="5"),
    # On one worker, as on two 10 M events take no 2 ms, of which starting and merging is a tenth: those are reported.
    "events-10M": run_options(ALL, stream="cpu", workers=1, grain="0", batch=4096, events="10M"),
    "events-100M": run_options(ALL, stream="cpu", workers=1, grain="0", batch=4096, events="100M"),
    "events-10M-2": run_options(ALL, **CPU, grain="0", batch=4096, events="10M"),
    "events-100M-2": run_options(ALL, **CPU, grain="0", batch=4096, events="100M"),
    "access-log": access_log,
    "default": [],
}


def of_closed_system(model, in_flight):
    """Throughput over in-flight / mean wait."""
    return of(results.throughput, model, scale=1e-3 / in_flight)


def of_service(found, value):
    """The medians of `value` of a sample, cell by cell, over the samples that the service accounted for."""
    sets = [[value(s) for s in each.samples if "service_busy_s" in s] for each in found.cells if not each.failure]
    medians = [results.median_interval(values).median for values in sets if values]
    if not medians:
        raise Missing("no sample has the service's account")
    return medians


def service_idle(found):
    """The least share of its CPU that the service had idle, over the cells' medians."""
    return Figure(min(of_service(found, lambda s: 1 - s["service_busy_s"] / (s["events_counted"] / s["items_per_second"]))))


def lateness(found):
    """The greatest 99th percentile of reply lateness, over the cells' medians, in ms."""
    return Figure(max(of_service(found, lambda s: s["reply_late_p99_s"])) * 1e3)


def scaling(model):
    """Time per event at the second campaign's number of events over that at the first's."""

    def figure(small, large):
        few, many = (cell(found, model).interval(results.throughput).median for found in (small, large))
        return Figure(few / many)

    return figure


def worst_memory(events):
    """The greatest median of peak memory of any model, less 16 bytes an event, in MiB."""

    def figure(found):
        peaks = [c.interval(results.peak_memory).median for c in found.cells if not c.failure]
        return Figure((max(peaks) - 16 * events) / 2**20)

    return figure


def took(found):
    """Seconds that the whole campaign took."""
    return Figure(found.context["took_s"])


def unmarked(found):
    """Cells whose interval is wider than 5% and that are not marked as not converged."""
    wide = 0
    for each in found.cells:
        width = results.finite(each.aggregates.get("median", {}), "relative_half_width")
        wide += not each.failure and each.converged and (width is None or width > 0.05)
    return Figure(float(wide))


TARGETS = [
    *(Target("lookup-1000", f"{m} over limit", ratio(results.throughput, m, "limit"), least)
      for m, least in (("fibers", 0.88), ("coroutines", 0.92))),
    *(Target("lookup-1000", f"{m}, CPU an event over limit's", ratio(results.cpu_per_event, m, "limit"), most=1.08)
      for m in ("fibers", "coroutines")),
    Target("lookup-1000", "tbb_flow_graph over limit", ratio(results.throughput, "tbb_flow_graph", "limit"), 0.82),
    Target("lookup-1000", "thread_pool over limit", ratio(results.throughput, "thread_pool", "limit")),
    Target("lookup-1000", "limit", of(results.throughput, "limit", 1e-3), unit="k/s"),
    Target("lookup-1000", "limit, CPU an event", of(results.cpu_per_event, "limit", 1e6), unit="us"),
    *(Target("lookup-1", f"{m} over in-flight / wait", of_closed_system(m, 1), 0.88) for m in CONCURRENT),
    *(Target("lookup-10", f"{m} over in-flight / wait", of_closed_system(m, 10), 0.88)
      for m in CONCURRENT if m != "process_shard"),
    Target("lookup-10", "process_shard over in-flight / wait", of_closed_system("process_shard", 10)),
    Target("lookup-10-processes", "process_shard over in-flight / wait", of_closed_system("process_shard", 10), 0.88),
    *(Target("lookup-100", f"{m} over in-flight / wait", of_closed_system(m, 100),
             None if m == "process_shard" else 0.80) for m in CONCURRENT),
    *(Target(f"lookup-{n}", "the service: least idle share", service_idle, 0.10) for n in (1, 10, 100, 1000)),
    *(Target(f"lookup-{n}", "the service: reply lateness p99", lateness, most=0.25, unit="ms") for n in (1, 10, 100, 1000)),
    *(Target("lookup-9000", f"{m} completes, verified", complete(m), 1)
      for m in ("fibers", "coroutines", "tbb_flow_graph", "thread_pool")),
    Target("lookup-9000-processes", "process_shard completes or is refused", complete("process_shard")),
    *(Target("memory", f"{m}, an event in flight", memory_slope(m, "in_flight", 100, 5000), most=most, unit="KiB")
      for m, most in (("coroutines", 0.5), ("fibers", 12), ("tbb_flow_graph", None), ("thread_pool", None))),
    Target("events-10M-2", "memory over 16 bytes an event, any model", worst_memory(10e6), most=64, unit="MiB"),
    Target("events-100M-2", "memory over 16 bytes an event, any model", worst_memory(100e6), most=64, unit="MiB"),
    Target("access-log", "sequential", of(results.throughput, "sequential", 1e-6), 5, unit="M lines/s"),
    *(Target("access-log", f"{m} with 2 workers over sequential", ratio(results.throughput, m, "sequential"), 1.8)
      for m in CONCURRENT),
    Target("default", "whole campaign", took, most=90, unit="s"),
    Target("default", "cells wider than 5% without a mark", unmarked, most=0),
    *(Target(("events-10M", "events-100M"), f"{m}: time an event at 100 M over 10 M", scaling(m), 0.9, 1.1) for m in ALL),
    *(Target(("events-10M-2", "events-100M-2"), f"{m}: time an event at 100 M over 10 M", scaling(m)) for m in ALL),
]

judge = by_targets(TARGETS)
