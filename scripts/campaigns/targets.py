#!/usr/bin/python3
"""Measures the figures that Tally's models must reach, and says of each whether it is met.

    scripts/campaigns/targets.py -o results/targets [--only ID,…] [--tally build/bench/tally] [--log access.log.gz]
    scripts/campaigns/targets.py -o results/targets --judge     # judges the files that are there, compressed by xz or not, without measuring

Each campaign of CAMPAIGNS is one call of `tally run` whose result file stays in the folder; each row of TARGETS is a figure
taken from one of them; targets.md in the same folder has them side by side. Ratios are taken round by round within one
campaign, since machines drift; of the rounds' ratios the median stands, with its 95% interval. Exit status: 0 all met, 1 not
all, 2 the command line is wrong.
"""

import argparse
import dataclasses
import pathlib
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))  # scripts/

from tally import results
from tally.whole_files import write_whole

POOLED = ("thread_pool", "fibers", "coroutines")
CONCURRENT = ("thread_pool", "process_shard", "tbb_flow_graph", "fibers", "coroutines")
ALL = ("sequential", *CONCURRENT, "limit")
ROUNDS = "12:25"


def flags(**options):
    """Arguments of `tally`: option names with _ for -."""
    return [part for name, value in options.items() for part in (f"--{name.replace('_', '-')}", str(value))]


def run_options(models=ALL, rounds=ROUNDS, ci="2%", budget="90s", **options):
    """Arguments of `tally run`."""
    return flags(model=",".join(models), rounds=rounds, ci=ci, time_budget=budget, **options)


def tally_run(name, options, arguments):
    """Runs one campaign; its result replaces the one before."""
    print(f"{name}: tally run {' '.join(options)}", file=sys.stderr, flush=True)
    done = subprocess.run([arguments.tally, "run", *options, "--no-progress", "--out", str(arguments.out / f"{name}.json")],
                          stdout=subprocess.PIPE, text=True, check=False)
    write_whole({arguments.out / f"{name}.txt": done.stdout})
    print(f"{name}: exit status {done.returncode}", file=sys.stderr, flush=True)


def access_log(name, arguments):
    """Counts a log that is not in the repository."""
    if not arguments.log:
        raise Missing("left out: --log names no file")
    tally_run(name, run_options(**CPU, grain="0", format="clf", key="target", repeat=100, input=arguments.log), arguments)


LOOKUP = {"stream": "lookup", "workers": 1, "wait": "1ms"}
CPU = {"stream": "cpu", "workers": 2}
# By the name of the result file: the arguments of `tally run`, or a function of name and command line that measures.
CAMPAIGNS = {
    "lookup-1000": run_options((*POOLED, "tbb_flow_graph", "limit"), **LOOKUP, in_flight=1000, events="100k"),
    "lookup-1": run_options(**LOOKUP, in_flight=1, events="1k", rounds="10:12"),
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
    "events-10M": run_options(stream="cpu", workers=1, grain="0", batch=4096, events="10M"),
    "events-100M": run_options(stream="cpu", workers=1, grain="0", batch=4096, events="100M"),
    "events-10M-2": run_options(**CPU, grain="0", batch=4096, events="10M"),
    "events-100M-2": run_options(**CPU, grain="0", batch=4096, events="100M"),
    "access-log": access_log,
    "default": [],
}


@dataclasses.dataclass(frozen=True)
class Figure:
    """What was measured; `low` and `high` where it has an interval."""

    value: float
    low: float | None = None
    high: float | None = None
    mark: str = ""  # why it is no figure of the model alone, if so: then the target is not met


@dataclasses.dataclass(frozen=True)
class Target:
    campaign: str | tuple  # or campaigns
    what: str
    figure: object  # a function of their Results that gives a Figure
    least: float | None = None  # the figure must be at least this
    most: float | None = None  # and at most this
    unit: str = ""

    @property
    def campaigns(self):
        return self.campaign if isinstance(self.campaign, tuple) else (self.campaign,)

    @property
    def wanted(self):
        """What must be reached, in words; empty where the figure is reported alone."""
        if self.least is None and self.most is None:
            return ""
        if self.least is None or self.most is None:
            text = f"<= {self.most}" if self.least is None else f">= {self.least}"
        else:
            text = f"{self.least} to {self.most}"
        return f"{text} {self.unit}".strip()

    def verdict(self, figure):
        """Whether the figure, None if there is none, is enough."""
        if not self.wanted:
            return ""
        if figure and figure.mark:
            return f"marked: {figure.mark}"
        enough = figure and (self.least is None or figure.value >= self.least)
        return "met" if enough and (self.most is None or figure.value <= self.most) else "NOT MET"


class Missing(Exception):
    """A figure cannot be had; str() says why."""


def cell(found, model, **params):
    """The one cell of `model` with these parameters."""
    fits = [c for c in found.cells if c.model == model and all(c.params.get(k) == v for k, v in params.items())]
    if len(fits) != 1:
        raise Missing(f"{len(fits)} cells of {model}")
    if fits[0].failure:
        raise Missing(fits[0].failure)
    return fits[0]


def of(metric, model, scale=1, **params):
    """The median of `metric` over the samples of a model's cell."""

    def figure(found):
        interval = cell(found, model, **params).interval(metric)
        if interval is None:
            raise Missing("no such figure in the file")
        return Figure(interval.median * scale, interval.low and interval.low * scale, interval.high and interval.high * scale)

    return figure


def ratio(metric, model, base, **params):
    """The ratio of two models' figures, round by round."""

    def figure(found):
        interval = results.ratio_by_round(*(cell(found, name, **params).by_round(metric) for name in (model, base)))
        if interval is None:
            raise Missing("no common rounds")
        return Figure(interval.median, interval.low, interval.high)

    return figure


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


def complete(model, **params):
    """1 if every sample of the model was verified."""

    def figure(found):
        return Figure(float(bool(cell(found, model, **params).samples)))

    return figure


def memory_slope(model, parameter, few, many):
    """KiB of peak memory for each one more of a parameter."""

    def figure(found):
        slope = results.slope(*(cell(found, model, **{parameter: n}) for n in (few, many)), parameter, results.peak_memory)
        if slope is None:
            raise Missing("no peak memory in the file")
        return Figure(slope.median / 1024)

    return figure


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
    *(Target("lookup-1000", f"{m} over limit", ratio(results.throughput, m, "limit"), least) for m, least in (("fibers", 0.88), ("coroutines", 0.92))),
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


def spell(target, figure):
    """A figure with its interval and unit."""
    text = f"{figure.value:.3g}"
    if figure.low is not None and figure.high is not None:
        text += f" [{figure.low:.3g}, {figure.high:.3g}]"
    return f"{text} {target.unit}".strip()


def judge(folder, targets):
    """The lines of the table, how many targets are not met, and the results by campaign."""
    rows, unmet, loaded = [], 0, {}
    for target in targets:
        figure = None
        try:
            for name in target.campaigns:
                if name not in loaded:
                    path = folder / f"{name}.json"
                    loaded[name] = results.load(path if path.exists() else path.with_suffix(".json.xz"))
            figure = target.figure(*(loaded[name] for name in target.campaigns))
            measured = spell(target, figure)
        except (Missing, results.NotTally) as problem:
            measured = f"none: {problem}"
        verdict = target.verdict(figure)
        rows.append((", ".join(target.campaigns), target.what, target.wanted or "reported", measured, verdict))
        unmet += verdict not in ("", "met")
    return rows, unmet, loaded


def report(folder, targets, script):
    """Writes the table, called as the script is; the number of targets not met."""
    rows, unmet, loaded = judge(folder, targets)
    head = ("campaign", "figure", "target", "measured, 95% interval", "")
    lines = ["# What the models must reach, and what was measured", "",
             f"Made by `scripts/campaigns/{script}.py`; each campaign's result file lies beside this one.", ""]
    for machine in sorted({f"{results.machine(f.context)}; {results.suite(f.context)}" for f in loaded.values()}):
        lines.append(f"- {machine}")
    lines += ["", *("| " + " | ".join(row) + " |" for row in (head, ["---"] * 5, *rows)), ""]
    write_whole({folder / f"{script}.md": "\n".join(lines)})
    print("\n".join(lines))
    return unmet


def measure(campaigns, names, arguments):
    """One campaign after the other; one that cannot be measured keeps no other from it."""
    for name in names:
        began = time.monotonic()
        try:
            if callable(campaigns[name]):
                campaigns[name](name, arguments)
            else:
                tally_run(name, campaigns[name], arguments)
        except (Missing, results.NotTally) as problem:
            print(f"{name}: {problem}", file=sys.stderr)
        print(f"{name}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)


def command_line(description, script, campaigns):
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("-o", "--out", type=pathlib.Path, required=True, help=f"folder of the result files and {script}.md")
    parser.add_argument("--only", help="campaigns, separated by commas: " + ", ".join(campaigns))
    parser.add_argument("--judge", action="store_true", help="measure nothing; judge the files in the folder")
    parser.add_argument("--tally", default="build/bench/tally", help="the program (default: %(default)s)")
    return parser


def carry_out(parser, script, campaigns, targets):
    """Measures what the command line asks for, and judges all; the exit status."""
    arguments = parser.parse_args()
    names = arguments.only.split(",") if arguments.only else list(campaigns)
    for name in names:
        if name not in campaigns:
            parser.error(f"no campaign {name}: choose from {', '.join(campaigns)}")
    arguments.out.mkdir(parents=True, exist_ok=True)
    if not arguments.judge:
        measure(campaigns, names, arguments)
    return 1 if report(arguments.out, targets, script) else 0


def main():
    parser = command_line(__doc__.splitlines()[0], "targets", CAMPAIGNS)
    parser.add_argument("--log", type=pathlib.Path, help="a web server's access log in Combined Log Format, for access-log")
    return carry_out(parser, "targets", CAMPAIGNS, TARGETS)


if __name__ == "__main__":
    results.run(main)
