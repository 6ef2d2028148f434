#!/usr/bin/python3
"""Measures how counting grows with ranks, weakly and strongly, and holds docs/scaling.md's prediction of it against every point.

    scripts/scaling_campaign.py -o results/scaling [--only ID,…] [--tally build/bench/tally]
    scripts/scaling_campaign.py -o results/scaling --judge     # judges the files that are there, compressed by xz or not, without measuring
    scripts/scaling_campaign.py -o results/scaling --judge --doc docs/scaling.md     # and writes its table into that page
    scripts/scaling_campaign.py -o /tmp/scaling --quick        # two rounds of few events: whether all of it runs

Each campaign of CAMPAIGNS is a call of `tally-mpi run --scaling`, of one worker in each rank: one rank and two, on one host with a CPU for
each rank, and on two hosts of scripts/with_hosts whose links have a delay. Plots are drawn of those on one host. The prediction is that
ranks count as one does, each its part; scaling.md in the folder has every point, measured and predicted. Exit status: 0 if every point is
within a fifth, 1 not, 2 the command line is wrong.
"""

import argparse
import collections
import pathlib
import sys
import tempfile

import tally_results as results
import tally_scaling as scaling
from merge_campaign import DELAYS, RATE, WITHIN, spell, with_tables
from mpi_targets import PATIENCE_S, said
from targets import Missing, flags
from whole_files import write_whole

ROOT = pathlib.Path(__file__).resolve().parent.parent
CONCURRENT = "thread_pool,process_shard,tbb_flow_graph,fibers,coroutines,event_loop,limit"
# By what is counted: options, and the events of each rank.
COUNTED = {
    "memory": ({"stream": "cpu", "model": f"sequential,{CONCURRENT}", "grain": 0, "batch": 4096, "keys": "1k"}, 50_000_000),
    "work": ({"stream": "cpu", "model": f"sequential,{CONCURRENT}", "grain": "1us", "batch": 64, "keys": "1k"}, 300_000),
    "lookups": ({"stream": "lookup", "model": CONCURRENT, "wait": "1ms", "in_flight": 100}, 20_000),
}
WORDS = {"memory": "numbers in memory", "work": "1 us of work an event", "lookups": "lookups of 1 ms, 100 in flight"}
SCALINGS = ("weak", "strong")
RANKS = 2
ROUNDS, QUICK_ROUNDS, QUICK_PART = 11, 2, 100


def calls():
    """By name: what runs the ranks, what is counted, and by which scaling."""
    found = {f"{kind}-{what}": (["mpirun", "--bind-to", "core", "-n", RANKS], what, kind) for what in COUNTED for kind in SCALINGS}
    for delay in DELAYS:
        shape = ["--rate", RATE, *(["--delay", delay] if delay != "0" else [])]
        found[f"hosts{RANKS}-delay{delay}"] = ([ROOT / "scripts/with_hosts", RANKS, *shape, "mpirun", "-n", RANKS], "work", "strong")
    return found


def measure(arguments, names):
    program = pathlib.Path(arguments.tally).resolve().parent.parent / "mpi/tally-mpi"
    for name in names:
        launch, what, kind = calls()[name]
        options, events = COUNTED[what]
        events *= 1 if kind == "weak" else RANKS
        rounds = QUICK_ROUNDS if arguments.quick else ROUNDS
        print(name, file=sys.stderr, flush=True)
        said([*launch, program, "run", "--scaling", kind, "--no-progress",
              *flags(**options, workers=1, events=events // (QUICK_PART if arguments.quick else 1), rounds=rounds,
                     out=arguments.out / f"{name}.json")], PATIENCE_S)
        if not name.startswith("hosts"):
            draw(arguments.out / f"{name}.json", arguments.out / f"{name}.svg")


def draw(path, figure):
    """Of the figures of a result file, that of scaling."""
    with tempfile.TemporaryDirectory() as folder:
        said([sys.executable, ROOT / "scripts/plot.py", path, "-o", folder])
        (drawn,) = pathlib.Path(folder).glob("*-scaling.svg")
        write_whole({figure: drawn.read_text(encoding="utf-8")})


Point = collections.namedtuple("Point", "name model ranks predicted measured ratio")


def events_each_s(entry):
    """Events that one rank counts in a second while all count."""
    seconds = scaling.count_s(entry)
    return entry["events_counted"] / entry["ranks"] / seconds if seconds else None


def points_of(name, found):
    """Of one file: a Point for each model and number of ranks above one. `predicted` and `measured` are seconds of counting, the latter an
    interval; `ratio` that of measured over predicted, round by round. Raises Missing where a cell has no figure."""
    points, alone = [], {cell.model: cell for cell in found.cells if cell.params["ranks"] == 1}
    for cell in found.cells:
        if cell.failure:
            raise Missing(f"{name}: {cell.name}: {cell.failure}")
        if cell.params["ranks"] == 1:
            continue
        one, ranks = alone[cell.model], cell.params["ranks"]
        rate = one.interval(events_each_s).median
        ratio = results.ratio_by_round(one.by_round(events_each_s), cell.by_round(events_each_s))
        if ratio is None:
            raise Missing(f"{name}: {cell.name}: no common rounds")
        events = cell.samples[0]["events_counted"]
        points.append(Point(name, cell.model, ranks, events / ranks / rate, cell.interval(scaling.count_s), ratio))
    return points


def off(point):
    return point.ratio.median - 1


def span(interval, spelled):
    """An interval as text, each number by `spelled`."""
    if interval.low is None:
        return spelled(interval.median)
    return f"{spelled(interval.median)} [{spelled(interval.low)}, {spelled(interval.high)}]"


def summary(points):
    """The page's table: what was counted, and how well it is predicted."""
    rows, where = [], collections.defaultdict(list)
    for point in points:
        where[point.name].append(point)
    for name, some in where.items():
        launch, what, kind = calls()[name]
        hosts = f"{RANKS} hosts, delay {name.split('-delay')[1]}" if name.startswith("hosts") else f"1 host, {RANKS} ranks"
        worst = max(some, key=lambda point: abs(off(point)))
        good = sum(abs(off(point)) <= WITHIN for point in some)
        rows.append(f"| {kind} | {WORDS[what]} | {hosts} | {good} of {len(some)} | {off(worst):+.0%} ({worst.model}) |")
    good = sum(abs(off(point)) <= WITHIN for point in points)
    return "\n".join(["| scaling | | | models within 20% | the worst, measured over predicted |", "| --- | --- | --- | --- | --- |", *rows, "",
                      f"Of {len(points)} points {good} are within 20%."])


def report(points):
    """The text of scaling.md."""
    rows = [f"| {p.name} | {p.model} | {p.ranks} | {spell(p.predicted)} | {span(p.measured, spell)} | {span(p.ratio, '{:.3g}'.format)} | "
            f"{'' if abs(off(p)) <= WITHIN else 'off'} |" for p in points]
    return "\n".join(["# Counting over ranks: measured and predicted", "",
                      "Written by `scripts/scaling_campaign.py`; each campaign's result file lies beside this one, and a plot of each on one host. "
                      "Predicted: each rank counts its part as fast as one rank that counts alone.", "",
                      summary(points), "", "| campaign | model | ranks | predicted | measured | measured over predicted, round by round | |",
                      "| --- | --- | --- | --- | --- | --- | --- |", *rows, ""])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", dest="out", type=pathlib.Path, required=True, metavar="DIR", help="where files are written")
    parser.add_argument("--only", help="names of campaigns, with commas between (default: all)")
    parser.add_argument("--tally", default="build/bench/tally", help="the program (default: %(default)s)")
    parser.add_argument("--judge", action="store_true", help="judge the files that are there")
    parser.add_argument("--doc", type=pathlib.Path, help="a page to write the table into, between its marks")
    parser.add_argument("--quick", action="store_true", help="two rounds of few events")
    arguments = parser.parse_args()
    names = list(calls())
    asked = arguments.only.split(",") if arguments.only else names
    if unknown := [name for name in asked if name not in names]:
        parser.error(f"--only {unknown[0]}: there are {', '.join(names)}")
    arguments.out.mkdir(parents=True, exist_ok=True)
    try:
        if not arguments.judge:
            measure(arguments, asked)
        points = []
        for name in names:
            files = [path for path in (arguments.out / f"{name}.json", arguments.out / f"{name}.json.xz") if path.exists()]
            if files:
                points += points_of(name, results.load(files[0]))
        if not points:
            raise Missing(f"no result file in {arguments.out}: measure first, without --judge")
    except Missing as problem:
        print(f"scaling_campaign: {problem}", file=sys.stderr)
        return 1
    if arguments.doc:
        page = arguments.doc.read_text(encoding="utf-8")
        write_whole({arguments.doc: with_tables(page, "scripts/scaling_campaign.py", {"counting": summary(points)})})
    write_whole({arguments.out / "scaling.md": report(points)})
    print(summary(points))
    return 0 if all(abs(off(point)) <= WITHIN for point in points) else 1


if __name__ == "__main__":
    results.run(main)
