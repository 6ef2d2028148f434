"""tally-mpi: the command line under mpirun, what goes wrong there, and hosts of their own."""

import concurrent.futures
import json
import os
import shlex
import shutil
import signal
import statistics
import subprocess
import sys
import time

import pytest

import validate
from in_process import run_script

pytestmark = pytest.mark.mpi
MPIRUN = shutil.which("mpirun")
SMALL = ["--no-progress", "--rounds", "2"]


@pytest.fixture(scope="session")
def tally_mpi(program):
    path = program.parent.parent / "mpi/tally-mpi"
    if MPIRUN is None or not path.is_file():
        pytest.skip("there is no MPI here, so that tally-mpi is not built")
    return path


def environment():
    # mpirun runs as root if it is told twice, as in a container it must be.
    return os.environ | {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}


@pytest.fixture
def job(tally_mpi, tmp_path):
    """Runs `tally-mpi run` in so many ranks, in an empty folder."""

    def run(ranks, *arguments, timeout=120, program=tally_mpi, launcher=()):
        return subprocess.run([MPIRUN, "--oversubscribe", "-n", str(ranks), *launcher, program, "run", *map(str, arguments)],
                              cwd=tmp_path, capture_output=True, text=True, timeout=timeout, env=environment())

    return run


def own_lines(done):
    """What tally said on standard error; mpirun says more."""
    return [line for line in done.stderr.splitlines() if line.startswith("tally: ")]


# Long campaigns, of samples of some ms, that are not left to come to their end.
LONG = ["run", "--stream", "cpu", "--events", "1M", "--grain", "0", "--rounds", "10000", "--time-budget", "300s", "--sample-timeout", "400ms",
        "--no-progress"]


def until(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.02)


def ended(running):
    """What a job has said by its end, as (stdout, stderr). mpirun that was interrupted, or lost a rank, deadlocks now and then at its own
    end, after that of all ranks (Open MPI 4.1: PMIx_server_finalize joins a thread that waits for a lock): then it is killed."""
    try:
        return running.communicate(timeout=60)
    except subprocess.TimeoutExpired:
        running.kill()
        return running.communicate()


def children_of(name):
    return subprocess.run(["pgrep", "-f", name], capture_output=True, text=True).stdout.split()


@pytest.mark.parametrize("ranks", [1, 2, 3, 7])
def test_every_model_counts_exactly_in_any_number_of_ranks(job, tmp_path, ranks):
    done = job(ranks, "--stream", "cpu", "--model", "all", "--events", "30001", "--skew", "1.2", "--window", "3ms", "--grain", "0",
               "--out", "r.json", *SMALL)
    assert done.returncode == 0, done.stderr
    data = json.loads((tmp_path / "r.json").read_text())
    samples = [b for b in data["benchmarks"] if b["run_type"] == "iteration"]
    assert len({s["model"] for s in samples}) >= 8
    for s in samples:
        assert s["verified"] and s["events_counted"] == 30001 and s["ranks"] == ranks and len(s["per_rank"]) == ranks
    broken = [what for rule, what in validate.broken((tmp_path / "r.json").read_text()) if rule in ("schema", "work", "verified", "statistics")]
    assert not broken


def test_more_ranks_than_events_leave_some_with_none(job, tmp_path):
    done = job(3, "--stream", "cpu", "--model", "sequential,coroutines", "--events", "2", "--grain", "0", "--out", "r.json", *SMALL)
    assert done.returncode == 0, done.stderr
    sample = json.loads((tmp_path / "r.json").read_text())["benchmarks"][0]
    assert sorted(rank["events"] for rank in sample["per_rank"]) == [0, 1, 1]


def test_lookups_are_shared_out(job, tmp_path):
    done = job(2, "--stream", "lookup", "--model", "sequential,coroutines,process_shard", "--events", "301", "--in-flight", "5",
               "--wait", "100us", "--out", "r.json", *SMALL)
    assert done.returncode == 0, done.stderr
    for s in json.loads((tmp_path / "r.json").read_text())["benchmarks"]:
        if s["run_type"] == "iteration":
            assert s["replies"] == 301 and [rank["events"] for rank in s["per_rank"]] == [150, 151]


def test_text_keys_are_shuffled_and_windows_counted(job, tmp_path):
    lines = [f"2024-05-01T00:{i % 50:02}:00Z key{i * i % 331}" for i in range(20000)]
    (tmp_path / "events.log").write_text("\n".join(lines))
    done = job(3, "--input", "events.log", "--format", "lines", "--key", "2", "--time", "1", "--window", "60s", "--model",
               "sequential,thread_pool", "--out", "r.json", *SMALL)
    assert done.returncode == 0, done.stderr
    data = json.loads((tmp_path / "r.json").read_text())
    for s in data["benchmarks"]:
        if s["run_type"] == "iteration":
            assert s["events_counted"] == 20000 and s["merged_bytes"] > 0
    checks = data["context"]["mpi"]["references"]["cells"]
    assert checks and all(check["sequential_part_of_stream"] == 1 for check in checks.values())


def test_it_runs_as_one_rank_without_mpirun(tally_mpi, tmp_path):
    done = subprocess.run([tally_mpi, "run", "--stream", "cpu", "--model", "sequential", "--events", "1000", "--grain", "0",
                           "--out", "r.json", *SMALL], cwd=tmp_path, capture_output=True, text=True, timeout=60, env=environment())
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "r.json").read_text())["benchmarks"][0]["ranks"] == 1


def test_imbalance_is_the_slowest_rank_over_the_median_one(job, tmp_path):
    for ranks in (2, 3):
        assert job(ranks, "--stream", "cpu", "--model", "sequential", "--events", "300k", "--grain", "0", "--out", "r.json", *SMALL).returncode == 0
        for sample in (b for b in json.loads((tmp_path / "r.json").read_text())["benchmarks"] if b["run_type"] == "iteration"):
            each = [rank["count_s"] for rank in sample["per_rank"]]
            assert sample["imbalance"] == pytest.approx(max(each) / statistics.median(each), rel=1e-6)


def test_numbers_of_ranks_are_cells_and_weak_scaling_grows_with_them(job, tmp_path):
    done = job(4, "--stream", "cpu", "--model", "sequential", "--events", "1000", "--grain", "0", "--scaling", "weak", "--out",
               "r.json", *SMALL)
    assert done.returncode == 0, done.stderr
    events = {s["ranks"]: s["events_counted"] for s in json.loads((tmp_path / "r.json").read_text())["benchmarks"]
              if s["run_type"] == "iteration"}
    assert events == {1: 1000, 2: 2000, 4: 4000}


def test_more_ranks_than_cpus_are_marked_and_never_a_claim(job, tmp_path):
    ranks = 2 * os.cpu_count()  # mpirun starts them on all, whatever the affinity
    done = job(ranks, "--stream", "cpu", "--model", "sequential", "--events", "10000", "--grain", "0", "--out", "r.json",
               "--no-progress", "--rounds", "6")
    assert done.returncode == 0, done.stderr
    assert "more ranks than CPUs" in done.stdout and " CPUs" in done.stdout
    data = json.loads((tmp_path / "r.json").read_text())
    assert data["context"]["mpi"]["oversubscribed"]
    assert all("claimed_low" not in b for b in data["benchmarks"])
    cited = run_script("cite.py", tmp_path / "r.json", "--cell", data["benchmarks"][0]["run_name"])
    assert cited.returncode != 0 and "shared CPUs" in cited.stdout + cited.stderr


# What is refused -> (the command of each of two ranks after the program, parts of the one line that is said). The programs of the ranks are
# the same but for "other program".
REFUSED = {
    "stream": ([["run", "--stream", "ingest"]] * 2, ["--stream ingest"]),
    "ranks": ([["run", "--ranks", "3"]] * 2, ["--ranks"]),
    "service": ([["run", "--stream", "lookup", "--service", "redis://127.0.0.1:6379"]] * 2, ["--service"]),
    "scaling": ([["run", "--scaling", "sideways"]] * 2, ["--scaling 'sideways'"]),
    "input": ([["run", "--input", "nowhere.log"]] * 2, ["nowhere.log"]),
    "out": ([["run", "--out", "/nowhere/r.json", "--events", "10"]] * 2, ["/nowhere/r.json"]),
    "flag": ([["run", "--no-such-flag"]] * 2, ["--no-such-flag"]),
    "other program": ([["run", "--events", "10"]] * 2, ["rank 1", "another build"]),
    "other arguments": ([["run", "--events", "10"], ["run", "--events", "20"]], ["arguments of rank 1"]),
    # What a rank would refuse is compared first.
    "misspelt in one rank": ([["run", "--events", "10"], ["run", "--evnts", "10"]], ["arguments of rank 1"]),
    "other merges": ([["merge", "--keys", "1k"], ["merge", "--keys", "2k"]], ["arguments of rank 1"]),
    "kind of merge": ([["merge", "--keys", "1k", "--kind", "sparse"]] * 2, ["--kind 'sparse'"]),
}


@pytest.fixture(scope="module")
def refusals(tally_mpi, tmp_path_factory):
    """What each of REFUSED did. All at once, since mpirun does little but wait when its program has failed."""
    folder = tmp_path_factory.mktemp("refused")
    other = folder / "tally-mpi"
    other.write_bytes(tally_mpi.read_bytes() + b"\0")
    other.chmod(0o755)

    def run(name):
        (first, second), _ = REFUSED[name]
        programs = [tally_mpi, other if name == "other program" else tally_mpi]
        ranks = [programs[0], *first, ":", "-n", "1", programs[1], *second]
        if name != "other program" and first == second:
            ranks = ["-n", "2", programs[0], *first]
        else:
            ranks = ["-n", "1", *ranks]
        return subprocess.run([MPIRUN, "--oversubscribe", *ranks], cwd=folder, capture_output=True, text=True, timeout=120, env=environment())

    with concurrent.futures.ThreadPoolExecutor(len(REFUSED)) as pool:
        return dict(zip(REFUSED, pool.map(run, REFUSED)))


@pytest.mark.xdist_group("refusals")
@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_is_said_once_in_one_line(refusals, what):
    done, said = refusals[what], REFUSED[what][1]
    lines = own_lines(done)
    assert done.returncode == 2 and len(lines) == 1 and all(part in lines[0] for part in said), done.stderr
    assert "more rank" not in lines[0]


def rank_processes(program, rank):
    """Numbers of processes of the rank: that which watches over it, and the rank itself."""
    found = []
    for pid in children_of(str(program)):
        try:
            variables = open(f"/proc/{pid}/environ", "rb").read().split(b"\0")
            arguments = open(f"/proc/{pid}/cmdline", "rb").read().split(b"\0")
        except OSError:
            continue
        if f"OMPI_COMM_WORLD_RANK={rank}".encode() in variables and arguments[0] == os.fsencode(program):
            found.append(int(pid))
    return sorted(found)


@pytest.mark.parametrize("sign, said", [(signal.SIGKILL, "killed by signal 9"), (signal.SIGSTOP, "hang")])
def test_a_rank_that_is_killed_or_hangs_is_named_and_what_was_finished_is_kept(tally_mpi, tmp_path, sign, said):
    # A copy, so that its processes are told from those of other tests.
    program = tmp_path / "tally-mpi-lost"
    shutil.copy(tally_mpi, program)
    out = tmp_path / "r.json"
    with subprocess.Popen([MPIRUN, "--oversubscribe", "-n", "2", program, *LONG, "--model", "sequential,thread_pool", "--out", out],
                          cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment()) as running:
        until(out.exists)
        os.kill(rank_processes(program, 1)[-1], sign)
        stdout, stderr = ended(running)
    lines = [line for line in stderr.splitlines() if line.startswith("tally: ")]
    assert running.returncode == 1, (running.returncode, stderr)
    named = [line for line in lines if "rank 1" in line]
    assert len(named) == 1 and said in named[0], stderr
    data = json.loads(out.read_text())
    assert any(b["run_type"] == "iteration" and b["verified"] for b in data["benchmarks"])
    until(lambda: not children_of(str(program)), 10)


def test_a_rank_that_hangs_in_merging_is_named_and_finished_rounds_are_kept(tally_mpi, tmp_path):
    program = tmp_path / "tally-mpi-merging"
    shutil.copy(tally_mpi, program)
    out = tmp_path / "m.json"
    with subprocess.Popen([MPIRUN, "--oversubscribe", "-n", "2", program, "merge", "--keys", "1k", "--rounds", "100000", "--sample-timeout",
                           "400ms", "--out", out], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          env=environment()) as running:
        until(out.exists)
        os.kill(rank_processes(program, 1)[-1], signal.SIGSTOP)
        _, stderr = ended(running)
    lines = [line for line in stderr.splitlines() if line.startswith("tally: ")]
    assert running.returncode == 1 and len(lines) == 1 and "rank 1" in lines[0] and "hang" in lines[0], stderr
    data = json.loads(out.read_text())
    assert data["context"]["rounds_asked"] == 100_000 and data["benchmarks"] and all(b["verified"] for b in data["benchmarks"])


@pytest.fixture(scope="session")
def broken(tally_mpi):
    path = tally_mpi.parent.parent / "tests/broken_tally_mpi"
    if not path.is_file():
        pytest.skip("the models that go wrong are not built")

    def run(models, *arguments, cwd):
        return subprocess.run([MPIRUN, "--oversubscribe", "-n", "2", path, "run", "--stream", "cpu", "--model", models, "--events", "20000",
                               "--grain", "0", "--batch", "64", "--out", "r.json", *SMALL, *arguments],
                              cwd=cwd, capture_output=True, text=True, timeout=60, env=environment())

    return run


# What each of the models that go wrong is to be called.
# A rank sees by itself that it ran a task too many; the counts are compared once they are merged.
WRONG = {"lost": "wrong count", "doubled": "tasks where the stream has", "misfiled": "wrong count", "late": "windows that the stream does not have",
         "stale": "wrong count", "throws": "the queue is on fire", "unstarted": "watch"}


@pytest.fixture(scope="module")
def wrong(broken, tmp_path_factory):
    """The entries of a campaign of all models of WRONG and one that is right."""
    folder = tmp_path_factory.mktemp("wrong")
    done = broken(",".join([*WRONG, "right"]), cwd=folder)
    assert done.returncode == 1, done.stderr
    return json.loads((folder / "r.json").read_text())["benchmarks"]


@pytest.mark.xdist_group("wrong")
@pytest.mark.parametrize("model, said", WRONG.items())
def test_a_model_that_counts_wrong_in_any_rank_fails_and_the_others_are_measured(wrong, model, said):
    entries = [b for b in wrong if f"/{model}/" in b["name"]]
    assert entries and all(b.get("error_occurred") and said in b["error_message"] and not b.get("verified") for b in entries), entries
    samples = [b for b in wrong if "/right/" in b["name"] and b["run_type"] == "iteration"]
    assert len(samples) == 2 and all(b["verified"] for b in samples)


def test_a_model_that_alone_counts_wrong_fails_the_campaign(broken, tmp_path):
    done = broken("misfiled,right", cwd=tmp_path)
    assert done.returncode == 1 and "wrong count" in done.stdout, done.stdout


@pytest.mark.parametrize("model, said", [("segfaults", "killed by signal 11"), ("hangs", "hang"), ("unmerged", "merging")])
def test_a_model_that_ends_or_stops_one_rank_is_named_with_it(broken, tmp_path, model, said):
    done = broken(f"right,{model}", "--sample-timeout", "400ms", cwd=tmp_path)
    named = [line for line in done.stderr.splitlines() if line.startswith("tally: ") and "rank 1" in line]
    assert done.returncode == 1 and len(named) == 1 and said in named[0] and f"/{model}/" in named[0], done.stderr


@pytest.mark.serial
def test_a_rank_without_memory_for_its_part_is_named(tally_mpi, tmp_path):
    # The address space of rank 1 alone is limited, to a part of what its events take.
    script = '[ "$OMPI_COMM_WORLD_RANK" = 0 ] || ulimit -v 600000; exec "$@"'
    done = subprocess.run([MPIRUN, "--oversubscribe", "-n", "2", "bash", "-c", script, "bash", tally_mpi, "run", "--stream", "cpu", "--model",
                           "sequential", "--events", "700M", "--grain", "0", *SMALL], cwd=tmp_path, capture_output=True, text=True, timeout=60,
                          env=environment())
    lines = own_lines(done)
    assert done.returncode == 1 and len(lines) == 1 and "rank 1" in lines[0] and "memory" in lines[0], done.stderr


def test_what_was_finished_is_kept_when_mpirun_is_interrupted(tally_mpi, tmp_path):
    out = tmp_path / "r.json"
    with subprocess.Popen([MPIRUN, "--oversubscribe", "-n", "2", tally_mpi, *LONG, "--model", "sequential", "--out", out], cwd=tmp_path,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment()) as running:
        until(out.exists)
        running.send_signal(signal.SIGINT)
        stdout, _ = ended(running)
    assert running.returncode != 0 and "INTERRUPTED" in stdout
    data = json.loads(out.read_text())
    assert data["context"]["interrupted"] and any(b.get("verified") for b in data["benchmarks"])


@pytest.fixture(scope="session")
def no_hosts(root, program, tally_mpi):
    """Why no hosts can be made here; empty if they can."""
    links = program.parent.parent / "scripts/hosts/delayed_links"
    probe = subprocess.run([root / "scripts/with_hosts", "2", "--delay", "1ms", "true"], capture_output=True, text=True,
                           env=environment() | {"TALLY_LINKS": str(links)})
    return probe.stderr.strip() if probe.returncode == 2 else ""


@pytest.fixture
def hosts(root, program, no_hosts, tmp_path):
    """Runs a command on so many hosts of its own."""
    if no_hosts:
        pytest.skip(no_hosts)
    links = program.parent.parent / "scripts/hosts/delayed_links"

    def run(number, *arguments, timeout=120):
        return subprocess.run([root / "scripts/with_hosts", str(number), *map(str, arguments)], cwd=tmp_path, capture_output=True,
                              text=True, timeout=timeout, env=environment() | {"TALLY_LINKS": str(links)})

    return run


@pytest.mark.serial
def test_ranks_on_three_hosts_count_together(hosts, tally_mpi, tmp_path):
    done = hosts(3, "--delay", "1ms", "--rate", "1gbit", "mpirun", "-n", 3, tally_mpi, "run", "--stream", "cpu", "--model",
                 "sequential,thread_pool,process_shard", "--events", "30000", "--grain", "0", "--out", "r.json", *SMALL)
    assert done.returncode == 0, done.stderr
    for s in json.loads((tmp_path / "r.json").read_text())["benchmarks"]:
        if s["run_type"] == "iteration":
            assert s["verified"] and s["hosts"] == 3 and [rank["host"] for rank in s["per_rank"]] == ["h1", "h2", "h3"]
            assert s["merge_s"] > 1e-3  # no message is faster than the link


@pytest.mark.serial
def test_hosts_whose_clocks_differ_start_together(hosts, tally_mpi, tmp_path):
    ahead = ["unshare", "--time", "--fork", "--monotonic", "1000"]
    if subprocess.run([*ahead, "true"], capture_output=True).returncode != 0:
        pytest.skip("a process cannot be given another clock here")
    script = f'[ $OMPI_COMM_WORLD_RANK = 0 ] && exec "$@"; exec {" ".join(ahead)} "$@"'
    done = hosts(2, "mpirun", "-n", 2, "bash", "-c", script, "bash", tally_mpi, "run", "--stream", "cpu", "--model", "sequential", "--events",
                 "3000", "--grain", "0", "--sample-timeout", "5s", "--out", "r.json", *SMALL)
    assert done.returncode == 0, done.stderr
    late = [s["start_late_s"] for s in json.loads((tmp_path / "r.json").read_text())["benchmarks"] if s["run_type"] == "iteration"]
    assert len(late) == 2 and max(late) < 1


@pytest.mark.serial
def test_hosts_have_cpus_of_their_own_as_long_as_there_are_enough(hosts, tally_mpi, tmp_path):
    cpus = len(os.sched_getaffinity(0))
    for number in (2, cpus + 1):
        done = hosts(number, "mpirun", "-n", number, tally_mpi, "run", "--stream", "cpu", "--model", "sequential", "--events", "3000",
                     "--grain", "0", "--out", "r.json", *SMALL)
        assert done.returncode == 0, done.stderr
        # Whatever hosts are called, they are on this machine.
        assert json.loads((tmp_path / "r.json").read_text())["context"]["mpi"]["oversubscribed"] == (number > cpus)
    done = hosts(2, "mpirun", "-n", 2, sys.executable, "-c", "import os; print(sorted(os.sched_getaffinity(0)))")
    assert cpus == 1 or len(set(done.stdout.splitlines())) == 2, done.stdout


def test_a_file_that_one_host_misses_is_named(hosts, tally_mpi, tmp_path):
    # On h2 another folder lies over that of the file; nobody else sees it, since with_hosts has made mounts private.
    (tmp_path / "data").mkdir()
    (tmp_path / "data/events.log").write_text("a\nb\nc\n")
    script = (f"[ $OMPI_COMM_WORLD_RANK = 0 ] || mount -t tmpfs none {tmp_path}/data; "
              f"exec {tally_mpi} run --input {tmp_path}/data/events.log --model sequential")
    done = hosts(2, "mpirun", "-n", 2, "unshare", "--mount", "--propagation", "unchanged", "bash", "-c",
                 script)
    lines = own_lines(done)
    assert done.returncode == 2 and len(lines) == 1 and "rank 1 (host h2)" in lines[0] and "events.log" in lines[0], done.stderr


@pytest.mark.serial
def test_a_host_that_leaves_the_network_is_named(hosts, tally_mpi, tmp_path):
    # It comes back when it was named: else mpirun, which has a daemon there, waits until the kernel gives its connection up.
    script = (f"mpirun -n 3 {shlex.join(map(str, [tally_mpi, *LONG]))} --model sequential --out r.json 2>said & job=$!; "
              "until [ -e r.json ]; do sleep 0.05; done; nsenter --net=/run/netns/h3 ip link set eth0 down; "
              "until grep -q '^tally: ' said || ! kill -0 $job; do sleep 0.05; done; nsenter --net=/run/netns/h3 ip link set eth0 up; "
              "wait $job; status=$?; cat said >&2; exit $status")
    done = hosts(3, "bash", "-c", script, timeout=100)
    assert done.returncode == 1, (done.returncode, done.stderr)
    named = [line for line in done.stderr.splitlines() if line.startswith("tally: ") and "rank 2 (host h3)" in line]
    assert len(named) == 1, done.stderr
    assert any(b.get("verified") for b in json.loads((tmp_path / "r.json").read_text())["benchmarks"])


def test_hosts_leave_nothing_behind(hosts):
    before = subprocess.run(["ip", "-o", "link"], capture_output=True, text=True).stdout.count("\n")
    marker = "31.4159265"
    done = hosts(3, "--delay", "2ms", "bash", "-c", f"sleep {marker} & hostname; exit 7")
    assert done.returncode == 7 and done.stdout.strip() == "h1"
    assert not children_of(marker)
    assert subprocess.run(["ip", "-o", "link"], capture_output=True, text=True).stdout.count("\n") == before
    assert subprocess.run(["ip", "netns", "list"], capture_output=True, text=True).stdout == ""


@pytest.mark.parametrize("arguments, said", [(["0", "true"], "'0' is no number"), (["2", "--delay", "fast", "true"], "--delay 'fast'"),
                                             (["2", "--rate", "1", "true"], "--rate '1'"), (["2"], "missing"),
                                             (["2", "--colour", "true"], "--colour")])
def test_hosts_that_cannot_be_are_refused_in_one_line(root, arguments, said):
    done = subprocess.run([root / "scripts/with_hosts", *arguments], capture_output=True, text=True)
    assert done.returncode == 2 and said in done.stderr and done.stderr.count("\n") == 1


def test_merging_is_measured_by_itself_and_checked(tally_mpi, tmp_path):
    done = subprocess.run([MPIRUN, "--oversubscribe", "-n", "3", tally_mpi, "merge", "--keys", "10,3k", "--ranks", "2,3", "--rounds", "2",
                           "--disjoint", "--out", "m.json"], cwd=tmp_path, capture_output=True, text=True, timeout=60, env=environment())
    assert done.returncode == 0, done.stderr
    data = json.loads((tmp_path / "m.json").read_text())
    assert len(data["context"]["binary_sha256"]) == 64 and data["context"]["tally_commit"] and data["context"]["date"]
    entries = data["benchmarks"]
    assert len(entries) == 2 * 2 * 2 * 2 and all(e["real_time"] > 0 and e["one_process_s"] > 0 for e in entries)
    sent = {(e["kind"], e["keys"], e["ranks"]): e["sent_bytes"] for e in entries}
    assert 0 < sent["text", 10, 2] < sent["text", 3000, 2] < sent["text", 3000, 3]
    assert sent["dense", 3000, 3] == 2 * sent["dense", 3000, 2]


def test_a_merge_that_misfiles_one_event_is_no_figure(tally_mpi, tmp_path):
    path = tally_mpi.parent.parent / "tests/broken_tally_mpi"
    if not path.is_file():
        pytest.skip("what goes wrong is not built")
    command = [MPIRUN, "--oversubscribe", "-n", "2", path, "merge", "--kind", "dense", "--keys", "1k", "--rounds", "1", "--out", "m.json"]
    for variables, status in (({}, 0), ({"TALLY_MISFILED_MERGE": "1"}, 1)):
        (tmp_path / "m.json").unlink(missing_ok=True)
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, env=environment() | variables)
        assert done.returncode == status and (tmp_path / "m.json").exists() == (status == 0), done.stderr
    lines = own_lines(done)
    assert len(lines) == 1 and "wrong count: key 0 is there 1 times, not 2, of merge/dense/keys:1000/ranks:2" in lines[0], done.stderr


def test_a_campaign_of_ranks_is_reproduced_by_mpirun(job, root, program, tmp_path):
    done = job(2, "--stream", "cpu", "--model", "sequential", "--events", "1000", "--grain", "0", "--out", "r.json", *SMALL)
    assert done.returncode == 0, done.stderr
    again = subprocess.run([sys.executable, root / "scripts/reproduce.py", "r.json", "--tally", program, "-o", "n.json"], cwd=tmp_path,
                           capture_output=True, text=True, timeout=60, env=environment() | {"OMPI_MCA_rmaps_base_oversubscribe": "1"})
    assert again.returncode in (0, 1) and "mpirun -n 2" in again.stderr, again.stderr
    names = [[b["run_name"] for b in json.loads((tmp_path / name).read_text())["benchmarks"]] for name in ("r.json", "n.json")]
    assert names[0] == names[1]


def test_no_other_command_is_known(tally_mpi, tmp_path):
    done = subprocess.run([tally_mpi, "count"], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and "run or merge" in done.stderr
