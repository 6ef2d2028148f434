#!/usr/bin/python3
"""Compares two result files, or two builds in one: cell by cell, is the difference real?

    scripts/compare.py OLD.json NEW.json
    scripts/compare.py OLD.json NEW.json --fail-on slower:5     # for CI: exit 1 if a cell is slower by more than 5%
    scripts/compare.py OLD.json NEW.json --json
    scripts/compare.py AGAINST.json                             # the same of a file made with `tally run --against`

First come all differences of machine and build; then, for every cell in both, the ratio of the median throughputs (new over
old, less what is put down to the machine) with an interval, and a verdict: faster, slower, not separated, or not comparable and why.

Two files are two visits to a machine that changes between them, so an interval from the samples of each alone claims too much.
docs/method.md, "Comparing two files", says what the interval is made of. It takes six samples of a cell in each file, and is corrected
for the number of cells compared (Bonferroni), so that in 19 comparisons of 20 in which nothing has changed not a single cell is called.
Where two builds were measured in one campaign, the interval is that of their ratios round by round, with the same correction; it is
much narrower.

Files of Google Benchmark that are not Tally's are compared by what they hold, and what is missing is named. Exit status: 0,
1 if --fail-on says so, 2 if the command line or a file is wrong.
"""

import argparse
import dataclasses
import json
import math
import statistics
import sys

from tally import results
import validate

BLOCKS = 4  # of a cell's samples in order of time, where there are two for each
LEAST_PEERS = 4  # of a cell, under which their spread says nothing of the machine
LEAST_IN_ROUND = 3  # of them in a round, under which they say nothing of the round
CONFIDENCE = 0.95
# What the figures of a cell depend on, and its name does not say.
FACTORS = ("keys", "skew", "seed", "window_ns", "wait_distribution", "service", "idle")
UNSAID = {"idle": "halt", "key_regex": "", "time_format": "", "header": False}  # by files of before there was a choice
INPUT = ("sha256", "format", "key", "key_regex", "time", "time_format", "header", "repeat")
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
    cells: dict  # name -> {round: events/s (or runs/s)}, in order of time
    failures: dict  # name -> why it has no figure
    events: dict  # name -> events a sample
    confidences: dict = dataclasses.field(default_factory=dict)  # name -> that of its ratio to another build

    def floor(self):
        """The speeds of the reference computation, in links/s; empty where the file has none."""
        floor = self.context.get("noise_floor", {})
        return [floor.get("links", 1) / s["real_time_s"] for s in floor.get("samples", [])]

    def reads(self):
        """The speeds at which the reference computation read memory, in bytes/s; empty where the file has none."""
        samples = self.context.get("noise_floor", {}).get("samples", [])
        return [s["read_bytes_per_s"] for s in samples if s.get("read_bytes_per_s")]

    def rates(self, name):
        """The cell's throughputs in order of time."""
        return list(self.cells[name].values())

    def median(self, name):
        return statistics.median(self.rates(name))


def load(path):
    """The file at `path`. Raises Refused."""
    text = results.read_text(path)
    try:
        data = json.loads(text)
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
            if "ratio_to_against_confidence" in entry:
                file.confidences[name] = entry["ratio_to_against_confidence"]
            continue
        rate = speed(entry)
        if entry.get("error_occurred") or rate is None:
            file.failures[name] = entry.get("error_message") or "a sample without a figure"
            continue
        rates = file.cells.setdefault(name, {})
        rates[entry.get("round", len(rates))] = rate
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
        pairs = ((key, *(of.get(key, UNSAID.get(key)) for of in (a, b))) for key in keys)
        found += [f"{key} {one} and {other}" for key, one, other in pairs if one != other]
    return found


def missing(file):
    """What a file lacks for a comparison to be sure of itself."""
    lacks = []
    if not file.tally:
        lacks.append("no manifest, no hash and no verification: a file of Google Benchmark, not of Tally")
    if len(file.floor()) < results.LEAST_SAMPLES:
        lacks.append("no noise floor: a change of a whole group cannot be told from one of the machine")
    return lacks


def standard_error(logs):
    """Of the median of `logs`, which are in order of time: from the interval of order statistics, or from blocks, whichever is greater."""
    interval = results.median_interval(logs)
    error = (interval.high - interval.low) / 2 / statistics.NormalDist().inv_cdf(0.5 + CONFIDENCE / 2)
    if len(logs) >= 2 * BLOCKS:
        cuts = [len(logs) * b // BLOCKS for b in range(BLOCKS + 1)]
        error = max(error, statistics.stdev(statistics.median(logs[a:b]) for a, b in zip(cuts, cuts[1:])) / math.sqrt(BLOCKS))
    return error


def group_of(name):
    """What cells share that the machine's changes strike alike: stream, and all parameters but those of parallelism."""
    try:
        stream, _, params = results.parse_name(name)
    except ValueError:
        return ()
    return (stream, *((k, v) for k, v in params.items() if k not in results.SEQUENTIAL_IGNORES))


def own_error(file, name, peers):
    """The standard error of the log of the cell's median, without what its peers went through in the same rounds."""
    medians = {n: file.median(n) for n in peers}
    logs = []
    for round_, rate in file.cells[name].items():
        others = [math.log(file.cells[n][round_] / medians[n]) for n in peers if n != name and round_ in file.cells[n]]
        common = statistics.median(others) if len(others) >= LEAST_IN_ROUND else 0.0
        logs.append(math.log(rate / medians[name]) - common)
    return standard_error(logs)


def half_change(rates):
    """The log of what the second half of the samples, in order of time, is of the first."""
    middle = len(rates) // 2
    return math.log(statistics.median(rates[middle:]) / statistics.median(rates[:middle]))


def change_of(name, old, new):
    """The log of new over old; of links of the grain's chain where the files have grains of different numbers of them."""
    change = math.log(new.median(name) / old.median(name))
    links = [f.context.get("grain_links_per_ns") for f in (old, new)]
    if all(links) and name.startswith("cpu/") and "grain_ns:" in name and "grain_ns:0" not in name.split("/"):
        change += math.log(links[1] / links[0])
    return change


def reference_change(name, old, new):
    """(log of the change of the reference computation's speed, its standard error) for a cell; None if a file lacks it. Of a cell that
    does nothing but count, also of the speed at which memory was read, if that changed more."""
    found = [change_of_speeds(old.floor(), new.floor())]
    if name.startswith("cpu/") and "grain_ns:0" in name.split("/"):
        found.append(change_of_speeds(old.reads(), new.reads()))
    return max((change for change in found if change), key=lambda change: abs(change[0]), default=None)


def change_of_speeds(old, new):
    """(log of the change of the median, its standard error); None if one has too few."""
    if min(len(old), len(new)) < results.LEAST_SAMPLES:
        return None
    errors = [standard_error([math.log(x) for x in speeds]) for speeds in (old, new)]
    return math.log(statistics.median(new) / statistics.median(old)), math.hypot(*errors)


def put_down_to_machine(common, reference, z):
    """(least, most) of the log of a change that may be the machine's, where the cell's peers changed by `common` and the reference
    computation as reference_change() says.

    As far as both went the same way, it was the machine. Beyond that, what the peers did in common may or may not have been; but
    not more than the reference computation allows. Without one of the two, the other may be or not be it.
    """
    if reference is None:
        return min(0.0, common), max(0.0, common)
    change, error = reference
    if common is None:
        return -abs(change), abs(change)
    allowed = abs(change) + z * error
    common = max(-allowed, min(allowed, common))
    explained = max(min(0.0, change), min(max(0.0, change), common))
    return min(explained, common), max(explained, common)


def spread(changes):
    """The standard deviation of changes about what they have in common, by the median absolute deviation, which a few that did change do
    not move; 1.4826 makes it that of a normal distribution."""
    common = statistics.median(changes)
    return 1.4826 * statistics.median(abs(change - common) for change in changes)


def interval(name, old, new, sound, z):
    """(low, centre, high) of the log of the ratio, less what is put down to the machine, and z standard errors on both sides."""
    peers = [n for n in sound if group_of(n) == group_of(name)]
    changes = {n: change_of(n, old, new) for n in peers}
    others = [changes[n] for n in peers if n != name]
    error = math.hypot(*(own_error(file, name, peers) for file in (old, new)))
    reference = reference_change(name, old, new)
    if len(others) >= LEAST_PEERS:
        common = statistics.median(others)
        # Of this group alone: counting differs from file to file by more than work does.
        error = max(error, spread(changes.values()))
    else:
        # With neither peers nor a reference computation, the machine may have done all of it.
        common = None if reference else changes[name]
        halves = [half_change(f.rates(n)) for f in (old, new) for n in peers]
        error = math.hypot(error, math.sqrt(sum(h * h for h in halves) / len(halves) / 2))
    least, most = put_down_to_machine(common, reference, z)
    return changes[name] - most - z * error, changes[name] - (least + most) / 2, changes[name] - least + z * error


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


def as_other_build(file):
    """The file as if the other build had made it, as far as its manifest goes."""
    return dataclasses.replace(file, context={**file.context, **file.context.get("against", {})})


def compare_builds(file):
    """compare() of the two builds that one campaign measured: this build's cells over those of the other. Raises Refused."""
    pairs = [n for n in dict.fromkeys([*file.cells, *file.failures]) if n + results.AGAINST in file.cells | file.failures]
    if not pairs:
        raise Refused(f"{file.path}: no other build was measured in it: name two files, or one that `tally run --against` made")
    # Of all pairs of the campaign, also those that it had no time for.
    confidence = max([1 - (1 - CONFIDENCE) / len(pairs), *file.confidences.values()])
    rows = []
    for name in pairs:
        other = name + results.AGAINST
        failed = next((f"failed: {file.failures[n]}" for n in (name, other) if n in file.failures), None)
        found = None if failed else results.ratio_by_round(file.cells[name], file.cells[other], confidence)
        if found is None or not found.holds:
            why = failed or f"{found.n if found else 0} rounds are too few for an interval of {confidence:.2%}"
            rows.append({"cell": name, "ratio": None, "low": None, "high": None, "verdict": "not comparable", "why": why,
                         "failed": name in file.failures})
            continue
        rows.append({"cell": name, "old": file.median(other), "new": file.median(name), "ratio": found.median, "low": found.low,
                     "high": found.high, "verdict": results.verdict(found.low, found.high), "why": ""})
    return rows


def compare(old, new):
    """A row for every cell in both files: cell, old and new median, ratio, low, high, verdict, why."""
    if old.tally and new.tally and old.context["tally_result_schema"] != new.context["tally_result_schema"]:
        raise Refused(f"{new.path}: result schema {new.context['tally_result_schema']}, but {old.path} has {old.context['tally_result_schema']}")
    factors = factor_differences(old, new)
    names = [n for n in dict.fromkeys([*old.cells, *old.failures]) if (n in new.cells or n in new.failures) and not n.endswith(results.AGAINST)]
    if not names:
        raise Refused(f"{old.path} and {new.path} have no cell in common")
    sound = [n for n in names if not why_not(n, old, new, factors)]
    z = statistics.NormalDist().inv_cdf(1 - (1 - CONFIDENCE) / 2 / max(1, len(sound)))
    rows = []
    for name in names:
        row = {"cell": name}
        reason = why_not(name, old, new, factors)
        if reason:
            rows.append({**row, "ratio": None, "low": None, "high": None, "verdict": "not comparable", "why": reason,
                         "failed": name in new.failures})
            continue
        low, change, high = map(math.exp, interval(name, old, new, sound, z))
        rows.append({**row, "old": old.median(name), "new": new.median(name), "ratio": change, "low": low, "high": high,
                     "verdict": results.verdict(low, high), "why": ""})
    return rows


def fails(rows, rule):
    """Why the rule of --fail-on is broken: a cell is `slower`, by more than the percentage after the colon if there is one; a cell has
    no figure any more; or nothing could be compared. Empty if it is not."""
    least = 1 - float(rule.partition(":")[2] or 0) / 100
    slower = [row["cell"] for row in rows if row["verdict"] == "slower" and row["ratio"] < least]
    if slower:
        return f"{len(slower)} slower: {', '.join(slower)}"
    failed = [row["cell"] for row in rows if row.get("failed")]
    if failed:
        return f"{len(failed)} failed: {', '.join(failed)}"
    return "" if any(row["ratio"] is not None for row in rows) else "no cell could be compared"


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
    return "\n".join([*lines, "", *table(rows), "", "ratios are new over old"])


def shown_builds(file, rows):
    """The comparison of two builds in one campaign for a person."""
    lines = [f"{file.path}: this build against {file.context.get('against', {}).get('path', 'another')}"]
    lines += [f"differs: {what}: {a} -> {b}" for what, a, b in differences(as_other_build(file), file)]
    lines += [f"{file.path}: {file.context['unfit']}"] if file.context.get("unfit") else []
    return "\n".join([*lines, "", *table(rows), "", "ratios are this build's throughput over the other's, round by round"])


def table(rows):
    """The rows as lines, and how many there are of each verdict."""
    width = max(len(row["cell"]) for row in rows)
    lines = [f"{'cell':{width}}  {'ratio':>6}  {'interval':>16}  verdict"]
    for row in rows:
        if row["ratio"] is None:
            lines.append(f"{row['cell']:{width}}  {'':>6}  {'':>16}  not comparable: {row['why']}")
        else:
            interval = f"[{row['low']:.3f}, {row['high']:.3f}]"
            lines.append(f"{row['cell']:{width}}  {row['ratio']:6.3f}  {interval:>16}  {row['verdict']}")
    counts = {}
    for row in rows:
        counts[row["verdict"]] = counts.get(row["verdict"], 0) + 1
    return [*lines, "", f"{len(rows)} cells: " + ", ".join(f"{n} {verdict}" for verdict, n in counts.items())]


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
    parser.add_argument("new", metavar="NEW.json", nargs="?", help="left out where OLD.json was made with --against")
    parser.add_argument("--fail-on", type=fail_rule, metavar="slower[:PERCENT]", help="exit 1 if a cell is slower, by more than PERCENT, or has failed, or nothing could be compared")
    parser.add_argument("--json", action="store_true", help="the comparison as JSON")
    arguments = parser.parse_args()
    try:
        old = load(arguments.old)
        new = load(arguments.new) if arguments.new else None
        rows = compare(old, new) if new else compare_builds(old)
    except results.NotTally as problem:
        print(f"compare.py: {problem}", file=sys.stderr)
        return 2
    if arguments.json:
        found = differences(old, new) if new else differences(as_other_build(old), old)
        print(json.dumps({"cells": rows, "differences": [{"what": w, "old": a, "new": b} for w, a, b in found],
                          "missing": {f.path: missing(f) for f in (old, new) if f}}, indent=2))
    else:
        print(shown(old, new, rows) if new else shown_builds(old, rows))
    reason = fails(rows, arguments.fail_on) if arguments.fail_on else ""
    if reason:
        print(f"compare.py: {reason}", file=sys.stderr)
    return 1 if reason else 0


if __name__ == "__main__":
    results.run(main)
