"""`tally map` and `tally advise`, and the campaign check_advice on answers made up here."""

import json
import lzma
import math
import re

import pytest

from campaigns import check_advice
from command_line import refused
from in_process import run_script
from result_files import signed
from tally import results

POINTS = [(workers, grain_ns, wait_ns, in_flight) for workers in (1, 2) for grain_ns in (0, 30_000) for wait_ns in (100_000, 5_000_000)
          for in_flight in (1, 32, 1024)]
COSTS_NS = {"fibers": 5_000, "thread_pool": 40_000}
EVENTS = 200_000  # so many that what the waits were, and the last of them, is of no account


def entry(model, point):
    """A sample of a model that takes so much CPU time, on a machine that is never in doubt."""
    workers, grain_ns, wait_ns, in_flight = point
    busy_ns = grain_ns + COSTS_NS[model]
    rate = 1e9 / max(busy_ns / workers, (wait_ns + busy_ns) / in_flight)
    name = f"lookup/{model}/workers:{workers}/wait_ns:{wait_ns}/in_flight:{in_flight}/grain_ns:{grain_ns}"
    return {"name": name, "run_name": name, "run_type": "iteration", "stream": "lookup", "model": model, "workers": workers, "grain_ns": grain_ns,
            "wait_ns": wait_ns, "in_flight": in_flight, "events": EVENTS, "events_counted": EVENTS, "verified": True, "items_per_second": rate,
            "cpu_s": busy_ns * 1e-9 * EVENTS, "peak_rss_bytes": 5_000_000 + (1_000_000 if model == "thread_pool" else 4096) * in_flight}


@pytest.fixture
def made_up(invented, tmp_path):
    """made_up(change): a result file of lookups, after `change(data)`; its path."""

    def write(change=lambda data: None, name="map.json"):
        context = {**invented["context"], "cpus_usable": [0, 1, 2]}
        data = {"context": context, "benchmarks": [entry(model, point) for model in COSTS_NS for point in POINTS]}
        change(data)
        path = tmp_path / name
        path.write_text(signed(data), encoding="utf-8")
        return path

    return write


def advised(tally, *arguments, status=0):
    done = tally("advise", *arguments, "--json")
    assert done.returncode == status, done.stderr
    return json.loads(done.stdout)


ASKED = ("--grain", "20us", "--wait", "1ms", "--in-flight", "500", "--workers", "2")


def test_advice_ranks_the_models_and_says_why(tally, made_up):
    path = made_up()
    said = advised(tally, *ASKED, "--from", path)
    assert [model["model"] for model in said["models"]] == ["fibers", "thread_pool"]
    fibers, threads = said["models"]
    assert fibers["rank"] == 1 and threads["rank"] == 2
    assert fibers["items_per_second"] == pytest.approx(80_000, rel=0.1) and fibers["low"] < fibers["items_per_second"] < fibers["high"]
    assert fibers["limited_by"] == "CPU" and "of CPU an event" in fibers["why"]
    assert said["outside"] == []
    text = tally("advise", *ASKED, "--from", path).stdout.decode()
    assert "nearest measured: lookup/" in text and "nine predictions of ten" in text


def test_a_map_of_a_time_when_models_merged_batches_is_refused(tally, made_up):
    path = made_up(lambda data: data["context"].update(json_schema_version=1))
    refused(tally("advise", *ASKED, "--from", path), "map.json", "merged batches", "measure again")


MERGING_S = {"dense": 4e-9, "text": 150e-9}  # a key


@pytest.fixture
def merges(tmp_path):
    """A file of merges: keys take what MERGING_S says, and messages a millisecond each way between hosts."""
    entries = []
    for kind, key_s in MERGING_S.items():
        for keys in (1_000, 32_000, 1_000_000):
            for hosts in (1, 2, 3):
                ranks = max(hosts, 2)
                took_s = 30e-6 + keys * key_s + (3e-3 + keys * 8e-9 if hosts > 1 else 0)
                entries += [{"name": f"merge/{kind}/keys:{keys}/ranks:{ranks}/hosts:{hosts}", "real_time": took_s * 1e3, "kind": kind,
                             "keys": keys, "ranks": ranks, "hosts": hosts, "ranks_per_cpu": 1, "disjoint": False,
                             "round_trip_s": 2e-3 if hosts > 1 else 0}] * 3
    path = tmp_path / "merge.json"
    path.write_text(json.dumps({"context": {"command_line": ["tally-mpi", "merge"]}, "benchmarks": entries}), encoding="utf-8")
    return path


@pytest.mark.slow
def test_advice_on_many_hosts_has_the_share_of_merging_and_where_it_passes_counting(tally, made_up, merges):
    files = f"{made_up()},{merges}"
    few, many = (advised(tally, *ASKED, "--from", files, "--hosts", hosts, "--events", "10M", "--keys", "1M", "--text")["on_hosts"]
                 for hosts in ("10", "1000"))
    for said in (few, many):
        assert [model["model"] for model in said["models"]] == ["fibers", "thread_pool"]
        for model in said["models"]:
            assert model["low"] < model["items_per_second"] < model["high"]
            assert model["items_per_second"] == pytest.approx(1e7 / (model["count_s"] + model["merge_s"]))
    fibers = few["models"][0]
    assert fibers["count_s"] == pytest.approx(1e7 / 80_000 / 10, rel=0.1)
    assert few["models"][0]["merge_s"] < few["models"][0]["count_s"] and many["models"][0]["merge_s"] > many["models"][0]["count_s"]
    assert 10 < fibers["merging_passes_counting_at_hosts"] < 1000
    # A model that counts slower is caught up with by merging later.
    assert few["models"][1]["merging_passes_counting_at_hosts"] > fibers["merging_passes_counting_at_hosts"]
    text = tally("advise", *ASKED, "--from", files, "--hosts", "10", "--keys", "1M", "--text").stdout.decode()
    assert "on 10 hosts" in text and "merging passes counting" in text and "1.00 M text keys of 16 bytes" in text


@pytest.mark.slow
def test_advice_on_hosts_says_where_it_goes_beyond_what_was_merged_and_whose_merges_they_are(tally, made_up, merges):
    def warned(hosts):
        return " ".join(advised(tally, *ASKED, "--from", f"{made_up()},{merges}", "--hosts", hosts)["warnings"])

    assert "merging over 4 hosts, of 3 at most" in warned("4") and "merging over" not in warned("3")
    assert "other CPUs" in warned("3")
    data = json.loads(merges.read_text())
    data["context"]["cpu_model"] = json.loads(made_up().read_text())["context"]["cpu_model"]
    merges.write_text(json.dumps(data))
    assert "other CPUs" not in warned("3")


@pytest.mark.parametrize("arguments, said", [
    (["--keys", "10"], "--keys is of many hosts"),
    (["--text"], "--text is of many hosts"),
    (["--hosts", "0"], "--hosts '0'"),
    (["--hosts", "10"], "'tally-mpi merge --out merge.json' measures"),
    (["--hosts", "10", "--key-bytes", "5"], "--key-bytes is of text keys"),
])
def test_what_cannot_be_said_of_many_hosts_is_refused_in_one_line(tally, made_up, arguments, said):
    refused(tally("advise", *ASKED, "--from", made_up(), *arguments), said)


def test_merges_alone_are_no_ground_for_advice_on_models(tally, merges):
    refused(tally("advise", *ASKED, "--from", merges), "nothing of models")


def test_the_model_of_merging_is_held_against_every_merge(tally, merges):
    done = tally("merge-model", "--from", merges, "--check", merges, "--hosts", "10,10k", "--keys", "1M", "--json")
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert len(said["merges"]) == 2 * 18 and sum(merge["fitted"] for merge in said["merges"]) == 18
    assert said["worst_off"] == max(abs(merge["off"]) for merge in said["merges"])
    for merge in said["merges"]:
        assert merge["off"] == pytest.approx(merge["predicted_s"] / merge["measured_s"] - 1)
    assert [(p["kind"], p["hosts"]) for p in said["predictions"]] == [("dense", 10), ("dense", 10_000), ("text", 10), ("text", 10_000)]
    text = tally("merge-model", "--from", merges).stdout.decode()
    assert "within a factor of" in text and "merge/text/keys:1000000/ranks:2/hosts:2" in text


@pytest.mark.parametrize("arguments, said", [([], "--from MERGE.json"), (["--from", "nowhere.json"], "nowhere.json"),
                                             (["--from", "{map}"], "'tally-mpi merge' did not write it")])
def test_a_model_of_merging_without_merges_is_refused_in_one_line(tally, made_up, arguments, said):
    path = str(made_up())
    refused(tally("merge-model", *(a.replace("{map}", path) for a in arguments)), said)


def test_advice_is_no_surer_than_the_speed_of_the_machine_was(tally, made_up):
    def noisy(data):
        data["context"]["noise_floor"] = {"relative_half_width": 0.3}

    steady = advised(tally, *ASKED, "--from", made_up())["models"]
    said = advised(tally, *ASKED, "--from", made_up(noisy))["models"]
    assert [model["rank"] for model in said] == [model["rank"] for model in steady] == [1, 2], "the machine is the same for all"
    for model in said:
        assert model["low"] == pytest.approx(0.7 * model["items_per_second"]) and model["high"] == pytest.approx(1.3 * model["items_per_second"])
    assert all(model["low"] > 0.71 * model["items_per_second"] for model in steady)


def test_advice_says_up_to_where_the_wait_limits(tally, made_up):
    said = advised(tally, "--wait", "5ms", "--in-flight", "20", "--workers", "1", "--from", made_up())
    assert "limited by the wait up to" in said["models"][0]["why"] and "then by CPU" in said["models"][0]["why"]


def test_advice_excludes_by_memory_and_by_latency_and_says_so(tally, made_up):
    path = made_up()
    for more, said in ((("--memory", "256M"), "of memory, over"), (("--slo", "p99=12ms"), "p99 would be")):
        threads = advised(tally, *ASKED, *more, "--from", path)["models"][-1]
        assert threads["model"] == "thread_pool" and threads["excluded"] and said in threads["why"]


def test_what_no_model_can_do_is_said_and_is_status_1(tally, made_up):
    said = advised(tally, *ASKED, "--slo", "p99=2ms", "--from", made_up(), status=1)
    assert any("p99 of the wait alone is 4.61 ms" in line for line in said["warnings"])
    assert all(model["excluded"] for model in said["models"])
    assert advised(tally, *ASKED, "--memory", "1k", "--from", made_up(), status=1)["models"][0]["excluded"]


def test_advice_never_leaves_what_was_measured_silently(tally, made_up):
    said = advised(tally, "--grain", "20us", "--wait", "1s", "--in-flight", "9000", "--workers", "8", "--from", made_up())
    assert len(said["outside"]) == 3
    assert any("BEYOND what was measured" in line for line in said["warnings"])


def test_advice_from_another_machine_says_so(tally, made_up):
    said = advised(tally, *ASKED, "--from", made_up(lambda data: data["context"].update(cpu_model="Pocket Calculator")))
    assert any("measured on another machine: Pocket Calculator" in line for line in said["warnings"])


def test_files_of_two_machines_are_not_taken_together(tally, made_up):
    other = made_up(lambda data: data["context"].update(host_name="elsewhere"), "other.json")
    refused(tally("advise", *ASKED, "--from", f"{made_up()},{other}"), "elsewhere", "of one machine", status=2)


def test_files_of_cpus_that_halt_and_that_poll_are_not_taken_together(tally, made_up):
    polling = made_up(lambda data: data["context"].setdefault("factors", {}).update(idle="poll"), "polling.json")
    refused(tally("advise", *ASKED, "--from", f"{made_up()},{polling}"), "polling.json", "--idle", status=2)
    assert advised(tally, *ASKED, "--from", polling)["models"]


def test_without_a_file_advice_says_how_to_make_one(tally):
    refused(tally("advise", *ASKED), "--from", "tally map --out map.json", status=2)


def test_files_that_cannot_be_trusted_are_refused(tally, made_up, tmp_path):
    path = made_up()
    text = path.read_text(encoding="utf-8")
    for content, said in ((text[: len(text) // 2], "no whole result file"), (text.replace(f'"events": {EVENTS}', f'"events": {EVENTS + 1}', 1), "was changed"),
                          ('{"context": {}, "benchmarks": []}', "no result of 'tally run'"), ("", "no whole result file")):
        path.write_text(content, encoding="utf-8")
        refused(tally("advise", *ASKED, "--from", path), said, status=2)
    refused(tally("advise", *ASKED, "--from", tmp_path / "none.json"), "cannot be read", status=2)


def test_too_little_measured_is_no_advice(tally, made_up):
    path = made_up(lambda data: data.update(benchmarks=data["benchmarks"][:3]))
    refused(tally("advise", *ASKED, "--from", path), "enough cells of lookup", "tally map", status=2)
    refused(tally("advise", "--grain", "1us", "--from", made_up()), "enough cells of cpu", status=2)


def test_contradictory_questions_are_refused(tally, made_up):
    path = made_up()
    refused(tally("advise", "--in-flight", "5", "--from", path), "--in-flight", "add --wait", status=2)
    refused(tally("advise", "--slo", "p99=5ms", "--from", path), "--slo", "add --wait", status=2)
    refused(tally("advise", "--wait", "1ms", "--batch", "5", "--from", path), "--batch", status=2)
    refused(tally("advise", "--wait", "soon", "--from", path), "--wait 'soon'", status=2)
    refused(tally("advise", "--rounds", "6", "--from", path), "--rounds", "add --confirm", status=2)


def test_a_failed_cell_is_no_measurement_and_is_named(tally, made_up):
    def fail(data):
        data["benchmarks"][0].update(error_occurred=True, error_message="wrong count: key 3", verified=False)

    said = advised(tally, *ASKED, "--from", made_up(fail))
    assert any("failed when measured" in line and "wrong count: key 3" in line for line in said["warnings"])


@pytest.mark.slow
def test_a_map_is_measured_and_advised_from(tally, tmp_path):
    # As few cells as advice takes, four of lookups for each model; and threads are so much slower that no point is measured again.
    done = tally("map", "--model", "fibers,thread_pool", "--workers", "1", "--grain", "0", "--wait", "100us,150us", "--in-flight", "100,200",
                 "--rounds", "6", "--time-budget", "100s", "--no-progress", "--out", "map.json", timeout=300)
    assert done.returncode == 0, done.stderr
    said = done.stdout.decode()
    assert "lookup: 1 worker, 100 in flight" in said and "lookup: 1 worker, 200 in flight" in said
    assert "border" in said and "points" in said
    path = tmp_path / "map.json"
    checked = run_script("validate.py", path)
    # A build for tests is nothing to disclose, and a machine that does something else makes shorter samples than it planned; but every
    # other rule holds.
    assert all(": disclosure: " in line or ": length: " in line or ": holds: " in line for line in checked.stdout.splitlines()), checked.stdout
    context = json.loads(path.read_text(encoding="utf-8"))["context"]
    assert context["command_line"][:2] == ["tally", "map"]
    assert context["factors"]["idle"] == "poll" and any("--idle poll" in note for note in context["notes"])
    said = advised(tally, "--grain", "5us", "--wait", "200us", "--in-flight", "10", "--workers", "1", "--from", "map.json")
    assert {model["model"] for model in said["models"]} == {"fibers", "thread_pool"}
    again = run_script("reproduce.py", path)
    assert again.returncode == 2 and "tally map" in again.stderr


@pytest.mark.slow
@pytest.mark.serial
def test_a_map_is_of_events_that_do_not_wait_too(tally, tmp_path):
    # The budget ends the search for a winner of two that are as fast.
    done = tally("map", "--model", "sequential,fibers", "--workers", "1", "--grain", "100us", "--wait", "0", "--rounds", "6", "--time-budget", "4s",
                 "--no-progress", "--out", "map.json", timeout=300)
    assert done.returncode == 0, done.stderr
    said = done.stdout.decode()
    samples = [b["model"] for b in json.loads((tmp_path / "map.json").read_text())["benchmarks"] if b["run_type"] == "iteration"]
    if min(samples.count(model) for model in ("sequential", "fibers")) < 6:
        pytest.skip("the machine is too busy for 6 rounds in 4 s, and of fewer there is no point")
    assert "cpu: events that do not wait, 1 worker, a task each" in said and re.search(r"(?m)^100us +[0-9.]+ [kMG] .*(sequential|fibers)", said), said
    assert "1 points, 2 cells" in said


@pytest.mark.slow
def test_the_asked_point_can_be_measured(tally, made_up):
    done = tally("advise", "--wait", "200us", "--in-flight", "4", "--workers", "1", "--confirm", "--rounds", "6", "--json", "--from", made_up(),
                 timeout=120)
    said = json.loads(done.stdout)
    assert all(model["measured"] > 0 for model in said["models"])
    fastest = max(said["models"], key=lambda model: model["measured"])
    assert fastest["of_fastest"] == 1
    assert all(model["of_fastest_low"] <= model["of_fastest"] <= model["of_fastest_high"] for model in said["models"])


def test_a_map_needs_rounds_enough_for_an_interval(tally):
    refused(tally("map", "--rounds", "3"), "--rounds '3'", status=2)


# The campaign check_advice


def test_points_are_those_of_their_seed(root):
    assert list(check_advice.points(7, 20, 2)) == list(check_advice.points(7, 20, 2))
    assert list(check_advice.points(7, 20, 2)) != list(check_advice.points(8, 20, 2))


def answer(predicted, measured, rank, reach=1.1):
    return {"model": f"m{rank}", "rank": rank, "items_per_second": predicted, "low": predicted / reach, "high": predicted * reach, "measured": measured}


def test_predictions_are_judged_by_what_was_measured():
    right = {"models": [answer(100, 105, 1), answer(50, 49, 2)]}
    rows = check_advice.rows_of([{"seed": 1, "points": [right] * 10}])
    assert all(row.met for row in rows)
    wrong = {"models": [answer(100, 40, 1), answer(90, 200, 2)]}
    rows = check_advice.rows_of([{"seed": 1, "points": [wrong] * 10}])
    assert not any(row.met for row in rows)
    assert check_advice.off(answer(100, 40, 1)) == pytest.approx(1.5) and math.isclose(check_advice.off(answer(40, 100, 1)), 1.5)


def test_a_choice_is_judged_round_by_round():
    slower_in_the_median = {"models": [{**answer(100, 90, 1), "of_fastest": 0.97}, {**answer(99, 100, 2), "of_fastest": 1}]}
    slower_in_the_rounds = {"models": [{**answer(100, 99, 1), "of_fastest": 0.9}, {**answer(99, 100, 2), "of_fastest": 1}]}
    chosen = [check_advice.rows_of([{"seed": 1, "points": [point] * 10}])[2].met for point in (slower_in_the_median, slower_in_the_rounds)]
    assert chosen == [True, False]


def test_a_point_is_kept_without_the_machines_paths(tmp_path):
    tally = tmp_path / "tally"
    tally.write_text("""#!/bin/sh\necho '{"models": [], "from": [{"path": "/home/me/map.json", "result_id": "ab"}]}'\n""")
    tally.chmod(0o755)
    assert check_advice.measured(["--grain", "0"], tmp_path / "map.json", tally) == {"options": ["--grain", "0"], "models": [], "from": [{"result_id": "ab"}]}


def test_advice_for_another_machine_is_not_judged_on_this_one(tally, made_up, tmp_path):
    said = tally("advise", *ASKED, "--json", "--from", made_up(lambda data: data["context"].update(cpu_model="Pocket Calculator")))
    program = tmp_path / "tally"
    program.write_text(f"#!/bin/sh\ncat <<'SAID'\n{said.stdout.decode()}\nSAID\n")
    program.chmod(0o755)
    with pytest.raises(results.NotTally, match="another machine: Pocket Calculator"):
        check_advice.must_be_of_here(["--grain", "0"], tmp_path / "map.json", program)
    program.write_text("""#!/bin/sh\necho '{"warnings": ["the machine was noisy"]}'\n""")
    check_advice.must_be_of_here(["--grain", "0"], tmp_path / "map.json", program)


def test_a_map_may_be_compressed(tmp_path):
    (tmp_path / "map.json.xz").write_bytes(lzma.compress(b"{}"))
    with results.plain(tmp_path / "map.json.xz") as (path,):
        assert path.read_bytes() == b"{}"
    with results.plain(tmp_path / "map.json") as (path,):
        assert path == tmp_path / "map.json"


def test_nothing_measured_is_nothing_judged():
    assert check_advice.rows_of([]) == []
    assert check_advice.rows_of([{"seed": 1, "points": [{"models": [{"model": "m", "rank": 1, "items_per_second": 5.0}]}]}]) == []
