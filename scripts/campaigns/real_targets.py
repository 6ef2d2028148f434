"""What `tally count` must reach on real formats, beside mawk and jq.

The data is made here, the same every time: an access log in Combined Log Format whose 10,000 targets are drawn by Zipf's law, and the same
requests as NDJSON, 1 GB each, made by repeating some 200,000 lines; they lie in --scratch while they are needed. Each program has as many
CPUs as it has workers (taskset), counts the same file in every round, from the page cache, and its counts are checked. For the peak of
memory, 1 GB and 10 GB are sent through a pipe. mawk and jq must be installed (apt-get install mawk jq).
"""

import bisect
import collections
import contextlib
import functools
import itertools
import json
import os
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile

from tally import results
from tally.judging import Figure, Missing, Target, by_targets, cell, of, only, over, ratio
from tally.measuring import CPUS, flags, in_rounds, keep, on_cpu, ran

TARGETS_IN_LOG = 10_000
LINES = 200_000
GIGABYTE = 10**9
JQ_SHARE = 10  # jq counts this part of the NDJSON: all of it would take minutes a round
PATIENCE_S = 600
AGENTS = ("Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
          "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36",
          "Mozilla/5.0 (compatible; bot/2.1; +http://www.example.com/bot.html)", "curl/7.88.1")


def requests():
    """The requests: host, time of day, target, status, bytes, referer, agent."""
    draw = random.Random(1)
    cumulated = list(itertools.accumulate(1 / rank for rank in range(1, TARGETS_IN_LOG + 1)))
    sections = ("articles", "images/thumbnails", "api/v1/items", "static/css", "search")
    targets = [f"/{sections[n % len(sections)]}/{draw.randrange(16**8):08x}{'.html' if n % 3 else ''}" for n in range(TARGETS_IN_LOG)]
    for n in range(LINES):
        second = n * 86_400 // LINES
        yield (".".join(str(draw.randrange(1, 255)) for _ in range(4)),
               f"{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}",
               targets[bisect.bisect_left(cumulated, draw.random() * cumulated[-1])],
               draw.choice((200, 200, 200, 304, 404)), draw.randrange(100_000),
               draw.choice(("-", "https://www.example.com/articles/")), draw.choice(AGENTS))


def clf_line(host, clock, target, status, size, referer, agent):
    """A request in Combined Log Format."""
    return f'{host} - - [01/May/2024:{clock} +0000] "GET {target} HTTP/1.1" {status} {size} "{referer}" "{agent}"\n'


def ndjson_line(host, clock, target, status, size, referer, agent):
    """The same as NDJSON."""
    return json.dumps({"time": f"2024-05-01T{clock}Z", "client": {"ip": host, "agent": agent},
                       "request": {"method": "GET", "target": target, "referer": referer}, "status": status, "bytes": size}) + "\n"


def piece_of(line):
    """So many lines, to be repeated, and how often each target is in them."""
    drawn = list(requests())
    return "".join(itertools.starmap(line, drawn)).encode(), collections.Counter(request[2] for request in drawn)


def options(parser):
    """Adds the options of this campaign."""
    parser.add_argument("--scratch", type=pathlib.Path, default=pathlib.Path(tempfile.gettempdir()),
                        help="folder for 1.1 GB of data meanwhile (default: %(default)s)")


@contextlib.contextmanager
def log_file(line, size, arguments):
    """A file of that many bytes or somewhat less, whole pieces; gives its path, its bytes and the counts of its targets."""
    piece, counts = piece_of(line)
    times = max(1, size // len(piece))
    if shutil.disk_usage(arguments.scratch).free < 1.1 * times * len(piece):
        raise Missing(f"{arguments.scratch} has no room for {times * len(piece)} bytes: --scratch names another folder")
    with tempfile.NamedTemporaryFile(dir=arguments.scratch, suffix=".log") as file:
        for _ in range(times):
            file.write(piece)
        file.flush()
        yield file.name, times * len(piece), {target: n * times for target, n in counts.items()}


# Runs a program, and says on the last line of standard error how many seconds it took, and the peak of its memory in KiB. A program's
# peak is at least that of who forked it, which holds the data here: this one is small.
LAUNCHER = """
import os, sys, time
began = time.monotonic()
child = os.fork()
if child == 0:
    os.execvp(sys.argv[1], sys.argv[1:])
_, status, usage = os.wait4(child, 0)
print(time.monotonic() - began, usage.ru_maxrss, file=sys.stderr)
sys.exit(os.waitstatus_to_exitcode(status))"""


def timed(command, workers=1, stdin=None):
    """Runs a command on as many CPUs as it has workers. Gives its output, seconds, and peak of resident memory in bytes."""
    launched = on_cpu(",".join(map(str, CPUS[:workers])), [sys.executable, "-c", LAUNCHER, *command])
    done = ran(launched, PATIENCE_S, statuses=None, stdin=stdin)
    *said, last = done.stderr.splitlines() or [""]
    if done.returncode != 0:
        raise Missing(f"{command[0]}: exit status {done.returncode}: {' '.join(said)[-300:]}")
    took, peak_kib = last.split()
    return done.stdout, float(took), int(peak_kib) * 1024


def counts_of(said):
    """The counts that `tally count` or mawk prints, by key."""
    return {key: int(n) for n, key in (row.split("\t") for row in said.splitlines())}


def counted(command, counts, size, workers=1, read=counts_of):
    """One sample: how many bytes a second the command counts, and that it counts right. `read` makes counts of what it prints."""
    said, took, peak = timed(command, workers)
    found = read(said)
    if found != counts:
        wrong = next(iter((found.items() ^ counts.items())), None)
        raise Missing(f"wrong count: {len(found)} keys, expected {len(counts)}; such as {wrong}")
    return {"items_per_second": size / took, "took_s": took, "peak_rss_bytes": peak}


def needed(program):
    """The name of a program. Raises Missing where it is not installed."""
    if shutil.which(program) is None:
        raise Missing(f"{program} is not installed: apt-get install {program}")
    return program


def measure_clf(name, arguments, rounds=9):
    """tally count with one worker and with two, and mawk, on the same access log."""
    mawk = needed("mawk")
    with log_file(clf_line, GIGABYTE, arguments) as (path, size, counts):
        by_mawk = [mawk, '{c[$7]++} END {for (k in c) printf "%d\\t%s\\n", c[k], k}', path]
        jobs = {"count/mawk/workers:1": functools.partial(counted, by_mawk, counts, size)}
        for workers in (1, 2) if len(CPUS) > 1 else (1,):
            command = [arguments.tally, "count", path, *flags(format="clf", key="target", workers=workers)]
            jobs[f"count/tally/workers:{workers}"] = functools.partial(counted, command, counts, size, workers)
        keep(name, in_rounds(jobs, rounds), arguments, counted_bytes=size, mawk=version([mawk, "-W", "version"]))


def measure_ndjson(name, arguments, rounds=5):
    """tally count with one worker on NDJSON, and jq on the first part of it: jq only prints the keys, counting them would take it longer."""
    jq = needed("jq")
    with (log_file(ndjson_line, GIGABYTE, arguments) as (path, size, counts),
          log_file(ndjson_line, GIGABYTE // JQ_SHARE, arguments) as (part, part_size, part_counts)):
        jobs = {"count/jq/workers:1": functools.partial(counted, [jq, "-r", ".request.target", part], part_counts, part_size,
                                                          read=lambda said: dict(collections.Counter(said.splitlines())))}
        for workers in (1, 2) if len(CPUS) > 1 else (1,):
            command = [arguments.tally, "count", path, *flags(format="ndjson", key="request.target", workers=workers)]
            jobs[f"count/tally/workers:{workers}"] = functools.partial(counted, command, counts, size, workers)
        keep(name, in_rounds(jobs, rounds), arguments, counted_bytes=size, jq_bytes=part_size, jq=version([jq, "--version"]))


def piped(gigabytes, arguments, piece, counts):
    """One sample of counting so much that comes through a pipe."""
    times = gigabytes * GIGABYTE // len(piece)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.close(reader)
            with open(writer, "wb", buffering=0) as out:
                for _ in range(times):
                    left = memoryview(piece)
                    while left:
                        left = left[out.write(left):]
            status = 0
        finally:
            os._exit(status)
    os.close(writer)
    try:
        said, took, peak = timed([arguments.tally, "count", "-", *flags(format="clf", workers=len(CPUS))], len(CPUS), stdin=reader)
    finally:
        os.close(reader)  # so that a writer whose reader failed ends too
        _, status = os.waitpid(child, 0)
    if status != 0:
        raise Missing("the pipe's other end failed")
    if counts_of(said) != {target: n * times for target, n in counts.items()}:
        raise Missing("wrong count")
    return {"items_per_second": times * len(piece) / took, "took_s": took, "peak_rss_bytes": peak}


def measure_memory(name, arguments, rounds=3):
    """The peak of memory on 1 GB and on 10 GB, through a pipe."""
    piece, counts = piece_of(clf_line)
    jobs = {f"count/tally/gigabytes:{size}": functools.partial(piped, size, arguments, piece, counts) for size in (1, 10)}
    keep(name, in_rounds(jobs, rounds), arguments)


def version(command):
    """What a program calls itself, in a line."""
    done = ran(command, statuses=None, stdin=subprocess.DEVNULL)
    return (done.stdout or done.stderr).strip().splitlines()[0]


def peak(found, gigabytes):
    """MiB, over all samples of one size."""
    return max(results.peak_memory(sample) for sample in cell(found, "tally", gigabytes=gigabytes).samples) / 2**20


def greatest_peak(found):
    """MiB, over all samples."""
    return Figure(max(peak(found, size) for size in (1, 10)))


def peaks_apart(found):
    """MiB by which the peak on ten times as much differs."""
    return Figure(abs(peak(found, 10) - peak(found, 1)))


SPEED_UP = over(only("tally", workers=2), only("tally", workers=1))
MEASUREMENTS = {"clf": measure_clf, "ndjson": measure_ndjson, "memory": measure_memory}
TARGETS = [
    Target("clf", "tally count, 1 worker, over mawk", ratio(results.throughput, "tally", "mawk", workers=1), 5),
    Target("clf", "tally count, 2 workers over 1", SPEED_UP, 1.8),
    *(Target("clf", f"tally count, {n} worker{'s' * (n > 1)}", of(results.throughput, "tally", 1e-9, workers=n), unit="GB/s")
      for n in (1, 2)),
    Target("clf", "mawk", of(results.throughput, "mawk", 1e-9), unit="GB/s"),
    Target("ndjson", "tally count, 1 worker, over jq", ratio(results.throughput, "tally", "jq", workers=1), 20),
    Target("ndjson", "tally count, 2 workers over 1", SPEED_UP),
    Target("ndjson", "tally count, 1 worker", of(results.throughput, "tally", 1e-9, workers=1), unit="GB/s"),
    Target("ndjson", "jq", of(results.throughput, "jq", 1e-9), unit="GB/s"),
    Target("memory", "greatest peak, 1 and 10 GB through a pipe", greatest_peak, most=256, unit="MiB"),
    Target("memory", "peaks apart, 10 GB and 1 GB", peaks_apart, most=16, unit="MiB"),
    Target("memory", "10 GB through a pipe", of(results.throughput, "tally", 1e-9, gigabytes=10), unit="GB/s"),
]

judge = by_targets(TARGETS)
