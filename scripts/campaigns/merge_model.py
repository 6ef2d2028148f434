#!/usr/bin/python3
"""Measures what merging over hosts takes, and holds the model of it (docs/scaling.md) against every point.

    scripts/campaigns/merge_campaign.py -o results/merge_model [--only ID,…] [--tally build/bench/tally]
    scripts/campaigns/merge_campaign.py -o results/merge_model --judge     # judges the files that are there, without measuring
    scripts/campaigns/merge_campaign.py -o results/merge_model --judge --doc docs/scaling.md     # and writes its tables into that page
    scripts/campaigns/merge_campaign.py -o /tmp/merge --quick              # few rounds and keys: whether all of it runs

`tally-mpi merge` with ranks on one host, and on two, three and four hosts of scripts/with_hosts, whose links have 1 Gbit/s and a delay each
way of 0, 1 and 5 ms; `tally merge-model` fits and predicts. merge_model.md in the folder has every point, measured and predicted: once by a
fit to all of them, once by one that has seen no delay. Exit status: 0 if every point is within a fifth by the first, 1 not, 2 the command
line is wrong.
"""

import argparse
import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))  # scripts/

from tally import results
from mpi_targets import said
from targets import Missing, flags
from tally.whole_files import write_whole

ROOT = pathlib.Path(__file__).resolve().parents[2]
HOSTS = (2, 3, 4)
DELAYS = ("0", "1ms", "5ms")
RATE = "1gbit"
# By the end of a file's name: keys and rounds. What takes microseconds is measured more often.
SIZES = {"1k-32k": ("1k,32k", 31), "1M": ("1M", 11), "16M": ("16M", 5)}
QUICK = {"1k-32k": ("1k,32k", 2)}
WITHIN = 0.20
PATIENCE_S = 1800


def calls():
    """By name: what runs the ranks."""
    found = {"host": ["mpirun", "-n", 2]}
    for delay in DELAYS:
        shape = ["--rate", RATE, *(["--delay", delay] if delay != "0" else [])]
        for hosts in HOSTS:
            found[f"hosts{hosts}-delay{delay}"] = [ROOT / "scripts/with_hosts", hosts, *shape, "mpirun", "-n", hosts]
    return found


def measure(arguments, names):
    program = pathlib.Path(arguments.tally).resolve().parent.parent / "mpi/tally-mpi"
    ranks = calls()
    for name in names:
        call, size = name.rsplit("-keys", 1)
        keys, rounds = (QUICK if arguments.quick else SIZES)[size]
        print(name, file=sys.stderr, flush=True)
        said([*ranks[call], program, "merge", *flags(keys=keys, rounds=rounds, out=arguments.out / f"{name}.json"), "--no-one-process"],
             PATIENCE_S)


def model(arguments, fitted, others=(), *more):
    """What `tally merge-model` says."""
    command = [arguments.tally, "merge-model", "--json", "--from", ",".join(map(str, fitted)), *more]
    if others:
        command += ["--check", ",".join(map(str, others))]
    return json.loads(said(command))


def spell(seconds):
    for unit, factor in (("s", 1), ("ms", 1e3), ("us", 1e6), ("ns", 1e9)):
        if seconds * factor >= 1 or unit == "ns":
            return f"{seconds * factor:.3g} {unit}"


def off(merge):
    return f"{merge['off']:+.0%}"


COSTS = {"fixed_s": "fixed", "message_s": "o, a message to another host", "byte_s": "G, a byte to another host",
         "local_way_s": "L on one host", "local_byte_s": "G on one host", "number_s": "add, a count", "key_s": "key",
         "uncached_s": "uncached", "others_key_s": "other's key"}


def held(merges):
    """Of merges, how many are predicted well enough, of how many, and how far the worst is off."""
    return sum(abs(m["off"]) <= WITHIN for m in merges), len(merges), max((abs(m["off"]) for m in merges), default=0)


def unseen_by(result):
    return [merge for merge in result["merges"] if not merge["fitted"]]


def spell_cost(seconds):
    return spell(seconds) if seconds else "none found"


def constants(everything, undelayed):
    """The page's table of constants, and how right they are."""
    rows = [f"| {text} | {spell_cost(everything['costs'][name])} |" for name, text in COSTS.items()]
    good, points, worst = held(everything["merges"])
    good_unseen, points_unseen, worst_unseen = held(unseen_by(undelayed))
    return "\n".join(["| constant | |", "| --- | --- |", *rows, "",
                      f"Of {points} points {good} are within 20%, the worst {worst:.0%} off. Fitted to the points without delay alone, it predicts "
                      f"{good_unseen} of the {points_unseen} with a delay within 20%, the worst {worst_unseen:.0%} off."])


def predictions(outlook):
    """The page's table of merges that nobody measured."""
    hosts = sorted({p["hosts"] for p in outlook["predictions"]})
    took = {(p["kind"], p["keys"], p["hosts"]): p["merge_s"] for p in outlook["predictions"]}
    rows = [f"| {kind} | {keys:,} | " + " | ".join(spell(took[kind, keys, h]) for h in hosts) + " |"
            for kind, keys in dict.fromkeys((p["kind"], p["keys"]) for p in outlook["predictions"])]
    return "\n".join(["| | keys | " + " | ".join(f"{h:,} hosts" for h in hosts) + " |", "| --- " * (2 + len(hosts)) + "|", *rows])


def passing(fast, slow):
    """The page's table of where merging passes counting."""

    def hosts(found):
        return "more than 100,000" if found is None else f"{found:,}"

    rows = [f"| {a['kind']} | {a['keys']:,} | " + " | ".join(hosts(one[which]) for one in (a, b) for which in ("strong_hosts", "weak_hosts")) + " |"
            for a, b in zip(fast["passing"], slow["passing"], strict=True)]
    return "\n".join(["| | keys | 1 G/s, 1 G in all | 1 G/s, 1 G of each | 1 M/s, 1 G in all | 1 M/s, 1 G of each |",
                      "| --- " * 6 + "|", *rows])


def with_tables(page, script, tables):
    """The page with each table between the marks of the script that writes it. Raises ValueError where a mark is missing."""
    for name, table in tables.items():
        begin, end = f"<!-- {script}: {name} -->\n", "<!-- end -->"
        before, rest = page.split(begin, 1)
        page = before + begin + table + "\n" + end + rest.split(end, 1)[1]
    return page


def report(everything, undelayed):
    """The text of merge_model.md."""
    by_key = {(m["path"], m["name"]): m for m in undelayed["merges"]}
    costs = "\n".join(f"| `{name}` | {spell_cost(a)} | {spell_cost(undelayed['costs'][name])} |" for name, a in everything["costs"].items())
    rows = []
    for merge in everything["merges"]:
        unseen = by_key[merge["path"], merge["name"]]
        where = f"{merge['ranks']} hosts" if merge["remote"] else f"1 host, {merge['ranks']} ranks"
        rows.append(f"| {merge['kind']} | {merge['keys']:,} | {where} | {spell(merge['way_s']) if merge['remote'] else ''} | "
                    f"{merge['ranks_per_cpu']:g} | {spell(merge['measured_s'])} [{spell(merge['low_s'])}, {spell(merge['high_s'])}] | "
                    f"{spell(merge['predicted_s'])} | {off(merge)} | {'' if unseen['fitted'] else off(unseen)} |")
    good, points, worst = held(everything["merges"])
    good_unseen, points_unseen, worst_unseen = held(unseen_by(undelayed))
    verdict = "met" if everything["worst_off"] <= WITHIN else "NOT MET"
    return f"""# Merging over hosts: measured and predicted

Written by `scripts/campaigns/merge_campaign.py`. {points} points, links of {RATE.replace('gbit', ' Gbit/s')}; ranks share CPUs where there are more hosts than CPUs.

| | points within 20% | worst | must reach | |
| --- | --- | --- | --- | --- |
| fitted to all points | {good} of {points} | {worst:.0%} | 20% | {verdict} |
| fitted without any delay, held against delays | {good_unseen} of {points_unseen} | {worst_unseen:.0%} | | |

Of a tenth of the points that a fit has not seen, nine of ten are within a factor of {everything['typical_factor']:.2f}.

## Costs

| cost | fitted to all | fitted without delays |
| --- | --- | --- |
{costs}

## Points

`way`: of a small message, as measured before each merge. `unseen`: how far off the fit is that has seen no delay.

| keys | | where | way | ranks a CPU | measured | predicted | off | unseen |
| --- | --- | --- | --- | --- | --- | --- | --- | --- |
""" + "\n".join(rows) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", dest="out", type=pathlib.Path, required=True, metavar="DIR", help="where files are written")
    parser.add_argument("--only", help="names of files, with commas between (default: all)")
    parser.add_argument("--tally", default="build/bench/tally", help="the program (default: %(default)s)")
    parser.add_argument("--judge", action="store_true", help="judge the files that are there")
    parser.add_argument("--doc", type=pathlib.Path, help="a page to write the tables into, between its marks")
    parser.add_argument("--quick", action="store_true", help="few rounds and keys")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    names = [f"{call}-keys{size}" for size in (QUICK if arguments.quick else SIZES) for call in calls()]
    if arguments.only:
        asked = arguments.only.split(",")
        if unknown := [name for name in asked if name not in names]:
            parser.error(f"--only {unknown[0]}: there are {', '.join(names)}")
    try:
        if not arguments.judge:
            measure(arguments, asked if arguments.only else names)
        files = [path for name in names if (path := arguments.out / f"{name}.json").exists()]
        delayed = [path for path in files if "-delay" in path.name and "-delay0" not in path.name]
        everything = model(arguments, files)
        undelayed = model(arguments, [path for path in files if path not in delayed], delayed)
        way = ("--round-trip", "100us")
        outlooks = [model(arguments, files, (), *way, "--rate", rate) for rate in ("1G", "1M")]
    except Missing as problem:
        print(f"merge_campaign: {problem}", file=sys.stderr)
        return 1
    for result in (everything, undelayed):  # as the folder may be moved
        for merge in result["merges"]:
            merge["path"] = pathlib.Path(merge["path"]).name
    text = report(everything, undelayed)
    if arguments.doc:
        page = arguments.doc.read_text(encoding="utf-8")
        tables = {"constants": constants(everything, undelayed), "predictions": predictions(outlooks[0]), "passing": passing(*outlooks)}
        write_whole({arguments.doc: with_tables(page, "scripts/campaigns/merge_campaign.py", tables)})
    write_whole({arguments.out / "merge_model.md": text, arguments.out / "merge_model.json": json.dumps(everything, indent=1) + "\n"})
    print(text.split("## Costs")[0].split("\n\n", 1)[1])
    return 0 if everything["worst_off"] <= WITHIN else 1


if __name__ == "__main__":
    results.run(main)
