"""`tally count` on formats that others read too: against Python's csv, json and re, on generated and nasty files."""

import collections
import csv
import datetime
import gzip
import io
import json
import os
import pty
import random
import re
import shutil
import signal
import subprocess
import sys
import time

import pytest

from command_line import models_on, refused

MODELS = models_on("cpu")

KEYS = ["a", "b c", "", " padded ", "comma,ed", 'quo"ted', '"', "line\nbreak", "cr\r\nlf", "é", "日本", "\U0001f600", "'", "\\", "tab\t", "x" * 3000]


def counted(done):
    """The counts that `--json` printed, and how many lines were malformed."""
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    return {entry["key"]: entry["count"] for entry in found["counts"]}, found["malformed"]


def csv_text(rows, **options):
    out = io.StringIO()
    csv.writer(out, **options).writerows(rows)
    return out.getvalue()


@pytest.mark.parametrize("options", [{}, {"lineterminator": "\n"}, {"quoting": csv.QUOTE_ALL}])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_csv_counts_as_pythons_reader_has_it(tally, tmp_path, options, mark):
    draw = random.Random(1)
    rows = [["note", "the,key", "n"]] + [[draw.choice(KEYS), draw.choice(KEYS), str(n)] for n in range(3000)]
    text = mark + csv_text(rows, **options)
    (tmp_path / "f").write_bytes(text.encode())
    expected = collections.Counter(row["the,key"] for row in csv.DictReader(io.StringIO(text.removeprefix("\ufeff"), newline="")))
    for key in "the,key", "2":
        assert counted(tally("count", "f", "--format", "csv", "--key", key, "--json")) == (expected, 0)


@pytest.mark.parametrize("model", MODELS)
def test_csv_counts_alike_with_every_model(tally, tmp_path, model):
    draw = random.Random(2)
    rows = [["k", "v"]] + [[draw.choice(KEYS), draw.choice(KEYS)] for _ in range(5000)]
    (tmp_path / "f").write_bytes(csv_text(rows).encode())
    expected = collections.Counter(row[0] for row in rows[1:])
    for workers in 1, 3:
        arguments = ["--format", "csv", "--key", "k", "--json", "--model", model, "--workers", workers]
        assert counted(tally("count", "f", *arguments)) == (expected, 0)
        with open(tmp_path / "f", "rb") as file:
            assert counted(tally("count", "-", *arguments, stdin=file)) == (expected, 0)


def test_csv_without_a_header_counts_its_first_row(tally, tmp_path):
    (tmp_path / "f").write_bytes(b"a,1\nb,2\na,3\n")
    assert tally("count", "f", "--format", "csv", "--key", "1", "--no-header").stdout == b"2\ta\n1\tb\n"


@pytest.mark.parametrize("row, reason", [
    (b'st"ray,1', "a quote inside a field that does not begin with one"),
    (b'"clo"sed,1', "more after a closing quote"),
    (b"few", "fewer fields than the first row"),
    (b"ma,n,y", "more fields than the first row"),
    (b"\xff,1", "invalid UTF-8"),
    (b"", "empty line"),
    (b'x,"never closed', "a quote is not closed"),
])
def test_malformed_csv_is_told_with_its_line(tally, tmp_path, row, reason):
    (tmp_path / "f").write_bytes(b'k,v\n"a\n\n",1\n' + row + b"\nb,1\n")
    done = tally("count", "f", "--format", "csv", "--key", "v")
    assert done.returncode == 0 and done.stdout == b"2\t1\n"
    assert done.stderr.decode().splitlines() == [f"tally: f:5: {reason}", "tally: f: 1 of 3 lines are malformed and not counted"]
    done = tally("count", "f", "--format", "csv", "--key", "v", "--strict")
    assert done.returncode == 1 and done.stdout == b"" and f"f:5: {reason}" in done.stderr.decode()


def a_document(draw, depth=3):
    """Some JSON value."""
    kind = draw.randrange(7 if depth else 5)
    if kind == 5:
        return {draw.choice(KEYS): a_document(draw, depth - 1) for _ in range(draw.randrange(4))}
    if kind == 6:
        return [a_document(draw, depth - 1) for _ in range(draw.randrange(4))]
    return [None, draw.random() < 0.5, draw.randrange(-10**12, 10**12), draw.uniform(-1e9, 1e9), draw.choice(KEYS)][kind]


def test_ndjson_counts_as_pythons_reader_has_it(tally, tmp_path):
    draw = random.Random(3)
    lines = []
    for n in range(4000):
        inner = {"before": a_document(draw), "who": draw.choice(KEYS) if n % 10 else a_document(draw), "after": a_document(draw)}
        line = json.dumps({"x": a_document(draw), "user": inner if n % 50 else a_document(draw)}, ensure_ascii=n % 2 == 0)
        if n % 100 == 99:
            line = line[: draw.randrange(len(line))]  # broken off
        lines.append(line)
    data = "\n".join(lines).encode("utf-8", "surrogatepass")
    expected, malformed = collections.Counter(), 0
    for line in lines:
        try:
            key = json.loads(line)["user"]["who"]
            assert isinstance(key, str)
            expected[key] += 1
        except (ValueError, KeyError, TypeError, AssertionError):
            malformed += 1
    (tmp_path / "f").write_bytes(data)
    assert counted(tally("count", "f", "--format", "ndjson", "--key", "user.who", "--json")) == (expected, malformed)


@pytest.mark.parametrize("line, reason", [
    (b'{"k": null}', "the key is null, not a string"),
    (b'{"k": 7}', "the key is a number, not a string"),
    (b'{"k": true}', "the key is true or false, not a string"),
    (b'{"k": {"k": "a"}}', "the key is nested, not a string"),
    (b'{"k": ["a"]}', "the key is nested, not a string"),
    (b'{"j": "a"}', "the key is missing"),
    (b'{"k": "a", "k": "b"}', "the key stands there twice"),
    (b'{"k": "a"', "broken JSON"),
    (b'{"k": "a", "j": \xff}', "invalid UTF-8"),
    (b"", "empty line"),
])
def test_malformed_ndjson_is_told_with_its_line(tally, tmp_path, line, reason):
    (tmp_path / "f").write_bytes(b'{"k": "x"}\r\n' + line + b'\n{"k": "\\u0078"}\n')
    done = tally("count", "f", "--format", "ndjson", "--key", "k")
    assert done.returncode == 0 and done.stdout == b"2\tx\n"
    assert done.stderr.decode().splitlines()[0].startswith(f"tally: f:2: {reason}")
    assert tally("count", "f", "--format", "ndjson", "--key", "k", "--strict").returncode == 1


def test_regex_counts_as_pythons_has_it(tally, tmp_path):
    draw = random.Random(4)
    lines = [f"{draw.choice('abc')}={draw.choice(KEYS)!r} user={draw.choice('xyz')}{'' if n % 7 else '!'}" for n in range(2000)]
    pattern = r"user=(\w)$"
    expected = collections.Counter(m[1] for m in map(re.compile(pattern).search, lines) if m)
    (tmp_path / "f").write_bytes("\n".join(lines).encode())
    done = tally("count", "f", "--format", "regex", "--key-regex", pattern, "--json")
    assert counted(done) == (expected, 2000 - sum(expected.values()))
    assert b"f:1: the regex does not match" in done.stderr


def test_regex_may_name_the_times_group(tally, tmp_path):
    (tmp_path / "f").write_bytes(b"ann 60\nbob 119\nann 120\nann soon\n\xff 1\n")
    done = tally("count", "f", "--format", "regex", "--key-regex", r"^(\S+) (?P<at>\S+)", "--time", "at", "--time-format", "epoch-s",
                 "--window", "60s")
    assert done.stdout == b"60\t2\t2\n120\t1\t1\n"
    assert done.stderr.decode().splitlines()[:2] == ["tally: f:4: time is not a number since 1970", "tally: f:5: invalid UTF-8"]


@pytest.mark.parametrize("form, write", [
    ("iso", lambda t: t.isoformat()),
    ("iso", lambda t: t.astimezone(datetime.timezone(datetime.timedelta(hours=5, minutes=30))).isoformat(sep=" ")),
    ("epoch-s", lambda t: str(int(t.timestamp()))),
    ("epoch-ms", lambda t: str(int(t.timestamp()) * 1000 + 999)),
    ("epoch-us", lambda t: str(int(t.timestamp()) * 10**6 + 999_999)),
    ("epoch-ns", lambda t: str(int(t.timestamp()) * 10**9 + 999_999_999)),
    ("%d/%b/%Y:%H:%M:%S %z", lambda t: t.strftime("%d/%b/%Y:%H:%M:%S %z")),
    ("%A, %d. %B %y, %I:%M:%S %p", lambda t: t.strftime("%A, %d. %B %y, %I:%M:%S %p")),
])
@pytest.mark.parametrize("file_format", ["csv", "ndjson"])
def test_windows_are_of_the_times_as_python_writes_them(tally, tmp_path, form, write, file_format):
    draw = random.Random(5)
    times = [datetime.datetime.fromtimestamp(draw.randrange(10**9, 2 * 10**9), datetime.timezone.utc) for _ in range(300)]
    if file_format == "csv":
        data = csv_text([["k", "t"], *([f"key{n % 3}", write(t)] for n, t in enumerate(times))])
    else:
        data = "".join(json.dumps({"k": f"key{n % 3}", "t": write(t)}) + "\n" for n, t in enumerate(times))
    expected = collections.Counter(int(t.timestamp()) // 3600 * 3600 for t in times)
    (tmp_path / "f").write_bytes(data.encode())
    done = tally("count", "f", "--format", file_format, "--key", "k", "--time", "t", "--time-format", form, "--window", "3600s")
    assert done.stderr == b""
    assert {int(row.split()[0]): int(row.split()[1]) for row in done.stdout.splitlines()} == expected


def test_dates_that_do_not_parse_are_malformed(tally, tmp_path):
    (tmp_path / "f").write_bytes(b"k,t\na,2024-02-29\na,2023-02-29\na,\na,2024-13-01\n")
    done = tally("count", "f", "--format", "csv", "--key", "k", "--time", "t", "--time-format", "%Y-%m-%d", "--window", "86400s")
    assert done.stdout == b"1709164800\t1\t1\n"
    assert [row.split(": ")[1] for row in done.stderr.decode().splitlines()[:3]] == ["f:3", "f:4", "f:5"]


NASTY = b'k,v\r\n"a\n1",x\r\n' + "é,y\r\n".encode() + b'st"ray,z\r\n"a\n1",\n'


def packed(data, how, tmp_path):
    if how == "plain":
        return data
    if how == "gzip":
        return gzip.compress(data[:20]) + gzip.compress(data[20:])
    if shutil.which("zstd") is None:
        pytest.skip("zstd is not installed")
    return subprocess.run(["zstd", "-c"], input=data, capture_output=True, check=True).stdout


@pytest.mark.parametrize("how", ["plain", "gzip", "zstd"])
def test_files_and_standard_input_count_alike_however_compressed(tally, tmp_path, how):
    data = NASTY + NASTY.removeprefix(b"k,v\r\n") * 30_000
    (tmp_path / "f").write_bytes(packed(data, how, tmp_path))
    arguments = ["--format", "csv", "--key", "k"]
    by_file = tally("count", "f", *arguments)
    assert by_file.stdout == b"60002\ta\n1\n30001\t\xc3\xa9\n"
    piped = tally("count", "-", *arguments, input=(tmp_path / "f").read_bytes())
    assert piped.stdout == by_file.stdout
    assert piped.stderr == by_file.stderr.replace(b"tally: f:", b"tally: standard input:")
    lines = by_file.stderr.decode().splitlines()
    assert [line.split(":")[2] for line in lines[:5]] == ["5", "11", "17", "23", "29"], lines


@pytest.mark.parametrize("how", ["gzip", "zstd"])
def test_cut_off_or_damaged_input_is_an_error_that_says_how_far_it_got(tally, tmp_path, how):
    whole = packed(b"".join(b"line %d\n" % (n * n % 9973) for n in range(100_000)), how, tmp_path)
    for cut in whole[: len(whole) // 2], whole[:-1]:
        (tmp_path / "f").write_bytes(cut)
        refused(tally("count", "f"), f"cannot read f: the {how} file is cut off", f"{len(cut)} bytes of it were read", "came out", status=1)
        refused(tally("count", "-", input=cut), "standard input", "cut off", status=1)
    (tmp_path / "f").write_bytes(whole[:5000] + bytes(b ^ 0xFF for b in whole[5000:5100]) + whole[5100:])
    refused(tally("count", "f"), "f", "damaged", "bytes of it were read", "came out", status=1)


def test_csv_output_is_read_by_pythons_reader(tally, tmp_path):
    (tmp_path / "f").write_bytes(csv_text([["k"], *([key] for key in KEYS)], quoting=csv.QUOTE_ALL).encode())
    done = tally("count", "f", "--format", "csv", "--key", "k", "--csv")
    assert done.stderr == b""
    rows = list(csv.reader(io.StringIO(done.stdout.decode(), newline="")))
    assert rows[0] == ["key", "count"] and {row[0]: row[1] for row in rows[1:]} == {key: "1" for key in KEYS}
    assert tally("count", "f", "--format", "csv", "--key", "k", "--csv", "--top", "1").stdout == b"key,count\r\n,1\r\n"
    (tmp_path / "g").write_bytes(b"1970-01-01 a\n")
    done = tally("count", "g", "--key", "2", "--time", "1", "--window", "60s", "--csv")
    assert done.stdout == b"window_start,events,distinct_keys\r\n0,1,1\r\n"


# A program's peak is at least that of who forked it: this one is small.
LAUNCHER = """
import os, sys
child = os.fork()
if child == 0:
    os.execv(sys.argv[1], sys.argv[1:])
_, status, usage = os.wait4(child, 0)
print(usage.ru_maxrss, file=sys.stderr)
sys.exit(os.waitstatus_to_exitcode(status))"""
PIECE = b"".join(b"a line with key%d in it\n" % (n * n % 9973) for n in range(50_000))


def peak_rss(program, size, path):
    """KiB at the peak while so many bytes are counted, through a pipe if the path is -."""
    with subprocess.Popen([sys.executable, "-c", LAUNCHER, program, "count", path, "--key", "4"], stdin=subprocess.PIPE,
                          stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as child:
        for _ in range(size // len(PIECE) if path == "-" else 0):
            child.stdin.write(PIECE)
        child.stdin.close()
        peak = int(child.stderr.read())
    assert child.returncode == 0
    return peak


@pytest.mark.slow
def test_memory_does_not_grow_with_what_comes_through_a_pipe(program):
    small, large = (peak_rss(program, size, "-") for size in (100_000_000, 300_000_000))
    assert abs(large - small) <= 16 * 1024 and large <= 256 * 1024, (small, large)


@pytest.mark.slow
def test_memory_does_not_grow_with_a_file(program, tmp_path):
    peaks = []
    for pieces in 10, 100:
        with open(tmp_path / "f", "wb") as file:
            for _ in range(pieces):
                file.write(PIECE)
        peaks.append(peak_rss(program, None, tmp_path / "f"))
    assert abs(peaks[1] - peaks[0]) <= 4 * 1024 and peaks[1] <= 32 * 1024, peaks


def test_a_stop_signal_ends_it_with_130_and_no_counts(program):
    for number in signal.SIGINT, signal.SIGTERM:
        child = subprocess.Popen([program, "count", "-"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        with open(f"/proc/{child.pid}/status", encoding="utf-8") as status:
            # Until it has said what to do with the signal.
            while not any(line.startswith("SigCgt") and int(line.split()[1], 16) & 1 << number - 1 for line in status):
                status.seek(0)
                time.sleep(0.01)
        child.stdin.write(b"a\n")
        child.stdin.flush()
        child.send_signal(number)
        out, err = child.communicate(timeout=30)
        assert (child.returncode, out) == (130, b"") and b"interrupted" in err


@pytest.mark.slow
def test_progress_is_shown_on_a_terminal_alone(program):
    piece = b"".join(b"line %d\n" % n for n in range(100_000))
    for arguments, shown in ([], True), (["--no-progress"], False):
        outer, inner = pty.openpty()
        child = subprocess.Popen([program, "count", "-", *arguments], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=inner)
        os.close(inner)
        began = time.monotonic()
        # Longer than it keeps silent, in more than one block.
        while time.monotonic() - began < 1:
            child.stdin.write(piece)
            time.sleep(0.02)
        child.stdin.close()
        assert child.wait(timeout=60) == 0
        said = b""
        try:
            while chunk := os.read(outer, 4096):
                said += chunk
        except OSError:  # how a terminal says that nobody is there any more
            pass
        os.close(outer)
        assert (b"iB/s" in said or b"B/s" in said) == shown, said
        assert not said or said.endswith(b"\r\x1b[K")


@pytest.mark.parametrize("arguments, said", [
    (["--format", "csv"], ["key", "column"]),
    (["--format", "csv", "--key", "nobody"], ["f: key 'nobody'", "the header has who, who, when"]),
    (["--format", "csv", "--key", "who"], ["f: key 'who'", "2 times"]),
    (["--format", "csv", "--key", "when", "--time", "who", "--window", "1s"], ["time 'who'", "2 times"]),
    (["--format", "csv", "--key", "4"], ["key '4'"]),
    (["--format", "csv", "--key", "who", "--no-header"], ["without a header"]),
    (["--format", "csv", "--key", "5", "--no-header"], ["the first row has 3"]),
    (["--format", "ndjson"], ["key", "user.id"]),
    (["--format", "ndjson", "--key", "a..b"], ["a..b"]),
    (["--format", "ndjson", "--key", "a", "--no-header"], ["csv"]),
    (["--format", "regex"], ["key regex"]),
    (["--format", "regex", "--key-regex", "("], ["missing"]),
    (["--format", "regex", "--key-regex", "a"], ["0 groups"]),
    (["--format", "regex", "--key-regex", "(a)(b)"], ["2 groups"]),
    (["--format", "regex", "--key-regex", "(a)", "--key", "1"], ["key '1'"]),
    (["--key-regex", "(a)"], ["regex"]),
    (["--format", "csv", "--key", "when", "--window", "60s"], ["time"]),
    (["--format", "csv", "--key", "when", "--time-format", "iso"], ["--time-format", "--window"]),
    (["--format", "csv", "--key", "when", "--time", "when", "--time-format", "rfc", "--window", "60s"], ["rfc", "epoch-ms", "strptime"]),
    (["--format", "csv", "--key", "when", "--time", "when", "--time-format", "%H:%M", "--window", "60s"], ["date"]),
    (["--format", "clf", "--time-format", "iso", "--window", "60s"], ["clf"]),
    (["--json", "--csv"], ["--json", "--csv"]),
])
def test_a_wrong_format_gets_one_line(tally, tmp_path, arguments, said):
    (tmp_path / "f").write_bytes(b"who,who,when\n1,2,3\n")
    refused(tally("count", "f", *arguments), *said)


def test_run_measures_every_format_and_says_how_it_was_read(tally, tmp_path):
    (tmp_path / "f").write_bytes(b"k,t\n" + b'"a\n""b""",2024/05/01\nc,2024/05/02\nbad\n' * 500)
    done = tally("run", "--input", "f", "--format", "csv", "--key", "k", "--time", "t", "--time-format", "%Y/%m/%d", "--window", "86400s",
                 "--model", "sequential,thread_pool,process_shard", "--batch", "1,64", "--rounds", "1", "--workers", "2", "--out", "r.json",
                 "--no-progress")
    assert done.returncode == 0, done.stderr
    written = json.loads((tmp_path / "r.json").read_text())
    told = written["context"]["input"]
    assert (told["format"], told["key"], told["time"], told["time_format"], told["header"]) == ("csv", "k", "t", "%Y/%m/%d", True)
    refused(tally("run", "--input", "f", "--format", "csv", "--key", "nobody", "--no-progress"), "f: key 'nobody'")


def test_serving_csv_is_refused_with_what_to_write_instead(tally):
    refused(tally("serve", "--format", "csv", "--key", "1"), "csv", "ndjson")
    refused(tally("serve", "--time-format", "iso"), "--format")
