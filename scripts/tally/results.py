"""Reads Tally's result files: Google Benchmark's JSON with Tally's keys. The one loader of all scripts.

A file becomes a `Results`: cells in the order of the file, each with its samples. A sample that is not verified is
never a figure: it is kept as the reason why its cell has none.
"""

import bisect
import contextlib
import dataclasses
import fractions
import itertools
import json
import lzma
import math
import os
import pathlib
import sys
import tempfile

XZ = b"\xfd7zXZ"
SECONDS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}
# Spellings in a cell's name, and the one parameter that they are.
DURATIONS = {"grain_ns": ("grain", 1e-9), "wait_us": ("wait", 1e-6), "wait_ns": ("wait", 1e-9)}
# A sequential cell has one worker and one event in flight, and waits in one way, whatever its group has.
SEQUENTIAL = "sequential"
LIMIT = "limit"  # no model to choose: the least code for the job
SEQUENTIAL_IGNORES = ("workers", "in_flight", "io_uring")
AGAINST = "/against:1"  # ends the name of a cell of the other build, in a file made with --against
LEAST_SAMPLES = 6  # under which no pair of order statistics covers the median with 95%
LEAST_FOR_SLOPE = 7  # and with 97.5%, of two medians that hold together with 95%
PERCENTILES = {50: "p50", 90: "p90", 95: "p95", 99: "p99", 99.9: "p999"}  # those of latencies that a file names
ON_TIME_S = 0.2e-3  # the p99 of how late sends were, above which the load generator was late. Keep equal to bench/analysis/campaign_result.hpp
LEAST_BEYOND = 10  # latencies beyond the last percentile of a spectrum
SPECTRUM_POINTS = 40  # to each tenth part of the distance to 100%


class NotTally(Exception):
    """The file is no result that can be used: str() is one line that names the file and says why."""


@dataclasses.dataclass(frozen=True)
class Interval:
    """A median with its 95% interval; `n` values behind it. `low` and `high` are None where the file has none."""

    median: float
    low: float | None
    high: float | None
    n: int
    holds: bool = True  # whether the values were enough for the confidence that was asked for

    @property
    def relative_half_width(self):
        """How far the interval reaches from its median, relative to it."""
        return max(self.high - self.median, self.median - self.low) / self.median


def median_interval(values, confidence=0.95):
    """The median of `values` and the narrowest symmetric pair of order statistics that covers it with at least `confidence`.

    The pair (k-th smallest, k-th greatest) covers the median with probability 1 - 2 P(B < k), B binomial(n, 1/2) (David
    & Nagaraja, Order Statistics, 7.1). With too few values (under 6 for 95%) no pair does: then the least and the greatest. Raises
    ValueError for no values. Keep equal to bench/base/statistics.cpp.
    """
    ordered = sorted(values)
    n = len(ordered)
    if n == 0:
        raise ValueError("no values have no median")
    middle = n // 2
    median = ordered[middle] if n % 2 else (ordered[middle - 1] + ordered[middle]) / 2
    k, below = 0, 0
    outside = int((1 - fractions.Fraction(confidence)) * 2**n)  # on both sides together, of 2^n orders
    while k < n // 2 and 2 * (below + math.comb(n, k)) <= outside:
        below += math.comb(n, k)
        k += 1
    return Interval(median, ordered[max(k, 1) - 1], ordered[n - max(k, 1)], n, k > 0)


def claimed(interval, context):
    """What may be claimed of a throughput with this interval: no less than the noise floor of the file, whose context it is, leaves
    of it. Keep equal to bench/analysis/campaign_result.cpp, and to Interval::no_narrower_than() in bench/base/statistics.cpp."""
    floor = context.get("noise_floor", {})
    width = finite(floor, "relative_half_width")
    if width is None or len(floor.get("samples", [])) < LEAST_SAMPLES:
        return interval
    return dataclasses.replace(interval, low=min(interval.low, interval.median * max(0.0, 1 - width)), high=max(interval.high, interval.median * (1 + width)))


def verdict(low, high):
    """What an interval of a ratio allows to be said."""
    return "faster" if low > 1 else "slower" if high < 1 else "not separated"


def run(main):
    """Runs a script's `main()` and exits with its status. A reader of the output that went away (`| head`) ends it in silence."""
    try:
        status = main()
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for Python's own flush at the end
        status = 1
    sys.exit(status)


def ratio_by_round(mine, other, confidence=0.95):
    """The interval of the ratios of two cells' values, round by round: each a dict of round to value. Machines drift, and both
    cells of a round alike. None without a common round."""
    ratios = [mine[round_] / other[round_] for round_ in mine if other.get(round_)]
    return median_interval(ratios, confidence) if ratios else None


def slope(few, many, parameter, metric):
    """How much the median of `metric` grows for each one more of `parameter`, from the cell with few to that with many of them.

    The ends are those of two intervals that hold together with 95% (Bonferroni: 97.5% each), and are not to be used where either had
    under LEAST_FOR_SLOPE samples (`holds`); None where the file has none. None without medians.
    """
    ends = [cell.interval(metric, 0.975) for cell in (few, many)]
    if None in ends:
        return None
    low, high = ends
    step = many.params[parameter] - few.params[parameter]
    n, middle = min(low.n, high.n), (high.median - low.median) / step
    if None in (low.low, low.high, high.low, high.high):
        return Interval(middle, None, None, n, False)
    return Interval(middle, (high.low - low.high) / step, (high.high - low.low) / step, n, low.holds and high.holds)


@dataclasses.dataclass
class Cell:
    """One model x stream x parameters. Times in seconds, memory in bytes, rates in events/s."""

    name: str
    stream: str
    model: str
    params: dict  # in the order of the name: workers, batch, in_flight; grain and wait in seconds
    samples: list  # verified samples, as in the file
    aggregates: dict  # aggregate name -> entry, as in the file
    failure: str = ""  # why the cell has no figures
    converged: bool = True

    def interval(self, metric, confidence=0.95):
        """Interval of what `metric(entry)` gives for each verified sample, or, from a file of
        aggregates alone, what its median says (with ends of 95% where it has them). None if the cell failed or nothing is known."""
        if self.failure:
            return None
        values = [value for value in map(metric, self.samples) if value is not None]
        if values:
            return median_interval(values, confidence)
        summary = self.aggregates.get("median", {})
        value = metric(summary)
        if value is None:
            return None
        key = SUMMARY_KEYS.get(metric)
        return Interval(value, key and finite(summary, f"{key}_low"), key and finite(summary, f"{key}_high"), 1)

    def by_round(self, metric):
        """What `metric(entry)` gives for each verified sample, by round."""
        return {sample["round"]: metric(sample) for sample in self.samples}

    def latency(self, key="latency"):
        """The latencies of all samples together, as in the file: from when events were to be sent, or those under
        "latency_uncorrected", from when they were. None if it has none."""
        found = None if self.failure else self.aggregates.get("median", {}).get(key)
        return found if isinstance(found, dict) else None

    def external(self):
        """Whether the model is a program of its own, called by `--external`."""
        return any(entry.get("external") is True for entry in (*self.samples, *self.aggregates.values()))

    def saturated(self):
        """Whether the cell fell behind the rate that was offered, and so has no latency."""
        median = self.aggregates.get("median", {})
        return not self.failure and median.get("saturated") is True and "latency_absent" in median

    def generator_late(self):
        """Whether the load generator was late by itself, so that latencies are not the model's alone."""
        late = self.interval(send_lateness)
        return late is not None and late.median > ON_TIME_S

    def luck_of_waits(self):
        """By so much, as a part of it, the throughput of lookups is not that of the long run: a lead below it is none."""
        return finite(self.aggregates.get("median", {}), "luck_of_waits") or 0

    def group(self):
        """What cells that are compared with each other share."""
        return (self.stream, tuple(self.params.items()))


@dataclasses.dataclass
class Results:
    context: dict
    cells: list  # of the build that made the file
    others: list = dataclasses.field(default_factory=list)  # of the build that it was measured against

    def streams(self):
        """Streams in the order of the file."""
        return list(dict.fromkeys(cell.stream for cell in self.cells))

    def drawn(self, stream):
        """Cells of `stream` that have figures."""
        return [cell for cell in self.cells if cell.stream == stream and not cell.failure]

    def groups(self, stream):
        """The stream's groups as (params, cells), in the order of the file; failed cells included. A sequential cell is in
        every group whose other parameters it shares, or stands alone if there is none."""
        concurrent, alone = {}, {}
        for cell in self.cells:
            if cell.stream == stream and cell.model != SEQUENTIAL:
                concurrent.setdefault(tuple(cell.params.items()), []).append(cell)
        for cell in self.cells:
            if cell.stream == stream and cell.model == SEQUENTIAL:
                fits = [members for key, members in concurrent.items() if belongs(cell, dict(key))]
                for members in fits:
                    members.append(cell)
                if not fits:
                    alone.setdefault(tuple(cell.params.items()), []).append(cell)
        return [(dict(key), members) for key, members in (concurrent | alone).items()]


def belongs(cell, params):
    """Whether a sequential cell shares all those of `params` that concern it."""
    return all(cell.params.get(key) == value for key, value in params.items() if key not in SEQUENTIAL_IGNORES)


def finite(entry, key):
    """The number at `key`; None where it is absent, no number, or not finite."""
    value = entry.get(key)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    return float(value)


def throughput(entry):
    """Events/s."""
    return finite(entry, "items_per_second")


def bound(entry):
    """The most events/s that any model could reach. Aggregates of older files have it in two parts, of which one was measured."""
    known = [finite(entry, key) for key in ("bound_items_per_second", "analytic_bound_items_per_second", "limit_items_per_second")]
    return min((value for value in known if value is not None), default=None)


def efficiency(entry):
    """Throughput over bound."""
    return finite(entry, "efficiency")


def of_limit(entry):
    """Throughput over that of `limit`, which aggregates alone have: it is taken round by round."""
    return finite(entry, "of_limit")


def cpu_per_event(entry):
    """Seconds of CPU time that the model used per event, threads and children included."""
    cpu, events = finite(entry, "cpu_s"), finite(entry, "events_counted")
    if events is None:
        rate, time = throughput(entry), finite(entry, "real_time")
        events = rate * time * SECONDS.get(entry.get("time_unit"), 1e-9) if rate and time else 0
    return cpu / events if cpu is not None and events else None


def peak_memory(entry):
    """Bytes of resident memory at its peak."""
    return finite(entry, "peak_rss_bytes")


def send_lateness(entry):
    """Seconds that the load generator sent too late, p99."""
    return finite(entry, "send_late_p99_s")


def percentile(latency, percent):
    """Seconds at one of PERCENTILES; None where that is absent, or 0, which no latency is."""
    return finite(latency, f"{PERCENTILES[percent]}_s") or None


def is_sure(latency, percent):
    """Whether as many latencies stand behind one of PERCENTILES as it takes."""
    return PERCENTILES[percent] not in latency.get("too_few_for", [])


def latencies_needed(percent):
    """How many latencies it takes to know a percentile, with 99% confidence, within a twentieth of its distance to 100%
    (MLPerf's rule). Keep equal to bench/analysis/campaign_result.cpp."""
    z, unit = 2.5758293035489004, 8192
    p = percent / 100
    margin = (1 - p) / 20
    return math.ceil(z * z * p * (1 - p) / (margin * margin) / unit) * unit


def spectrum(latency):
    """The percentiles p of a histogram of latencies, as (1 / (1 - p), seconds, whether enough latencies stand behind it), up to
    where LEAST_BEYOND of them lie beyond. A latency counts as the end of its part, as in workloads/counting/latency_histogram.cpp."""
    parts = latency.get("histogram_ns") or []
    seen = list(itertools.accumulate(count for _, count in parts))
    if not seen or seen[-1] < LEAST_BEYOND:
        return []
    total, most = seen[-1], finite(latency, "max_s") or math.inf
    points = []
    for step in range(math.floor(SPECTRUM_POINTS * math.log10(total / LEAST_BEYOND) + 1e-9) + 1):
        x = 10 ** (step / SPECTRUM_POINTS)
        share = 1 - 1 / x
        rank = max(1, math.ceil(share * total - 1e-6))  # but for what arithmetic added: 99% of 100 are 99
        edge_ns, _ = parts[bisect.bisect_left(seen, rank)]
        points.append((x, min(edge_ns * 1e-9, most), total >= latencies_needed(100 * share)))
    return [point for point in points if point[1] > 0]


@dataclasses.dataclass(frozen=True)
class Slo:
    """What is asked of latencies: that the percentile `percent`, one of PERCENTILES, is at most `latency_s`."""

    percent: float
    latency_s: float


def slo(context):
    """What the file itself asks of latencies; None if nothing, or nothing of a percentile that it names."""
    asked = context.get("slo")
    if not isinstance(asked, dict):
        return None
    percent, latency_s = finite(asked, "percentile"), finite(asked, "latency_s")
    return Slo(percent, latency_s) if percent in PERCENTILES and latency_s and latency_s > 0 else None


# Metrics whose interval stands beside the median among the aggregates.
SUMMARY_KEYS = {throughput: "items_per_second", efficiency: "efficiency", of_limit: "of_limit"}


def parse_name(name):
    """(stream, model, params) of a cell's name such as `cpu/fibers/workers:2/grain_ns:1000/batch:256`; raises ValueError
    for another name."""
    parts = name.split("/")
    if len(parts) < 3 or any(":" in part for part in parts[:2]):
        raise ValueError(name)
    params = {}
    for part in parts[2:]:
        key, colon, value = part.partition(":")
        if not colon:
            continue  # Google Benchmark's own suffixes, such as manual_time
        key, factor = DURATIONS.get(key, (key, 1))
        params[key] = math.inf if value in ("max", "auto") else float(value) * factor if factor != 1 or "." in value else int(value)
    return parts[0], parts[1], params


def read_text(path):
    """The text of the result file at `path`, also where it was compressed by xz. Raises NotTally."""
    try:
        with open(path, "rb") as file:
            data = file.read()
        return (lzma.decompress(data) if data.startswith(XZ) else data).decode("utf-8")
    except OSError as problem:
        raise NotTally(f"{path}: {problem.strerror}") from None
    except (lzma.LZMAError, UnicodeDecodeError) as problem:
        raise NotTally(f"{path}: not JSON, perhaps cut off: {problem}") from None


def find(folder, name):
    """The path of the result file NAME.json in a folder; NAME.json.xz if that is not there, whether or not this is."""
    plain = folder / f"{name}.json"
    return plain if plain.exists() else folder / f"{name}.json.xz"


@contextlib.contextmanager
def plain(*paths):
    """The paths of result files that nothing compressed: of those that end in .xz, those of copies for the while. Raises NotTally."""
    with tempfile.TemporaryDirectory() as folder:
        found = []
        for path in paths:
            if path.suffix == ".xz":
                copy = pathlib.Path(folder) / path.stem
                copy.write_bytes(read_text(path).encode())
                path = copy
            found.append(path)
        yield found


def load(path):
    """The results in the file at `path`. Raises NotTally for anything that is no Tally result or holds no cell."""
    return parse(read_text(path), path)


def parse(text, path):
    """The results in `text`, as load(); messages name `path`."""
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as problem:
        raise NotTally(f"{path}: not JSON: {problem}") from None
    if not isinstance(data, dict) or not isinstance(data.get("context"), dict):
        raise NotTally(f"{path}: not a result of `tally run`: no context")
    entries = data.get("benchmarks")
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise NotTally(f"{path}: not a result of `tally run`: no list of benchmarks")
    cells = {}
    for entry in entries:
        add(cells, entry, path)
    if not cells:
        raise NotTally(f"{path}: holds no sample")
    for cell in cells.values():
        if not cell.failure and not cell.samples and not cell.aggregates:
            cell.failure = "no verified sample"
    return Results(data["context"], [cell for cell in cells.values() if not cell.name.endswith(AGAINST)],
                   [cell for cell in cells.values() if cell.name.endswith(AGAINST)])


def add(cells, entry, path):
    """Adds one entry of `benchmarks` to the cell that it belongs to."""
    name = entry.get("run_name", entry.get("name"))
    try:
        stream, model, params = parse_name(name)
    except (ValueError, AttributeError):
        raise NotTally(f"{path}: not a result of `tally run`: no cell is called {name!r}") from None
    cell = cells.setdefault(name, Cell(name, stream, model, params, [], {}))
    if entry.get("run_type") == "aggregate":
        cell.aggregates[entry.get("aggregate_name")] = entry
        cell.converged = cell.converged and entry.get("converged", True) is True
    elif entry.get("error_occurred"):
        # The last is the one that failed: figures of those before it are withheld for its sake.
        cell.failure = entry.get("error_message") or "failed without a reason"
    elif entry.get("verified") not in (True, 1):
        cell.failure = cell.failure or "not verified"
    elif not throughput(entry):
        cell.failure = cell.failure or "no events, so no rate"
    else:
        cell.samples.append(entry)


def launcher(context, tally="build/bench/tally"):
    """The words that start the campaign of a file again, before its arguments: `tally run`, or of ranks, mpirun with as many. Their
    hosts are whatever mpirun is told of."""
    mpi = context.get("mpi")
    if not isinstance(mpi, dict):
        return [tally, "run"]
    return ["mpirun", "-n", str(mpi["ranks"]), tally.replace("bench/tally", "mpi/tally-mpi"), "run"]


def machine(context):
    """The machine in a line, from what the manifest has."""
    cpus = context.get("cpus_usable", context.get("num_cpus"))
    count = len(cpus) if isinstance(cpus, list) else cpus
    kernel = " ".join(str(context.get("kernel", "")).split()[:2])
    parts = [context.get("cpu_model"), f"{count} CPU{'' if count == 1 else 's'}" if count else None, kernel]
    return ", ".join(str(part) for part in parts if part and part != "unknown")


def suite(context):
    """Suite, version and commit, and whether its tree was clean."""
    version, commit, tree = (context.get(f"tally_{key}") for key in ("version", "commit", "tree"))
    text = f"Tally {version}" if version else "Tally"
    if isinstance(commit, str) and commit:
        text += f" ({commit[:12]}{'' if tree in (None, 'clean') else f', {tree}'})"
    return text
