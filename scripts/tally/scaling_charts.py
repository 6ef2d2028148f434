"""Tally's figures of scaling over the ranks of MPI jobs, from results to matplotlib figures. Nothing here reads or writes files."""

from tally import charts as figures_
from tally import results as results_
from tally import scaling
from tally import style

PANEL_HEIGHT = 1.9  # inches
MARGINS = {"left": 0.78, "right": 0.12, "bottom": 0.42, "top": 0.22}
IDEAL = (style.BOUND_COLOUR, "", (0, (1, 2)))
LAW_DASH = (0, (2, 1.2))
TITLES = {"weak": "Weak scaling", "strong": "Strong scaling"}
NOTES = {"weak": "Events grow with ranks.", "strong": "All ranks together have the same events, however many they are."}


def figures(results, caption):
    """Yields (file stem, Figure) where `results` have several numbers of ranks; `caption(stream)` gives the paragraphs under each."""
    kind = results.context.get("factors", {}).get("scaling")
    for stream in results.streams():
        facets = facets_of(results, stream)
        for page, part in figures_.pages(facets, figures_.FACETS_PER_PAGE):
            yield f"{stream}-scaling{page}", against_ranks(stream, facets, part, kind, caption(stream))


def facets_of(results, stream):
    """Groups that differ in the number of ranks alone, and that of their hosts, as tally_figures.facets_against() has them."""
    groups = []
    for params, cells in results.groups(stream):
        if "ranks" in params and any(not cell.failure for cell in cells):
            groups.append(({key: value for key, value in params.items() if key != "hosts"}, cells))
    return [(rest, points) for rest, points in figures_.facets_against(groups, "ranks") if len(points) > 1]


def series_of(points, metric):
    """{model: [(ranks, Interval, converged), ...]} of what `metric` gives."""
    found = {}
    for ranks, cells in points:
        for cell in cells:
            if interval := cell.interval(metric):
                found.setdefault(cell.model, []).append((ranks, interval, cell.converged))
    return found


def against_ranks(stream, facets, part, kind, caption):
    """A column per facet of `part`: throughput with the ideal and the fitted law, and the share of merging; a line per model."""
    differ, same = figures_.varying(facets)
    page = figures_.Page(figures_.WIDTHS[len(part)], 2 * (PANEL_HEIGHT + MARGINS["bottom"]), caption,
                         f"{TITLES.get(kind, 'Scaling')} over ranks: {stream} stream", same)
    models, laws = set(), {}
    for column, (rest, points) in enumerate(part):
        axes = page.axes(0, column, 2, len(part), **MARGINS)
        axes.set_title(style.params_text(rest, differ))
        series = series_of(points, results_.throughput)
        models |= set(series)
        draw_throughput(axes, series, laws if len(part) == 1 else {})
        axes.set_ylabel("events/s" if column == 0 else "", fontsize=7.5)
        below = page.axes(1, column, 2, len(part), **MARGINS)
        draw_share(below, series_of(points, scaling.merge_share))
        below.set_ylabel("share of merging" if column == 0 else "", fontsize=7.5)
        below.set_xlabel("ranks", fontsize=7.5)
    handles = [figures_.mark(model, *style.look(model)) for model in style.in_order(models)]
    handles += [figures_.mark("ideal: as many times one rank", *IDEAL),
                figures_.mark("fitted law (Gunther's)", "#555555", "", LAW_DASH)]
    note = [NOTES.get(kind, ""), "Bars: 95% interval of the median.", *figures_.unconverged(point for _, points in part for point in points)]
    if laws:
        note.append("Fitted contention: " + "; ".join(f"{model} {100 * laws[model].contention:.2g}%" for model in style.in_order(laws)) + ".")
    page.finish(handles, " ".join(part for part in note if part))
    return page.figure


def draw_throughput(axes, series, laws):
    """Lines of models, each with its ideal and its law, which is put into `laws` too."""
    ends, ranks = [], sorted({x for points in series.values() for x, _, _ in points})
    for model in style.in_order(series):
        colour, marker, _ = style.look(model)
        points = series[model]
        draw_points(axes, points, colour, marker)
        first, alone, _ = points[0]
        ideal = [alone.median * x / first for x in ranks]
        axes.plot(ranks, ideal, color=IDEAL[0], linestyle=IDEAL[2], linewidth=1, zorder=1)
        ends += ideal + [alone.median]
        if law := scaling.fit([(x, interval.median) for x, interval, _ in points]):
            steps = [ranks[0] + (ranks[-1] - ranks[0]) * step / 60 for step in range(61)]
            axes.plot(steps, [law.throughput(x) for x in steps], color=colour, linestyle=LAW_DASH, zorder=2)
            laws[model] = law
        ends += [end for _, interval, _ in points for end in (interval.low, interval.median, interval.high) if end is not None]
    figures_.scale(axes, "y", ends, figures_.THROUGHPUT)
    figures_.scale_parameter(axes, "ranks", ranks)


def draw_points(axes, points, colour, marker):
    """Medians with their intervals, hollow where these are wider than was asked for."""
    for x, interval, converged in points:
        if interval.low is not None:
            axes.plot([x, x], [interval.low, interval.high], color=colour, linewidth=2.6, alpha=0.45, zorder=2)
        axes.plot([x], [interval.median], color=colour, marker=marker, markerfacecolor=colour if converged else "white",
                  markeredgewidth=1.2, linestyle="", zorder=4)


def draw_share(axes, series):
    """Of a sample's time, what was merging, from none to all of it."""
    for model in style.in_order(series):
        colour, marker, dash = style.look(model)
        axes.plot([x for x, _, _ in series[model]], [interval.median for _, interval, _ in series[model]], color=colour, linestyle=dash,
                  zorder=3)
        draw_points(axes, series[model], colour, marker)
    axes.set_ylim(0, 1)
    axes.yaxis.set_major_formatter(lambda value, _: figures_.percent_text(value))
    axes.tick_params(labelsize=7.5)
    figures_.scale_parameter(axes, "ranks", sorted({x for points in series.values() for x, _, _ in points}))
