#!/usr/bin/python3
"""Checks result files of `tally run`: schema, hash, and every rule of docs/method.md that a file can show.

    scripts/validate.py RESULT.json…

One line for each file that holds, or one for each rule that it breaks: FILE: RULE: what, and where. Everything is computed
again from the samples. Exit status: 0 all hold, 1 a rule is broken, 2 the command line is wrong or a file cannot be read.
"""

import argparse
import collections
import hashlib
import json
import math
import pathlib
import re
import sys

from tally import results

SCHEMA = pathlib.Path(__file__).resolve().parent / "tally/result.schema.json"
# Shown of each rule, since one cause often breaks it in every sample.
AT_MOST = 3
LEAST_SAMPLE_S = 0.010
DEFAULT_CI = 0.03
# Figures are written with as many digits as they have; what is computed again may round otherwise in the last.
SAME = 1e-9


class File:
    """A result file, with its cells: name -> (samples, aggregates by name), as in the file."""

    def __init__(self, text):
        self.text = text
        self.data = json.loads(text)
        self.context = self.data["context"]
        self.samples = collections.defaultdict(list)
        self.summaries = {}
        for entry in self.data["benchmarks"]:
            if entry["run_type"] == "iteration":
                self.samples[entry["run_name"]].append(entry)
            elif entry["aggregate_name"] == "median":
                self.summaries[entry["run_name"]] = entry

    def rates(self, name):
        """Events/s by round, of a cell's verified samples."""
        return {s["round"]: s["items_per_second"] for s in self.samples.get(name, []) if "items_per_second" in s}

    def ratio(self, name):
        """The ratio of this build's cell to the other build's, with the confidence that its median states; None if there is none."""
        mine, other = self.rates(name), self.rates(name + results.AGAINST)
        return results.ratio_by_round(mine, other, self.summaries[name].get("ratio_to_against_confidence", 0)) if mine and other else None


KINDS = {"integer": (int,), "number": (int, float), "string": (str,), "boolean": (bool,)}


def plainly_right(value, rule):
    """True if `value` satisfies a rule that consists of a type and a minimum, or of words. After False, jsonschema has to check."""
    if rule.keys() <= {"type", "minimum", "description"}:
        return type(value) in KINDS.get(rule.get("type"), ()) and value >= rule.get("minimum", value)
    return type(value) is str and (rule == {"const": value} or rule.keys() == {"enum"} and value in rule["enum"])


def schema(file):
    """The file's shape (result.schema.json)."""
    try:
        import jsonschema  # here, so that --help works where it is missing
    except ImportError:
        raise results.NotTally("checking a result file needs jsonschema: install python3-jsonschema") from None

    wanted = json.loads(SCHEMA.read_text(encoding="utf-8"))
    numbers = {f"#/definitions/{name}": rule for name, rule in wanted["definitions"].items() if rule.get("type") == "number"}

    def properties(validator, rules, instance, _):
        """Replaces jsonschema's check of `properties`, which takes 8 us for each number. Most values of a file are plainly right."""
        for name, rule in rules.items() if isinstance(instance, dict) else ():
            if name in instance and not plainly_right(instance[name], numbers.get(rule.get("$ref"), rule)):
                yield from validator.descend(instance[name], rule, path=name, schema_path=name)

    validator = jsonschema.validators.extend(jsonschema.Draft7Validator, {"properties": properties})(wanted)
    for error in validator.iter_errors(file.data):
        # Of the three shapes an entry may have, the one that fits best says most.
        best = jsonschema.exceptions.best_match([error])
        yield f"{'/'.join(map(str, best.absolute_path)) or 'the file'}: {best.message[:200]}"


def result_id(file):
    """Disclosure: the file is as it was written. Its ID is the hash of everything else in it."""
    stated = file.context.get("result_id", "")
    whole, replaced = re.subn(r'("result_id": )"[^"]*"', r'\1""', file.text, count=1)
    made = hashlib.sha256(whole.encode()).hexdigest()[:16]
    if not replaced or made != stated:
        yield f"the file was changed since it was written: its ID is {stated or 'missing'}, its content's {made}"


def verified(file):
    """Verification: a sample is verified, or it failed with a reason and has no figure."""
    for name, samples in file.samples.items():
        if any(s.get("error_occurred") for s in samples) and any("items_per_second" in s for s in samples):
            yield f"{name}: figures beside a sample that failed"
        for s in samples:
            if s.get("verified") is not True and not s.get("error_occurred"):
                yield f"{name}: round {s['round']} is neither verified nor failed"


def work(file):
    """Verification: all models of a cell agree on events and replies, and ran with the workers that their name states."""
    for name, samples in file.samples.items():
        for s in samples:
            if s.get("error_occurred"):
                continue
            if s["events_counted"] != s["events"]:
                yield f"{name}: {s['events_counted']} events counted of {s['events']}"
            if (s["stream"] == "lookup" or "wait_ns" in s) and s.get("replies") != s["events_counted"]:
                yield f"{name}: {s.get('replies')} replies to {s['events_counted']} events"
            workers = s["workers"] * s.get("ranks", 1)
            if s["workers_ran"] != workers:
                yield f"{name}: {s['workers_ran']} workers stood ready of {workers}"
            if "per_rank" in s:
                yield from ranks(name, s)


def ranks(name, s):
    """Work: what ranks counted is what was counted, and a sample took as long as counting and merging."""
    if len(s["per_rank"]) != s["ranks"]:
        yield f"{name}: {len(s['per_rank'])} ranks told of themselves, of {s['ranks']}"
    counted = sum(rank["events"] for rank in s["per_rank"])
    if counted != s["events_counted"]:
        yield f"{name}: ranks counted {counted} events, of {s['events_counted']}"
    if not near(s["real_time"] * 1e-3, s["count_s"] + s["merge_s"]):
        yield f"{name}: {s['real_time']:.6g} ms, where counting took {s['count_s']:.6g} s and merging {s['merge_s']:.6g} s"
    slowest = max(rank["count_s"] for rank in s["per_rank"])
    if not near(slowest, s["count_s"]):
        yield f"{name}: counting took {s['count_s']:.6g} s, and the slowest rank {slowest:.6g} s"


def order(file):
    """Sampling: a round runs every cell at most once, one after the other, and a cell has no sample twice."""
    rounds = collections.defaultdict(list)
    for name, samples in file.samples.items():
        if [s["round"] for s in samples] != sorted({s["round"] for s in samples}):
            yield f"{name}: its rounds are not in order, each once"
        for s in samples:
            rounds[s["round"]].append((s["order"], s.get("started_s", 0.0), name))
    for s in file.context.get("noise_floor", {}).get("samples", []):
        rounds[s["round"]].append((s["order"], s["started_s"], "the reference computation"))
    before = -1.0
    for number in sorted(rounds):
        places = sorted(rounds[number])
        if [place for place, _, _ in places] != list(range(len(places))):
            yield f"round {number}: the places of its samples are not 0 to {len(places) - 1}"
        for _, started, name in places:
            if started < before:
                yield f"{name}: round {number} began before the sample that it follows"
            before = started


def length(file):
    """Sampling: a sample lasts at least 10 ms."""
    for name, samples in file.samples.items():
        lengths = [s["real_time"] * results.SECONDS[s["time_unit"]] for s in samples if "items_per_second" in s]
        if lengths and min(lengths) < LEAST_SAMPLE_S:
            yield f"{name}: its shortest sample took {min(lengths) * 1e3:.3g} ms, under {LEAST_SAMPLE_S * 1e3:g} ms"


def near(a, b):
    return math.isclose(a, b, rel_tol=SAME, abs_tol=1e-300)


def interval(file):
    """Sampling: median and interval are those of the samples, and a cell that is called converged has."""
    ci = file.context["factors"]["ci"]
    for name, summary in file.summaries.items():
        rates = list(file.rates(name).values())
        if not rates:  # --benchmark_report_aggregates_only
            continue
        found = results.median_interval(rates)
        stated = [summary.get(f"items_per_second{end}") for end in ("", "_low", "_high")]
        if None in stated or not all(map(near, stated, (found.median, found.low, found.high))):
            yield f"{name}: {stated} stands for {[found.median, found.low, found.high]}"
            continue
        claim = results.claimed(found, file.context)
        claims = [summary[key] for key in ("claimed_low", "claimed_high") if key in summary]  # which older files have not
        if claims and not all(map(near, claims, (claim.low, claim.high))):
            yield f"{name}: claims {claims}, where samples and noise floor allow {[claim.low, claim.high]}"
        pair = name.removesuffix(results.AGAINST)
        ratio_found = file.ratio(pair) if pair in file.summaries else None
        if ratio_found:  # what such a cell is measured for
            found = ratio_found
        within = found.holds and found.relative_half_width <= ci * (1 + SAME)
        if summary.get("converged") and not within:
            yield f"{name}: called converged, with an interval of ±{found.relative_half_width:.1%} from {found.n} samples"


def ratio(file):
    """Sampling: a ratio is taken round by round, and its interval is that of the rounds' ratios."""
    for key, base in (("ratio_to_sequential", results.SEQUENTIAL), ("of_limit", results.LIMIT)):
        bases = [file.rates(name) for name in file.samples if name.split("/")[1] == base]
        for name, summary in file.summaries.items():
            if key not in summary or not file.rates(name):
                continue
            stated = [summary.get(f"{key}{end}") for end in ("", "_low", "_high")]
            found = [one for rates in bases if (one := results.ratio_by_round(file.rates(name), rates))]
            if not any(all(value is not None and near(value, other) for value, other in zip(stated, (one.median, one.low, one.high)))
                       for one in found):
                yield f"{name}: {stated} is its ratio to no {base} cell of the file"


def against(file):
    """Sampling: a ratio to another build's cell is taken round by round, with the interval and the verdict of those rounds."""
    pairs = [name for name in file.summaries if name + results.AGAINST in file.samples]
    for name in pairs:
        summary, found = file.summaries[name], file.ratio(name)
        confidence = summary.get("ratio_to_against_confidence", 0)
        stated = [summary.get(f"ratio_to_against{end}") for end in ("", "_low", "_high")]
        if found is None:
            if stated != [None, None, None]:
                yield f"{name}: {stated} is its ratio to no other build"
            continue
        if confidence < 1 - 0.05 / len(pairs) - SAME:
            yield f"{name}: an interval of {confidence:.2%} is not corrected for {len(pairs)} comparisons"
        if None in stated or not all(map(near, stated, (found.median, found.low, found.high))):
            yield f"{name}: {stated} stands for {[found.median, found.low, found.high]}, its ratio to the other build"
            continue
        verdict = results.verdict(found.low, found.high) if found.holds else "too few rounds"
        if summary.get("verdict_against") != verdict:
            yield f"{name}: called {summary.get('verdict_against')}, and is {verdict}"


def bound(file):
    """What a number means: efficiency is throughput over bound, sample by sample."""
    for name, samples in file.samples.items():
        for s in samples:
            if "efficiency" in s and not near(s["efficiency"] * s["bound_items_per_second"], s["items_per_second"]):
                yield f"{name}: round {s['round']}: efficiency {s['efficiency']} is not {s['items_per_second']} over {s['bound_items_per_second']}"


def at_percentile(histogram, percent, greatest_ns):
    """The least value in ns that so many percent of the latencies do not exceed: the end of its part, or the greatest."""
    rank = max(1, math.ceil(percent / 100 * sum(n for _, n in histogram) - 1e-6))
    for end, n in histogram:
        rank -= n
        if rank <= 0:
            return min(end, greatest_ns)
    return greatest_ns


def latency(file):
    """Latency: percentiles are those of the histogram, it holds every event, and a saturated cell has none."""
    for name, summary in file.summaries.items():
        behind = summary.get("saturated") and summary["stream"] == "ingest" and "rate_per_s" in summary
        if behind and ("latency" in summary or "latency_absent" not in summary):
            yield f"{name}: fell behind its rate, and has latencies, or does not say why not"
        for key in ("latency", "latency_uncorrected"):
            if key in summary:
                yield from (f"{name}: {key}: {what}" for what in of_latency(summary[key], file.samples.get(name, [])))


def of_latency(found, samples):
    """What is wrong with the latencies of a cell that has these samples."""
    histogram, greatest_ns = found["histogram_ns"], round(found["max_s"] * 1e9)
    events = sum(s["events_counted"] for s in samples if "events_counted" in s)
    if found["count"] != sum(n for _, n in histogram) or (samples and found["count"] != events):
        yield f"{found['count']} latencies of {events} events, {sum(n for _, n in histogram)} in the histogram"
    for percent, label in results.PERCENTILES.items():
        needed = results.latencies_needed(percent)
        value = at_percentile(histogram, percent, greatest_ns) * 1e-9 if histogram else 0
        if not math.isclose(found[f"{label}_s"], value, rel_tol=1e-6, abs_tol=1e-12):
            yield f"{label} of {found[f'{label}_s']} s stands for {value} s"
        if (label in found["too_few_for"]) != (found["count"] < needed):
            yield f"{label} needs {needed} latencies, and has {found['count']}: too_few_for is {found['too_few_for']}"


def finite(file):
    """The contract: numbers are finite, or the key is absent with a reason beside it."""
    for entry in file.data["benchmarks"]:
        for key, value in entry.items():
            if isinstance(value, float) and not math.isfinite(value):
                yield f"{entry['name']}: {key} is {value}"
        if entry["run_type"] == "iteration" and not entry.get("error_occurred"):
            for key in ("items_per_second", "bound_items_per_second", "efficiency"):
                if (key in entry) == (f"{key}_absent" in entry):
                    yield f"{entry['name']}: {key} is {'both there and absent' if key in entry else 'absent without a reason'}"


def floor(file):
    """Sampling: the noise floor is that of its samples, and a campaign whose floor exceeds its interval says so."""
    stated = file.context.get("noise_floor")
    if stated is None or not stated["samples"]:
        return
    found = results.median_interval([s["real_time_s"] for s in stated["samples"]])
    width = found.relative_half_width
    if not (near(stated["median_s"], found.median) and math.isclose(stated["relative_half_width"], width, rel_tol=1e-6, abs_tol=1e-12)):
        yield f"median {stated['median_s']} s ±{stated['relative_half_width']:.3%} stands for {found.median} s ±{width:.3%}"
    # With another build, what was asked for is of ratios: then the default of throughputs stands.
    wanted = max(file.context["factors"]["ci"], DEFAULT_CI if "against" in file.context else 0)
    widths = {"": width}
    if "read_relative_half_width" in stated:
        read_width = results.median_interval([s["read_bytes_per_s"] for s in stated["samples"] if s["read_bytes_per_s"] > 0]).relative_half_width
        if not math.isclose(stated["read_relative_half_width"], read_width, rel_tol=1e-6, abs_tol=1e-12):
            yield f"±{stated['read_relative_half_width']:.3%} of reading memory stands for ±{read_width:.3%}"
        if any(name.startswith("cpu/") for name in file.samples):
            widths["of reading memory "] = read_width
    for what, one in widths.items():
        if len(stated["samples"]) >= results.LEAST_SAMPLES and one > wanted and not file.context.get("unfit"):
            yield f"±{one:.1%} {what}is wider than the ±{wanted:.1%} asked for, and the file does not say so"


def disclosure(file):
    """Disclosure: what was built is known, and no number was left out by an interruption."""
    if file.context["tally_tree"] != "clean":
        yield f"built from a tree that was {file.context['tally_tree']}: its commit does not say what was measured"
    if file.context["build"]["type"] != "Release":
        yield f"build type {file.context['build']['type']}, where only Release is measured"
    if file.context["interrupted"]:
        yield "the campaign was interrupted"


RULES = [schema, result_id, verified, work, order, length, interval, ratio, against, bound, latency, finite, floor, disclosure]


def broken(text):
    """Yields (rule, what) for every rule that the file of this text breaks. Raises ValueError if it is no JSON."""
    data = json.loads(text)
    file = None
    try:
        file = File(text)
    except (KeyError, TypeError, AttributeError):
        file = type("Shape", (), {"data": data})()
    shape = list(schema(file))
    yield from (("schema", what) for what in shape)
    if not isinstance(file, File):
        return
    for rule in RULES[1:]:
        try:
            yield from ((rule.__name__, what) for what in rule(file))
        except (KeyError, TypeError, AttributeError, ZeroDivisionError) as problem:
            if not shape:  # else the schema has said what is missing
                yield rule.__name__, f"cannot be checked: {problem!r}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], epilog="Rules: " + "; ".join(
        f"{rule.__name__} ({rule.__doc__.splitlines()[0].rstrip('.')})" for rule in RULES))
    parser.add_argument("files", nargs="+", metavar="RESULT.json", help="result files of `tally run`")
    status = 0
    for path in parser.parse_args().files:
        try:
            text = results.read_text(path)
            found = collections.defaultdict(list)
            for rule, what in broken(text):
                found[rule].append(what)
        except (ValueError, RecursionError) as problem:
            print(f"{path}: not JSON, perhaps cut off: {problem}", file=sys.stderr)
            status = 2
            continue
        except results.NotTally as problem:
            print(problem, file=sys.stderr)
            status = 2
            continue
        for rule, whats in found.items():
            for what in whats[:AT_MOST]:
                print(f"{path}: {rule}: {what}")
            if len(whats) > AT_MOST:
                print(f"{path}: {rule}: and {len(whats) - AT_MOST} more")
        if found:
            status = max(status, 1)
        else:
            data = json.loads(text)
            names = {entry["run_name"] for entry in data["benchmarks"]}
            print(f"{path}: holds: {len(names)} cells, result {data['context']['result_id']}")
    return status


if __name__ == "__main__":
    results.run(main)
