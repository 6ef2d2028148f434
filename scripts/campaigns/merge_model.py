"""What merging over hosts takes, and how far the model of it (docs/many-machines.md) is off at every point.

`tally-mpi merge` with ranks on one host, and on two, three and four hosts of scripts/with_hosts, whose links have 1 Gbit/s and a delay each
way of 0, 1 and 5 ms; `tally merge-model` fits and predicts: once by a fit to all points, once by a fit to those without a delay. The former
must be within a fifth at every point.
"""

import functools
import json
import pathlib

from tally import results
from tally.judging import Figure, Judged, Missing, REPORTED, Row, table
from tally.measuring import LINK_RATE, flags, in_ranks, keep_result, on_hosts, ran
from tally.style import duration

HOSTS = (2, 3, 4)
DELAYS = ("0", "1ms", "5ms")
# By the end of a file's name: keys and rounds. What takes microseconds is measured more often.
SIZES = {"1k-32k": ("1k,32k", 31), "1M": ("1M", 11), "16M": ("16M", 5)}
QUICK = {"1k-32k": ("1k,32k", 2)}
WITHIN = 0.20
PATIENCE_S = 1800
COSTS = {"fixed_s": "fixed", "message_s": "o, a message to another host", "byte_s": "G, a byte to another host",
         "local_way_s": "L on one host", "local_byte_s": "G on one host", "number_s": "add, a count", "key_s": "key",
         "uncached_s": "uncached", "others_key_s": "other's key"}


def options(parser):
    """Adds the options of this campaign."""
    parser.add_argument("--quick", action="store_true", help="few rounds and keys: whether all of it runs")


def measure(size, in_place, name, arguments):
    """Merges of one size; `in_place` gives the command that runs tally-mpi in its ranks."""
    if arguments.quick and size not in QUICK:
        raise Missing("left out: --quick")
    keys, rounds = (QUICK if arguments.quick else SIZES)[size]
    command = in_place(["merge", *flags(keys=keys, rounds=rounds), "--no-one-process"], arguments)
    keep_result(name, command, arguments.out, PATIENCE_S)


PLACES = {"host": functools.partial(in_ranks, 2),
          **{f"hosts{hosts}-delay{delay}": functools.partial(on_hosts, hosts, delay) for delay in DELAYS for hosts in HOSTS}}
MEASUREMENTS = {f"{place}-keys{size}": functools.partial(measure, size, in_place) for size in SIZES for place, in_place in PLACES.items()}


class MergeModel:
    """What `tally merge-model` says of the result files in a folder."""

    def __init__(self, arguments):
        """Raises Missing where the folder has none."""
        self.tally = arguments.tally
        self.files = [path for name in MEASUREMENTS if (path := results.find(arguments.out, name)).exists()]
        if not self.files:
            raise Missing(f"no result file is in {arguments.out}: measure first, without --judge")

    def said(self, fitted, others=(), *more):
        """Fitted to some files, what it says of `others`. Raises Missing."""
        with results.plain(*fitted, *others) as paths:
            names = [",".join(map(str, some)) for some in (paths[:len(fitted)], paths[len(fitted):])]
            done = ran([self.tally, "merge-model", "--json", "--from", names[0], *more, *(["--check", names[1]] if others else [])])
        said = json.loads(done.stdout)
        for merge in said.get("merges", ()):  # as the folder may be moved
            merge["path"] = pathlib.Path(merge["path"]).name
        return said

    def fits(self):
        """Fitted to all files, and to those without a delay, held against the others."""
        delayed = [path for path in self.files if "-delay" in path.name and "-delay0" not in path.name]
        return self.said(self.files), self.said([path for path in self.files if path not in delayed], delayed)

    def outlooks(self):
        """What it predicts of merges that were not measured, where a rank counts 1 G/s, and 1 M/s."""
        return [self.said(self.files, (), *flags(round_trip="100us", rate=rate)) for rate in ("1G", "1M")]


def off(merge):
    """By what part of the measured time the predicted one differs from it, in words."""
    return f"{merge['off']:+.0%}"


def held(merges):
    """Of merges, how many are predicted well enough, of how many, and how far the worst is off."""
    return sum(abs(m["off"]) <= WITHIN for m in merges), len(merges), max((abs(m["off"]) for m in merges), default=0)


def unseen_by(result):
    """The merges that a fit was held against, and not made from."""
    return [merge for merge in result["merges"] if not merge["fitted"]]


def spell_cost(seconds):
    """A cost in words."""
    return duration(seconds) if seconds else "none found"


def constants(everything, undelayed):
    """The page's table of constants, and how right they are."""
    good, points, worst = held(everything["merges"])
    good_unseen, points_unseen, worst_unseen = held(unseen_by(undelayed))
    return (table(("constant", ""), [(text, spell_cost(everything["costs"][name])) for name, text in COSTS.items()]) +
            f"\n\nOf {points} points {good} are within 20%, the worst {worst:.0%} off. Fitted to the points without delay alone, it predicts "
            f"{good_unseen} of the {points_unseen} with a delay within 20%, the worst {worst_unseen:.0%} off.")


def predictions(outlook):
    """The page's table of merges that were not measured."""
    hosts = sorted({p["hosts"] for p in outlook["predictions"]})
    took = {(p["kind"], p["keys"], p["hosts"]): p["merge_s"] for p in outlook["predictions"]}
    rows = [(kind, f"{keys:,}", *(duration(took[kind, keys, h]) for h in hosts))
            for kind, keys in dict.fromkeys((p["kind"], p["keys"]) for p in outlook["predictions"])]
    return table(("", "keys", *(f"{h:,} hosts" for h in hosts)), rows)


def passing(fast, slow):
    """The page's table of where merging passes counting."""

    def hosts(found):
        return "more than 100,000" if found is None else f"{found:,}"

    rows = [(a["kind"], f"{a['keys']:,}", *(hosts(one[which]) for one in (a, b) for which in ("strong_hosts", "weak_hosts")))
            for a, b in zip(fast["passing"], slow["passing"], strict=True)]
    return table(("", "keys", "1 G/s, 1 G in all", "1 G/s, 1 G of each", "1 M/s, 1 G in all", "1 M/s, 1 G of each"), rows)


def summary(name, merges, must, met=True):
    """A Row of how far the predictions of a fit are off."""
    good, points, worst = held(merges)
    return Row(name, must, f"{worst:.0%}; {good} of {points} points within {WITHIN:.0%}", met)


def points_table(merges, unseen):
    """The page's table of all merges; `unseen` has those of the fit without delays by file and name."""
    rows = []
    for merge in merges:
        other = unseen[merge["path"], merge["name"]]
        rows.append((merge["kind"], f"{merge['keys']:,}", f"{merge['ranks']} hosts" if merge["remote"] else f"1 host, {merge['ranks']} ranks",
                     duration(merge["way_s"]) if merge["remote"] else "", f"{merge['ranks_per_cpu']:g}",
                     Figure(merge["measured_s"], merge["low_s"], merge["high_s"]).text(spell=duration), duration(merge["predicted_s"]),
                     off(merge), "" if other["fitted"] else off(other)))
    return table(("keys", "", "where", "way", "ranks a CPU", "measured", "predicted", "off", "unseen"), rows)


def judged(everything, undelayed):
    """The page of the fit to all points, and of that to those without a delay."""
    rows = [summary("fitted to all points: the worst is off by", everything["merges"], f"<= {WITHIN:.0%}", everything["worst_off"] <= WITHIN),
            summary("fitted without any delay, held against delays: the worst is off by", unseen_by(undelayed), REPORTED)]
    costs = [(f"`{name}`", spell_cost(cost), spell_cost(undelayed["costs"][name])) for name, cost in everything["costs"].items()]
    return Judged(
        [rows, f"Of a tenth of the points that a fit has not seen, nine of ten are within a factor of {everything['typical_factor']:.2f}.",
         "## Costs", table(("cost", "fitted to all", "fitted without delays"), costs),
         "## Points", "`way`: of a small message, as measured before each merge. `unseen`: how far off the fit is that has seen no delay.",
         points_table(everything["merges"], {(merge["path"], merge["name"]): merge for merge in undelayed["merges"]})],
        "Merging over hosts: measured and predicted",
        f". {len(everything['merges'])} points, links of {LINK_RATE.replace('gbit', ' Gbit/s')}; ranks share CPUs where there are more hosts "
        "than CPUs.",
        {"merge_model.json": json.dumps(everything, indent=1) + "\n"})


def judge(arguments):
    """The page of the files that are there. Raises Missing where there are none, or `tally merge-model` fails."""
    model = MergeModel(arguments)
    fits = model.fits()
    page = judged(*fits)
    page.data = model, fits
    return page


def tables(page):
    """Those of docs/many-machines.md. Raises Missing."""
    model, fits = page.data
    outlooks = model.outlooks()
    return {"constants": constants(*fits), "predictions": predictions(outlooks[0]), "passing": passing(*outlooks)}
