"""What the report says, from results to blocks. A file is a section of its own: figures of different files are never put together."""

import collections
import dataclasses
import itertools
import math
import shlex

import compare
from tally.report import again as again_
from tally.report import blocks
from tally.report import plots
from tally.report import ranking
from tally import charts as figures_
from tally import model_figures as model_figures_
from tally import results as results_
from tally import style
import validate

NAMED_FAILURES = 8
SENTENCES = 8  # groups of a stream that are told one by one; of more, how many went which way
AGAIN_WITH = (results_.SEQUENTIAL, ranking.LIMIT)  # what a cell's ratio and bound are taken from
PERCENTS = (50, 99, 99.9)  # of latencies, as columns


@dataclasses.dataclass
class File:
    """A result file: its name as it was given, its text and its results."""

    path: str
    text: str
    results: results_.Results

    @property
    def context(self):
        return self.results.context


# ---- the whole ----


def section(file, number):
    """The Section of a file, the `number`-th of the report."""
    run = file.context.get("result_id")
    title = " · ".join(str(part) for part in (file.path.rpartition("/")[2], run and f"result {run}", file.context.get("date")) if part)
    return blocks.Section(title, wrong(file), list(parts_of(file, number)))


def parts_of(file, number):
    found = ranking.groups(file.results)
    yield blocks.Heading(3, "Answer", f"answer-{number}")
    yield from answer(file, found)
    yield blocks.Heading(3, "The machine", f"machine-{number}")
    yield from machine(file)
    sets = list(plots.plot_sets(file.results))
    if sets:
        yield blocks.Heading(3, "Plots", f"plots-{number}")
        yield blocks.Plots(sets)
    table = model_figures(file)
    if table:
        yield blocks.Heading(3, "Figures of each model", f"models-{number}")
        yield table
    yield blocks.Heading(3, "All cells", f"cells-{number}")
    yield from (cells(file, stream, [group for group in found if group.stream == stream]) for stream in file.results.streams())
    if file.results.others:
        yield blocks.Heading(3, "Against the other build", f"against-{number}")
        yield against(file)
    yield blocks.Heading(3, "How it was measured", f"measured-{number}")
    yield from measured(file)


# ---- what is wrong ----


def wrong(file):
    """The Alert of a file; None if nothing is wrong with it."""
    lines = []
    broken = collections.defaultdict(list)
    for rule, what in validate.broken(file.text):
        broken[rule].append(what)
    changed = broken.pop("result_id", [])
    lines += [f"CHANGED: {what}" for what in changed]
    failed = [cell for cell in file.results.cells if cell.failure]
    if failed:
        named = "; ".join(f"{cell.name} ({cell.failure})" for cell in failed[:NAMED_FAILURES])
        more = f"; and {len(failed) - NAMED_FAILURES} more" if len(failed) > NAMED_FAILURES else ""
        unverified = sum(cell.failure in ("not verified", "no verified sample") for cell in failed)
        lines.append(f"FAILED: {len(failed)} of {len(file.results.cells)} cells have no figure"
                     + (f", {unverified} of them since they are not verified" if unverified else "") + f": {named}{more}")
    for rule, whats in broken.items():
        more = f"; and {len(whats) - validate.AT_MOST} more" if len(whats) > validate.AT_MOST else ""
        lines.append(f"breaks the rule {rule}: {'; '.join(whats[: validate.AT_MOST])}{more}")
    if file.context.get("unfit"):
        lines.append(f"NOISY: {file.context['unfit']}")
    return blocks.Alert(f"{file.path}: not all is as it should be", lines) if lines else None


def mixed(files):
    """An Alert if `files` are not of one machine, as a list."""
    lines = []
    for key in compare.MACHINE:
        said = {file.path: file.context.get(key, "unknown") for file in files}
        if len({str(value) for value in said.values()}) > 1:
            lines.append(f"{key}: " + "; ".join(f"{path}: {value}" for path, value in said.items()))
    return [blocks.Alert("These files are not of one machine: do not compare figures between them", lines)] if lines else []


# ---- the answer ----


def answer(file, groups):
    for stream in file.results.streams():
        of_stream = [group for group in groups if group.stream == stream]
        for sentence in verdicts(file, of_stream):
            yield blocks.Text(sentence)
    yield blocks.Text(fitness(file.context))
    yield ranks(file, groups)


def rate_text(value):
    return f"{style.engineering(value)} events/s"


def group_text(group):
    """The parameters of a group in words."""
    words = " · ".join(style.param_text(key, value) for key, value in group.params.items())
    if group.slo:
        words += f" · highest rate with p{group.slo.percent:g} within {figures_.seconds_text(group.slo.latency_s)}"
    return words


def listed(models):
    return models[0] if len(models) == 1 else f"{', '.join(models[:-1])} and {models[-1]}"


def verdicts(file, groups):
    """Who leads, in sentences: group by group, or of many groups how often who does."""
    if len(groups) <= SENTENCES:
        return [verdict(file, group) for group in groups]
    ranked = [group for group in groups if group.ranked()]
    alone = collections.Counter(group.first()[0].cell.model for group in ranked if len(group.first()) == 1)
    shared = collections.Counter(row.cell.model for group in ranked if len(group.first()) > 1 for row in group.first())
    text = f"{groups[0].stream}: in {sum(alone.values())} of {len(groups)} groups one model leads alone"
    text += f" ({', '.join(f'{model} {n}' for model, n in alone.most_common())})" if alone else ""
    if shared:
        text += (f"; in {len(ranked) - sum(alone.values())} the first rank is shared "
                 f"({', '.join(f'{model} {n}' for model, n in shared.most_common())})")
    rest = len(groups) - len(ranked)
    return [text + (f"; {rest} have no ranking, at a given rate or for want of figures" if rest else "") + "."]


def verdict(file, group):
    where = f"{group.stream}, {group_text(group)}"
    if group.at_rate:
        return f"{where}: {at_rate(group)}"
    first = group.first()
    if not first:
        return f"{where}: no figure of a model that could be chosen."
    leader = first[0].cell
    speed = leader.interval(results_.throughput)
    share = leader.interval(results_.efficiency)
    text = f"{where}: {listed([row.cell.model for row in first])} "
    if len(group.ranked()) == 1:
        text += "is alone"
    elif len(first) == 1:
        text += f"leads, {ranking.with_ends(group.lead)} times {group.ranked()[1].cell.model}"
    else:
        text += "share the first rank"
        text += f", not separated: {leader.model} is {ranking.with_ends(group.lead)} times {first[1].cell.model}" if group.lead else ", not separated"
        text += f", but {group.why_not}" if group.why_not else ""
    text += f"; {leader.model} reaches {rate_text(speed.median)}"
    text += f", {figures_.percent_text(share.median)} of the bound" if share else ""
    limit = ranking.limited_by(leader)
    return text + ("." if limit == ranking.NOT_SAID else f"; limited by: {limit}." if limit else "; nothing that was measured limited it.")


def at_rate(group):
    """What a group says at a given rate."""
    known, behind = by_latency(group)
    parts = ["throughput is the rate, and ranks nobody"]
    if known:
        parts.append("p99 of latency, which has no interval: " + ", ".join(f"{cell.model} {latency_text(cell, 99)}" for cell in known))
    late = [cell.model for cell in known if cell.generator_late()]
    if late:
        parts.append(f"not the latency of the model alone, since the load generator was late: {listed(late)}")
    if behind:
        parts.append(f"saturated, and without latency: {listed([cell.model for cell in behind])}")
    return "; ".join(parts) + "."


def by_latency(group):
    """The cells of models that could be chosen: those that have a p99, the least first, and those that fell behind the rate."""
    cells_ = [row.cell for row in group.rows if row.cell.model != ranking.LIMIT]
    known = sorted((cell for cell in cells_ if cell_percentile(cell, 99)), key=lambda cell: cell_percentile(cell, 99))
    return known, [cell for cell in cells_ if cell.saturated()]


def cell_percentile(cell, percent):
    latency = cell.latency()
    return results_.percentile(latency, percent) if latency else None


def latency_text(cell, percent):
    """A percentile with `!` where too few latencies stand behind it."""
    seconds = cell_percentile(cell, percent)
    if seconds is None:
        return "saturated" if cell.saturated() else ""
    return figures_.seconds_text(seconds) + ("" if results_.is_sure(cell.latency(), percent) else "!")


def fitness(context):
    """Whether the machine was fit to measure on, as far as the file says."""
    floor = context.get("noise_floor") or {}
    width, asked = results_.finite(floor, "relative_half_width"), results_.finite(context.get("factors") or {}, "ci")
    if context.get("unfit"):
        return f"The machine was not fit for the interval asked for: {context['unfit']}"
    if width is None or len(floor.get("samples", [])) < results_.LEAST_SAMPLES:
        return "Whether the machine was fit is not known: the file has no noise floor of 6 rounds or more."
    wanted = f", within the ±{asked:.1%} asked for" if asked and width <= asked else ""
    return f"The machine: its noise floor was ±{width:.1%}{wanted}; no throughput claims a narrower interval."


def ranks(file, groups):
    """A row for each group."""
    columns = [*blocks.texts("stream", "group", "ranking"), *blocks.numbers("lead of the first [95%]"), *blocks.texts("over"),
               *blocks.numbers("its rate", "of bound"), *blocks.texts("limited by", "run again")]
    note = ("= shares the rank of the one before: the interval of the ratio of the two includes 1 (not separated), or there are too few rounds "
            "(n) for one. Ratios are taken round by round.")
    if any(group.at_rate for group in groups):
        note += (" At a given rate throughput is that rate and ranks nobody, and p99 of latency, which has no interval, stands there; "
                 "! has fewer latencies than that takes, late a load generator that was itself late.")
    return blocks.Table(f"{number_of(len(groups), 'group')}, who is first and by how much", columns, [rank_row(file, group) for group in groups], note)


def rank_row(file, group):
    ranked, first = group.ranked(), group.first()
    speed, share, limit, lead, over = "", "", "", "", ""
    if first:
        leader = first[0].cell
        rate = leader.interval(results_.throughput).median
        speed, share = blocks.Value(rate_text(rate), rate), measured_value(leader, results_.efficiency, figures_.percent_text)
        limit = ranking.limited_by(leader)
    if len(ranked) > 1:
        lead = blocks.Value(ranking.with_ends(group.lead), group.lead.median) if group.lead else "no common round"
        over = ranked[1].cell.model + ("" if group.separated else ", not separated") + (f": {group.why_not}" if group.why_not else "")
    names = [row.cell.name for row in group.rows]
    compared = [row.cell.name for row in ranked[:2]] or names
    return blocks.TableRow([group.stream, group_text(group), ranking_value(group), lead, over, speed, share, limit], group.stream,
                           again=again_.again(file.context, compared, names))


def ranking_value(group):
    """The models of a group with their ranks, or at a rate with their latencies; then those without."""
    parts = [(f"{row.rank_text} {row.cell.model}", row.cell.model) for row in group.ranked()]
    if group.at_rate:
        known, behind = by_latency(group)
        parts = [(f"{cell.model} p99 {latency_text(cell, 99)}{' late' if cell.generator_late() else ''}", cell.model) for cell in known]
        parts += [(f"{cell.model} saturated", cell.model) for cell in behind]
    parts += [(f"– {row.cell.model} (no figure)", row.cell.model) for row in group.rows if row.cell.failure]
    parts += [(f"– {model} ({why})", model) for model, why in group.without_rate]
    return blocks.Value(", ".join(text for text, _ in parts), parts=parts)


# ---- the machine ----


def machine(file):
    context = file.context
    floor = context.get("noise_floor") or {}
    pairs = [("machine", results_.machine(context)), ("host", context.get("host_name")),
             ("memory", style.bytes_text(context["memory_bytes"]) if results_.finite(context, "memory_bytes") else None),
             ("virtualisation", context.get("virtualisation")), ("CPU frequency governor", context.get("governor")),
             ("transparent huge pages", context.get("transparent_huge_pages"))]
    width, spread = results_.finite(floor, "relative_half_width"), results_.finite(floor, "spread")
    if width is not None:
        text = f"±{width:.1%}, of {len(floor.get('samples', []))} rounds"
        text += f"; from least to greatest {spread:.1%}" if spread is not None else ""
        pairs.append(("noise floor", f"{text} (a fixed computation that involves no model)"))
    reads, reads_width = results_.finite(floor, "read_bytes_per_s"), results_.finite(floor, "read_relative_half_width")
    if reads is not None and reads_width is not None:
        pairs.append(("memory is read at", f"{style.bytes_text(reads)}/s ±{reads_width:.1%}"))
    steal = results_.finite(context, "steal_share")
    pairs.append(("steal", f"{steal:.1%}" if steal is not None else context.get("steal_share_absent")))
    for key, what in (("load_avg", "load before"), ("load_avg_after", "load after")):
        if context.get(key):
            pairs.append((what, ", ".join(f"{value:.2f}" for value in context[key])))
    others = context.get("other_processes") or []
    if others:
        pairs.append(("other processes", "; ".join(f"{other.get('name')} {other['cpus']:.0%} of a CPU" for other in others[:NAMED_FAILURES])))
    known = [(what, str(value)) for what, value in pairs if value]
    yield blocks.Facts(known) if known else blocks.Text("The file says nothing of it.")
    for note in context.get("notes") or []:
        yield blocks.Text(f"Note: {note}")


# ---- tables ----


def model_figures(file):
    """What each model costs and how far it scales; None if nothing of it is known."""
    rows = []
    for model, found in model_figures_.figures_of(file.results).items():
        for figure in fewer(found):
            key = next((value for value in (figure.value, figure.high, figure.low) if value is not None), None)
            stream = figure.cells[0].partition("/")[0] if figure.cells else ""
            value = blocks.Value(model_figures_.bounded(figure) or "–", key)
            rows.append(blocks.TableRow([stream, model, figure.name, value, figure.sentence], stream, model,
                                        again_.again(file.context, figure.cells, figure.cells)))
    columns = [*blocks.texts("stream", "model", "figure"), *blocks.numbers("value [95%]"), *blocks.texts("what it says", "run again")]
    return blocks.Table(number_of(len(rows), "figure"), columns, rows) if rows else None


def fewer(figures):
    """`figures` without most of those that cannot be given: of each kind, the first says why, and how many more there are."""
    kept, absent = [], {}
    for figure in figures:
        if figure.value is not None or figure.low is not None or figure.high is not None:
            kept.append(figure)
            continue
        kind = (figure.name, figure.cells[0].partition("/")[0] if figure.cells else "")
        if kind not in absent:
            kept.append(figure)
        absent.setdefault(kind, []).append(figure)
    rest = {id(first): len(more) for first, *more in absent.values() if more}
    return [dataclasses.replace(figure, sentence=f"{figure.sentence} Nor of {rest[id(figure)]} more settings.") if id(figure) in rest else figure
            for figure in kept]


def number_of(n, thing):
    return f"{n:,} {thing}{'' if n == 1 else 's'}"


def cells(file, stream, groups):
    """A row for each cell of each group of a stream."""
    timed = any(row.cell.latency() or row.cell.saturated() for group in groups for row in group.rows)
    params = list(dict.fromkeys(key for group in groups for key in group.params))
    rows = []
    for group in groups:
        bases = [row.cell.name for row in group.rows if row.cell.model in AGAIN_WITH]
        setting = [parameter(key, group.params[key]) if key in group.params else "" for key in params]
        for row in group.rows:
            values = [row.cell.model, *setting, blocks.Value(row.rank_text, row.rank), *figures(file, row, timed)]
            rows.append(blocks.TableRow(values, stream, row.cell.model, again_.again(file.context, [row.cell.name], [row.cell.name, *bases])))
    percents = [f"p{percent:g}" for percent in PERCENTS if timed]
    columns = [*blocks.texts("model"), *blocks.numbers(*(key.replace("_", "-") for key in params), "rank", "events/s", "95%",
                                                       "ratio to sequential [95%]", "of bound", "of limit", "CPU/event", "peak memory", *percents),
               *blocks.texts("limited by", "marks", "run again")]
    columns, rows = without_empty(columns, rows)
    caption = f"{stream}: {number_of(len(rows), 'cell')} in {number_of(len(groups), 'group')}, medians with 95% intervals"
    return blocks.Table(caption, columns, rows, f"Marks: {'; '.join(legend(groups, timed))}. A sequential cell is in every group whose other "
                        f"parameters it shares. To quote a figure: scripts/cite.py {shlex.quote(file.path)} --cell NAME.", stream)


def legend(groups, timed):
    """What the marks of the cells of `groups` say."""
    used = {mark.rstrip("0123456789") + ("N" if mark[0] == "o" else ""): says
            for group in groups for row in group.rows for mark, says in row.marks}
    return ["? not separated: the interval includes 1, or too few rounds (n) have none",
            *(["! fewer latencies than the percentile takes"] if timed else []), *(f"{mark} {says}" for mark, says in used.items())]


def without_empty(columns, rows):
    """`columns` and `rows` without columns that say nothing in any row, but for the last, which is no value."""
    kept = [any((value.text if isinstance(value, blocks.Value) else value) for value in column)
            for column in zip(*(row.values for row in rows))]
    return ([*itertools.compress(columns, kept), columns[-1]],
            [dataclasses.replace(row, values=list(itertools.compress(row.values, kept))) for row in rows])


def parameter(key, value):
    """A parameter as a Value. As many events as are taken come last."""
    return blocks.Value(style.value_text(key, value), value if math.isfinite(value) else None)


def figures(file, row, timed):
    """The figures of a cell, in the order of the columns of `cells` from events/s on."""
    cell = row.cell
    speed = cell.interval(results_.throughput)
    if speed is None:
        return ["no figure", *[""] * (6 + len(PERCENTS) * timed), cell.failure, ""]
    claim = results_.claimed(speed, file.context) if speed.low is not None else speed
    return [blocks.Value(style.engineering(speed.median), speed.median), interval_text(claim), ratio_value(row),
            measured_value(cell, results_.efficiency, figures_.percent_text), measured_value(cell, results_.of_limit, figures_.percent_text),
            measured_value(cell, results_.cpu_per_event, figures_.seconds_text),
            measured_value(cell, results_.peak_memory, style.bytes_text),
            *(blocks.Value(latency_text(cell, percent), cell_percentile(cell, percent)) for percent in PERCENTS if timed),
            ranking.limited_by(cell), " ".join(mark for mark, _ in row.marks)]


def interval_text(claim):
    if claim.low is None:
        return ""
    if not claim.holds:
        return blocks.Value(f"n={claim.n}")
    return blocks.Value(f"±{claim.relative_half_width:.1%}", claim.relative_half_width)


def ratio_value(row):
    found = row.to_sequential
    if found is None:
        return ""
    if row.cell.model == results_.SEQUENTIAL:
        return blocks.Value("1", 1)
    return blocks.Value(ranking.with_ends(found) + ("" if ranking.separates(found) else "?"), found.median)


def measured_value(cell, metric, text):
    found = cell.interval(metric)
    return blocks.Value(text(found.median), found.median) if found else ""


def against(file):
    """This build against the other, as the file has it."""
    rows = []
    for cell in file.results.cells:
        median = cell.aggregates.get("median", {})
        ends = [results_.finite(median, f"ratio_to_against{end}") for end in ("", "_low", "_high")]
        said = cell.failure or median.get("verdict_against", "")
        found = results_.Interval(*ends, 1) if None not in ends else None
        between = blocks.Value(ranking.with_ends(found), ends[0]) if found else ""
        rows.append(blocks.TableRow([cell.stream, cell.name, cell.model, between, said], cell.stream, cell.model,
                                    again_.again(file.context, [cell.name], [cell.name])))
    columns = [*blocks.texts("stream", "cell", "model"), *blocks.numbers("ratio of this build to the other [interval]"),
               *blocks.texts("verdict", "run again")]
    other = file.context.get("against") or {}
    return blocks.Table(f"{number_of(len(rows), 'cell')} of this build and of the other", columns, rows,
                 f"The other build: {results_.suite(other)}, {other.get('path', '')}. All intervals together hold with 95%.")


# ---- how it was measured ----


def measured(file):
    context = file.context
    results = file.results
    samples = sum(len(cell.samples) for cell in results.cells)
    build = context.get("build") or {}
    took = results_.finite(context, "took_s")
    pairs = [("suite", results_.suite(context)), ("commit", context.get("tally_commit")), ("result", context.get("result_id")),
             ("date", context.get("date")), ("cells", f"{len(results.cells)}, {samples} verified samples in {context.get('rounds', '?')} rounds"),
             ("took", f"{took:,.0f} s" if took is not None else None),
             ("compiler", " ".join(str(build[key]) for key in ("compiler", "flags") if key in build)),
             ("libraries", ", ".join(f"{name} {version}" for name, version in (build.get("libraries") or {}).items())),
             ("command", shlex.join(context["command_line"]) if context.get("command_line") else None),
             ("order seed", (context.get("factors") or {}).get("order_seed")), ("input", (context.get("input") or {}).get("path"))]
    yield blocks.Facts([(what, str(value)) for what, value in pairs if value not in (None, "")])
    yield blocks.Text("Medians with 95% intervals from order statistics; every count of every sample that has a figure equals the plain loop's. "
               "Timed is from the first event handed out to the last count merged. The rules: docs/method.md. Self-run.")
    if (context.get("command_line") or [])[:2] == again_.MAP:
        yield blocks.Text("Another map, and how far the two agree:")
        yield blocks.Command(f"{shlex.join(['build/bench/' + context['command_line'][0], *context['command_line'][1:]])}")
        yield blocks.Command(f"scripts/compare.py {shlex.quote(file.path)} NEW.json")
    else:
        yield blocks.Text("The whole campaign again, and whether figures and ranking agree:")
        yield blocks.Command(f"scripts/reproduce.py {shlex.quote(file.path)}")
    yield blocks.Text("Whether the file is as it was written and keeps the rules:")
    yield blocks.Command(f"scripts/validate.py {shlex.quote(file.path)}")
