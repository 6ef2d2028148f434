#!/usr/bin/python3
"""Compares two result files, cell by cell: is the difference real?

    scripts/compare.py OLD.json NEW.json
    scripts/compare.py OLD.json NEW.json --fail-on slower:5     # for CI: exit 1 if a cell is slower by more than 5%
    scripts/compare.py OLD.json NEW.json --json

First come all differences of machine and build; then, for every cell in both, the ratio of the median throughputs (new over
old) with an interval, and a verdict: faster, slower, not separated, or not comparable and why.

Two files are two visits to a machine that changes between them, so an interval from the samples of each alone claims far too
much. The interval here holds, on a log scale: what each file's median is uncertain by, from its order statistics or from how
much its time-ordered blocks differ, whichever is more; how much the cells of its group (all models, alike in grain, batch and
wait) differ between the files beyond what they do in common, or between the halves of each file; and it is widened by as much as the reference
computation, which involves no model, changed from file to file, and where there is a grain, by as much as its calibration did.
Without a reference computation it is widened by what the cells of a group changed in common: then only a change that sets a cell
apart from its group can be told. It is corrected for the number of cells compared (Bonferroni), so that in 19 comparisons of 20
in which nothing has changed not a single cell is called. (After Kalibera & Jones, ISMM 2013, whose levels of variation these are.)

Files of Google Benchmark that are not Tally's are compared by what they hold, and what is missing is named. Exit status: 0,
1 if --fail-on says so, 2 if the command line or a file is wrong.
"""

import argparse
import dataclasses
import json
import math
import pathlib
import statistics
import sys

import tally_results as results
import validate

BLOCKS = 4  # of a cell's samples in order of time, where there are two for each
LEAST_CELLS = 5  # under which the cells' own spread says nothing of the machine
CONFIDENCE = 0.95
# What the figures of a cell depend on, and its name does not say.
FACTORS = ("keys", "skew", "seed", "window_ns", "wait_distribution", "service")
INPUT = ("sha256", "format", "key", "time", "repeat")
MACHINE = ("host_name", "cpu_model", "cpus_usable", "num_cpus", "mhz_per_cpu", "kernel", "architecture", "governor", "virtualisation",
           "memory_bytes", "transparent_huge_pages")
BUILD = ("tally_version", "tally_commit", "tally_tree", "binary_sha256")
# Rules that a file cannot break and be what `tally run` wrote. A short sample or a modified tree is no reason to refuse it.
REFUSED_FOR = {"schema", "result_id", "verified", "order", "finite"}


class Refused(results.NotTally):
    """A file cannot be compared; str() is a line that says which and why."""


@dataclasses.dataclass
class File:
    path: str
    context: dict
    tally: bool
    cells: dict  # name -> events/s (or runs/s) in order of time
    failures: dict  # name -> why it has no figure
    events: dict  # name -> events a sample

    def floor(self):
        """The times of the reference computation in seconds; empty where the file has none."""
        return [s["real_time_s"] for s in self.context.get("noise_floor", {}).get("samples", [])]


def load(path):
    """The file at `path`. Raises Refused."""
    try:
        text = pathlib.Path(path).read_text(encoding="utf-8")
        data = json.loads(text)
    except OSError as problem:
        raise Refused(f"{path}: {problem.strerror}") from None
    except (ValueError, RecursionError) as problem:
        raise Refused(f"{path}: not JSON, perhaps cut off: {problem}") from None
    if not isinstance(data, dict) or not isinstance(data.get("context"), dict) or not isinstance(data.get("benchmarks"), list):
        raise Refused(f"{path}: no result of Tally or Google Benchmark: context or benchmarks are missing")
    context = data["context"]
    tally = "tally_result_schema" in context
    if tally:
        wrong = next((f"{rule}: {what}" for rule, what in validate.broken(text) if rule in REFUSED_FOR), None)
        if wrong:
            raise Refused(f"{path}: {wrong}")
    file = File(path, context, tally, {}, {}, {})
    for entry in data["benchmarks"]:
        name = entry.get("run_name", entry.get("name")) if isinstance(entry, dict) else None
        if not isinstance(name, str):
            raise Refused(f"{path}: an entry of benchmarks has no name")
        if entry.get("run_type", "iteration") != "iteration":
            continue
        rate = speed(entry)
        if entry.get("error_occurred") or rate is None:
            file.failures[name] = entry.get("error_message") or "a sample without a figure"
            continue
        file.cells.setdefault(name, []).append(rate)
        file.events[name] = entry.get("events_counted", 0)
    if not file.cells and not file.failures:
        raise Refused(f"{path}: holds no samples (aggregates alone cannot be compared)")
    return file


def speed(entry):
    """Events/s; runs/s of a benchmark that counts no items; None if it says neither."""
    rate = results.throughput(entry)
    if rate:
        return rate
    time = results.finite(entry, "real_time")
    return 1 / (time * results.SECONDS.get(entry.get("time_unit", "ns"), 1e-9)) if time else None


def differences(old, new):
    """(what, old value, new value) of all that differs in machine, build and factors of the campaigns."""
    found = []

    def look(prefix, a, b):
        for key in dict.fromkeys([*a, *b]):
            if a.get(key) != b.get(key):
                found.append((prefix + key, a.get(key, "unknown"), b.get(key, "unknown")))

    def part(file, keys):
        return {key: file.context[key] for key in keys if key in file.context}

    look("", part(old, MACHINE), part(new, MACHINE))
    look("", part(old, BUILD), part(new, BUILD))
    a, b = (dict(f.context.get("build", {})) for f in (old, new))
    look("library ", a.pop("libraries", {}), b.pop("libraries", {}))
    look("build ", a, b)
    return found


def factor_differences(old, new):
    """The factors in which no cell of the two is alike, as `keys 1000 and 5000`."""
    found = []
    for where, keys in (("factors", FACTORS), ("input", INPUT)):
        a, b = (f.context.get(where, {}) for f in (old, new))
        found += [f"{key} {a.get(key)} and {b.get(key)}" for key in keys if a.get(key) != b.get(key)]
    return found


def missing(file):
    """What a file lacks for a comparison to be sure of itself."""
    lacks = []
    if not file.tally:
        lacks.append("no manifest, no hash and no verification: a file of Google Benchmark, not of Tally")
    if len(file.floor()) < results.LEAST_SAMPLES:
        lacks.append("no noise floor: a change of a whole group cannot be told from one of the machine")
    return lacks


def standard_error(rates):
    """Of the log of the median: from the interval of order statistics, or from blocks in order of time, whichever is greater."""
    interval = results.median_interval(rates)
    error = (math.log(interval.high) - math.log(interval.low)) / 2 / statistics.NormalDist().inv_cdf(0.5 + CONFIDENCE / 2)
    if len(rates) >= 2 * BLOCKS:
        cuts = [len(rates) * b // BLOCKS for b in range(BLOCKS + 1)]
        medians = [math.log(statistics.median(rates[a:b])) for a, b in zip(cuts, cuts[1:])]
        error = max(error, statistics.stdev(medians) / math.sqrt(BLOCKS))
    return error


def half_change(rates):
    """The log of what the second half of the samples, in order of time, is of the first."""
    middle = len(rates) // 2
    return math.log(statistics.median(rates[middle:]) / statistics.median(rates[:middle]))


def between_files(old, new, names):
    """The standard deviation, on the log scale, by which a cell differs from file to file for no reason of its own."""
    changes = [math.log(statistics.median(new.cells[n]) / statistics.median(old.cells[n])) for n in names]
    halves = [half_change(f.cells[n]) for f in (old, new) for n in names]
    drift = math.sqrt(sum(h * h for h in halves) / len(halves) / 2) if halves else 0.0
    if len(changes) < LEAST_CELLS:
        return drift
    common = statistics.median(changes)
    # 1.4826 makes the median absolute deviation that of a normal distribution; a few cells that did change do not move it.
    return max(drift, 1.4826 * statistics.median(abs(c - common) for c in changes))


def group_of(name):
    """What cells share that the machine's changes strike alike: stream, and all parameters but those of parallelism."""
    try:
        stream, _, params = results.parse_name(name)
    except ValueError:
        return ()
    return (stream, *((k, v) for k, v in params.items() if k not in results.SEQUENTIAL_IGNORES))


def peers(name, names):
    """Those of `names` that are in the group of `name`, itself included."""
    return [n for n in names if group_of(n) == group_of(name)]


def machine_change(name, old, new, sound):
    """By how much the machine may have changed what the cell measures, as the absolute log of a ratio."""
    a, b = old.floor(), new.floor()
    if min(len(a), len(b)) >= results.LEAST_SAMPLES:
        change = abs(math.log(statistics.median(b) / statistics.median(a)))
    else:
        change = abs(statistics.median(math.log(statistics.median(new.cells[n]) / statistics.median(old.cells[n]))
                                       for n in peers(name, sound)))
    links = [f.context.get("grain_links_per_ns") for f in (old, new)]
    if "grain_ns:" in name and "grain_ns:0" not in name.split("/") and all(links):
        change = max(change, abs(math.log(links[1] / links[0])))
    return change


def why_not(name, old, new, factors):
    """Why a cell of both files cannot be compared; empty if it can."""
    for file in (old, new):
        if name in file.failures:
            return f"failed in {file.path}: {file.failures[name]}"
    if factors:
        return "differs in " + ", ".join(factors)
    for file in (old, new):
        if len(file.cells[name]) < results.LEAST_SAMPLES:
            return f"{len(file.cells[name])} samples in {file.path}; an interval needs {results.LEAST_SAMPLES}"
    a, b = old.events.get(name), new.events.get(name)
    if a and b and max(a, b) > 2 * min(a, b):
        return f"differs in events a sample, {a} and {b}"
    return ""


def compare(old, new):
    """A row for every cell in both files: cell, old and new median, ratio, low, high, verdict, why."""
    if old.tally and new.tally and old.context["tally_result_schema"] != new.context["tally_result_schema"]:
        raise Refused(f"{new.path}: result schema {new.context['tally_result_schema']}, but {old.path} has {old.context['tally_result_schema']}")
    factors = factor_differences(old, new)
    names = [n for n in dict.fromkeys([*old.cells, *old.failures]) if n in new.cells or n in new.failures]
    if not names:
        raise Refused(f"{old.path} and {new.path} have no cell in common")
    sound = [n for n in names if not why_not(n, old, new, factors)]
    z = statistics.NormalDist().inv_cdf(1 - (1 - CONFIDENCE) / 2 / max(1, len(sound)))
    rows = []
    for name in names:
        row = {"cell": name}
        reason = why_not(name, old, new, factors)
        if reason:
            rows.append({**row, "ratio": None, "low": None, "high": None, "verdict": "not comparable", "why": reason})
            continue
        a, b = old.cells[name], new.cells[name]
        change = math.log(statistics.median(b) / statistics.median(a))
        spread = between_files(old, new, peers(name, sound))
        reach = z * math.sqrt(standard_error(a) ** 2 + standard_error(b) ** 2 + spread**2) + machine_change(name, old, new, sound)
        low, high = math.exp(change - reach), math.exp(change + reach)
        verdict = "faster" if low > 1 else "slower" if high < 1 else "not separated"
        rows.append({**row, "old": statistics.median(a), "new": statistics.median(b), "ratio": math.exp(change), "low": low, "high": high,
                     "verdict": verdict})
    return rows


def fails(rows, rule):
    """Whether a cell is `slower`, by more than the percentage after the colon if there is one."""
    least = 1 - float(rule.partition(":")[2] or 0) / 100
    return any(row["verdict"] == "slower" and row["ratio"] < least for row in rows)


def shown(old, new, rows):
    """The comparison for a person."""
    lines = [f"old: {old.path}", f"new: {new.path}"]
    for what, a, b in differences(old, new):
        lines.append(f"differs: {what}: {a} -> {b}")
    for file in (old, new):
        lines += [f"missing in {file.path}: {what}" for what in missing(file)]
        lines += [f"{file.path}: {file.context['unfit']}"] if file.context.get("unfit") else []
    for file, other in ((old, new), (new, old)):
        alone = [n for n in [*file.cells, *file.failures] if n not in other.cells and n not in other.failures]
        if alone:
            lines.append(f"only in {file.path}: {', '.join(dict.fromkeys(alone))}")
    width = max(len(row["cell"]) for row in rows)
    lines += ["", f"{'cell':{width}}  {'ratio':>6}  {'95% interval':>16}  verdict"]
    for row in rows:
        if row["ratio"] is None:
            lines.append(f"{row['cell']:{width}}  {'':>6}  {'':>16}  not comparable: {row['why']}")
        else:
            interval = f"[{row['low']:.3f}, {row['high']:.3f}]"
            lines.append(f"{row['cell']:{width}}  {row['ratio']:6.3f}  {interval:>16}  {row['verdict']}")
    counts = {}
    for row in rows:
        counts[row["verdict"]] = counts.get(row["verdict"], 0) + 1
    lines.append("")
    lines.append(f"{len(rows)} cells: " + ", ".join(f"{n} {verdict}" for verdict, n in counts.items()) + "; ratios are new over old")
    return "\n".join(lines)


def fail_rule(text):
    """An argument of --fail-on."""
    word, _, percent = text.partition(":")
    try:
        if word != "slower" or (percent and not 0 <= float(percent) < 100):
            raise ValueError
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}': write slower, or slower:PERCENT as in slower:5") from None
    return text


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("old", metavar="OLD.json")
    parser.add_argument("new", metavar="NEW.json")
    parser.add_argument("--fail-on", type=fail_rule, metavar="slower[:PERCENT]", help="exit 1 if a cell is slower, by more than PERCENT")
    parser.add_argument("--json", action="store_true", help="the comparison as JSON")
    arguments = parser.parse_args()
    try:
        old, new = load(arguments.old), load(arguments.new)
        rows = compare(old, new)
    except results.NotTally as problem:
        print(f"compare.py: {problem}", file=sys.stderr)
        return 2
    if arguments.json:
        print(json.dumps({"cells": rows, "differences": [{"what": w, "old": a, "new": b} for w, a, b in differences(old, new)],
                          "missing": {f.path: missing(f) for f in (old, new)}}, indent=2))
    else:
        print(shown(old, new, rows))
    return 1 if arguments.fail_on and fails(rows, arguments.fail_on) else 0


if __name__ == "__main__":
    sys.exit(main())
