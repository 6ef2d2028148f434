"""What it costs each model to schedule a task.

With `--batch 1` a task is one event. CPU time of a task is read as a multiple of the *reference hand-off* of the same round, since both
move together on a shared machine, and efficiency where the hand-off was within 1.3 of the campaign's least.
"""

from tally import model_figures
from tally import results
from tally.judging import Figure, Missing, Target, by_targets, cell, of, ratio, table
from tally.measuring import run_options

CONCURRENT = ("thread_pool", "process_shard", "tbb_flow_graph", "fibers", "coroutines", "event_loop")
ALL = ("sequential", *CONCURRENT, "limit")
NEAR = 1.3  # of the least hand-off
KEY_BYTES = 2  # of an event in memory, with 65,536 keys or fewer
GRAINS = ("30ns", "100ns", "300ns", "1us", "10us")
BATCH_1 = {"stream": "cpu", "workers": 2, "batch": 1}
MEASUREMENTS = {
    "tasks": run_options(ALL, rounds="14", budget="900s", **BATCH_1, grain="0,10ns,30ns,100ns,300ns,1us,3us,10us,30us,100us,300us,1ms"),
    "asio": run_options(("coroutines_asio", "sequential", "limit"), rounds="10", **BATCH_1, grain="0,1us"),
    "grain": run_options(ALL, rounds="10", budget="600s", stream="cpu", workers="1,2", batch=256, grain=f"0,{','.join(GRAINS)}"),
    "auto": run_options(ALL, rounds="14", stream="cpu", workers=2, batch="auto", grain=0),
    "waiting": run_options(CONCURRENT, rounds="1", budget="600s", sample_timeout="180s", **BATCH_1, grain=0, events="100M"),
}


def grain_s(text):
    """Seconds of a grain as it is written, the same number as a cell's."""
    return float(text[:-2]) * {"ns": 1, "us": 1000}[text[-2:]] * results.DURATIONS["grain_ns"][1]


def hand_offs(found):
    """Seconds of CPU time that a reference hand-off took, by round."""
    by_round = {s["round"]: s["hand_off_s"] for s in found.context["noise_floor"]["samples"] if s.get("hand_off_s")}
    if not by_round:
        raise Missing("the file has no reference hand-off")
    return by_round


def cpu_per_task(entry):
    """Seconds of CPU time of the model over the number of its tasks."""
    return entry["cpu_s"] / entry["tasks"] if entry.get("tasks") else None


def task_over_hand_off(model):
    """CPU time of a task without a grain over that of a hand-off in the same round."""

    def figure(found):
        took = hand_offs(found)
        by_round = cell(found, model, grain=0).by_round(cpu_per_task)
        return Figure.of_values([value / took[round_] for round_, value in by_round.items() if value is not None and round_ in took])

    return figure


def of_bound_near(model, grain):
    """Efficiency in the rounds whose hand-off was within NEAR of the least."""

    def figure(found):
        took = hand_offs(found)
        near = {round_ for round_, s in took.items() if s <= NEAR * min(took.values())}
        values = cell(found, model, grain=grain).by_round(results.efficiency)
        return Figure.of_values([value for round_, value in values.items() if round_ in near and value is not None])

    return figure


def cpu_of_task(model, **params):
    """CPU time of a task, in ns."""
    return of(cpu_per_task, model, 1e9, **params)


def metg(model, level):
    """The METG of the model as scripts/figures.py has it."""

    def figure(found):
        for one in model_figures.of_stream(found, "cpu", model):
            if one.name == f"METG({level:.0%})":
                return one
        raise Missing(f"no METG({level:.0%})")

    return figure


def metg_value(model, level):
    """The METG in us."""
    def figure(found):
        one = metg(model, level)(found)
        if one.value is None:
            raise Missing(one.sentence)
        return Figure(one.value * 1e6, one.low and one.low * 1e6, one.high and one.high * 1e6)

    return figure


def metg_width(model, level):
    """The upper end of the METG's interval over the lower."""

    def figure(found):
        one = metg(model, level)(found)
        if not one.low or not one.high:
            raise Missing(one.sentence)
        return Figure(one.high / one.low)

    return figure


def grain_of_sequential(grain):
    """CPU time an event of `sequential`, less counting, over the grain at the speed of the same round."""

    def figure(found):
        working, counting = (cell(found, "sequential", workers=1, grain=g) for g in (grain_s(grain), 0))
        without = counting.by_round(results.cpu_per_event)
        return Figure.of_values([(s["cpu_s"] / s["events_counted"] - without[s["round"]]) * s["bound_items_per_second"]
                         for s in working.samples if s["round"] in without])

    return figure


def grain_off(grain):
    """By how much that is off, in parts of what is allowed: 3% of the grain, or one link of its chain."""

    def figure(found):
        links_per_ns = found.context["grain_links_per_ns"]
        allowed = max(0.03, 1e-9 / links_per_ns / grain_s(grain))
        return Figure(abs(grain_of_sequential(grain)(found).value - 1) / allowed)

    return figure


def greatest_of_bound(grain, workers):
    """The greatest efficiency of any model, median over the rounds."""

    def figure(found):
        medians = [c.interval(results.efficiency) for c in found.cells
                   if not c.failure and c.params.get("grain") == grain_s(grain) and c.params.get("workers") == workers]
        return Figure.of(max(filter(None, medians), key=lambda interval: interval.median, default=None), absent="no cell")

    return figure


def waiting_memory(found):
    """The greatest peak memory of any model beside the events, in MiB."""
    peaks = [(c.interval(results.peak_memory).median, s["events_counted"]) for c in found.cells if not c.failure for s in c.samples[:1]]
    if len(peaks) < len(found.cells):
        raise Missing("a cell failed")
    return Figure(max(peak - KEY_BYTES * events for peak, events in peaks) / 2**20)


TARGETS = [
    *(Target("tasks", f"{m}: CPU of a task over the hand-off", task_over_hand_off(m), most=most)
      for m, most in (("thread_pool", 3), ("coroutines", 4), ("event_loop", 4), ("process_shard", 5), ("fibers", 20), ("tbb_flow_graph", 30))),
    Target("asio", "coroutines_asio: CPU of a task over the hand-off", task_over_hand_off("coroutines_asio")),
    *(Target("tasks", f"{m}: CPU of a task", cpu_of_task(m, grain=0), unit="ns") for m in (*CONCURRENT, "limit", "sequential")),
    Target("asio", "coroutines_asio: CPU of a task", cpu_of_task("coroutines_asio", grain=0), unit="ns"),
    *(Target("tasks", f"{m}: of bound at 1 us, hand-off near its least", of_bound_near(m, grain_s("1us")), least)
      for m, least in (("coroutines", 0.92), ("thread_pool", 0.92), ("process_shard", 0.92), ("fibers", 0.80), ("tbb_flow_graph", 0.75),
                       ("event_loop", None))),
    Target("asio", "coroutines_asio: of bound at 1 us", of(results.efficiency, "coroutines_asio", grain=grain_s("1us"))),
    *(Target("tasks", f"{m}: METG({level:.0%})", metg_value(m, level), unit="us") for m in CONCURRENT for level in (0.5, 0.9)),
    *(Target("tasks", f"{m}: METG(50%), its interval's ends' ratio", metg_width(m, 0.5), most=1.5) for m in CONCURRENT),
    *(Target("grain", f"sequential at {g}: CPU less counting, over the grain", grain_of_sequential(g)) for g in GRAINS),
    *(Target("grain", f"sequential at {g}: off by so many times 3% or one link", grain_off(g), most=1) for g in GRAINS),
    *(Target("grain", f"{w} worker{'s' * (w > 1)}, {g}: the greatest of bound", greatest_of_bound(g, w), most=1.02)
      for w in (1, 2) for g in GRAINS),
    *(Target("auto", f"{m} over limit", ratio(results.throughput, m, "limit")) for m in CONCURRENT),
    Target("waiting", "100 M tasks of one event: greatest memory beside the events", waiting_memory, most=64, unit="MiB"),
]

judge = by_targets(TARGETS)


def spelled(figure, found, unit=""):
    """A figure of `found` with its interval; a dash where there is none."""
    try:
        one = figure(found)
    except Missing:
        return "-"
    if not unit:
        return model_figures.spelled("", one.value, one.low, one.high)
    return model_figures.spelled(unit, one.value, one.low, one.high) if one.value is not None else model_figures.bounded(one) or "-"


def tables(judged):
    """What a task costs in each model, the cheapest first."""
    rows = []
    for model, name in (*((model, "tasks") for model in CONCURRENT), ("coroutines_asio", "asio")):
        file = judged.data[name]
        cost = of(cpu_per_task, model, grain=0)
        metgs = [spelled(metg(model, level), file, "s") if name == "tasks" else "-" for level in model_figures.LEVELS]
        rows.append((cost(file).value, [f"`{model}`", spelled(cost, file, "s"), spelled(task_over_hand_off(model), file),
                                        spelled(of(results.efficiency, model, grain=grain_s("1us")), file), *metgs]))
    head = ("model", "CPU time of a task", "over a hand-off", "of bound at 1 us", "METG(50%)", "METG(90%)")
    return {"cost": table(head, [row for _, row in sorted(rows, key=lambda row: row[0])])}
