"""Whether `tally advise` is right at random points that were never measured.

    scripts/campaigns/judge.py check_advice MAP.json -o results/check_advice            # 60 points with a new seed: some 20 minutes
    scripts/campaigns/judge.py check_advice MAP.json -o results/check_advice --seed 7   # those of an earlier seed

Points are drawn as a review would ask: work from none to 1 ms, waiting from none to 20 ms, 1 to 5,000 events in flight, 1 worker
to all CPUs; all but the workers over their orders of magnitude. Each is asked of `tally advise --confirm`, which measures every
model there in rounds. The points of a seed, as predicted and as measured, are the file SEED.
"""

import json
import math
import pathlib
import random
import secrets
import statistics
import sys

from tally import results
from tally.judging import CannotRun, Judged, Row, bullets, share
from tally.measuring import CPUS, flags, keep_text, ran

POINTS = 60
GRAIN_NS, WAIT_NS, IN_FLIGHT = (100, 1_000_000), (50_000, 20_000_000), (1, 5000)
NO_GRAIN, NO_WAIT = 0.1, 0.15  # of the points
WITHIN_MEDIAN, WITHIN_MOST, AS_GOOD = 0.15, 0.35, 0.05


def log_uniform(draw, low_high):
    """A number between the two, drawn uniformly over their orders of magnitude."""
    low, high = low_high
    return round(math.exp(draw.uniform(math.log(low), math.log(high))))


def points(seed, number, cpus):
    """The options of so many points, the same for a seed on machines of as many CPUs."""
    draw = random.Random(seed)
    for _ in range(number):
        grain = 0 if draw.random() < NO_GRAIN else log_uniform(draw, GRAIN_NS)
        wait = 0 if draw.random() < NO_WAIT else log_uniform(draw, WAIT_NS)
        workers, in_flight = draw.randint(1, cpus), log_uniform(draw, IN_FLIGHT)
        yield flags(grain=f"{grain}ns", workers=workers, **({"wait": f"{wait}ns", "in_flight": in_flight} if wait else {}))


def options(parser):
    """Adds the options of this campaign."""
    parser.add_argument("map", nargs="?", type=pathlib.Path, metavar="MAP.json", help="what 'tally map --out' wrote here, plain or .xz")
    parser.add_argument("--seed", type=int, help="draw these points (default: a new seed)")
    parser.add_argument("--points", type=int, default=POINTS, help="how many (default: %(default)s)")


def advised(tally, *arguments):
    """What `tally advise` says in JSON."""
    command = [str(tally), "advise", *arguments, "--json"]
    done = ran(command, patience_s=None, statuses=None)
    if not done.stdout.startswith("{"):
        raise results.NotTally(f"{' '.join(command)}: {done.stderr.strip().splitlines()[-1:]}")
    return json.loads(done.stdout)


def must_be_of_here(options, path, tally):
    """Throws NotTally if the map is of another machine: advice for that one cannot be judged on this."""
    for warning in advised(tally, *options, "--from", str(path))["warnings"]:
        if warning.startswith("measured on another machine"):
            raise results.NotTally(f"{path}: {warning}")


def measured(options, path, tally):
    """What `tally advise --confirm` says of a point, from the map at `path`."""
    said = advised(tally, *options, "--from", str(path), "--confirm")
    # Which files it was from, their IDs say; where they, or a copy of them, lay on this machine is nobody's business.
    return {"options": options, **said, "from": [{"result_id": each["result_id"]} for each in said["from"]]}


def off(model):
    """By which factor, above 1, a prediction and what was measured differ, less 1."""
    return math.exp(abs(math.log(model["items_per_second"] / model["measured"]))) - 1


def rows_of(runs):
    """The Rows, from the points of all runs."""
    asked = [point for run in runs for point in run["points"]]
    errors, held, models, good, chosen = [], 0, 0, 0, 0
    for point in asked:
        known = [m for m in point["models"] if "measured" in m and "items_per_second" in m]
        errors += [off(m) for m in known]
        held += sum(m["low"] <= m["measured"] <= m["high"] for m in known)
        models += len(known)
        ranked = [m for m in known if m.get("rank")]
        if not ranked:
            continue
        chosen += 1
        best = max(m["measured"] for m in known)
        choice = min(ranked, key=lambda m: (m["rank"], -m["items_per_second"]))
        # Round by round, as every ratio is taken: what the machine does in a round falls on both.
        good += choice.get("of_fastest", choice["measured"] / best) >= 1 - AS_GOOD
    if not errors:
        return []
    errors.sort()
    at_90 = errors[min(len(errors) - 1, math.ceil(0.9 * len(errors)) - 1)]
    return [
        Row(f"prediction off by, median ({models} models at {len(asked)} points)", f"<= {WITHIN_MEDIAN:.0%}", f"{statistics.median(errors):.1%}",
            statistics.median(errors) <= WITHIN_MEDIAN),
        Row("prediction off by, 90th percentile", f"<= {WITHIN_MOST:.0%}", f"{at_90:.1%}", at_90 <= WITHIN_MOST),
        Row("the chosen model within 5% of the best that was measured", ">= 90% of points", share(good, chosen), good >= 0.9 * chosen),
        Row("intervals of the prediction that hold what was measured", ">= 85%", share(held, models), held >= 0.85 * models),
    ]


def measure(_name, arguments):
    """Measures the points of a seed, and keeps them after each. Raises CannotRun where the map is not one of this machine."""
    if arguments.map is None:
        raise CannotRun("which map? 'tally map --out map.json' makes one")
    seed = arguments.seed if arguments.seed is not None else secrets.randbelow(10**6)
    run = {"seed": seed, "points": []}
    with results.plain(arguments.map) as (path,):
        try:
            must_be_of_here(["--grain", "0"], path, arguments.tally)
        except results.NotTally as problem:
            raise CannotRun(str(problem)) from None
        for number, asked in enumerate(points(seed, arguments.points, len(CPUS)), 1):
            print(f"point {number} of {arguments.points}: {' '.join(asked)}", file=sys.stderr)
            run["points"].append(measured(asked, path, arguments.tally))
            keep_text(str(seed), json.dumps(run, indent=1) + "\n", arguments.out)


MEASUREMENTS = {"points": measure}


def judge(arguments):
    """The page of the points of all seeds that are there."""
    runs = [json.loads(results.read_text(path)) for path in sorted((*arguments.out.glob("*.json"), *arguments.out.glob("*.json.xz")))]
    seeds = [f"seed {run['seed']}: {len(run['points'])} points from {', '.join(each['result_id'] for each in run['points'][0]['from'])}"
             for run in runs]
    return Judged([rows_of(runs), "Runs:", bullets(seeds)], "Is the advice right?", ": points that nobody had measured, drawn anew for each seed.")
