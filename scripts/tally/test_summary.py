"""What JUnit files say, added up: a line for each on stderr, then the ten slowest tests; "N passed, M failed, K skipped" on stdout.

    test_summary.py NAME=FILE.xml…

Of a file that CTest wrote, a test is a suite of GoogleTest's: its single tests are read from Testing/suites/SUITE.xml, where the suite's
process wrote them. Exit status: 0 something passed and nothing failed; 1 otherwise, also where a file is missing or tells nothing.
"""

import dataclasses
import os
import sys
import xml.etree.ElementTree as ElementTree

SLOWEST = 10
PASSED, FAILED, SKIPPED = "passed", "failed", "skipped"


@dataclasses.dataclass
class Case:
    """A test: its name, how it ended, and how long it took."""

    name: str
    outcome: str
    took_s: float


def outcome_of(case):
    """PASSED, FAILED or SKIPPED, of an element `testcase`."""
    if case.find("failure") is not None or case.find("error") is not None or case.get("status") == "fail":
        return FAILED
    skipped = case.find("skipped")
    if skipped is None and case.get("result") not in ("skipped", "suppressed"):
        return PASSED
    # CTest writes "notrun" for a test whose program it could not start: that is no skip.
    could_not_start = case.get("status") == "notrun" and case.get("result") is None and not skipped.get("message", "").startswith(
        ("SKIP_", "Disabled"))
    return FAILED if could_not_start else SKIPPED


def cases_of(path):
    """All cases in the JUnit file at `path`, those of a suite's own file in place of the suite.

    Raises OSError or ElementTree.ParseError for a file that is not there or not XML.
    """
    suites = os.path.join(os.path.dirname(path), "suites")
    cases = []
    for case in ElementTree.parse(path).getroot().iter("testcase"):
        name, outcome = case.get("name"), outcome_of(case)
        inner = os.path.join(suites, f"{name}.xml")
        if not os.path.isfile(inner):
            place = case.get("classname")
            cases.append(Case(name if place in (None, name) else f"{place}.{name}", outcome, float(case.get("time", 0))))
            continue
        within = [Case(f"{one.get('classname')}.{one.get('name')}", outcome_of(one), float(one.get("time", 0)))
                  for one in ElementTree.parse(inner).getroot().iter("testcase")]
        # A process can fail behind its last test: a sanitizer's report at the end.
        if outcome == FAILED and not any(one.outcome == FAILED for one in within):
            within.append(Case(f"{name} (its process)", FAILED, float(case.get("time", 0))))
        cases += within
    return cases


def count(cases):
    """Numbers of passed, failed and skipped ones."""
    return tuple(sum(case.outcome == outcome for case in cases) for outcome in (PASSED, FAILED, SKIPPED))


def main(arguments):
    if not arguments or not all("=" in argument for argument in arguments):
        print("usage: test_summary.py NAME=FILE.xml…", file=sys.stderr)
        return 2
    everything = []
    for argument in arguments:
        name, path = argument.split("=", 1)
        try:
            cases = cases_of(path)
        except (OSError, ElementTree.ParseError) as problem:
            print(f"tally: {name}: no results: {path}: {problem}", file=sys.stderr)
            cases = [Case(f"{name} as a whole", FAILED, 0)]
        print("tally: {}: {} passed, {} failed, {} skipped".format(name, *count(cases)), file=sys.stderr)
        everything += [dataclasses.replace(case, name=f"{name}: {case.name}") for case in cases]
    for case in everything:
        if case.outcome == FAILED:
            print(f"tally: failed: {case.name}", file=sys.stderr)
    print(f"tally: the {SLOWEST} slowest tests:", file=sys.stderr)
    for case in sorted(everything, key=lambda case: -case.took_s)[:SLOWEST]:
        print(f"tally: {case.took_s:8.2f} s  {case.name}", file=sys.stderr)
    passed, failed, skipped = count(everything)
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return 0 if passed and not failed else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
