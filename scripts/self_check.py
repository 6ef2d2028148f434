#!/usr/bin/python3
"""A bench of the bench: how often Tally calls a difference that is none, and misses one that is there.

    scripts/self_check.py                            # everything, some hours of a quiet machine
    scripts/self_check.py --only same-against        # one figure; --list names them
    scripts/self_check.py --judge                    # measures nothing: judges the raw data that is there

Each figure is measured by campaigns of the program itself, built by `cmake --preset release`. Their result files are the raw data:
DIR/raw/FIGURE/*.json.xz. What is there already is not measured again, so that it can be stopped and gone on with. From
them DIR/self_check.md and DIR/self_check.json are made. Nothing else should run meanwhile.

Exit status: 0 every figure that was measured is as it must be, 1 one is not, 2 the command line is wrong or a campaign could not run.
"""

import argparse
import dataclasses
import json
import lzma
import math
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

import compare
import tally_results as results

ROOT = pathlib.Path(__file__).resolve().parent.parent
TRIES = 40
# Models that are slowed, in turn. sequential is their base, and limit no model.
SLOWED = ("thread_pool", "process_shard", "tbb_flow_graph", "fibers", "coroutines")
GRAINS = ("0", "1us")
# 14 cells, of both kinds: counting alone, and work.
CELLS = ("--stream", "cpu", "--grain", ",".join(GRAINS))
AGAINST_BUDGET = "60s"
LONGER = 10  # times as long is the campaign that a first one's intervals are judged by
COVERED_TRIES = 4


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


def campaign(path, program, *arguments, environment=None, status=0):
    """Runs a campaign and keeps its result file, compressed, at `path`, unless it is there. Raises CannotRun."""
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder) / "result.json"
        command = [str(program), "run", *arguments, "--no-progress", "--out", str(out)]
        done = subprocess.run(command, env={**os.environ, **(environment or {})}, capture_output=True, text=True, check=False)
        if done.returncode != status or not out.exists():
            raise CannotRun(f"{' '.join(command)}: exit status {done.returncode}: {done.stderr.strip().splitlines()[-1:]}")
        whole = path.with_suffix(".part")
        whole.write_bytes(lzma.compress(out.read_bytes()))
        whole.replace(path)
    print(f"{path}: done", file=sys.stderr)


def numbered(folder):
    """The result files of a folder, in order."""
    return sorted(folder.glob("*.json.xz"))


# Two files. Each try is three campaigns, one after the other: the program, the program again, and one with a slowed model.


def collect_files(raw, programs, tries):
    for i in range(tries):
        campaign(raw / f"{i:03}-a.json.xz", programs.tally, *CELLS)
        campaign(raw / f"{i:03}-b.json.xz", programs.tally, *CELLS)
        campaign(raw / f"{i:03}-c.json.xz", programs.slowed, *CELLS, environment=slowed(SLOWED[i % len(SLOWED)], 10))


def judge_files(raw):
    calls = cells = found = looked_for = tries = wrong = others = 0
    for first in sorted(raw.glob("*-a.json.xz")):
        second, third = (first.with_name(first.name.replace("-a.", f"-{letter}.")) for letter in "bc")
        if not third.exists():
            continue
        old, new, slow = (compare.load(path) for path in (first, second, third))
        model = SLOWED[tries % len(SLOWED)]
        tries += 1
        for row in compare.compare(old, new):
            cells += 1
            calls += row["verdict"] in ("faster", "slower")
        for row in compare.compare(new, slow):
            if f"/{model}/" in row["cell"]:
                looked_for += 1
                found += row["verdict"] == "slower"
            else:
                others += 1
                wrong += row["verdict"] in ("faster", "slower")
    if not tries:
        return []
    return [
        Row(f"same binary, two files one after the other: cells called faster or slower ({tries} pairs x {cells // tries} cells)", "<= 5%",
            share(calls, cells), calls <= 0.05 * cells),
        Row(f"a model made 10% slower, two files: found ({tries} pairs x {looked_for // tries} cells)", ">= 90%", share(found, looked_for),
            found >= 0.9 * looked_for),
        Row("and called with it: cells of the models that were not", "<= 5%", share(wrong, others), wrong <= 0.05 * others),
    ]


# The same binary on both sides of --against.


def collect_same_against(raw, programs, tries):
    for i in range(tries):
        campaign(raw / f"{i:03}.json.xz", programs.tally, *CELLS, "--against", str(programs.tally), "--time-budget", AGAINST_BUDGET,
                 "--order-seed", str(i + 1))


def judge_same_against(raw):
    calls = cells = tries = 0
    for path in numbered(raw):
        tries += 1
        for row in compare.compare_builds(compare.load(path)):
            cells += 1
            calls += row["verdict"] in ("faster", "slower")
    if not tries:
        return []
    return [Row(f"same binary, --against: cells called faster or slower ({tries} campaigns x {cells // tries} cells)", "<= 5%",
                share(calls, cells), calls <= 0.05 * cells)]


# A model made slower, --against, with the budget that it has by default.


def collect_slower_against(raw, programs, tries):
    for i in range(tries):
        model = SLOWED[i % len(SLOWED)]
        campaign(raw / f"{i:03}-{model}.json.xz", programs.slowed, "--stream", "cpu", "--grain", GRAINS[i // len(SLOWED) % len(GRAINS)],
                 "--model", f"sequential,{model},limit", "--against", str(programs.tally), "--order-seed", str(i + 1),
                 environment=slowed(model, 5))


def judge_slower_against(raw):
    found = tries = wrong = others = 0
    took = []
    for path in numbered(raw):
        model = path.name.partition("-")[2].partition(".")[0]
        file = compare.load(path)
        tries += 1
        took.append(file.context["took_s"])
        for row in compare.compare_builds(file):
            if f"/{model}/" in row["cell"]:
                found += row["verdict"] == "slower"
            else:
                others += 1
                wrong += row["verdict"] in ("faster", "slower")
    if not tries:
        return []
    return [Row(f"a model made 5% slower, --against, default budget: found ({tries} tries, {statistics.median(took):.0f} s in the median)", ">= 95%",
                share(found, tries), found >= 0.95 * tries),
            Row("and called with it: cells of the models that were not", "<= 5%", share(wrong, others), wrong <= 0.05 * others)]


# Coverage: what a first campaign claims, against one ten times as long right after it.


def collect_coverage(raw, programs, tries):
    for i in range(min(tries, COVERED_TRIES)):
        first = raw / f"{i:03}-first.json.xz"
        campaign(first, programs.tally, *CELLS)
        rounds = LONGER * compare.load(first).context["rounds"]
        campaign(raw / f"{i:03}-long.json.xz", programs.tally, *CELLS, "--rounds", f"{rounds}:{rounds}", "--time-budget", "1000s")


def judge_coverage(raw):
    held = cells = tries = 0
    for path in sorted(raw.glob("*-first.json.xz")):
        longer = path.with_name(path.name.replace("first", "long"))
        if not longer.exists():
            continue
        tries += 1
        first, long = results.load(path), {cell.name: cell for cell in results.load(longer).cells}
        for cell in first.cells:
            claimed = cell.interval(results.throughput)
            truth = long[cell.name].interval(results.throughput)
            if claimed and truth:
                cells += 1
                held += claimed.low <= truth.median <= claimed.high
    if not tries:
        return []
    return [Row(f"95% intervals of a first campaign that hold the median of one ten times as long ({tries} campaigns x {cells // tries} cells)",
                ">= 90% of cells", share(held, cells), held >= 0.9 * cells)]


# The default campaign: how long, how well, and what the harness itself costs.


def collect_default(raw, programs, _tries):
    for i in range(3):
        campaign(raw / f"{i:03}.json.xz", programs.tally)


def overheads(file):
    """(seconds outside the model, seconds of the sample) of every sample that another follows in its round: from its start to the
    start of the next, less what the model took to start, run and end."""
    entries = [b for b in file["benchmarks"] if b["run_type"] == "iteration" and "items_per_second" in b]
    timed = [(b["round"], b["order"], b["started_s"], b["startup_s"] + b["real_time"] * results.SECONDS[b["time_unit"]] + b["teardown_s"])
             for b in entries]
    starts = {(round_, order): started for round_, order, started, _ in timed}
    starts |= {(s["round"], s["order"]): s["started_s"] for s in file["context"]["noise_floor"]["samples"]}
    return [(starts[round_, order + 1] - started - took, took) for round_, order, started, took in timed if (round_, order + 1) in starts]


def judge_default(raw):
    took, within, cells, costs = [], 0, 0, []
    for path in numbered(raw):
        file = json.loads(results.read_text(path))
        took.append(file["context"]["took_s"])
        widths = [b["relative_half_width"] for b in file["benchmarks"] if b.get("aggregate_name") == "median"]
        cells += len(widths)
        within += sum(width <= 0.05 for width in widths)
        costs += overheads(file)
    if not took:
        return []
    allowed = [cost <= 0.010 + 0.05 * sample for cost, sample in costs]
    milliseconds = sorted(cost * 1e3 for cost, _ in costs)
    return [
        Row(f"default campaign on {os.cpu_count()} CPUs ({len(took)} runs)", "<= 90 s", f"{max(took):.0f} s at most", max(took) <= 90),
        Row("its cells within 5%", ">= 90%", share(within, cells), within >= 0.9 * cells),
        Row(f"time per sample outside the model ({len(costs)} samples)", "<= 10 ms + 5% of the sample",
            f"median {statistics.median(milliseconds):.1f} ms, 95% of samples {milliseconds[int(0.95 * len(milliseconds))]:.1f} ms; "
            f"{share(sum(allowed), len(allowed))} within", statistics.median(milliseconds) <= 10 and sum(allowed) >= 0.95 * len(allowed)),
    ]


# Models that count one event of ten million wrong.


def collect_wrong(raw, programs, _tries):
    for workers in (1, 2):
        campaign(raw / f"workers-{workers}.json.xz", programs.broken, "--stream", "cpu", "--events", "10M", "--grain", "0", "--window", "1s",
                 "--workers", str(workers), "--rounds", "3", status=1)


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
    return [Row(f"models that lose, double, swap, misfile, tear or count late one event of 10 million ({wrong} cells)", "100% caught",
                share(caught, wrong), caught == wrong and right > 0)]


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
             "Made by `scripts/self_check.py` from the result files in `raw/`; rerun by anyone. In brackets: the 95% interval of a share.", "",
             "| figure | must reach | measured | |", "| --- | --- | --- | --- |"]
    lines += [f"| {row.figure} | {row.must} | {row.measured} | {'met' if row.met else 'NOT MET'} |" for row in rows]
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
    (arguments.out / "self_check.md").write_text(text, encoding="utf-8")
    (arguments.out / "self_check.json").write_text(json.dumps([dataclasses.asdict(row) for row in rows], indent=2) + "\n", encoding="utf-8")
    print(text)
    return 0 if all(row.met for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
