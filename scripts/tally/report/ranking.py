"""The groups of a result as the table of `tally run` has them: order, ranks, leads and marks. Keep equal to bench/output/table.cpp."""

import dataclasses
import math

from tally import results as results_

LIMIT = "limit"  # the ceiling, and no model to choose
NOTHING, NOT_SAID = "none of what was measured", "not said"  # as files say that nothing limited a cell; where they do not say
SEARCH_RESOLUTION = 1.05  # to which each of two rates that were searched for is known. Keep equal to bench/campaign/slo_search.hpp


@dataclasses.dataclass
class Row:
    """A cell in its group. `rank` is None where it has none; `shared` is that of the row above."""

    cell: results_.Cell
    rank: int | None = None
    shared: bool = False
    to_sequential: results_.Interval | None = None
    marks: list = dataclasses.field(default_factory=list)

    @property
    def rank_text(self):
        return f"{self.rank}{'=' if self.shared else ''}" if self.rank else ""


@dataclasses.dataclass
class Group:
    """Cells that differ in nothing but the model; ranked ones first, best first, `limit` last."""

    stream: str
    params: dict
    rows: list
    slo: results_.Slo | None = None  # what was searched for: then each model is at a rate of its own, the highest that keeps it
    lead: results_.Interval | None = None  # of the first over the next, round by round
    separated: bool = False  # whether the first leads
    why_not: str = ""  # why it does not although the interval of its lead excludes 1
    without_rate: list = dataclasses.field(default_factory=list)  # (model, why): those that keep the SLO at no rate

    @property
    def at_rate(self):
        """Whether a rate was given: then throughput is that rate, and ranks nobody."""
        return not self.slo and math.isfinite(self.params.get("rate", math.inf))

    def ranked(self):
        return [row for row in self.rows if row.rank]

    def first(self):
        """The rows that share the first rank."""
        return [row for row in self.rows if row.rank == 1]


def whole(results):
    """The results with a grain of 0 spelt out, which names on lookup and ingest leave out, where there is another."""
    grained = {cell.stream for cell in results.cells if "grain" in cell.params}
    cells = [dataclasses.replace(cell, params={**cell.params, "grain": 0.0}) if cell.stream in grained and "grain" not in cell.params
             else cell for cell in results.cells]
    return dataclasses.replace(results, cells=cells)


def groups(results):
    """The groups of all streams, in the order of the file."""
    context, results = results.context, whole(results)
    slo, searches = results_.slo(context), searches_of(context)
    found = []
    for stream in results.streams():
        sought = slo if stream == "ingest" and searches else None
        # What was searched for is compared although each has a rate of its own.
        compared = without_rates(results) if sought else results
        for params, cells in compared.groups(stream):
            group = Group(stream, params, [], sought)
            by_model = {search["model"]: search for search in searches if sought and fits(search, params)}
            group.rows = [Row(cell, marks=marks(cell, by_model.get(cell.model, {}))) for cell in in_order(cells)]
            group.without_rate = [(model, no_rate(search)) for model, search in by_model.items() if "rate_per_s" not in search]
            rank(group, by_model)
            found.append(group)
    return found


def searches_of(context):
    """How each cell's rate was found, of a campaign that searched for it."""
    slo = context.get("slo")
    searches = slo.get("searches") if isinstance(slo, dict) else None
    return [search for search in searches or [] if isinstance(search, dict) and "model" in search and "cell" in search]


def without_rates(results):
    """The results as if no cell had a rate."""
    cells = [dataclasses.replace(cell, params={key: value for key, value in cell.params.items() if key != "rate"})
             for cell in results.cells]
    return dataclasses.replace(results, cells=cells)


def fits(search, params):
    """Whether the cell that a search was for is of the group with these parameters."""
    _, model, own = results_.parse_name(search["cell"])
    ignored = {"rate", *(results_.SEQUENTIAL_IGNORES if model == results_.SEQUENTIAL else ())}
    return all(own.get(key, 0 if key == "grain" else None) == value for key, value in params.items() if key not in ignored)


def no_rate(search):
    """Why a search found no rate: what happened at the lowest that was tried."""
    probes = search.get("probes")
    if not probes:
        return "not searched"
    lowest = min(probes, key=lambda probe: probe["rate_per_s"])
    what = ("it failed: " + lowest["failure"] if lowest.get("failure") else "it fell behind" if lowest["saturated"]
            else f"it was {1e3 * lowest.get('latency_s', 0):.3g} ms")
    return f"at no rate: at {lowest['rate_per_s']:,.0f} events/s {what}"


def in_order(cells):
    """Models by throughput, the best first; then those without a figure, then `limit`."""
    def place(cell):
        rate = cell.interval(results_.throughput)
        return (cell.model == LIMIT, -rate.median if rate else 1)

    return sorted(cells, key=place)


def ratio(one, other):
    """The ratio of two cells' throughputs, round by round; None where they have no round in common."""
    if one.failure or other.failure:
        return None
    rounds = [{sample["round"]: results_.throughput(sample) for sample in cell.samples if "round" in sample} for cell in (one, other)]
    return results_.ratio_by_round(*rounds)


def separates(interval, slo=None, luck=0):
    """Whether the interval of a ratio excludes 1, with the confidence claimed: too few rounds separate nothing. Rates that were
    searched for are known to 5% each, however steadily a model then keeps its own; and of lookups, a lead below the `luck` of
    their waits (Cell.luck_of_waits()) is none."""
    known_to = SEARCH_RESOLUTION**2 if slo else 1 + luck
    return interval is not None and interval.holds and (interval.low > known_to or interval.high < 1 / known_to)


def digits(ratio_):
    """A ratio, with as many digits as tell it from 1."""
    return f"{ratio_:.3f}" if ratio_ < 2 else f"{ratio_:#.3g}".rstrip(".") if ratio_ < 1000 else f"{ratio_:,.0f}"


def times(ratio_):
    return f"{digits(ratio_)}x"


def with_ends(found):
    """A ratio with its interval: 1.004 [0.998, 1.011]; of too few rounds for one, with their number."""
    return digits(found.median) + (f" [{digits(found.low)}, {digits(found.high)}]" if found.holds else f" (n={found.n})")


def rank(group, searches):
    """Gives the rows of `group` their ranks and ratios."""
    ranked = [] if group.at_rate else [row for row in group.rows if row.cell.model != LIMIT and row.cell.interval(results_.throughput)]
    sequential = next((row.cell for row in ranked if row.cell.model == results_.SEQUENTIAL), None)
    above = None
    for place, row in enumerate(ranked, 1):
        between = ratio(above.cell, row.cell) if above else None
        # The rate of one whose generator was the limit is the least that it keeps: it is below nobody's for certain.
        may_be_more = searches.get(row.cell.model, {}).get("generator_limited", False)
        luck = above.cell.luck_of_waits() if above else 0
        row.shared = above is not None and not (separates(between, group.slo, luck) and not may_be_more)
        row.rank = above.rank if row.shared else place
        if place == 2:
            group.lead, group.separated = between, not row.shared
            if row.shared and separates(between):
                group.why_not = (f"{row.cell.model} may keep more than the load generator could send" if may_be_more
                                 else "each of the two rates is known to 5% only" if group.slo
                                 else f"the waits drawn may have made {luck:.1%} of that")
        above = row
    for row in group.rows if sequential else ():
        row.to_sequential = ratio(row.cell, sequential)


def marks(cell, search):
    """The marks of a cell: (mark, what it says)."""
    if cell.failure:
        return []
    found = []
    if cell.external():
        found.append(("ext", "a program of its own (--external)"))
    if not cell.converged:
        found.append(("~", "the interval is wider than was asked for, or of too few samples"))
    if cell.saturated():
        found.append(("SAT", "fell behind the rate that was offered, and so has no latency"))
    if search.get("generator_limited"):
        found.append((">=", "the load generator could send no more on time: the model may keep more"))
    if search.get("kept_in_rounds") is False:
        found.append(("SLO", "the objective was kept when the rate was verified, but not over all rounds"))
    if cell.generator_late():
        found.append(("late", f"the load generator was late by more than {1e3 * results_.ON_TIME_S:g} ms (p99): not the model's latency alone"))
    if limited_by(cell) == "service":
        found.append(("service", "the lookup service was saturated: such rows do not compare models"))
    outliers = results_.finite(cell.aggregates.get("median", {}), "outliers")
    if outliers:
        found.append((f"o{outliers:.0f}", "so many samples are far from the others (Tukey); they are counted in"))
    return found


def limited_by(cell):
    """What limited the cell, as the file has it; "" where nothing that was measured did."""
    said = cell.aggregates.get("median", {}).get("limited_by", NOT_SAID)
    return "" if cell.failure or said == NOTHING else str(said)
