"""Tally's figures, from results to matplotlib figures. Nothing here reads or writes files."""

import math
import textwrap

import matplotlib

matplotlib.use("Agg")

from matplotlib import ticker  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402
from matplotlib.lines import Line2D  # noqa: E402

from tally import results as results_  # noqa: E402
from tally import style  # noqa: E402

AXES = ("workers", "grain", "batch", "wait", "in_flight", "connections", "rate")
UNITS = {"workers": "workers", "grain": "grain, CPU time per event", "batch": "batch, events per task",
         "wait": "mean wait per event", "in_flight": "in-flight, events waiting at once", "connections": "connections",
         "rate": "offered rate, events/s"}
MEMORY_AXES = ("in_flight", "connections")  # what holds memory while it waits
OTHER_ENDS = {"ingest": "load generator"}  # whose CPU time is not the model's, where it is not the lookup service's
PANELS_PER_PAGE = 12
FACETS_PER_PAGE = 3
WIDTHS = {1: 6.4, 2: 8.2, 3: 10.6}  # inches, by facets on a page
TITLE_SIZE = 11
CAPTION_SIZE = 7
UNCONVERGED = "Hollow marks: the interval did not get as narrow as was asked for."


def figures(results, caption):
    """Yields (file stem, Figure) of everything that `results` hold; `caption(stream)` gives the paragraphs under each."""
    for stream in results.streams():
        if not results.drawn(stream):
            continue
        below = caption(stream)
        groups = [(params, cells) for params, cells in results.groups(stream) if any(not c.failure for c in cells)]
        for page, part in pages(groups, PANELS_PER_PAGE):
            yield f"{stream}-throughput{page}", bars(stream, groups, part, THROUGHPUT, below)
        for page, part in pages(groups, PANELS_PER_PAGE):
            if any(cell.interval(results_.cpu_per_event) for _, cells in part for cell in cells):
                yield f"{stream}-cpu-time{page}", bars(stream, groups, part, CPU_TIME, below)
        for axis in AXES:
            yield from sweeps(stream, groups, axis, below)


def pages(items, size):
    """Yields (suffix of the file name, part of `items`), at most `size` of them a page."""
    for start in range(0, len(items), size):
        yield (f"-{start // size + 1}" if len(items) > size else ""), items[start : start + size]


class Metric:
    """What is drawn: `value` reads it from a sample, `text` writes it, `share` is written behind it, if any."""

    def __init__(self, title, label, value, text, bound=None, share=None, note=""):
        self.title, self.label, self.value, self.text = title, label, value, text
        self.bound, self.share, self.note = bound, share, note


def rate_text(value):
    return f"{style.engineering(value)}/s"


def percent_text(value):
    return f"{100 * value:.0f} %" if value >= 0.1 else f"{style.digits(100 * value, 2)} %"


def seconds_text(value):
    return style.engineering(value, "s")


THROUGHPUT = Metric("Throughput", "events/s", results_.throughput, rate_text, results_.bound, results_.efficiency,
                    "Right of each row: the median, and its share of the cell's own bound (one worker for sequential).")
EFFICIENCY = Metric("Efficiency", "throughput / bound", results_.efficiency, percent_text)
EFFICIENCY_LEVELS = (0.5, 0.9)  # at which METG is told
CPU_TIME = Metric("CPU time per event", "CPU time per event", results_.cpu_per_event, seconds_text,
                  note="All threads and child processes of the model, start-up included; the {other_end} is not.")
MEMORY = Metric("Peak memory", "resident memory at its peak", results_.peak_memory, style.bytes_text)


def varying(groups):
    """Parameters that differ between groups, and those that do not as text."""
    keys = list(dict.fromkeys(key for params, _ in groups for key in params))
    differ = [key for key in keys if len({params.get(key) for params, _ in groups}) > 1]
    same = [style.param_text(key, groups[0][0][key]) for key in keys if key not in differ and key in groups[0][0]]
    return differ, " · ".join(same)


# ---- one row per model, one panel per group ----


def bars(stream, groups, part, metric, caption):
    """A panel per group of `part` with a row per model: median, interval, bound."""
    differ, same = varying(groups)
    models = style.in_order(cell.model for _, cells in groups for cell in cells)
    columns = 1 if len(part) == 1 else 2
    rows = -(-len(part) // columns)
    panel_height = 0.30 + 0.24 * len(models)
    page = Page(8.6 if columns == 2 else 6.4, rows * (panel_height + 0.52), caption,
                f"{metric.title}: {stream} stream", same)
    for index, (params, cells) in enumerate(part):
        axes = page.axes(index // columns, index % columns, rows, columns, left=1.15, right=1.15, bottom=0.42, top=0.30,
                         share_left=True)
        axes.set_title(style.params_text(params, differ))
        panel(axes, {cell.model: cell for cell in cells}, models, metric)
        if index % columns:
            axes.set_yticklabels([])
    handles = [mark("median", marker="o"), mark("95% interval", linestyle="-")]
    if metric.bound:
        handles.append(mark("bound: the most that any model could reach", marker="|", size=11))
    note = metric.note.format(other_end=OTHER_ENDS.get(stream, "lookup service"))
    page.finish(handles, " ".join([note, *unconverged(part)]).strip())
    return page.figure


def unconverged(groups):
    """The note on hollow marks, as a list, if any cell of `groups` has one."""
    return [UNCONVERGED] if any(not cell.failure and not cell.converged for _, cells in groups for cell in cells) else []


def panel(axes, cells, models, metric):
    axes.set_ylim(len(models) - 0.4, -0.6)
    axes.set_yticks(range(len(models)), models)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="y", visible=False)
    drawn = []
    for row, model in enumerate(models):
        cell = cells.get(model)
        found = cell.interval(metric.value) if cell else None
        at_right = dict(transform=axes.get_yaxis_transform(), va="center", fontsize=7.5)
        if not found:
            axes.text(1.02, row, "no figure" if cell and cell.failure else "–", color="#777777", **at_right)
            continue
        colour, marker, _ = style.look(model)
        ceiling = cell.interval(metric.bound) if metric.bound else None
        if ceiling:
            axes.plot([ceiling.median], [row], marker="|", markersize=12, color=style.BOUND_COLOUR, zorder=2)
            drawn.append(ceiling.median)
        if found.low is not None:
            axes.plot([found.low, found.high], [row, row], color=colour, linewidth=2.2, solid_capstyle="butt", zorder=3)
            drawn += [found.low, found.high]
        face = colour if cell.converged else "white"
        axes.plot([found.median], [row], marker=marker, color=colour, markerfacecolor=face, markeredgewidth=1.2, zorder=4)
        drawn.append(found.median)
        share = cell.interval(metric.share) if metric.share else None
        axes.text(1.02, row, metric.text(found.median) + (f" · {percent_text(share.median)}" if share else ""), **at_right)
    scale(axes, "x", drawn, metric)
    axes.set_xlabel(metric.label + (", log" if axes.get_xscale() == "log" else ""), fontsize=7.5)


# ---- lines against a parameter ----


def facets_against(groups, axis):
    """Groups that differ in `axis` alone, as (their other parameters, [(value of `axis`, cells), ...] by value). As many events
    as are taken is no value of a rate."""
    facets = {}
    for params, cells in groups:
        if math.isfinite(params.get(axis, math.inf)):
            rest = tuple((key, value) for key, value in params.items() if key != axis)
            facets.setdefault(rest, []).append((params[axis], cells))
    return [(dict(rest), sorted(points, key=lambda point: point[0])) for rest, points in facets.items()]


def sweeps(stream, groups, axis, caption):
    """Yields figures of everything against `axis`, if it has two values or more."""
    concurrent = [params for params, cells in groups
                  if any(cell.model != results_.SEQUENTIAL and not cell.failure for cell in cells)]
    if len({params[axis] for params in concurrent if axis in params}) < 2:
        return
    facets = [(rest, points) for rest, points in facets_against(groups, axis) if len(points) > 1]
    spelt = axis.replace("_", "-")
    # At a rate, throughput is what was offered, and only CPU time says what more connections cost.
    at_rate = [facet for facet in facets if axis == "connections" and math.isfinite(facet[0].get("rate", math.inf))]
    wanted = [(f"by-{spelt}", [THROUGHPUT, EFFICIENCY, CPU_TIME], [facet for facet in facets if facet not in at_rate]),
              (f"cpu-time-by-{spelt}", [CPU_TIME], at_rate),
              # As Task Bench draws it: where a line crosses 50%, and stays above, is METG(50%).
              (f"efficiency-by-{spelt}", [EFFICIENCY], facets if axis == "grain" and stream == "cpu" else []),
              ("memory", [MEMORY], facets if axis in MEMORY_AXES else [])]
    for stem, metrics, columns in wanted:
        for page, part in pages(columns, FACETS_PER_PAGE):
            known = [metric for metric in metrics if any(
                cell.interval(metric.value) for _, points in part for _, cells in points for cell in cells)]
            if known:
                yield f"{stream}-{stem}{page}", lines(stream, columns, part, axis, known, caption)


def lines(stream, facets, part, axis, metrics, caption):
    """A column per facet of `part`, a row per metric, a line per model."""
    differ, same = varying(facets)
    height = 1.9 if len(metrics) > 1 else 3.0
    title = "Throughput, efficiency and CPU time" if len(metrics) > 1 else metrics[0].title
    page = Page(WIDTHS[len(part)], len(metrics) * height, caption,
                f"{title} against {axis.replace('_', '-')}: {stream} stream", same)
    models = set()
    for column, (rest, points) in enumerate(part):
        if len(metrics) == 1:  # no row above or below needs the place of what has no figure
            points = [(x, cells) for x, cells in points if any(cell.interval(metrics[0].value) for cell in cells)]
        for row, metric in enumerate(metrics):
            axes = page.axes(row, column, len(metrics), len(part), left=0.78, right=0.12, bottom=0.42, top=0.22)
            if row == 0:
                axes.set_title(style.params_text(rest, differ))
            models |= curves(axes, points, axis, metric)
            axes.set_ylabel(metric.label if column == 0 else "", fontsize=7.5)
            axes.set_xlabel(UNITS[axis] if row == len(metrics) - 1 else "", fontsize=7.5)
    handles = [mark(model, *style.look(model)) for model in style.in_order(models)]
    if THROUGHPUT in metrics:
        handles.append(mark("bound", style.BOUND_COLOUR, "", (0, (1, 2))))
    sequential = results_.SEQUENTIAL in models and axis in results_.SEQUENTIAL_IGNORES
    note = "Bars: 95% interval of the median."
    if sequential:
        note += f" sequential is drawn across: it has 1 {'worker' if axis == 'workers' else 'event in flight'} always."
    page.finish(handles, " ".join([note, *unconverged(point for _, points in part for point in points)]))
    return page.figure


def curves(axes, points, axis, metric):
    """Draws a line per model, and returns the models drawn."""
    found, ceilings = {}, {}
    for x, cells in points:
        for cell in cells:
            interval = cell.interval(metric.value)
            if interval:
                found.setdefault(cell.model, []).append((x, interval, cell.converged))
            ceiling = cell.interval(metric.bound) if metric.bound and cell.model != results_.SEQUENTIAL else None
            if ceiling:
                ceilings[x] = max(ceilings.get(x, 0), ceiling.median)
    if ceilings:
        axes.plot(*zip(*sorted(ceilings.items())), color=style.BOUND_COLOUR, linewidth=2.4, linestyle=(0, (1, 2)), zorder=1)
    xs = [x for x, _ in points]
    across = results_.SEQUENTIAL if axis in results_.SEQUENTIAL_IGNORES else None
    for model in style.in_order(found):
        colour, marker, dash = style.look(model)
        series = found[model]
        medians = [interval.median for _, interval, _ in series]
        for x, interval, _ in series if model != across else ():
            if interval.low is not None:
                axes.plot([x, x], [interval.low, interval.high], color=colour, linewidth=2.6, alpha=0.45, zorder=2)
        if model == across:
            axes.axhline(medians[0], color=colour, linestyle=dash, zorder=2)
            continue
        axes.plot([x for x, _, _ in series], medians, color=colour, linestyle=dash, marker="", zorder=3)
        for (x, _, converged), y in zip(series, medians):
            axes.plot([x], [y], color=colour, marker=marker, markerfacecolor=colour if converged else "white",
                      markeredgewidth=1.2, linestyle="", zorder=4)
    ends = [end for series in found.values() for _, interval, _ in series
            for end in (interval.low, interval.median, interval.high) if end is not None]
    scale(axes, "y", ends + list(ceilings.values()), metric)
    scale_parameter(axes, axis, xs)
    return set(found)


# ---- axes ----


def scale(axes, which, values, metric):
    """Log where `values` span decades, else linear from 0; ticks with units."""
    set_scale = axes.set_xscale if which == "x" else axes.set_yscale
    set_limits = axes.set_xlim if which == "x" else axes.set_ylim
    target = axes.xaxis if which == "x" else axes.yaxis
    values = [value for value in values if value > 0]
    if not values:
        return
    if metric is EFFICIENCY and which == "y":
        set_limits(0, max(1.05, max(values) * 1.02))
        target.set_major_locator(ticker.FixedLocator([0, 0.25, *EFFICIENCY_LEVELS, 0.75, 1]))
    elif style.spans_decades(values):
        set_scale("log")
        set_limits(min(values) / 1.5, max(values) * 1.5)
        target.set_major_locator(ticker.LogLocator(numticks=5))
        target.set_minor_formatter(ticker.NullFormatter())
    else:
        set_limits(0, max(values) * 1.06)
        unit = 1024 ** int(math.log(max(values), 1024)) if metric is MEMORY else 1
        nice = ticker.MaxNLocator(4, steps=[1, 2, 2.5, 5, 10]).tick_values(0, max(values) / unit)
        target.set_major_locator(ticker.FixedLocator([value * unit for value in nice]))
    target.set_major_formatter(ticker.FuncFormatter(lambda value, _: metric.text(value)))
    axes.tick_params(labelsize=7.5)


def scale_parameter(axes, axis, xs, log=False):
    """The x axis of a sweep, log where the values span decades or `log` asks for it: a tick at every measured value that has
    room."""
    xs = sorted(set(xs))
    positive = [x for x in xs if x > 0]
    if log or style.spans_decades(xs) or (0 in xs and len(positive) > 1 and positive[-1] / positive[0] >= 10):
        if 0 in xs:
            # 0 has no place on a log axis: it stands one step left of the least.
            axes.set_xscale("symlog", linthresh=positive[0], linscale=0.5)
        else:
            axes.set_xscale("log")
            axes.set_xlim(xs[0] / 1.3, xs[-1] * 1.3)
    axes.xaxis.set_major_locator(ticker.FixedLocator(with_room(xs, axes.get_xscale() == "log")))
    axes.xaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: style.value_text(axis, value)))
    axes.xaxis.set_minor_locator(ticker.NullLocator())


def with_room(xs, log):
    """Those of the sorted `xs` that a tick has room at: every second, third ... of more than eight; on a log axis, those that are
    no nearer to the one before than an eighth of the axis."""
    if not log:
        return xs[:: -(-len(xs) // 8)]
    least = (xs[-1] / xs[0]) ** (1 / 8)
    kept = xs[:1]
    for x in xs[1:]:
        if x / kept[-1] >= least:
            kept.append(x)
    return kept


# ---- pages ----


def mark(label, colour="#555555", marker="", linestyle="", size=5):
    return Line2D([], [], color=colour, marker=marker, linestyle=linestyle or "none", label=label, markersize=size)


class Page:
    """A figure with a title above, a legend and the caption below, laid out in inches so that nothing overlaps whatever the
    number of panels."""


    def __init__(self, width, body, caption, title, subtitle):
        self.width, self.body, self.caption = width, body, caption
        self.title, self.subtitle = title, subtitle
        self.foot = 1.0
        self.figure = Figure(figsize=(width, body))
        self.placed = []

    def axes(self, row, column, rows, columns, left, right, bottom, top, share_left=False):
        """Axes in a grid of the body, with margins in inches. With `share_left`, only the first column has a left one."""
        axes = self.figure.add_axes([0, 0, 1, 1], label=f"{row}-{column}")
        first = left - 0.15 if share_left else 0
        cell_width = (self.width - 0.2 - first) / columns
        cell_height = self.body / rows
        inner_left = first + column * cell_width + (0.15 if share_left else left) + 0.05
        inner_width = cell_width - right - (0.15 if share_left else left)
        bottom_up = self.body - (row + 1) * cell_height + bottom
        self.placed.append((axes, inner_left, bottom_up, inner_width, cell_height - bottom - top))
        return axes

    def finish(self, handles, note, marks=()):
        """Writes title, legend of `handles` and under it of `marks`, note and caption, and gives everything its place."""
        characters = int((self.width - 0.3) * 72 / (CAPTION_SIZE * 0.56))
        paragraphs = [note] if note else []
        written = [line for text in paragraphs + self.caption for line in textwrap.wrap(text, characters)]
        columns = len(handles) if any(len(handle.get_label()) > 20 for handle in handles) else int(self.width / 1.25)
        columns = max(1, min(len(handles), columns))
        longest = max((len(handle.get_label()) for handle in marks), default=0)
        mark_columns = max(1, min(len(marks), int(self.width / (0.6 + 0.056 * longest))))
        rows, mark_rows = -(-len(handles) // columns), -(-len(marks) // mark_columns)
        marks_down = 0.145 * rows + 0.06
        legend_height = 0.20 * rows + 0.15 * mark_rows + 0.1
        foot = legend_height + 0.15 + len(written) * CAPTION_SIZE * 1.35 / 72
        height = (0.52 if self.subtitle else 0.34) + self.body + foot
        figure = self.figure
        figure.set_size_inches(self.width, height)
        for axes, left, up, width, tall in self.placed:
            axes.set_position([left / self.width, (foot + up) / height, width / self.width, tall / height])
        figure.text(0.15 / self.width, 1 - 0.12 / height, self.title, weight="bold", va="top",
                    fontsize=min(TITLE_SIZE, (self.width - 0.3) * 72 / (len(self.title) * 0.58)))
        figure.text(0.15 / self.width, 1 - 0.34 / height, self.subtitle, fontsize=8.5, va="top", color="#444444")
        for entries, count, top in ((handles, columns, foot), (marks, mark_columns, foot - marks_down)):
            if entries:
                figure.legend(handles=entries, loc="upper left", ncol=count, fontsize=7.5, handlelength=3.2, columnspacing=1.4,
                              bbox_to_anchor=(0.05 / self.width, top / height), borderpad=0.2)
        figure.text(0.15 / self.width, (foot - legend_height - 0.05) / height, "\n".join(written), fontsize=CAPTION_SIZE,
                    va="top", color="#444444", linespacing=1.25)
