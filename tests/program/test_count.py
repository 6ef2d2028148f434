"""`tally count`: a real file counted from the command line."""

import collections
import gzip
import json
import os
import subprocess

import pytest

from command_line import LOG, models_on, refused

MODELS = models_on("cpu")


def expected_lines(data, key):
    """What `tally count --format lines` prints, by another program."""
    counts = collections.Counter()
    for line in data.removesuffix(b"\n").split(b"\n"):
        line = line.removesuffix(b"\r")
        fields = line.split()
        if key is None:
            counts[line] += 1
        elif len(fields) >= key:
            counts[fields[key - 1]] += 1
    return b"".join(b"%d\t%s\n" % (n, k) for k, n in sorted(counts.items(), key=lambda item: (-item[1], item[0])))


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("workers", [1, 3])
def test_count_is_the_same_for_all_models(tally, tmp_path, model, workers):
    data = LOG + b"".join(b"\nkey%d" % (i * i % 997) for i in range(20_000))
    (tmp_path / "f").write_bytes(data)
    done = tally("count", "f", "--model", model, "--workers", workers)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == expected_lines(data, None)


def test_count_takes_the_greatest(tally, tmp_path):
    (tmp_path / "f").write_bytes(LOG)
    done = tally("count", "f", "--key", "1", "--top", "2")
    assert done.stdout == b"3\tb\n1\ta\n"


def test_count_reads_gzip(tally, tmp_path):
    (tmp_path / "f.gz").write_bytes(gzip.compress(LOG))
    assert tally("count", "f.gz").stdout == expected_lines(LOG, None)


def test_count_prints_windows(tally, tmp_path):
    (tmp_path / "f").write_bytes(b"2024-05-01 12:00:00 a\n2024-05-01 12:00:59 a\n2024-05-01 12:01:00 b\n")
    done = tally("count", "f", "--key", "3", "--time", "1", "--window", "60s")
    assert done.stdout == b"1714564800\t2\t1\n1714564860\t1\t1\n"


def test_count_as_json_holds_everything(tally, tmp_path):
    (tmp_path / "f").write_bytes(b"a\nb\na\n\xff\xfe\n")
    found = json.loads(tally("count", "f", "--json", "--model", "fibers", "--workers", "2").stdout)
    assert (found["events"], found["malformed"], found["model"], found["workers"]) == (4, 0, "fibers", 2)
    assert found["counts"][0] == {"key": "a", "count": 2}
    assert found["counts"][2]["key_hex"] == "fffe"


def test_an_empty_file_counts_as_empty(tally, tmp_path):
    (tmp_path / "f").write_bytes(b"")
    done = tally("count", "f")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_malformed_lines_are_counted_and_reported_with_line_number(tally, tmp_path):
    (tmp_path / "f").write_bytes(b"a 1\nb\nc 3\nd\n")
    done = tally("count", "f", "--key", "2")
    assert done.returncode == 0 and done.stdout == b"1\t1\n1\t3\n"
    lines = done.stderr.decode().splitlines()
    assert lines[0].startswith("tally: f:2: ") and lines[1].startswith("tally: f:4: ")
    assert "2 of 4 lines are malformed" in lines[2]


def test_strict_makes_malformed_lines_an_error(tally, tmp_path):
    (tmp_path / "f").write_bytes(b"a 1\nb\n")
    done = tally("count", "f", "--key", "2", "--strict")
    assert done.returncode == 1 and done.stdout == b"" and b"f:2: " in done.stderr
    (tmp_path / "f").write_bytes(b"a 1\n")
    assert tally("count", "f", "--key", "2", "--strict").returncode == 0


def test_cut_off_gzip_says_how_far_it_got(tally, tmp_path):
    whole = gzip.compress(b"".join(b"line %d\n" % i for i in range(100_000)))
    (tmp_path / "f.gz").write_bytes(whole[: len(whole) // 2])
    done = tally("count", "f.gz")
    refused(done, "f.gz", status=1)
    assert any(character.isdigit() for character in done.stderr.decode().replace("f.gz", ""))


def test_lines_of_every_kind_are_counted(tally, tmp_path):
    data = b"x" * 10_000_000 + b"\n" + bytes(range(256)).replace(b"\n", b"") + b"\ncrlf\r\ncrlf\r\nlast"
    (tmp_path / "f").write_bytes(data)
    assert tally("count", "f").stdout == expected_lines(data, None)


@pytest.mark.parametrize("arguments, said", [
    (["missing"], ["missing"]),
    (["."], ["directory"]),
    ([], ["FILE"]),
    (["f", "g"], ["unexpected argument 'g'"]),
    (["f", "--model", "goroutines"], MODELS),
    (["f", "--format", "xml"], ["lines, clf, csv, ndjson, regex"]),
    (["f", "--format", "clf", "--key", "referer"], ["host", "target"]),
    (["f", "--key", "0"], ["key"]),
    (["f", "--workers", "0"], ["--workers"]),
    (["f", "--top", "0"], ["--top"]),
    (["f", "--window", "0.5s", "--time", "1"], ["--window"]),
    (["f", "--window", "60s"], ["time"]),
    (["f", "--time", "1"], ["--window"]),
    (["f", "--keys", "5"], ["--key", "--top"]),
])
def test_a_wrong_count_gets_one_line(tally, tmp_path, arguments, said):
    (tmp_path / "f").write_bytes(LOG)
    refused(tally("count", *arguments), *said)


def test_a_full_disk_is_reported(program, tmp_path):
    (tmp_path / "f").write_bytes(LOG)
    for arguments in ["count", tmp_path / "f"], ["list"], ["list", "--json"], ["--help"], ["run", "--benchmark_list_tests"]:
        with open("/dev/full", "wb") as full:
            done = subprocess.run([program, *arguments], stdout=full, stderr=subprocess.PIPE)
        assert done.returncode == 1, arguments
        assert done.stderr.startswith(b"tally: cannot write to standard output: No space left"), done.stderr
        assert done.stderr.count(b"\n") == 1


def test_a_closed_pipe_is_reported(program, tmp_path):
    (tmp_path / "f").write_bytes(b"".join(b"%d\n" % i for i in range(200_000)))
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([program, "count", tmp_path / "f"], stdout=writer, stderr=subprocess.PIPE)
    os.close(writer)
    assert done.returncode == 1 and b"cannot write to standard output" in done.stderr


def test_a_real_log_counts_as_awk_has_it(tally, root):
    log = next((path for path in [root / "data/apache_access.log.gz", root.parent / "shared/data/apache_access.log.gz"]
                if path.is_file()), None)
    if log is None:
        pytest.skip("apache_access.log.gz is not beside the project")
    counts = collections.Counter()
    for line in gzip.open(log):
        counts[line.split(b" ")[0]] += 1
    done = tally("count", log, "--format", "clf", "--key", "host", "--top", "20")
    assert done.returncode == 0
    found = [line.split(b"\t") for line in done.stdout.splitlines()]
    best = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:20]
    assert [(key, int(n)) for n, key in found] == best
