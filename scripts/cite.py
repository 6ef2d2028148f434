#!/usr/bin/python3
"""Cites a figure of a result file: a sentence for a document, a table row, BibTeX, and how to run it again.

    scripts/cite.py RESULT.json --cell cpu/coroutines/workers:2/grain_ns:1000/batch:256
    scripts/cite.py RESULT.json --cell lookup/fibers/workers:1/wait_us:1000/in_flight:100 --base thread_pool

`--cell` may be any part of a name that only one cell has. The base of the ratio is `sequential` unless `--base` names another
model of the same group. A result that was changed since it was written, that breaks a rule on which the figure rests, or a cell
that failed or has too few samples is not cited. Exit status: 0 cited, 1 refused, 2 the command line is wrong.
"""

import argparse
import re
import shlex
import sys

from tally import results
import validate

# What makes a figure no figure. A short sample, a modified tree or an interruption are said in the citation instead.
FATAL = {"schema", "result_id", "verified", "work", "order", "interval", "ratio", "bound", "finite"}


class Refused(results.NotTally):
    """The figure is not to be cited; str() says why."""


def rate(value):
    """A number with three digits, and what stands between it and its unit: a space, or a prefix in spaces."""
    for scale, prefix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= scale:
            return f"{value / scale:.3g} {prefix} "
    return f"{value:.3g} "


def tex(text):
    """`text` as TeX reads it."""
    return re.sub(r"([%_&#$])", r"\\\1", text)


def find(found, part):
    """The one cell whose name is, or alone contains, `part`."""
    exact = [cell for cell in found.cells if cell.name == part]
    fits = exact or [cell for cell in found.cells if part in cell.name]
    if not fits:
        raise Refused(f"no cell is called {part}; there are: " + ", ".join(cell.name for cell in found.cells))
    if len(fits) > 1:
        raise Refused(f"{len(fits)} cells are called {part}: " + ", ".join(cell.name for cell in fits))
    return fits[0]


def base_of(found, cell, model):
    """The cell of `model` in a group of `cell`; None where there is none."""
    for _, members in found.groups(cell.stream):
        if cell in members:
            for other in members:
                if other.model == model and other is not cell:
                    return other
    return None


def settings(cell):
    """The cell's parameters in words."""
    words = {"workers": "{} worker{s}", "grain": "grain {}", "batch": "batch {}", "wait": "mean wait {}",
             "in_flight": "{} in flight", "io_uring": "over io_uring", "ranks": "in each of {} rank{s}",
             "hosts": "on {} host{s}"}
    parts = []
    for key, value in cell.params.items():
        shown = value
        if key in ("grain", "wait"):
            shown = next((f"{value / scale:.4g} {unit}" for scale, unit in ((1, "s"), (1e-3, "ms"), (1e-6, "us"), (1e-9, "ns"))
                          if value >= scale * 0.9999), "0")
        parts.append(words.get(key, key + " {}").format(shown, s="" if value == 1 else "s"))
    return ", ".join(parts)


def comparison(cell, base):
    """`1.98 [1.95, 2.01] times sequential's 0.98 M events/s`, or that the two are not separated."""
    between = results.ratio_by_round(cell.by_round(results.throughput), base.by_round(results.throughput))
    of = f"{base.model} in the same campaign ({rate(base.interval(results.throughput).median)}events/s)"
    if between is None or between.n < results.LEAST_SAMPLES:
        return f"too few common rounds for a ratio to {of}"
    spelled = f"[{between.low:.3g}, {between.high:.3g}]"
    if between.low <= 1 <= between.high:
        return f"not separated from {of}: ratio {between.median:.3g}, 95% interval {spelled}"
    return f"{between.median:.3g} times (95% interval {spelled}) {of}"


def lateness(cell):
    """`; 99% of 500,000 events were counted within 4.63 ms of when they were to be sent`, of a cell at a rate; "" if it has none."""
    latency = cell.latency()
    if latency is None:
        return ""
    within = results.percentile(latency, 99)
    sure = "" if results.is_sure(latency, 99) else " (fewer than the percentile takes)"
    return f"; 99% of {latency['count']:,} events{sure} were counted within {within * 1e3:.3g} ms of when they were to be sent"


def cite(text, path, part, base_model):
    """The citation of the cell called `part` in the file with this text, as lines. Raises Refused or NotTally."""
    try:
        wrong = [f"{rule}: {what}" for rule, what in validate.broken(text) if rule in FATAL]
    except (ValueError, RecursionError) as problem:
        raise Refused(f"not JSON, perhaps cut off: {problem}") from None
    if wrong:
        raise Refused(wrong[0])
    found = results.load(path)
    cell = find(found, part)
    if cell.failure:
        raise Refused(f"{cell.name} failed: {cell.failure}")
    if found.context.get("mpi", {}).get("oversubscribed"):
        raise Refused("ranks shared CPUs, and waited for each other: no figure of this file is a claim")
    if len(cell.samples) < results.LEAST_SAMPLES:
        raise Refused(f"{cell.name} has {len(cell.samples)} samples; an interval of 95% needs {results.LEAST_SAMPLES}")
    # At a rate, throughput is what was offered: it compares nobody.
    at_rate = "rate_per_s" in cell.samples[0]
    base = None if at_rate else base_of(found, cell, base_model)
    if base_model != results.SEQUENTIAL and (base is None or base.failure):
        raise Refused(f"{cell.name} has no figure of {base_model} beside it")
    context = found.context
    speed = results.claimed(cell.interval(results.throughput), context)
    result, date = context["result_id"], context["date"][:10]
    reservations = [what for holds, what in (
        (cell.converged, f"its interval did not reach ±{context['factors']['ci']:.3g} of the median"),
        (context["tally_tree"] == "clean", f"built from a {context['tally_tree']} tree"),
        (not context["interrupted"], "the campaign was interrupted"),
        (cell.saturated() or not cell.aggregates.get("median", {}).get("saturated"),
         "the lookup service was saturated, so it is what was measured"),
        (not cell.saturated(), "it fell behind the rate that was offered, so that it has no latency"),
        (not at_rate or not cell.generator_late(), "the load generator was late (p99 of more than 0.2 ms), so that the latency is not the model's alone"),
        (not context["notes"], "noted in the file: " + "; ".join(context["notes"]))) if not holds]
    figure = f"{rate(speed.median)}events/s (median of {speed.n} samples, 95% interval {rate(speed.low).strip()} to {rate(speed.high).strip()})" + lateness(cell)
    sentence = (f"Counting events with {cell.model} on the {cell.stream} stream ({settings(cell)}) reached {figure}"
                + (f", {comparison(cell, base)}" if base and not base.failure else "")
                + f"; every count verified. {results.suite(context)}, self-run on {results.machine(context)}, {date}, result {result}."
                + (f" Reservations: {'; '.join(reservations)}." if reservations else ""))
    row = (f"| {cell.name} | {rate(speed.median)}events/s | {rate(speed.low).strip()} to {rate(speed.high).strip()} | "
           f"{comparison(cell, base) if base and not base.failure else ''} | {results.machine(context)} | {result} |")
    version = context["tally_version"]
    note = f"{figure}; self-run on {results.machine(context)}, {date}; commit {context['tally_commit']}; result {result}"
    bibtex = "\n".join([f"@misc{{tally-{result},", f"  title = {{{tex(f'Tally {version}: {cell.name}')}}},",
                        f"  year = {{{date[:4]}}},", f"  note = {{{tex(note)}}},", "}"])
    return ["Sentence", sentence, "", "Table row", "| cell | figure | 95% interval | base | machine | result |", "| --- | --- | --- | --- | --- | --- |",
            row, "", "BibTeX", bibtex, "", "Run it again", f"git checkout {context['tally_commit']} && " + again(context)]


def again(context):
    """The command that measures it again: of ranks, after what builds it."""
    options = context["command_line"][2:]
    if "mpi" not in context:
        return shlex.join(["scripts/bench", *options])
    return "scripts/bench && " + shlex.join([*results.launcher(context), *options])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", metavar="RESULT.json")
    parser.add_argument("--cell", required=True, help="the cell's name, or a part of it that no other has")
    parser.add_argument("--base", default=results.SEQUENTIAL, metavar="MODEL", help="the model to compare with (default: %(default)s)")
    arguments = parser.parse_args()
    try:
        text = results.read_text(arguments.file)
        print("\n".join(cite(text, arguments.file, arguments.cell, arguments.base)))
    except results.NotTally as problem:
        print(f"cite.py: {arguments.file}: not cited: {problem}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    results.run(main)
