"""Lookups on a real Redis: Debian's redis-server, in a folder of its own. Tests that ask for no settings and do not end it share one, which
each finds empty."""

import contextlib
import json
import lzma
import os
import pathlib
import re
import signal
import subprocess
import sys
import time

import pytest

from tally import redis_server as redis_server_
from command_line import models_on
from in_process import run_script

MODELS = models_on("lookup")

pytestmark = pytest.mark.redis

LOOKUP = ["run", "--stream", "lookup", "--workers", "1", "--rounds", "1", "--in-flight", "5", "--no-progress"]
OWN = {"mine": "1", "tally:mine": "2", "event:1": "3"}  # keys that are none of Tally's business
PREFIX = r"tally:[0-9a-f]{12}:"


class Database(redis_server_.RedisServer):
    """A server that can be asked."""

    def ask(self, *words, password=None, database=0):
        """The answer to a command: a string, or a list of them; `(error) …` of one that is an error."""
        command = ["redis-cli", "-p", str(self.port), "-n", str(database), *map(str, words)]
        environment = {**os.environ, **({"REDISCLI_AUTH": password} if password else {})}
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True, env=environment)
        return done.stdout.rstrip("\n")

    def fill(self, **options):
        for key, value in OWN.items():
            assert self.ask("set", key, value, **options) == "OK"

    def only_own(self, **options):
        return set(self.ask("keys", "*", **options).split("\n")) == set(OWN)

    def runs_keys(self):
        """How many keys of runs there are."""
        return len(re.findall(PREFIX, self.ask("keys", "tally:*:*")))


@pytest.fixture
def redis():
    """Starts databases with the given settings."""
    with contextlib.ExitStack() as stack:
        yield lambda **config: stack.enter_context(Database(**config))


@pytest.fixture(scope="session")
def shared_database():
    with Database() as database:
        yield database


@pytest.fixture
def database(shared_database):
    """A database without settings, that is empty. It is not to be ended."""
    assert shared_database.ask("acl", "setuser", "default", "+@all") == "OK"
    assert shared_database.ask("flushall") == "OK"
    return shared_database


def failed(done, *said):
    """It exits with 1, and says on one line of standard error what was wrong, and in the table too."""
    text = done.stderr.decode()
    assert done.returncode == 1, (done.returncode, text, done.stdout.decode())
    assert any(all(part in line for part in said) for line in text.splitlines()), (said, text)
    assert "FAILED" in done.stdout.decode(), done.stdout.decode()


def samples(path):
    data = json.loads(pathlib.Path(path).read_text())
    return data, [b for b in data["benchmarks"] if b["run_type"] == "iteration"]


@contextlib.contextmanager
def running(program, *arguments, **options):
    """A long run, after its keys were loaded."""
    command = [program, *map(str, LOOKUP), "--events", "2M", "--sample-timeout", "60s", "--model", "coroutines", *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options) as process:
        try:
            yield process
        finally:
            process.kill()


def until(condition, seconds=20):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.02)


def asked(database):
    """Whether a sample is being taken: beside who asks now, and who loaded the keys, there is another client."""
    return int(re.search(r"connected_clients:(\d+)", database.ask("info", "clients")).group(1)) >= 3


def ended(process, status):
    out, err = process.communicate(timeout=60)
    assert process.returncode == status, (process.returncode, out, err)
    return out.decode(), err.decode()


# What is counted


@pytest.mark.parametrize("workers, in_flight", [(1, 1), (1, 7), (2, 20), (3, 2)])
def test_every_model_counts_on_redis_as_sequential_does_and_leaves_nothing(tally, database, tmp_path, workers, in_flight):
    database.fill()
    done = tally("run", "--stream", "lookup", "--rounds", "1", "--workers", workers, "--in-flight", in_flight, "--events", 1009, "--skew", "1.1",
                 "--window", "100us", "--model", ",".join([*MODELS, "limit"]), "--service", database.url, "--out", "r.json", "--no-progress")
    assert done.returncode == 0, done.stderr
    _, found = samples(tmp_path / "r.json")
    assert {b["model"] for b in found} == {*MODELS, "limit"}
    assert all(b["verified"] and b["replies"] == 1009 for b in found)
    assert database.only_own(), "no key of the run is left, and no other was touched"
    assert all(database.ask("get", key) == value for key, value in OWN.items())


def test_events_beyond_the_keys_ask_for_them_again(tally, database, tmp_path):
    done = tally(*LOOKUP, "--events", "120k", "--in-flight", "50", "--model", "fibers", "--service", database.url, "--out", "r.json")
    assert done.returncode == 0, done.stderr
    data, found = samples(tmp_path / "r.json")
    assert data["context"]["database"]["slots"] == 100_000
    assert all(b["replies"] == 120_000 for b in found)
    assert database.ask("dbsize") == "0"


@pytest.mark.parametrize("model", ["sequential", "thread_pool", "process_shard", "tbb_flow_graph", "fibers", "coroutines", "event_loop", "limit"])
def test_events_that_arrive_are_looked_up_on_redis_too(tally, redis, model):
    database = redis(requirepass="secret")
    done = tally("run", "--stream", "ingest", "--lookup", "--model", model, "--workers", "1", "--connections", "4", "--rate", "max", "--events",
                 "3k", "--rounds", "1", "--no-progress", "--service", f"redis://:secret@127.0.0.1:{database.port}/1")
    assert done.returncode == 0, done.stderr
    assert database.ask("dbsize", password="secret", database=1) == "0"


def test_as_many_events_as_it_takes_are_chosen_for_redis_too(tally, database, tmp_path):
    done = tally(*LOOKUP, "--benchmark_min_time=0.05s", "--model", "sequential,coroutines,limit", "--service", database.url, "--out", "r.json")
    assert done.returncode == 0, done.stderr
    _, found = samples(tmp_path / "r.json")
    assert all(b["verified"] and "/wait_us:0/" in b["name"] for b in found)
    assert database.ask("dbsize") == "0"


# What is said of it


def test_the_file_says_which_database_it_was_and_what_that_used(tally, redis, tmp_path):
    database = redis(maxmemory="200mb", maxmemory_policy="allkeys-lfu")
    done = tally(*LOOKUP, "--events", "3k", "--model", "fibers,limit", "--service", database.url, "--out", "r.json")
    assert done.returncode == 0, done.stderr
    data, found = samples(tmp_path / "r.json")
    said = data["context"]["database"]
    version = database.ask("info", "server").split("redis_version:")[1].split()[0]
    assert said["url"] == database.url and said["address"] == f"127.0.0.1:{database.port}"
    assert said["redis_version"] == version and said["maxmemory_policy"] == "allkeys-lfu" and said["maxmemory_bytes"] == 200 << 20
    assert said["io_threads"] == 1 and said["mode"] == "standalone" and said["role"] == "master" and said["slots"] == 3000
    assert sorted(said["cpus_allowed"]) == sorted(os.sched_getaffinity(0))
    assert re.fullmatch(PREFIX, said["prefix"])
    assert data["context"]["factors"]["service"] == f"redis {version}", "and no port, which would be another each time"
    assert all(0 < b["service_cpu_s"] < 30 and 0 < b["service_busy_s"] <= b["service_cpu_s"] + 1e-3 for b in found)
    assert all("reply_late_p99_s_absent" in b for b in found)
    broken = run_script("validate.py", tmp_path / "r.json").stdout
    assert [line for line in broken.splitlines() if "disclosure" not in line and "holds" not in line and "length" not in line] == []


def test_a_wait_that_is_given_is_said_to_change_nothing(tally, database, tmp_path):
    done = tally(*LOOKUP, "--events", "500", "--wait", "1ms", "--model", "limit", "--service", database.url, "--out", "r.json")
    assert done.returncode == 0, done.stderr
    data, _ = samples(tmp_path / "r.json")
    assert any("--wait" in note and "a database" in note for note in data["context"]["notes"])


def test_runs_on_different_ports_are_of_the_same_service(tally, database, redis, tmp_path):
    for name, one in (("a.json", database), ("b.json", redis())):
        assert tally(*LOOKUP, "--events", "500", "--model", "limit", "--service", one.url, "--out", name).returncode == 0
    done = run_script("compare.py", tmp_path / "a.json", tmp_path / "b.json", "--json")
    assert not any("service" in str(each) for each in json.loads(done.stdout)["differences"]), done.stdout


def test_a_lookup_service_of_tally_is_asked_as_before(tally, program, tmp_path):
    with subprocess.Popen([program, "lookup-service", "--wait", "0", "--seed", "4"], stdout=subprocess.PIPE) as service:
        try:
            port = int(service.stdout.readline().decode().rsplit(":")[-1])
            done = tally(*LOOKUP, "--events", "500", "--seed", "4", "--model", "fibers", "--service", f"redis://127.0.0.1:{port}", "--out", "r.json")
        finally:
            service.kill()
    assert done.returncode == 0, done.stderr
    data, _ = samples(tmp_path / "r.json")
    assert data["context"]["factors"]["service"] == "lookup service" and "database" not in data["context"]


# Passwords and databases


def test_password_user_and_database_come_from_the_url_and_are_nowhere_told(tally, redis, tmp_path, program):
    database = redis(user=["ada", "on", ">s3cr%et", "~tally:*", "&*", "+@all"])
    database.fill()
    url = f"redis://ada:s3cr%25et@127.0.0.1:{database.port}/3"
    done = tally(*LOOKUP, "--events", "500", "--model", ",".join(MODELS), "--service", url, "--out", "r.json")
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "r.json").read_text()
    data, _ = samples(tmp_path / "r.json")
    assert data["context"]["database"]["url"] == f"redis://ada@127.0.0.1:{database.port}/3"
    assert f"redis://ada@127.0.0.1:{database.port}/3" in data["context"]["command_line"]
    assert "s3cr" not in text + done.stdout.decode() + done.stderr.decode()
    assert database.ask("dbsize", database=3) == "0" and database.only_own()
    with running(program, "--service", url) as process:
        until(lambda: asked(database))
        assert int(database.ask("dbsize", database=3)) == 100_000
        seen = []
        for path in pathlib.Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if path.joinpath("exe").resolve() == program.resolve():
                    seen.append(path.joinpath("cmdline").read_bytes())
        assert len(seen) >= 3, "the campaign, its sample, and who cleans up"
        assert not any(b"s3cr" in line for line in seen)
        process.send_signal(signal.SIGTERM)
        ended(process, 130)


def test_a_password_may_come_from_the_environment(tally, redis):
    database = redis(requirepass="secret")
    environment = {**os.environ, "TALLY_REDIS_PASSWORD": "secret"}
    assert tally(*LOOKUP, "--events", "500", "--model", "fibers", "--service", database.url, env=environment).returncode == 0
    assert database.ask("dbsize", password="secret") == "0"


def test_two_builds_are_measured_on_the_same_database(tally, redis, program, tmp_path):
    database = redis(requirepass="secret")
    done = tally("run", "--stream", "lookup", "--model", "coroutines", "--workers", "1", "--in-flight", "10", "--events", "1k", "--rounds", "3",
                 "--against", program, "--service", f"redis://:secret@127.0.0.1:{database.port}", "--out", "r.json", "--no-progress")
    assert done.returncode == 0, done.stderr
    assert all(b["verified"] for b in samples(tmp_path / "r.json")[1]) and "secret" not in (tmp_path / "r.json").read_text()
    assert database.ask("dbsize", password="secret") == "0"


# Whatever happens, the keys go


@pytest.mark.parametrize("number, status", [(signal.SIGINT, 130), (signal.SIGTERM, 130), (signal.SIGKILL, -9)])
def test_keys_are_removed_when_the_run_is_ended(database, program, number, status):
    database.fill()
    with running(program, "--service", database.url) as process:
        until(lambda: asked(database))
        assert database.runs_keys() == 100_000
        process.send_signal(number)
        ended(process, status)
        until(database.only_own)


@pytest.mark.parametrize("delay", [0.0, 0.1, 0.3, 0.6])
def test_keys_are_removed_when_the_run_is_ended_early(database, program, delay):
    database.fill()
    with running(program, "--service", database.url, "--keys", "100k", start_new_session=True) as process:
        time.sleep(delay)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate(timeout=30)
    until(database.only_own)


def test_keys_that_cannot_be_removed_are_named_with_what_removes_them(database, program):
    with running(program, "--service", database.url) as process:
        until(lambda: asked(database))
        assert database.ask("acl", "setuser", "default", "-del") == "OK"
        process.send_signal(signal.SIGTERM)
        _, said = ended(process, 130)
    assert database.runs_keys() == 100_000
    (line,) = [line for line in said.splitlines() if "remove them with: " in line]
    assert re.search(PREFIX, line) and "NOPERM" in line
    assert database.ask("acl", "setuser", "default", "+del") == "OK"
    subprocess.run(line.split("remove them with: ")[1], shell=True, check=True, capture_output=True)
    assert database.ask("dbsize") == "0"


def test_a_run_whose_keys_are_left_has_failed(tally, database):
    database.ask("acl", "setuser", "default", "-del")
    done = tally(*LOOKUP, "--events", "500", "--model", "fibers", "--service", database.url)
    assert done.returncode == 1 and b"remove them with: redis-cli" in done.stderr


# What is wrong with a database is said


def test_no_database_there(tally):
    port = redis_server_.free_port()
    failed(tally(*LOOKUP, "--events", "500", "--model", "fibers", "--service", f"redis://127.0.0.1:{port}"), f"127.0.0.1:{port}", "refused")


def test_a_name_that_nobody_has(tally):
    failed(tally(*LOOKUP, "--events", "500", "--model", "fibers", "--service", "redis://no-such-host.invalid:6379"), "no-such-host.invalid")


@pytest.mark.parametrize("config, url, said", [
    ({"requirepass": "secret"}, "redis://127.0.0.1:{}", ["NOAUTH", "it wants a password", "TALLY_REDIS_PASSWORD"]),
    ({"requirepass": "secret"}, "redis://:wrong@127.0.0.1:{}", ["WRONGPASS", "password is wrong"]),
    ({"requirepass": "secret"}, "redis://nobody:wrong@127.0.0.1:{}", ["WRONGPASS"]),
    ({}, "redis://:secret@127.0.0.1:{}", ["without any password configured"]),
    ({}, "redis://127.0.0.1:{}/16", ["DB index is out of range"]),
    ({"databases": 1}, "redis://127.0.0.1:{}/1", ["DB index is out of range"]),
    ({"maxmemory": "1mb", "maxmemory_policy": "noeviction"}, "redis://127.0.0.1:{}", ["OOM", "it is full"]),
    ({"maxmemory": "4mb", "maxmemory_policy": "allkeys-lru"}, "redis://127.0.0.1:{}", ["it evicts keys", "allkeys-lru", "4194304"]),
    ({"user": ["ada", "on", ">pw", "~tally:*", "+@all", "-mget"]}, "redis://ada:pw@127.0.0.1:{}", ["NOPERM", "this user may not"]),
    ({"user": ["ada", "on", ">pw", "~other:*", "+@all"]}, "redis://ada:pw@127.0.0.1:{}", ["NOPERM"]),
    ({"maxclients": 3}, "redis://127.0.0.1:{}", ["max number of clients reached"]),
], ids=lambda value: None if isinstance(value, str) else str(value))
def test_a_database_that_takes_no_run_is_named(tally, redis, config, url, said):
    database = redis(**config)
    events = "60k" if "maxmemory" in config else "500"
    done = tally(*LOOKUP, "--events", events, "--model", "fibers,limit", "--service", url.format(database.port))
    failed(done, *said)
    assert b"secret" not in done.stdout + done.stderr and b":wrong" not in done.stdout + done.stderr
    until(lambda: database.ask("dbsize", password=config.get("requirepass")) == "0")


def test_a_replica_that_takes_no_keys(tally, redis):
    primary = redis(repl_diskless_sync_delay=0)  # else it waits 5 s for other replicas
    replica = redis(replicaof=["127.0.0.1", primary.port])
    until(lambda: "master_link_status:up" in replica.ask("info", "replication"))
    done = tally(*LOOKUP, "--events", "500", "--model", "fibers", "--service", replica.url)
    failed(done, "READONLY", "a replica", "primary")
    assert b"may be left" not in done.stderr, "nothing was"


def test_a_database_that_still_loads_its_own_data(tally, redis):
    database = redis(enable_debug_command="local")
    database.ask("debug", "populate", "5000")
    assert database.ask("save") == "OK"
    database.end()
    database.config.update({"key-load-delay": 3000, "loading-process-events-interval-bytes": 1024})
    database.start()
    done = tally(*LOOKUP, "--events", "500", "--model", "fibers", "--service", database.url)
    failed(done, "LOADING", "still loading")


def test_a_database_that_ends_in_mid_run(redis, program):
    database = redis()
    with running(program, "--service", database.url) as process:
        until(lambda: asked(database))
        database.end(signal.SIGKILL)
        out, said = ended(process, 1)
    assert "FAILED" in out and "refused" in said
    assert re.search(rf"may be left .*: remove them with: redis-cli -h 127.0.0.1 -p {database.port} --scan --pattern '{PREFIX}\*'", said)


def test_a_database_that_is_started_again_in_mid_run(redis, program, tmp_path):
    # It has saved the keys, and has them again: they are removed all the same.
    database = redis()
    database.fill()
    with running(program, "--service", database.url, "--model", "sequential,limit", cwd=tmp_path) as process:
        until(lambda: asked(database))
        assert database.ask("save") == "OK"
        database.end(signal.SIGKILL)
        database.start()
        out, said = ended(process, 1)
    assert out.count("FAILED") >= 2, "every lookup after it"
    assert any(each in said for each in ("was started again in mid-run", "refused", "reset by peer")), said
    assert "may be left" not in said
    assert database.only_own()


def test_keys_that_are_flushed_in_mid_run(database, program):
    with running(program, "--service", database.url) as process:
        until(lambda: asked(database))
        database.ask("flushall")
        out, said = ended(process, 1)
    assert "has no value for event" in said and "has lost 100000 of the run's 100000 keys: somebody else removed them" in said


def test_keys_that_are_evicted_in_mid_run(redis, program):
    database = redis(maxmemory_policy="allkeys-random")
    with running(program, "--service", database.url) as process:
        until(lambda: asked(database))
        database.ask("config", "set", "maxmemory", "5mb")
        out, said = ended(process, 1)
    assert "has no value for event" in said and "it evicts keys (maxmemory-policy allkeys-random, maxmemory 5242880 bytes)" in said
    assert database.ask("dbsize") == "0"


# scripts/with_redis


@pytest.fixture
def own_folder(tmp_path, monkeypatch):
    """The folder in which servers that the test starts have theirs, and no others."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return tmp_path


@pytest.fixture
def with_redis(root, own_folder):
    def run(*arguments, **options):
        return subprocess.run([root / "scripts/with_redis", *map(str, arguments)], capture_output=True, text=True, timeout=60, cwd=own_folder,
                              **options)

    return run


def servers(folder):
    """Folders of servers that run, or did not go."""
    return list(folder.glob("tally-redis.*"))


def test_a_command_has_a_server_that_goes_with_it(with_redis, own_folder):
    done = with_redis("sh", "-c", 'redis-cli -u "$TALLY_REDIS_URL" ping; redis-cli -u {redis} config get dir; exit 7')
    assert done.returncode == 7, done.stderr
    pong, _, folder = done.stdout.split()
    assert pong == "PONG" and pathlib.Path(folder).parent == own_folder and servers(own_folder) == []


def test_its_settings_cpu_and_password_are_as_told(with_redis):
    cpu = max(os.sched_getaffinity(0))
    port = redis_server_.free_port()
    done = with_redis("--cpu", cpu, "--port", port, "--config", "requirepass=secret", "--config", "maxmemory=5mb", "--", "sh", "-c",
                      'export REDISCLI_AUTH="$TALLY_REDIS_PASSWORD"; redis-cli -u {redis} info server | tr -d "\\r" | '
                      'sed -n s/process_id://p | xargs taskset -pc; redis-cli -u {redis} config get maxmemory; echo {redis}')
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[0].endswith(f"affinity list: {cpu}")
    assert "5242880" in done.stdout and f"redis://127.0.0.1:{port}\n" in done.stdout


@pytest.mark.parametrize("arguments, said", [
    (["--config", "no-such-setting=1", "true"], "no-such-setting"),
    (["--config", "nothing", "true"], "NAME=VALUE"),
    ([], "no command"),
    (["--cpu", "9999", "true"], "--cpu 9999"),
    (["--port", "0", "true"], "--port 0"),
    (["no-such-program"], "no-such-program"),
])
def test_what_cannot_be_run_is_named(with_redis, own_folder, arguments, said):
    done = with_redis(*arguments)
    assert done.returncode == 2 and said in done.stderr, done.stderr
    assert servers(own_folder) == []


def test_a_port_that_is_taken_is_named(with_redis, database):
    done = with_redis("--port", database.port, "true")
    assert done.returncode == 2 and "in use" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signals_reach_the_command_and_its_end_is_passed_on(root, own_folder, number):
    command = [root / "scripts/with_redis", sys.executable, "-c", "import time; print('ready', flush=True); time.sleep(60)"]
    # As from a terminal, also where the tests themselves run under nohup or in a shell's background.
    heeded = {"preexec_fn": lambda: signal.signal(number, signal.SIG_DFL)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, **heeded) as process:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        # Python makes an exception of SIGINT, and then dies of it.
        assert process.wait(timeout=20) == 128 + number
    assert servers(own_folder) == []


def test_a_server_goes_even_if_who_started_it_is_killed(root, own_folder):
    command = [root / "scripts/with_redis", "sh", "-c", "echo $TALLY_REDIS_URL; sleep 60"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
        port = int(process.stdout.readline().rsplit(":")[-1])
        assert redis_server_.answers(port)
        process.kill()
        until(lambda: not redis_server_.answers(port))
        os.killpg(process.pid, signal.SIGKILL)
    assert len(servers(own_folder)) == 1, "nobody was left to remove it"


def test_a_campaign_runs_beside_it(with_redis, program):
    done = with_redis(program, *LOOKUP, "--events", "500", "--model", "fibers", "--service", "{redis}")
    assert done.returncode == 0, done.stderr


# The campaign redis_targets


def test_what_redis_must_reach_is_measured_and_judged(root, program, tmp_path):
    done = subprocess.run([sys.executable, root / "scripts/campaigns/judge.py", "redis_targets", "-o", tmp_path, "--tally", program, "--rounds", "1",
                           "--events", "1000"], capture_output=True, text=True, timeout=300)
    assert done.returncode in (0, 1), done.stderr
    rows = [[part.strip() for part in line.split("|")[1:-1]] for line in (tmp_path / "redis_targets.md").read_text().splitlines()
            if line.startswith("| redis |")]
    figures = {row[1]: row[2:] for row in rows}
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("on one CPU nothing is measured")
    assert figures["coroutines over limit"][0] == ">= 0.85" and figures["fibers over redis-benchmark"][0] == ">= 0.8"
    assert not any("none: " in row[1] for row in figures.values()), done.stderr + str(figures)
    data = json.loads(lzma.decompress((tmp_path / "redis.json.xz").read_bytes()))
    assert data["context"]["redis_version"] and len(data["benchmarks"]) == 7
    assert all(b["verified"] and b["items_per_second"] > 0 for b in data["benchmarks"])
