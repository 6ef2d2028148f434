#!/usr/bin/python3
"""A bench of the bench: how often Tally calls a difference that is none, and misses one that is there.

    scripts/campaigns/self_check.py                            # everything, some hours of a quiet machine
    scripts/campaigns/self_check.py --only same-against        # one figure; --list names them
    scripts/campaigns/self_check.py --judge                    # measures nothing: judges the raw data that is there

Each figure is measured by campaigns of the program itself, built by `cmake --preset release`. Their result files are the raw data:
DIR/raw/FIGURE/*.json.xz. What is there already is not measured again, so that it can be stopped and gone on with. From
them DIR/self_check.md and DIR/self_check.json are made. Nothing else should run meanwhile.

Exit status: 0 every figure that was measured is as it must be, 1 one is not, 2 the command line is wrong or a campaign could not run.
"""

import argparse
import collections
import dataclasses
import datetime
import functools
import itertools
import json
import lzma
import math
import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))  # scripts/

import compare
from tally import results
from tally.whole_files import write_whole

ROOT = pathlib.Path(__file__).resolve().parents[2]
TRIES = 40
# Models that are slowed, in turn. sequential is their base, and limit no model.
SLOWED = ("thread_pool", "process_shard", "tbb_flow_graph", "fibers", "coroutines")  # and no more: raw data is numbered by them
GRAINS = ("0", "1us")
# All models, and both kinds: counting alone, and work.
CELLS = ("--stream", "cpu", "--grain", ",".join(GRAINS))
AGAINST_BUDGET = "90s"
LONGER = 10  # times as long is the campaign that a first one's intervals are judged by
COVERED_TRIES = 4
NEIGHBOURS_S = 180  # two campaigns are neighbours if no more is between them: a campaign, at most
CLOCK_S = 2  # to so much the date of a file is known
READ_BYTES = 2 * (64 << 20)  # of memory, by each CPU in each reference computation (bench/machine/reference_work.hpp)


class CannotRun(Exception):
    """A campaign ended without a result; str() is one line."""


@dataclasses.dataclass
class Row:
    """A figure beside what it must reach."""

    figure: str
    must: str
    measured: str
    met: bool


@dataclasses.dataclass
class Programs:
    """What is measured: tally, tally with a slowed model, and tally with wrong ones."""

    build: pathlib.Path

    def __post_init__(self):
        self.tally = self.build / "bench/tally"
        self.slowed = self.build / "tests/slowed_tally"
        self.broken = self.build / "tests/broken_tally"


def slowed(model, percent):
    """The environment in which slowed_tally slows a model."""
    return {"TALLY_SLOWED": f"{model}:{percent}"}


def campaign(path, program, *arguments, environment=None, statuses=(0,)):
    """Runs a campaign and keeps its result file, compressed, at `path`, unless it is there. Raises CannotRun."""
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder) / "result.json"
        command = [str(program), "run", *arguments, "--no-progress", "--out", str(out)]
        done = subprocess.run(command, env={**os.environ, **(environment or {})}, capture_output=True, text=True, check=False)
        if done.returncode not in statuses or not out.exists():
            raise CannotRun(f"{' '.join(command)}: exit status {done.returncode}: {done.stderr.strip().splitlines()[-1:]}")
        write_whole({path: lzma.compress(out.read_bytes())})
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


@functools.lru_cache(maxsize=None)
def measured_at(path):
    """(when a campaign began, when it ended), in seconds since 1970."""
    context = json.loads(results.read_text(path))["context"]
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


def collect_files(raw, programs, tries):
    number = 0
    while len(pairs_alike(raw)) < tries:
        campaign(program_file(raw, number), programs.tally, *CELLS)
        if number % 2 == 0:
            campaign(slowed_file(raw, number // 2), programs.slowed, *CELLS, environment=slowed(slowed_in(number // 2), 10))
        number += 1


def judge_files(raw):
    alike, beside, finds = Calls(), Calls(), Finds()
    by_grain = collections.defaultdict(Finds)
    for first, second in pairs_alike(raw):
        old, new = compare.load(first), compare.load(second)
        same_binary(old.context, new.context)
        alike.add(compare.compare(old, new))
    for number, program, slow in pairs_slowed(raw):
        mine, others = of_model(compare.compare(compare.load(program), compare.load(slow)), slowed_in(number))
        finds.add(mine)
        beside.add(others)
        for row in mine:
            if grain := re.search(r"/grain_ns:(\d+)", row["cell"]):
                by_grain[grain[1]].add([row])
    if not alike.campaigns:
        return []
    return [*alike.rows("same binary, two files one after the other, of every second pair with a slowed one between"), finds.row("a model made 10% slower, two files", 0.90, 10),
            *(Row(f"of these, {'counting alone, which waits for memory' if grain == '0' else f'with {grain} ns of work'}", "reported",
                  share(found.found, found.cells), True) for grain, found in sorted(by_grain.items())),
            beside.rows("beside it, models that were not made slower")[0]]


# The same binary on both sides of --against.


def collect_same_against(raw, programs, tries):
    for i in range(tries):
        campaign(raw / f"{i:03}.json.xz", programs.tally, *CELLS, "--against", str(programs.tally), "--time-budget", AGAINST_BUDGET,
                 "--order-seed", str(i + 1))


def judge_same_against(raw):
    alike = Calls()
    for path in numbered(raw):
        file = compare.load(path)
        same_binary(file.context, file.context["against"])
        alike.add(compare.compare_builds(file))
    return alike.rows("same binary, --against") if alike.campaigns else []


# A model made slower, --against, with the budget that it has by default.


def collect_slower_against(raw, programs, tries):
    for i in range(tries):
        model = slowed_in(i)
        campaign(raw / f"{i:03}-{model}.json.xz", programs.slowed, "--stream", "cpu", "--grain", GRAINS[i // len(SLOWED) % len(GRAINS)],
                 "--model", f"sequential,{model},limit", "--against", str(programs.tally), "--order-seed", str(i + 1),
                 environment=slowed(model, 5))


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


def collect_coverage(raw, programs, tries):
    for i in range(min(tries, COVERED_TRIES)):
        first = raw / f"{i:03}-first.json.xz"
        campaign(first, programs.tally, *CELLS)
        rounds = LONGER * compare.load(first).context["rounds"]
        campaign(raw / f"{i:03}-long.json.xz", programs.tally, *CELLS, "--rounds", f"{rounds}:{rounds}", "--time-budget", "1000s")


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
            Row("and whatever the speed of the machine was", "reported", share(regardless, cells), True)]


# The default campaign: how long, how well, and what the harness itself costs.


def collect_default(raw, programs, _tries):
    for i in range(3):
        campaign(raw / f"{i:03}.json.xz", programs.tally)


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
    took, costs = [], []
    within, cells, runs, widest = collections.Counter(), collections.Counter(), collections.Counter(), 0.0
    for path in numbered(raw):
        file = json.loads(results.read_text(path))
        took.append(file["context"]["took_s"])
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
        Row(f"default campaign on {os.cpu_count()} CPUs ({len(took)} runs)", "<= 90 s", f"{max(took):.0f} s at most", max(took) <= 90),
        Row("its cells within 5%, noise floor included", ">= 90%", share(within.total(), cells.total()), within.total() >= 0.9 * cells.total()),
        Row(f"of these, in the {runs[True]} runs whose reference computation, and whose reading of memory, were within 5% themselves", "reported",
            share(within[True], cells[True]), True),
        Row(f"and in the {runs[False]} where they were not (±{widest:.0%} at worst)", "reported", share(within[False], cells[False]), True),
        Row(f"time per sample outside the model ({samples} samples in {len(costs)} rounds; process, check, records)", "<= 10 ms + 5% of the sample",
            f"{outside / samples * 1e3:.1f} ms on average, where {10 + 0.05 * inside / samples * 1e3:.1f} ms are allowed",
            outside <= 0.010 * samples + 0.05 * inside),
    ]


# Models that count one event of ten million wrong.


def collect_wrong(raw, programs, _tries):
    campaign(raw / "wrong.json.xz", programs.broken, "--stream", "cpu", "--events", "10M", "--grain", "0", "--window", "1s", "--workers", "2",
             "--rounds", "3", statuses=(0, 1))


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


FIGURES = {
    "wrong-models": (collect_wrong, judge_wrong),
    "default": (collect_default, judge_default),
    "same-against": (collect_same_against, judge_same_against),
    "slower-against": (collect_slower_against, judge_slower_against),
    "coverage": (collect_coverage, judge_coverage),
    "two-files": (collect_files, judge_files),
}


def share(part, whole):
    """`3 of 560 (0.5%)`, with the 95% interval of Wilson (1927) where there is something to be uncertain of."""
    if not whole:
        return "0 of 0"
    z = 1.96
    p = part / whole
    centre = (p + z * z / (2 * whole)) / (1 + z * z / whole)
    reach = z * math.sqrt(p * (1 - p) / whole + z * z / (4 * whole * whole)) / (1 + z * z / whole)
    return f"{p:.1%} [{max(0, centre - reach):.1%}, {min(1, centre + reach):.1%}], {part} of {whole}"


def contexts(raw):
    """(machine, build) of every file there is, each once."""
    found = {}
    for path in sorted(raw.rglob("*.json.xz")):
        context = json.loads(results.read_text(path))["context"]
        found.setdefault((results.machine(context), results.suite(context)), context)
    return list(found)


def as_markdown(rows, raw):
    lines = ["# Is it right? Tally measured by itself", "",
             "Made by `scripts/campaigns/self_check.py` from the result files in `raw/`; rerun by anyone. In brackets: the 95% interval of a share.", "",
             "| figure | must reach | measured | |", "| --- | --- | --- | --- |"]
    said = {row.figure: "" if row.must == "reported" else "met" if row.met else "NOT MET" for row in rows}
    lines += [f"| {row.figure} | {row.must} | {row.measured} | {said[row.figure]} |" for row in rows]
    lines += ["", "Measured on:", ""]
    lines += [f"- {machine}: {suite}" for machine, suite in contexts(raw)]
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--out", default=ROOT / "results/self_check", type=pathlib.Path, metavar="DIR")
    parser.add_argument("--build", default=ROOT / "build", type=pathlib.Path, help="the release build (default: build)")
    parser.add_argument("--only", metavar="FIGURE,…", help="these figures alone: " + ", ".join(FIGURES))
    parser.add_argument("--tries", default=TRIES, type=int, metavar="N", help=f"tries of each (default {TRIES})")
    parser.add_argument("--judge", action="store_true", help="measure nothing, judge what is there")
    parser.add_argument("--list", action="store_true", help="name the figures")
    arguments = parser.parse_args()
    if arguments.list:
        print("\n".join(FIGURES))
        return 0
    wanted = arguments.only.split(",") if arguments.only else list(FIGURES)
    unknown = [name for name in wanted if name not in FIGURES]
    if unknown:
        parser.error(f"no figure '{unknown[0]}': write some of {', '.join(FIGURES)}")
    raw = arguments.out / "raw"
    programs = Programs(arguments.build.resolve())
    try:
        for name in wanted:
            if not arguments.judge:
                FIGURES[name][0](raw / name, programs, arguments.tries)
        rows = [row for name, (_, judge) in FIGURES.items() for row in judge(raw / name)]
    except (CannotRun, results.NotTally) as problem:
        print(f"self_check.py: {problem}", file=sys.stderr)
        return 2
    if not rows:
        print("self_check.py: there is no raw data to judge", file=sys.stderr)
        return 2
    text = as_markdown(rows, raw)
    write_whole({arguments.out / "self_check.md": text,
                 arguments.out / "self_check.json": json.dumps([dataclasses.asdict(row) for row in rows], indent=2) + "\n"})
    print(text)
    return 0 if all(row.met for row in rows) else 1


if __name__ == "__main__":
    results.run(main)
