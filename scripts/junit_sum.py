"""Adds up a JUnit file: prints "PASSED FAILED SKIPPED". Exit 1, with one line, if the file tells nothing."""

import sys
import xml.etree.ElementTree as ElementTree


def add_up(path):
    """Numbers of passed, failed (or in error) and skipped test cases in the JUnit file at `path`.

    Throws OSError or ElementTree.ParseError for a file that is not there or not XML.
    """
    passed = failed = skipped = 0
    for case in ElementTree.parse(path).getroot().iter("testcase"):
        if case.find("failure") is not None or case.find("error") is not None or case.get("status") == "fail":
            failed += 1
        # CTest writes "notrun" for a test whose program it could not start: that is no skip.
        elif case.find("skipped") is not None and case.get("status") != "notrun":
            skipped += 1
        elif case.find("skipped") is not None:
            message = case.find("skipped").get("message", "")
            if message.startswith(("SKIP_", "Disabled")):
                skipped += 1
            else:
                failed += 1
        else:
            passed += 1
    return passed, failed, skipped


def main(arguments):
    if len(arguments) != 1:
        print("usage: junit_sum.py FILE.xml", file=sys.stderr)
        return 2
    try:
        print(*add_up(arguments[0]))
    except (OSError, ElementTree.ParseError) as problem:
        print(f"junit_sum: {arguments[0]}: {problem}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
