#!/usr/bin/python3
"""Writes a report of result files of `tally run`: one HTML page that needs no network, to be attached to a design review.

    scripts/report.py RESULT.json… -o report.html
    scripts/report.py RESULT.json… -o report.md --markdown

It opens with what is wrong with the files, if anything is, and with the answer: who leads in each group, by how much, and what
limits it. Then come the machine, plots, figures of each model, and every cell, with how to measure it again. Models are switched on
and off in all plots and tables at once. Each file has a section of its own: figures of different files are never put together.
`--markdown` writes the same without the plots.

Exit status: 0 written; 1 the report cannot be written (then what was there is as it was); 2 the command line is wrong or a file is
no result of `tally run`.
"""

import argparse
import pathlib
import sys

try:
    from tally.report import content
    from tally.report import html_page
    from tally.report import markdown as markdown_
except ImportError as problem:
    sys.exit(f"report: {problem.name} is missing: apt-get install python3-matplotlib python3-numpy, and run with /usr/bin/python3")
from tally import results
from tally.whole_files import target_of, write_whole

# What a file may raise that has the outline of a result and not its shape.
MISSHAPEN = (KeyError, TypeError, ValueError, AttributeError, IndexError, ArithmeticError)
STDOUT = 1  # the descriptor


def read(path):
    """The file at `path`. Raises NotTally."""
    return content.File(path, results.read_text(path), results.load(path))


def made(files, markdown):
    """The report of `files` as text. Raises NotTally where one cannot be shown."""
    sections = []
    for number, file in enumerate(files, 1):
        try:
            sections.append(content.section(file, number))
        except MISSHAPEN as problem:
            raise results.NotTally(f"{file.path}: not a result of `tally run`: {type(problem).__name__}: {problem}; "
                                         f"scripts/validate.py says more") from None
    alerts = [section.alert for section in sections if section.alert] + content.mixed(files)
    return (markdown_.document if markdown else html_page.page)(alerts, sections)


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="report.py", description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="+", metavar="RESULT.json", help="result files of `tally run`")
    parser.add_argument("-o", "--out", required=True, metavar="FILE", help="where the report goes")
    parser.add_argument("--markdown", action="store_true", help="write Markdown instead of HTML")
    options = parser.parse_args(arguments)
    try:
        text = made([read(path) for path in options.files], options.markdown)
    except results.NotTally as problem:
        print(f"report: {problem}", file=sys.stderr)
        return 2
    try:
        write_whole({options.out: text})
    except OSError as problem:
        print(f"report: cannot write {options.out}: {problem.strerror}", file=sys.stderr)
        return 1
    # Standard output that is the report is that alone.
    print(f"report in {options.out}", file=sys.stderr if target_of(options.out) == STDOUT else sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
