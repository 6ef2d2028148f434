"""`--io`: what the command line makes of it, where the kernel lets io_uring be used and where it does not."""

import ctypes
import errno
import json
import struct

import pytest

from command_line import refused
from test_serve import serve, windows  # noqa: F401  (a fixture)

WAITING = ["tbb_flow_graph", "fibers", "coroutines", "event_loop", "limit"]
LOOKUP = ["--stream", "lookup", "--workers", "1", "--in-flight", "7", "--wait", "100us"]


@pytest.fixture
def io_uring(tally):
    uring = json.loads(tally("list", "--json").stdout)["io"]["io_uring"]
    if not uring["available"]:
        pytest.skip(uring["reason"])


def without_io_uring(error):
    """What makes a child's io_uring_setup(2) fail with `error`, as containers do: a filter of system calls (seccomp(2))."""
    setup, load, equals, give = 425, 0x20, 0x15, 0x06
    program = b"".join(struct.pack("HBBI", *line) for line in [
        (load, 0, 0, 0), (equals, 0, 1, setup), (give, 0, 0, 0x00050000 | error), (give, 0, 0, 0x7fff0000)])

    def confine():
        libc = ctypes.CDLL(None, use_errno=True)
        lines = ctypes.create_string_buffer(program)
        described = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(lines))
        no_new_privileges, set_seccomp, filter_mode = 38, 22, 2
        if libc.prctl(no_new_privileges, 1, 0, 0, 0) or libc.prctl(set_seccomp, filter_mode, described, 0, 0):
            raise OSError(ctypes.get_errno(), "prctl")

    return confine


def names(done):
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode().split()


def test_list_says_who_waits_as_told(tally):
    text = tally("list").stdout.decode()
    assert "--io epoll,io_uring on lookup and ingest: " + ", ".join(WAITING) in text
    rows = json.loads(tally("list", "--json").stdout)["models"]
    assert [row["name"] for row in rows if row["io"] == ["epoll", "io_uring"]] == WAITING


@pytest.mark.parametrize("error, why", [(errno.EPERM, "confines this process"), (errno.ENOSYS, "has no io_uring")])
def test_where_it_is_forbidden_it_is_unavailable_because(tally, error, why):
    forbidden = {"preexec_fn": without_io_uring(error)}
    done = tally("list", **forbidden)
    assert done.returncode == 0
    assert "io_uring: unavailable, because io_uring_setup: " in done.stdout.decode() and why in done.stdout.decode()
    listed = json.loads(tally("list", "--json", **forbidden).stdout)["io"]["io_uring"]
    assert not listed["available"] and why in listed["reason"]
    for command in ("run", *LOOKUP), ("serve",):
        refused(tally(*command, "--io", "io_uring", **forbidden), "--io io_uring", "unavailable", why, "--io epoll")
    assert names(tally("run", "--benchmark_list_tests", "--model", "coroutines", *LOOKUP, **forbidden)) == [
        "lookup/coroutines/workers:1/wait_us:100/in_flight:7"]


def test_other_ways_are_refused(tally):
    refused(tally("run", "--io", "kqueue"), "--io", "kqueue", "epoll", "io_uring")


def test_cells_of_io_uring_are_of_models_that_wait_on_it(tally, io_uring):
    cells = names(tally("run", "--benchmark_list_tests", "--model", "sequential,thread_pool,process_shard,coroutines,limit",
                        "--io", "epoll,io_uring", *LOOKUP))
    waits = "/workers:1/wait_us:100/in_flight:7"
    assert cells == ["lookup/sequential/workers:1/wait_us:100/in_flight:1", f"lookup/thread_pool{waits}", f"lookup/process_shard{waits}",
                     f"lookup/coroutines{waits}", f"lookup/limit{waits}",
                     f"lookup/coroutines{waits}/io_uring:1", f"lookup/limit{waits}/io_uring:1"]


def test_models_that_block_alone_leave_no_cell_over_io_uring(tally, io_uring):
    refused(tally("run", "--model", "sequential,thread_pool", "--io", "io_uring", *LOOKUP), "no cell")
    done = tally("run", "--benchmark_list_tests", "--model", "coroutines", "--stream", "cpu", "--io", "io_uring", "--workers", "1",
                 "--grain", "0", "--batch", "1")
    assert names(done) == ["cpu/coroutines/workers:1/grain_ns:0/batch:1"]


@pytest.mark.parametrize("stream", [["--stream", "lookup", "--in-flight", "1", "--wait", "100us", "--events", "200"],
                                    ["--stream", "ingest", "--connections", "3", "--events", "5000"],
                                    ["--stream", "ingest", "--lookup", "--connections", "3", "--wait", "100us", "--events", "500"]])
def test_a_campaign_over_both_is_verified_and_compared(tally, io_uring, tmp_path, root, stream):
    done = tally("run", "--io", "epoll,io_uring", "--model", "sequential,event_loop,limit", "--workers", "1", "--rounds", "2",
                 *stream, "--out", "r.json", "--no-progress", timeout=100)
    assert done.returncode == 0, done.stderr.decode()
    assert "over io_uring" in done.stdout.decode()
    result = json.loads((tmp_path / "r.json").read_text())
    samples = [entry for entry in result["benchmarks"] if entry["run_type"] == "iteration"]
    assert all(sample["verified"] for sample in samples)
    over = {entry["run_name"] for entry in samples if entry.get("io_uring") == 1}
    assert {name.split("/")[1] for name in over} == {"event_loop", "limit"}
    assert over == {entry["run_name"] for entry in samples if entry["run_name"].endswith("/io_uring:1")}
    medians = {entry["run_name"]: entry for entry in result["benchmarks"] if entry.get("aggregate_name") == "median"}
    assert all("ratio_to_sequential" in medians[name] for name in over)
    # Each way of waiting has a `limit` of its own, and sequential is compared with that of the way that it shares.
    rates = {(s["run_name"], s["round"]): s["items_per_second"] for s in samples}
    for name in medians:
        limit = next(other for other in medians if "/limit/" in other and (other in over) == (name in over))
        shares = [rates[name, round_] / rates[limit, round_] for round_ in range(2)]
        assert medians[name]["of_limit"] == pytest.approx(sum(shares) / 2)


@pytest.mark.parametrize("model", WAITING)
def test_serving_over_io_uring_counts_what_comes(serve, io_uring, model):
    server = serve("--io", "io_uring", "--window", "0", "--model", model, "--workers", "2")
    for piece in 1, 7, 1 << 20:
        server.send(b"".join(b"%d\tkey%d\n" % (1000 + i % 3, i % 11) for i in range(500)), piece)
    # One that still has its connection open when the server is to stop: what it sent is counted.
    with server.connect() as connection:
        connection.sendall(b"1000\tlast\n" * 10)
        server.send(b"1000\tother\n")
        out, err, status = server.stop()
    assert (status, err) == (0, "")
    assert list(windows(out).values()) == [(1511, 13)]


def test_a_model_that_blocks_does_not_serve_over_io_uring(tally, io_uring):
    refused(tally("serve", "--io", "io_uring", "--model", "thread_pool"), "thread_pool", "tally list")
