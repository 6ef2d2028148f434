"""A bench of the bench: how often Tally calls a difference that is none, and misses one that is there.

Each figure is measured by campaigns of the program itself, built by `cmake --preset release`, in some hours of a quiet machine; nothing
else should run meanwhile. Their result files are the raw data: raw/ID/*.json.xz in the folder. What is there already is not measured
again, so that it can be stopped and gone on with.
"""

import collections
import datetime
import functools
import itertools
import json
import math
import pathlib
import re
import statistics
import sys

import compare
from tally import results
from tally.judging import CannotRun, Judged, Missing, REPORTED, Row, bullets, share
from tally.measuring import built, flags, keep_text, result_of

TRIES = 40
# Models that are slowed, in turn. sequential is their base, and limit no model.
SLOWED = ("thread_pool", "process_shard", "tbb_flow_graph", "fibers", "coroutines")  # and no more: raw data is numbered by them
GRAINS = ("0", "1us")
# All models, and both kinds: counting alone, and work.
CELLS = flags(stream="cpu", grain=",".join(GRAINS))
AGAINST_BUDGET = "90s"
LONGER = 10  # times as long is the campaign that a first one's intervals are judged by
COVERED_TRIES = 4
NEIGHBOURS_S = 180  # two campaigns are neighbours if no more is between them: a campaign, at most
CLOCK_S = 2  # to so much the date of a file is known
READ_BYTES = 2 * (64 << 20)  # of memory, by each CPU in each reference computation (bench/machine/reference_work.hpp)


def options(parser):
    """Adds the options of this campaign."""
    parser.add_argument("--build", dest="tally", metavar="DIR", type=lambda folder: pathlib.Path(folder) / "bench/tally",
                        help="the release build, in place of --tally")
    parser.add_argument("--tries", default=TRIES, type=int, metavar="N", help="tries of each (default: %(default)s)")


def slowed(arguments):
    """The program with a slowed model."""
    return built(arguments.tally, "tests/slowed_tally")


def slowing(model, percent):
    """The environment in which that slows a model."""
    return {"TALLY_SLOWED": f"{model}:{percent}"}


def raw_of(name, arguments):
    """The folder of a figure's raw data."""
    return arguments.out / "raw" / name


def campaign(path, program, *options, environment=None, statuses=(0,)):
    """Runs a campaign and keeps its result file at `path`, unless it is there. Raises CannotRun."""
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        text, _ = result_of([program, "run", *options, "--no-progress"], statuses=statuses, environment=environment)
    except Missing as problem:
        raise CannotRun(str(problem)) from None
    keep_text(path.name.removesuffix(".json.xz"), text, path.parent)
    print(f"{path}: done", file=sys.stderr)


def numbered(folder):
    """The result files of a folder, in order."""
    return sorted(folder.glob("*.json.xz"))


class Calls:
    """Verdicts on cells that are alike: how many were called faster or slower, and in how many campaigns any was."""

    def __init__(self):
        self.calls = self.cells = self.campaigns = self.with_calls = self.not_compared = 0

    def add(self, rows):
        """The rows of one comparison."""
        compared = [row for row in rows if row["ratio"] is not None]
        calls = sum(row["verdict"] in ("faster", "slower") for row in compared)
        self.not_compared += len(rows) - len(compared)
        self.cells += len(compared)
        self.calls += calls
        self.campaigns += 1
        self.with_calls += calls > 0

    def rows(self, what):
        """That few cells are called, and, since every comparison is corrected for its number of cells, in few campaigns any."""
        per_campaign = (self.cells + self.not_compared) // max(1, self.campaigns)
        also = f"; {self.not_compared} not compared" if self.not_compared else ""
        return [Row(f"{what}: cells called faster or slower ({self.campaigns} x {per_campaign} cells)", "<= 5%", share(self.calls, self.cells) + also,
                    self.calls <= 0.05 * self.cells and self.not_compared == 0),
                Row(f"{what}: comparisons that call any cell", f"<= {most_by_chance(self.campaigns)} of {self.campaigns}, as 5% allow",
                    share(self.with_calls, self.campaigns), self.with_calls <= most_by_chance(self.campaigns))]


class Finds:
    """Verdicts on cells of a model that was slowed."""

    def __init__(self):
        self.found = self.cells = 0
        self.ratios = []

    def add(self, rows):
        self.cells += len(rows)
        self.found += sum(row["verdict"] == "slower" for row in rows)
        self.ratios += [row["ratio"] for row in rows if row["ratio"] is not None]

    def row(self, what, least, percent):
        """That it was found, and that it was slowed by as much as is said: else something easier was found."""
        median = statistics.median(self.ratios) if self.ratios else 0.0
        as_slow = abs(median - 1 / (1 + percent / 100)) <= 0.01
        return Row(f"{what}: found ({self.cells} cells)", f">= {least:.0%}", f"{share(self.found, self.cells)}; ratio {median:.3f} in the median",
                   self.found >= least * self.cells and as_slow)


def most_by_chance(tries):
    """The least number that so many tries of probability 5% exceed in fewer than one of 20 cases (binomial)."""
    most, sum_ = 0, 0.95**tries
    while sum_ < 0.95:
        most += 1
        sum_ += math.comb(tries, most) * 0.05**most * 0.95 ** (tries - most)
    return most


def of_model(rows, model):
    """(the rows of a model's cells, those of all others)"""
    return [row for row in rows if f"/{model}/" in row["cell"]], [row for row in rows if f"/{model}/" not in row["cell"]]


def same_binary(one, other):
    """Raises CannotRun unless the two contexts are of one binary."""
    if one["binary_sha256"] != other["binary_sha256"]:
        raise CannotRun("raw data of two builds: remove it and measure again")


# Two files: a chain of campaigns, one right after the other. The program, the program with a slowed model, the program twice, one slowed,
# and so on: every campaign of the program is compared with the next one of it, and every slowed one with those before and after it.


def slowed_in(number):
    """The model that is slowed in the try of this number."""
    return SLOWED[number % len(SLOWED)]


@functools.cache
def context_of(path):
    """The manifest of a result file."""
    return json.loads(results.read_text(path))["context"]


def measured_at(path):
    """(when a campaign began, when it ended), in seconds since 1970."""
    context = context_of(path)
    began_s = datetime.datetime.fromisoformat(context["date"]).timestamp()
    return began_s, began_s + context["took_s"]


def in_turn(first, second):
    """Whether both were measured, the second soon after the first: whoever was interrupted may have gone on another day."""
    return first.exists() and second.exists() and -CLOCK_S <= measured_at(second)[0] - measured_at(first)[1] <= NEIGHBOURS_S


def program_file(raw, number):
    """That of the program's campaign of this number."""
    return raw / f"{number:03}.json.xz"


def slowed_file(raw, number):
    """That of the slowed campaign which comes after the program's of twice this number."""
    return raw / f"{number:03}-slowed.json.xz"


def pairs_alike(raw):
    """Pairs of files of the program, one after the other."""
    files = sorted(raw.glob("???.json.xz"))
    return [(old, new) for old, new in itertools.pairwise(files) if in_turn(old, new)]


def pairs_slowed(raw):
    """Each file with a slowed model, beside that of the program before it and that after it: (number, file of the program, slowed file)."""
    for number, slow in ((int(path.name[:3]), path) for path in sorted(raw.glob("???-slowed.json.xz"))):
        before, after = program_file(raw, 2 * number), program_file(raw, 2 * number + 1)
        if in_turn(before, slow):
            yield number, before, slow
        if in_turn(slow, after):
            yield number, after, slow


def collect_files(name, arguments):
    raw, number = raw_of(name, arguments), 0
    while len(pairs_alike(raw)) < arguments.tries:
        campaign(program_file(raw, number), arguments.tally, *CELLS)
        if number % 2 == 0:
            campaign(slowed_file(raw, number // 2), slowed(arguments), *CELLS, environment=slowing(slowed_in(number // 2), 10))
        number += 1


def judge_files(raw):
    alike, beside, finds = Calls(), Calls(), Finds()
    by_grain = collections.defaultdict(Finds)
    load = functools.cache(compare.load)  # most files are in several pairs
    for first, second in pairs_alike(raw):
        old, new = load(first), load(second)
        same_binary(old.context, new.context)
        alike.add(compare.compare(old, new))
    for number, program, slow in pairs_slowed(raw):
        mine, others = of_model(compare.compare(load(program), load(slow)), slowed_in(number))
        finds.add(mine)
        beside.add(others)
        for row in mine:
            if grain := re.search(r"/grain_ns:(\d+)", row["cell"]):
                by_grain[grain[1]].add([row])
    if not alike.campaigns:
        return []
    return [*alike.rows("same binary, two files one after the other, of every second pair with a slowed one between"),
            finds.row("a model made 10% slower, two files", 0.90, 10),
            *(Row(f"of these, {'counting alone, which waits for memory' if grain == '0' else f'with {grain} ns of work'}", REPORTED,
                  share(found.found, found.cells)) for grain, found in sorted(by_grain.items())),
            beside.rows("beside it, models that were not made slower")[0]]


# The same binary on both sides of --against.


def collect_same_against(name, arguments):
    for i in range(arguments.tries):
        campaign(raw_of(name, arguments) / f"{i:03}.json.xz", arguments.tally, *CELLS,
                 *flags(against=arguments.tally, time_budget=AGAINST_BUDGET, order_seed=i + 1))


def judge_same_against(raw):
    alike = Calls()
    for path in numbered(raw):
        file = compare.load(path)
        same_binary(file.context, file.context["against"])
        alike.add(compare.compare_builds(file))
    return alike.rows("same binary, --against") if alike.campaigns else []


# A model made slower, --against, with the budget that it has by default.


def collect_slower_against(name, arguments):
    for i in range(arguments.tries):
        model, grain = slowed_in(i), GRAINS[i // len(SLOWED) % len(GRAINS)]
        campaign(raw_of(name, arguments) / f"{i:03}-{model}.json.xz", slowed(arguments),
                 *flags(stream="cpu", grain=grain, model=f"sequential,{model},limit", against=arguments.tally, order_seed=i + 1),
                 environment=slowing(model, 5))


def judge_slower_against(raw):
    beside, finds, took = Calls(), Finds(), []
    for path in numbered(raw):
        file = compare.load(path)
        took.append(file.context["took_s"])
        mine, others = of_model(compare.compare_builds(file), path.name.partition("-")[2].partition(".")[0])
        finds.add(mine)
        beside.add(others)
    if not took:
        return []
    return [finds.row(f"a model made 5% slower, --against, default budget (of which it took {statistics.median(took):.0f} s in the median)", 0.95, 5),
            beside.rows("beside it, models that were not made slower")[0]]


# Coverage: what a first campaign claims, against one ten times as long right after it.


def collect_coverage(name, arguments):
    for i in range(min(arguments.tries, COVERED_TRIES)):
        first = raw_of(name, arguments) / f"{i:03}-first.json.xz"
        campaign(first, arguments.tally, *CELLS)
        rounds = LONGER * compare.load(first).context["rounds"]
        campaign(first.with_name(f"{i:03}-long.json.xz"), arguments.tally, *CELLS, *flags(rounds=f"{rounds}:{rounds}", time_budget="1000s"))


def at_equal_speed(name, first, other):
    """By what a throughput of the other file's is multiplied to be one at the speed that the machine had in the first. On cpu: at the
    speed that the reference computation had, and with a grain, for as many links of its chain. A lookup is left as it is."""
    if not name.startswith("cpu/"):
        return 1.0
    speeds = [statistics.median(s["links_per_ns"] for s in file.context["noise_floor"]["samples"]) for file in (first, other)]
    links = [file.context["grain_links_per_ns"] for file in (first, other)] if "grain_ns:0" not in name.split("/") else [1, 1]
    return speeds[0] / speeds[1] * links[1] / links[0]


def judge_coverage(raw):
    held = regardless = cells = tries = 0
    for path in sorted(raw.glob("*-first.json.xz")):
        longer = path.with_name(path.name.replace("first", "long"))
        if not longer.exists():
            continue
        tries += 1
        first, long = results.load(path), results.load(longer)
        truths = {cell.name: cell.interval(results.throughput) for cell in long.cells}
        for cell in first.cells:
            interval, truth = cell.interval(results.throughput), truths[cell.name]
            if interval and truth:
                claim = results.claimed(interval, first.context)
                cells += 1
                held += claim.low <= truth.median * at_equal_speed(cell.name, first, long) <= claim.high
                regardless += claim.low <= truth.median <= claim.high
    if not tries:
        return []
    return [Row(f"95% intervals of a first campaign that hold the median of one ten times as long, at equal speed of the machine ({tries} "
                f"campaigns x {cells // tries} cells)", ">= 90% of cells", share(held, cells), held >= 0.9 * cells),
            Row("and whatever the speed of the machine was", REPORTED, share(regardless, cells))]


# The default campaign: how long, how well, and what the harness itself costs.


def collect_default(name, arguments):
    for i in range(3):
        campaign(raw_of(name, arguments) / f"{i:03}.json.xz", arguments.tally)


def overheads(file):
    """(seconds outside the model, seconds of the model) of each round but the last, with its number of samples: from the start of its
    first sample to that of the next round's first, less what the models, and the reference computation, took to start, run and end.
    So what is done at a round's end is in it."""
    rounds = collections.defaultdict(list)
    for b in file["benchmarks"]:
        if b["run_type"] == "iteration" and "items_per_second" in b:
            took = b["startup_s"] + b["real_time"] * results.SECONDS[b["time_unit"]] + b["teardown_s"]
            rounds[b["round"]].append((b["started_s"], took, 1))
    for s in file["context"]["noise_floor"]["samples"]:
        read_s = READ_BYTES * len(file["context"]["cpus_usable"]) / s["read_bytes_per_s"] if s.get("read_bytes_per_s") else 0.0
        rounds[s["round"]].append((s["started_s"], s["real_time_s"] + read_s, 0))
    starts = {number: min(started for started, _, _ in samples) for number, samples in rounds.items()}
    return [(starts[number + 1] - starts[number] - sum(took for _, took, _ in samples), sum(took for _, took, one in samples if one),
             sum(one for _, _, one in samples)) for number, samples in rounds.items() if number + 1 in rounds]


def unsteadiness(file):
    """What the reference computation says of the machine: the half-width of its time's interval, and of the speed at which it read memory,
    whichever is wider. No campaign can know a cell that waits for either better."""
    widths = []
    for key in ("real_time_s", "read_bytes_per_s"):
        values = [s[key] for s in file["context"]["noise_floor"]["samples"] if s.get(key)]
        if values:  # there is no speed where memory was too short for it
            found = results.median_interval(values)
            widths.append(found.relative_half_width)
    return max(widths)


def judge_default(raw):
    took, costs, cpus = [], [], set()
    within, cells, runs, widest = collections.Counter(), collections.Counter(), collections.Counter(), 0.0
    for path in numbered(raw):
        file = json.loads(results.read_text(path))
        took.append(file["context"]["took_s"])
        cpus.add(len(file["context"]["cpus_usable"]))
        floor = file["context"]["noise_floor"]["relative_half_width"]
        medians = [b for b in file["benchmarks"] if b.get("aggregate_name") == "median"]
        steady = unsteadiness(file) <= 0.05
        widest = max(widest, unsteadiness(file))
        runs[steady] += 1
        cells[steady] += len(medians)
        within[steady] += sum(b["interval_coverage"] >= 0.95 and max(b["relative_half_width"], floor) <= 0.05 for b in medians)
        costs += overheads(file)
    if not took:
        return []
    outside, inside, samples = (sum(column) for column in zip(*costs))
    return [
        Row(f"default campaign on {' and '.join(map(str, sorted(cpus)))} CPUs ({len(took)} runs)", "<= 90 s", f"{max(took):.0f} s at most",
            max(took) <= 90),
        Row("its cells within 5%, noise floor included", ">= 90%", share(within.total(), cells.total()), within.total() >= 0.9 * cells.total()),
        Row(f"of these, in the {runs[True]} runs whose reference computation, and whose reading of memory, were within 5% themselves",
            REPORTED, share(within[True], cells[True])),
        Row(f"and in the {runs[False]} where they were not (±{widest:.0%} at worst)", REPORTED, share(within[False], cells[False])),
        Row(f"time per sample outside the model ({samples} samples in {len(costs)} rounds; process, check, records)", "<= 10 ms + 5% of the sample",
            f"{outside / samples * 1e3:.1f} ms on average, where {10 + 0.05 * inside / samples * 1e3:.1f} ms are allowed",
            outside <= 0.010 * samples + 0.05 * inside),
    ]


# Models that count one event of ten million wrong.


def collect_wrong(name, arguments):
    campaign(raw_of(name, arguments) / "wrong.json.xz", built(arguments.tally, "tests/broken_tally"),
             *flags(stream="cpu", events="10M", grain=0, window="1s", workers=2, rounds=3), statuses=(0, 1))


def judge_wrong(raw):
    caught = wrong = right = 0
    for path in numbered(raw):
        for cell in results.load(path).cells:
            if cell.model == "right":
                right += not cell.failure
            else:
                wrong += 1
                caught += "wrong count" in cell.failure
    if not wrong:
        return []
    return [Row("models that lose, double, swap, misfile, tear or count late one event of 10 million", "100% caught",
                f"{caught} of {wrong}, and {'the' if right else 'NOT the'} one that counts right let through", caught == wrong and right == 1)]


# What collects a figure's raw data, as far as it is not there (it raises CannotRun), and what makes Rows of it: none where there is none.
FIGURES = {
    "wrong-models": (collect_wrong, judge_wrong),
    "default": (collect_default, judge_default),
    "same-against": (collect_same_against, judge_same_against),
    "slower-against": (collect_slower_against, judge_slower_against),
    "coverage": (collect_coverage, judge_coverage),
    "two-files": (collect_files, judge_files),
}
MEASUREMENTS = {name: collect for name, (collect, _) in FIGURES.items()}


def contexts(raw):
    """(machine, build) of every file there is, each once."""
    found = map(context_of, sorted(raw.rglob("*.json.xz")))
    return list(dict.fromkeys((results.machine(context), results.suite(context)) for context in found))


def judge(arguments):
    """The page of the raw data that is there. Raises CannotRun where there is none."""
    rows = [row for name, (_, judge_raw) in FIGURES.items() for row in judge_raw(raw_of(name, arguments))]
    if not rows:
        raise CannotRun("there is no raw data to judge")
    found = [{"figure": row.figure, "must": row.must, "measured": row.measured, "met": row.met} for row in rows]
    machines = [f"{machine}: {suite}" for machine, suite in contexts(arguments.out / "raw")]
    return Judged([rows, "Measured on:", bullets(machines)], "Is it right? Tally measured by itself",
                  " from the result files in `raw/`; rerun by anyone. In brackets: the 95% interval of a share.",
                  {"self_check.json": json.dumps(found, indent=2) + "\n"})
