"""How a figure's cells are measured again."""

import collections
import shlex

from tally.report import blocks
import reproduce
from tally import results as results_

NAMED_CELLS = 12  # behind a figure
MAP = ["tally", "map"]  # the beginning of a map's command
OPTIONS = {"grain_ns": ("--grain", "ns"), "wait_us": ("--wait", "us"), "wait_ns": ("--wait", "ns")}  # parts of names that are spelt otherwise


def again(context, shown, measured):
    """How to measure the cells called `measured` again; the figure is of those called `shown`."""
    more = [f"and {len(shown) - NAMED_CELLS} more"] if len(shown) > NAMED_CELLS else []
    names = list(dict.fromkeys(measured))
    options = run_options(context, names) if names else None
    command = "" if options is None else shlex.join([*results_.launcher(context), *options, f'--benchmark_filter={pattern(names)}'])
    return blocks.Again([*shown[:NAMED_CELLS], *more], command)


def pattern(names):
    """A regular expression of these cells; of many, of all of their models on their streams."""
    if len(names) > NAMED_CELLS:
        return f"^({'|'.join(dict.fromkeys('/'.join(name.split('/')[:2]) for name in names))})/"
    models = collections.defaultdict(list)
    for name in names:
        stream, model, rest = name.split("/", 2)
        models[(stream, rest)].append(model)
    parts = [f"{stream}/{one[0] if len(one) == 1 else '(' + '|'.join(one) + ')'}/{rest}" for (stream, rest), one in models.items()]
    return f"^{parts[0]}$" if len(parts) == 1 else f"^({'|'.join(parts)})$"


def run_options(context, names):
    """The arguments of the campaign, but for output and filter; of a map, which finds its points as it goes, those that make the
    cells of these names. None where the file does not have them."""
    if (context.get("command_line") or [])[:2] == MAP:
        return options_of(names)
    try:
        options = reproduce.arguments_of(context)
    except results_.NotTally:
        return None
    kept, rest = [], iter(options)
    for part in rest:
        name, equals, _ = part.partition("=")
        if name != "--benchmark_filter":
            kept.append(part)
        elif not equals:
            next(rest, None)
    return kept


def options_of(names):
    """Arguments of `tally run` that make the cells of these names, and others of the same values."""
    values = collections.defaultdict(dict)  # by option, in order, each once
    for name in names:
        stream, model, *params = name.split("/")
        values["--stream"][stream] = values["--model"][model] = None
        for key, _, value in (param.partition(":") for param in params):
            option, unit = OPTIONS.get(key, (f"--{key.replace('_', '-')}", ""))
            values[option][value + unit] = None
    return [part for option, found in values.items() for part in (option, ",".join(found))]
