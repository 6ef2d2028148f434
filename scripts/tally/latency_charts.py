"""Tally's figures of latency at an offered rate, from results to matplotlib figures. Nothing here reads or writes files."""

import math

from matplotlib import ticker
from matplotlib.patches import Rectangle

from tally import charts as figures_
from tally import results as results_
from tally import style

PERCENTS = (50, 99, 99.9)  # a row of panels each, and one for that of an SLO
PANEL_HEIGHT = 1.3  # inches, as are the next two; the band of those that fell behind comes on top
BAND_STEP = 0.09  # of each model in the band
MARGINS = {"left": 0.78, "right": 0.12, "bottom": 0.42, "top": 0.22}
RING = 11  # points, about a mark of a late generator
RING_COLOUR = "#555555"
LEAST_X = 1 / (1 - 0.1)  # the least percentile drawn is 10%: the few latencies below would take half of a log axis
DASHED = (0, (4, 2))  # of uncorrected latencies
SOLID = "-"
LATE_TEXT = f"by more than {1e3 * results_.ON_TIME_S:g} ms, p99"
# Marks that need an explanation, in the order of the legend: text, marker and its size.
MARKS = {"saturated": ("saturated: fell behind the rate", "^", 5),
         "few": ("hollow: fewer latencies than the percentile takes", "o", 5),
         "late": (f"generator late (its sends {LATE_TEXT})", "o", RING - 2)}


def figures(results, caption, slo):
    """Yields (file stem, Figure) of the latencies that `results` hold; `caption(stream)` gives the paragraphs under each, and
    `slo` is what is asked of latencies, or None."""
    for stream in results.streams():
        if not any(cell.latency() or cell.saturated() for cell in results.drawn(stream)):
            continue
        below = caption(stream)
        groups = [(params, cells) for params, cells in results.groups(stream) if any(not cell.failure for cell in cells)]
        facets = figures_.facets_against(groups, "rate")
        for page, part in figures_.pages(facets, figures_.FACETS_PER_PAGE):
            yield f"{stream}-latency{page}", against_rate(stream, facets, part, slo, below)
        known = [(params, cells) for params, cells in groups if any(cell.latency() for cell in cells)]
        for page, ((params, cells),) in figures_.pages(known, 1):
            yield f"{stream}-spectrum{page}", spectra(stream, params, cells, below)


def without_latency(cells):
    """The note on those of `cells`, all at a rate, that should have latencies and have none, as a list."""
    lacking = [cell.name for cell in cells if not cell.failure and not cell.latency() and not cell.saturated()]
    return [f"Not drawn, since the file has no latency of theirs: {'; '.join(lacking)}."] if lacking else []


# ---- against the offered rate ----


def against_rate(stream, facets, part, slo, caption):
    """A column per facet of `part`, a row per percentile, a line per model."""
    differ, same = figures_.varying(facets)
    percents = sorted({*PERCENTS, slo.percent} if slo else PERCENTS)
    height = PANEL_HEIGHT + BAND_STEP * max(len(fallen(points)) for _, points in part)
    page = figures_.Page(figures_.WIDTHS[len(part)], len(percents) * (height + MARGINS["bottom"] + MARGINS["top"]), caption,
                         f"Latency against offered rate: {stream} stream", same)
    models, marks = set(), set()
    for column, (rest, points) in enumerate(part):
        for row, percent in enumerate(percents):
            axes = page.axes(row, column, len(percents), len(part), **MARGINS)
            if row == 0:
                axes.set_title(" · ".join(style.param_text(key, rest[key]) for key in differ if key in rest))
            asked = slo if slo and slo.percent == percent else None
            marks |= panel(axes, points, percent, asked, BAND_STEP / height)
            axes.set_ylabel(f"latency, p{percent:g}, log" if column == 0 else "", fontsize=7.5)
            axes.set_xlabel(f"{figures_.UNITS['rate']}, log" if row == len(percents) - 1 else "", fontsize=7.5)
        models |= {cell.model for _, cells in points for cell in cells if cell.latency() or cell.saturated()}
    handles = [figures_.mark(model, *style.look(model)) for model in style.in_order(models)]
    shown = [explained(name) for name in MARKS if name in marks]
    if slo:
        text = f"SLO: p{slo.percent:g} within {figures_.seconds_text(slo.latency_s)}"
        shown.insert(0, figures_.mark(text, style.SLO_COLOUR, linestyle=SOLID))
    note = ["From when an event was to be sent until it was counted, of all samples together.",
            *without_latency(cell for _, points in part for _, cells in points for cell in cells)]
    page.finish(handles, " ".join(note), shown)
    return page.figure


def fallen(points):
    """{model: rates at which it fell behind}."""
    behind = {}
    for x, cells in points:
        for cell in cells:
            if cell.saturated():
                behind.setdefault(cell.model, []).append(x)
    return behind


def panel(axes, points, percent, slo, band_row):
    """Draws a line per model, and above them those that fell behind, each in a row of `band_row` of the height; returns which of
    MARKS are there."""
    series, behind, marks = {}, fallen(points), set()
    for x, cells in points:
        for cell in cells:
            latency = cell.latency()
            seconds = results_.percentile(latency, percent) if latency else None
            # Where a model has no latency, its line is broken.
            series.setdefault(cell.model, []).append((x, seconds or math.nan, cell))
    for model in style.in_order(series):
        colour, _, dash = style.look(model)
        axes.plot([x for x, _, _ in series[model]], [y for _, y, _ in series[model]], color=colour, linestyle=dash, zorder=3)
        for x, y, cell in series[model]:
            if not math.isnan(y):
                marks |= dot(axes, x, y, cell, percent)
    if slo:
        axes.axhline(slo.latency_s, color=style.SLO_COLOUR, linewidth=1, zorder=2)
    values = [y for line in series.values() for _, y, _ in line if not math.isnan(y)] + ([slo.latency_s] if slo else [])
    band(axes, behind, band_row)
    scale(axes, values, len(behind) * band_row)
    figures_.scale_parameter(axes, "rate", [x for x, _ in points], log=True)
    return marks | ({"saturated"} if behind else set())


def dot(axes, x, y, cell, percent):
    """Draws a point of a line, hollow if too few latencies stand behind it, and in a ring if the generator was late; returns
    which of MARKS it has."""
    colour, marker, _ = style.look(cell.model)
    few, late = not results_.is_sure(cell.latency(), percent), cell.generator_late()
    axes.plot([x], [y], color=colour, marker=marker, markerfacecolor="white" if few else colour, markeredgewidth=1.2,
              linestyle="", zorder=4)
    if late:
        axes.plot([x], [y], color=RING_COLOUR, marker="o", markersize=RING, markerfacecolor="none", markeredgewidth=0.7,
                  linestyle="", zorder=5)
    return {name for name, here in (("few", few), ("late", late)) if here}


def explained(name):
    """One of MARKS, for the legend."""
    text, marker, size = MARKS[name]
    mark = figures_.mark(text, marker=marker, size=size)
    mark.set_markerfacecolor("none")
    return mark


def band(axes, behind, row):
    """Draws the band of {model: rates at which it fell behind} along the upper edge, `row` of the height to each."""
    share = row * len(behind)
    axes.add_patch(Rectangle((0, 1 - share), 1, share, transform=axes.transAxes, color=style.BAND_COLOUR, linewidth=0,
                             zorder=1.5))  # over the grid
    for index, model in enumerate(style.in_order(behind)):
        axes.plot(behind[model], [1 - (index + 0.5) * row] * len(behind[model]), color=style.look(model)[0], marker="^",
                  markerfacecolor="none", markeredgewidth=1.1, linestyle="", transform=axes.get_xaxis_transform(), zorder=4)


def scale(axes, values, band_share=0.0):
    """A log y axis for latencies `values`, all of them below the upper `band_share` of its height."""
    axes.tick_params(labelsize=7.5)
    axes.set_yscale("log")
    if not values:
        axes.yaxis.set_major_locator(ticker.NullLocator())
        return
    low, high = min(values) / 1.6, max(values) * 1.6
    axes.set_ylim(low, low * (high / low) ** (1 / (1 - band_share)))
    steps = (1,) if style.spans_decades(values) else (1, 2, 5)
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)))
    # None in the band above, where there is no latency to be read off.
    ticks = [step * 10**n for n in decades for step in steps]
    axes.yaxis.set_major_locator(ticker.FixedLocator([y for y in ticks if low <= y <= high]))
    axes.yaxis.set_minor_locator(ticker.NullLocator())
    axes.yaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: figures_.seconds_text(value)))


# ---- all percentiles ----


def spectra(stream, params, cells, caption):
    """A pair of lines per model: latency at every percentile, corrected and uncorrected."""
    page = figures_.Page(figures_.WIDTHS[1], 3.6, caption, f"Latency by percentile: {stream} stream",
                         " · ".join(style.param_text(key, value) for key, value in params.items()))
    axes = page.axes(0, 0, 1, 1, **{**MARGINS, "top": 0.1})
    known = {cell.model: cell for cell in cells if cell.latency()}
    drawn = [known[model] for model in style.in_order(known)]
    read = []
    for index, cell in enumerate(drawn):
        # Each model's marks stand a little further along than those of the one before.
        first = results_.SPECTRUM_POINTS * index // len(drawn)
        for key, dash in (("latency", SOLID), ("latency_uncorrected", DASHED)):
            read += curve(axes, cell.model, results_.spectrum(cell.latency(key) or {}), dash, first)
    scale(axes, [y for x, y in read if x >= LEAST_X])
    scale_percentiles(axes, max((x for x, _ in read), default=1))
    axes.set_xlabel("percentile", fontsize=7.5)
    axes.set_ylabel("latency, log", fontsize=7.5)
    handles = [figures_.mark(cell.model, style.look(cell.model)[0], style.look(cell.model)[1], SOLID) for cell in drawn]
    marks = [figures_.mark("from when it was to be sent", linestyle=SOLID),
             figures_.mark("uncorrected: from when it was sent", linestyle=DASHED)]
    note = ["Thin lines: fewer latencies than the percentile takes.",
            f"Lines end where {results_.LEAST_BEYOND} latencies lie beyond."]
    late = [cell for cell in drawn if cell.generator_late()]
    if late:
        note.append(f"Generator late ({LATE_TEXT}), so not the latency of the model alone: {names(late)}.")
    behind = [cell for cell in cells if cell.saturated()]
    if behind:
        note.append(f"Saturated, fell behind the rate, and so without latency: {names(behind)}.")
    page.finish(handles, " ".join(note + without_latency(cells)), marks)
    return page.figure


def names(cells):
    """The models of `cells` in a list to be read."""
    return ", ".join(style.in_order(cell.model for cell in cells))


def curve(axes, model, points, dash, first):
    """Draws (1 / (1 - p), seconds, whether sure) as a line, thin from where it is not sure, with marks from the point `first` on
    if it is solid; returns its points."""
    colour, marker, _ = style.look(model)
    sure = sum(point[2] for point in points)
    xs, ys = [x for x, _, _ in points], [y for _, y, _ in points]
    axes.plot(xs[:sure], ys[:sure], color=colour, linestyle=dash, zorder=3)
    axes.plot(xs[max(sure - 1, 0) :], ys[max(sure - 1, 0) :], color=colour, linestyle=dash, linewidth=0.7, zorder=3)
    if dash == SOLID:
        step = results_.SPECTRUM_POINTS
        axes.plot(xs[first::step], ys[first::step], color=colour, marker=marker, linestyle="", zorder=4)
    return list(zip(xs, ys))


def scale_percentiles(axes, most):
    """An x axis of 1 / (1 - p) up to `most`, at which percentiles p are written."""
    axes.set_xscale("log")
    axes.set_xlim(LEAST_X, max(most, 10) * 1.1)
    nines = [10**n for n in range(1, math.floor(math.log10(max(most, 10)) + 1e-9) + 1)]
    axes.xaxis.set_major_locator(ticker.FixedLocator([2, *nines]))
    axes.xaxis.set_major_formatter(ticker.FuncFormatter(lambda x, _: f"{100 - 100 / x:.10g}%"))
    axes.xaxis.set_minor_locator(ticker.NullLocator())
