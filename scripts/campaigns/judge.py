#!/usr/bin/python3
"""Measures a campaign, and says of each of its figures whether it is what it must be.

    scripts/campaigns/judge.py NAME -o results/NAME [--only ID,…] [--tally build/bench/tally]
    scripts/campaigns/judge.py NAME -o results/NAME --judge                     # judges the result files that are there, without measuring
    scripts/campaigns/judge.py NAME -o results/NAME --judge --doc README.md     # and writes the campaign's tables into that page
    scripts/campaigns/judge.py --list                                           # names the campaigns; NAME --list: the IDs of one
    scripts/campaigns/judge.py NAME --help                                      # with the options that this campaign alone has

Measuring leaves result files in the folder, compressed by xz. From them, and from nothing else, NAME.md in the folder is made: a row for
each figure, with what it must be, its median and 95% interval, and whether that is met. Ratios are taken round by round, since machines
drift. Exit status: 0 all met, 1 not all, 2 the command line is wrong or the campaign cannot run.

A campaign is a module beside this one, which imports no other campaign. It has

    a docstring     of which the first line says what is measured
    MEASUREMENTS    by ID, what measures it: the arguments of a `tally run` whose result file is ID, or a function of (ID, arguments) that
                    keeps result files itself. It raises Missing where it cannot: the others are measured all the same
    judge           a function of the arguments that gives a Judged. Raises Missing or CannotRun where there is nothing to judge
    options         if it has options of its own: a function that adds them to an ArgumentParser
    tables          if pages have tables of it: a function of the Judged that gives their Markdown by name

and is listed in CAMPAIGNS. What campaigns share is in scripts/tally: judging, measuring.
"""

import argparse
import importlib
import pathlib
import shutil
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))  # scripts/

from tally import results
from tally.judging import CannotRun, Missing, with_tables
from tally.measuring import tally_run
from tally.whole_files import write_whole

CAMPAIGNS = ("targets", "task_targets", "ingest_targets", "real_targets", "redis_targets", "mpi_targets", "peers", "merge_model", "scaling",
             "check_advice", "self_check")


def load(name):
    """The module of a campaign."""
    return importlib.import_module(f"campaigns.{name}")


def command_of(name):
    """How pages name what made them."""
    return f"scripts/campaigns/judge.py {name}"


def campaign_and_arguments(words):
    """The campaign that the command line names, and its arguments; (None, None) where there is nothing more to do."""
    parser = argparse.ArgumentParser(prog="judge.py", description=__doc__.splitlines()[0], usage="judge.py NAME -o DIR [OPTION…]")
    parser.add_argument("campaign", nargs="?", choices=CAMPAIGNS, metavar="NAME", help=", ".join(CAMPAIGNS))
    parser.add_argument("--list", action="store_true", help="name the campaigns")
    first = parser.parse_args(words[:1])
    if first.list:
        print("\n".join(f"{name:<16}{load(name).__doc__.splitlines()[0]}" for name in CAMPAIGNS))
        return None, None
    if first.campaign is None:
        parser.error("which campaign? --list names them")
    campaign = load(first.campaign)
    parser = argparse.ArgumentParser(prog=f"judge.py {first.campaign}", description=campaign.__doc__.splitlines()[0])
    parser.set_defaults(campaign=first.campaign, doc=None)
    parser.add_argument("-o", "--out", type=pathlib.Path, metavar="DIR", help=f"folder of the result files and {first.campaign}.md")
    parser.add_argument("--only", metavar="ID,…", help="measure these alone: " + ", ".join(campaign.MEASUREMENTS))
    parser.add_argument("--judge", action="store_true", help="measure nothing; judge the files in the folder")
    parser.add_argument("--tally", default="build/bench/tally", help="the program (default: %(default)s)")
    parser.add_argument("--list", action="store_true", help="name the IDs")
    if hasattr(campaign, "tables"):
        parser.add_argument("--doc", type=pathlib.Path, metavar="PAGE", help="a page to write the campaign's tables into, between its marks")
    getattr(campaign, "options", lambda _: None)(parser)
    arguments = parser.parse_args(words[1:])
    if arguments.list:
        print("\n".join(campaign.MEASUREMENTS))
        return None, None
    if arguments.out is None:
        parser.error("-o is missing: the folder of the result files")
    arguments.only = arguments.only.split(",") if arguments.only else list(campaign.MEASUREMENTS)
    for name in arguments.only:
        if name not in campaign.MEASUREMENTS:
            parser.error(f"--only {name}: choose from {', '.join(campaign.MEASUREMENTS)}")
    return campaign, arguments


def measure(campaign, arguments):
    """One measurement after the other; one that cannot be taken keeps no other from it."""
    for name in arguments.only:
        began = time.monotonic()
        how = campaign.MEASUREMENTS[name]
        try:
            if callable(how):
                how(name, arguments)
            else:
                tally_run(name, how, arguments)
        except (Missing, results.NotTally) as problem:
            print(f"{name}: {problem}", file=sys.stderr)
        print(f"{name}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)


def write(campaign, judged, arguments):
    """Writes the page and what lies beside it, and the campaign's tables into another page. Raises CannotRun."""
    page = judged.page(command_of(arguments.campaign))
    write_whole({arguments.out / f"{arguments.campaign}.md": page, **{arguments.out / name: text for name, text in judged.files.items()}})
    print(page, end="")
    if arguments.doc:
        try:
            text = with_tables(arguments.doc.read_text(encoding="utf-8"), command_of(arguments.campaign), campaign.tables(judged))
        except (OSError, ValueError) as problem:
            raise CannotRun(f"{arguments.doc}: {problem}") from None
        write_whole({arguments.doc: text})


def main():
    """What the command line asks for; the exit status."""
    campaign, arguments = campaign_and_arguments(sys.argv[1:])
    if campaign is None:
        return 0
    try:
        if not arguments.judge and shutil.which(arguments.tally) is None:
            raise CannotRun(f"there is no program {arguments.tally}: build it with scripts/bench, or name one with --tally")
        arguments.out.mkdir(parents=True, exist_ok=True)
        if not arguments.judge:
            measure(campaign, arguments)
        judged = campaign.judge(arguments)
        write(campaign, judged, arguments)
    except Missing as problem:
        print(f"{arguments.campaign}: {problem}", file=sys.stderr)
        return 1
    except (CannotRun, results.NotTally) as problem:
        print(f"{arguments.campaign}: {problem}", file=sys.stderr)
        return 2
    return 0 if judged.rows and all(row.met for row in judged.rows) else 1


if __name__ == "__main__":
    results.run(main)
