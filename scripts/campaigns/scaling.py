#!/usr/bin/python3
"""Measures how counting grows with ranks and hosts, and holds docs/scaling.md's prediction of it against every point.

    scripts/campaigns/scaling_campaign.py -o results/scaling [--only ID,…] [--tally build/bench/tally]
    scripts/campaigns/scaling_campaign.py -o results/scaling --judge     # judges the files that are there, compressed by xz or not, without measuring
    scripts/campaigns/scaling_campaign.py -o results/scaling --judge --doc docs/scaling.md     # and writes its tables into that page
    scripts/campaigns/scaling_campaign.py -o /tmp/scaling --quick        # two rounds of few events: whether all of it runs

By what is counted, three calls each:

weak-, strong-   `tally-mpi run --scaling`: one rank and two of one worker each, on a CPU of their own. Drawn, and the efficiency of two
                 ranks reported: what two CPUs of this machine lose to each other is no matter of ranks.
held-            the machine's CPUs as the workers of one `tally run`, as two ranks of one worker on one host, and (of work that takes CPU
                 time alone) as two hosts of scripts/with_hosts with delays; in turns, in an order that is drawn for each round. The
                 prediction is that ranks count what the workers of one process do (of sequential: what process_shard's do). Of
                 lookups each rank has a service of its own, for which one process of as many workers has one in all: two ranks are held
                 against twice one rank, and what they are to the process is reported.

scaling.md in the folder has every point. Exit status: 0 if each that is held against the prediction is within a fifth, 1 not, 2 the command
line is wrong.
"""

import argparse
import collections
import functools
import pathlib
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))  # scripts/

from tally import results
from tally import scaling
from ingest_targets import in_rounds, keep
from merge_campaign import DELAYS, RATE, WITHIN, spell, with_tables
from mpi_targets import PATIENCE_S, median_sample, said
from targets import Missing, flags
from tally.whole_files import write_whole

ROOT = pathlib.Path(__file__).resolve().parents[2]
CONCURRENT = ("thread_pool", "process_shard", "tbb_flow_graph", "fibers", "coroutines", "event_loop", "limit")
RANKS = 2  # and CPUs


class Counted(collections.namedtuple("Counted", "words models options events rounds samples")):
    """What is counted: options of one worker; events of one worker; and of what is held against the prediction, rounds, and samples in a
    call, of which the median stands."""

    def given(self, workers, events, model=None):
        """Arguments of `run`. Events in flight are each worker's."""
        options = dict(self.options)
        if "in_flight" in options:
            options["in_flight"] *= workers
        return flags(**options, model=model or ",".join(self.models), workers=workers, events=events)


# What takes least time varies most, as a machine's CPUs do.
COUNTED = {
    "memory": Counted("numbers in memory", ("sequential", *CONCURRENT), {"stream": "cpu", "grain": 0, "batch": 4096, "keys": "1k"},
                      50_000_000, 11, 9),
    "work": Counted("1 us of work an event", ("sequential", *CONCURRENT), {"stream": "cpu", "grain": "1us", "batch": 64, "keys": "1k"},
                    200_000, 5, 3),
    "lookups": Counted("lookups of 1 ms, 100 in flight a worker", CONCURRENT, {"stream": "lookup", "wait": "1ms", "in_flight": 100},
                       20_000, 7, 3),
}
SCALINGS = ("weak", "strong")
# What is reported: how fast two ranks are against what.
AGAINST = {"weak": "twice one rank, weak scaling", "strong": "twice one rank, strong scaling", "process": "one process of two workers"}
ROUNDS, QUICK_ROUNDS, QUICK_PART = 11, 2, 100
NAMES = tuple(f"{kind}-{what}" for kind in (*SCALINGS, "held") for what in COUNTED)


def mpirun(ranks=RANKS):
    return ["mpirun", "--bind-to", "core", "-n", ranks]


def hosts(delay):
    """What runs a rank on each of two hosts."""
    shape = ["--rate", RATE, *(["--delay", delay] if delay != "0" else [])]
    return [ROOT / "scripts/with_hosts", RANKS, *shape, "mpirun", "-n", RANKS]


def program(arguments):
    return pathlib.Path(arguments.tally).resolve().parent.parent / "mpi/tally-mpi"


def measure(arguments, name):
    kind, what = name.split("-")
    counted, part = COUNTED[what], QUICK_PART if arguments.quick else 1
    if kind == "held":
        measure_held(arguments, name, counted, part)
        return
    path, events = arguments.out / f"{name}.json", counted.events * (1 if kind == "weak" else RANKS)
    rounds = QUICK_ROUNDS if arguments.quick else ROUNDS
    said([*mpirun(), program(arguments), "run", "--scaling", kind, "--no-progress", *counted.given(1, events // part),
          *flags(rounds=rounds, out=path)], PATIENCE_S)
    draw(path, path.with_suffix(".svg"))


def draw(path, figure):
    """Of the figures of a result file, that of scaling."""
    with tempfile.TemporaryDirectory() as folder:
        said([sys.executable, ROOT / "scripts/plot.py", path, "-o", folder])
        (drawn,) = pathlib.Path(folder).glob("*-scaling.svg")
        write_whole({figure: drawn.read_text(encoding="utf-8")})


def measure_held(arguments, name, counted, part):
    """All models by one process and by ranks, each with those that it is held against before the next."""
    entries, events, stream = [], counted.events * RANKS // part, counted.options["stream"]
    for base in dict.fromkeys(map(base_of, counted.models)):
        calls = {f"{stream}/{base}/workers:{RANKS}": [arguments.tally, "run", *counted.given(RANKS, events, base)]}
        for model in (model for model in counted.models if base_of(model) == base):
            run = [program(arguments), "run", *counted.given(1, events, model)]
            cell = f"{stream}/{model}/workers:1/ranks:{RANKS}"
            calls[f"{cell}/hosts:1"] = [*mpirun(), *run]
            if has_service(counted):
                calls[f"{stream}/{model}/workers:1/ranks:1/hosts:1"] = [*mpirun(1), program(arguments), "run",
                                                                       *counted.given(1, events // RANKS, model)]
            if counted is COUNTED["work"]:
                calls |= {f"{cell}/hosts:{RANKS}/delay_ms:{delay.removesuffix('ms')}": [*hosts(delay), *run] for delay in DELAYS}
        jobs = {cell: functools.partial(median_sample, call, counted.samples) for cell, call in calls.items()}
        entries += in_rounds(jobs, QUICK_ROUNDS if arguments.quick else counted.rounds)
    keep(name, entries, arguments, made_by="scripts/campaigns/scaling_campaign.py")


def has_service(counted):
    return counted.options["stream"] == "lookup"


def base_of(model):
    """Which model's workers in one process do what ranks of this one do."""
    return "process_shard" if model == "sequential" else model


def seconds_of_counting(entry):
    """Of ranks, what the slowest took until it had counted its part; of one process, the whole."""
    return scaling.count_s(entry) or entry["events_counted"] / entry["items_per_second"]


def speed(entry):
    """Events/s of all ranks together while they count."""
    return entry["events_counted"] / seconds_of_counting(entry)


# Of a model: `predicted` seconds of counting, those `measured` (an interval), and the interval of the latter over the former, round by round.
Point = collections.namedtuple("Point", "name model hosts delay_ms predicted measured ratio")


def points_of(name, found):
    """Of one file: a Point for each cell of several ranks, held against one rank of as many workers, or of held- without a service against
    one process of as many workers; with one, a Point of process- has that. Raises Missing where a cell has no figure."""
    kind, what = name.split("-")
    points, alone = [], {(cell.model, "ranks" in cell.params): cell for cell in found.cells if cell.params.get("ranks", 1) == 1}
    for cell in found.cells:
        if cell.failure:
            raise Missing(f"{name}: {cell.name}: {cell.failure}")
        ranks = cell.params.get("ranks", 1)
        if ranks == 1:
            continue
        one, process = (name, (cell.model, True), ranks), (base_of(cell.model), False)
        if kind != "held":
            against = [one]
        elif has_service(COUNTED[what]):
            against = [one, (f"process-{what}", process, 1)]
        else:
            against = [(name, process, 1)]
        for point_name, base, as_many in against:
            if base not in alone:
                raise Missing(f"{name}: {cell.name}: the file has nothing of {base[0]} to hold it against; measure it again")
            ratio = results.ratio_by_round(alone[base].by_round(lambda entry, n=as_many: n * speed(entry)), cell.by_round(speed))
            if ratio is None:
                raise Missing(f"{name}: {cell.name}: no common rounds")
            predicted = cell.samples[0]["events_counted"] / as_many / alone[base].interval(speed).median
            points.append(Point(point_name, cell.model, cell.params["hosts"], cell.params.get("delay_ms"), predicted,
                                cell.interval(seconds_of_counting), ratio))
    return points


def off(point):
    return point.ratio.median - 1


def good(points):
    return sum(abs(off(point)) <= WITHIN for point in points)


def where(point):
    if point.delay_ms is None:
        return f"{RANKS} ranks on one host"
    return f"{point.hosts} hosts" + (f", {point.delay_ms} ms each way" if point.delay_ms else "")


def by_place(points):
    """As they are, but those of a campaign on one host first, then by delay."""
    return sorted(points, key=lambda p: (NAMES.index(p.name), p.hosts, p.delay_ms or 0))


def grouped(points, of):
    groups = collections.defaultdict(list)
    for point in points:
        groups[of(point)].append(point)
    return groups


def held_table(points):
    """The page's table of what is held against the prediction."""
    rows = []
    for (name, place), some in grouped(by_place(points), lambda p: (p.name, where(p))).items():
        worst = max(some, key=lambda point: abs(off(point)))
        rows.append(f"| {COUNTED[name.split('-')[1]].words} | {place} | {good(some)} of {len(some)} | {off(worst):+.0%} ({worst.model}) |")
    return "\n".join(["| counted | by | models within 20% | the worst, measured over predicted |", "| --- | --- | --- | --- |", *rows, "",
                      f"Of {len(points)} points {good(points)} are within 20%."])


def efficiency_table(points):
    """The page's table of what two CPUs lose to each other, and of what two services give."""
    rows = []
    for name, some in grouped(points, lambda p: p.name).items():
        kind, what = name.split("-")
        each = sorted((1 / point.ratio.median, point.model) for point in some)
        rows.append(f"| {COUNTED[what].words} | {AGAINST[kind]} | {each[len(each) // 2][0]:.0%} | {each[0][0]:.0%} ({each[0][1]}) | "
                    f"{each[-1][0]:.0%} ({each[-1][1]}) |")
    return "\n".join(["| counted | two ranks against | median model | least | most |", "| --- | --- | --- | --- | --- |", *rows])


def split(points):
    """Those that are held against the prediction, and the others."""
    return [p for p in points if p.name.startswith("held")], [p for p in points if not p.name.startswith("held")]


def number(value):
    return f"{value:.3g}"


def span(interval, spelled):
    """An interval as text, each number by `spelled`."""
    if interval.low is None:
        return spelled(interval.median)
    return f"{spelled(interval.median)} [{spelled(interval.low)}, {spelled(interval.high)}]"


def report(points):
    """The text of scaling.md."""
    held, others = split(points)

    def rows(some, judged):
        return [f"| {p.name} | {p.model} | {where(p)} | {spell(p.predicted)} | {span(p.measured, spell)} | {span(p.ratio, number)} | "
                + ("met |" if judged and abs(off(p)) <= WITHIN else "NOT MET |" if judged else "|") for p in some]

    head = ["| campaign | model | | predicted | measured | measured over predicted, round by round | |", "| --- " * 7 + "|"]
    return "\n".join(["# Counting over ranks: measured and predicted", "",
                      "Written by `scripts/campaigns/scaling_campaign.py`; each campaign's result file lies beside this one.", "",
                      "## Held against the prediction", "", held_table(held), "", *head, *rows(held, True), "",
                      "## Two ranks on two CPUs of one machine, over what is there without them", "",
                      "weak-, strong-: `predicted` has each rank as fast as one that counts alone; the difference is what CPUs lose to each "
                      "other. process-: `predicted` is what two workers of one process take, with one service.", "",
                      efficiency_table(others), "", *head, *rows(others, False), ""])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", dest="out", type=pathlib.Path, required=True, metavar="DIR", help="where files are written")
    parser.add_argument("--only", help="names of campaigns, with commas between (default: all)")
    parser.add_argument("--tally", default="build/bench/tally", help="the program (default: %(default)s)")
    parser.add_argument("--judge", action="store_true", help="judge the files that are there")
    parser.add_argument("--doc", type=pathlib.Path, help="a page to write the tables into, between its marks")
    parser.add_argument("--quick", action="store_true", help="two rounds of few events")
    arguments = parser.parse_args()
    asked = arguments.only.split(",") if arguments.only else NAMES
    if unknown := [name for name in asked if name not in NAMES]:
        parser.error(f"--only {unknown[0]}: there are {', '.join(NAMES)}")
    arguments.out.mkdir(parents=True, exist_ok=True)
    try:
        for name in asked if not arguments.judge else ():
            print(name, file=sys.stderr, flush=True)
            measure(arguments, name)
        points = []
        for name in NAMES:
            files = [path for path in (arguments.out / f"{name}.json", arguments.out / f"{name}.json.xz") if path.exists()]
            if files:
                points += points_of(name, results.load(files[0]))
        held, others = split(points)
        if not held:
            raise Missing(f"nothing in {arguments.out} is held against the prediction: measure it first, without --judge")
    except Missing as problem:
        print(f"scaling_campaign: {problem}", file=sys.stderr)
        return 1
    if arguments.doc:
        page = arguments.doc.read_text(encoding="utf-8")
        tables = {"counting": held_table(held), "efficiency": efficiency_table(others)}
        write_whole({arguments.doc: with_tables(page, "scripts/campaigns/scaling_campaign.py", tables)})
    write_whole({arguments.out / "scaling.md": report(points)})
    print(held_table(held))
    return 0 if good(held) == len(held) else 1


if __name__ == "__main__":
    results.run(main)
