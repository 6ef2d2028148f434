"""How counting grows with ranks and hosts, and how far docs/many-machines.md's prediction of it is off.

By what is counted, three measurements each:

weak-, strong-   `tally-mpi run --scaling`: one rank and two of one worker each, on a CPU of their own. Drawn, and the efficiency of two
                 ranks reported: what two CPUs of this machine lose to each other is no matter of ranks.
held-            the machine's CPUs as the workers of one `tally run`, as two ranks of one worker on one host, and (of work that takes CPU
                 time alone) as two hosts of scripts/with_hosts with delays; in turns, in an order that is drawn for each round. The
                 prediction is that ranks count what the workers of one process do (of sequential: what process_shard's do). Of
                 lookups each rank has a service of its own, for which one process of as many workers has one in all: two ranks are held
                 against twice one rank, and what they are to the process is reported.

A point that is held against the prediction must be within a fifth of it.
"""

import collections
import functools
import pathlib
import sys
import tempfile

from tally import results
from tally import scaling
from tally.judging import Figure, Judged, Missing, REPORTED, ResultFiles, Row, table
from tally.measuring import ROOT, flags, in_ranks, in_rounds, keep, keep_result, median_sample, on_hosts, ran
from tally.style import duration
from tally.whole_files import write_whole

DELAYS = ("0", "1ms", "5ms")
WITHIN = 0.20
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


def options(parser):
    """Adds the options of this campaign."""
    parser.add_argument("--quick", action="store_true", help="two rounds of few events: whether all of it runs")


def measure(kind, counted, name, arguments):
    """Of weak or strong scaling, the result file and its figure."""
    part, rounds = (QUICK_PART, QUICK_ROUNDS) if arguments.quick else (1, ROUNDS)
    events = counted.events * (1 if kind == "weak" else RANKS) // part
    run = ["run", "--scaling", kind, "--no-progress", *counted.given(1, events), *flags(rounds=rounds)]
    keep_result(name, in_ranks(RANKS, run, arguments), arguments.out)
    draw(results.find(arguments.out, name), arguments.out / f"{name}.svg")


def draw(path, figure):
    """Of the figures of a result file, that of scaling."""
    with tempfile.TemporaryDirectory() as folder:
        ran([sys.executable, ROOT / "scripts/plot.py", path, "-o", folder])
        (drawn,) = pathlib.Path(folder).glob("*-scaling.svg")
        write_whole({figure: drawn.read_text(encoding="utf-8")})


def measure_held(counted, name, arguments):
    """All models by one process and by ranks, each with those that it is held against before the next."""
    part, rounds = (QUICK_PART, QUICK_ROUNDS) if arguments.quick else (1, counted.rounds)
    entries, events, stream = [], counted.events * RANKS // part, counted.options["stream"]
    for base in dict.fromkeys(map(base_of, counted.models)):
        calls = {f"{stream}/{base}/workers:{RANKS}": [arguments.tally, "run", *counted.given(RANKS, events, base)]}
        for model in (model for model in counted.models if base_of(model) == base):
            run = ["run", *counted.given(1, events, model)]
            cell = f"{stream}/{model}/workers:1/ranks:{RANKS}"
            calls[f"{cell}/hosts:1"] = in_ranks(RANKS, run, arguments)
            if has_service(counted):
                calls[f"{stream}/{model}/workers:1/ranks:1/hosts:1"] = in_ranks(1, ["run", *counted.given(1, events // RANKS, model)], arguments)
            if counted is COUNTED["work"]:
                calls |= {f"{cell}/hosts:{RANKS}/delay_ms:{delay.removesuffix('ms')}": on_hosts(RANKS, delay, run, arguments)
                          for delay in DELAYS}
        entries += in_rounds({cell: functools.partial(median_sample, call, counted.samples) for cell, call in calls.items()}, rounds)
    keep(name, entries, arguments)


MEASUREMENTS = {**{f"{kind}-{what}": functools.partial(measure, kind, counted) for kind in SCALINGS for what, counted in COUNTED.items()},
                **{f"held-{what}": functools.partial(measure_held, counted) for what, counted in COUNTED.items()}}


def has_service(counted):
    """Whether each process has a service beside it."""
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
    """By what part of the predicted time a point differs from it."""
    return point.ratio.median - 1


def good(points):
    """How many are near enough to the prediction."""
    return sum(abs(off(point)) <= WITHIN for point in points)


def where(point):
    """Where the ranks of a point were, in words."""
    if point.delay_ms is None:
        return f"{RANKS} ranks on one host"
    return f"{point.hosts} hosts" + (f", {point.delay_ms} ms each way" if point.delay_ms else "")


def by_place(points):
    """As they are, but those of a file on one host first, then by delay."""
    names = list(MEASUREMENTS)
    return sorted(points, key=lambda p: (names.index(p.name), p.hosts, p.delay_ms or 0))


def grouped(points, of):
    """A dict of lists: the points by what of() gives for each."""
    groups = collections.defaultdict(list)
    for point in points:
        groups[of(point)].append(point)
    return groups


def held_table(points):
    """The page's table of what is held against the prediction."""
    rows = []
    for (name, place), some in grouped(by_place(points), lambda p: (p.name, where(p))).items():
        worst = max(some, key=lambda point: abs(off(point)))
        rows.append((COUNTED[name.split("-")[1]].words, place, f"{good(some)} of {len(some)}", f"{off(worst):+.0%} ({worst.model})"))
    return (table(("counted", "by", "models within 20%", "the worst, measured over predicted"), rows) +
            f"\n\nOf {len(points)} points {good(points)} are within 20%.")


def efficiency_table(points):
    """The page's table of what two CPUs lose to each other, and of what two services give."""
    rows = []
    for name, some in grouped(points, lambda p: p.name).items():
        kind, what = name.split("-")
        each = sorted((1 / point.ratio.median, point.model) for point in some)
        rows.append((COUNTED[what].words, AGAINST[kind], f"{each[len(each) // 2][0]:.0%}", f"{each[0][0]:.0%} ({each[0][1]})",
                     f"{each[-1][0]:.0%} ({each[-1][1]})"))
    return table(("counted", "two ranks against", "median model", "least", "most"), rows)


def split(points):
    """Those that are held against the prediction, and the others."""
    return [p for p in points if p.name.startswith("held")], [p for p in points if not p.name.startswith("held")]


def row(point):
    """The Row of a point: its time over the predicted one."""
    held = point.name.startswith("held")
    return Row(f"{point.model}, {where(point)}: over the {duration(point.predicted)} predicted",
               f"{1 - WITHIN:g} to {1 + WITHIN:g}" if held else REPORTED,
               f"{Figure.of(point.ratio).text()}; {Figure.of(point.measured).text(spell=duration)}",
               not held or abs(off(point)) <= WITHIN, point.name)


def judged(points):
    """The page of these points."""
    held, others = split(points)
    return Judged(
        ["## Held against the prediction", held_table(held), [row(point) for point in held],
         "## Two ranks on two CPUs of one machine, over what is there without them",
         "weak-, strong-: `predicted` has each rank as fast as one that counts alone; the difference is what CPUs lose to each "
         "other. process-: `predicted` is what two workers of one process take, with one service.",
         efficiency_table(others), [row(point) for point in others]], "Counting over ranks: measured and predicted",
        "; each result file lies beside this one. A row has the time over the predicted time, round by round, then the time.", data=points)


def judge(arguments):
    """The page of the files that are there. Raises Missing where none of them is held against the prediction."""
    found, points = ResultFiles(arguments.out), []
    for name in MEASUREMENTS:
        if results.find(arguments.out, name).exists():
            points += points_of(name, found[name])
    if not split(points)[0]:
        raise Missing(f"nothing in {arguments.out} is held against the prediction: measure it first, without --judge")
    return judged(points)


def tables(page):
    """Those of docs/many-machines.md."""
    held, others = split(page.data)
    return {"counting": held_table(held), "efficiency": efficiency_table(others)}
