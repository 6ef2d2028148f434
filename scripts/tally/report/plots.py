"""The plots of the report, from groups to SVG. What is drawn, and in which words, is as in scripts/plot.py."""

import itertools
import json
import math

from tally.report import ranking
from tally.report import svg
from tally import charts as figures_
from tally import latency_charts as latencies_
from tally import results as results_
from tally import style

SWEPT = ("workers", "grain", "batch", "wait", "in_flight", "connections")
COSTS = (figures_.CPU_TIME, figures_.MEMORY)
# How many groups have a plot of their own: of more, nobody looks at each, and the page is to stay small.
PANELS_MOST = {figures_.THROUGHPUT: 120, figures_.CPU_TIME: 60, figures_.MEMORY: 60}
LEFT, RIGHT, TOP, BOTTOM = 62, 12, 8, 34  # of a plot's axes
LINES_HEIGHT = 210
ROW = 19
NAME_WIDTH, VALUE_WIDTH = 100, 92
BAND = 11  # of each model in the band of those that fell behind
SPECTRUM_STEP = 4  # units along a spectrum, under which there is nothing to see
NAMED_MOST = 4  # cells in a note
MAP_ROW = 46
MAP_LEFT, MAP_COLUMN = 62, 98


def plot_sets(results):
    """All PlotSets of `results`, in the order of the page."""
    results = ranking.whole(results)
    for stream in results.streams():
        groups = [(params, cells) for params, cells in results.groups(stream) if any(not cell.failure for cell in cells)]
        if not groups:
            continue
        yield from maps(stream, groups)
        yield from rows(results, stream, groups, figures_.THROUGHPUT)
        yield from sweeps(results, stream, groups, figures_.THROUGHPUT)
        yield from latency(stream, groups, results_.slo(results.context))
        for metric in COSTS:
            yield from rows(results, stream, groups, metric)
            yield from sweeps(results, stream, groups, metric)


def interval(results, cell, metric):
    """The interval of a cell's figure as it is claimed; None if the cell has no such figure."""
    found = cell.interval(metric.value)
    known = found is not None and found.low is not None
    return results_.claimed(found, results.context) if known and metric is figures_.THROUGHPUT else found


def in_words(found, metric):
    """`5.47 G/s (5.37 G/s to 5.57 G/s)`."""
    ends = f" ({metric.text(found.low)} to {metric.text(found.high)})" if found.low is not None else ""
    return metric.text(found.median) + ends


def param_words(params, keys):
    return " · ".join(style.param_text(key, params[key]) for key in keys if key in params)


def reservations(groups):
    """What the intervals and marks of `groups` need to be read, as a list."""
    cells = [cell for _, members in groups for cell in members if not cell.failure]
    few = any(0 < len(cell.samples) < results_.LEAST_SAMPLES for cell in cells)
    return figures_.unconverged(groups) + [f"Of fewer than {results_.LEAST_SAMPLES} samples, from least to greatest."] * few


def named(cells):
    """The cells' names in a list to be read, of many the first."""
    more = f"; and {len(cells) - NAMED_MOST} more" if len(cells) > NAMED_MOST else ""
    return "; ".join(cell.name for cell in cells[:NAMED_MOST]) + more


def key(groups):
    """The models of `groups` that can be drawn."""
    return style.in_order(cell.model for _, cells in groups for cell in cells if not cell.failure)


def titled(kind, params, keys):
    """A plot's own title: what tells it from the others of its set."""
    return param_words(params, keys) or kind


# ---- a row per model, a plot per group ----


def rows(results, stream, groups, metric):
    """The PlotSet of a figure, as a list; where there are too many groups, words in its place."""
    differ, same = figures_.varying(groups)
    title = f"{metric.title}: {stream} stream"
    if len(groups) > PANELS_MOST[metric]:
        return [svg.PlotSet(title, "", f"Not drawn for each of {len(groups)} groups: what follows draws it against parameters, and the table of all "
                            "cells has it.", [])]
    plots = []
    for params, cells in groups:
        drawn = {cell.model: cell for cell in cells}
        models = style.in_order(drawn)
        found = {model: interval(results, drawn[model], metric) for model in models}
        if any(found.values()):
            plots.append(row_plot(stream, titled(metric.title, params, differ), drawn, models, found, metric))
    note = "Mark: median; line: its 95% interval; tick: the bound, the most that any model could reach; right: share of the bound." \
        if metric.bound else metric.note.format(other_end=figures_.OTHER_ENDS.get(stream, "lookup service"))
    return [svg.PlotSet(title, same, " ".join([note, *reservations(groups)]), plots)] if plots else []


def row_plot(stream, title, cells, models, found, metric):
    bounds = {model: cells[model].interval(metric.bound) if metric.bound else None for model in models}
    ends = [end for one in found.values() if one for end in (one.low, one.median, one.high) if end is not None]
    axis = svg.Axis(ends + [bound.median for bound in bounds.values() if bound], NAME_WIDTH + 6, svg.WIDTH - VALUE_WIDTH - 6,
                    unit=byte_unit(ends) if metric is figures_.MEMORY else 1)
    bottom = TOP + ROW * len(models)
    body = value_grid(axis, bottom, metric)
    words = []
    for index, model in enumerate(models):
        y = TOP + ROW * (index + 0.5)
        one, cell, bound = found[model], cells[model], bounds[model]
        parts = svg.text(NAME_WIDTH, y + 4, model, "e")
        if bound:
            parts += svg.path("bound", f"M{svg.at(axis.at(bound.median), y - 7)}v14")
        if one is None:
            parts += svg.text(svg.WIDTH - VALUE_WIDTH, y + 4, "no figure" if cell.failure else "–", "s dim")
        else:
            if one.low is not None:
                parts += svg.path("i", f"M{svg.at(axis.at(one.low), y)}H{svg.number(axis.at(one.high))}")
            parts += svg.path("k" if cell.converged else "h", svg.points([(axis.at(one.median), y)]))
            share = cell.interval(metric.share) if metric.share else None
            value = metric.text(one.median) + (f" · {figures_.percent_text(share.median)}" if share else "")
            parts += svg.text(svg.WIDTH - VALUE_WIDTH, y + 4, value)
            words.append(f"{model} {in_words(one, metric)}" + (f", {figures_.percent_text(share.median)} of the bound" if share else ""))
        body += svg.of_model(model, parts)
    body += svg.text((axis.start + axis.end) / 2, bottom + 28, metric.label + (", log" if axis.log else ""), "m dim")
    return svg.Plot(title, f"{metric.title}. {'; '.join(words)}.", body, bottom + BOTTOM, stream)


def byte_unit(values):
    """The binary unit that ticks of memory are nice numbers of."""
    return 1024 ** int(math.log(max(values), 1024)) if values and max(values) >= 1 else 1


def value_grid(axis, bottom, metric):
    """Lines across, with the values of a figure under them."""
    ticks = axis.ticks(4)
    lines = "".join(f"M{svg.at(axis.at(tick), TOP)}V{svg.number(bottom)}" for tick in ticks)
    return svg.path("grid", lines) + "".join(svg.text(axis.at(tick), bottom + 13, metric.text(tick), "m") for tick in ticks)


# ---- a line per model, a plot per facet ----


def sweeps(results, stream, groups, metric):
    """Everything against every parameter that has two values or more."""
    for axis in SWEPT if metric is not figures_.MEMORY else figures_.MEMORY_AXES:
        facets = [(rest, points) for rest, points in figures_.facets_against(groups, axis) if len(points) > 1]
        if metric is figures_.THROUGHPUT:  # which at a rate is what was offered
            facets = [facet for facet in facets if math.isinf(facet[0].get("rate", math.inf))]
        if not facets:
            continue
        differ, same = figures_.varying(facets)
        plots = [plot for rest, points in facets
                 if (plot := line_plot(results, stream, titled(metric.title, rest, differ), points, axis, metric))]
        note = ["Lines at a mark: 95% interval of the median.", "Dotted: the bound." if metric.bound else ""]
        if axis in results_.SEQUENTIAL_IGNORES:
            note.append(f"sequential is drawn across: it has 1 {'worker' if axis == 'workers' else 'event in flight'} always.")
        note += reservations(groups)
        if plots:
            yield svg.PlotSet(f"{metric.title} against {axis.replace('_', '-')}: {stream} stream", same,
                              " ".join(part for part in note if part), plots, key(groups))


def line_plot(results, stream, title, points, axis, metric):
    series, ceilings = {}, {}
    for x, cells in points:
        for cell in cells:
            one = interval(results, cell, metric)
            if one:
                series.setdefault(cell.model, []).append((x, one, cell.converged))
            ceiling = cell.interval(metric.bound) if metric.bound and cell.model != results_.SEQUENTIAL else None
            if ceiling:
                ceilings[x] = max(ceilings.get(x, 0), ceiling.median)
    ends = [end for line in series.values() for _, one, _ in line for end in (one.low, one.median, one.high) if end is not None]
    if not ends:
        return None
    across = svg.ParameterAxis([x for x, _ in points], LEFT, svg.WIDTH - RIGHT)
    up = svg.Axis(ends + list(ceilings.values()), LINES_HEIGHT - BOTTOM, TOP,
                  unit=byte_unit(ends) if metric is figures_.MEMORY else 1)
    body = frame(across, up, axis, metric)
    body += svg.path("ceiling", svg.polyline((across.at(x), up.at(y)) for x, y in sorted(ceilings.items()))) if ceilings else ""
    words = []
    for model in style.in_order(series):
        line = series[model]
        if model == results_.SEQUENTIAL and axis in results_.SEQUENTIAL_IGNORES:
            body += svg.of_model(model, svg.path("l", f"M{svg.at(LEFT, up.at(line[0][1].median))}H{svg.WIDTH - RIGHT}"))
            words.append(f"{model} {metric.text(line[0][1].median)} throughout")
            continue
        body += svg.of_model(model, curve([(across.at(x), up.at(one.median), converged) for x, one, converged in line])
                             + whiskers(across, up, line))
        words.append(f"{model} " + ", ".join(f"{metric.text(one.median)} at {style.value_text(axis, x)}" for x, one, _ in line))
    return svg.Plot(title, f"{metric.title} against {axis.replace('_', '-')}. {'; '.join(words)}.", body, LINES_HEIGHT, stream)


def curve(places):
    """A line with a mark at each (x, y, whether the mark is full), broken at None."""
    line = svg.polyline(place and place[:2] for place in places)
    marked = {kind: [place[:2] for place in places if place and place[2] is kind] for kind in (True, False)}
    if None not in places and not marked[False]:
        return svg.path("l k", line)
    return svg.path("l", line) + "".join(svg.path(name, svg.points(marked[kind])) for name, kind in (("k", True), ("h", False)) if marked[kind])


def whiskers(across, up, line):
    ends = "".join(f"M{svg.at(across.at(x), up.at(one.low))}V{svg.number(up.at(one.high))}" for x, one, _ in line if one.low is not None)
    return svg.path("i", ends) if ends else ""


def frame(across, up, axis, metric, most=math.inf):
    """Grid, ticks and labels of a plot whose x axis is a parameter; none above the value `most`."""
    ticks = [tick for tick in up.ticks() if tick <= most]
    lines = "".join(f"M{LEFT} {svg.number(up.at(tick))}H{svg.WIDTH - RIGHT}" for tick in ticks)
    body = svg.path("grid", lines) + "".join(svg.text(LEFT - 5, up.at(tick) + 4, metric.text(tick), "e") for tick in ticks)
    positive = [x for x in across.values if x > 0]
    kept = figures_.with_room(positive, True) if across.log else figures_.with_room(across.values, False)
    for x in ([0] if across.log and across.zero else []) + kept:
        body += svg.text(across.at(x), up.start + 14, style.value_text(axis, x), "m")
    label = figures_.UNITS[axis] + (", log" if across.log else "")
    return body + svg.text((LEFT + svg.WIDTH - RIGHT) / 2, up.start + 29, label, "m dim")


# ---- latency ----


SECONDS = figures_.Metric("Latency", "latency", None, figures_.seconds_text)


def latency(stream, groups, slo):
    """Latency against the offered rate, and at every percentile."""
    if not any(cell.latency() or cell.saturated() for _, cells in groups for cell in cells):
        return
    facets = figures_.facets_against(groups, "rate")
    differ, same = figures_.varying(facets)
    plots = []
    for rest, points in facets:
        for percent in sorted({*latencies_.PERCENTS, slo.percent} if slo else latencies_.PERCENTS):
            asked = slo if slo and slo.percent == percent else None
            plot = rate_plot(stream, " · ".join(part for part in (f"p{percent:g}", param_words(rest, differ)) if part), points, percent, asked)
            plots += [plot] if plot else []
    note = ["From when an event was to be sent until it was counted, of all samples together.",
            f"Hollow: {latencies_.MARKS['few'][0].removeprefix('hollow: ')}.",
            f"Triangle in the upper band: {latencies_.MARKS['saturated'][0].removeprefix('saturated: ')}, and so without latency.",
            f"Ring: {latencies_.MARKS['late'][0]}."]
    if slo:
        note.append(f"Red line: the SLO, p{slo.percent:g} within {figures_.seconds_text(slo.latency_s)}.")
    note += latencies_.without_latency(cell for _, cells in groups for cell in cells if math.isfinite(cell.params.get("rate", math.inf)))
    if plots:
        yield svg.PlotSet(f"Latency against offered rate: {stream} stream", same, " ".join(note), plots, key(groups))
    known = [(params, cells) for params, cells in groups if any(cell.latency() for cell in cells)]
    if known:
        yield spectra(stream, known)


def rate_plot(stream, title, points, percent, slo):
    series, behind = {}, latencies_.fallen(points)
    for x, cells in points:
        for cell in cells:
            found = cell.latency()
            series.setdefault(cell.model, []).append((x, found and results_.percentile(found, percent), cell))
    values = [y for line in series.values() for _, y, _ in line if y] + ([slo.latency_s] if slo else [])
    if not values and not behind:
        return None
    across = svg.ParameterAxis([x for x, _ in points], LEFT, svg.WIDTH - RIGHT, log=True)
    band = BAND * len(behind)
    up = svg.Axis(values, LINES_HEIGHT - BOTTOM, TOP + band, log=True, margin=1.6)
    body = frame(across, up, "rate", SECONDS)
    if band:
        body += f'<rect class="band" x="{LEFT}" y="{TOP}" width="{svg.WIDTH - RIGHT - LEFT}" height="{band}"/>'
    if slo:
        body += svg.path("slo", f"M{svg.at(LEFT, up.at(slo.latency_s))}H{svg.WIDTH - RIGHT}")
    words = []
    for model in style.in_order(series):
        line = series[model]
        places = [y and (across.at(x), up.at(y), results_.is_sure(cell.latency(), percent)) for x, y, cell in line]
        parts = curve(places)
        late = [(across.at(x), up.at(y)) for x, y, cell in line if y and cell.generator_late()]
        parts += svg.path("late", svg.points(late)) if late else ""
        if model in behind:
            y = TOP + BAND * (style.in_order(behind).index(model) + 0.5)
            parts += svg.path("b", svg.points([(across.at(x), y) for x in behind[model]]))
        body += svg.of_model(model, parts)
        words.append(f"{model} " + ", ".join(
            f"{SECONDS.text(y) if y else 'saturated' if cell.saturated() else 'no latency'} at {style.value_text('rate', x)}"
            for x, y, cell in line))
    return svg.Plot(title, f"Latency at the {percent:g}th percentile against the offered rate. {'; '.join(words)}.", body, LINES_HEIGHT, stream)


def spectra(stream, groups):
    """Latency at every percentile, corrected and uncorrected: a plot per group."""
    differ, same = figures_.varying(groups)
    plots = [spectrum_plot(stream, titled("Latency by percentile", params, differ), cells) for params, cells in groups]
    note = ["Solid: from when an event was to be sent; dashed: uncorrected, from when it was sent.",
            "Thin: fewer latencies than the percentile takes.", f"Lines end where {results_.LEAST_BEYOND} latencies lie beyond."]
    late = [cell for _, cells in groups for cell in cells if cell.latency() and cell.generator_late()]
    if late:
        note.append(f"Generator late ({latencies_.LATE_TEXT}), so not the latency of the model alone: {named(late)}.")
    behind = [cell for _, cells in groups for cell in cells if cell.saturated()]
    if behind:
        note.append(f"Saturated, fell behind the rate, and so without latency: {named(behind)}.")
    return svg.PlotSet(f"Latency by percentile: {stream} stream", same, " ".join(note), [plot for plot in plots if plot], key(groups))


def spectrum_plot(stream, title, cells):
    known = {cell.model: cell for cell in cells if cell.latency()}
    lines = {(model, key): [point for point in results_.spectrum(known[model].latency(key) or {}) if point[0] >= latencies_.LEAST_X]
             for model in style.in_order(known) for key in ("latency", "latency_uncorrected")}
    every = [point for line in lines.values() for point in line]
    if not every:
        return None
    up = svg.Axis([y for _, y, _ in every], LINES_HEIGHT - BOTTOM, TOP, log=True, margin=1.6)
    most = max(max(x for x, _, _ in every), 10) * 1.1
    width = svg.WIDTH - RIGHT - LEFT

    def across(x):
        return LEFT + width * math.log(x / latencies_.LEAST_X) / math.log(most / latencies_.LEAST_X)

    ticks = up.ticks()
    body = svg.path("grid", "".join(f"M{LEFT} {svg.number(up.at(tick))}H{svg.WIDTH - RIGHT}" for tick in ticks))
    body += "".join(svg.text(LEFT - 5, up.at(tick) + 4, SECONDS.text(tick), "e") for tick in ticks)
    nines = [2, *(10**n for n in range(1, math.floor(math.log10(most)) + 1))]
    body += "".join(svg.text(across(x), up.start + 14, f"{100 - 100 / x:.10g}%", "m") for x in nines)
    body += svg.text(LEFT + width / 2, up.start + 29, "percentile", "m dim")
    words = []
    for (model, key), line in lines.items():
        sure = sum(point[2] for point in line)
        places = [(across(x), up.at(y)) for x, y, _ in line]
        dashed = "" if key == "latency" else " u"
        parts = "".join(svg.path(name + dashed, thinned(part)) for name, part in
                        (("c", places[:sure]), ("c thin", places[max(sure - 1, 0):])) if len(part) > 1)
        if not dashed:
            marked = places[SPECTRUM_MARK * list(known).index(model) // len(known) :: SPECTRUM_MARK]
            parts += svg.path("k", svg.points(marked))
            latency = known[model].latency()
            words.append(f"{model} " + ", ".join(
                f"p{percent:g} {SECONDS.text(seconds)}{'' if results_.is_sure(latency, percent) else ' (too few latencies)'}"
                for percent in latencies_.PERCENTS if (seconds := results_.percentile(latency, percent))))
        body += svg.of_model(model, parts)
    return svg.Plot(title, f"Latency by percentile. {'; '.join(words)}.", body, LINES_HEIGHT, stream)


SPECTRUM_MARK = results_.SPECTRUM_POINTS  # points from mark to mark


def thinned(places):
    """A path through `places` in whole pixels, without those that cannot be seen beside the ones before."""
    kept = [tuple(round(c) for c in places[0])]
    for x, y in places[1:-1]:
        if abs(x - kept[-1][0]) + abs(y - kept[-1][1]) >= SPECTRUM_STEP:
            kept.append((round(x), round(y)))
    kept.append(tuple(round(c) for c in places[-1]))
    steps = "".join(f"{b[0] - a[0]} {b[1] - a[1]} " for a, b in itertools.pairwise(kept))
    return f"M{kept[0][0]} {kept[0][1]}l{steps.strip()}".replace(" -", "-")


# ---- the map ----


def maps(stream, groups):
    """A grid of grains and waits for each setting of the others: who is first, and by how much."""
    planes = {}
    for params, cells in groups:
        if "grain" in params and "wait" in params and math.isinf(params.get("rate", math.inf)):
            rest = tuple((key, value) for key, value in params.items() if key not in ("grain", "wait"))
            planes.setdefault(rest, {})[(params["grain"], params["wait"])] = cells
    planes = [(dict(rest), plane) for rest, plane in planes.items()
              if len({grain for grain, _ in plane}) > 1 and len({wait for _, wait in plane}) > 1]
    if not planes:
        return
    differ, same = figures_.varying(planes)
    plots = [map_plot(stream, titled("Grain by wait", rest, differ), plane) for rest, plane in planes]
    yield svg.PlotSet(f"Map, which model where: {stream} stream", same,
                      "Colour and name: the model with the greatest throughput; figure: its lead over the next, round by round. "
                      "Pale and hatched: it is not separated from all others. Models that are switched off are left out of it.", plots)


def map_plot(stream, title, plane):
    grains, waits = sorted({grain for grain, _ in plane}), sorted({wait for _, wait in plane})
    width = max(MAP_COLUMN, (svg.WIDTH - MAP_LEFT - 4) / len(grains))
    bottom = TOP + MAP_ROW * len(waits)
    body, words, data = "", [], []
    for row, wait in enumerate(reversed(waits)):
        y = TOP + MAP_ROW * row
        body += svg.text(MAP_LEFT - 6, y + MAP_ROW / 2 + 4, style.value_text("wait", wait), "e")
        for column, grain in enumerate(grains):
            if (grain, wait) not in plane:
                continue
            order, leads = contest(plane[(grain, wait)])
            if not order:
                continue
            x = MAP_LEFT + width * column
            lead, _ = leads.get((0, 1), ("", True))
            separated = all(said[1] for (i, _), said in leads.items() if i == 0)
            where = f"grain {style.value_text('grain', grain)}, wait {style.value_text('wait', wait)}"
            data.append([where, order, [[i, j, *said] for (i, j), said in leads.items()]])
            body += (f'<g class="cell {svg.winner_class(order[0])}{"" if separated else " tie"}">'
                     f'<rect class="fill" x="{svg.number(x + 1)}" y="{y + 1}" width="{svg.number(width - 2)}" height="{MAP_ROW - 2}"/>'
                     f'<rect class="over" x="{svg.number(x + 1)}" y="{y + 1}" width="{svg.number(width - 2)}" height="{MAP_ROW - 2}"/>'
                     + svg.text(x + width / 2, y + MAP_ROW / 2 - 3, order[0], "m who")
                     + svg.text(x + width / 2, y + MAP_ROW / 2 + 12, lead, "m lead") + "</g>")
            words.append(f"{where}: {order[0]}{lead and ' ' + lead}{'' if separated else ', not separated from all others'}")
    body += "".join(svg.text(MAP_LEFT + width * (column + 0.5), bottom + 14, style.value_text("grain", grain), "m")
                    for column, grain in enumerate(grains))
    body += svg.text(MAP_LEFT + width * len(grains) / 2, bottom + 29, figures_.UNITS["grain"], "m dim")
    body += svg.text(4, TOP + 10, "wait", "s dim")
    return svg.Plot(title, f"The model with the greatest throughput. {'; '.join(words)}.", body, bottom + BOTTOM, stream,
                    json.dumps(data, separators=(",", ":")), MAP_LEFT + width * len(grains) + 4)


def contest(cells):
    """The models that could be chosen, best first, and {(i, j): (lead of the i-th over the j-th, whether they are separated)}."""
    ranked = [cell for cell in ranking.in_order(cells) if cell.model != ranking.LIMIT and cell.interval(results_.throughput)]
    leads = {}
    for (i, one), (j, other) in itertools.combinations(enumerate(ranked), 2):
        between = ranking.ratio(one, other)
        leads[(i, j)] = (ranking.times(between.median) if between else "", ranking.separates(between, luck=one.luck_of_waits()))
    return [cell.model for cell in ranked], leads
