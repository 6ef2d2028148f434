"""What tests of the built program share."""

import json
import os
import pathlib
import subprocess

ROOT = pathlib.Path(__file__).resolve().parent.parent
PROGRAM = pathlib.Path(os.environ.get("TALLY", ROOT / "build/bench/tally")).absolute()


def listed():
    """The rows of `tally list` of the program under test; none where it is not built."""
    if not PROGRAM.is_file():
        return []
    return json.loads(subprocess.run([PROGRAM, "list", "--json"], capture_output=True, check=True, timeout=60).stdout)["models"]


def models_on(stream):
    """The names of the models that run the stream, without `limit`."""
    return [row["name"] for row in ROWS if row["streams"][stream]["runs"] and not row["ceiling"]]


ROWS = listed()
NAMES = [row["name"] for row in ROWS]
BY_DEFAULT = [row["name"] for row in ROWS if row["by_default"]]
# Lines of every kind: a key twice, empty, with CRLF, without an end.
LOG = (b"b x 1\na y 2\n\nb z 3\nc x 1\r\nb x 1\n" b"no final newline")


def refused(done, *said, status=2):
    """Exactly one line on stderr, nothing on stdout, and every part of `said` in the line."""
    text = done.stderr.decode()
    assert done.returncode == status, (done.returncode, text)
    assert done.stdout == b""
    assert text.startswith("tally: ") and text.count("\n") == 1 and text.endswith("\n"), text
    for part in said:
        assert part in text, (part, text)
