#!/usr/bin/python3
"""Prints what a result file says of each model in figures that fit in a sentence, with intervals.

    scripts/figures.py RESULT.json            # a table: model, figure, value with its 95% interval, setting
    scripts/figures.py RESULT.json --json     # the same for programs, with the sentences

The smallest grain at which a model keeps 50% and 90% of the bound (METG), CPU time per event, task and wait beyond the work itself,
start-up time, memory per event in flight and per connection, context switches, and how it scales with workers. Where a figure
cannot be given, the reason stands there. docs/method.md, "Figures of a model", says how each is made. Cells that failed are left
out and named. Exit status: 0 printed, 1 refused, since the file was changed or breaks a rule on which its figures rest, 2 the
command line is wrong or the file is no result of Tally.
"""

import argparse
import dataclasses
import json
import sys

import cite
from tally import results
import validate

try:
    from tally import model_figures
except ImportError as problem:
    sys.exit(f"figures.py: {problem.name} is missing: apt-get install python3-numpy, and run with /usr/bin/python3")


def load(path):
    """The results in the file at `path`. Raises cite.Refused for what cite.py would not cite either, and NotTally for no result at all."""
    found = results.load(path)
    wrong = next((f"{rule}: {what}" for rule, what in validate.broken(results.read_text(path)) if rule in cite.FATAL), None)
    if wrong:
        raise cite.Refused(f"{path}: refused: {wrong}")
    return found


def left_out(found):
    """(name, reason) of the cells that failed."""
    return [(cell.name, cell.failure) for cell in found.cells if cell.failure]


def table(found):
    """The lines for a person."""
    context, cells = found.context, {cell.name: cell for cell in found.cells}
    rows = [("model", "figure", "value, 95% interval", "setting")]
    for model, figures in model_figures.figures_of(found).items():
        for figure in figures:
            value = model_figures.bounded(figure)
            own = [cells[name] for name in figure.cells if cells[name].model == model]
            rows.append((model, figure.name, value or "-", model_figures.where(own) if value else figure.sentence))
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    lines = [f"{results.suite(context)}, {results.machine(context)}, {context['date'][:10]}, result {context['result_id']}"]
    lines += [context["unfit"]] if context.get("unfit") else []
    lines += ["", *(" ".join([*(f"{text:{width}} " for text, width in zip(row, widths)), row[3]]) for row in rows)]
    return [*lines, *(f"left out: {name}: {reason}" for name, reason in left_out(found))]


def as_json(found):
    """The same for programs: one object."""
    figures = {model: [dataclasses.asdict(figure) for figure in of] for model, of in model_figures.figures_of(found).items()}
    return {"result_id": found.context["result_id"], "models": figures,
            "left_out": [{"cell": name, "why": reason} for name, reason in left_out(found)]}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", metavar="RESULT.json")
    parser.add_argument("--json", action="store_true", help="as JSON, with a sentence for each figure")
    arguments = parser.parse_args()
    try:
        found = load(arguments.file)
    except results.NotTally as problem:
        print(f"figures.py: {problem}", file=sys.stderr)
        return 1 if isinstance(problem, cite.Refused) else 2
    print(json.dumps(as_json(found), indent=2, allow_nan=False) if arguments.json else "\n".join(table(found)))
    return 0


if __name__ == "__main__":
    results.run(main)
