"""What tally-mpi must reach, beside tally.

tally-mpi is looked for beside tally's folder, mpirun on the path. The two that are compared take turns, one right after the other; a
round's sample is the median of those that one call takes. Two CPUs of a virtual machine may be two threads of one core for a while, and
then count half as much, by whatever program: where a call takes 15 samples of some 10 ms, the fastest of them is kept too, and says what
the program does when nothing is in its way. A rank is compared with a process by both, and by work that does not feel its neighbour.
Ranks are on this machine: two of them each on a CPU of its own, one on all that there are.
"""

import functools

from tally import results
from tally.judging import Figure, Missing, Target, by_targets, cell, only, over
from tally.measuring import CPUS, flags, in_ranks, in_rounds, keep, keep_result, median_sample

MODELS = ("sequential", "thread_pool", "process_shard", "tbb_flow_graph", "fibers", "coroutines", "event_loop", "limit")
COUNTING = {"stream": "cpu", "grain": "0", "batch": 4096, "events": "50M", "keys": "1k"}
WORKING = {"stream": "cpu", "grain": "1us", "batch": 64, "events": "400k", "keys": "1k"}
LOOKUPS = {"stream": "lookup", "workers": 1, "wait": "1ms", "in_flight": 100, "events": "20k"}
BILLION = 1_000_000_000
MERGED_KEYS = 4_000_000
SHORT, LONG = 15, 3  # samples in a call, by how long one takes


def options(parser):
    """Adds the options of this campaign."""
    parser.add_argument("--rounds", type=int, default=11, help="how often each is measured (default: %(default)s)")


def name_of(model, workers, options, ranks=0):
    """The name of a cell; of one process, if `ranks` is 0."""
    if options["stream"] == "cpu":
        name = f"cpu/{model}/workers:{workers}/grain_ns:0/batch:{options['batch']}"
    else:
        name = f"lookup/{model}/workers:{workers}/wait_us:1000/in_flight:{1 if model == 'sequential' else options['in_flight']}"
    return name + (f"/ranks:{ranks}/hosts:1" if ranks else "")


def measure_two(name, arguments):
    """Two ranks that count sequentially, and two processes that are forked."""
    if len(CPUS) < 2:
        raise Missing("one CPU, where two ranks are to have one each")
    ranks = in_ranks(2, ["run", *flags(model="sequential", **COUNTING)], arguments)
    forked = [arguments.tally, "run", *flags(model="process_shard", workers=2, **COUNTING)]
    jobs = {name_of("sequential", 1, COUNTING, 2): functools.partial(median_sample, ranks, SHORT),
            name_of("process_shard", 2, COUNTING): functools.partial(median_sample, forked, SHORT)}
    keep(name, in_rounds(jobs, arguments.rounds), arguments)


def measure_alone(models, options, name, arguments):
    """Each model in one rank, and in a process of its own: all rounds of a model before the next one's."""
    entries, samples = [], SHORT if options is COUNTING else LONG
    for model in models:
        workers = 1 if model == "sequential" else options.get("workers", len(CPUS))
        given = flags(model=model, **{"workers": workers, **options, **({"events": "2k"} if model == "sequential" and "wait" in options else {})})
        jobs = {name_of(model, workers, options, 1): functools.partial(median_sample, in_ranks(1, ["run", *given], arguments, each="none"), samples),
                name_of(model, workers, options): functools.partial(median_sample, [arguments.tally, "run", *given], samples)}
        entries += in_rounds(jobs, arguments.rounds)
    keep(name, entries, arguments)


def measure_merge(more, name, arguments):
    """Merging of text keys over two ranks, and in one process."""
    merge = ["merge", *flags(kind="text", keys=MERGED_KEYS, rounds=arguments.rounds), *more]
    keep_result(name, in_ranks(2, merge, arguments), arguments.out)


def measure_billion(name, arguments):
    """One sample of 1 G events in two ranks."""
    run = ["run", *flags(model="sequential", **COUNTING | {"events": "1G"}, rounds=1, sample_timeout="120s"), "--no-progress"]
    keep_result(name, in_ranks(2, run, arguments), arguments.out)


def fastest(entry):
    """Events/s of the fastest sample of a call."""
    return results.finite(entry, "fastest_items_per_second")


def merge_ratio(found):
    """Merging over ranks over merging in one process."""
    return Figure.of(cell(found, "text").interval(lambda sample: sample["real_time"] * 1e-3 / sample["one_process_s"]))


def memory_above(bytes_per_event):
    """Of the greatest rank, MiB of peak memory above so many bytes for each of its events."""

    def figure(found):
        ranks = [rank for sample in cell(found, "sequential").samples for rank in sample["per_rank"]]
        return Figure(max(rank["peak_rss_bytes"] - bytes_per_event * rank["events"] for rank in ranks) / 2**20)

    return figure


def counted(found):
    """Events that were counted, of the sample with the fewest."""
    return Figure(float(min(sample["events_counted"] for sample in cell(found, "sequential").samples)))


MEASUREMENTS = {
    "two-ranks": measure_two,
    "alone-cpu": functools.partial(measure_alone, MODELS, COUNTING),
    "alone-work": functools.partial(measure_alone, MODELS, WORKING),
    "alone-lookup": functools.partial(measure_alone, MODELS, LOOKUPS),
    "merge-shared": functools.partial(measure_merge, ()),
    "merge-disjoint": functools.partial(measure_merge, ("--disjoint",)),
    "billion": measure_billion,
}
TARGETS = [
    Target("two-ranks", "sequential in 2 ranks over process_shard with 2 workers",
           over(only("sequential", ranks=2), only("process_shard")), 0.95),
    *(Target("alone-cpu", f"cpu: {m} in 1 rank over tally, fastest samples", over(only(m, ranks=1), only(m, ranks=None), fastest), 0.97)
      for m in MODELS),
    *(Target("alone-cpu", f"cpu: {m} in 1 rank over tally, median samples", over(only(m, ranks=1), only(m, ranks=None)), 0.97)
      for m in MODELS),
    *(Target("alone-work", f"1 us of work an event: {m} in 1 rank over tally", over(only(m, ranks=1), only(m, ranks=None)), 0.97) for m in MODELS),
    *(Target("alone-lookup", f"lookup: {m} in 1 rank over tally", over(only(m, ranks=1), only(m, ranks=None)), 0.97) for m in MODELS),
    Target("merge-shared", "4 M text keys that both ranks have: merging over merging in one process", merge_ratio, most=1.5),
    Target("merge-disjoint", "4 M text keys, half of them each rank's: merging over merging in one process", merge_ratio, most=1.5),
    Target("billion", "events counted in 2 ranks", counted, BILLION, BILLION),
    Target("billion", "peak memory of a rank above 16 bytes an event", memory_above(16), most=64, unit="MiB"),
    Target("billion", "peak memory of a rank above 2 bytes an event, which is what one takes", memory_above(2), most=64, unit="MiB"),
]

judge = by_targets(TARGETS)
