"""Figures of each model that fit in a sentence, with intervals: from results to ModelFigures. Nothing here reads or writes files.

Of a single cell, intervals are those of order statistics, and differences are taken round by round (results). Where a figure
is made from several cells, rounds are drawn again with replacement, the same for all of its cells, since what a round of a machine
was like is alike for all (Efron & Tibshirani, An Introduction to the Bootstrap, 1993: the percentile interval); the seed is fixed.
docs/method.md, "Figures of a model", says what each is made of.
"""

import dataclasses
import math

import numpy as np

from tally import results as results_
from tally import style

LEVELS = (0.5, 0.9)  # of efficiency
DRAWS = 2000
SEED = 20
TAIL = 0.025  # on either side of a 95% interval
MOST_STEPS = 100  # of a fit; ten are enough for most
ROUNDING = 1e-12  # what is left of a coefficient that is 0
# What a figure is spelled in: the first that the greatest of its numbers fills.
SCALES = {
    "s": ((1, "s"), (1e-3, "ms"), (1e-6, "us"), (1e-9, "ns"), (1e-12, "ps")),
    "B": ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"), (1, "B")),
    "switches/event": ((1, "an event"), (1e-3, "per 1,000 events"), (1e-6, "per million events")),
}
# What limits a cell and is neither the model nor its CPUs: more workers change nothing of it.
ELSEWHERE = ("wait", "service", "generator", "arrivals")
SHARED = ("lookup", "ingest")  # with a process at the other end, which has a CPU too
# Where the fit of the scalability law begins: the best of these contentions with the best of these crosstalks.
FIRST_SIGMAS = (0, 0.01, 0.03, 0.1, 0.3, 1, 3)
FIRST_KAPPAS = (0, 1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1)


@dataclasses.dataclass(frozen=True)
class ModelFigure:
    """A figure of a model. Without `value`, `low` and `high` are what it lies between where that is known, and `sentence` says why.

    Ends are of 95%. With `low` and without `high` it is not bounded above; without both it has no interval.
    """

    name: str
    value: float | None
    low: float | None
    high: float | None
    unit: str  # s, B, switches/event, workers, or none
    sentence: str
    cells: list[str]  # names of those it was taken from


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A coefficient, and its 95% interval where there were rounds enough for one. Infinity: none is enough."""

    value: float
    low: float | None = None
    high: float | None = None


@dataclasses.dataclass(frozen=True)
class UslFit:
    """What worker counts say of the universal scalability law; what they cannot say is None, and `says` why."""

    workers: list[int]
    rounds: int  # in which all worker counts were measured
    rate: float | None = None  # lambda: events/s of one worker, as fitted
    sigma: Estimate | None = None  # contention
    kappa: Estimate | None = None  # crosstalk
    peak: Estimate | None = None  # workers of the greatest throughput; infinity: more are always faster
    amdahl: Estimate | None = None  # sigma, if kappa is 0
    crosstalk: Estimate | None = None  # kappa, if sigma is 0
    misfit: float | None = None  # root mean square of the logarithms of measured over fitted throughput
    amdahl_misfit: float | None = None
    ideal_misfit: float | None = None  # of sigma and kappa both 0
    says: str = ""


def figures_of(results):
    """The figures of every model in `results` but `limit`: a dict of model to list of ModelFigure, in the order in which models are shown."""
    models = style.in_order(cell.model for cell in results.cells if cell.model != results_.LIMIT)
    return {model: [figure for stream in results.streams() for figure in of_stream(results, stream, model)] for model in models}


def of_stream(results, stream, model):
    """Yields the figures of a model on a stream. Failed cells, and those without samples of their own, are left out."""
    cells = [cell for cell in results.cells if cell.stream == stream and cell.model == model]
    sound = [cell for cell in cells if not cell.failure and cell.samples]
    if cells and not sound:
        why = cells[0].failure or "the file has medians alone, and no samples"
        yield absent("every figure", "", f"Nothing can be said of {model} on {stream}: {why}", cells)
    if not sound:
        return
    least = [part[0] for part in by_grain(sound)]  # where what is not the grain shows best
    groups = results.groups(stream)
    if stream == "cpu":
        for part in by_grain(sound):
            yield from (metg(level, part) for level in LEVELS)
        if model != results_.SEQUENTIAL:
            for cell in least:
                yield from overheads(groups, cell)
    if stream == "lookup":
        yield from (per_wait(groups, cell) for cell in least)
    for _, part in apart(least, ("batch", "rate", "wait")):
        yield start_up(part[0])
    axis, thing = {"lookup": ("in_flight", "event in flight"), "ingest": ("connections", "connection")}.get(stream, (None, None))
    concurrent = model != results_.SEQUENTIAL  # which has one of each, whatever its group has
    if axis and concurrent:
        yield from (memory(part, axis, thing) for part in sweeps(least, axis))
        if not sweeps(least, axis):
            why = f"The memory of {model} per {thing} cannot be told {where(least)}: no two cells differ in the number of them alone"
            yield absent(f"memory per {thing}", "B", why, least)
    yield from (switches(cell) for cell in least)
    if concurrent:
        for part in sweeps(sound, "workers"):
            yield from scaling(part, results.context)
        if not sweeps(sound, "workers"):
            yield absent("scaling", "", f"How {model} scales cannot be told {where(sound)}: no two cells differ in workers alone", sound)


# ---- cells ----


def apart(cells, keys):
    """`cells` that differ in parameters of `keys` alone, as (the others, cells by those parameters)."""
    parts = {}
    for cell in cells:
        parts.setdefault(tuple((k, v) for k, v in cell.params.items() if k not in keys), []).append(cell)
    return [(dict(rest), sorted(part, key=lambda cell: [cell.params.get(k, 0) for k in keys])) for rest, part in parts.items()]


def sweeps(cells, axis):
    """Those parts of `cells` that differ in `axis` alone, each of two cells or more."""
    return [part for _, part in apart(cells, (axis,)) if len(part) > 1]


def by_grain(cells):
    """`cells` in parts that differ in grain alone, ascending; in grain and batch where each grain was measured with one batch of its own."""
    parts = [part for _, part in apart(cells, ("grain",))]
    paired = [part for _, part in apart(cells, ("grain", "batch"))]
    own = all(len({cell.params.get("grain", 0) for cell in part}) == len(part) for part in paired)
    return paired if own else parts


def beside(groups, cell, model):
    """The cell of `model` in a group of `cell` that has figures; None if there is none."""
    for _, members in groups:
        if any(member is cell for member in members):
            for member in members:
                if member.model == model and not member.failure:
                    return member
    return None


def known(cell, metric):
    """What `metric(entry)` gives for each verified sample, by round, where it gives anything."""
    return {round_: value for round_, value in cell.by_round(metric).items() if value is not None}


# ---- words ----


def where(cells):
    """The setting of cells in words: `on 2 workers (cpu, grain 0 to 10 us, batch 256)`; of what differs, the least and the greatest."""
    (workers, *others) = [(key, sorted({cell.params[key] for cell in cells if key in cell.params}))
                          for key in dict.fromkeys(["workers", *(key for cell in cells for key in cell.params)])]
    words = [cells[0].stream]
    for key, values in others:
        more = f" to {style.value_text(key, values[-1])}" if len(values) > 1 else ""
        words.append(style.param_text(key, values[0]) + more)
    return f"{on_workers(workers[1])}({', '.join(words)})".replace("µ", "u")


def on_workers(counts):
    """`on 1 worker `, `on 1, 2 and 4 workers `; empty for none."""
    return f"on {listed(counts)} worker{'' if counts == [1] else 's'} " if counts else ""


def listed(numbers):
    """`1, 2 and 4`."""
    texts = [f"{number:,}" for number in numbers]
    return " and ".join([", ".join(texts[:-1]), texts[-1]] if len(texts) > 1 else texts)


def spelled(unit, value, low=None, high=None):
    """A number with its unit and interval, all in one scale: `1.2 us [1.1, 1.4]`, `12 workers [9, unbounded]`."""
    numbers = [abs(number) for number in (value, low, high) if number is not None]
    scales = SCALES.get(unit, ((1, unit),))
    # Half a unit in the third digit less: 999.7 ns are 1 us.
    factor, name = next((scale for scale in scales if max(numbers) >= 0.9995 * scale[0]), scales[-1] if max(numbers) else scales[0])
    shown = f"{short(value / factor)} {name}".strip()
    if low is None:
        return shown
    return f"{shown} [{short(low / factor)}, {'unbounded' if high is None else short(high / factor)}]"


def bounded(figure):
    """The value of a ModelFigure with its interval, or what bounds it; empty where nothing is known."""
    unit, low, high = figure.unit, figure.low, figure.high
    if figure.value is not None:
        return spelled(unit, figure.value, low, high)
    if high is not None:
        return f"below {spelled(unit, high)}" if not low else f"{spelled(unit, low)} to {spelled(unit, high)}"
    return f"above {spelled(unit, low)}" if low else ""


def short(number):
    """`number` with three digits."""
    return f"{number:.3g}" if abs(number) < 999.5 else f"{number:,.0f}"


def too_few(low, n, least=results_.LEAST_SAMPLES):
    """What a sentence adds where there is no interval."""
    return "" if low is not None else f"; {n} round{'' if n == 1 else 's'} are too few for an interval, which takes {least}"


def absent(name, unit, why, cells, low=None, high=None):
    """A figure that cannot be given; `why` is a sentence without its stop."""
    return ModelFigure(name, None, low, high, unit, f"{why}.", [cell.name for cell in cells])


def of_interval(name, unit, interval, cells, sentence, least=results_.LEAST_SAMPLES):
    """The figure of an Interval; `sentence(text)` says it, without the stop."""
    low, high = (interval.low, interval.high) if interval.holds else (None, None)
    said = sentence(spelled(unit, interval.median, low, high)) + too_few(low, interval.n, least)
    return ModelFigure(name, interval.median, low, high, unit, f"{said}.", [cell.name for cell in cells])


# ---- several cells: drawing rounds ----


def medians_of_draws(by_round):
    """Medians of the values of each of several cells, {round: value}, in DRAWS draws of as many rounds as there are: an array of draws
    by cells. A round drawn gives each cell the value that it has there, if it has one."""
    rounds = sorted({round_ for values in by_round for round_ in values})
    table = np.array([[values.get(round_, math.nan) for round_ in rounds] for values in by_round])
    drawn = np.sort(table[:, np.random.default_rng(SEED).integers(len(rounds), size=(DRAWS, len(rounds)))], axis=2)
    counts = np.sum(~np.isnan(drawn), axis=2)  # sorting has put the missing ones last
    middle = [np.take_along_axis(drawn, np.maximum(index, 0)[..., None], axis=2)[..., 0] for index in ((counts - 1) // 2, counts // 2)]
    medians = ((middle[0] + middle[1]) / 2).T
    return medians[~np.isnan(medians).any(axis=1)]


def ends(lows, highs):
    """What leaves TAIL of `lows` below and of `highs` above. By rank, since infinity has no arithmetic."""
    skipped = int(TAIL * len(lows))
    return sorted(lows)[skipped], sorted(highs)[-1 - skipped]


# ---- granularity ----


def crossing(grains, efficiencies, level):
    """(least, most) of the smallest grain from which on `level` is kept at every grain measured: one number where it was interpolated.

    `grains` ascend. Between two of them efficiency is taken as linear in the logarithm of the grain. Beyond them nothing is known
    but that a grain is at least 0; and between 0 and the next there is no logarithm.
    """
    kept = len(grains)
    while kept > 0 and efficiencies[kept - 1] >= level:
        kept -= 1
    if kept == len(grains):
        return grains[-1], math.inf
    if kept == 0:
        return 0.0, grains[0]
    under, over = grains[kept - 1], grains[kept]
    if under == 0:
        return 0.0, over
    share = (level - efficiencies[kept - 1]) / (efficiencies[kept] - efficiencies[kept - 1])
    grain = under * (over / under) ** float(share)
    return grain, grain


def metg(level, cells):
    """METG(`level`) of cells that differ in grain alone (Slaughter et al., Task Bench, SC20): the smallest grain, in seconds of CPU
    time per event, at which the model keeps that efficiency. Never beyond what was measured."""
    name, model = f"METG({level:.0%})", cells[0].model
    measured = [(cell, values) for cell in cells if (values := known(cell, results_.efficiency))]
    if not measured:
        reason = cells[0].samples[0].get("efficiency_absent", "no sample has an efficiency")
        return absent(name, "s", f"{name} of {model} cannot be told {where(cells)}: {reason}", cells)
    cells, by_round = [cell for cell, _ in measured], [values for _, values in measured]
    grains, rounds = [cell.params.get("grain", 0) for cell in cells], min(map(len, by_round))
    least, most = crossing(grains, [results_.median_interval(list(values.values())).median for values in by_round], level)
    low, high = least, most
    if rounds >= results_.LEAST_SAMPLES:
        low, high = ends(*zip(*(crossing(grains, row, level) for row in medians_of_draws(by_round).tolist())))
        low, high = min(low, least), max(high, most)
    few = "" if rounds >= results_.LEAST_SAMPLES else too_few(None, rounds)
    value = least if least == most else None
    reach = granularity(grains, (least, most), (low, high), bool(few), where(cells))
    said = f"With {model}, {level:.0%} efficiency is {reach}{few}."
    known_ends = (None, None) if few and value is not None else (low, high if math.isfinite(high) else None)
    return ModelFigure(name, value, *known_ends, "s", said, [cell.name for cell in cells])


def granularity(grains, found, sure, few, setting):
    """Down to which grain an efficiency is kept, in words: `found` and `sure` are (least, most), the latter with 95% unless `few`."""
    (least, most), (low, high) = found, sure
    greatest = spelled("s", grains[-1])
    if math.isinf(most) and grains[-1] == 0:
        return f"not kept without a grain, and no other was measured, {setting}"
    if math.isinf(most):
        lost = f"not kept at the greatest grain that was measured, {greatest}, {setting}"
        return lost + (f" (95%: perhaps from {spelled('s', low)} on)" if low < least else "")
    # From where on it is kept for sure, where that says more than `found`.
    late = "" if few or high <= most else f" (95%: from {spelled('s', high)} on)" if math.isfinite(high) else f" (95%: not surely even at {greatest})"
    if least == most == 0:
        return f"kept at every grain that was measured, and without one, {setting}{late}"
    if least == most:
        interval = (None, None) if few else (low, high if math.isfinite(high) else None)
        return f"kept down to a grain of {spelled('s', least, *interval)} {setting}"
    if grains[0] == 0:
        return f"kept at a grain of {spelled('s', most)} but not without one {setting}{late}"
    return f"kept at every grain that was measured, from {spelled('s', most)} on, {setting}{late}"


# ---- one cell, or two ----


def overheads(groups, cell):
    """CPU time per event, and per task, beyond grain and counting: what `sequential` takes for the same events in the same round is
    taken off; where the file has none, the grain alone."""
    base = beside(groups, cell, results_.SEQUENTIAL)
    mine, batch = known(cell, results_.cpu_per_event), cell.params.get("batch", 1)
    taken = known(base, results_.cpu_per_event) if base else dict.fromkeys(mine, cell.params.get("grain", 0))
    extra = [mine[round_] - taken[round_] for round_ in mine if round_ in taken]
    included = "" if base else ", counting included"
    things = [(f"overhead per event{included}", "an event", 1)]
    if math.isfinite(batch):  # with `auto` a model cuts as it likes
        things.append((f"overhead per task{included}", f"a task of {batch:,} event{'' if batch == 1 else 's'}", batch))
    for name, thing, scale in things:
        if not extra:
            yield absent(name, "s", f"The overhead of {cell.model} cannot be told {where([cell])}: it has no round in common with sequential", [cell])
            continue
        interval = results_.median_interval([value * scale for value in extra])

        def said(text, interval=interval, thing=thing):
            if base is None:
                return f"With {cell.model}, {thing} takes {text} of CPU time beyond its grain {where([cell])}{included}: there is no sequential to take off"
            if interval.holds and interval.low <= 0 <= interval.high:
                return f"With {cell.model}, the CPU time of {thing} is not separated from sequential's {where([cell])}: {text} more"
            more = "more"
            if interval.holds and interval.high < 0:
                more, text = "less", spelled("s", -interval.median, -interval.high, -interval.low)
            return f"With {cell.model}, {thing} takes {text} {more} CPU time than with sequential {where([cell])}"

        yield of_interval(name, "s", interval, [cell, base] if base else [cell], said)


def per_wait(groups, cell):
    """CPU time per event that waits, beyond its grain; what `limit`, a bare loop, takes beside it."""
    name, grain = "overhead per wait", cell.params.get("grain", 0)
    values = [value - grain for value in known(cell, results_.cpu_per_event).values()]
    if not values:
        return absent(name, "s", f"The overhead of a wait with {cell.model} cannot be told {where([cell])}: no sample has a CPU time", [cell])
    bare = beside(groups, cell, results_.LIMIT)
    bare = bare and bare.interval(results_.cpu_per_event)
    compared = f"; with limit, a bare loop, {spelled('s', bare.median - grain)}" if bare else ""
    return of_interval(name, "s", results_.median_interval(values), [cell],
                       lambda text: f"With {cell.model}, a wait takes {text} of CPU time {where([cell])}{compared}")


def start_up(cell):
    """Seconds from the start until the workers stood ready."""
    name, interval = "start-up time", cell.interval(startup)
    if interval is None:
        return absent(name, "s", f"No sample of {cell.model} has a start-up time {where([cell])}", [cell])
    return of_interval(name, "s", interval, [cell], lambda text: f"With {cell.model}, workers stand ready {text} after the start {where([cell])}")


def startup(entry):
    """Seconds until the workers stood ready."""
    return results_.finite(entry, "startup_s")


def memory(cells, axis, thing):
    """Bytes of peak memory for each one more `thing`, between the least and the greatest number of them."""
    name = f"memory per {thing}"
    few, many = cells[0], cells[-1]
    interval = results_.slope(few, many, axis, results_.peak_memory)
    if interval is None:
        return absent(name, "B", f"No sample of {few.model} has its peak memory {where([few, many])}", [few, many])
    events = [cell.samples[0].get("events_counted") for cell in (few, many)]
    # The events themselves lie in memory too.
    differ = f"; samples had {listed(events)} events" if events[0] != events[1] and all(events) else ""
    return of_interval(name, "B", interval, [few, many], least=results_.LEAST_FOR_SLOPE,
                       sentence=lambda text: f"With {few.model}, each {thing} takes {text} of memory {where([few, many])}{differ}")


def switches(cell):
    """Context switches per event, voluntary and involuntary."""
    name, interval = "context switches", cell.interval(switches_per_event)
    if interval is None:
        return absent(name, "switches/event", f"No sample of {cell.model} has its context switches {where([cell])}", [cell])
    return of_interval(name, "switches/event", interval, [cell],
                       lambda text: f"With {cell.model}, context switches come to {text} {where([cell])}")


def switches_per_event(entry):
    """Context switches of all threads and processes of the model, per event."""
    counts = [results_.finite(entry, key) for key in ("ctx_voluntary", "ctx_involuntary", "events_counted")]
    return None if None in counts or not counts[2] else (counts[0] + counts[1]) / counts[2]


# ---- scaling ----


def usl_residuals(coefficients, workers, shapes):
    """Residuals of log throughput about X(N) = lambda N / (1 + sigma (N-1) + kappa N (N-1)) with the lambda that fits best, and how
    they change with sigma and kappa: arrays of draws by worker counts, and one with the two coefficients last."""
    steps = np.stack([workers - 1, workers * (workers - 1)], axis=-1)
    divisors = 1 + coefficients @ steps.T
    residuals, slopes = shapes - np.log(workers) + np.log(divisors), steps / divisors[..., None]
    return residuals - residuals.mean(axis=1, keepdims=True), slopes - slopes.mean(axis=1, keepdims=True)


def usl_coefficients(workers, shapes, free=(True, True)):
    """sigma and kappa, both at least 0, of each row of `shapes`, log throughputs by worker count up to a constant: an array of rows by
    two. Those that are not `free` are 0.

    Least squares by Gauss-Newton steps, damped and scaled as by Marquardt (1963) and cut off at 0, from the best of a coarse grid.
    A coefficient at 0 that would fall further stays there meanwhile. All rows at once.
    """
    free = np.array(free)
    best, least = np.zeros((len(shapes), 2)), np.full(len(shapes), math.inf)
    for sigma in FIRST_SIGMAS if free[0] else (0,):
        for kappa in FIRST_KAPPAS if free[1] else (0,):
            tried = np.full((len(shapes), 2), (sigma, kappa), dtype=float)
            cost = np.sum(usl_residuals(tried, workers, shapes)[0] ** 2, axis=1)
            best[cost < least], least = tried[cost < least], np.minimum(cost, least)
    damping, rows = np.full(len(shapes), 1e-3), np.arange(len(shapes))
    for _ in range(MOST_STEPS):
        now, data = best[rows], shapes[rows]
        residuals, slopes = usl_residuals(now, workers, data)
        pull = np.einsum("dw,dwc->dc", residuals, slopes)
        moves = free & ~((now == 0) & (pull > 0))
        normal = np.einsum("dwc,dwe->dce", slopes, slopes)
        scales = np.maximum(np.einsum("dcc->dc", normal), 1e-300)
        normal = normal * (moves[:, :, None] & moves[:, None, :])
        normal[:, [0, 1], [0, 1]] = np.where(moves, scales * (1 + damping[rows, None]), 1)
        tried = np.maximum(0, now - np.linalg.solve(normal, np.where(moves, pull, 0)[..., None])[..., 0])
        cost = np.sum(usl_residuals(tried, workers, data)[0] ** 2, axis=1)
        better = cost < least[rows]
        best[rows[better]], least[rows[better]] = tried[better], cost[better]
        damping[rows] = np.where(better, damping[rows] / 10, damping[rows] * 10)
        # The steps shrink by more than one digit each, so that what is left is far less than the last.
        rows = rows[np.abs(tried - now).max(axis=1) > 1e-7 * (now.max(axis=1) + 1e-6)]
        if not len(rows):
            break
    return np.where(best < ROUNDING, 0, best)


def peak_workers(coefficients):
    """The worker count of the greatest throughput, sqrt((1 - sigma) / kappa) but at least 1; infinite where kappa is 0 and sigma under 1."""
    sigma, kappa = coefficients[:, 0], coefficients[:, 1]
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(sigma >= 1, 1.0, np.maximum(1, np.sqrt(np.maximum(0, 1 - sigma) / kappa)))


def usl_fit(workers, throughputs_by_round, draws=DRAWS):
    """Gunther's universal scalability law X(N) = lambda N / (1 + sigma (N-1) + kappa N (N-1)) fitted to throughputs: a UslFit.

    Takes worker counts, each once, and for each of them its throughputs in events/s as {round: events/s}. Sources: N. J. Gunther,
    Guerrilla Capacity Planning, 2007, chapters 4 to 6; Amdahl's law is that with kappa = 0. Only rounds that have all counts are
    used, and in each the logarithms less their mean: what a round did to all, it did to lambda. The medians of these over the rounds
    are fitted by least squares, and fitted again for so many `draws` of as many rounds. Intervals are of the rounds' noise alone, not of
    what the law itself leaves out: that is the misfit. Raises ValueError where counts and throughputs do not fit together.
    """
    if len(workers) != len(throughputs_by_round) or len(set(workers)) != len(workers) or min(workers, default=0) < 1:
        raise ValueError(f"worker counts {workers}, and throughputs of {len(throughputs_by_round)}: give each count of at least 1 once, with its throughputs")
    rounds = sorted(set.intersection(*(set(values) for values in throughputs_by_round)))
    if not rounds:
        raise ValueError(f"no round has throughputs of all of {workers} workers")
    pairs = sorted(zip(workers, throughputs_by_round), key=lambda pair: pair[0])
    counts = [count for count, _ in pairs]
    if len(counts) == 1:
        return UslFit(counts, len(rounds), says="one worker count says nothing of scaling")
    table = np.array([[values[round_] for _, values in pairs] for round_ in rounds], dtype=float)
    if not (table > 0).all() or not np.isfinite(table).all():
        raise ValueError(f"throughputs of {counts} workers: each must be a number above 0, and one is {table.min():g}")
    logs, n = np.log(table), np.array(counts, dtype=float)
    levels = logs.mean(axis=1, keepdims=True)
    shape = np.median(logs - levels, axis=0)[None]
    picked = np.random.default_rng(SEED).integers(len(rounds), size=(draws, len(rounds)))
    drawn = np.median((logs - levels)[picked], axis=1) if len(rounds) >= results_.LEAST_SAMPLES else shape[:0]

    def fitted(free):
        found = usl_coefficients(n, np.concatenate([shape, drawn]), free)
        return found[:1], found[1:]

    def misfit(coefficients):
        return float(np.sqrt(np.mean(usl_residuals(coefficients, n, shape)[0] ** 2)))

    (amdahl, of_amdahl), (crosstalk, of_crosstalk) = fitted((True, False)), fitted((False, True))
    alone = {"amdahl": estimate(amdahl, of_amdahl, contention_of), "crosstalk": estimate(crosstalk, of_crosstalk, crosstalk_of),
             "amdahl_misfit": misfit(amdahl), "ideal_misfit": misfit(np.zeros((1, 2)))}
    if len(counts) == 2:
        return UslFit(counts, len(rounds), says="two worker counts tell sigma if kappa is taken as 0, or kappa if sigma is, and not both", **alone)
    both, of_both = fitted((True, True))
    divisors = 1 + both @ np.stack([n - 1, n * (n - 1)])
    rate = float(np.exp(np.median(levels) + np.mean(shape - np.log(n) + np.log(divisors))))
    says = "three worker counts fit three coefficients exactly: that the law holds cannot be told from them" if len(counts) == 3 else ""
    return UslFit(counts, len(rounds), rate, estimate(both, of_both, contention_of), estimate(both, of_both, crosstalk_of),
                  estimate(both, of_both, peak_workers), misfit=misfit(both), says=says, **alone)


def contention_of(coefficients):
    """sigma."""
    return coefficients[:, 0]


def crosstalk_of(coefficients):
    """kappa."""
    return coefficients[:, 1]


def estimate(coefficients, drawn, what):
    """The Estimate of `what(coefficients)`, with its interval over those of the draws; without where there are none."""
    value = float(what(coefficients)[0])
    if not len(drawn):
        return Estimate(value)
    low, high = ends(*[what(drawn).tolist()] * 2)
    return Estimate(value, min(low, value), max(high, value))


def scaling(cells, context):
    """Yields contention, crosstalk, the worker count of the peak and Amdahl's contention, of cells that differ in workers alone; where
    they cannot be told, `scaling` with the reason."""
    model, usable = cells[0].model, context.get("cpus_usable", context.get("num_cpus"))
    usable = (len(usable) if isinstance(usable, list) else usable or math.inf) - (cells[0].stream in SHARED)
    # More workers than CPUs share these: what they then lose is not the model's.
    fits = [cell for cell in cells if cell.params["workers"] <= usable] or cells[:1]
    beyond = [cell.params["workers"] for cell in cells if cell not in fits]
    limits = {cell.aggregates.get("median", {}).get("limited_by") for cell in fits}
    setting = where(fits) + (f", without {listed(beyond)} workers, for which there are not CPUs enough" if beyond else "")
    setting += ", the memory's bandwidth included" if "memory" in limits else ""
    try:
        fit = usl_of(fits, limits & set(ELSEWHERE))
    except ValueError as problem:
        yield absent("scaling", "", f"How {model} scales cannot be told {setting}: {problem}", fits)
        return
    if fit.sigma is None:
        yield absent("scaling", "", f"How {model} scales cannot be told {setting}: {fit.says}", fits)
    if fit.amdahl is not None:
        yield from coefficients_of(fit, fits, setting)


def usl_of(cells, limits):
    """The UslFit of cells that differ in workers alone. Raises ValueError where their throughput is not the model's: at a rate, or
    under `limits` that more workers do not change."""
    if math.isfinite(cells[0].params.get("rate", math.inf)):
        raise ValueError("at a rate, throughput is what was offered")
    if limits and len(cells) > 1:
        raise ValueError(f"what limited it was the {' and the '.join(sorted(limits))}, which more workers do not change")
    return usl_fit([cell.params["workers"] for cell in cells], [known(cell, results_.throughput) for cell in cells])


def coefficients_of(fit, cells, setting):
    """Yields what a fit tells as figures."""
    model = cells[0].model
    few = too_few(fit.amdahl.low, fit.rounds)
    by_law = f"by the universal scalability law {setting}"

    def figure(name, found, unit, sentence):
        value, low, high = (number if number is not None and math.isfinite(number) else None for number in (found.value, found.low, found.high))
        text = "" if value is None else spelled(unit, value, low, high)
        return ModelFigure(name, value, low, high, unit, f"{sentence(text)}{few}.", [cell.name for cell in cells])

    if fit.sigma is not None:
        quality = fit.says or f"misfit {fit.misfit:.1%}, of Amdahl's law {fit.amdahl_misfit:.1%}, of ideal scaling {fit.ideal_misfit:.1%}"
        yield figure("sigma", fit.sigma, "", lambda text: f"With {model}, contention (sigma) is {text} {by_law}; {quality}")
        yield figure("kappa", fit.kappa, "", lambda text: f"With {model}, crosstalk (kappa) is {text} {by_law}; {quality}")
        yield peak_figure(fit, figure, model, by_law)
    yield figure("sigma if kappa is 0", fit.amdahl, "", lambda text: f"With {model}, contention is {text} by Amdahl's law (kappa = 0) {setting}")
    if fit.sigma is None:
        yield figure("kappa if sigma is 0", fit.crosstalk, "",
                     lambda text: f"With {model}, crosstalk is {text} {by_law}, if there is no contention (sigma = 0)")


def peak_figure(fit, figure, model, by_law):
    """The worker count of the greatest throughput, by `figure`; that it lies beyond what was measured is said."""

    def said(text):
        if not text:
            least = "" if fit.peak.low is None or math.isinf(fit.peak.low) else f" (95%: above {short(fit.peak.low)})"
            return f"With {model}, throughput has no peak {by_law}: kappa is 0{least}"
        beyond = f"; beyond the {fit.workers[-1]} that were measured, that is the law's word" if fit.peak.value > fit.workers[-1] else ""
        return f"With {model}, throughput is greatest with {text} {by_law}{beyond}".replace(" 1 workers", " 1 worker")

    return figure("peak", fit.peak, "workers", said)
