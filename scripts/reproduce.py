#!/usr/bin/python3
"""Runs the campaign of a result file again, here, and says for each cell whether it agrees, and whether the ranking does.

    scripts/reproduce.py RESULT.json [-o NEW.json] [--tally build/bench/tally]

The command line is the file's own, without what it said of output. A rate that was searched for (--slo) is not searched again: the
cells are measured at the rates that were found. A cell agrees if its throughput is not separated from the old
one (scripts/compare.py says how that is told). A ranking is reversed where two models of a group were told apart in the old file and
are told apart the other way round here, by their ratios round by round; where they cannot be told apart here, that is said and is
no reversal. On another machine figures may differ and rankings still hold. Exit status: 0 every cell agrees and no ranking is
reversed, 1 not so, 2 the command line or a file is wrong, else that of `tally run`.
"""

import argparse
import datetime
import itertools
import pathlib
import shlex
import subprocess
import sys

import compare
from tally import results

# Options of the old run that say where its output went and beside which other build, with the number of values that follow one
# without `=`.
OUTPUT = {"--against": 1, "--out": 1, "--hgrm": 1, "--no-progress": 0, "--benchmark_out": 0, "--benchmark_out_format": 0, "--benchmark_format": 0}


def at_the_rates_found(arguments, searches):
    """The arguments of a search for rates as those of a campaign at the rates that it found, of the same cells and no others."""
    kept, rest = [], iter(arguments)
    for part in rest:
        name, equals, _ = part.partition("=")
        if name not in ("--slo", "--benchmark_filter"):
            kept.append(part)
        elif not equals:
            next(rest, None)
    found = [search for search in searches if "rate_per_s" in search]
    if not found:
        raise compare.Refused("no rate was found: there is nothing to measure again")
    rates = sorted({search["rate_per_s"] for search in found})
    names = "|".join(search["cell"] for search in found)
    return [*kept, "--rate", ",".join(f"{rate:g}" if rate < 1e6 else f"{rate:.0f}" for rate in rates), f"--benchmark_filter=^({names})$"]


def arguments_of(context):
    """The arguments of `tally run` that the file was made with, but for its output. Raises compare.Refused."""
    command = context.get("command_line")
    if isinstance(command, list) and command[:2] == ["tally", "map"]:
        raise compare.Refused("a map measures where its winners change, and that is elsewhere each time: make one here with 'tally map', "
                              "and compare the two with scripts/compare.py")
    if not isinstance(command, list) or command[:2] not in (["tally", "run"], ["tally-mpi", "run"]):
        raise compare.Refused("the file does not say with which command it was made")
    kept, rest = [], iter(command[2:])
    for part in rest:
        name, equals, _ = part.partition("=")
        if name not in OUTPUT:
            kept.append(part)
        elif not equals:
            for _ in range(OUTPUT[name]):
                next(rest, None)
    if "slo" in context:
        kept = at_the_rates_found(kept, context["slo"]["searches"])
    if "against" in context:  # which has defaults of its own
        factors = context["factors"]
        kept += ["--ci", str(factors["ci"]), "--rounds", f"{factors['min_rounds']}:{factors['max_rounds']}", "--time-budget",
                 f"{factors['time_budget_ns']}ns"]
    return kept


def separated(one, other):
    """1 if `one` is faster than `other` by the interval of their rounds' ratios, -1 if slower, 0 if they are not told apart."""
    interval = results.ratio_by_round(one.by_round(results.throughput), other.by_round(results.throughput))
    if interval is None or interval.n < results.LEAST_SAMPLES:
        return 0
    return 1 if interval.low > 1 else -1 if interval.high < 1 else 0


def rankings(old, new):
    """(pairs told apart in old, kept, reversed pairs as (faster in old, slower in old, group)) over all groups."""
    there = {cell.name: cell for cell in new.cells if not cell.failure}
    apart, kept, reversed_pairs = 0, 0, []
    for stream in old.streams():
        for params, members in old.groups(stream):
            for one, other in itertools.combinations([m for m in members if not m.failure and m.name in there], 2):
                before = separated(one, other)
                if before == 0:
                    continue
                apart += 1
                after = separated(there[one.name], there[other.name])
                kept += after == before
                if after == -before:
                    first, second = (one, other) if before > 0 else (other, one)
                    reversed_pairs.append((first.model, second.model, first.name))
    return apart, kept, reversed_pairs


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", metavar="RESULT.json")
    parser.add_argument("-o", "--out", help="where the new result goes (default: results/local/reproduced-DATE.json)")
    parser.add_argument("--tally", default="build/bench/tally", help="the program (default: %(default)s)")
    arguments = parser.parse_args()
    stamp = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H%M%SZ")
    out = pathlib.Path(arguments.out or f"results/local/reproduced-{stamp}.json")
    try:
        old = compare.load(arguments.file)
        if not old.tally:
            raise compare.Refused(f"{arguments.file}: no result of `tally run`")
        options = arguments_of(old.context)
        out.parent.mkdir(parents=True, exist_ok=True)
        command = [*results.launcher(old.context, arguments.tally), *options]
        print(f"running: {shlex.join(command)}", file=sys.stderr, flush=True)
        status = subprocess.run([*command, "--out", str(out)], stdout=subprocess.DEVNULL, check=False).returncode
        if status not in (0, 1):
            print(f"reproduce.py: `tally run` ended with exit status {status}", file=sys.stderr)
            return status
        new = compare.load(str(out))
        rows = compare.compare(old, new)
        apart, kept, reversed_pairs = rankings(results.load(arguments.file), results.load(out))
    except (OSError, results.NotTally) as problem:
        print(f"reproduce.py: {problem}", file=sys.stderr)
        return 2
    print(compare.shown(old, new, rows))
    agreeing = sum(row["verdict"] == "not separated" for row in rows)
    absent = sorted({name for name in old.cells if not name.endswith(results.AGAINST)} - {row["cell"] for row in rows})
    print(f"figures: {agreeing} of {len(rows)} cells agree" + (f"; not measured here: {', '.join(absent)}" if absent else ""))
    print(f"ranking: of {apart} pairs of models told apart in {arguments.file}, {kept} are told apart the same way here, "
          f"{len(reversed_pairs)} the other way round, {apart - kept - len(reversed_pairs)} not at all")
    for faster, slower, name in reversed_pairs:
        print(f"  reversed: {faster} was faster than {slower} in the group of {name}")
    return 0 if agreeing == len(rows) and not absent and not reversed_pairs else 1


if __name__ == "__main__":
    results.run(main)
